# SPDX-License-Identifier: Apache-2.0
"""``spancost run -- python app.py``: run a program unchanged, and print what its LLM calls cost."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spancost import money
from spancost._env import JOURNAL, METRICS_PORT, is_disabled
from spancost.cli.prices_in_force import add_pricing_arguments, book_of, pricing_environment
from spancost.cli.tables import clip, table, usd
from spancost.files.summary import UNKNOWN, Totals
from spancost.prices.search import find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from typing_extensions import Self

_FORWARDED: Final = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT")
_SIGNALLED: Final = 128
_NOT_FOUND: Final = 127
_NOT_RUNNABLE: Final = 126
_MAX_CELL: Final = 48

_DESCRIPTION: Final = """\
Run a program as it is, meter its LLM calls, and print at its end, on standard error, what each agent
spent: agent, model, calls, tokens, USD. Signals and the exit status pass through.

Every installed OpenTelemetry instrumentation is switched on. Where the program has a TracerProvider
its spans go where they always went; where it has none they are only counted.
"""
_EPILOG: Final = """\
examples:
  spancost run -- python app.py
  spancost run --pricing our_prices.json -- python app.py
  spancost run --json costs.json -- pytest tests/agents
  SPANCOST_DISABLED=true spancost run -- python app.py     (runs it unmetered)
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "run",
        help="run a program and print what its LLM calls cost",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the calls and totals to FILE")
    parser.add_argument(
        "--metrics-port",
        type=_port,
        metavar="PORT",
        help="serve /metrics on 127.0.0.1 while the program runs",
    )
    add_pricing_arguments(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the program to run")
    parser.set_defaults(run=run, parser=parser)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Run the program and print its bill; return its exit status."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        options.parser.error("name the program to run: spancost run -- python app.py")
    if shutil.which(command[0]) is None:
        print(f"spancost: {command[0]}: command not found", file=sys.stderr)
        return _NOT_FOUND
    try:
        if is_disabled():
            return _wait(command, dict(os.environ))
        if options.pricing is not None or options.only_pricing or find() is not None:
            book_of(options)  # what is wrong with a pricing file is said before the program has run
        if options.json is not None:
            options.json.touch()  # what cannot be written is said before the program has run
        return _metered(command, options)
    except OSError as error:
        print(f"spancost: {error}", file=sys.stderr)
        return _NOT_RUNNABLE


def _metered(command: list[str], options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="spancost-", ignore_cleanup_errors=True) as folder:
        journal = Path(folder) / "calls.jsonl"
        journal.touch()
        status = _wait(command, _environment(journal, options))
        bill = Bill(journal)
    # The program's exit status passes through, whatever happens to its bill.
    with contextlib.suppress(OSError):
        print(bill.text(), file=sys.stderr, flush=True)
    if options.json is not None:
        try:
            options.json.write_text(json.dumps(bill.as_json(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            print(f"spancost: {error}", file=sys.stderr)
    return status


def _environment(journal: Path, options: argparse.Namespace) -> dict[str, str]:
    site = str(Path(__file__).parent / "_site")
    environment = dict(os.environ) | pricing_environment(options)
    before = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = site + (os.pathsep + before if before else "")
    environment[JOURNAL] = str(journal)
    if options.metrics_port is not None:
        environment[METRICS_PORT] = str(options.metrics_port)
    return environment


def _wait(command: list[str], environment: dict[str, str]) -> int:
    """Run the program to its end, and hand on the signals we get."""
    with _Signals() as signals:
        child = subprocess.Popen(command, env=environment)  # noqa: S603 - the user's own program
        signals.go_to(child)
        status = child.wait()
    return status if status >= 0 else _SIGNALLED - status


class _Signals:
    """
    Hands on the signals we get, from before the program starts until it ends.

    A terminal's Ctrl-C goes to the whole group: the program has it already, and we wait for what it
    does. Signals that are ignored (``nohup``, a job in the background) stay so for both of us.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Functions, not SIG_IGN: the program inherits what is ignored, and has the default otherwise.
        self._set(signal.SIGINT, lambda *_: None)
        for name in _FORWARDED:
            if hasattr(signal, name):
                self._set(getattr(signal, name), self._hand_on)
        return self

    def _set(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        if signal.getsignal(number) is not signal.SIG_IGN:
            self._before[number] = signal.signal(number, handler)

    def go_to(self, child: subprocess.Popen[bytes]) -> None:
        """Hand on to a program what came since, and what comes."""
        self._child = child
        while self._early:
            child.send_signal(self._early.pop(0))

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Bill:
    """
    What the calls of a program cost, from the journal it wrote.

    Args:
        journal: Rows of calls, and a last line of each process that ended by itself.
    """

    def __init__(self, journal: Path) -> None:
        self.calls: list[dict[str, Any]] = []
        self.total = Totals()
        self.instrumented: set[str] = set()
        self.imported: dict[str, str] = {}
        self._groups: dict[tuple[str, str], Totals] = {}
        self._ended: dict[int, bool] = {}
        for row in _lines(journal):
            if "pid" in row:
                self._ended[row["pid"]] = "imported" in row
                self.instrumented |= set(row.get("instrumented", ()))
                self.imported |= row.get("imported", {})
            else:
                self._add(row)

    def _add(self, row: dict[str, Any]) -> None:
        self.calls.append(row)
        key = (row["agent"] or UNKNOWN, row["model"] or UNKNOWN)
        for totals in (self._groups.setdefault(key, Totals()), self.total):
            usage = row["usage"] or {}
            totals.calls += 1
            totals.input += usage.get("input", 0)
            totals.cache_read += usage.get("cache_read", 0)
            totals.cache_write += usage.get("cache_write", 0)
            totals.output += usage.get("output", 0)
            totals.reasoning += usage.get("reasoning", 0)
            totals.flags = totals.flags + Counter(row["flags"])
            if row["cost_usd"] is not None:
                totals.femto += money.from_usd(Decimal(row["cost_usd"]))
            elif row["status"] == "failed":
                totals.failed += 1
            else:
                totals.unpriced[row["reason"]] += 1

    def text(self) -> str:
        """Return the bill for people."""
        if not self.calls:
            return f"\nspancost: no LLM call was metered.\n{self._advice()}"
        groups = sorted(self._groups.items(), key=lambda item: (-item[1].femto, item[0]))
        rows = [[clip(agent, _MAX_CELL), clip(model, _MAX_CELL), *_cells(t)] for (agent, model), t in groups]
        header = ("agent", "model", "calls", "input", "cached", "output", "USD")
        lines = ["", table(header, rows, len(header) - 2, ["total", "", *_cells(self.total)])]
        unpriced = ", ".join(f"{n} {reason}" for reason, n in self.total.unpriced.items())
        if unpriced:
            lines.append(f"not priced (and not in the USD column): {unpriced}")
        if self.total.failed:
            lines.append(f"failed without usage: {self.total.failed}")
        return "\n".join(lines)

    def _advice(self) -> str:
        if not self._ended:
            return (
                "No Python process that spancost is installed for was started: the program is not written in\n"
                "Python, uses another environment, or was started with -I, -E or -S."
            )
        lines = []
        if self.imported:
            lines.append("To see the calls of what it imported, install:")
            packages = sorted(self.imported.items())
            lines += [f"  pip install {package}    (for {module})" for module, package in packages]
        if self.instrumented:
            lines.append(f"Switched on, and silent: {', '.join(sorted(self.instrumented))}")
        if not all(self._ended.values()):
            lines.append("A process of it was killed, or is running still: what it imported is not known.")
        return "\n".join(lines) or (
            "The program imported no LLM library that spancost knows an instrumentation for."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the bill with every digit: totals by agent and model, and all calls."""
        groups = [
            {"agent": _or_null(agent), "model": _or_null(model), **_numbers(totals)}
            for (agent, model), totals in self._groups.items()
        ]
        return {"total": _numbers(self.total), "by_agent_and_model": groups, "calls": self.calls}


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    with journal.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                continue  # a process was killed in the middle of its last write


def _or_null(name: str) -> str | None:
    return None if name == UNKNOWN else name


def _cells(totals: Totals) -> list[str]:
    priced = totals.calls - totals.failed - sum(totals.unpriced.values())
    counts = (totals.calls, totals.input, totals.cache_read, totals.output)
    return [*(f"{n:,}" if n else "-" for n in counts), usd(totals.femto) if priced else "-"]


def _numbers(totals: Totals) -> dict[str, Any]:
    return {
        "calls": totals.calls,
        "unpriced_calls": sum(totals.unpriced.values()),
        "failed_calls": totals.failed,
        "input_tokens": totals.input,
        "cache_read_tokens": totals.cache_read,
        "cache_write_tokens": totals.cache_write,
        "output_tokens": totals.output,
        "reasoning_tokens": totals.reasoning,
        "cost_usd": money.to_text(totals.femto),
    }
