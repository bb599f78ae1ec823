# SPDX-License-Identifier: Apache-2.0
"""
`re.compile` for patterns that few processes need: each is compiled when it is first used.

Compiling one takes as long as importing a small module, and there are dozens for the ids and hosts
that are not plain. To be imported as ``re``.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Pattern:
    """A pattern that becomes a compiled one's methods as they are asked for."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, name: str) -> Any:
        """Compile, the first time that a method is asked for, and keep the method."""
        value = getattr(re.compile(self._text), name)  # `re` keeps what it compiled
        setattr(self, name, value)
        return value


def compile(pattern: str) -> re.Pattern[str]:  # noqa: A001 - in place of `re.compile`
    """Return a pattern that is compiled when it is first used."""
    return cast("re.Pattern[str]", _Pattern(pattern))
