# SPDX-License-Identifier: Apache-2.0
"""What stands below a span: its calls, whether its own usage is theirs, and how the spans above learn of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spancost.calls.copies import agree, is_sum

if TYPE_CHECKING:
    from spancost.calls.nodes import Call, Node
    from spancost.calls.recent import RecentCalls
    from spancost.usage import Reading


def calls_below(node: Node) -> list[Call]:
    """Return the calls on the line below that a call span can be a copy or the sum of."""
    return node.bag.of_type(node.call_type) if node.bag is not None else []


def encloses_usage(node: Node) -> bool:
    """Tell whether a call of the span's own type, or an aggregate, is below it, across agents and tools."""
    return node.types_below is not None and not node.types_below.isdisjoint((node.call_type, ""))


def is_sum_of(below: list[Call], node: Node, reading: Reading) -> bool:
    """Tell whether a span's usage is the sum of the calls below it."""
    if node.bag is not None and node.bag.is_full:
        return True  # not all are known; believed
    return is_sum(reading, [call.reading for call in below if call.reading is not None])


def is_explained(node: Node, adopted: Call, reading: Reading) -> bool:
    """Tell whether an adopter's own usage is that of another call below it, or the sum of all."""
    below = calls_below(node)
    return is_sum_of(below, node, reading) or any(
        call is not adopted and call.reading is not None and agree(call.reading, reading) for call in below
    )


def adds_up_elsewhere(recent: RecentCalls, node: Node, reading: Reading) -> bool:
    """Tell whether calls that are not below a roll-up, but inside its time, are what it sums up."""
    near: list[Reading] = []
    far: list[Reading] = []
    for call in recent.within(node):
        if call.reading is not None:
            (near if call.carrier.trace_id == node.trace_id else far).append(call.reading)
    if any(agree(each, reading) for each in (*near, *far)):
        return True
    return any(group and is_sum(reading, group) for group in (near, far, near + far))


def note_below(node: Node, call: Call) -> None:
    """Tell the spans above a copy that a call with usage stands below them."""
    if call.reading is None:
        return
    for above in node.line():
        if above.is_open:
            above.calls_below().add(call)
            break
    mark_above(node, call.call_type)


def mark_above(node: Node, call_type: str) -> None:
    """Note the type of a call on every span above; those above a noted one have it already."""
    mark_from(node.parent, call_type)


def mark_from(above: Node | None, call_type: str) -> None:
    """Note the type of a call on a span and all above it, as far as they do not have it."""
    while above is not None:
        if above.types_below is None:
            above.types_below = set()
        if call_type in above.types_below:
            break
        above.types_below.add(call_type)
        above = above.parent


def hand_on(node: Node) -> None:
    """Give the calls below an ended span to the next open one above, unless it is a boundary."""
    if node.bag is not None and not node.is_boundary:
        for above in node.line():
            if above.is_open:
                above.calls_below().take(node.bag)
                break
    node.bag = None
