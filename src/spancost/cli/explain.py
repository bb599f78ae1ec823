# SPDX-License-Identifier: Apache-2.0
"""``spancost explain``: what every span of a trace is to spancost, and why."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from spancost.cli.prices_in_force import add_pricing_arguments, pricer_of
from spancost.cli.source import Problems, add_source_arguments, read_and_replay
from spancost.cli.tables import clip, usd
from spancost.cost import Cost
from spancost.files.explanation import Explainer, explain_span

if TYPE_CHECKING:
    from spancost.calls.nodes import Node
    from spancost.calls.pricing import Pricer
    from spancost.files.explanation import Trace

DEFAULT_TRACES: Final = 20

_DESCRIPTION: Final = """\
Show the span trees of recorded traces with what each span is (a call, a copy of which call, a roll-up,
an agent, a tool, not ours), which rule decided, its usage, its agent and why, and its cost or why it
has none; and what to know about the instrumentations that wrote them.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "explain",
        help="show what every span of a trace is, and why",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source_arguments(parser)
    add_pricing_arguments(parser)
    parser.add_argument("--trace", metavar="ID", help="only the trace whose id begins so")
    parser.add_argument(
        "--limit",
        type=int,
        default=DEFAULT_TRACES,
        metavar="N",
        help=f"show at most N traces with something of ours in them (default: {DEFAULT_TRACES}; 0: all)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explain the files, and return the exit status."""
    problems = Problems(sys.stderr)
    explainer = Explainer(options.trace or "", options.limit or None)
    price = pricer_of(options)
    _, notes = read_and_replay(
        options, price, problems, explainer.take_call, explainer.take_span, keep_names=True
    )
    traces = explainer.traces()
    for trace in traces:
        print("\n".join(_trace(trace, price)))
        print()
    if not traces:
        sought = f"trace {options.trace!r}" if options.trace else "anything of ours"
        print(f"{sought} is not in the recording", file=sys.stderr)
    if explainer.left_out:
        print(f"{explainer.left_out:,} more traces; --limit 0 shows all, --trace ID one")
    if notes:
        print("about these instrumentations:")
        for scope, note in notes:
            print(f"  {scope}: {note}")
    problems.close()
    return 1 if problems.count or (options.trace and not traces) else 0


def _trace(trace: Trace, price: Pricer) -> list[str]:
    roots, children = trace.roots, trace.children
    carried = {
        id(n.call): n.call for n in _walk(roots, children) if n.call is not None and n.call.carrier is n
    }
    femto = sum(call.cost.femto for call in carried.values() if isinstance(call.cost, Cost))
    calls = "1 call" if len(carried) == 1 else f"{len(carried)} calls"
    lines = [f"trace {trace.trace_id}  {calls}  {usd(femto)} USD"]
    for i, root in enumerate(roots):
        _tree(root, children, lines, price, last=i == len(roots) - 1)
    return lines


def _walk(roots: list[Node], children: dict[int, list[Node]]) -> list[Node]:
    found, stack = [], list(roots)
    while stack:
        node = stack.pop()
        found.append(node)
        stack.extend(children.get(id(node), ()))
    return found


def _tree(
    root: Node, children: dict[int, list[Node]], lines: list[str], price: Pricer, *, last: bool
) -> None:
    """Draw a subtree; with a stack of its own, since traces can be deeper than Python's."""
    stack = [(root, "", last)]
    while stack:
        node, lead, is_last = stack.pop()
        below = children.get(id(node), [])
        head, *details = explain_span(node, price)
        name = clip(node.name or "(unnamed)", 60)
        lines.append(
            f"{lead}{'└─ ' if is_last else '├─ '}{name}  [{clip(node.scope or 'no scope', 50)}]  {head}"
        )
        deeper = lead + ("   " if is_last else "│  ")
        bar = "│  " if below else "   "
        lines.extend(f"{deeper}{bar}  {clip(detail, 150)}" for detail in details)
        stack.extend((child, deeper, i == 0) for i, child in enumerate(reversed(below)))
