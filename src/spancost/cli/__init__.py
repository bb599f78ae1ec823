# SPDX-License-Identifier: Apache-2.0
"""The ``spancost`` command."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from spancost._version import __version__
from spancost.errors import SpancostError

if TYPE_CHECKING:
    from collections.abc import Sequence

OK: Final = 0
INCOMPLETE: Final = 1
"""The result is there, but parts of the input could not be read; standard error names them."""
USAGE: Final = 2
"""The command line cannot be; argparse's own status."""
INTERRUPTED: Final = 130
_BROKEN_PIPE: Final = 141


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from spancost.cli import explain, price, prices, run  # noqa: PLC0415 - what a verb needs is imported when it runs

    top = argparse.ArgumentParser(
        prog="spancost",
        description="Price OpenTelemetry GenAI spans: what every LLM call costs, and which agent made it.",
    )
    top.add_argument("--version", action="version", version=f"spancost {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    price.add_parser(verbs)
    explain.add_parser(verbs)
    run.add_parser(verbs)
    prices.add_parser(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    Args:
        arguments: The command line without the program's name; None takes the process's own.

    Returns:
        0, or 1 where parts of the input could not be read, 2 where the command line cannot be.
    """
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except SpancostError as error:
        print(f"spancost: {error}", file=sys.stderr)
        return INCOMPLETE
    return status
