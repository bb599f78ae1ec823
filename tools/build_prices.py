# SPDX-License-Identifier: Apache-2.0
"""
Build the price table that ships in the wheel, and say what is new in it.

usage: python tools/build_prices.py [--out FILE] [--last FILE] [--keep]

Inputs, in order of authority: ``prices_overrides.toml`` (ours, every entry with source and date),
the data of the installed genai-prices package (pinned), ``prices_litellm.json`` (what
`prices_litellm.py` took from a LiteLLM wheel), ``prices_history.jsonl`` (what released tables said
and the sources no longer say). The same inputs give the same bytes.

Nothing is written while a guard (`prices_guards`) has something to say: the sources disagree on a
model of ``prices_top.toml``, a price moves by more than 2x, an id vanished, the past would change, a
row has no source. ``--keep`` adds to the history what would be forgotten, and builds again.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TOOLS: Final = Path(__file__).parent
sys.path[:0] = [str(TOOLS), str(TOOLS.parent / "src")]

import prices_guards  # noqa: E402 - these are found by the line above
import prices_history  # noqa: E402
import prices_merge  # noqa: E402
import prices_rulings  # noqa: E402
from prices_merge import Row, Rows  # noqa: E402

from spancost.prices import compare, table  # noqa: E402
from spancost.prices.writing import write  # noqa: E402

OVERRIDES: Final = TOOLS / "prices_overrides.toml"
TOP: Final = TOOLS / "prices_top.toml"
LITELLM: Final = TOOLS / "prices_litellm.json"
GENAI_PRICES: Final = "0.2.3"


@dataclass(frozen=True, slots=True)
class Inputs:
    """
    Everything that a table is built from.

    Args:
        first: Rows of the first source, as it gives them.
        extract: Rows of the second source.
        overrides: Our entries, as a dictionary.
        top: Ids of the models on which the sources have to agree, by provider.
        history: What released tables said, the oldest entry first.
        sources: Names and versions of the sources.
    """

    first: list[Row]
    extract: list[Row]
    overrides: dict[str, Any]
    top: dict[str, list[str]]
    history: list[prices_history.Entry]
    sources: dict[str, str]


def inputs() -> Inputs:
    """Return the inputs of this repository."""
    installed = importlib.metadata.version("genai-prices")
    if installed != GENAI_PRICES:
        raise SystemExit(f"genai-prices {installed} is installed, this table is built from {GENAI_PRICES}")
    tomllib = importlib.import_module("tomllib")  # Python 3.11 or later: this script is for developers
    genai = importlib.import_module(
        "spancost.prices.genai_rows"
    )  # it imports that package, which tests do without
    overrides = tomllib.loads(OVERRIDES.read_text(encoding="utf-8"))
    extract = json.loads(LITELLM.read_text(encoding="utf-8"))
    return Inputs(
        first=list(genai.rows(f"genai-prices {GENAI_PRICES}")),
        extract=extract["rows"],
        overrides=overrides,
        top=tomllib.loads(TOP.read_text(encoding="utf-8"))["models"],
        history=prices_history.read(),
        sources={
            "genai-prices": GENAI_PRICES,
            "litellm": extract["version"],
            "overrides": overrides["date"],
        },
    )


def merge(given: Inputs) -> tuple[Rows, list[str]]:
    """Return the rows of a table by provider and model, and what is wrong with the inputs."""
    today = given.overrides["date"]
    first = _by_name(given.first)
    problems = list(prices_guards.disagreements(first, given.extract, given.top, given.overrides))
    rows = _by_name(json.loads(json.dumps(given.first)))  # the entries change rows in place
    problems += prices_rulings.apply(rows, given.overrides)
    prices_merge.fill(rows, json.loads(json.dumps(given.extract)), today)
    prices_merge.follow_vendors(rows, today)
    prices_history.restore(rows, given.history)
    return rows, [*problems, *prices_guards.without_source(rows)]


def render(rows: Rows, overrides: dict[str, Any], sources: dict[str, str]) -> bytes:
    """Return the bytes of a table: its head, and one line for each row, in order."""
    return write(rows.values(), version=overrides["version"], date=overrides["date"], sources=sources)


@dataclass(frozen=True, slots=True)
class Review:
    """
    A new table against the last one.

    Args:
        comparison: What differs.
        problems: What nobody has ruled on, one line each.
        keep: Entries of the history that would solve those about things forgotten.
    """

    comparison: compare.Comparison
    problems: list[str]
    keep: list[prices_history.Entry]


def review(old: table.Table, new: table.Table, overrides: dict[str, Any]) -> Review:
    """Return what the guards say about a new table."""
    comparison = compare.compare(old, new)
    ruled = prices_rulings.named(overrides)
    gone = list(prices_guards.vanished(comparison, old, ruled))
    rewritten = list(prices_guards.past_changes(comparison, ruled, old.date))
    problems = [
        *prices_guards.told_vanished(gone),
        *prices_guards.moves(comparison, ruled, old.date),
        *prices_guards.told_past(rewritten),
    ]
    return Review(comparison, problems, prices_history.keep(old, gone, rewritten))


def _by_name(rows: Iterable[Row]) -> Rows:
    found: Rows = {}
    for row in rows:
        found.setdefault((row["provider"], row["model"]), row)
    return found


def build(given: Inputs, out: Path, last: Path) -> Review:
    """Write the table of some inputs, and return what the guards say; with problems nothing stays written."""
    rows, problems = merge(given)
    draft = out.with_suffix(".draft")
    draft.write_bytes(render(rows, given.overrides, given.sources))
    try:
        new = table.load(draft)
        old = table.load(last) if last.exists() else table.Table("", "", "", {}, [])
        found = review(old, new, given.overrides)
        for row in new.rows():
            row.cards()  # every line can be read by the runtime
        found = Review(found.comparison, [*problems, *found.problems], found.keep)
        if not found.problems:
            draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return found


def main() -> int:
    """Write the table and print what is new in it, or print what stands against it."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else None)
    cli.add_argument("--out", type=Path, default=table.DEFAULT_PATH)
    cli.add_argument("--last", type=Path, default=table.DEFAULT_PATH, help="the last released table")
    cli.add_argument("--keep", action="store_true", help="add to the history what would be forgotten")
    options = cli.parse_args()
    found = build(inputs(), options.out, options.last)
    if options.keep and found.keep:
        prices_history.write(found.keep)
        print(f"{len(found.keep)} entries added to {prices_history.PATH.name}")
        found = build(inputs(), options.out, options.last)
    for line in found.comparison.lines():
        print(line)
    if found.problems:
        print(f"\n{options.out} was not written: {len(found.problems)} problems", file=sys.stderr)
        for problem in found.problems:
            print(f"- {problem}", file=sys.stderr)
        return 1
    lines = options.out.read_bytes().count(b"\n") - 1
    print(f"{options.out}: {lines} rows, {options.out.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
