# SPDX-License-Identifier: Apache-2.0
"""Price tables in a few lines: small ones, and newer ones of the built-in table."""

from __future__ import annotations

import json
from typing import Any

from spancost.prices import table
from spancost.prices.writing import write

BUILT_IN = table.load()
LATER = "2999.01.01"
"""A version that sorts after every real one."""


def small(version: str = LATER, date: str = BUILT_IN.date, *, rate: str = "1", model: str = "m") -> bytes:
    """Return a table of one model of OpenAI's, whose output costs twice its input."""
    rates = {"input": rate, "output": str(2 * int(rate))}
    row = {
        "provider": "openai",
        "model": model,
        "ids": [model],
        "source": "test",
        "cards": [{"rates": rates}],
    }
    return write([row], version=version, date=date, sources={"test": "1"})


def built_in_rows() -> list[dict[str, Any]]:
    """Return the rows of the built-in table, to be changed."""
    return [
        {"provider": row.provider, "model": row.model, "ids": list(row.ids), **json.loads(row.text)}
        for row in BUILT_IN.rows()
    ]


def newer(*, changed: dict[str, str] | None = None, version: str = LATER, date: str = BUILT_IN.date) -> bytes:
    """
    Return a newer table with all of the built-in rows.

    Args:
        changed: ``provider/model`` to the input rate that its only card has in the newer table.
        version: Its version.
        date: Its date.
    """
    rows = built_in_rows()
    for row in rows:
        rate = (changed or {}).get(f"{row['provider']}/{row['model']}")
        if rate is not None:
            row["cards"][-1]["rates"]["input"] = rate
    return write(rows, version=version, date=date, sources=BUILT_IN.sources)
