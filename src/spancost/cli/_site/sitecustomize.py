# SPDX-License-Identifier: Apache-2.0
"""
Imported by Python itself at the start of a program that ``spancost run`` started.

It starts the meter and then gives way to the sitecustomize that would have been found without it.
Nothing here may stop the program.
"""

import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _next_sitecustomize() -> None:
    """Run the sitecustomize that ours hides."""
    path = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _start() -> None:
    try:
        from spancost.instrumentor.journal import start

        start()
    except Exception as error:  # noqa: BLE001 - the program comes first
        sys.stderr.write(f"spancost: the program runs unmetered: {type(error).__name__}: {error}\n")


_start()
_next_sitecustomize()
