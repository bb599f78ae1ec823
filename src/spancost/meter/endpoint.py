# SPDX-License-Identifier: Apache-2.0
"""What the metrics endpoint answers, whatever carries the request: our server, WSGI or ASGI."""

from __future__ import annotations

import logging
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qs

from prometheus_client import REGISTRY

from spancost.meter.auth import Credentials, auth_of
from spancost.meter.exposition import Document, accepts_gzip, choose_format, packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import CollectorRegistry

METRICS: Final = "/metrics"
HEALTHY: Final = "/-/healthy"

KNOWN_LENGTH: Final = 1 << 18
"""An answer up to this many bytes is made as a whole and its length told; a longer one is streamed."""

_PLAIN: Final = "text/plain; charset=utf-8"
_METHODS: Final = ("GET", "HEAD")
_LOGGER: Final = logging.getLogger("spancost")


class Request(NamedTuple):
    """
    What matters of a request. Headers that it does not have are empty.

    Args:
        method: In upper case.
        path: Below the place where the endpoint is mounted.
        query: What follows the question mark.
        accept: The header ``Accept``.
        accept_encoding: The header ``Accept-Encoding``.
        authorization: The header ``Authorization``.
    """

    method: str
    path: str
    query: str = ""
    accept: str = ""
    accept_encoding: str = ""
    authorization: str = ""


class Answer(NamedTuple):
    """
    An answer.

    Args:
        status: The status code with its phrase.
        headers: Names and values; without ``Content-Length`` where that is not known.
        body: The bytes in pieces; none for a ``HEAD``.
    """

    status: HTTPStatus
    headers: list[tuple[str, str]]
    body: Iterator[bytes]


class Endpoint:
    """
    Answers requests for the metrics of a registry.

    Args:
        registry: What to serve; None for the default registry of `prometheus_client`.
        auth: As for `auth_of`.
        mounted: Whether a framework chose the path: its root then is the metrics, too.

    Raises:
        ValueError: See `auth_of`.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        auth: Credentials | None = None,
        *,
        mounted: bool = False,
    ) -> None:
        self._registry = REGISTRY if registry is None else registry
        self._auth = auth_of(auth)
        self._metrics = (METRICS, "", "/") if mounted else (METRICS,)

    @property
    def is_open(self) -> bool:
        """Whether everybody may read."""
        return self._auth is None

    def answer(self, request: Request) -> Answer:
        """Return the answer. Collectors run here; text is made while the body is read."""
        if request.path not in (*self._metrics, HEALTHY):
            text = f"Nothing is here. The metrics are at {METRICS}.\n"
            return _plain(request, HTTPStatus.NOT_FOUND, text)
        if request.method not in _METHODS:
            headers = [("Allow", ", ".join(_METHODS))]
            return _plain(request, HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD work here.\n", headers)
        if request.path == HEALTHY:
            return _plain(request, HTTPStatus.OK, "spancost is healthy\n")
        if self._auth is not None and not self._auth.admits(request.authorization):
            headers = [("WWW-Authenticate", challenge) for challenge in self._auth.challenges]
            return _plain(request, HTTPStatus.UNAUTHORIZED, "These metrics need credentials.\n", headers)
        form = choose_format(request.accept)
        only = parse_qs(request.query).get("name[]", [])
        try:
            pieces = Document(self._registry, form, only).pieces()
        except Exception:
            # Whatever a program's own collector raises: the scrape fails, and the reason is in the log.
            _LOGGER.exception("a collector failed, so there is no answer to a request for metrics")
            text = "A collector failed; the log of the program says why.\n"
            return _plain(request, HTTPStatus.INTERNAL_SERVER_ERROR, text)
        headers = [("Content-Type", form.content_type), ("Vary", "Accept, Accept-Encoding")]
        if accepts_gzip(request.accept_encoding):
            headers.append(("Content-Encoding", "gzip"))
            pieces = packed(pieces)
        return _answer(request, HTTPStatus.OK, headers, pieces)


def _plain(
    request: Request, status: HTTPStatus, text: str, headers: Iterable[tuple[str, str]] = ()
) -> Answer:
    return _answer(request, status, [("Content-Type", _PLAIN), *headers], iter([text.encode()]))


def _answer(
    request: Request, status: HTTPStatus, headers: list[tuple[str, str]], pieces: Iterator[bytes]
) -> Answer:
    """Return an answer, with its length where it is short."""
    begin = []
    length = 0
    for piece in pieces:
        begin.append(piece)
        length += len(piece)
        if length > KNOWN_LENGTH:
            break
    else:
        headers.append(("Content-Length", str(length)))
    body = chain(begin, pieces) if request.method != "HEAD" else iter(())
    return Answer(status, headers, body)
