# SPDX-License-Identifier: MIT
"""Rows as a bar chart in SVG: a section for each kind of test, in it two bars for each model. llama.cpp's bars of a section have all the same
length, so what one sees is how many times faster drover is."""
from xml.sax.saxutils import escape

WIDTH, LABELS, MARGIN, BAR, GAP = 900, 190, 16, 15, 12
BARS = 350  # of the longest bar; what is right of it belongs to the words at its end
LIMITS = {"read": "of the memory's rate", "multiply": "of the multipliers' rate"}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 11.5px; fill: #59636e }
.head { font-weight: 600; font-size: 14px }
.back { fill: #ffffff } .ours { fill: #0e7c66 } .theirs { fill: #aab2bb }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 }
  .back { fill: #0d1117 } .ours { fill: #2fb596 } .theirs { fill: #57606a }
}
"""


def sections(rows):
    """[(heading, rows)] of the rows that are speeds, in order."""
    found = {}
    for row in rows:
        if row.unit == "tokens/s":
            found.setdefault(heading(row.test), []).append(row)
    return list(found.items())


def heading(test):
    name, _, depth = test.partition(" @ d")
    after = f", after {depth} tokens" if depth else ""
    if name.startswith("pp"):
        return f"prefill: a prompt of {name[2:]} tokens{after}"
    n, _, sequences = name[2:].partition("x")
    return f"decode: {n} tokens in {sequences} sequences at a time{after}" if sequences else f"decode: {n} tokens, one sequence{after}"


def speed(v):
    return f"{v:,.0f}" if v >= 100 else f"{v:.1f}"


class Canvas:
    def __init__(self):
        self.out, self.y = [], MARGIN

    def text(self, x, y, text, kind=""):
        self.out.append(f'<text x="{x:.1f}" y="{y:.1f}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>{escape(text)}</text>')

    def bar(self, y, width, kind):
        self.out.append(f'<rect x="{LABELS}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{BAR}" rx="2" class="{kind}"/>')

    def row(self, row, unit):
        ours, theirs = unit * row.ratio(), unit
        self.text(MARGIN, self.y + BAR + 3, row.model.replace(":", " "))
        self.bar(self.y, ours, "ours")
        words = f"{speed(row.ours)} tokens/s, {row.ratio():.1f}x"
        self.text(LABELS + ours + 6, self.y + BAR - 3, words)
        if row.share is not None:
            self.text(LABELS + ours + 12 + 6.8 * len(words), self.y + BAR - 3, f"{100 * row.share:.0f} % {LIMITS[row.limit]}", "small")
        self.bar(self.y + BAR + 1, theirs, "theirs")
        self.text(LABELS + theirs + 6, self.y + 2 * BAR - 2, speed(row.theirs), "small")
        self.y += 2 * BAR + GAP


def svg(rows, title, notes):
    """The chart as text. notes: lines below it"""
    c = Canvas()
    c.text(MARGIN, c.y + 14, title, "head")
    c.y += 30
    c.out.append(f'<rect x="{MARGIN}" y="{c.y}" width="{BAR}" height="{BAR}" rx="2" class="ours"/>')
    c.text(MARGIN + BAR + 6, c.y + BAR - 3, "drover")
    c.out.append(f'<rect x="{MARGIN + 90}" y="{c.y}" width="{BAR}" height="{BAR}" rx="2" class="theirs"/>')
    c.text(MARGIN + 90 + BAR + 6, c.y + BAR - 3, "llama.cpp")
    c.y += 2 * BAR
    for name, of in sections(rows):
        c.text(MARGIN, c.y + 14, name, "head")
        c.y += 26
        unit = BARS / max(1, *(row.ratio() for row in of))
        for row in of:
            c.row(row, unit)
        c.y += GAP
    for note in notes:
        c.text(MARGIN, c.y + 10, note, "small")
        c.y += 17
    height = c.y + MARGIN
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">\n'
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
            f'<rect width="{WIDTH}" height="{height}" class="back"/>\n' + "\n".join(c.out) + "\n</svg>\n")
