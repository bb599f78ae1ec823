# SPDX-License-Identifier: Apache-2.0
"""`spancost price` as a user runs it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from decimal import Decimal

import pytest

from spancost.cli import main

START = 1_795_219_200_000_000_000  # 2026-11-21T00:00:00Z
TRACE = "5b8efff798038103d269b633813fc60c"


def value(content):
    """Encode one attribute value as OTLP JSON does."""
    if isinstance(content, bool):
        return {"boolValue": content}
    if isinstance(content, int):
        return {"intValue": str(content)}
    return {"stringValue": content}


def span(number, name, attributes, *, parent=0, start=0, end=1_000, trace=TRACE, failed=False):
    """Return one span of a trace; times are microseconds after START."""
    return {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(START + start * 1_000),
        "endTimeUnixNano": str(START + end * 1_000),
        "attributes": [{"key": k, "value": value(v)} for k, v in attributes.items()],
        "status": {"code": 2} if failed else {},
    }


def request(*spans, scope="opentelemetry.instrumentation.genai.openai", service="shop"):
    """Return one line of a recording."""
    return json.dumps(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": [{"key": "service.name", "value": value(service)}]},
                    "scopeSpans": [{"scope": {"name": scope, "version": "1.3b0"}, "spans": spans}],
                }
            ]
        }
    )


def chat(model="gpt-4o-mini", tokens=(1_000, 100), **more):
    """Return the attributes of a chat call as the official instrumentation writes them."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": tokens[0],
        "gen_ai.usage.output_tokens": tokens[1],
        **more,
    }


AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
PLANNER = request(
    span(2, "chat gpt-4o-mini", chat(), parent=1, start=100, end=900),
    span(
        1,
        "invoke_agent planner",
        AGENT | {"gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 100},
    ),
)


@pytest.fixture
def recording(tmp_path):
    """Write lines to a file and return its name."""

    def write(*lines, name="traces.jsonl"):
        path = tmp_path / name
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return str(path)

    return write


def rows(capsys):
    """Return the JSON lines that were printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_call_below_an_agent_is_one_row_with_its_agent_and_exact_cost(recording, capsys):
    """1,000 tokens at 0.15 and 100 at 0.60 USD per million are 0.00021 USD, once."""
    assert main(["price", "--format", "jsonl", recording(PLANNER)]) == 0

    (row,) = rows(capsys)

    assert row["agent"] == "planner"
    assert Decimal(row["cost_usd"]) == Decimal("0.00021")
    assert {k: Decimal(v) for k, v in row["cost_parts"].items()} == {
        "input": Decimal("0.00015"),
        "output": Decimal("0.00006"),
    }
    assert row["status"] == "priced"
    assert row["start_time"] == "2026-11-21T00:00:00.0001Z"
    assert (row["trace_id"], row["span_id"]) == (TRACE, f"{2:016x}")
    assert row["rule"] == "inclusive"


def test_the_row_has_exactly_the_documented_fields(recording, capsys):
    """A row's fields are an interface: they neither come nor go unnoticed."""
    main(["price", "--format", "jsonl", recording(PLANNER)])

    assert list(rows(capsys)[0]) == [
        "trace_id",
        "span_id",
        "start_time",
        "provider",
        "model",
        "request_model",
        "agent",
        "operation",
        "service_name",
        "usage",
        "cost_usd",
        "cost_parts",
        "cost_source",
        "rate_card",
        "price_book",
        "status",
        "duplicate_of",
        "reason",
        "rule",
        "service_tier",
        "region",
        "flags",
    ]


def test_all_adds_roll_ups_and_copies_without_an_amount(recording, capsys):
    """`--all` shows the agent's sum as a roll-up, and gives it no money."""
    main(["price", "--format", "jsonl", "--all", recording(PLANNER)])

    by_status = {row["status"]: row for row in rows(capsys)}

    assert set(by_status) == {"priced", "rollup"}
    assert by_status["rollup"]["cost_usd"] is None
    assert by_status["rollup"]["span_id"] == f"{1:016x}"


def test_all_names_the_span_a_copy_duplicates(recording, capsys):
    """A client span inside a framework's span of the same call points at the one that carries the amount."""
    outer = request(span(1, "chat gpt-4o-mini", chat()), scope="pydantic-ai")
    inner = request(span(2, "chat gpt-4o-mini", chat(), parent=1, start=10, end=900))

    main(["price", "--format", "jsonl", "--all", recording(inner, outer)])

    by_status = {row["status"]: row for row in rows(capsys)}
    assert by_status["priced"]["span_id"] == f"{1:016x}"
    assert by_status["duplicate"]["duplicate_of"] == f"{1:016x}"
    assert by_status["duplicate"]["cost_usd"] is None


def test_an_unknown_model_is_unpriced_with_its_reason_and_never_zero(recording, capsys):
    """Unknown is not free: no amount at all, and a reason from the closed list."""
    main(["price", "--format", "jsonl", recording(request(span(1, "chat", chat("gpt-99-unheard-of"))))])

    (row,) = rows(capsys)

    assert row["cost_usd"] is None
    assert (row["status"], row["reason"]) == ("unpriced", "unknown_model")


def test_the_table_shows_agent_model_tokens_and_total(recording, capsys):
    """The default output is a table that a person reads."""
    unknown = request(span(7, "chat", chat("gpt-99-unheard-of"), trace="a" * 32))

    main(["price", recording(PLANNER, unknown)])

    out = capsys.readouterr().out
    assert "planner  gpt-4o-mini" in out
    assert "0.000210" in out
    assert "unpriced calls (not in the USD column; never counted as 0):" in out
    assert "1 x unknown_model: openai gpt-99-unheard-of" in out
    assert out.splitlines()[0].split()[:4] == ["agent", "model", "calls", "unpriced"]


def test_by_totals_over_the_given_keys_in_exact_csv(recording, capsys):
    """`--by service,day --csv` gives one exact row a group."""
    main(["price", "--by", "service,day", "--csv", recording(PLANNER)])

    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))

    assert (row["service"], row["day"]) == ("shop", "2026-11-21")
    assert Decimal(row["cost_usd"]) == Decimal("0.00021")
    assert row["calls"] == "1"


def test_csv_has_one_row_a_call_and_one_column_a_number(recording, capsys):
    """Without `--by`, csv is the rows of jsonl, flat."""
    main(["price", "--csv", recording(PLANNER)])

    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))

    assert row["usage_input"] == "1000"
    assert Decimal(row["cost_output_usd"]) == Decimal("0.00006")


def test_a_name_that_a_spreadsheet_takes_for_a_formula_is_defused(recording, capsys):
    """Agents are named by whoever writes spans; a cell must not run."""
    evil = request(span(1, "chat", chat(**{"gen_ai.agent.name": "=cmd|' /C calc'!A0"})))

    main(["price", "--csv", recording(evil)])

    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["agent"].startswith("'=")


def test_a_broken_line_is_named_and_skipped_and_the_status_says_so(recording, capsys):
    """What can be read is priced; what cannot is named with its number."""
    status = main(
        [
            "price",
            "--format",
            "jsonl",
            recording(PLANNER, '{"resourceSpans": [', PLANNER.replace(TRACE, "b" * 32)),
        ]
    )

    captured = capsys.readouterr()

    assert status == 1
    assert len(captured.out.splitlines()) == 2
    assert "line 2" in captured.err


def test_a_missing_file_is_named_and_the_others_are_priced(recording, capsys):
    """One wrong name does not lose the rest."""
    assert main(["price", "--format", "jsonl", "/nowhere/traces.jsonl", recording(PLANNER)]) == 1

    captured = capsys.readouterr()
    assert "/nowhere/traces.jsonl" in captured.err
    assert len(captured.out.splitlines()) == 1


def test_several_files_are_one_recording(recording, capsys):
    """A call and its agent may be in different, rotated files."""
    call = request(span(2, "chat", chat(), parent=1, start=100, end=900))
    agent = request(span(1, "invoke_agent planner", AGENT))

    main(["price", "--format", "jsonl", recording(call, name="1.jsonl"), recording(agent, name="2.jsonl")])

    assert rows(capsys)[0]["agent"] == "planner"


def test_a_span_that_stands_in_the_recording_twice_counts_once(recording, capsys):
    """Exporters retry: the same span written again is the same span."""
    main(["price", "--format", "jsonl", recording(PLANNER, PLANNER)])

    assert len(rows(capsys)) == 1


def test_a_remote_parent_is_a_boundary_unless_asked_otherwise(recording, capsys):
    """A gateway behind a service counts its own call; `--across-services` makes them one."""
    remote = span(2, "chat gpt-4o-mini", chat(), parent=1, start=100, end=900) | {"flags": 0x301}
    lines = (
        request(remote, service="gateway", scope="litellm"),
        request(span(1, "chat gpt-4o-mini", chat())),
    )

    main(["price", "--format", "jsonl", recording(*lines)])
    assert len(rows(capsys)) == 2

    main(["price", "--format", "jsonl", "--across-services", recording(*lines)])
    assert len(rows(capsys)) == 1


def test_an_unknown_key_to_total_by_is_an_error_that_names_the_known_ones(capsys):
    """A wrong command line says what would be right."""
    with pytest.raises(SystemExit) as error:
        main(["price", "--by", "agnet", "x.jsonl"])

    assert error.value.code == 2
    assert "'agnet' is none of agent, model, provider" in capsys.readouterr().err


def test_a_recording_without_calls_says_so(recording, capsys):
    """Nothing found is said in words, not shown as an empty table."""
    assert main(["price", recording(request(span(1, "GET /", {"http.route": "/"}), scope="http"))]) == 0

    assert capsys.readouterr().out == "no LLM calls in 1 spans\n"


def test_the_command_reads_gzip_from_standard_input_and_survives_a_closed_pipe():
    """The installed command works in a pipe whose reader leaves early."""
    many = gzip.compress(
        "".join(PLANNER.replace(TRACE, f"{i:032x}") + "\n" for i in range(1, 5_000)).encode()
    )
    command = [sys.executable, "-c", "import sys; from spancost.cli import main; sys.exit(main())"]
    running = subprocess.Popen(
        [*command, "price", "--format", "jsonl", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running.stdin.write(many)
    running.stdin.close()
    first = json.loads(running.stdout.readline())
    running.stdout.close()

    assert first["agent"] == "planner"
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait() in (0, 141)
