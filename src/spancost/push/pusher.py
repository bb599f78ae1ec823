# SPDX-License-Identifier: Apache-2.0
"""The thread that pushes: now and then, when somebody asks, and at the end of the process."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.util import Finalize, register_after_fork
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context
from opentelemetry.sdk.metrics.export import MetricExportResult

from spancost._fork import renew_each_after_fork
from spancost.push.exporters import Resources
from spancost.push.points import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource

    from spancost.meter import Meter

EXIT_LIMIT_S: Final = 5.0
"""How long the end of the process waits for the last push at most."""

FAILED: Final = "otlp_push"
"""The cause under which pushes that failed are in ``spancost_internal_errors_total``."""

_INTERVAL: Final = ("OTEL_METRIC_EXPORT_INTERVAL", 60_000)
_TIMEOUT: Final = ("OTEL_METRIC_EXPORT_TIMEOUT", 30_000)
_log: Final = logging.getLogger("spancost")


class Pusher:
    """
    Pushes the series of a meter, cumulative since the birth of each, from a thread of its own.

    A push that fails loses nothing: the next one carries the same counters, grown. It is counted and the
    first in a row is logged. Nothing raises into the program, and nothing makes it wait but `force_flush`
    and the end of the process, both for a bounded time.

    A forked child pushes its own counts under a ``service.instance.id`` of its own, with an exporter of
    its own.

    Args:
        meter: What is pushed.
        make_exporter: Makes the exporter, on the thread, when it is needed first.
        interval_s: Seconds between two pushes; None for ``OTEL_METRIC_EXPORT_INTERVAL``, 60 s.
        timeout_s: Seconds that one may take; None for ``OTEL_METRIC_EXPORT_TIMEOUT``, 30 s.
        resource: What to say of the process; None for what the environment says.

    Raises:
        ValueError: One of the variables is no number of milliseconds above 0.
    """

    def __init__(
        self,
        meter: Meter,
        make_exporter: Callable[[], MetricExporter],
        *,
        interval_s: float | None = None,
        timeout_s: float | None = None,
        resource: Resource | None = None,
    ) -> None:
        self._meter = meter
        self._make_exporter = make_exporter
        self._interval_s = _seconds(*_INTERVAL) if interval_s is None else interval_s
        self._timeout_s = _seconds(*_TIMEOUT) if timeout_s is None else timeout_s
        self._resources = Resources(resource)
        self._parents_exporters: list[MetricExporter] = []
        self._exporter: MetricExporter | None = None
        self._closed = False
        self._start()
        _PUSHERS.add(self)
        atexit.register(self.force_flush, EXIT_LIMIT_S * 1e3)
        # A worker of `multiprocessing` ends without that, and forgets what was to be done at its fork.
        register_after_fork(self, Pusher._flush_at_end_of_worker)
        if parent_process() is not None:
            self._flush_at_end_of_worker()

    def _start(self) -> None:
        self._changed = threading.Condition()
        self._asked = 0
        self._done = 0
        self._succeeded = True
        self._thread = threading.Thread(target=self._run, name="spancost-push", daemon=True)
        self._thread.start()

    def _flush_at_end_of_worker(self) -> None:
        Finalize(None, self.force_flush, args=(EXIT_LIMIT_S * 1e3,), exitpriority=0)

    def _forked(self) -> None:
        """Begin anew in a child."""
        if self._exporter is not None:
            # Not closed, nor let go of: its connection and its locks are the parent's.
            self._parents_exporters.append(self._exporter)
            self._exporter = None
        self._resources.renew()
        if not self._closed:
            self._start()

    # --- for the program --------------------------------------------------------------------------

    def force_flush(self, timeout_millis: float = 30_000) -> bool:
        """
        Push now; True once it has arrived, False if it failed or takes longer than *timeout_millis*.

        Where a function is frozen between two requests, call it at the end of each.
        """
        with self._changed:
            if self._closed:
                return False
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            arrived = self._changed.wait_for(lambda: self._done >= mine, timeout_millis / 1e3)
            return arrived and self._succeeded

    def shutdown(self, timeout_millis: float = 30_000) -> bool:
        """Push once more and end; what is counted from now on is not pushed."""
        arrived = self.force_flush(timeout_millis)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        atexit.unregister(self.force_flush)
        return arrived

    # --- on the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        due = time.monotonic() + self._interval_s
        while True:
            with self._changed:
                self._changed.wait_for(self._is_wanted, max(0.0, due - time.monotonic()))
                if self._closed:
                    break
                asked = self._asked
            succeeded = self._push()
            if self._succeeded and not succeeded:
                _log.warning(
                    "spancost could not push its metrics; it goes on trying. No count is lost while the "
                    "process lives, for each push carries all. Further failures are only counted "
                    "(spancost_internal_errors_total, cause %s).",
                    FAILED,
                )
            with self._changed:
                self._done, self._succeeded = asked, succeeded
                self._changed.notify_all()
            due = time.monotonic() + self._interval_s
        if self._exporter is not None:
            self._exporter.shutdown()

    def _is_wanted(self) -> bool:
        return self._closed or self._asked > self._done

    def _push(self) -> bool:
        try:
            with _uninstrumented():
                succeeded = self._send_all()
        except Exception:  # noqa: BLE001 - whatever an exporter raises: the next push carries the same
            _log.debug("a push of the metrics failed", exc_info=True)
            succeeded = False
        if not succeeded:
            self._meter.internal_error(FAILED)
        return succeeded

    def _send_all(self) -> bool:
        """Send every message of a snapshot; stop at the first that fails, or when there is no time left."""
        if self._exporter is None:
            self._exporter = self._make_exporter()
        limit = time.monotonic() + self._timeout_s
        for message in messages(self._meter.own_snapshot(), self._resources.of):
            left = limit - time.monotonic()
            if left <= 0:
                return False
            result = self._exporter.export(message, timeout_millis=left * 1e3)
            if result is not MetricExportResult.SUCCESS:
                return False
        return True


@contextmanager
def _uninstrumented() -> Iterator[None]:
    """Keep instrumentations of HTTP and gRPC clients from making spans of our own requests."""
    context = otel_context.get_current()
    for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"):
        if key := getattr(otel_context, name, None):
            context = otel_context.set_value(key, True, context)  # noqa: FBT003 - a value
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


def _seconds(variable: str, default_ms: int) -> float:
    """Return an interval that the environment gives in milliseconds."""
    text = os.environ.get(variable, "").strip()
    try:
        milliseconds = float(text) if text else float(default_ms)
    except ValueError:
        milliseconds = 0.0
    if not 0 < milliseconds < float("inf"):
        raise ValueError(f"{variable} must be a number of milliseconds above 0, not {text!r}")
    return milliseconds / 1e3


_PUSHERS: Final[weakref.WeakSet[Pusher]] = weakref.WeakSet()


renew_each_after_fork(_PUSHERS, lambda pusher: pusher._forked())  # noqa: SLF001 - of this module
