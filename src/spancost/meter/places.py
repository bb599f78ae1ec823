# SPDX-License-Identifier: Apache-2.0
"""Where in a record's list each number is: counters that most calls touch, and the buckets of the histograms."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from spancost.cost import COST_PARTS
from spancost.meter import names
from spancost.meter.cells import COST_BOUNDS, DURATION_BOUNDS
from spancost.prices.cards import OUTPUT, TOKEN_TYPES

Place = tuple[str, ...]
"""What a counter is called inside a record: its metric, then the values of its own labels."""

CALLS: Final = names.CALLS.name
TOKENS: Final = names.TOKENS.name
COST: Final = names.COST.name
_REASONING: Final = names.REASONING.name
_SAVINGS: Final = names.CACHE_SAVINGS.name
_PREMIUM: Final = names.CACHE_PREMIUM.name

FIXED: Final[tuple[Place, ...]] = (
    (CALLS, ""),
    *((TOKENS, token_type) for token_type in TOKEN_TYPES),
    *((COST, part, "local") for part in COST_PARTS),
    (_REASONING,),
    (_SAVINGS,),
    (_PREMIUM,),
)
"""The counters with fixed places, in their order from place 0."""

AT: Final = {place: index for index, place in enumerate(FIXED)}
"""Where they are."""
# What is in the cell of calls that succeeded comes on top of the calls in the cost buckets: nearly all
# calls succeed and are priced, and are counted by their bucket alone.
CALL_AT: Final = AT[CALLS, ""]
TOKENS_AT: Final = {name: AT[TOKENS, name] for name in TOKEN_TYPES}
LOCAL_AT: Final = {name: AT[COST, name, "local"] for name in COST_PARTS}
INPUT_AT, OUTPUT_AT = TOKENS_AT["input"], TOKENS_AT["output"]
READ_AT = TOKENS_AT["cache_read"]
WRITE_AT, HOUR_AT = TOKENS_AT["cache_write"], TOKENS_AT["cache_write_1h"]
REASONING_AT, SAVINGS_AT, PREMIUM_AT = AT[_REASONING,], AT[_SAVINGS,], AT[_PREMIUM,]
_TEXT: Final = TOKEN_TYPES[: OUTPUT + 1]
TEXT_AT: Final = tuple(TOKENS_AT[name] for name in _TEXT)
INPUT_COST_AT, READ_COST_AT, WRITE_COST_AT, HOUR_COST_AT, OUTPUT_COST_AT = (LOCAL_AT[name] for name in _TEXT)

COSTS_FROM: Final = len(FIXED)
"""Where the cost buckets begin; their sum is that of the costs by token type, and kept nowhere else."""
DURATIONS_FROM: Final = COSTS_FROM + len(COST_BOUNDS) + 1
"""Where the duration buckets begin; behind the last one is the sum."""
DURATION_SUM: Final = DURATIONS_FROM + len(DURATION_BOUNDS) + 1
WIDTH: Final = DURATION_SUM + 1
"""How many places are the same in every record."""

# A search among the bounds takes 5 % of all of this. Each bound is at least twice the one before, so a
# number's length in bits leaves two buckets, and one comparison decides.
_BITS: Final = 1_024


def _places_by_bits(first: int, bounds: tuple[int, ...]) -> list[int]:
    """Return, by a number's length in bits, the place of the bucket of the least number of that length."""
    return [first, *(first + bisect_left(bounds, 1 << bits) for bits in range(_BITS))]


def _ends_by_place(first: int, bounds: tuple[int, ...]) -> list[int]:
    """Return the upper bounds by place; the last bucket ends above every number there is."""
    return [0] * first + [*bounds, 1 << _BITS]


COST_AT: Final = _places_by_bits(COSTS_FROM, COST_BOUNDS)
"""The place of a cost's bucket, by the length of the cost in bits; where it is above `COST_ENDS`, the next."""
COST_ENDS: Final = _ends_by_place(COSTS_FROM, COST_BOUNDS)
DURATION_AT: Final = _places_by_bits(DURATIONS_FROM, DURATION_BOUNDS)
"""Likewise of a duration."""
DURATION_ENDS: Final = _ends_by_place(DURATIONS_FROM, DURATION_BOUNDS)
