# SPDX-License-Identifier: Apache-2.0
"""The bytes of a newer price table, from a file or a web server; never asked for but by a command."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from spancost._version import __version__
from spancost.errors import PriceBookError
from spancost.prices.installed import MAX_BYTES

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from typing import IO

SILENCE_SECONDS: Final = 10.0
"""How long a server may say nothing."""

WHOLE_SECONDS: Final = 60.0
"""How long it may take in all: one that sends a byte now and then never falls silent."""

_SCHEMES: Final = ("http", "https")
_CHUNK: Final = 2**16


def fetch(
    source: str,
    *,
    silence: float = SILENCE_SECONDS,
    whole: float = WHOLE_SECONDS,
    max_bytes: int = MAX_BYTES,
) -> bytes:
    """
    Return what a file or an address holds.

    Args:
        source: A path, or an address that begins with ``http://`` or ``https://``.
        silence: Seconds that a server may say nothing.
        whole: Seconds that it may take in all.
        max_bytes: More than that is refused.

    Raises:
        PriceBookError: It cannot be had, is too large, or came only in part.
    """
    if "://" not in source:
        return _read(Path(source), max_bytes)
    scheme = source.partition("://")[0].lower()
    if scheme not in _SCHEMES:
        raise PriceBookError(f"{source}: a price table comes from a file, http or https, not {scheme}")
    try:
        return _download(source, silence, time.monotonic() + whole, max_bytes)
    except PriceBookError:
        raise
    except TimeoutError as error:
        raise PriceBookError(f"{source}: the server takes too long: {error}") from error
    except urllib.error.HTTPError as error:
        raise PriceBookError(f"{source}: cannot be fetched: {error}") from error
    except urllib.error.URLError as error:
        raise PriceBookError(f"{source}: cannot be fetched: {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PriceBookError(f"{source}: cannot be fetched: {error!r}") from error


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise PriceBookError(f"{path}: cannot be read as a price table: {error}") from error
    if len(data) > max_bytes:
        raise PriceBookError(f"{path}: larger than {max_bytes:,} bytes, which no price table is")
    return data


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, but not from https to anything less, and never to a file."""

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme.lower(), urlsplit(newurl).scheme.lower()
        if new not in _SCHEMES or (old == "https" and new != "https"):
            raise urllib.error.URLError(f"it redirects from {old} to {new}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(source: str, silence: float, until: float, max_bytes: int) -> bytes:
    opener = urllib.request.build_opener(_SafeRedirects)
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at, and that of redirects is
        source, headers={"User-Agent": f"spancost/{__version__}", "Accept-Encoding": "identity"}
    )
    with opener.open(request, timeout=silence) as answer:
        said = _length(answer)
        if said is not None and said > max_bytes:
            raise PriceBookError(f"{source}: {said:,} bytes are no price table; the limit is {max_bytes:,}")
        data = bytearray()
        while chunk := answer.read1(_CHUNK):
            data += chunk
            if len(data) > max_bytes:
                raise PriceBookError(f"{source}: larger than {max_bytes:,} bytes, which no price table is")
            if time.monotonic() > until:
                raise TimeoutError("the table is not there whole in the time allowed")
    if said is not None and len(data) < said:
        raise PriceBookError(f"{source}: came only in part: {len(data):,} of {said:,} bytes")
    return bytes(data)


def _length(answer: Any) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None
