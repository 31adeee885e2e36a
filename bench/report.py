# SPDX-License-Identifier: MIT
"""What becomes of measurements: medians, ratios, tables, CSV files. No input or output but of the file that is named."""
import csv
import os
import statistics
from typing import NamedTuple, Optional

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
FIELDS = ["model", "test", "unit", "drover", "llama.cpp", "ratio", "share", "peer share", "limit", "drover runs", "peer runs"]


class Row(NamedTuple):
    """A test of a model: medians of both programs, and what part that is of the rate that the machine allows."""
    model: str
    test: str
    unit: str
    ours: float
    theirs: float
    share: Optional[float] = None
    their_share: Optional[float] = None
    limit: str = ""  # what the machine lacks first: "read" or "multiply"
    our_runs: tuple = ()
    their_runs: tuple = ()

    def ratio(self):
        """How many times better drover is. Of times and sizes, less is better."""
        return self.ours / self.theirs if self.unit == "tokens/s" else self.theirs / self.ours


def median_row(key, ours, theirs, shares=None):
    """key: (model, test, unit); shares: (drover's of each run, the peer's, the limit's name)"""
    row = Row(*key, statistics.median(ours), statistics.median(theirs), our_runs=tuple(ours), their_runs=tuple(theirs))
    if shares:
        row = row._replace(share=statistics.median(shares[0]), their_share=statistics.median(shares[1]), limit=shares[2])
    return row


def table_line(row):
    line = f"| {row.model.replace(':', ' ')} | {row.test} | {row.unit} | {row.ours:.2f} | {row.theirs:.2f} | {row.ratio():.2f}x |"
    if row.share is not None:
        line += f" {100 * row.share:.0f} % | {100 * row.their_share:.0f} % | {row.limit} |"
    return line


def table(rows):
    shares = any(row.share is not None for row in rows)
    lines = ["| model | test | unit | drover | llama.cpp | drover is better by |", "| --- | --- | --- | ---: | ---: | ---: |"]
    if shares:
        lines = [lines[0] + " drover's share | llama.cpp's | of what the machine can |", lines[1] + " ---: | ---: | --- |"]
    lines += [table_line(row) + (" | | |" if shares and row.share is None else "") for row in rows]
    return "\n".join(lines) + "\n"


def result_path(name):
    return os.path.join(TOP, "bench/results", name)


def optional(value):
    return "" if value is None else f"{value:.4g}"


def write_csv(path, rows, about):
    """about: what holds for all rows, {column: value}"""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(FIELDS + list(about))
        for row in rows:
            runs = [" ".join(f"{v:.4g}" for v in values) for values in (row.our_runs, row.their_runs)]
            out.writerow([*row[:3], f"{row.ours:.4g}", f"{row.theirs:.4g}", f"{row.ratio():.4g}", optional(row.share), optional(row.their_share), row.limit,
                          *runs, *about.values()])


def read_csv(path):
    """(rows, about) of such a file."""
    def number(text):
        return float(text) if text else None

    with open(path, newline="", encoding="utf-8") as f:
        lines = list(csv.DictReader(f))
    rows = [Row(r["model"], r["test"], r["unit"], float(r["drover"]), float(r["llama.cpp"]), number(r["share"]), number(r["peer share"]), r["limit"],
                *(tuple(map(float, r[runs].split())) for runs in ("drover runs", "peer runs"))) for r in lines]
    return rows, {k: v for k, v in lines[0].items() if k not in FIELDS} if lines else {}
