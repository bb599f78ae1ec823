# SPDX-License-Identifier: Apache-2.0
"""Reading the scalar fields of a span from whatever JSON wrote them as."""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

MIN_INT64: Final = -(2**63)
MAX_INT64: Final = 2**63 - 1
MAX_UINT32: Final = 2**32 - 1
MAX_UINT64: Final = 2**64 - 1
MAX_DEPTH: Final = 64
"""Arrays and maps inside attribute values nest at most this deep."""

HEX_DIGITS: Final = "0123456789abcdef"
ZERO_TRACE_ID: Final = "0" * 32
ZERO_SPAN_ID: Final = "0" * 16

KINDS: Final = range(6)
"""Span kinds that OTLP has."""

STATUS_ERROR: Final = 2
HAS_IS_REMOTE: Final = 0x100
"""Bit of a span's flags: it is known whether the parent is remote."""
IS_REMOTE: Final = 0x200

_KIND_NAMES: Final = {
    "SPAN_KIND_UNSPECIFIED": 0,
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
}
_STATUS_NAMES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": STATUS_ERROR}


class BrokenError(Exception):
    """A span, or what encloses it, that cannot be read; the message says why. Never leaves the package."""


class OtherSignal(Exception):  # noqa: N818  (no error: what is read is of no concern)
    """A line or message holds metrics, logs or profiles. Never leaves the package."""


def shown(value: object) -> str:
    """Return a value for a message: as Python writes it, cut at 60 characters."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)}"
    if isinstance(value, int) and abs(value) > MAX_UINT64:
        return "a huge integer"
    text = repr(value[:60] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= 60 else text[:57] + "..."


def hex_id(value: object, size: int, what: str) -> str:
    """
    Return an id of ``size`` bytes as lower-case hex.

    Args:
        value: Hex digits in any case, or base64 as proto3 JSON writes bytes.
        size: 16 for a trace id, 8 for a span id.
        what: The field's name for the message.

    Raises:
        BrokenError: It is neither, or all zero.
    """
    if isinstance(value, str):
        digits = size * 2
        if len(value) == digits:
            text = value.lower()
            if not text.strip(HEX_DIGITS) and text.strip("0"):
                return text
        elif digits > len(value) >= (size * 4 + 2) // 3:
            text = _from_base64(value)
            if len(text) == digits and text.strip("0"):
                return text
    raise BrokenError(f"{what} must be {size * 2} hex digits, not all zero, not {shown(value)}")


def _from_base64(value: str) -> str:
    padded = value.rstrip("=").replace("-", "+").replace("_", "/")
    padded += "=" * (-len(padded) % 4)
    try:
        return base64.b64decode(padded, validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def parent_hex_id(value: object) -> str:
    """Return a parent's span id as lower-case hex; absent, empty and all zero mean a root."""
    if value is None or value == "" or value in ("0000000000000000", "AAAAAAAAAAA="):
        return ""
    return hex_id(value, 8, "parentSpanId")


def integer(value: object, low: int, high: int, what: str) -> int:
    """
    Return an integer that JSON wrote as a number or as a string.

    Raises:
        BrokenError: It is no integer, or out of range.
    """
    try:
        # the same function as in the typed decoder: a line means one thing, whichever way it is read
        number = msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError:
        number = low - 1
    if not low <= number <= high:
        raise BrokenError(f"{what} must be an integer from {low} to {high}, not {shown(value)}")
    return number


def double(value: object, what: str) -> float:
    """Return a float that JSON wrote as a number or as a string such as "NaN"."""
    try:
        return msgspec.convert(value, float, strict=False)
    except msgspec.ValidationError:
        raise BrokenError(f"{what} must be a number, not {shown(value)}") from None


def boolean(value: object) -> bool:
    """Return true or false; 1 and "true" are neither."""
    if isinstance(value, bool):
        return value
    raise BrokenError(f"boolValue must be true or false, not {shown(value)}")


def base64_bytes(value: object, what: str) -> bytes:
    """Return bytes that JSON wrote as base64."""
    if isinstance(value, str):
        try:
            return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            pass
    raise BrokenError(f"{what} must be base64, not {shown(value)}")


def span_kind(value: object) -> int:
    """Return a span kind written as number or name; one that OTLP does not have yet is 0."""
    if isinstance(value, str) and value in _KIND_NAMES:
        return _KIND_NAMES[value]
    number = integer(value, -(2**31), 2**31 - 1, "kind")
    return number if number in KINDS else 0


def is_error(code: object) -> bool:
    """Tell whether a status code, written as number or name, is ERROR."""
    if code.__class__ is int:
        return code == STATUS_ERROR
    if isinstance(code, str) and code in _STATUS_NAMES:
        return _STATUS_NAMES[code] == STATUS_ERROR
    return integer(code, -(2**31), 2**31 - 1, "status code") == STATUS_ERROR
