# SPDX-License-Identifier: Apache-2.0
"""One meter per registry, however many processors there are (design 5.14)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from prometheus_client import REGISTRY, CollectorRegistry

from spancost.meter.core import DEFAULT_MAX_LABEL_SETS, DEFAULT_MAX_LABEL_VALUES, Meter

if TYPE_CHECKING:
    from collections.abc import Sequence

_ATTRIBUTE: Final = "_spancost_meter"
"""Where a registry keeps its meter: on itself, so that it outlives a reload of this module."""

_LOCK: Final = threading.Lock()


def shared_meter(
    *,
    extra_labels: Sequence[str] = (),
    max_label_values: int = DEFAULT_MAX_LABEL_VALUES,
    max_label_sets: int = DEFAULT_MAX_LABEL_SETS,
    registry: CollectorRegistry | None = None,
) -> Meter:
    """
    Return the meter of a registry, made and registered at the first call.

    Args:
        extra_labels: As for `Meter`, and so are the others.
        max_label_values: See there.
        max_label_sets: See there.
        registry: The registry; None for the default one of `prometheus_client`.

    Raises:
        ValueError: The registry's meter was made with other settings, or `Meter` refuses these.
    """
    home = REGISTRY if registry is None else registry
    wanted = (tuple(extra_labels), max_label_values, max_label_sets)
    with _LOCK:
        meter: Meter | None = vars(home).get(_ATTRIBUTE)
        if meter is None:
            meter = Meter(
                extra_labels=extra_labels,
                max_label_values=max_label_values,
                max_label_sets=max_label_sets,
                registry=home,
            )
            vars(home)[_ATTRIBUTE] = meter
    settings = (meter.extra_labels, meter.max_label_values, meter.max_label_sets)
    if settings != wanted:
        raise ValueError(
            "this process has a meter already, and its series cannot change: "
            f"it has (extra labels, values per label, label sets) = {settings}, not {wanted}"
        )
    return meter
