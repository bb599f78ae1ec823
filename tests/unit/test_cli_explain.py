# SPDX-License-Identifier: Apache-2.0
"""`spancost explain` as a user runs it."""

from __future__ import annotations

import json

import pytest

from spancost.cli import main

START = 1_795_219_200_000_000_000
TRACE = "5b8efff798038103d269b633813fc60c"


def line(scope, *spans):
    """Return one line of a recording from (number, parent, name, start, end, attributes)."""

    def attribute(key, content):
        kind = "intValue" if isinstance(content, int) else "stringValue"
        return {"key": key, "value": {kind: str(content)}}

    encoded = [
        {
            "traceId": TRACE,
            "spanId": f"{number:016x}",
            "parentSpanId": f"{parent:016x}" if parent else "",
            "name": name,
            "startTimeUnixNano": str(START + start),
            "endTimeUnixNano": str(START + end),
            "attributes": [attribute(k, v) for k, v in attributes.items()],
        }
        for number, parent, name, start, end, attributes in spans
    ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": encoded}]}]})


CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 100,
}


@pytest.fixture
def trace(tmp_path):
    """Write a trace: an HTTP request, an agent, a framework's call and the client's copy of it."""
    path = tmp_path / "trace.jsonl"
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
    path.write_text(
        "\n".join(
            [
                line("opentelemetry.instrumentation.openai_v2", (4, 3, "chat gpt-4o-mini", 30, 70, CALL)),
                line(
                    "pydantic-ai",
                    (3, 2, "chat gpt-4o-mini", 20, 80, CALL),
                    (2, 1, "invoke_agent planner", 10, 90, agent),
                ),
                line("http", (1, 0, "POST /ask", 0, 100, {"http.route": "/ask"})),
            ]
        )
    )
    return str(path)


def test_every_span_says_what_it_is_and_why(trace, capsys):
    """The tree names the call, its copy, its agent, the rule of each, and the rates."""
    assert main(["explain", trace]) == 0

    out = capsys.readouterr().out

    assert f"trace {TRACE}  1 call  0.000210 USD" in out
    assert "└─ POST /ask  [http]  not ours" in out
    assert "invoke_agent planner  [pydantic-ai]  agent 'planner' (by gen_ai.agent.name)" in out
    assert "chat gpt-4o-mini  [pydantic-ai]  CALL  0.00021 USD (list price)" in out
    assert "2 spans are copies of it" in out
    assert f"copy of span {3:016x}: counted there" in out
    assert f"inside span {3:016x}, no agent or tool between" in out
    assert "usage by rule inclusive: input 1,000, output 100" in out
    assert "rates      input 0.15" in out


def test_a_stack_that_loses_cached_tokens_is_named(trace, capsys):
    """A known weakness of an instrumentation is told where its spans are."""
    main(["explain", trace])

    assert (
        "opentelemetry.instrumentation.openai_v2: cached tokens are not reported: costs are upper bounds"
        in capsys.readouterr().out
    )


def test_one_trace_is_chosen_by_the_beginning_of_its_id(trace, capsys):
    """`--trace` takes a prefix in any case, and a trace that is not there is an error."""
    assert main(["explain", "--trace", TRACE[:8].upper(), trace]) == 0
    assert TRACE in capsys.readouterr().out

    assert main(["explain", "--trace", "ffff", trace]) == 1
    assert "trace 'ffff' is not in the recording" in capsys.readouterr().err


def test_control_characters_in_names_reach_no_terminal(tmp_path, capsys):
    """A span's name comes from anybody; it must not drive the terminal."""
    path = tmp_path / "evil.jsonl"
    path.write_text(line("x", (1, 0, "chat \x1b[2J\n", 0, 1, CALL)))

    main(["explain", str(path)])

    assert "\x1b" not in capsys.readouterr().out
