# SPDX-License-Identifier: Apache-2.0
"""Compares three accounts of the same calls: the provider's bill, the exported spans, and /metrics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from demo.replies import EMBEDDINGS
from spancost import Cost, PriceBook, money

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from demo.provider import Bill, Entry

AMOUNT: Final = "gen_ai.usage.cost.amount"
DUPLICATE: Final = "spancost.duplicate_of"


class Series(NamedTuple):
    """What tells one counter of /metrics from another."""

    agent: str
    provider: str
    request_model: str
    model: str
    operation: str
    token_type: str


class Scrape:
    """The text of /metrics, read."""

    def __init__(self, text: str) -> None:
        self.cost: dict[Series, float] = {}
        self.tokens: dict[Series, float] = {}
        self.calls: Counter[Series] = Counter()
        """By series without a token type; failed calls too."""
        self.failed = 0
        for name, labels, value in _samples(text):
            if name == "gen_ai_cost_usd_total":
                self.cost[_series(labels)] = value
            elif name == "gen_ai_tokens_total":
                self.tokens[_series(labels)] = value
            elif name == "gen_ai_calls_total":
                self.calls[_series(labels)] += int(value)
                self.failed += int(value) if labels["error_type"] else 0


def _samples(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _series(labels: Mapping[str, str]) -> Series:
    return Series(
        labels["gen_ai_agent_name"],
        labels["gen_ai_provider_name"],
        labels["gen_ai_request_model"],
        labels["gen_ai_response_model"],
        labels["gen_ai_operation_name"],
        labels.get("gen_ai_token_type", ""),
    )


class Accounts:
    """
    Keeps what the bill comes to, round by round, and says where the other accounts differ from it.

    Args:
        bill: The provider's bill.
    """

    def __init__(self, bill: Bill) -> None:
        self._bill = bill
        self._book = PriceBook.default()
        self._entries = 0
        self._cost: Counter[Series] = Counter()
        self._tokens: Counter[Series] = Counter()
        self.femto = 0
        """The whole bill in 1e-15 USD."""

    def compare(self, spans: Sequence[Mapping[str, Any]], scrape: Scrape) -> list[str]:
        """
        Take in a round and return the differences, a sentence each.

        Args:
            spans: The attributes of the spans exported in this round.
            scrape: /metrics after it, with all rounds so far.
        """
        billed: Counter[tuple[str, str, float]] = Counter()
        for entry, cost in self._bill.priced(self._book, after=self._entries):
            self._entries += 1
            if not isinstance(cost, Cost):
                continue
            billed[entry.caller or "", entry.model, float(cost)] += 1
            self._add(entry, cost)
        return [*_calls_that_differ(billed, spans), *self._sums_that_differ(scrape), *self._counts(scrape)]

    def _add(self, entry: Entry, cost: Cost) -> None:
        self.femto += cost.femto
        operation = "embeddings" if entry.api == EMBEDDINGS else "chat"
        key = Series(entry.caller or "", entry.provider, entry.requested_model, entry.model, operation, "")
        for token_type, femto in cost.femto_parts.items():
            self._cost[key._replace(token_type=token_type)] += femto
        if entry.usage is not None:
            for token_type, count in entry.usage.by_token_type().items():
                self._tokens[key._replace(token_type=token_type)] += count

    def _sums_that_differ(self, scrape: Scrape) -> Iterator[str]:
        """Compare what money and tokens come to; a counter shows an exact sum as the nearest float."""
        cost = {key: money.to_float(femto) for key, femto in self._cost.items() if femto}
        tokens = {key: float(count) for key, count in self._tokens.items() if count}
        for what, billed, metered in (("USD", cost, scrape.cost), ("tokens", tokens, scrape.tokens)):
            shown = {key: value for key, value in metered.items() if value}
            for key in sorted({*billed, *shown}):
                if billed.get(key) != shown.get(key):
                    yield (
                        f"{key.agent}, {key.model}, {key.token_type}: the bill has {billed.get(key, 0)!r} "
                        f"{what}, /metrics has {shown.get(key, 0)!r}"
                    )

    def _counts(self, scrape: Scrape) -> Iterator[str]:
        """Compare how many calls there were: a refused one is a call, one that was sent again is not two."""
        failed = sum(entry.delivered != "full" for entry in self._bill.entries)
        failed += sum(refusal.status == 429 for refusal in self._bill.refusals)
        answered = sum(entry.delivered == "full" for entry in self._bill.entries)
        metered = scrape.calls.total() - scrape.failed
        if (answered, failed) != (metered, scrape.failed):
            yield (
                f"the server answered {answered} calls and {failed} failed; "
                f"/metrics counts {metered} and {scrape.failed}"
            )


def _calls_that_differ(
    billed: Counter[tuple[str, str, float]], spans: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Compare call by call: agent, model and amount, which is the float nearest to the exact cost."""
    carried = Counter(
        (
            str(span.get("gen_ai.agent.name", "")),
            str(span.get("gen_ai.response.model") or span.get("gen_ai.request.model")),
            span[AMOUNT],
        )
        for span in spans
        if AMOUNT in span
    )
    for agent, model, amount in (billed - carried).elements():
        yield f"{agent}, {model}: {amount!r} USD is on the bill and on no span"
    for agent, model, amount in (carried - billed).elements():
        yield f"{agent}, {model}: {amount!r} USD is on a span and not on the bill"
    for span in spans:
        if AMOUNT in span and DUPLICATE in span:
            yield f"a span carries {span[AMOUNT]!r} USD and is marked as a copy"
