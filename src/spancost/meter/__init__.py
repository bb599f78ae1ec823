# SPDX-License-Identifier: Apache-2.0
"""
The meter: the Prometheus series of a process.

`Meter.record` takes each settled call once; `shared_meter` gives the one meter that a Prometheus
registry exposes; `serve_metrics` serves a registry over HTTP.
"""

from __future__ import annotations

from spancost.meter.core import DEFAULT_MAX_LABEL_SETS, DEFAULT_MAX_LABEL_VALUES, Meter
from spancost.meter.metered import MeteredCall
from spancost.meter.shared import shared_meter

__all__ = ["DEFAULT_MAX_LABEL_SETS", "DEFAULT_MAX_LABEL_VALUES", "Meter", "MeteredCall", "shared_meter"]
