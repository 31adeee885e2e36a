# SPDX-License-Identifier: MIT
"""The path says the layer: a folder under src/ includes only from itself and from the folders below it."""
import pathlib
import re
import sys

ORDER = ["base", "conf", "provider", "sandbox", "gguf", "kern", "tok", "grammar", "chat", "model", "engine", "sched", "store", "http", "web", "client", "limit", "fleet", "api", "serve", "cli"]
root = pathlib.Path(sys.argv[1])
bad = []
for path in sorted(list((root / "src").rglob("*.[ch]"))):
    layer = path.relative_to(root / "src").parts[0]
    if layer not in ORDER:
        bad.append(f"{path}: folder {layer} is not in the list of layers")
        continue
    for n, line in enumerate(path.read_text().splitlines(), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m or m[1].startswith("drover/"):
            continue
        other = m[1].split("/")[0]
        if "/" not in m[1]:
            bad.append(f'{path}:{n}: include "{m[1]}" by its path under src/')
        elif other not in ORDER or ORDER.index(other) > ORDER.index(layer):
            bad.append(f'{path}:{n}: {layer} may not include "{m[1]}"')
for path in sorted((root / "src").rglob("*.[ch]")) + sorted((root / "include").rglob("*.h")):
    if not path.read_text().startswith("/* SPDX-License-Identifier: MIT */\n"):
        bad.append(f"{path}: the first line is not the SPDX line")
print("\n".join(bad))
sys.exit(bool(bad))
