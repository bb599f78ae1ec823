# SPDX-License-Identifier: Apache-2.0
"""
The sampler ``spancost`` as OpenTelemetry finds it by name.

    OTEL_TRACES_SAMPLER=spancost OTEL_TRACES_SAMPLER_ARG=parentbased_traceidratio,0.1,mode=all

The argument is the name of any sampler OpenTelemetry knows, what that one takes as its argument, and
our mode. YAML configurations hand samplers no arguments: there ``SPANCOST_SAMPLER`` has the same text.
"""

from __future__ import annotations

import difflib
import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, get_args

from opentelemetry.sdk.trace.sampling import Sampler

from spancost._env import SAMPLER
from spancost.sampler import CostSampler, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_ROOT: Final = "parentbased_always_on"
_GROUP: Final = "opentelemetry_traces_sampler"
_RATIOS: Final = ("traceidratio", "parentbased_traceidratio")
_OURS: Final = "spancost"


def sampler_of_environment(argument: str | None = None) -> CostSampler:
    """
    Make the sampler of ``OTEL_TRACES_SAMPLER=spancost``.

    Args:
        argument: ``ROOT[,ARGUMENT][,mode=MODE]``; without one ``parentbased_always_on``, which drops nothing
            but what a caller elsewhere decided to drop.

    Raises:
        ValueError: The text names no sampler or no mode, or the ratio is none.
    """
    return sampler_of(argument or "", "OTEL_TRACES_SAMPLER_ARG")


def sampler_of_yaml(argument: str | None = None) -> CostSampler:
    """
    Make the sampler ``spancost`` of a YAML configuration, which gives no arguments: ``SPANCOST_SAMPLER`` has them.

    Raises:
        ValueError: As for `sampler_of_environment`.
    """
    return sampler_of(argument or os.environ.get(SAMPLER, ""), SAMPLER)


def sampler_of(text: str, where: str) -> CostSampler:
    """
    Make a sampler from its text.

    Args:
        text: As for `sampler_of_environment`.
        where: The variable that has it, for messages.

    Raises:
        ValueError: As there.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    modes = [word.removeprefix("mode=") for word in words if word.startswith("mode=")]
    rest = [word for word in words if not word.startswith("mode=")]
    mode: Any = modes[-1] if modes else "all"
    problems = []
    if mode not in get_args(Mode):
        problems.append(f"mode is one of {', '.join(get_args(Mode))}, not {mode!r}")
    name = rest[0] if rest else DEFAULT_ROOT
    root: Sampler | None = None
    try:
        root = _root(name, ",".join(rest[1:]))
    except ValueError as error:
        problems.append(str(error))
    if problems or root is None:
        raise ValueError(f"{where}={text}: {'; '.join(problems)}")
    return CostSampler(root, mode)


def _root(name: str, argument: str) -> Sampler:
    found = [entry for entry in entry_points(group=_GROUP) if entry.name == name and name != _OURS]
    if not found:
        names = sorted({entry.name for entry in entry_points(group=_GROUP)} - {_OURS})
        raise ValueError(f"there is no sampler {name!r}{_near(name, names)}")
    made = found[0].load()(_ratio(argument) if name in _RATIOS else argument or None)
    if not isinstance(made, Sampler):
        raise ValueError(f"{name!r} is no sampler")  # noqa: TRY004 - the text is wrong, not a type
    return made


def _ratio(text: str) -> float:
    try:
        ratio = float(text) if text else 1.0
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ValueError(f"a ratio is a number from 0 to 1, not {text!r}")
    return ratio


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f", did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
