# SPDX-License-Identifier: Apache-2.0
"""The metrics endpoint as an application to mount in a program's own web server: WSGI and ASGI."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from spancost.meter.endpoint import Answer, Endpoint, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping

    from prometheus_client import CollectorRegistry

    from spancost.meter.auth import Credentials

Scope: TypeAlias = "MutableMapping[str, Any]"
Message: TypeAlias = "MutableMapping[str, Any]"


def metrics_wsgi_app(
    *, registry: CollectorRegistry | None = None, auth: Credentials | None = None
) -> MetricsWsgiApp:
    """
    Return the endpoint of `serve_metrics` as a WSGI application.

    The metrics are at the place where it is mounted, and at ``/metrics`` below it.

    Args:
        registry: As for `serve_metrics`, and so is *auth*.
        auth: See there.

    Raises:
        ValueError: The credentials cannot be sent or read.
    """
    return MetricsWsgiApp(Endpoint(registry, auth, mounted=True))


def metrics_asgi_app(
    *, registry: CollectorRegistry | None = None, auth: Credentials | None = None
) -> MetricsAsgiApp:
    """
    Return the endpoint of `serve_metrics` as an ASGI application.

    The metrics are at the place where it is mounted, and at ``/metrics`` below it. They are
    written in a thread, so that the event loop goes on.

    Args:
        registry: As for `serve_metrics`, and so is *auth*.
        auth: See there.

    Raises:
        ValueError: The credentials cannot be sent or read.
    """
    return MetricsAsgiApp(Endpoint(registry, auth, mounted=True))


class MetricsWsgiApp:
    """
    A WSGI application.

    Args:
        endpoint: What answers.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __call__(
        self, environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
    ) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._endpoint.answer(
            Request(
                environ["REQUEST_METHOD"],
                environ.get("PATH_INFO", ""),
                environ.get("QUERY_STRING", ""),
                accept=environ.get("HTTP_ACCEPT", ""),
                accept_encoding=environ.get("HTTP_ACCEPT_ENCODING", ""),
                authorization=environ.get("HTTP_AUTHORIZATION", ""),
            )
        )
        start_response(f"{answer.status.value} {answer.status.phrase}", answer.headers)
        return answer.body


class MetricsAsgiApp:
    """
    An ASGI application.

    Args:
        endpoint: What answers.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request, or what the server says when it starts and stops."""
        if scope["type"] == "http":
            await self._answer(scope, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await receive()
            await send({"type": "websocket.close"})

    async def _answer(self, scope: Scope, send: Callable[[Message], Awaitable[None]]) -> None:
        headers: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            text = value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        request = Request(
            scope["method"],
            _path(scope),
            scope.get("query_string", b"").decode("latin-1"),
            accept=headers.get(b"accept", ""),
            accept_encoding=headers.get(b"accept-encoding", ""),
            authorization=headers.get(b"authorization", ""),
        )
        answer: Answer = await asyncio.to_thread(self._endpoint.answer, request)
        await send(
            {
                "type": "http.response.start",
                "status": answer.status.value,
                "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in answer.headers],
            }
        )
        while (piece := await asyncio.to_thread(next, answer.body, None)) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _path(scope: Scope) -> str:
    """Return the path below the mount: servers and frameworks differ in whether it holds the mount's own."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    below = path.removeprefix(root)
    return below if root and (not below or below.startswith("/")) else path


async def _live(
    receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Tell a server whose only application this is that it may start and stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
