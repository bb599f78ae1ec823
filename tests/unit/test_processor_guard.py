# SPDX-License-Identifier: Apache-2.0
"""Nothing that fails inside a hook reaches the program: it is counted by cause, and logged once a cause."""

from __future__ import annotations

import importlib
import logging

import pytest

from spancost import CostSpanProcessor, agent
from spancost.processor.guard import Guard
from spancost.processor.links import ATOMIC
from spancost.processor.writer import Reach, Writer
from spancost.testing import strict
from tests.kit import counts
from tests.live_kit import Live, chat_says, run_python

# Every step of the hooks by the name under which it is called, and the cause that is counted.
STEPS = [
    ("spancost.processor.starts", "current_block", "on_start"),
    ("spancost.processor.starts", "LiveNode", "on_start"),
    ("spancost.processor.starts", "is_detached", "on_start"),
    ("spancost.processor.starts", "baggage.get_baggage", "on_start"),
    ("spancost.processor.starts", "Starts.node", "on_start"),
    ("spancost.processor.quick", "get_current", None),  # then the other way is taken
    ("spancost.processor.quick", "are_foreign", None),
    ("spancost.processor.quick", "is_plain_name", None),
    ("spancost.processor.quick", "partial", None),
    ("spancost.processor.quick", "ref", None),
    ("spancost.processor.tree", "Tree._parent", "on_start"),
    ("spancost.processor.tree", "Tree.node_of", "on_end"),
    ("spancost.processor.tree", "link_of", "on_start"),
    ("spancost.processor.tree", "node_in", "on_end"),
    ("spancost.processor.tree", "attach", "on_start"),
    ("spancost.processor.state", "Engine.start", "on_start"),
    ("spancost.processor.state", "LiveState.do", "on_start"),
    ("spancost.processor.state", "attributes_of", "on_start"),
    ("spancost.processor.ends", "attributes_of", "on_end"),
    ("spancost.processor.ends", "read_span", "on_end"),
    ("spancost.processor.state", "Engine.end", "on_end"),
    ("spancost.processor.settled", "Pricer.__call__", "on_end"),
    ("spancost.processor.ends", "marks_of", "on_end"),
    ("spancost.processor.ends", "run_marks_of", "on_end"),
    ("spancost.processor.settled", "new_runs", "on_end"),
    ("spancost.processor.settled", "meter_call", "meter"),
    ("spancost.processor.labels", "Labels.values", "meter"),
    ("spancost.processor.settled", "Settled.price", "on_end"),
    ("spancost.processor.settled", "Settled.emit", "on_end"),
    ("spancost.processor.settled", "Settled.charge", "on_end"),
    ("spancost.processor.settled", "Settled.end_run", "on_end"),
    ("spancost.processor.settled", "Settled.hint", "on_end"),
    ("spancost.processor.tree", "Tree.node_at_end", "on_end"),
    ("spancost.processor.ends", "Ends.finish", "on_end"),
    ("spancost.processor.settled", "Settled.end_block", "agent_block"),
    ("spancost.processor.state", "Engine.settle_early", "force_flush"),
    ("spancost.processor.marks", "agent_of_call", None),  # where the call is settled it is not asked
    ("spancost.processor.live", "LiveNode.look", "on_end"),
    ("spancost.processor.live", "said_by", "on_end"),
    ("spancost.processor.live", "snapshot_of", "on_end"),
    ("spancost.processor.live", "glance", "on_end"),
    ("spancost.processor.tree", "remember_start", "on_start"),
    ("spancost.processor.advice", "advise", "on_start"),
    ("spancost.processor.state", "writer", "on_end"),
    ("spancost.meter", "Meter.count", "meter"),
    ("spancost.meter", "Meter.record_run", "meter"),
]


class InjectedError(Exception):
    pass


def injected(*_, **__):
    raise InjectedError


def patch(monkeypatch, module, name):
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    ways = Writer(injected, injected, Reach.ALL)
    monkeypatch.setattr(owner, last, (lambda: ways) if last == "writer" else injected)


def use_everything(live):
    """Make every hook of the SDK and of the blocks run."""
    with agent("block"), live.agent("span"):
        with live.span("outer", chat_says(), scope="framework"):
            live.chat(name="inner")
        live.chat(name="next")
    live.provider.force_flush()
    live.provider.shutdown()
    return ["inner", "outer", "next", "invoke_agent span"]


@pytest.mark.parametrize(("module", "name", "where"), STEPS)
def test_a_step_that_raises_never_reaches_the_program(module, name, where, monkeypatch, caplog):
    patch(monkeypatch, module, name)  # first: the engine is given some of the steps when it is made
    live = Live(run_attributes=True, labels=("team",))

    names = use_everything(live)

    for exporter in (live.before, live.after):
        assert [each for each, _, _ in exporter.spans] == names
    if where is not None:
        cause = f"{where}_InjectedError"
        assert live.errors[cause] >= 1
        logged = [r for r in caplog.records if r.name == "spancost" and f"in {where};" in r.getMessage()]
        assert len(logged) == 1
        assert logged[0].levelno == logging.ERROR
        assert logged[0].exc_info[0] is InjectedError


@pytest.mark.parametrize(("module", "name"), [step[:2] for step in STEPS if step[2]])
def test_a_step_that_raises_does_under_strict(module, name, monkeypatch):
    patch(monkeypatch, module, name)  # first: the engine is given some of the steps when it is made
    live = Live(run_attributes=True, labels=("team",))

    with pytest.raises(InjectedError), strict():
        use_everything(live)


def test_what_fails_in_a_listener_leaves_the_call_counted():
    live = Live()
    live.processor.on_call(injected)
    live.chat()

    assert live.metered == live.before.femto > 0
    assert live.errors == {"on_call_InjectedError": 1}


def test_what_fails_is_logged_once_and_counted_each_time(monkeypatch, caplog):
    live = Live()
    monkeypatch.setattr("spancost.processor.expecting.read_span", injected)
    monkeypatch.setattr("spancost.processor.ends.read_span", injected)
    for _ in range(5):
        live.chat()

    # The first span is looked at when it starts, and every one where there is no quick way; else a scrape does it.
    assert live.errors == {"on_start_InjectedError": 1 if ATOMIC else 5, "on_end_InjectedError": 5}
    assert len(caplog.records) == 2


def test_after_a_failure_the_next_call_is_as_ever(monkeypatch):
    live = Live()
    with monkeypatch.context() as patched:
        patched.setattr("spancost.calls.Engine.end", injected)
        live.chat()
    live.chat()

    assert live.metered == live.before.femto > 0


def test_a_counter_or_log_handler_that_fails_reaches_nobody():
    class Broken(logging.Filter):
        def filter(self, _):
            raise InjectedError

    broken = Broken()
    logger = logging.getLogger("spancost")
    logger.addFilter(broken)
    try:
        with Guard("anywhere", injected):
            injected()
    finally:
        logger.removeFilter(broken)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_the_programs(error):
    with pytest.raises(error), Guard("anywhere", lambda _: None):
        raise error


def test_abandoned_spans_are_guarded_too(monkeypatch, capsys):
    """Python would print what fails in a weak reference's callback, once a span."""
    live = Live()
    span = live.open_chat()
    monkeypatch.setattr("spancost.calls.Engine.end", injected)
    del span
    live.processor.force_flush()

    assert live.errors == {"abandoned_InjectedError": 1}
    assert capsys.readouterr().err == ""


def test_strict_ends_with_its_block():
    live = Live()
    with strict():
        pass
    live.processor.on_start(None)

    assert live.errors == {"on_start_AttributeError": 1}


def test_the_environment_switches_strict_on():
    code = """
        from spancost import CostSpanProcessor
        CostSpanProcessor(private=True).on_start(None)
        """
    done = run_python(code, SPANCOST_STRICT="1")

    assert "AttributeError" in done.stderr
    assert done.returncode == 1
    assert run_python(code, SPANCOST_STRICT="").returncode == 0


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.usage.input_tokens": "many"},
        {"gen_ai.usage.input_tokens": 2**70},
        {"gen_ai.agent.name": 7, "gen_ai.request.model": (1, 2)},
        {"gen_ai.provider.name": "\ud800"},
        {"gen_ai.usage.input_tokens": float("nan"), "gen_ai.usage.output_tokens": -1},
        {"gen_ai.response.id": True, "error.type": 5},
    ],
)
def test_whatever_is_on_a_span_is_no_error(attributes):
    live = Live()
    with strict():
        span = live.start("chat", chat_says() | counts((100, 10)) | attributes)
        span.end()
        live.processor.force_flush()

    assert live.counted <= 1


def test_a_disabled_processor_has_an_empty_meter(monkeypatch):
    monkeypatch.setenv("SPANCOST_DISABLED", "true")
    processor = CostSpanProcessor()
    live = Live(processor=processor)
    use_everything(live)

    assert live.before.femto == 0
    assert processor.meter.collect() is not None
    assert processor.force_flush()
    processor.on_call(injected)
