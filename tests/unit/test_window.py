# SPDX-License-Identifier: Apache-2.0
"""A recording read from standard input: a window over spans that may never end."""

from __future__ import annotations

import pytest

from spancost.book import PriceBook
from spancost.calls.pricing import Pricer
from spancost.files.recording import Recording
from spancost.files.rows import row_of_call
from spancost.files.window import Window
from spancost.otlp import Span

MINUTE = 60 * 10**9
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 100,
}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}


def span(number, start, end, attributes, *, parent=0, trace=1, scope="openai"):
    """Return a span; times are minutes."""
    return Span(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name="chat" if attributes is CHAT else "invoke_agent planner",
        kind=3,
        start=round(start * MINUTE),
        end=round(end * MINUTE),
        is_remote_parent=None,
        failed=False,
        attributes=attributes,
        resource={},
        scope_name=scope,
        scope_version="",
    )


def rows_of(spans, **settings):
    """Return the rows of calls that a window gives."""
    rows = []
    window = Window(
        Pricer(PriceBook.default()),
        lambda call: rows.append(row_of_call(call) | {"flags": call.flags}),
        **settings,
    )
    for each in spans:
        window.add(each)
    window.finish()
    return rows


def test_a_window_that_is_never_full_gives_what_a_recording_gives():
    """Below the bound, standard input and a file are the same."""
    spans = [span(2, 1, 2, CHAT, parent=1), span(1, 0, 3, AGENT)]
    recorded = []
    recording = Recording()
    recording.add_all(spans)
    recording.replay(Pricer(PriceBook.default()), lambda call: recorded.append(row_of_call(call)))

    assert rows_of(spans) == recorded
    assert recorded[0]["agent"] == "planner"


def test_calls_come_out_before_the_input_ends_once_the_window_is_full():
    """A stream that never ends is priced while it runs."""
    rows = []
    window = Window(Pricer(PriceBook.default()), rows.append, max_spans=10)

    for i in range(1, 101):
        window.add(span(i, i, i + 0.1, CHAT, trace=i))

    assert len(rows) > 80
    window.finish()
    assert len(rows) == 100


def test_an_agent_that_went_through_windows_ago_still_names_a_call_that_outlived_it():
    """Ended spans are remembered for children that end later."""
    agent = span(1, 0, 3, AGENT)
    filler = [span(100 + i, 4 + i, 4.5 + i, CHAT, trace=100 + i) for i in range(20)]
    outlived = span(2, 1, 60, CHAT, parent=1)

    rows = rows_of([agent, *filler, outlived], max_spans=5, max_age_ns=MINUTE)

    assert rows[-1]["agent"] == "planner"
    assert not rows[-1]["flags"]


def test_a_call_whose_agent_had_not_been_seen_at_the_cut_is_flagged():
    """An agent's span is written when it ends: a call settled long before cannot know it, and says so."""
    calls = [span(i, i, i + 0.5, CHAT, parent=1) for i in range(2, 40)]
    agent = span(1, 0, 100, AGENT)

    rows = rows_of([*calls, agent], max_spans=8, max_age_ns=MINUTE)

    nameless = [row for row in rows if row["agent"] is None]
    assert len(rows) == len(calls)
    assert nameless
    assert all("window" in row["flags"] for row in nameless)


def test_a_copy_in_the_next_window_is_still_a_copy():
    """A framework's span that ends after its client's is found, also when a window ended between."""
    filler = [span(100 + i, 5 + i, 5.5 + i, CHAT, trace=100 + i) for i in range(6)]
    inner = span(2, 1, 2, CHAT, parent=1, scope="client")
    outer = span(1, 0, 20, CHAT, scope="framework")

    rows = rows_of([outer, inner, *filler], max_spans=5, max_age_ns=MINUTE)

    assert len(rows) == 1 + len(filler)


def test_a_call_that_comes_after_its_time_went_through_is_counted_and_flagged():
    """What is too late is not lost and not trusted: its agent may have gone by."""
    early = [span(i, 100 + i, 100.5 + i, CHAT, trace=i) for i in range(1, 20)]
    late = span(50, 1, 2, CHAT, parent=49, trace=50)

    rows = rows_of([*early, late], max_spans=5, max_age_ns=MINUTE)

    flagged = [row for row in rows if "window" in row["flags"]]
    assert [row["span_id"] for row in flagged] == [f"{50:016x}"]
    assert len(rows) == 20


@pytest.mark.parametrize("age", [0, 1, 30])
def test_memory_stays_bounded_whatever_the_times_are(age):
    """Spans that all happen at once free the window all the same."""
    rows = []
    window = Window(Pricer(PriceBook.default()), rows.append, max_spans=50, max_age_ns=age * MINUTE)

    for i in range(1, 2_001):
        window.add(span(i, 1, 2, CHAT, trace=i))
        assert window.kept <= 50

    window.finish()
    assert len(rows) == 2_000


def test_what_spans_have_in_common_is_told_apart_after_a_cut():
    """Scopes, services and agents of the spans that are kept stay theirs when everything before is forgotten."""
    spans = []
    for number in range(1, 41):
        each = span(number, number, number + 0.5, CHAT, trace=number, scope=f"scope{number % 3}")
        each.resource = {
            "service.name": f"service {number % 4}",
            "gen_ai.main_agent.name": f"agent {number % 5}",
        }
        spans.append(each)
    recording = Recording()
    recording.add_all(spans)
    calls = []
    recording.replay(Pricer(PriceBook.default()), calls.append)
    names = ("span_id", "service_name", "agent")

    windowed = rows_of(spans, max_spans=7, max_age_ns=2 * MINUTE)

    assert [[row[name] for name in names] for row in windowed] == [
        [row_of_call(call)[name] for name in names] for call in calls
    ]
