# SPDX-License-Identifier: Apache-2.0
"""`spancost run -- python app.py`, as real processes: the bill, the exit status, signals, forks, and nothing broken."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request

import pytest

from tests.ports import free_port
from tests.waiting import LIMIT_S, until

SPANCOST = [sys.executable, "-c", "import sys; from spancost.cli import main; sys.exit(main())"]
RUN = [*SPANCOST, "run"]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")

# What every program below begins with: calls by the API alone, as an instrumented client makes them.
PRELUDE = """
import os, sys, time
from opentelemetry import trace
tracer = trace.get_tracer("client")
def chat(tokens=100, model="gpt-4o", agent=None):
    says = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model}
    if agent:
        says["gen_ai.agent.name"] = agent
    with tracer.start_as_current_span("chat", attributes=says) as span:
        span.set_attributes({"gen_ai.usage.input_tokens": tokens, "gen_ai.usage.output_tokens": 10})
"""


class App:
    """A folder with a program, and `spancost run` of it."""

    def __init__(self, folder):
        self.folder = folder
        self.bill = folder / "bill.json"

    def write(self, code, name="app.py", *, prelude=True):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((PRELUDE if prelude else "") + textwrap.dedent(code), encoding="utf-8")
        return path

    def command(self, *options, program=None):
        return [*RUN, *options, "--json", str(self.bill), "--", *(program or [sys.executable, "app.py"])]

    def environment(self, **more):
        return {**os.environ, **more}

    def run(self, *options, program=None, **environment):
        return subprocess.run(
            self.command(*options, program=program),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
            cwd=self.folder,
            env=self.environment(**environment),
        )

    def start(self, *options, program=None, **given):
        return subprocess.Popen(
            self.command(*options, program=program),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment(),
            **given,
        )

    @property
    def calls(self):
        return json.loads(self.bill.read_text())["calls"]

    @property
    def total(self):
        return json.loads(self.bill.read_text())["total"]


@pytest.fixture
def app(tmp_path):
    """Start as from a terminal: these tests too may run under nohup or in the background, which ignore signals."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield App(tmp_path)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_bill_is_on_standard_error_by_agent_and_model(app):
    app.write(
        """
        print("out")
        chat(agent="planner"); chat(agent="planner"); chat(model="gpt-4o-mini", agent="writer"); chat(1000)
        """
    )
    done = app.run()
    lines = [line.split() for line in done.stderr.splitlines() if line]

    assert done.returncode == 0
    assert done.stdout == "out\n"
    assert lines[0] == ["agent", "model", "calls", "input", "cached", "output", "USD"]
    assert ["planner", "gpt-4o", "2", "200", "-", "20"] in [line[:6] for line in lines]
    assert ["writer", "gpt-4o-mini", "1", "100", "-", "10"] in [line[:6] for line in lines]
    assert ["unknown", "gpt-4o", "1", "1,000", "-", "10"] in [line[:6] for line in lines]
    assert lines[-1][:2] == ["total", "4"]


def test_json_has_every_digit(app):
    app.write("chat(agent='planner'); chat(model='no-such-model')")
    app.run()
    bill = json.loads(app.bill.read_text())

    assert bill["total"] == {
        "calls": 2,
        "unpriced_calls": 1,
        "failed_calls": 0,
        "input_tokens": 200,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 20,
        "reasoning_tokens": 0,
        "cost_usd": "0.00035",
    }
    assert [group["agent"] for group in bill["by_agent_and_model"]] == ["planner", None]
    assert [call["cost_usd"] for call in bill["calls"]] == ["0.00035", None]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0),
        ("sys.exit(7)", 7),
        ("raise ValueError('x')", 1),
        ("os._exit(9)", 9),
        ("os.kill(os.getpid(), 9)", 137),
    ],
)
def test_the_exit_status_passes_through_and_what_was_settled_is_billed(app, code, status):
    """Also of a program that is killed: each call is written as it is settled."""
    app.write(f"chat()\n{code}\n")
    done = app.run()

    assert done.returncode == status
    assert app.total["calls"] == 1
    assert "total" in done.stderr


def test_standard_input_is_the_programs(app):
    app.write("print(sys.stdin.read().upper())")
    done = subprocess.run(
        app.command(),
        input="hello",
        capture_output=True,
        text=True,
        cwd=app.folder,
        env=app.environment(),
        check=False,
        timeout=LIMIT_S,
    )

    assert done.stdout == "HELLO\n"


def wait_for(path):
    until(path.exists)


HANDLES = """
import signal
def stop(number, frame):
    chat()
    print("got", signal.Signals(number).name, flush=True)
    sys.exit(3)
for name in ("SIGTERM", "SIGHUP", "SIGUSR1"):
    signal.signal(getattr(signal, name), stop)
open("ready", "w").close()
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_signals_to_the_parent_reach_the_program(app, name):
    app.write(HANDLES)
    running = app.start()
    wait_for(app.folder / "ready")
    running.send_signal(getattr(signal, name))
    out, err = running.communicate(timeout=LIMIT_S)

    assert running.returncode == 3
    assert out == f"got {name}\n"
    assert app.total["calls"] == 1
    assert "total" in err


def test_a_program_that_a_signal_ends_is_billed_too(app):
    app.write("chat()\nopen('ready', 'w').close()\ntime.sleep(60)")
    running = app.start()
    wait_for(app.folder / "ready")
    running.terminate()
    _, err = running.communicate(timeout=LIMIT_S)

    assert running.returncode == 128 + signal.SIGTERM
    assert "total" in err


def test_control_c_on_the_terminal_interrupts_the_program_once(app):
    """The terminal sends it to both; the program decides what it means, and the bill comes after."""
    app.write(
        """
        seen = 0
        try:
            chat()
            open("ready", "w").close()
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(0.3)  # a second one would come here
            chat()
            sys.exit(5)
        """
    )
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(app.folder)
        os.execve(sys.executable, app.command(), app.environment())
    wait_for(app.folder / "ready")
    os.write(terminal, b"\x03")
    said = b""
    with contextlib.suppress(OSError):  # once the terminal's other side is closed
        while chunk := os.read(terminal, 4096):
            said += chunk
    _, status = os.waitpid(pid, 0)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) == 5
    assert app.total["calls"] == 2
    assert b"total" in said
    assert b"Traceback" not in said


def test_what_is_ignored_stays_ignored(app):
    """As under nohup."""
    app.write(
        "import signal\nprint(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, signal.getsignal(signal.SIGINT))"
    )
    running = app.start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    out, _ = running.communicate(timeout=LIMIT_S)

    assert out.startswith("True <built-in function default_int_handler>")


def test_forks_workers_and_subprocesses_are_in_the_bill(app):
    app.write(
        """
        import multiprocessing, subprocess
        def work(n):
            chat(100 + n)
            trace.get_tracer("client").start_span("chat", attributes={
                "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}).end()  # waits for usage
        if __name__ == "__main__":
            chat(1)
            pid = os.fork()
            if not pid:
                chat(2)
                os._exit(0)
            os.waitpid(pid, 0)
            worker = multiprocessing.get_context("fork").Process(target=work, args=(1,))
            worker.start(); worker.join()
            worker = multiprocessing.get_context("spawn").Process(target=work, args=(2,))
            worker.start(); worker.join()
            subprocess.run([sys.executable, "other.py"], check=True)
        """
    )
    app.write("chat(4)", "other.py")
    done = app.run()

    assert done.returncode == 0, done.stderr
    inputs = sorted(call["usage"]["input"] for call in app.calls if call["usage"])
    assert inputs == [1, 2, 4, 101, 102]
    assert sum(call["reason"] == "no_usage" for call in app.calls) == 2


def test_a_program_that_becomes_a_daemon_does_not_get_our_bytes_into_its_files(app):
    """It closes every file, and the next it opens has the number that the journal had."""
    app.write(
        """
        os.closerange(3, 256)
        files = [open(f"mine{n}", "w") for n in range(30)]
        chat()
        for file in files:
            file.close()
        """
    )
    app.run()

    assert {path.read_text() for path in app.folder.glob("mine*")} == {""}
    assert app.total["calls"] == 1


OWN_PROVIDER = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
class Mine(SpanExporter):
    def export(self, spans):
        for span in spans:
            print(span.name, span.attributes.get("gen_ai.usage.cost.amount"), flush=True)
        return SpanExportResult.SUCCESS
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Mine()))
"""


def test_a_program_with_its_own_provider_exports_the_cost(app):
    app.write(OWN_PROVIDER + "trace.set_tracer_provider(provider)\nchat()\n")
    done = app.run()

    assert done.stdout == "chat 0.00035\n"
    assert app.total["calls"] == 1


def test_a_provider_that_comes_late_gets_the_spans_from_then_on(app):
    app.write("chat(1)\n" + OWN_PROVIDER + "chat(2)\ntrace.set_tracer_provider(provider)\nchat()\n")
    done = app.run()

    assert done.stdout == "chat 0.00035\n"
    assert app.total["calls"] == 3


def test_a_program_with_a_cost_processor_of_its_own_keeps_its_settings(app):
    app.write(
        OWN_PROVIDER
        + """
import spancost
ours = spancost.CostSpanProcessor(labels=["team"], default_agent="main", run_attributes=True)
provider.add_span_processor(ours)
trace.set_tracer_provider(provider)
with spancost.agent("planner", team="growth"):
    chat()
chat()
print(*sorted(copy.values[-1] for copy in ours.meter._series.copies()))
"""
    )
    done = app.run()

    assert done.stdout == "chat 0.00035\nchat 0.00035\n growth\n"
    assert [call["agent"] for call in app.calls] == ["planner", "main"]
    assert "spancost:" not in done.stderr


def test_a_cost_processor_made_after_the_first_span_is_no_reason_to_fail(app):
    app.write("chat()\nimport spancost\nspancost.CostSpanProcessor(labels=['team'])\nchat()\n")
    done = app.run()

    assert done.returncode == 0
    assert app.total["calls"] == 2
    assert "has a cost processor with other settings already" in done.stderr


def test_a_test_with_a_private_processor_works_in_a_metered_program(app):
    app.write(
        OWN_PROVIDER
        + """
import spancost
mine = spancost.CostSpanProcessor(private=True)
provider.add_span_processor(mine)
trace.set_tracer_provider(provider)
chat()
print(len(mine.meter._series.copies()))
"""
    )

    assert app.run().stdout == "chat 0.00035\n1\n"
    assert app.total["calls"] == 1


def test_a_pipeline_that_takes_no_further_processor_does_not_stop_the_program(app):
    app.write(
        """
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        TracerProvider(active_span_processor=SpanProcessor())
        chat()
        """
    )
    done = app.run()

    assert done.returncode == 0
    assert "a TracerProvider is not metered" in done.stderr
    assert app.total["calls"] == 1


@pytest.mark.parametrize("sampler", ["always_off", "traceidratio"])
def test_what_the_environment_says_of_sampling_is_not_about_the_bill(app, sampler):
    app.write("chat()")
    app.run(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG="0")

    assert app.total["calls"] == 1


def test_the_programs_sitecustomize_runs_and_its_path_is_kept(app):
    app.write("print('mine', flush=True)", "site/sitecustomize.py", prelude=False)
    app.write(
        "import sitecustomize, json\nprint(sitecustomize.__file__)\nprint(os.environ['PYTHONPATH'])\nchat()\n"
    )
    done = app.run(**on_path(app.folder / "site"))
    mine, file, path = done.stdout.splitlines()[-3:]  # spancost itself runs it, too

    assert mine == "mine"
    assert file == str(app.folder / "site" / "sitecustomize.py")
    assert path.endswith(os.pathsep + on_path(app.folder / "site")["PYTHONPATH"])
    assert app.total["calls"] == 1


def on_path(folder):
    """Return an environment in which Python looks into a folder first."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *([before] if before else [])])}


def library(app, module, name="", code="", *, entry=None):
    """Install a made-up library, or an instrumentation with an entry point, into the program's folder."""
    app.write(code, f"lib/{module}.py", prelude=False)
    if entry:
        info = app.folder / "lib" / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name or module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[opentelemetry_instrumentor]\n{entry}\n")
    return on_path(app.folder / "lib")


def test_without_calls_it_names_the_instrumentation_to_install(app):
    path = library(app, "anthropic")
    app.write("import anthropic")
    done = app.run(**path)

    assert "no LLM call was metered" in done.stderr
    assert "pip install opentelemetry-instrumentation-genai-anthropic    (for anthropic)" in done.stderr


def test_what_is_on_already_is_not_advised(app):
    """The instrumentation itself imports its library."""
    on = "class On:\n    def instrument(self):\n        print('on', flush=True)\n"
    library(app, "anthropic")
    path = library(app, "made_up", "made-up", f"import anthropic\n{on}", entry="anthropic = made_up:On")
    app.write("")
    done = app.run(**path)

    assert done.stdout == "on\n"
    assert "pip install" not in done.stderr
    assert "Switched on, and silent: anthropic" in done.stderr


def test_a_package_of_the_programs_own_that_is_called_agents_is_no_library(app):
    app.write("", "agents/__init__.py", prelude=False)
    app.write("import agents")

    assert "pip install" not in app.run().stderr


@pytest.mark.parametrize("code", ["import no_such_module", "raise RuntimeError('broken')", "class On: pass"])
def test_a_broken_instrumentation_does_not_stop_the_program(app, code):
    path = library(app, "broken", code=code, entry="broken = broken:On")
    app.write("chat()\nprint('done')")
    done = app.run(**path)

    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "the instrumentation broken could not be switched on" in done.stderr
    assert app.total["calls"] == 1


def test_instrumentations_of_two_vendors_for_one_library_are_both_switched_on(app):
    """They use one name, and no vendor's is the right one for everybody; copies are found."""
    for vendor in ("one", "two"):
        on = f"class On:\n    def instrument(self):\n        print('{vendor}', flush=True)\n"
        path = library(app, vendor, code=on, entry=f"openai = {vendor}:On")
    app.write("")

    assert sorted(app.run(**path).stdout.split()) == ["one", "two"]


def test_an_instrumentation_can_be_left_out(app):
    path = library(app, "broken", code="raise RuntimeError", entry="broken = broken:On")
    app.write("chat()")

    assert "broken" not in app.run(**path, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="broken").stderr


def test_no_advice_is_given_about_what_is_not_known(app):
    """Nothing of the program was Python that could be metered, or it was killed."""
    assert "No Python process" in app.run(program=["true"]).stderr
    assert "No Python process" in app.run(program=[sys.executable, "-I", "-c", "pass"]).stderr
    app.write("os.kill(os.getpid(), 9)")
    assert "was killed" in app.run().stderr
    app.write("pass")
    assert "imported no LLM library" in app.run().stderr


def test_disabled_runs_the_program_as_it_is(app):
    app.write(
        "print('SPANCOST_RUN_JOURNAL' in os.environ, 'sitecustomize' in str(sys.path)); chat(); sys.exit(4)"
    )
    done = app.run(SPANCOST_DISABLED="true")

    assert (done.returncode, done.stdout, done.stderr) == (4, "False False\n", "")
    assert not app.bill.exists()


def test_metrics_are_served_while_it_runs(app):
    app.write("chat()\nopen('ready', 'w').close()\nwhile not os.path.exists('stop'):\n    time.sleep(0.02)\n")
    port = free_port()
    running = app.start("--metrics-port", str(port))
    wait_for(app.folder / "ready")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S) as answer:
        text = answer.read().decode()
    (app.folder / "stop").touch()
    running.communicate(timeout=LIMIT_S)

    assert running.returncode == 0
    assert "gen_ai_cost_usd_total{" in text
    assert 'gen_ai_response_model="gpt-4o"' in text


def test_a_port_that_is_taken_does_not_stop_the_program(app):
    app.write("chat()")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        done = app.run("--metrics-port", str(listener.getsockname()[1]))

    assert done.returncode == 0
    assert "/metrics is not served" in done.stderr
    assert app.total["calls"] == 1


@pytest.mark.parametrize(
    ("program", "status", "says"),
    [(["no-such-program"], 127, "command not found"), (["./script"], 126, "Exec format error")],
)
def test_what_cannot_be_run_is_said(app, program, status, says):
    script = app.folder / "script"
    script.write_text("\0\0")
    script.chmod(0o755)
    done = app.run(program=program)

    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_written_is_said_before_the_program_runs(app):
    app.write("print('ran')")
    app.bill = app.folder / "nowhere" / "bill.json"
    done = app.run()

    assert (done.returncode, done.stdout) == (126, "")
    assert "bill.json" in done.stderr


def test_nothing_to_run_is_a_usage_error():
    done = subprocess.run(RUN, capture_output=True, text=True, check=False, timeout=LIMIT_S)

    assert done.returncode == 2
    assert "spancost run -- python app.py" in done.stderr


def test_a_closed_standard_error_does_not_change_the_status(app):
    app.write("sys.exit(6)")
    done = subprocess.run(
        ["sh", "-c", '"$@" 2>&-', "sh", *app.command()],
        check=False,
        timeout=LIMIT_S,
        cwd=app.folder,
        env=app.environment(),
    )

    assert done.returncode == 6


# --- prices ------------------------------------------------------------------------------------

FILE = {"openai": {"gpt-4o": {"input": 5, "output": 15}}, "default": {"input": 7, "output": 7}}


def test_the_program_is_priced_by_a_pricing_file(app):
    """By an argument, by a variable, and by one in the folder; the argument decides."""
    app.write("chat(); chat(model='no-such-model')")
    (app.folder / "named.json").write_text(json.dumps(FILE))
    (app.folder / "model_pricing.json").write_text(
        json.dumps({"openai": {"gpt-4o": {"input": 1, "output": 1}}})
    )

    def usd(*options, **environment):
        assert app.run(*options, **environment).returncode == 0
        return [call["cost_usd"] for call in app.calls]

    assert usd("--pricing", "named.json") == ["0.00065", None]
    assert usd("--pricing", "named.json", "--assume-default") == ["0.00065", "0.00077"]
    assert usd(SPANCOST_PRICING_CONFIG="named.json") == ["0.00065", None]
    assert usd(SPARK_PRICING_CONFIG="named.json", SPANCOST_ASSUME_DEFAULT="1") == ["0.00065", "0.00077"]
    assert usd() == ["0.00011", None]
    assert usd("--pricing", "built-in") == ["0.00035", None]


def test_a_pricing_file_that_breaks_after_the_start_leaves_the_program_alone(app):
    """It runs unmetered, says so, and its exit status is its own."""
    app.write("chat(); sys.exit(3)")
    done = app.run(program=["sh", "-c", f"echo '{{' > model_pricing.json; exec {sys.executable} app.py"])
    assert done.returncode == 3
    assert "the program runs unmetered" in done.stderr
    assert "model_pricing.json" in done.stderr
