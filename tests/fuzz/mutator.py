# SPDX-License-Identifier: Apache-2.0
"""
Recorded spans of real libraries, made worse: what any program, library or clock may one day do to them.

From one seed comes one endless story: types that no convention allows, numbers out of range, texts of
any size, orders of starts and ends that no stack gives, spans that never end, clocks that run backwards.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spancost.otlp import Span, read_spans
from tests.corpus.scoring import runs_of

SECOND = 10**9
BASE = 1_795_219_200 * SECOND
HOUR = 3600 * SECOND

ODD_VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 0.5, 1e300, float("nan"), float("inf"), -float("inf")),
    *(True, False, "", " ", "unknown", "None", "null", "0", "12", "-3", "NaN", "1e400", "\u200b"),
    *("{", "[]", "{}", '{"input_tokens": "x"}', "{'prompt_tokens': 1", "🤖" * 50, "a/b/c", "gpt-4o"),
    *((), ("a", "b"), (1, 2), (0.5,), (True,)),
)
KEYS = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens"),
    *("gen_ai.request.model", "gen_ai.response.model", "gen_ai.response.id", "gen_ai.operation.name"),
    *("gen_ai.agent.name", "gen_ai.usage.cost", "gen_ai.usage.cost.amount", "gen_ai.usage.cost.source"),
    *("llm.token_count.prompt", "llm.token_count.completion", "openinference.span.kind", "error.type"),
    *("spancost.duplicate_of", "spancost.unpriced", "server.address", "gen_ai.provider.name"),
)


class Step(NamedTuple):
    """One span of a story, as it is to be made."""

    name: str
    scope: str
    version: str
    parent: int | None
    remote: bool
    at_start: dict[str, Any]
    later: dict[str, Any]
    start: int
    end: int
    ends: bool
    failed: bool


class Story(NamedTuple):
    """Spans, and the order in which they start and end: numbers of steps, each twice but for what never ends."""

    steps: list[Step]
    order: list[int]


def recorded() -> list[list[Span]]:
    """Return the traces of every recorded run."""
    traces: dict[str, list[Span]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.jsonl")
        for family in ("clients", "agents"):
            for number, run in enumerate(runs_of(family)):
                if not run.requests:
                    continue
                path.write_text("".join(json.dumps(each) + "\n" for each in run.requests), encoding="utf-8")
                for span in read_spans([path]):
                    traces[f"{family} {number} {span.trace_id}"].append(span)
    return [sorted(spans, key=lambda span: span.start) for spans in traces.values()]


class Mutator:
    """
    Tells stories.

    Args:
        seed: The same seed tells the same.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._traces = recorded()

    def stories(self) -> Iterator[Story]:
        """Yield stories without end."""
        now = BASE
        while True:
            now += self._random.randrange(SECOND // 20)
            yield self._story(now)

    def _story(self, now: int) -> Story:
        rng = self._random
        spans = rng.choice(self._traces)
        if len(spans) > 60:
            at = rng.randrange(len(spans) - 50)
            spans = spans[at : at + 50]
        wild = rng.random() < 0.5
        numbers = {span.span_id: number for number, span in enumerate(spans)}
        first = min(span.start for span in spans)
        skew = rng.choice((0, 0, 0, -HOUR, HOUR, -400 * 24 * HOUR)) if wild else 0
        steps = [self._step(span, numbers, now - first + skew, wild=wild) for span in spans]
        return Story(steps, self._order(spans, steps, wild=wild))

    def _step(self, span: Span, numbers: dict[str, int], shift: int, *, wild: bool) -> Step:
        rng = self._random
        attributes = {key: _settable(value) for key, value in span.attributes.items() if value is not None}
        if wild:
            for _ in range(rng.choice((0, 0, 1, 2, 5))):
                self._spoil(attributes)
        start, end = span.start + shift, (span.end or span.start) + shift
        if wild and rng.random() < 0.1:
            start, end = rng.choice(
                ((end, start), (start, start), (start, start - HOUR), (start, end + HOUR))
            )
        keys = list(attributes)
        cut = rng.randrange(len(keys) + 1) if keys else 0
        parent = numbers.get(span.parent_id)
        if wild and rng.random() < 0.05:
            parent = rng.choice((None, rng.randrange(len(numbers))))
        return Step(
            span.name if not wild or rng.random() < 0.95 else rng.choice(("", "x" * 5000, "chat", "📎")),
            span.scope_name,
            span.scope_version,
            parent,
            wild and rng.random() < 0.03,
            {key: attributes[key] for key in keys[:cut]},
            {key: attributes[key] for key in keys[cut:]},
            max(start, 0),
            max(end, 0),
            not wild or rng.random() < 0.95,
            span.failed or (wild and rng.random() < 0.05),
        )

    def _spoil(self, attributes: dict[str, Any]) -> None:
        rng = self._random
        kind = rng.randrange(5)
        key = rng.choice(list(attributes)) if attributes and rng.random() < 0.6 else rng.choice(KEYS)
        if kind == 0:
            attributes[key] = rng.choice(ODD_VALUES)
        elif kind == 1:
            attributes[key] = rng.randrange(-10, 2 ** rng.randrange(1, 63))
        elif kind == 2:
            attributes.pop(key, None)
        elif kind == 3:
            attributes[key] = "long " * rng.choice((10, 1000, 20_000 // 5))
        else:
            attributes |= {f"custom.{number}": number for number in range(rng.choice((1, 20, 200)))}

    def _order(self, spans: list[Span], steps: list[Step], *, wild: bool) -> list[int]:
        rng = self._random
        moments = [(span.start, 0, n) for n, span in enumerate(spans)]
        moments += [(span.end or span.start, 1, n) for n, span in enumerate(spans) if steps[n].ends]
        order = [n for _, _, n in sorted(moments)]
        if wild and rng.random() < 0.3:
            for _ in range(rng.randrange(1, 6)):
                i, j = rng.randrange(len(order)), rng.randrange(len(order))
                order[i], order[j] = order[j], order[i]
        return order


def _settable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(each for each in value if isinstance(each, type(value[0])))
    return value if isinstance(value, (str, int, float, bool, tuple)) else str(value)
