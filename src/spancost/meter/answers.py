# SPDX-License-Identifier: Apache-2.0
"""Which models answer for those that are asked for: by them, series are born ahead of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from spancost.meter.bounds import MAX_VALUE_CHARS

if TYPE_CHECKING:
    from spancost.meter.label_sets import Key
    from spancost.meter.records import Record

_MAX_ANSWERS: Final = 8
"""How many models that answer for one are remembered; a router may have any."""


class Answers:
    """
    Who answered so far, and what was born for those that ask.

    Args:
        max_asked: For how many label sets it is remembered that their series were born.
    """

    def __init__(self, max_asked: int) -> None:
        self._max_asked = max_asked
        self.records: dict[tuple[str | None, ...], dict[str | None, Record]] = {}
        """By provider, request model and operation: the models that answer, each with a record of its."""
        self.born: dict[tuple[Any, ...], int] = {}
        """How many answers were known when the series of a call that started were born."""

    def add(self, key: Key, record: Record) -> bool:
        """Take that a call has a record; tell whether its model answers for the one asked for as a new one."""
        _, _, provider, response_model, request_model, operation, _ = key
        answers = self.records.setdefault((provider, request_model, operation), {})
        if len(answers) >= _MAX_ANSWERS or response_model in answers:
            return False
        answers[response_model] = record
        return True

    def note(self, asked: tuple[Any, ...], number: int) -> None:
        """Remember that the series of a call that asks so were born for so many answers."""
        if len(self.born) < self._max_asked and all(len(each or "") < MAX_VALUE_CHARS for each in asked):
            self.born[asked] = number
