# SPDX-License-Identifier: Apache-2.0
"""Write a price table; `spancost.prices.table` describes the file and reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from spancost.errors import PriceBookError
from spancost.prices.table import FORMAT


def write(rows: Iterable[Mapping[str, Any]], *, version: str, date: str, sources: Mapping[str, str]) -> bytes:
    """
    Return the bytes of a table; the same rows give the same bytes, in whatever order they come.

    Args:
        rows: Each with ``provider``, ``model``, ``ids``, ``source`` and ``cards``.
        version: Names the table; a later one sorts higher.
        date: The day of the data, ISO.
        sources: Where the rows are from, with versions.

    Raises:
        PriceBookError: A row cannot be a line.
    """
    ordered = sorted(rows, key=lambda row: (row["provider"], row["model"]))
    body = "".join(map(_line, ordered))
    head = {
        "format": FORMAT,
        "version": version,
        "date": date,
        "sources": dict(sources),
        "digest": "sha256:" + hashlib.sha256(body.encode()).hexdigest(),
    }
    return (json.dumps(head, separators=(", ", ": ")) + "\n" + body).encode()


def _line(row: Mapping[str, Any]) -> str:
    cards = [{key: card[key] for key in sorted(card) if card[key] or key != "tiers"} for card in row["cards"]]
    text = json.dumps({"source": row["source"], "cards": cards}, separators=(",", ":"), sort_keys=True)
    line = "\t".join((row["provider"], row["model"], " ".join(row["ids"]), text))
    if line.count("\t") != 3 or "\n" in line or " " in row["model"]:
        raise PriceBookError(f"{row['provider']}/{row['model']}: cannot be written as one line")
    return line + "\n"
