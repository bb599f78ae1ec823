# SPDX-License-Identifier: Apache-2.0
"""The local provider: what it puts on the wire is what its bill says, for every API it speaks."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request

import pytest

from demo.provider import Provider, Reply, ToolCall
from spancost import Cost, PriceBook, Usage
from tests.waiting import LIMIT_S

SEARCH = ToolCall("search", {"query": "tea"})
USAGE = Usage(input=3_000, cache_read=1_000, cache_write=900, cache_write_1h=600, output=210, reasoning=90)
PLAIN = Usage(input=3_000, cache_read=1_000, output=210, reasoning=90)


@pytest.fixture
def provider():
    """A provider that knows three callers."""
    scripts = {
        "planner": [Reply("", tools=(SEARCH,)), Reply("Green tea, then.")],
        "exact": [Reply("one two three four", usage=USAGE)],
        "plain": [Reply("one two three four", usage=PLAIN)],
    }
    with Provider(scripts) as running:
        yield running


def post(provider, path, body):
    """Return the status and the body of an answer."""
    request = urllib.request.Request(
        provider.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def ask(provider, path, body):
    """Return the JSON of an answer."""
    status, answer = post(provider, path, body)
    assert status == 200, answer
    return json.loads(answer)


def events(raw):
    """Return the data of a stream's events."""
    data = [line.removeprefix("data: ") for line in raw.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]


def chat(caller, text="hello", **more):
    """Return a chat completion request."""
    messages = [{"role": "system", "content": f"[[{caller}]] Be brief."}, {"role": "user", "content": text}]
    return {"model": "gpt-5-mini", "messages": messages, **more}


def claude(caller, **more):
    """Return a request of Anthropic's messages."""
    return {
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        "system": [{"type": "text", "text": f"[[{caller}]]"}],
        "messages": [{"role": "user", "content": "hello"}],
        **more,
    }


def gemini(caller, text="hello"):
    """Return a request of Gemini's generateContent."""
    return {
        "systemInstruction": {"parts": [{"text": f"[[{caller}]]"}]},
        "contents": [{"role": "user", "parts": [{"text": text}]}],
    }


def of_completion(usage):
    """Return the usage that a chat completion states."""
    read, details = usage["prompt_tokens_details"], usage["completion_tokens_details"]
    return Usage(
        input=usage["prompt_tokens"],
        cache_read=read["cached_tokens"],
        cache_write=read["cache_write_tokens"],
        output=usage["completion_tokens"],
        reasoning=details["reasoning_tokens"],
    )


def of_response(usage):
    """Return the usage that a response states."""
    read = usage["input_tokens_details"]
    return Usage(
        input=usage["input_tokens"],
        cache_read=read["cached_tokens"],
        cache_write=read["cache_write_tokens"],
        output=usage["output_tokens"],
        reasoning=usage["output_tokens_details"]["reasoning_tokens"],
    )


def of_message(usage):
    """Return the usage that an Anthropic message states."""
    read, write = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return Usage(
        input=usage["input_tokens"] + read + write,
        cache_read=read,
        cache_write=write,
        cache_write_1h=usage["cache_creation"]["ephemeral_1h_input_tokens"],
        output=usage["output_tokens"],
        reasoning=usage.get("output_tokens_details", {}).get("thinking_tokens", 0),
    )


def of_gemini(usage):
    """Return the usage that Gemini states."""
    thoughts = usage.get("thoughtsTokenCount", 0)
    return Usage(
        input=usage["promptTokenCount"],
        cache_read=usage.get("cachedContentTokenCount", 0),
        output=usage["candidatesTokenCount"] + thoughts,
        reasoning=thoughts,
    )


def test_a_chat_completion_states_the_usage_on_the_bill(provider):
    answer = ask(provider, "/v1/chat/completions", chat("plain"))
    (entry,) = provider.bill.entries

    assert of_completion(answer["usage"]) == entry.usage == entry.used == PLAIN
    assert (answer["id"], answer["model"]) == (entry.response_id, entry.model)
    assert (entry.model, entry.requested_model) == ("gpt-5-mini-2025-08-07", "gpt-5-mini")
    assert (entry.caller, entry.api, entry.delivered) == ("plain", "openai.chat", "full")


def test_a_streamed_chat_states_usage_only_when_asked(provider):
    """The last chunk has it, and the bill knows when nobody was told."""
    _, told = post(
        provider, "/v1/chat/completions", chat("plain", stream=True, stream_options={"include_usage": True})
    )
    _, untold = post(provider, "/v1/chat/completions", chat("plain", stream=True))
    first, second = provider.bill.entries

    assert of_completion(events(told)[-1]["usage"]) == first.usage == PLAIN
    assert all(chunk["usage"] is None for chunk in events(told)[:-1])
    assert not any("usage" in chunk for chunk in events(untold))
    assert (second.usage, second.used, second.delivered) == (None, PLAIN, "none")
    for raw in (told, untold):
        words = [c["choices"][0]["delta"].get("content") or "" for c in events(raw) if c["choices"]]
        assert "".join(words) == "one two three four"
        assert raw.endswith(b"data: [DONE]\n\n")


def test_a_response_states_its_usage_whole_and_streamed(provider):
    body = {"model": "gpt-5-mini", "instructions": "[[plain]]", "input": "hello"}
    whole = ask(provider, "/v1/responses", body)
    _, raw = post(provider, "/v1/responses", {**body, "stream": True})
    last = events(raw)[-1]

    assert last["type"] == "response.completed"
    assert of_response(whole["usage"]) == of_response(last["response"]["usage"]) == PLAIN
    assert [entry.streamed for entry in provider.bill.entries] == [False, True]


def test_a_message_states_its_usage_whole_and_streamed(provider):
    """A stream's input counts come first, its output last; together they are the whole."""
    whole = ask(provider, "/v1/messages", claude("exact"))
    _, raw = post(provider, "/v1/messages?beta=true", claude("exact", stream=True))
    stream = events(raw)
    start, end = stream[0]["message"]["usage"], stream[-2]["usage"]

    assert of_message(whole["usage"]) == of_message({**start, **end}) == USAGE
    assert start["output_tokens"] == 1
    assert [block["type"] for block in whole["content"]] == ["thinking", "text"]
    assert [entry.usage for entry in provider.bill.entries] == [USAGE, USAGE]


def test_gemini_states_its_usage_whole_and_streamed(provider):
    """Every chunk has the usage up to there; the last has the whole."""
    path = "/v1beta/models/gemini-2.5-flash"
    whole = ask(provider, f"{path}:generateContent", gemini("plain"))
    _, raw = post(provider, f"{path}:streamGenerateContent?alt=sse", gemini("plain"))
    stream = events(raw)

    assert of_gemini(whole["usageMetadata"]) == of_gemini(stream[-1]["usageMetadata"]) == PLAIN
    assert [of_gemini(chunk["usageMetadata"]).output for chunk in stream] == [91, 92, 93, 210]
    assert whole["responseId"] == provider.bill.entries[0].response_id


def test_embeddings_state_their_input(provider):
    answer = ask(provider, "/v1/embeddings", {"model": "text-embedding-3-small", "input": ["tea", "coffee"]})

    assert len(answer["data"]) == 2
    assert provider.bill.entries[0].usage == Usage(input=answer["usage"]["prompt_tokens"])


@pytest.mark.parametrize(
    ("path", "first", "then"),
    [
        (
            "/v1/chat/completions",
            chat("planner"),
            lambda answer: {"messages": [answer["choices"][0]["message"], {"role": "tool", "content": "3"}]},
        ),
        (
            "/v1/responses",
            {"model": "gpt-5", "instructions": "[[planner]]", "input": "hello"},
            lambda answer: {"input": [*answer["output"], {"type": "function_call_output", "output": "3"}]},
        ),
        (
            "/v1/messages",
            claude("planner"),
            lambda answer: {
                "messages": [
                    {"role": "assistant", "content": answer["content"]},
                    {"role": "user", "content": [{"type": "tool_result", "content": "3"}]},
                ]
            },
        ),
        (
            "/v1beta/models/gemini-2.5-flash:generateContent",
            gemini("planner"),
            lambda answer: {"contents": [answer["candidates"][0]["content"], {"parts": [{"text": "3"}]}]},
        ),
    ],
    ids=["chat", "responses", "messages", "gemini"],
)
def test_a_script_follows_the_turns_of_the_conversation(provider, path, first, then):
    """The first turn asks for the tool, the second answers; in between nothing is kept on the server."""
    asks = ask(provider, path, first)
    more = then(asks)
    if "messages" in first:
        more["messages"] = [*first["messages"], *more["messages"]]
    answers = ask(provider, path, {**first, **more})

    assert '"search"' in json.dumps(asks)
    assert "Green tea, then." in json.dumps(answers)
    assert [(entry.caller, entry.turn) for entry in provider.bill.entries] == [("planner", 0), ("planner", 1)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", chat("planner")),
        ("/v1/responses", {"model": "gpt-5", "instructions": "[[planner]]", "input": "hello"}),
        ("/v1/messages", claude("planner")),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent", gemini("planner")),
    ],
    ids=["chat", "responses", "messages", "gemini"],
)
def test_a_stream_carries_tool_calls(provider, path, body):
    _, raw = post(provider, path, {**body, "stream": True})

    assert "search" in raw.decode()
    assert provider.bill.entries[0].streamed


def test_an_order_in_the_last_message_refuses_a_request(provider):
    """A refused request costs nothing and is no entry of the bill."""
    assert post(provider, "/v1/chat/completions", chat("plain", "[[status 429]]"))[0] == 429
    assert provider.bill.entries == []
    assert [refusal.status for refusal in provider.bill.refusals] == [429]


def test_a_request_that_fails_first_is_answered_when_it_is_sent_again(provider):
    """And so is the next request like it: it fails first, too."""
    statuses = [post(provider, "/v1/chat/completions", chat("plain", "[[first 500]]"))[0] for _ in range(4)]

    assert statuses == [500, 200, 500, 200]
    assert len(provider.bill.entries) == 2


@pytest.mark.parametrize(
    ("path", "body", "usage"),
    [
        (
            "/v1/chat/completions",
            chat("plain", "[[cut 2]]", stream=True, stream_options={"include_usage": True}),
            None,
        ),
        (
            "/v1/messages",
            {**claude("exact", stream=True), "messages": [{"role": "user", "content": "[[cut 2]]"}]},
            Usage(input=3_000, cache_read=1_000, cache_write=900, cache_write_1h=600, output=1),
        ),
        (
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
            gemini("plain", "[[cut 2]]"),
            Usage(input=3_000, cache_read=1_000, output=92, reasoning=90),
        ),
    ],
    ids=["chat", "messages", "gemini"],
)
def test_a_cut_stream_is_billed_and_the_bill_says_what_the_client_can_know(provider, path, body, usage):
    """The connection ends without the last chunk, after two words."""
    with pytest.raises(http.client.IncompleteRead) as broken:
        post(provider, path, body)
    (entry,) = provider.bill.entries

    assert "two" in broken.value.partial.decode()
    assert "three" not in broken.value.partial.decode()
    assert entry.usage == usage
    assert entry.used.output == 210
    assert entry.delivered == ("none" if usage is None else "partial")


def test_only_what_a_request_marks_is_cached_at_anthropic(provider):
    """Written on the first call, for an hour if it says so, and read by the next ones."""
    system = [{"type": "text", "text": "[[a]]", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    ask(provider, "/v1/messages", claude("b"))
    for _ in range(2):
        ask(provider, "/v1/messages", claude("a", system=system))
    unmarked, first, second = (entry.usage for entry in provider.bill.entries)

    assert unmarked.cache_read == unmarked.cache_write == 0
    assert 0 < first.cache_write_1h < first.cache_write
    assert first.cache_read == 0
    assert second.cache_read == first.cache_write_1h
    assert second.cache_write_1h == 0


def test_no_two_calls_have_equal_numbers_and_every_run_has_the_same():
    """Twenty equal calls at once, twice."""

    def run():
        with Provider() as running:
            calls = [
                threading.Thread(target=ask, args=(running, "/v1/chat/completions", chat("x")))
                for _ in range(20)
            ]
            for call in calls:
                call.start()
            for call in calls:
                call.join()
            return sorted((entry.usage.input, entry.usage.output) for entry in running.bill.entries)

    first = run()

    assert len(set(first)) == 20
    assert run() == first


def test_calls_can_all_have_equal_numbers():
    """For a test in which numbers must not tell calls apart."""
    with Provider(usage=PLAIN) as running:
        for caller in ("a", "b", "b"):
            ask(running, "/v1/chat/completions", chat(caller))
        ask(running, "/v1/embeddings", {"model": "text-embedding-3-small", "input": "tea"})

        assert [entry.usage for entry in running.bill.entries] == [PLAIN] * 3 + [Usage(input=3_000)]


def test_the_bill_is_priced_exactly(provider):
    """By the price book, an entry at a time; what was not told cannot be priced."""
    book = PriceBook.default()
    ask(provider, "/v1/messages", claude("exact"))
    post(provider, "/v1/chat/completions", chat("plain", stream=True))
    (known, cost), (_, unknown) = provider.bill.priced(book)

    assert isinstance(cost, Cost)
    assert cost == book.price(USAGE, provider="anthropic", model="claude-haiku-4-5", at=known.at)
    assert unknown.reason == "no_usage"


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_the_tier_that_is_asked_for_answers(provider, tier):
    answer = ask(provider, "/v1/chat/completions", chat("plain", service_tier=tier))

    assert answer["service_tier"] == provider.bill.entries[0].service_tier == tier


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/v1/nothing", {}, 404), ("/v1/chat/completions", {}, 400), ("/v1/chat/completions", [], 400)],
)
def test_a_wrong_request_is_told_so(provider, path, body, status):
    assert post(provider, path, body)[0] == status
    assert provider.bill.entries == []
