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
_FIRST_TAGS: Final = b"\x0a\x12\x1a\xc2"

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
    if _is_protobuf(head) and head[4:8] != ZSTD_MAGIC:
        return Format.PROTOBUF
    if _is_framed(head):
        return Format.FRAMES
    # lines of which the first ones are broken, or something else's
    return Format.JSON if _JSON_LINE.search(head) else None


def _is_protobuf(head: bytes) -> bool:
    if head[:1] != b"\x0a":
        return False
    at = 1
    while at < min(len(head), 10) and head[at] >= 0x80:
        at += 1
    # an empty ResourceSpans is followed by another, or nothing
    return len(head) == at + 1 if head[at:] == b"\0" else head[at + 1 : at + 2] in _tags(head[at : at + 1])


def _tags(length: bytes) -> tuple[bytes, ...]:
    return (
        (b"\x0a",) if length == b"\0" else tuple(_FIRST_TAGS[at : at + 1] for at in range(len(_FIRST_TAGS)))
    )


def _is_framed(head: bytes) -> bool:
    at = 0
    while head[at : at + 4] == b"\0\0\0\0":  # an empty message
        at += 4
    message = head[at + 4 :]
    return message.startswith((ZSTD_MAGIC, b"{")) or _is_protobuf(message)


def describe(head: bytes) -> str:
    """Return what data that begins so seems to be, for a message."""
    if not head:
        return "empty"
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
