# SPDX-License-Identifier: Apache-2.0
"""The built-in endpoint: /metrics of a registry over HTTP, for a Prometheus server to scrape."""

from __future__ import annotations

import errno
import http.server
import ipaddress
import logging
import socket
import socketserver
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from spancost.meter.endpoint import METRICS, Answer, Endpoint, Request

if TYPE_CHECKING:
    from types import TracebackType

    from prometheus_client import CollectorRegistry
    from typing_extensions import Self

    from spancost.meter.auth import Credentials

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
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{METRICS}"

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
    port: int,
    addr: str = "127.0.0.1",
    *,
    registry: CollectorRegistry | None = None,
    auth: Credentials | None = None,
) -> MetricsServer:
    """
    Serve the metrics of this process at ``/metrics``, from a thread of its own.

    It serves everything in the registry of `prometheus_client`: ours and the program's own
    metrics. ``/-/healthy`` answers while the process does, to everybody.

    Args:
        port: Where to listen; 0 for any free port, which `MetricsServer.port` then tells.
        addr: The address to listen on. Others than this machine's own can read what your agents
            spend from ``0.0.0.0``; without `auth` that is logged as a warning.
        registry: What to serve; None for the default registry.
        auth: What a client must show: a bearer token, or a pair of name and password for basic
            authentication. None for what ``SPANCOST_METRICS_TOKEN`` or ``SPANCOST_METRICS_LOGIN``
            says; where neither is set, everybody who reaches the port may read. Nothing is
            encrypted: across networks, put a proxy with TLS in front.

    Raises:
        OSError: Nobody can listen there, for instance because the port is taken; it is named.
        ValueError: The port is not from 0 to 65535, or the credentials cannot be sent or read.
    """
    if not 0 <= port <= 65_535:
        raise ValueError(f"a port is a number from 0 to 65535, not {port}")
    endpoint = Endpoint(registry, auth)
    try:
        server = MetricsServer(_Server(addr, port, endpoint))
    except OSError as error:
        why = f"cannot serve metrics on {addr} port {port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            why += "; choose another port, or 0 for any free one"
        raise OSError(error.errno, why) from error
    if endpoint.is_open and not _is_local(addr):
        _LOGGER.warning(
            "everybody who reaches %s port %d can read what your agents spend: "
            "pass auth= or set SPANCOST_METRICS_TOKEN, or listen on 127.0.0.1",
            addr or "0.0.0.0",  # noqa: S104 - this is what an empty address means
            server.port,
        )
    return server


def _is_local(addr: str) -> bool:
    try:
        return ipaddress.ip_address(addr).is_loopback
    except ValueError:
        return addr == "localhost"


class _Server(socketserver.ThreadingTCPServer):
    """Listens, and cuts connections that take too long."""

    # `HTTPServer` would ask the DNS for its own name.
    allow_reuse_address = sys.platform != "win32"  # there it would let two programs share a port
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, addr: str, port: int, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
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
    """Answers one request, so that each has its own connection and limit."""

    server: _Server
    server_version = "spancost"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    error_content_type = _PLAIN
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """Answer."""
        path, _, query = self.path.partition("?")
        request = Request(
            self.command,
            path,
            query,
            accept=self._header("Accept"),
            accept_encoding=self._header("Accept-Encoding"),
            authorization=self._header("Authorization"),
        )
        self._send(self.server.endpoint.answer(request))

    # The endpoint says which methods it knows.
    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - names of the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Log no request of every few seconds."""

    def _header(self, name: str) -> str:
        return ", ".join(self.headers.get_all(name, []))

    def _send(self, answer: Answer) -> None:
        """
        Send an answer.

        One whose length is not known comes in chunks, so that a client can tell when it was cut; an
        old client that knows no chunks gets it as a whole.
        """
        headers, body = answer.headers, answer.body
        chunked = not any(name == "Content-Length" for name, _ in headers)
        if chunked and self.request_version != self.protocol_version:
            whole = b"".join(body)
            headers, body, chunked = [*headers, ("Content-Length", str(len(whole)))], iter([whole]), False
        self.send_response(answer.status)
        for name, value in headers:
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in body:
            if chunked and piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                self.wfile.write(piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
