# SPDX-License-Identifier: Apache-2.0
"""
Records out of chunks: lines, JSON documents over several lines, and messages.

Every function yields ``(number, record)``, numbered from 1; the record is None where it was
above the limit, and then none of it was held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from spancost.otlp._fields import BrokenError

Records: TypeAlias = "Iterator[tuple[int, bytes | None]]"

_LEN: Final = 2
_FIXED: Final = {1: 8, 5: 4}


def lines(chunks: Iterable[bytes], limit: int) -> Records:
    """Yield lines without their newline, blank ones not."""
    number, held, size = 0, list[bytes](), 0
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            number += 1
            line: bytes | None = piece
            if size:
                held.append(piece)
                size += len(piece)
                line = b"".join(held) if size <= limit else None
                held.clear()
                size = 0
            elif len(piece) > limit:
                line = None
            if line is None or not (line == b"" or line.isspace()):
                yield number, line
        size += len(rest)
        if size > limit:
            held.clear()
        elif rest:
            held.append(rest)
    if size:
        yield number + 1, b"".join(held) if size <= limit else None


def documents(numbered: Records, limit: int) -> Records:
    """
    Yield JSON documents, each with the number of its first line: mostly a line is one.

    A line that ends within an array or object begins a document over several lines, which ends
    with the line that closes it. Where a line in between begins a request of its own, the line
    before was only cut off.
    """
    pending: _Document | None = None
    for number, line in numbered:
        if pending is not None:
            if not pending.is_cut_off_by(line):
                pending.add(line)
                if pending.depth <= 0:
                    yield pending.number, pending.text()
                    pending = None
                continue
            yield pending.number, pending.text()
            pending = None
        if line is not None and _continues(line):
            pending = _Document(number, line, limit)
        else:
            yield number, line
    if pending is not None:
        yield pending.number, pending.text()


def _continues(line: bytes) -> bool:
    if line.endswith(b"}"):  # nearly every line
        return line.startswith(b"[")
    text = line.strip()
    return text.endswith((b"{", b"[", b",", b":")) or (text.startswith(b"[") and not text.endswith(b"]"))


class _Document:
    def __init__(self, number: int, line: bytes, limit: int) -> None:
        self.number = number
        self.depth = 0
        self._limit = limit
        self._size = 0
        self._lines: list[bytes] = []
        self._is_object = line.lstrip(b"\xef\xbb\xbf \t").startswith(b"{")
        self.add(line)

    def is_cut_off_by(self, line: bytes | None) -> bool:
        return self._is_object and line is not None and line.startswith(b'{"resource')

    def add(self, line: bytes | None) -> None:
        if line is None:
            self._size = self._limit + 1
        else:
            self._size += len(line) + 1
            # what is outside of strings; a string never goes over a line's end
            code = b"".join(line.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
            opened, closed = code.count(b"{") + code.count(b"["), code.count(b"}") + code.count(b"]")
            self.depth += opened - closed
            self._lines.append(line)
        if self._size > self._limit:
            self._lines.clear()

    def text(self) -> bytes | None:
        return b"\n".join(self._lines) if self._size <= self._limit else None


class _Bytes:
    """Reads by number of bytes from chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer only at the end."""
        end = self._at + size
        if end <= len(self._chunk):
            part = self._chunk[self._at : end]
            self._at = end
            return part
        return b"".join(self._parts(size))

    def skip(self, size: int) -> int:
        """Pass over bytes and return how many there were."""
        return sum(len(part) for part in self._parts(size))

    def _parts(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if self._at == len(self._chunk):
                self._chunk, self._at = next(self._chunks, b""), 0
                if not self._chunk:
                    return
            part = self._chunk[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            yield part

    def varint(self) -> int | None:
        """Return the next base-128 number; None at the end."""
        value = shift = 0
        while byte := self.read(1):
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise BrokenError("damaged protobuf: a number of more than 64 bits")
        if shift:
            raise BrokenError("the protobuf data is cut off")
        return None


def frames(chunks: Iterable[bytes], limit: int) -> Records:
    """
    Yield messages as the Collector's file exporter frames them: a big-endian 4-byte length before each.

    Raises:
        BrokenError: The last message is cut off, or a length is damaged.
    """
    data, number = _Bytes(chunks), 0
    while header := data.read(4):
        number += 1
        size = int.from_bytes(header, "big")
        if len(header) < 4:
            raise BrokenError(f"cut off: {len(header)} of the 4 bytes of a message's length")
        message = data.read(size) if size <= limit else None
        found = data.skip(size) if message is None else len(message)
        if found < size:
            raise BrokenError(f"cut off: a message of {size:,} bytes has {found:,}")
        yield number, message


def requests(chunks: Iterable[bytes], limit: int) -> Records:
    """
    Yield a bare protobuf request as requests of one ResourceSpans each, so that its size does not matter.

    Raises:
        BrokenError: The data is damaged or cut off.
    """
    data, number = _Bytes(chunks), 0
    while (tag := data.varint()) is not None:
        wire_type = tag & 7
        if wire_type == 0:
            data.varint()
            continue
        size = data.varint() if wire_type == _LEN else _FIXED.get(wire_type)
        if size is None:
            raise BrokenError(f"damaged or cut off protobuf after message {number}")
        wanted = tag >> 3 == 1 and wire_type == _LEN
        number += wanted
        message = data.read(size) if wanted and size <= limit else None
        found = data.skip(size) if message is None else len(message)
        if found < size:
            raise BrokenError(f"cut off: a message of {size:,} bytes has {found:,}")
        if wanted:
            yield number, None if message is None else b"\x0a" + _varint(size) + message


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
