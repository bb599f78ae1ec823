# SPDX-License-Identifier: Apache-2.0
"""Everything that is wrong with what a user said, each with its place, so that one look mends it all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from spancost.errors import PriceBookError

MAX_SHOWN: Final = 100
"""How many problems a message lists; it counts the others."""

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ALIKE: Final = 0.6

Place = tuple["str | int", ...]
"""Where in a JSON document: keys and indexes from the top."""


class Problems:
    """Collects what is wrong, in the order found."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def add(self, place: Place, problem: str) -> None:
        """
        Note one problem.

        Args:
            place: Where it is.
            problem: What is wrong and what to do, for people.
        """
        self.all.append(f"{json_path(place)}: {problem}")

    def unknown_key(self, place: Place, valid: Iterable[str]) -> None:
        """Note a key that means nothing, with the nearest one that does."""
        name, options = str(place[-1]), list(valid)
        near = nearest(name, options)
        hint = f'did you mean "{near}"?' if near else f"valid are {', '.join(options)}"
        self.add(place, f"no such key; {hint}")

    def raise_if_any(self, what: str) -> None:
        """
        Fail with every problem.

        Args:
            what: What cannot be used, such as ``prices.json: cannot be used as a pricing file``.

        Raises:
            PriceBookError: There is a problem.
        """
        if not self.all:
            return
        number = "1 problem" if len(self.all) == 1 else f"{len(self.all)} problems"
        lines = [f"{what}, {number}:", *(f"  {problem}" for problem in self.all[:MAX_SHOWN])]
        if len(self.all) > MAX_SHOWN:
            lines.append(f"  and {len(self.all) - MAX_SHOWN} more")
        raise PriceBookError("\n".join(lines))


def json_path(place: Place) -> str:
    """Return a place as JSONPath: ``$.openai["gpt-4.1"].tiers.batch``."""
    path = "$"
    for part in place:
        if isinstance(part, str) and _PLAIN.fullmatch(part):
            path += f".{part}"
        else:
            path += f"[{json.dumps(part)}]"
    return path


def nearest(name: str, options: Iterable[str], *, alike: float = _ALIKE) -> str | None:
    """
    Return the option that is most like a name, None where none is like it.

    Args:
        name: What was written.
        options: What could have been meant.
        alike: How alike they have to be, from 0 to 1.
    """
    import difflib  # noqa: PLC0415 - only for messages

    found = difflib.get_close_matches(name.lower(), list(options), n=1, cutoff=alike)
    return found[0] if found else None
