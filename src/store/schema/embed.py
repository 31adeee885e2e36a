# SPDX-License-Identifier: MIT
"""Makes the C table of migrations from the files NNN_name.sql, which must be numbered 1, 2, 3...

usage: embed.py OUTPUT FILE..."""
import pathlib
import re
import sys


def literal(line):
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"'


rows = []
for want, path in enumerate(sorted(pathlib.Path(name) for name in sys.argv[2:]), 1):
    m = re.fullmatch(r"(\d{3})_(\w+)\.sql", path.name)
    if not m or int(m[1]) != want:
        sys.exit(f"{path}: should be {want:03}_name.sql")
    text = "\n".join("     " + literal(line) for line in path.read_text().splitlines())
    rows.append(f'    {{{want}, "{m[2]}",\n{text}}},')
pathlib.Path(sys.argv[1]).write_text(
    "/* SPDX-License-Identifier: MIT */\n/* Made by schema/embed.py. */\n"
    '#include "base/attr.h"\n#include "store/migrate.h"\n\n'
    "const dv__migration dv__migrations[] = {\n" + "\n".join(rows) + "\n};\n"
    "const size_t dv__n_migrations = DV_ARRAY_LEN(dv__migrations);\n")
