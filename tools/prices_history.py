# SPDX-License-Identifier: Apache-2.0
"""
What released tables said and the sources no longer say: nothing that was ever priced is forgotten.

``prices_history.jsonl`` has one entry per line, and lines are only ever added (`keep` writes them):

* a row that vanished from the sources: ``provider``, ``model``, ``ids``, ``cards``, ``source``,
  ``kept`` (the version and date of the last table that had it);
* rates that a source changed without saying since when: the same, with ``until``, the day from
  which the new rates are known to hold; the old ones stay for the time before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import prices_rulings
from prices_merge import Row, Rows, index

from spancost.prices import compare, table

PATH: Final = Path(__file__).with_name("prices_history.jsonl")

Entry = dict[str, Any]


def read(path: Path = PATH) -> list[Entry]:
    """Return the entries of a history file, none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def restore(rows: Rows, entries: Iterable[Entry]) -> None:
    """
    Give rows back what the history knows and the sources do not.

    Args:
        rows: The merged rows; changed in place.
        entries: The history, the oldest entry first.
    """
    for entry in entries:
        if "until" in entry:
            _restore_cards(rows, entry)
        else:
            _restore_row(rows, entry)


def _restore_cards(rows: Rows, entry: Entry) -> None:
    known = index(rows).get(entry["provider"])
    for name in entry["ids"] if known else ():
        row = known.exact.get(name.rstrip("*")) if known else None
        if row is not None:
            mine = rows[row.provider, row.model]
            mine["cards"] = prices_rulings.until(mine, entry["until"], entry["cards"])
            return


def _restore_row(rows: Rows, entry: Entry) -> None:
    known = index(rows).get(entry["provider"], table.Provider())
    ids = [name for name in entry["ids"] if name.rstrip("*") not in known.exact]
    if not ids:
        return  # a source has it again
    name = entry["provider"], entry["model"]
    if name in rows:
        rows[name]["ids"] = [*rows[name]["ids"], *ids]
        return
    source = f"{entry['source']}, kept from table {entry['kept']}"
    rows[name] = {**{key: entry[key] for key in ("provider", "model", "cards")}, "ids": ids, "source": source}


def keep(
    old: table.Table, gone: Iterable[tuple[str, str]], rewritten: Iterable[compare.Change]
) -> list[Entry]:
    """
    Return the entries that keep what the new table would forget of the old one.

    Args:
        old: The last table.
        gone: Provider and id of what vanished.
        rewritten: Models whose past the new table would change.
    """
    kept = f"{old.version} ({old.date})"
    rows = {(row.provider, row.model): row for row in old.rows()}
    owners = {(row.provider, name.rstrip("*")): row for row in rows.values() for name in row.ids}
    lost: dict[tuple[str, str], list[str]] = {}
    for provider, name in gone:
        row = owners[provider, name.rstrip("*")]
        lost.setdefault((provider, row.model), []).append(_as_written(row, name))
    entries = [_entry(rows[name], ids, kept) for name, ids in lost.items()]
    for change in rewritten:
        row = rows[change.provider, change.was]
        ids = [_as_written(row, name) for name in change.ids]
        entries.append({**_entry(row, ids, kept), "until": old.date})
    return entries


def write(entries: Iterable[Entry], path: Path = PATH) -> None:
    """Append entries to a history file."""
    lines = [json.dumps(entry, sort_keys=True, separators=(",", ":")) + "\n" for entry in entries]
    with path.open("a", encoding="utf-8") as file:
        file.writelines(lines)


def _as_written(row: table.Row, name: str) -> str:
    return f"{name}*" if f"{name}*" in row.ids else name


def _entry(row: table.Row, ids: list[str], kept: str) -> Row:
    text = json.loads(row.text)
    return {"provider": row.provider, "model": row.model, "ids": ids, "kept": kept, **text}
