# SPDX-License-Identifier: Apache-2.0
"""How the way to write on ended spans is found: by trying, not by version; SDKs to come included."""

from __future__ import annotations

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider

from spancost.processor._sdk import (
    attributes_of,
    rebuilt,
    remember_start,
    set_publicly,
    store_in_place,
)
from spancost.processor.writer import Reach, ThrowawayProvider, choose, nowhere, writer
from tests.live_kit import AMOUNT, PRICE, Live, chat_says


def test_it_is_tried_once_a_process():
    assert writer() is writer()


def open_while_ending(monkeypatch):
    """Make the SDK do what its open change 5613 does: a span may be written until `_on_ending` is done."""
    end = Span.end

    def ending(self, end_time=None):
        processor, self._span_processor = self._span_processor, _Once(self._span_processor)
        self._span_processor._on_ending(self)
        self._span_processor = _Done(processor)
        end(self, end_time)
        self._span_processor = processor

    monkeypatch.setattr(Span, "end", ending)


class _Once:
    def __init__(self, inner):
        self._on_ending = inner._on_ending


class _Done:
    def __init__(self, inner):
        self.on_end = inner.on_end

    def _on_ending(self, _):
        """It was called before the span ended."""


@pytest.mark.skipif(
    not hasattr(TracerProvider()._active_span_processor, "_on_ending"), reason="needs SDK 1.40"
)
def test_the_public_way_is_taken_where_an_sdk_has_one(monkeypatch):
    open_while_ending(monkeypatch)
    found = choose()

    assert found.in_ending is set_publicly
    assert found.reach is Reach.ALL
    monkeypatch.setattr("spancost.processor.state.writer", lambda: found)
    live = Live()
    live.chat()
    assert live.before.femto == live.after.femto == live.metered == PRICE


def test_attributes_kept_elsewhere_leave_the_exporter(monkeypatch):
    """An SDK of the future may have no dictionary to write to."""
    monkeypatch.setattr("spancost.processor._sdk.isinstance", lambda *_: False, raising=False)
    found = choose()

    assert found == (nowhere, nowhere, Reach.NOBODY)


def test_an_sdk_that_cannot_even_be_tried_is_no_error(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(ThrowawayProvider, "__init__", fail)

    assert choose() == (nowhere, nowhere, Reach.NOBODY)


def test_a_store_leaves_those_alone_who_are_reading():
    """A batch is encoded on another thread, which iterates over the attributes without a copy."""
    span = ReadableSpan("x", attributes=BoundedAttributes(4, {"a": 1, "b": 2}, immutable=True))
    reading = iter(span.attributes.items())
    next(reading)

    assert store_in_place(span, {AMOUNT: 0.5})
    assert list(reading) == [("b", 2)]
    assert span.attributes[AMOUNT] == 0.5


@pytest.mark.parametrize("attributes", [None, {"a": 1}, BoundedAttributes(0, {"a": 1})])
def test_what_takes_no_store_says_so(attributes):
    assert not store_in_place(ReadableSpan("x", attributes=attributes), {AMOUNT: 0.5})


@pytest.mark.parametrize("attributes", [None, {"a": 1}, BoundedAttributes(2, {"a": 1, "b": 2, "c": 3})])
def test_a_rebuilt_span_has_more_and_the_old_one_does_not(attributes):
    span = ReadableSpan("x", attributes=attributes)
    more = rebuilt(span, {AMOUNT: 0.5})

    assert dict(more.attributes) == {**(span.attributes or {}), AMOUNT: 0.5}
    assert more.dropped_attributes == span.dropped_attributes
    assert AMOUNT not in (span.attributes or {})
    assert type(more) is type(span)


def test_what_was_said_at_the_start_is_read_only_where_something_was_dropped():
    span = ReadableSpan("x", attributes=BoundedAttributes(3, chat_says(), immutable=False))
    remember_start(span)
    whole = attributes_of(span)
    span._attributes["late"] = 1

    assert whole is span._attributes._dict or dict(whole) == chat_says()
    assert attributes_of(span) == chat_says() | {"late": 1}
    assert len(span.attributes) == 3
