# SPDX-License-Identifier: Apache-2.0
"""Spans that are left out of a replay change no call, not even when it is settled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spancost.book import PriceBook
from spancost.calls import Engine
from spancost.calls.pricing import Pricer
from spancost.files.recording import Recording, Replay
from spancost.files.rows import row_of_call
from spancost.files.spool import Spool
from tests.kit import Spans
from tests.property.test_call_properties import TIMES, forests


@st.composite
def busy_forests(draw):
    """Forests in which most spans say nothing, stretched over up to twenty minutes."""
    spans = draw(forests(max_size=8))
    for _ in range(draw(st.integers(0, 14))):
        start = draw(TIMES)
        spans.add(
            "GET",
            start,
            draw(st.one_of(st.none(), TIMES, TIMES.map(lambda more, at=start: at + more))),
            {"http.request.method": "GET"},
            parent=draw(st.sampled_from([None, *spans.all])),
            remote=draw(st.sampled_from([None, None, True])),
        )
    for index in draw(st.lists(st.integers(0, len(spans.all) - 1), max_size=4)):
        below = spans.all[index]
        above = draw(st.sampled_from([s for s in spans.all if s.trace_id == below.trace_id]))
        below.parent_id = above.span_id  # calls below spans that say nothing, and circles
    factor = draw(st.sampled_from([1, 7, 31]))
    first = min(span.start for span in spans.all)
    for span in spans.all:
        span.start = first + (span.start - first) * factor
        span.end = None if span.end is None else first + (span.end - first) * factor
    return spans.all


def rows(spans, *, everything):
    """Return the rows of the calls in the order they settled, with or without the spans nobody needs."""
    recording = Recording()
    recording.add_all(spans)
    calls = []
    seen = []
    recording.replay(Pricer(PriceBook.default()), calls.append, seen.append if everything else None)
    return [row_of_call(call) for call in calls]


@given(busy_forests())
def test_what_is_left_out_changes_no_call_and_not_their_order(spans):
    assert rows(spans, everything=False) == rows(spans, everything=True)


def test_most_spans_are_left_out():
    """Of the spans of a service around a call, only those above it are needed."""
    spans = Spans()
    root = spans.add("POST /ask", 0, 20)
    spans.chat(1, 5, parent=root)
    for number in range(8):
        spans.add("SELECT", number, number + 1, parent=root)
    elsewhere = spans.add("GET /health", 3, 4)
    spans.add("SELECT", 3, 4, parent=elsewhere)
    recording = Recording()
    recording.add_all(spans.all)
    recording.rows.link(across_services=False)

    assert list(recording.rows.needed()) == [0, 1]
    assert len(recording.rows.other_ends([0, 1])) == 10
    recording.spool.close()


@given(busy_forests())
def test_facts_from_the_file_are_those_that_were_put(spans):
    """A recording that is longer than what is kept in memory gives the same rows."""
    short = Recording()
    short.spool = Spool(max_kept=2)
    short.add_all(spans)
    calls = []
    short.replay(Pricer(PriceBook.default()), calls.append)

    assert [row_of_call(call) for call in calls] == rows(spans, everything=False)


def test_nothing_is_kept_of_spans_that_are_over():
    """Children that were left out keep no span above them in memory."""
    spans = Spans()
    root = spans.add("POST /ask", 0, 20)
    spans.chat(1, 5, parent=root)
    spans.add("SELECT", 2, 3, parent=root)
    recording = Recording()
    recording.add_all(spans.all)
    recording.rows.link(across_services=False)
    engine = Engine(Pricer(PriceBook.default()), lambda _: None)
    replay = Replay(recording.rows, recording.spool, engine, only_needed=True)
    replay.run()
    recording.spool.close()

    assert replay.nodes == {}
