# SPDX-License-Identifier: Apache-2.0
"""
The push of the meter's series over OTLP, for what nobody can scrape: serverless code, short jobs, Collectors.

`SPANCOST_OTLP_METRICS=true` switches it on; where to, how and how often are the standard variables
``OTEL_EXPORTER_OTLP_*`` and ``OTEL_METRIC_EXPORT_*``.

Why not OTel's instruments: ``add`` and ``record`` on each call cost 2.4 times the span itself, have no
place for an amount in integers, and fold what is beyond 2,000 label sets. So calls are counted in our
own cells, and what is pushed is made of a snapshot of them, as data points of the SDK for its exporters.
Why not its `PeriodicExportingMetricReader`: in a forked child it goes on with the exporter and the lock
of the parent, it does not tell of a push that failed, and at the exit it may wait half a minute.
"""

from __future__ import annotations

from spancost.push.exporters import otlp_exporter
from spancost.push.pusher import Pusher

__all__ = ["Pusher", "otlp_exporter"]
