# SPDX-License-Identifier: Apache-2.0
"""``spancost price``: what the calls in recorded traces cost."""

from __future__ import annotations

import argparse
import csv
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from spancost import money
from spancost.calls.kinds import Kind
from spancost.calls.settlement import DUPLICATE, ROLLUP
from spancost.cli.prices_in_force import add_pricing_arguments, pricer_of
from spancost.cli.source import Problems, add_source_arguments, read_and_replay
from spancost.cli.tables import clip, table, usd
from spancost.files.rows import row_of_call, row_of_span
from spancost.files.summary import KEYS, UNKNOWN, Summary, Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls.nodes import Call, Node
    from spancost.otlp import ReadCounts

_MAX_CELL: Final = 48

_DESCRIPTION: Final = """\
Find the LLM calls in recorded traces, count each once, price it at the rates of its day, and name
the agent that made it. Prints a table by agent and model, or one row a call.
"""
_EPILOG: Final = """\
A call that cannot be priced is never 0: it is listed with its reason. Costs are list-price estimates
in USD unless the provider itself reported one (cost_source "provider"), or a pricing file says what
you pay (rate_card "file:...").

Standard input is priced in a window of 1,000,000 spans; calls at its edge are flagged "window".

Exit status: 0, or 1 where part of the input could not be read (it is named on standard error, and
the rest is priced), 2 for a wrong command line or a pricing file that cannot be used.

examples:
  spancost price traces.jsonl
  spancost price --by agent,day traces-*.jsonl.gz
  spancost price --pricing our_prices.json --assume-default traces.jsonl
  spancost price --format jsonl traces.jsonl | jq -c 'select(.status == "unpriced")'
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "price",
        help="price the LLM calls in recorded traces",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source_arguments(parser)
    add_pricing_arguments(parser)
    parser.add_argument(
        "--format",
        choices=("table", "jsonl", "csv"),
        help="table (default): totals by --by; jsonl: one JSON object a call; csv: one row a call, "
        "or the totals where --by is given",
    )
    parser.add_argument(
        "--by",
        type=_keys,
        metavar="KEYS",
        help=f"what to total by, separated by commas (default: agent,model); any of {', '.join(KEYS)}",
    )
    parser.add_argument(
        "--csv", action="store_const", const="csv", dest="format", help="the same as --format csv"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="with jsonl or csv: also the spans that are copies of a call (with duplicate_of) or roll-ups",
    )
    parser.set_defaults(run=run)


def _keys(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    wrong = [name for name in names if name not in KEYS]
    if wrong:
        raise argparse.ArgumentTypeError(f"{', '.join(map(repr, wrong))} is none of {', '.join(KEYS)}")
    return names


def run(options: argparse.Namespace) -> int:
    """Price the files, and return the exit status."""
    problems = Problems(sys.stderr)
    form = options.format or "table"
    if form == "jsonl":
        _write_rows(options, problems, _jsonl_writer())
    elif form == "csv" and options.by is None:
        _write_rows(options, problems, _csv_writer())
    else:
        summary = Summary(options.by or ("agent", "model"))
        counts, _ = read_and_replay(options, pricer_of(options), problems, summary.add)
        if form == "csv":
            _print_csv(summary)
        else:
            _print_table(summary, counts)
    problems.close()
    return 1 if problems.count else 0


def _write_rows(
    options: argparse.Namespace, problems: Problems, write: Callable[[dict[str, Any]], None]
) -> None:
    """Write a row a call as they are settled, and with ``--all`` the other spans at the end."""
    others: list[Node] = []

    def emit(call: Call) -> None:
        write(row_of_call(call))

    def keep(node: Node) -> None:
        if node.facts.reading is not None or node.facts.kind is Kind.CALL:
            others.append(node)

    read_and_replay(options, pricer_of(options), problems, emit, keep if options.all else None)
    for node in others:  # what a span was is certain only when everything is settled
        if node.outcome in (DUPLICATE, ROLLUP):
            write(row_of_span(node))


def _jsonl_writer() -> Callable[[dict[str, Any]], None]:
    encode = msgspec.json.Encoder().encode
    out = sys.stdout.buffer

    def write(row: dict[str, Any]) -> None:
        out.write(encode(row) + b"\n")

    return write


def _csv_writer() -> Callable[[dict[str, Any]], None]:
    out = csv.writer(sys.stdout, lineterminator="\n")
    header: list[str] = []

    def write(row: dict[str, Any]) -> None:
        flat = _flat(row)
        if not header:
            header.extend(flat)
            out.writerow(header)
        out.writerow([flat[name] for name in header])

    return write


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with one column a number: nested objects get a prefix, lists a separator."""
    from spancost.cost import COST_PARTS  # noqa: PLC0415 - only csv needs it
    from spancost.files.rows import USAGE_FIELDS  # noqa: PLC0415 - as above

    usage = row.pop("usage") or {}
    parts = row.pop("cost_parts") or {}
    flags = row.pop("flags")
    flat = {name: "" if value is None else _safe(value) for name, value in row.items()}
    flat |= {f"usage_{name}": usage.get(name, "") for name in USAGE_FIELDS}
    flat |= {f"cost_{name}_usd": parts.get(name, "") for name in COST_PARTS}
    return flat | {"flags": " ".join(flags)}


def _safe(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: names come from spans, so from anybody."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


_NUMBERS: Final = ("calls", "unpriced", "failed", "input", "cache read", "cache write", "output", "USD")


def _cells(totals: Totals, amount: str) -> list[str]:
    unpriced = sum(totals.unpriced.values())
    counts = (
        totals.calls,
        unpriced,
        totals.failed,
        totals.input,
        totals.cache_read,
        totals.cache_write,
        totals.output,
    )
    return [*(f"{n:,}" if n else "-" for n in counts), amount]


def _amount(totals: Totals) -> str:
    priced = totals.calls - totals.failed - sum(totals.unpriced.values())
    return usd(totals.femto) if priced else "-"


def _print_table(summary: Summary, counts: ReadCounts) -> None:
    rows = [
        [*(clip(name, _MAX_CELL) for name in key), *_cells(totals, _amount(totals))]
        for key, totals in summary.rows()
    ]
    if not rows:
        print(f"no LLM calls in {counts.spans:,} spans")
        return
    footer = ["total", *[""] * (len(summary.by) - 1), *_cells(summary.total, _amount(summary.total))]
    print(table([*summary.by, *_NUMBERS], rows, len(_NUMBERS), footer))
    for note in _notes(summary):
        print(note)


def _notes(summary: Summary) -> list[str]:
    """Return what a reader of the total must know."""
    notes = []
    total = summary.total
    if summary.unpriced_models:
        notes.append("")
        notes.append("unpriced calls (not in the USD column; never counted as 0):")
        for (reason, provider, model), count in summary.unpriced_models.most_common(10):
            notes.append(f"  {count:,} x {reason}: {clip(provider, 30)} {clip(model, 60)}")
        if len(summary.unpriced_models) > 10:
            notes.append(f"  and {len(summary.unpriced_models) - 10} more kinds")
    if total.flags:
        notes.append("")
        for flag, count in sorted(total.flags.items()):
            notes.append(f"{count:,} x {flag}: {FLAGS.get(flag, '')}")
    if total.calls and "agent" in summary.by:
        nobody = sum(t.calls for key, t in summary.rows() if key[summary.by.index("agent")] == UNKNOWN)
        if nobody * 5 > total.calls:
            notes.append("")
            notes.append(
                f"{nobody:,} of {total.calls:,} calls name no agent: no span above them does. "
                "See `spancost explain`."
            )
    return notes


FLAGS: Final = {
    "aggregated": "an agent's total without calls below it; no long-context rates are applied",
    "assumed": "priced at the default rate",
    "cached_response": "answered from a response cache; costs nothing",
    "estimated": "the usage was made up by a library, not sent by the provider",
    "partial": "a cut stream; its usage is a lower bound",
    "suspect": "the spans contradict each other or their own numbers; see `spancost explain`",
    "tier_assumed": "an unknown service tier was priced at ordinary rates",
    "window": "standard input was cut here; copies or agents beyond the cut are not known",
}
"""What each flag on a call means, in a few words."""


def _print_csv(summary: Summary) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(
        [
            *summary.by,
            "calls",
            "unpriced_calls",
            "failed_calls",
            "input_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "output_tokens",
            "reasoning_tokens",
            "cost_usd",
        ]
    )
    for key, totals in summary.rows():
        out.writerow(
            [
                *map(_safe, key),
                totals.calls,
                sum(totals.unpriced.values()),
                totals.failed,
                totals.input,
                totals.cache_read,
                totals.cache_write,
                totals.output,
                totals.reasoning,
                money.to_text(totals.femto) if _amount(totals) != "-" else "",
            ]
        )
