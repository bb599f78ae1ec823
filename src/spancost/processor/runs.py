# SPDX-License-Identifier: Apache-2.0
"""What is around a call: the runs whose cost it is part of, and the values of its labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spancost.context import Block
from spancost.processor.live import LiveNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spancost.calls import Call, Node


def new_runs(call: Call, copy: Node) -> list[LiveNode | Block]:
    """
    Return the runs around a copy that no earlier copy of the call stood in.

    A call is part of each run once, however many spans show it and however late they come.
    """
    known: set[int] = set()
    for earlier in call.copies:
        if earlier is copy:
            break
        known.update(map(id, runs_around(earlier)))
    found = []
    for run in runs_around(copy):
        if id(run) not in known:
            known.add(id(run))
            found.append(run)
    return found


def runs_from(above: Node | None, block: object) -> list[Block]:
    """Return the blocks around a span, by the span above it and the block in which it started, each once."""
    found: dict[int, Block] = {}
    for run in _runs_above(above, block):
        if isinstance(run, Block):
            found.setdefault(id(run), run)
    return list(found.values())


def runs_around(copy: Node) -> Iterator[LiveNode | Block]:
    """
    Yield what may be a run around a span, innermost first, itself included.

    Which spans are agents is certain only at their ends, so every span above is one that may be.
    """
    if isinstance(copy, LiveNode):
        yield copy
    yield from _runs_above(copy.parent, copy.block)


def _runs_above(above: Node | None, block: object) -> Iterator[LiveNode | Block]:
    while True:
        outside = above.block if above is not None else None
        while isinstance(block, Block) and block is not outside:
            yield block
            block = block.outer
        if above is None:
            return
        if isinstance(above, LiveNode):
            yield above
        above, block = above.parent, outside
