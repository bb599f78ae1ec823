# SPDX-License-Identifier: Apache-2.0
"""
Writes docs/performance.md from the results that `make bench` left in bench/results.

    python bench/write_docs.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import harness

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "bench" / "results"
PAGE: Final = ROOT / "docs" / "performance.md"
FIRST: Final = ("hook", "meter", "price_call", "scrape", "import", "threads", "peers")
"""What people ask first; the others follow by name."""

HEAD: Final = """\
# Performance

This page is written by `make bench`; do not edit it (`bench/write_docs.py`).

Every figure is a ratio, so that it says something about your machine too: of instructions, which callgrind
counts and which repeat to 1 or 2 %, by how names fall in CPython's method cache; or of processor time between
ways that took turns in one process, as the median over the rounds with the lowest and the highest. They are
measurements, not gates: no test fails on them. `make bench-quick` measures most of it in about three minutes
and leaves this page alone.

"""


def main() -> None:
    """Write the page."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    found.sort(
        key=lambda one: (FIRST.index(one["bench"]) if one["bench"] in FIRST else len(FIRST), one["bench"])
    )
    PAGE.write_text(HEAD + "\n".join(section(one) for one in found), encoding="utf-8")


def section(one: dict[str, Any]) -> str:
    """Return what one benchmark found."""
    setting = ", ".join(
        value if name == "python" else f"{name} {value}" for name, value in one["setting"].items()
    )
    lines = [f"## {one['bench'].replace('_', ' ').capitalize()}", "", one["about"], ""]
    lines += [f"`bench/bench_{one['bench']}.py`; {setting}.", ""]
    for table in one.get("tables", ()):
        lines += [f"**{table['title']}**" + (f" ({table['note']})" if table["note"] else ""), ""]
        lines += [as_markdown(table["columns"], table["rows"]), ""]
    if one.get("text"):
        lines += ["```text", one["text"].strip("\n"), "```", ""]
    return "\n".join(lines)


def as_markdown(columns: list[str], rows: list[list[object]]) -> str:
    """Return a table for a page."""
    lines = [columns, ["---"] * len(columns), *([harness.show(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
