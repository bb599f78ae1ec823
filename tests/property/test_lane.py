# SPDX-License-Identifier: Apache-2.0
"""Whatever a program does, calls that go straight (`processor.lane`) leave what they leave by the engine."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision

from spancost.processor.links import ATOMIC
from tests.kit import LANGSMITH, OPENINFERENCE_LANGCHAIN, SECOND
from tests.lane_programs import Program, Settings

SCOPE = "client"
LATER_SCOPES = ["framework", "gateway", OPENINFERENCE_LANGCHAIN, LANGSMITH]

GENAI = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
IN, OUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
READ, WRITE = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"
HOUR, REASONING = "gen_ai.usage.cache_creation.1h_input_tokens", "gen_ai.usage.reasoning_tokens"
ID = "gen_ai.response.id"

CALLS = {
    "chat": (GENAI, {}, (IN, OUT)),
    "answered": (GENAI, {"gen_ai.response.model": "gpt-4o-2024-08-06", ID: ""}, (IN, OUT)),
    "mini": (GENAI | {"gen_ai.request.model": "gpt-4o-mini"}, {ID: ""}, (IN, OUT, READ)),
    "claude": (
        GENAI | {"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"},
        {ID: ""},
        (IN, OUT, READ, WRITE, HOUR),
    ),
    "reasons": (GENAI | {"gen_ai.request.model": "o3"}, {}, (IN, OUT, READ, WRITE, HOUR, REASONING)),
    "embed": (
        GENAI | {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "text-embedding-3-small"},
        {},
        (IN,),
    ),
    "stream": (GENAI | {"gen_ai.request.stream": True, "server.address": "api.openai.com"}, {}, (IN, OUT)),
    "old and new": (
        GENAI,
        {"gen_ai.usage.total_tokens": 110},
        (IN, OUT, "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"),
    ),
    "tier": (GENAI, {"gen_ai.openai.response.service_tier": "priority"}, (IN, OUT, READ)),
    "deepseek": (
        GENAI | {"gen_ai.provider.name": "deepseek", "gen_ai.request.model": "deepseek-chat"},
        {},
        (IN, OUT, READ),
    ),
    "region": (
        GENAI
        | {
            "gen_ai.provider.name": "aws.bedrock",
            "gen_ai.request.model": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "server.address": "bedrock-runtime.eu-west-1.amazonaws.com",
        },
        {},
        (IN, OUT),
    ),
    "own name": (GENAI | {"gen_ai.agent.name": "own"}, {}, (IN, OUT)),
    "unknown": (GENAI | {"gen_ai.request.model": "no-such-model"}, {}, (IN, OUT)),
    "openinference": (
        {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.provider": "openai"},
        {},
        ("llm.token_count.prompt", "llm.token_count.completion"),
    ),
    "all at its end": ({}, GENAI | {"http.status": 200}, (IN, OUT)),
    "by usage alone": ({}, {"gen_ai.request.model": "gpt-4o"}, (IN, OUT)),
}
"""What calls say at their start, what at their end beside usage, and under which keys their usage is."""

OTHERS = {
    "agent": {"gen_ai.operation.name": "invoke_agent"},
    "tool": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"},
    "http": {},
    "workflow": {"gen_ai.operation.name": "invoke_workflow"},
    "chain": {"openinference.span.kind": "CHAIN"},
}
SAYINGS = [{"gen_ai.agent.name": "late"}, GENAI, OTHERS["agent"], {IN: 100, OUT: 10}, {"plain": 1}]
PLAIN_USAGES = [
    (100, 10, 0, 0, 0, 0),
    (100, 10, 50, 0, 0, 5),
    (200, 20, 0, 60, 60, 0),
    (300, 30, 100, 100, 40, 20),
    (1, 1, 0, 0, 0, 0),
]
ODD_USAGES = [
    (),
    (0, 0, 0, 0, 0, 0),
    (True, 10, 0, 0, 0, 0),
    (100.0, 10, 0, 0, 0, 0),
    ("100", 10, 0, 0, 0, 0),
    (-1, 10, 0, 0, 0, 0),
    (2**53 + 1, 3, 0, 0, 0, 0),
    (10**13, 10**13, 0, 0, 0, 0),
    (10**15, 1, 0, 0, 0, 0),
    (100, 10, 200, 300, 400, 500),
    (0, 10, 0, 0, 0, 0),
]
SAMPLES = [Decision.RECORD_AND_SAMPLE] * 4 + [Decision.RECORD_ONLY] * 2 + [Decision.DROP]

programs = st.tuples(st.integers(5, 30), st.integers(0, 2**64))
"""How many scenes, and the seed they come from: fewer scenes of one seed are the beginning of more."""


class Scenes:
    """
    What a program does, scene by scene; each is some steps.

    Args:
        choose: Draws it.
        settings: What is the same for the whole program.
        length: How many scenes there are.
    """

    def __init__(self, choose, settings, length):
        self._choose = choose
        self._settings = settings
        self._length = length
        self._calls = 0
        self._names = 0
        self._usages = [PLAIN_USAGES[0]]
        self._at = 0

    def steps(self):
        """Yield all steps."""
        if self._settings.warm:
            for kind in self._settings.calls * 2:
                yield from self._whole(kind, {"scope": SCOPE}, usage=PLAIN_USAGES[0])
        wild = self._settings.wild
        weights = {
            self.call: 30,
            self.other: 6,
            self.end: 6,
            self.begin: 6 * wild,
            self.surrounding: 3,
            self.copy: 2,
            self.wrapper: 1,
            self.roll_up: 1,
            self.afterwards: 2,
            **dict.fromkeys(
                [self.late_name, self.rename, self.drop, self.flush, self.scrape, self.replace], 1
            ),
        }
        for at in range(self._length):
            self._at = at
            (scene,) = self._choose.choices(list(weights), list(weights.values()))
            yield from scene()
            yield self._wait()

    # --- pieces ----------------------------------------------------------------------------------------

    def _wait(self):
        times = [0, 10**6, SECOND] + [61 * SECOND, 601 * SECOND] * self._settings.leaps
        return "wait", (self._choose.choice(times),), {}

    def _name(self):
        self._names += 1
        return f"span {self._names}"

    @property
    def _is_late(self):
        return self._settings.later_scope is not None and self._at >= self._length * self._settings.late_from

    def _place(self):
        """Return where and how a span starts."""
        choose = self._choose
        place = {"where": choose.randrange(1000), "provider": choose.choice([0, 0, 0, 1])}
        if self._settings.sampling:
            place["sample"] = choose.choice(SAMPLES)
        place["bare"] = choose.random() < 0.2
        place["late"] = choose.random() < 0.1
        place["by_ids"] = self._settings.by_ids and choose.random() < 0.1
        place["below_calls"] = choose.random() < (0.4 if self._settings.wild else 0.05)
        return place

    def _says(self, kind, usage=None, response_id=None):
        """Return what a call says at its start, and at its end."""
        choose = self._choose
        at_start, at_end, keys = CALLS[kind]
        self._calls += 1
        if ID in at_end:
            again = f"id {max(1, self._calls - choose.randrange(4))}"
            own = f"id {self._calls}" if choose.random() < 0.8 else again
            if self._settings.odd and choose.random() < 0.1:
                own = choose.choice(["", 7, ["a", "b"], True])
            at_end = at_end | {ID: own if response_id is None else response_id}
        if usage is None:
            odd = self._settings.odd and choose.random() < 0.2
            usage = choose.choice(ODD_USAGES if odd else PLAIN_USAGES)
        if "gen_ai.request.stream" in at_start and self._settings.odd:
            at_start = at_start | {"gen_ai.request.stream": choose.choice([True, True, True, 1, 1.0, "true"])}
        self._usages.append(usage)
        return at_start, at_end | dict(zip(keys, usage, strict=False))

    def _whole(self, kind, place, usage=None, response_id=None):
        """Yield a call that ends before anything else happens."""
        at_start, at_end = self._says(kind, usage, response_id)
        name = self._name()
        yield "start", (kind, at_start), {"is_call": True, "called": name} | place
        yield self._wait()
        how = {"failed": self._choose.random() < 0.04, "back": 10 * SECOND * (self._choose.random() < 0.04)}
        yield "end", (name, at_end), how

    def _kind(self):
        return self._choose.choice(self._settings.calls)

    # --- scenes --------------------------------------------------------------------------------------

    def call(self):
        """Make some calls in one place, now and then by the scope that appears late."""
        scope = self._settings.later_scope if self._is_late and self._choose.random() < 0.2 else SCOPE
        kind, place = self._kind(), self._place() | {"scope": scope}
        for _ in range(self._choose.choice([1, 1, 2, 6])):
            yield from self._whole(kind, place)

    def begin(self):
        """Begin a call; another scene ends it."""
        at_start, _ = self._says(self._kind())
        yield "start", (self._kind(), at_start), {"is_call": True, "scope": SCOPE} | self._place()

    def other(self):
        """Begin a span that is no call."""
        kind = self._choose.choice(sorted(OTHERS))
        says = dict(OTHERS[kind])
        if kind == "agent" and self._choose.random() < 0.7:
            says["gen_ai.agent.name"] = self._choose.choice("ab")
        scopes = [SCOPE, "app"] + [self._settings.later_scope] * self._is_late
        yield "start", (kind, says), {"scope": self._choose.choice(scopes)} | self._place()

    def end(self):
        """End whatever is open, in a wild program with the usage of a call."""
        says = {}
        if self._settings.wild and self._choose.random() < 0.7:
            _, says = self._says(self._kind(), self._choose.choice(self._usages[-4:]))
        yield "end", (self._choose.randrange(1000), says), {"failed": self._choose.random() < 0.05}

    def copy(self):
        """Let another scope show a call as well: around it, inside it, or beside it by its id."""
        if not self._is_late:
            return
        scope, kind = {"scope": self._settings.later_scope, "is_call": True}, self._kind()
        usage, place = self._choose.choice(PLAIN_USAGES), self._place()
        at_start, at_end = self._says(kind, usage)
        name, same_id = self._name(), at_end.get(ID)
        way = self._choose.choice(["outside", "inside", "sibling", "after"])
        if way in {"outside", "sibling"}:
            yield "start", (kind, at_start), place | scope | {"called": name}
            inner = {"where": place["where"]} if way == "sibling" else {"where": 0}
            yield from self._whole(kind, inner | {"scope": SCOPE}, usage, same_id)
            yield "end", (name, at_end), {}
        elif way == "inside":
            yield "start", (kind, at_start), place | {"scope": SCOPE, "is_call": True, "called": name}
            yield from self._whole(kind, {"where": self._choose.choice([0, name])} | scope, usage, same_id)
            yield "end", (name, at_end), {}
        else:
            yield from self._whole(kind, place | {"scope": SCOPE}, usage, same_id)
            yield from self._whole(kind, self._place() | scope, usage, same_id)

    def wrapper(self):
        """Make calls below a plain span, which turns out a call at its end, or not."""
        at_end = self._choose.choice([GENAI, {"gen_ai.request.model": "gpt-4o"}])
        yield from self._around("http", {}, at_end)

    def roll_up(self):
        """Make calls below an agent or a workflow, or beside it, that sums them up at its end."""
        kind = self._choose.choice(["agent", "workflow"])
        yield from self._around(kind, OTHERS[kind], {})

    def _around(self, kind, at_start, at_end):
        choose = self._choose
        outer, between = self._name(), self._name()
        scope = {"scope": choose.choice(["app", SCOPE])}
        yield "start", (kind, at_start), self._place() | scope | {"called": outer}
        usages = choose.choices(PLAIN_USAGES, k=choose.randint(1, 3))
        where = choose.choice([outer, outer, between, 0])
        if where is between:
            kind = choose.choice(["http", "http", "agent", "tool"])
            yield "start", (kind, OTHERS[kind]), {"scope": "app", "where": outer, "called": between}
        for usage in usages:
            yield from self._whole(self._kind(), {"scope": SCOPE, "where": where}, usage)
        if where is between and choose.random() < 0.8:
            yield "end", (between,), {}
            where = outer
        if choose.random() < 0.3:
            yield from self._whole(self._kind(), {"scope": SCOPE, "where": where})
        summed = [sum(each) for each in zip(*usages, strict=True)]
        usage = choose.choice([summed, usages[0], usages[-1], PLAIN_USAGES[4], None])
        if usage is not None:
            at_end = at_end | {IN: usage[0], OUT: usage[1]}
        yield "end", (outer, at_end), {}

    def afterwards(self):
        """End a call, and what stood below it; then something begins below either."""
        call, below = self._name(), self._name()
        at_start, at_end = self._says(self._kind())
        place = self._place() | {"scope": SCOPE, "is_call": True, "called": call}
        yield "start", (self._kind(), at_start), place
        says = self._choose.choice([{}, {}, OTHERS["tool"]])
        yield "start", ("http", says), {"scope": "app", "where": call, "called": below}
        first, second = self._choose.choice([(below, call), (below, call), (call, below)])
        yield "end", (first, at_end if first is call else {}), {}
        if self._choose.random() < 0.4:
            yield "start", ("http", {}), {"scope": "app", "where": first, "called": f"{call} late"}
        yield "end", (second, at_end if second is call else {}), {}
        where = self._choose.choice([call, below])
        if self._choose.random() < 0.6:
            yield from self._whole(self._kind(), {"scope": SCOPE, "where": where})
        else:
            yield "start", ("http", {}), {"scope": "app", "where": where}

    def late_name(self):
        """Say more on an open span."""
        yield "say", (self._choose.randrange(1000), self._choose.choice(SAYINGS)), {}

    def rename(self):
        """Give an open span another name."""
        yield "rename", (self._choose.randrange(1000), self._choose.choice([*self._settings.calls, "x"])), {}

    def drop(self):
        """Lose an open span."""
        if self._settings.drops:
            yield "drop", (self._choose.randrange(1000),), {}

    def flush(self):
        """Settle all that waits."""
        yield "flush", (), {}

    def scrape(self):
        """Look at all series."""
        yield "scrape", (), {}

    def surrounding(self):
        """Enter a block or set baggage, or leave it."""
        if self._settings.surroundings and self._choose.random() < 0.5:
            yield "enter", (self._choose.choice("pq"),), {"by_baggage": self._choose.random() < 0.3}
        elif self._settings.surroundings:
            yield "leave", (), {}

    def replace(self):
        """Put another price table in force."""
        if self._settings.replaces:
            yield "replace", (self._choose.randrange(2),), {}


def ran(length, seed, *, straight, **fixed):
    """Run a program, its calls straight where they can or all by the engine; return it and what was seen."""
    settings = Settings(random.Random(seed), CALLS, LATER_SCOPES, **fixed)
    program = Program(settings, straight=straight)
    return program, program.run(Scenes(random.Random(seed + 1), settings, length).steps())


def same_both_ways(length, seed, **fixed):
    """Run a program both ways, hold together what was seen; return how many calls went straight, and how many there were."""
    one, by_lane = ran(length, seed, straight=True, **fixed)
    other, by_engine = ran(length, seed, straight=False, **fixed)
    for what, seen in by_lane.items():
        assert seen == by_engine[what], what
    assert other.straight.calls == 0
    return one.straight.calls, len(one.calls)


def test_calls_that_go_straight_leave_what_the_engine_leaves():
    straight = asked = 0

    @given(programs)
    def check(drawn):
        nonlocal straight, asked
        length, seed = drawn
        for number in range(4):
            found = same_both_ways(length, seed + 2 * number)
            straight, asked = straight + found[0], asked + found[1]

    check()
    assert straight > asked / 6 or not ATOMIC, "too few calls go straight for this to say anything"
