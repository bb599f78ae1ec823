# SPDX-License-Identifier: Apache-2.0
"""
Bytes as chunks: opened, and decompressed where a source is compressed as a whole.

Nothing seeks and nothing is held but a chunk, so that a pipe reads like a file, and a
file of any size, or a decompression bomb, needs the memory of a small one.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Final

from spancost.otlp._fields import BrokenError

if TYPE_CHECKING:
    from spancost.otlp.values import ReadCounts

STDIN: Final = "-"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"

_SKIPPABLE_MAGIC: Final = b"\x2a\x4d\x18"  # of a zstd frame that holds no data, after a byte 0x50 to 0x5f
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31  # zlib's way to say: the largest window, and a gzip header
_READ_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 256 * 1024
_MAX_LAYERS: Final = 2


@contextmanager
def open_chunks(source: str | Path, counts: ReadCounts) -> Iterator[Iterator[bytes]]:
    """
    Open a source and give its bytes, as stored.

    Args:
        source: A path, or ``-`` for standard input, which is not closed.
        counts: Its ``bytes_read`` grows while reading.

    Raises:
        OSError: It cannot be opened or read.
        BrokenError: There is no standard input, or the path can be none.
    """
    if source == STDIN:
        if sys.stdin is None:  # type: ignore[redundant-expr, unused-ignore]  # so in a daemon
            raise BrokenError("there is no standard input")
        yield _stored(sys.stdin.buffer, counts)
        return
    try:
        stream = Path(source).open("rb")  # noqa: SIM115  (closed below)
    except ValueError as error:
        raise BrokenError(f"no name that a file can have: {error}") from None
    with stream:
        yield _stored(stream, counts)


def _stored(stream: IO[bytes], counts: ReadCounts) -> Iterator[bytes]:
    # read1 returns what a pipe has now; read would wait for more
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while chunk := read(_READ_BYTES):
        counts.bytes_read += len(chunk)
        yield chunk


def peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, at least ``size`` unless there are fewer, and all chunks again."""
    seen: list[bytes] = []
    total = 0
    while total < size and (chunk := next(chunks, b"")):
        seen.append(chunk)
        total += len(chunk)
    head = b"".join(seen)
    return head, chain((head,), chunks) if head else chunks


def decompress(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """
    Return the chunks of what is inside, as often as it is gzip or zstd.

    Raises:
        BrokenError: The data is damaged, cut off, compressed three times, or zstd without a decoder.
    """
    for _ in range(_MAX_LAYERS):
        head, chunks = peek(chunks, len(ZSTD_MAGIC))
        if head.startswith(_GZIP_MAGIC):
            chunks = _gunzip(chunks)
        elif head.startswith(ZSTD_MAGIC) or (head[1:4] == _SKIPPABLE_MAGIC and head[0] >> 4 == 5):
            chunks = unzstd(chunks)
        else:
            break
    return chunks


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    decoder, ended = zlib.decompressobj(_GZIP_WINDOW), False
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if ended:  # then comes another member, or padding
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    if data[:2] != _GZIP_MAGIC[: len(data)]:
                        raise BrokenError("data after the end of the gzip stream that is no gzip")
                    decoder, ended = zlib.decompressobj(_GZIP_WINDOW), False
                inside = decoder.decompress(data, _CHUNK_BYTES)
                ended = decoder.eof
                data = decoder.unused_data if ended else decoder.unconsumed_tail
                if inside:
                    yield inside
    except zlib.error as error:
        raise BrokenError(f"damaged gzip data: {error}") from None
    if not ended:
        raise BrokenError("the gzip data is cut off")


def unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """
    Yield what is inside of zstd frames.

    Raises:
        BrokenError: The data is damaged or cut off, or there is no decoder.
    """
    zstd = _zstd()
    decoder = None
    try:
        for chunk in chunks:
            data = chunk
            while data or decoder:
                decoder = decoder or zstd.ZstdDecompressor()
                inside = decoder.decompress(data, _CHUNK_BYTES)
                data = b""
                if inside:
                    yield inside
                if decoder.eof:
                    data, decoder = decoder.unused_data, None
                elif decoder.needs_input:
                    break
    except zstd.ZstdError as error:
        raise BrokenError(f"damaged zstd data: {error}") from None
    if decoder:
        raise BrokenError("the zstd data is cut off")


def _zstd() -> ModuleType:
    """Return the standard library's decoder (3.14 and later), or its backport, which has the same API."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415  (needed only where a file is zstd)
        else:
            from backports import zstd  # noqa: PLC0415
    except ImportError:
        raise BrokenError(
            'zstd-compressed; reading it needs a decoder: pip install "spancost[zstd]"'
        ) from None
    return zstd
