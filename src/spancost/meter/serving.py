# SPDX-License-Identifier: Apache-2.0
"""The built-in endpoint: /metrics of a registry over HTTP, for a Prometheus server to scrape."""

from __future__ import annotations

import errno
import gzip
import http.server
import logging
import socket
import socketserver
import sys
import threading
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

REQUEST_LIMIT_S: Final = 30.0
"""A connection that takes longer, for whatever reason, is cut: a scrape takes milliseconds."""

MAX_CONNECTIONS: Final = 32
"""When one more comes, the oldest is cut: among silent clients that is one of them, never the newest scrape."""

_TICK_S: Final = 0.5
_PLAIN: Final = "text/plain; charset=utf-8"
_LOGGER: Final = logging.getLogger("spancost")


class MetricsServer:
    """
    A running endpoint; it ends with `close`, as a context manager, or with the process.

    Args:
        server: The listening server.
    """

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_TICK_S,), name="spancost-metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on, also when any free one was asked for."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = str(self._server.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/metrics"

    def close(self) -> None:
        """Stop listening and cut what is open; a second call does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.cut_older_than(0)

    def left_in_fork(self) -> None:
        """Let go of the port in a forked child, where no thread serves it: it is the parent's."""
        self._server.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve_metrics(
    port: int, addr: str = "127.0.0.1", *, registry: CollectorRegistry | None = None
) -> MetricsServer:
    """
    Serve the metrics of this process at ``/metrics``, from a thread of its own.

    It serves everything in the registry of `prometheus_client`: ours and the program's own
    metrics. ``/-/healthy`` answers while the process does.

    Args:
        port: Where to listen; 0 for any free port, which `MetricsServer.port` then tells.
        addr: The address to listen on. Others than this machine's own can read what your agents
            spend from ``0.0.0.0``.
        registry: What to serve; None for the default registry.

    Raises:
        OSError: Nobody can listen there, for instance because the port is taken; it is named.
        ValueError: The port is not from 0 to 65535.
    """
    if not 0 <= port <= 65_535:
        raise ValueError(f"a port is a number from 0 to 65535, not {port}")
    try:
        return MetricsServer(_Server(addr, port, REGISTRY if registry is None else registry))
    except OSError as error:
        why = f"cannot serve metrics on {addr} port {port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            why += "; choose another port, or 0 for any free one"
        raise OSError(error.errno, why) from error


class _Server(socketserver.ThreadingTCPServer):
    """Listens, and cuts connections that take too long."""

    # `HTTPServer` would ask the DNS for its own name.
    allow_reuse_address = sys.platform != "win32"  # there it would let two programs share a port
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, addr: str, port: int, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.address_family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        self._open: dict[socket.socket, float] = {}
        self._open_lock = threading.Lock()
        super().__init__((addr, port), _Handler)

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Handle a connection in a thread, after making room for it."""
        if isinstance(request, socket.socket):
            with self._open_lock:
                oldest = next(iter(self._open), None) if len(self._open) >= MAX_CONNECTIONS else None
                self._open[request] = time.monotonic()
            if oldest is not None:
                self._cut(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Forget and close a connection."""
        if isinstance(request, socket.socket):
            with self._open_lock:
                self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut what takes too long: silent clients, and those that send or read drop by drop."""
        self.cut_older_than(REQUEST_LIMIT_S)

    def cut_older_than(self, seconds: float) -> None:
        """Cut the connections that have been open for longer."""
        limit = time.monotonic() - seconds
        with self._open_lock:
            late = [connection for connection, since in self._open.items() if since <= limit]
        for connection in late:
            self._cut(connection)

    def _cut(self, connection: socket.socket) -> None:
        """End a connection under the thread that waits for it, which then closes it."""
        with self._open_lock:
            self._open.pop(connection, None)
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                _LOGGER.debug("a connection to the metrics ended by itself")

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's
        """Log what went wrong: clients that leave are ordinary, a collector that raises is not."""
        error = sys.exc_info()[1]
        level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
        _LOGGER.log(level, "a request for metrics from %s failed", client_address, exc_info=error)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request; HTTP 1.0, so that each has its own connection and limit."""

    server: _Server
    server_version = "spancost"
    sys_version = ""
    error_content_type = _PLAIN
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """Answer."""
        path, _, query = self.path.partition("?")
        if path == "/metrics":
            self._send_metrics(parse_qs(query).get("name[]"))
        elif path == "/-/healthy":
            self._send(200, _PLAIN, b"spancost is healthy\n")
        else:
            self._send(404, _PLAIN, b"Nothing is here. The metrics are at /metrics.\n")

    do_HEAD = do_GET  # noqa: N815 - as above

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Log no request of every few seconds."""

    def _send_metrics(self, only: list[str] | None) -> None:
        encode, content_type = choose_encoder(", ".join(self.headers.get_all("Accept", [])))
        registry = self.server.registry
        body = encode(registry.restricted_registry(only) if only else registry)
        headers = {"Vary": "Accept, Accept-Encoding"}
        if gzip_accepted(self.headers.get("Accept-Encoding", "")):
            # The fastest level: the text repeats itself, and the app shares this processor.
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        self._send(200, content_type, body, headers)

    def _send(
        self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
