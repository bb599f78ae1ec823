# SPDX-License-Identifier: Apache-2.0
"""
Score the package on recorded runs of real libraries, whose truth is what went over the wire.

usage: python -m tests.corpus.scoring [--write] [--pack FOLDER] [-v]

Without options it scores every variant and compares with tests/corpus_scores.json; ``--write`` writes
that file anew, for its difference to be reviewed; ``--pack`` packs a corpus folder into tests/data.

All runs of a family go through one recording. Per run: a *found* call is a call of the truth whose
usage some span shows and that one row matches; an *extra* row has usage and matches no call; *usage*
is right where every number that the spans let anyone know is right; *agent* where some span of the
call's trace names it; an agent is *invented* where nobody named one.
"""

from __future__ import annotations

import argparse
import collections
import json
import lzma
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spancost.book import PriceBook
from spancost.calls.pricing import Pricer
from spancost.files.recording import Recording
from spancost.files.rows import row_of_call
from spancost.otlp import read_spans

DATA = Path(__file__).resolve().parents[1] / "data" / "corpus"
SCORES = Path(__file__).resolve().parents[1] / "corpus_scores.json"
FAMILIES = ("clients", "agents")
GOOD = ("found", "usage", "agent")
BAD = ("extra", "invented")

_BASE = 1_795_219_200 * 10**9  # 2026-11-21
_MINUTE = 60 * 10**9
_ID_KEYS = (
    "response.id",
    "response_id",
    "responseId",
    "message.id",
    "generation_id",
    "request.id",
    "request_id",
)
_USAGE = re.compile(r"usage|token", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_LIFTED = re.compile(
    r"(usage\.(input_tokens|prompt_tokens|total_tokens)|token_count\.(prompt|total)"
    r"|ai\.usage\.(inputTokens|promptTokens|totalTokens|inputTokenDetails\.noCacheTokens))$"
)
_CONTENT = (
    "message",
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "content",
    "definition",
    "tool",
)


class Variant(NamedTuple):
    """How the runs are laid out: time between them, order of spans, tokens added to every input."""

    gap: int = _MINUTE
    shuffled: bool = False
    lift: int = 0


VARIANTS: Mapping[str, Variant] = {
    "apart": Variant(),
    "busy": Variant(gap=10**9, shuffled=True),
    "lifted": Variant(lift=100_000),
}


class Run:
    """One recorded run: its spans, flat, and the truth."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.id: str = record["id"]
        self.library = str(record["library"])
        self.requests: list[dict[str, Any]] = record["spans"]
        self.calls: list[dict[str, Any]] = record["truth"]["calls"]
        observed = record["truth"].get("observed") or {}
        self.observed: list[dict[str, Any] | None] = observed.get("calls") or [None] * len(self.calls)
        self.is_of_agents = record["starts"] is not None
        self.spans = list(self._spans())

    def _spans(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for request in self.requests:
            for resource_spans in request["resourceSpans"]:
                for scope_spans in resource_spans.get("scopeSpans", []):
                    for span in scope_spans["spans"]:
                        yield resource_spans, span

    def move(self, index: int, gap: int) -> None:
        """Give the run its own time and its own response ids, so that nothing joins runs by accident."""
        first = min((int(span["startTimeUnixNano"]) for _, span in self.spans), default=0)
        shift = _BASE + index * gap - first
        ids = {call.get("response_id") for call in self.calls} - {None, ""}
        for _, span in self.spans:
            for key in ("startTimeUnixNano", "endTimeUnixNano"):
                span[key] = str(int(span[key]) + shift)
            for attribute in _attributes(span):
                text = attribute["value"].get("stringValue")
                if text and (text in ids or attribute["key"].endswith(_ID_KEYS)):
                    attribute["value"]["stringValue"] = f"{text}-run{index}"

    def lift(self, amount: int) -> bool:
        """
        Raise the uncached input of every call on spans and truth; False where usage is (also) in text.

        Recorded inputs rarely have more uncached than cached tokens, so "cached above input" hides
        dialects that are wrong.
        """
        if not any(
            (c.get("cache_read_tokens") or 0) + (c.get("cache_write_tokens") or 0) for c in self.calls
        ):
            return False
        attributes = [a for _, span in self.spans for a in _attributes(span)]
        for a in attributes:
            says_usage = _USAGE.search(a["key"]) or "response_data" in a["key"]
            if says_usage and "{" in a["value"].get("stringValue", ""):
                return False
        for call in self.calls:
            if call.get("uncached_input_tokens"):
                call["uncached_input_tokens"] += amount
        for a in attributes:
            if _LIFTED.search(a["key"]):
                _raise(a["value"], amount)
        return True


def _raise(value: dict[str, Any], amount: int) -> None:
    for kind, cast in (("intValue", str), ("doubleValue", float)):
        if float(value.get(kind) or 0) > 0:
            value[kind] = cast(int(float(value[kind])) + amount)


def _attributes(span: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for holder in (span, *span.get("events", [])):
        yield from holder.get("attributes", [])


def runs_of(family: str) -> list[Run]:
    """Return the packed runs of a family."""
    with lzma.open(DATA / f"{family}.jsonl.xz", "rt", encoding="utf-8") as lines:
        return [Run(json.loads(line)) for line in lines]


def price(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Price requests as one file and return the rows."""
    rows: list[dict[str, Any]] = []
    recording = Recording()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recording.jsonl")
        path.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
        recording.add_all(read_spans([path]))
    recording.replay(Pricer(PriceBook.default()), lambda call: rows.append(row_of_call(call)))
    return rows


def score(
    family: str, variant: Variant, say: Callable[[str], None] = lambda _: None
) -> dict[str, dict[str, int]]:
    """Score one family in one variant and return the tallies by library; *say* gets what is wrong."""
    runs = runs_of(family)
    if variant.lift:
        runs = [run for run in runs if run.lift(variant.lift)]
    home = {}
    for index, run in enumerate(runs):
        run.move(index, variant.gap)
        home.update((span["traceId"], index) for _, span in run.spans)
    requests = [request for run in runs for request in run.requests]
    if variant.shuffled:
        random.Random(1).shuffle(requests)
    rows_of = collections.defaultdict(list)
    for row in price(requests):
        rows_of[home[row["trace_id"]]].append(row)
    tallies: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for index, run in enumerate(runs):
        tallies[run.library].update(_Judgement(run, rows_of[index], say).tally())
    return {library: dict(sorted(tally.items())) for library, tally in sorted(tallies.items())}


class _Judgement:
    """One run's rows against its truth."""

    def __init__(self, run: Run, rows: list[dict[str, Any]], say: Callable[[str], None]) -> None:
        self.run = run
        self.say = say
        self.rows = [row for row in rows if sum(_numbers(row.get("usage")).values())]
        self.pools = [_usage_numbers(span) for _, span in run.spans]
        self.truths = [_truth(call) for call in run.calls]
        self.response_ids: dict[str, set[str]] = collections.defaultdict(set)
        for _, span in run.spans:
            for attribute in span.get("attributes", []):
                text = attribute["value"].get("stringValue")
                if text and attribute["key"].endswith(_ID_KEYS):
                    self.response_ids[span["spanId"]].add(text)
        self.carried = [self._is_carried(j) for j in range(len(run.calls))]

    def tally(self) -> collections.Counter[str]:
        """Match rows and calls, and count what is right."""
        counted: collections.Counter[str] = collections.Counter()
        row_of, matched = self._match()
        left = [i for i in range(len(self.rows)) if i not in matched]
        absent = [j for j, call in enumerate(self.run.calls) if not call["error"] and j not in row_of]
        left, absent = self._take_aggregate(left, absent)
        counted["extra"] = self._extra(left, row_of)
        for j, call in enumerate(self.run.calls):
            if not self.carried[j]:
                continue
            counted["calls"] += 1
            if j not in row_of:
                if j in absent:
                    self._tell("missing", self.truths[j])
                continue
            counted["found"] += 1
            counted["usage"] += self._usage_is_right(j, row_of[j])
            counted["invented"] += not call.get("agent") and bool(row_of[j].get("agent"))
            if call.get("agent") and self._is_named(j, row_of[j]):
                counted["agents"] += 1
                counted["agent"] += self._agent_is_right(call, row_of[j])
        return counted

    def _tell(self, kind: str, what: object) -> None:
        self.say(f"{kind} {self.run.id}: {what}")

    def _is_carried(self, j: int) -> bool:
        call, seen = self.run.calls[j], self.run.observed[j]
        if call["error"]:
            return False
        if self.run.is_of_agents:
            return bool(call.get("usage_sent") and self._shown(j, self.pools))
        return bool(seen and seen["carried_by"])

    def _shown(self, j: int, pools: list[set[int]]) -> list[set[int]]:
        """Return the numbers of the spans that could be this call's: an input beside an output."""
        truth = self.truths[j]
        outputs = {truth["output"], truth["output"] - truth["reasoning"]}
        whole, read, write = truth["input"], truth["cache_read"], truth["cache_write"]
        inputs = {whole, whole - read - write, whole - write}
        return [pool for pool in pools if pool & outputs and pool & inputs]

    def _match(self) -> tuple[dict[int, dict[str, Any]], set[int]]:
        pairs = sorted(
            (
                (self._affinity(row, j), i, j)
                for i, row in enumerate(self.rows)
                for j in range(len(self.truths))
            ),
            reverse=True,
        )
        row_of: dict[int, dict[str, Any]] = {}
        matched: set[int] = set()
        for sure, i, j in pairs:
            if sure and i not in matched and j not in row_of:
                row_of[j] = self.rows[i]
                matched.add(i)
        return row_of, matched

    def _affinity(self, row: dict[str, Any], j: int) -> int:
        """Return how surely a row is a call; 0 is no."""
        call, truth, seen, mine = (
            self.run.calls[j],
            self.truths[j],
            self.run.observed[j],
            _numbers(row.get("usage")),
        )
        sure = 0
        ids = self.response_ids.get(row["span_id"], ())
        if call.get("response_id") and any(call["response_id"] in each for each in ids):
            sure += 8
        spans = [*seen.get("spans", ()), *seen.get("raw_copies", ())] if seen else []
        if any(span["span_id"] == row["span_id"] for span in spans):
            sure += 8
        cached = truth["cache_read"] + truth["cache_write"]
        outputs = {truth["output"] + part for part in (0, truth["reasoning"], -truth["reasoning"])}
        parts = (0, cached, -cached, -truth["cache_read"], -truth["cache_write"])
        inputs = {truth["input"] + part for part in parts}
        if mine["output"] in outputs and mine["input"] in inputs:
            sure += 4 + sum(mine[key] == truth[key] for key in ("input", "output", "cache_read"))
        elif (mine["output"] and mine["output"] in outputs) or (mine["input"] and mine["input"] in inputs):
            sure += 2  # found, with a wrong number: not missing, and not one row too many
        return sure + bool(sure and call.get("agent") and row.get("agent") == call["agent"])

    def _is_real(self, row: dict[str, Any]) -> bool:
        """Tell whether a row's numbers stand on its span."""
        on_span = {span["spanId"]: pool for (_, span), pool in zip(self.run.spans, self.pools, strict=True)}
        return bool({n for n in _numbers(row["usage"]).values() if n} & on_span.get(row["span_id"], set()))

    def _take_aggregate(self, left: list[int], absent: list[int]) -> tuple[list[int], list[int]]:
        """Let one aggregate stand for the calls that nothing else showed; a second counts them twice."""
        for i in left:
            stands = "aggregated" in (self.rows[i].get("flags") or ()) and self._is_real(self.rows[i])
            if stands and absent and not any(self.carried[j] for j in absent):
                return [each for each in left if each != i], []
        return left, absent

    def _extra(self, left: list[int], row_of: dict[int, dict[str, Any]]) -> int:
        """Count the rows too many; a cut stream's numbers, or some that lie, are no call and no extra."""
        loose = sum(
            1
            for j, call in enumerate(self.run.calls)
            if j not in row_of and (call["error"] or not self.carried[j])
        )
        strangers = [
            i
            for i in left
            if self._is_real(self.rows[i])
            and not any(self._affinity(self.rows[i], j) for j in range(len(self.truths)))
        ]
        extra = len(left) - min(len(strangers), loose)
        if extra:
            self._tell("extra", [(self.rows[i]["span_id"], self.rows[i]["usage"]) for i in left])
        return extra

    def _usage_is_right(self, j: int, row: dict[str, Any]) -> bool:
        mine, truth = _numbers(row.get("usage")), self.truths[j]
        seen = self.run.observed[j]
        known = self._knowable(j, row["trace_id"]) if seen is None else _knowable_of(truth, seen)
        right = all(mine[key] == truth[key] for key in known)
        if not right:
            self._tell(
                "usage", {"want": truth, "got": mine, "knowable": sorted(known), "rule": row.get("rule")}
            )
        return right

    def _knowable(self, j: int, trace_id: str) -> set[str]:
        """Return which numbers the spans of a trace allow anyone to know."""
        truth = self.truths[j]
        pools = [
            p for (_, span), p in zip(self.run.spans, self.pools, strict=True) if span["traceId"] == trace_id
        ]
        known = {"input", "cache_read", "cache_write", "output"}
        for pool in self._shown(j, pools):
            known = {key for key in ("cache_read", "cache_write") if not truth[key] or truth[key] in pool}
            if truth["input"] in pool or len(known) == 2:
                known.add("input")
            if truth["output"] in pool or truth["reasoning"] in pool:
                known.add("output")
            if len(known) == 4:
                break
        return known

    def _agent_is_right(self, call: dict[str, Any], row: dict[str, Any]) -> bool:
        right = bool(row.get("agent") == call["agent"])
        if not right:
            self._tell("agent", {"want": call["agent"], "got": row.get("agent"), "span": row["span_id"]})
        return right

    def _is_named(self, j: int, row: dict[str, Any]) -> bool:
        """Tell whether a span of the call's traces says its agent's name, outside of content."""
        agent = self.run.calls[j]["agent"]
        traces = {row["trace_id"]}
        for (_, span), pool in zip(self.run.spans, self.pools, strict=True):
            if self._shown(j, [pool]):
                traces.add(span["traceId"])
        whole = re.compile(rf"(?<!\w){re.escape(agent)}(?!\w)")
        for resource_spans, span in self.run.spans:
            if span["traceId"] not in traces:
                continue
            said = [*span.get("attributes", []), *resource_spans["resource"].get("attributes", [])]
            if whole.search(span["name"]) or any(_says(attribute, agent) for attribute in said):
                return True
        return False


def _says(attribute: dict[str, Any], agent: str) -> bool:
    value = next(iter(attribute["value"].values()), None)
    if not isinstance(value, str) or value.strip('"') != agent:
        return False
    return not any(word in attribute["key"] for word in _CONTENT)


def _knowable_of(truth: dict[str, int], seen: dict[str, Any]) -> set[str]:
    """Return which numbers the recording found to be knowable."""
    known = {"input", "cache_read", "cache_write", "output"}
    for part in ("cache_read", "cache_write"):
        said = str(seen.get(part))
        if said.startswith("wrong") or (said not in ("ok", "ok_in_json") and truth[part]):
            known.discard(part)
    lost = {
        "excludes_cache": not {"cache_read", "cache_write"} <= known,
        "excludes_cache_write": "cache_write" not in known,
    }
    if lost.get(seen["input"], seen["input"] in ("other", "cohere_raw_tokens", "excludes_tool_use_prompt")):
        known.discard("input")
    unseen_reasoning = seen["output"] == "excludes_reasoning" and seen.get("reasoning") not in (
        "ok",
        "ok_in_json",
    )
    if unseen_reasoning or seen["output"] in ("other", "cohere_raw_tokens"):
        known.discard("output")
    return known


def _numbers(usage: dict[str, Any] | None) -> dict[str, int]:
    usage = usage or {}
    return {
        key: int(usage.get(key) or 0) for key in ("input", "cache_read", "cache_write", "output", "reasoning")
    }


def _truth(call: dict[str, Any]) -> dict[str, int]:
    read, write = call.get("cache_read_tokens") or 0, call.get("cache_write_tokens") or 0
    return {
        "input": (call.get("uncached_input_tokens") or 0) + read + write,
        "cache_read": read,
        "cache_write": write,
        "output": call.get("output_tokens") or 0,
        "reasoning": call.get("reasoning_tokens") or 0,
    }


def _usage_numbers(span: dict[str, Any]) -> set[int]:
    """Return every number under a usage-like key of a span and its events, JSON text included."""
    found: set[int] = set()
    for attribute in _attributes(span):
        if _USAGE.search(attribute["key"]):
            found |= {int(float(n)) for n in _NUMBER.findall(json.dumps(attribute["value"]))}
    return found


# --- the scores file --------------------------------------------------------------------------------


def cases() -> Iterator[tuple[str, str]]:
    """Yield every family and variant that is scored."""
    for family in FAMILIES:
        for name, variant in VARIANTS.items():
            if not (variant.lift and family == "agents"):  # the recorded truth of agents is not liftable
                yield family, name


def kept_scores() -> dict[str, dict[str, dict[str, int]]]:
    """Return the scores that were reviewed, by family and variant, then library."""
    kept: dict[str, dict[str, dict[str, int]]] = json.loads(SCORES.read_text(encoding="utf-8"))
    return kept


def write_scores(scores: dict[str, dict[str, dict[str, int]]]) -> None:
    """Write the scores, one line a library."""
    blocks = []
    for key, by_library in scores.items():
        lines = [f"  {json.dumps(library)}: {json.dumps(tally)}" for library, tally in by_library.items()]
        blocks.append(f" {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n }")
    SCORES.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


def drops(kept: dict[str, dict[str, int]], now: dict[str, dict[str, int]]) -> list[str]:
    """Return where the scores are worse than those kept, one line each."""
    lines = []
    for library in sorted(kept.keys() | now.keys()):
        before, after = kept.get(library, {}), now.get(library, {})
        changed = [key for key in ("calls", "agents") if before.get(key, 0) != after.get(key, 0)]
        changed += [key for key in GOOD if before.get(key, 0) > after.get(key, 0)]
        changed += [key for key in BAD if before.get(key, 0) < after.get(key, 0)]
        lines += [f"{library}: {key} {before.get(key, 0)} -> {after.get(key, 0)}" for key in changed]
    return lines


def pack(folder: Path) -> None:
    """Pack a corpus folder into the tests' data, the same bytes every time."""
    import gzip

    DATA.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        with gzip.open(folder / f"{family}.jsonl.gz", "rb") as lines:
            packed = lzma.compress(lines.read(), preset=9 | lzma.PRESET_EXTREME)
        (DATA / f"{family}.jsonl.xz").write_bytes(packed)


def main() -> int:
    """Score, and compare with the scores kept or write them anew."""
    say = sys.stdout.write
    cli = argparse.ArgumentParser(prog="python -m tests.corpus.scoring")
    cli.add_argument("--write", action="store_true", help="write tests/corpus_scores.json anew")
    cli.add_argument("--pack", type=Path, metavar="FOLDER", help="pack a corpus folder into tests/data first")
    cli.add_argument("-v", action="store_true", help="name every call that is missing or wrong")
    options = cli.parse_args()
    if options.pack:
        pack(options.pack)
    scores = {}
    worse = []
    for family, name in cases():
        key = f"{family}, {name}"
        scores[key] = score(
            family, VARIANTS[name], (lambda line: say(line + "\n")) if options.v else (lambda _: None)
        )
        total = collections.Counter[str]()
        for tally in scores[key].values():
            total.update(tally)
        say(f"{key}: " + ", ".join(f"{what} {number}" for what, number in sorted(total.items())) + "\n")
        if not options.write:
            worse += [f"{key}: {line}" for line in drops(kept_scores()[key], scores[key])]
    if options.write:
        write_scores(scores)
    for line in worse:
        say(f"worse: {line}\n")
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
