# SPDX-License-Identifier: Apache-2.0
"""Which format the bytes of a source are in, told by its beginning."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from spancost.otlp._streams import ZSTD_MAGIC

HEAD_BYTES: Final = 64 * 1024
"""A format is found within as many bytes, or not at all."""

EXPECTED: Final = "expected OTLP JSON or OTLP protobuf, plain or compressed with gzip or zstd"


class Format(Enum):
    """How requests are laid out in a source."""

    JSON = auto()
    FRAMES = auto()
    PROTOBUF = auto()


# Not just a brace: a protobuf message may begin with a newline and a length of 0x7b.
_JSON: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*(?:"[A-Za-z_]|\}|\Z)|\[\s*(?:[{\]]|\Z))')
_JSON_LINE: Final = re.compile(rb'^\{\s*"[A-Za-z_]', re.MULTILINE)

# Fields of a request, of ResourceSpans and their like of the other signals: resource, scope_spans,
# schema_url, and the deprecated one of number 1000. A Go writer writes the last one first.
_FIRST_TAGS: Final = (0x0A, 0x12, 0x1A, 1000 << 3 | 2)

_KNOWN: Final = (
    (b"\x89PNG", "a PNG image"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x1f\x8b", "data compressed more than twice"),
    (ZSTD_MAGIC, "data compressed more than twice"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)


def detect(head: bytes) -> Format | None:
    """Return the format of data that begins so; None if it is none, or if more of it is needed."""
    if _JSON.match(head):
        return Format.JSON
    if not head.strip():
        return None
    if _is_protobuf(head) and head[4:8] != ZSTD_MAGIC:
        return Format.PROTOBUF
    if _is_framed(head):
        return Format.FRAMES
    # lines of which the first ones are broken, or something else's
    return Format.JSON if _JSON_LINE.search(head) else None


def _is_protobuf(head: bytes) -> bool:
    """Whether data begins with a field of ResourceSpans inside a field 1 that is long enough for it."""
    if head[:1] != b"\x0a":
        return False
    size, at = _varint(head, 1)
    if size == 0:  # an empty one, and then nothing or another
        return head[at : at + 1] in (b"", b"\x0a")
    tag, at = _varint(head, at)
    if tag not in _FIRST_TAGS:
        return False
    inner, _ = _varint(head, at)
    return inner < size


def _varint(head: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place and the place after it; -1 where there is none."""
    value = shift = 0
    for place in range(at, min(at + 10, len(head))):
        value |= (head[place] & 0x7F) << shift
        if head[place] < 0x80:
            return value, place + 1
        shift += 7
    return -1, len(head)


def _is_framed(head: bytes) -> bool:
    at = 0
    while head[at : at + 4] == b"\0\0\0\0":  # an empty message
        at += 4
    message = head[at + 4 :]
    return message.startswith((ZSTD_MAGIC, b"{")) or _is_protobuf(message)


def describe(head: bytes) -> str:
    """Return what data that begins so seems to be, for a message."""
    if not head.strip():
        return "nothing but blank lines" if head else "empty"
    for magic, name in _KNOWN:
        if head.startswith(magic):
            return name
    try:
        text = head[:200].decode("utf-8", "strict" if len(head) <= 200 else "ignore")
    except UnicodeDecodeError:
        text = ""
    first = text.strip().split("\n", 1)[0].strip()
    if first and first.isprintable():
        return f"text that begins {first[:40]!r}"
    return f"binary data that begins {head[:8].hex(' ')}"
