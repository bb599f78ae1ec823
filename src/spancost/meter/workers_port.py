# SPDX-License-Identifier: Apache-2.0
"""One port for a group of workers: one serves it, the next one takes over when that one dies."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spancost._env import METRICS_ADDR, METRICS_PORT, WORKERS_DIR, whole_number
from spancost._fork import renew_each_after_fork
from spancost.meter.serving import MetricsServer, serve_metrics
from spancost.meter.workers import Group, join

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from spancost.meter.core import Meter

TICK_S: Final = 1.0
"""How often a worker looks whether the port is free, and whoever serves it, whether workers have died."""

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the folder made in it is checked
_log: Final = logging.getLogger("spancost")


class SharedPort:
    """
    Serves a group's metrics as long as this worker lives and no other does.

    Args:
        meter: This worker's meter.
        group: Its membership.
        port: Where to listen, in whichever worker; 0 cannot be shared.
        addr: The address to listen on.
        registry: What to serve; None for the default registry of `prometheus_client`.
    """

    def __init__(
        self,
        meter: Meter,
        group: Group,
        port: int,
        addr: str = "127.0.0.1",
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._meter = meter
        self._group = group
        self._port = port
        self._addr = addr
        self._registry = registry
        self._lock: int | None = None
        self._server: MetricsServer | None = None
        self._problem = ""
        group.entered = self.start  # in a forked child, once it has joined
        _PORTS.add(self)
        self._tick()
        self.start()

    def start(self) -> None:
        """Begin to look after the port."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spancost-workers", daemon=True)
        self._thread.start()

    @property
    def serves(self) -> bool:
        """Whether it is this worker that serves the port."""
        return self._server is not None

    def close(self) -> None:
        """Leave the port to another worker."""
        self._stop.set()
        self._thread.join()
        if self._server is not None:
            self._server.close()
            self._server = None
        self._let_go()

    def left_in_fork(self) -> None:
        """Leave the port to the parent; a child that kept it open would keep others from taking over."""
        if self._server is not None:
            self._server.left_in_fork()
            self._server = None
        self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            self._tick()

    def _tick(self) -> None:
        try:
            if self._server is None and self._is_first():
                self._server = serve_metrics(self._port, self._addr, registry=self._registry)
            if self._server is not None:
                self._group.fold()
            self._meter.tell_pending()
        except (OSError, ValueError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                what = "/metrics is not served" if self._server is None else "the sums of /metrics are behind"
                _log.error("spancost: %s: %s", what, error)

    def _is_first(self) -> bool:
        """Tell whether no other living worker serves the port, or is about to."""
        if self._lock is not None:
            return True
        handle = os.open(self._group.folder / f"port-{self._port}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._lock = handle
        return True


def start_from_environment(meter: Meter) -> None:
    """
    Do what the environment says of the metrics of this process: its group, and the port to serve.

    ``SPANCOST_METRICS_PORT`` serves the metrics there, as one with all processes of this user that
    have the same port; ``SPANCOST_WORKERS_DIR`` makes the group where processes serve the metrics by
    themselves. What fails is logged, and serves nothing: half a sum would be worse than none.

    Raises:
        ValueError: The port is no number.
    """
    port = whole_number(METRICS_PORT, 0)
    folder = os.environ.get(WORKERS_DIR, "").strip()
    if meter.gate.store is not None or not (port or folder):
        return
    try:
        group = join(meter, Path(folder) if folder else folder_of(port))
        if port:
            SharedPort(meter, group, port, os.environ.get(METRICS_ADDR, "").strip() or "127.0.0.1")
    except (OSError, ValueError) as error:
        _log.error("spancost: the metrics of this process are not served: %s", error)


def folder_of(port: int) -> Path:
    """Return the folder of the group that shares a port: in memory, where the system has such a place."""
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    return memory / f"spancost-{os.geteuid()}-{port}"


_PORTS: Final[weakref.WeakSet[SharedPort]] = weakref.WeakSet()


renew_each_after_fork(_PORTS, SharedPort.left_in_fork)
