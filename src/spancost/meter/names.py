# SPDX-License-Identifier: Apache-2.0
"""The names that leave the process: metrics with their types, labels and help texts (design section 6)."""

from __future__ import annotations

from typing import Final, NamedTuple

BASE_LABELS: Final = (
    "service_name",
    "gen_ai_agent_name",
    "gen_ai_provider_name",
    "gen_ai_response_model",
    "gen_ai_request_model",
    "gen_ai_operation_name",
)
"""On every series of a call, in the order of the first fields of `MeteredCall`."""

RUN_LABELS: Final = BASE_LABELS[:2]
"""On a run of an agent: its calls may be of several models."""

TOKEN_TYPE: Final = "gen_ai_token_type"  # noqa: S105 - the name of a label
OTHER: Final = "__other__"
"""The value of a label that has no room for one more (design 5.12)."""

UNKNOWN: Final = "unknown"
"""The value of a base label that a call says nothing about."""

ALL_LABELS: Final = "__all__"
"""In `spancost_series_overflow_total`: there was room in each label, but not for one more label set."""

_PARTITION: Final = (
    "gen_ai_token_type is a partition, so a sum over it is the whole: input is uncached text only, cached"
    " tokens are cache_read, cache_write and cache_write_1h, output includes reasoning, audio and images"
    " are apart"
)


class Spec(NamedTuple):
    """
    One metric.

    Args:
        name: As in the design, without ``_total``.
        kind: Its type in OpenMetrics.
        help: One or two sentences for the people who read it.
        labels: What it has beyond the base labels.
        unit: Its unit, which its name ends in, or empty.
        per_call: Whether it has the base labels and the configured extra ones.
        adds_up: Whether a gauge of a group of processes is the sum of theirs.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    per_call: bool = True
    adds_up: bool = False


COST: Final = Spec(
    "gen_ai_cost_usd",
    "counter",
    f"Cost of LLM calls in US dollars at list prices, or as the provider reported it. {_PARTITION}; an"
    " amount that cannot be split is unallocated.",
    (TOKEN_TYPE, "gen_ai_usage_cost_source"),
    "usd",
)
CALL_COST: Final = Spec(
    "gen_ai_operation_cost_usd",
    "histogram",
    "Cost of one LLM call in US dollars; unpriced calls are not in it.",
    unit="usd",
)
TOKENS: Final = Spec(
    "gen_ai_tokens",
    "counter",
    f"Tokens of LLM calls, unpriced ones too. {_PARTITION}. Answers from a response cache are not counted.",
    (TOKEN_TYPE,),
    "tokens",
)
REASONING: Final = Spec(
    "gen_ai_reasoning_tokens",
    "counter",
    "Reasoning tokens of LLM calls. They are also inside gen_ai_tokens_total as output: do not add them.",
    unit="tokens",
)
CALLS: Final = Spec(
    "gen_ai_calls",
    "counter",
    "LLM calls, each once however many spans show it. error_type is empty when the call succeeded.",
    ("error_type",),
)
DURATION: Final = Spec(
    "gen_ai_operation_duration_seconds",
    "histogram",
    "How long one LLM call took, in seconds.",
    unit="seconds",
)
UNPRICED: Final = Spec(
    "gen_ai_unpriced_calls",
    "counter",
    "LLM calls that have no cost, by reason. Their cost is unknown, not zero.",
    ("reason",),
)
FAILED_COST: Final = Spec(
    "gen_ai_failed_cost_usd",
    "counter",
    "Cost in US dollars of LLM calls that failed and were billed; it is also inside gen_ai_cost_usd_total.",
    unit="usd",
)
CACHE_SAVINGS: Final = Spec(
    "gen_ai_cache_read_savings_usd",
    "counter",
    "What reading input from the provider's cache saved, in US dollars: cached tokens at the input rate"
    " less what they cost. The net saving is this less gen_ai_cache_write_premium_usd_total.",
    unit="usd",
)
CACHE_PREMIUM: Final = Spec(
    "gen_ai_cache_write_premium_usd",
    "counter",
    "What writing input to the provider's cache cost above the plain input rate, in US dollars.",
    unit="usd",
)
RUN_COST: Final = Spec(
    "gen_ai_agent_run_cost_usd",
    "histogram",
    "Cost of one run of an agent in US dollars, the agents it called included: runs inside runs are in"
    " both, so a sum over agents is not the spend.",
    unit="usd",
    per_call=False,
)
REPORTED: Final = Spec(
    "spancost_reported_cost_usd",
    "counter",
    "What providers reported in US dollars, only for calls that also have an estimate.",
    unit="usd",
)
ESTIMATED: Final = Spec(
    "spancost_estimated_cost_usd",
    "counter",
    "Our estimate in US dollars of the calls in spancost_reported_cost_usd_total; never added to it.",
    unit="usd",
)
FLAGGED: Final = Spec(
    "spancost_flagged_calls",
    "counter",
    "LLM calls about whose amount or tokens there is something to know, by flag.",
    ("flag",),
)
DUPLICATES: Final = Spec(
    "spancost_duplicates",
    "counter",
    "Spans that show a call which another span already carries; they are counted nowhere else.",
    per_call=False,
)
UNCARRIED: Final = Spec(
    "spancost_uncarried_cost_usd",
    "counter",
    "Cost in US dollars that is in gen_ai_cost_usd_total, but on no exported span: the span that would"
    " carry it never ended.",
    unit="usd",
    per_call=False,
)
RATE: Final = Spec(
    "spancost_rate_usd_per_million",
    "gauge",
    "List price in US dollars per 1,000,000 tokens in force now, of every model in use: the ordinary"
    " service tier, below every threshold of size.",
    ("gen_ai_provider_name", "gen_ai_response_model", TOKEN_TYPE),
    per_call=False,
)
BOOK: Final = Spec(
    "spancost_price_book",
    "info",
    "The price book that prices the calls.",
    ("version", "digest", "source"),
    per_call=False,
)
BOOK_TIME: Final = Spec(
    "spancost_price_book_timestamp_seconds",
    "gauge",
    "When the data of the price book is from, in seconds since 1970; a newer table moves it while the process"
    " runs. Alert on time() minus this: two months old, some prices are wrong.",
    unit="seconds",
    per_call=False,
)
PENDING: Final = Spec(
    "spancost_pending_calls",
    "gauge",
    "LLM calls that have ended and wait for spans that may still change whom they belong to.",
    per_call=False,
    adds_up=True,
)
ERRORS: Final = Spec(
    "spancost_internal_errors",
    "counter",
    "Errors inside spancost that were kept from the program, by cause. Any is worth a report.",
    ("cause",),
    per_call=False,
)
OVERFLOW: Final = Spec(
    "spancost_series_overflow",
    "counter",
    f"Calls and runs that a full label counts as {OTHER}, by label; {ALL_LABELS} where there were too many"
    " label sets in all.",
    ("label",),
    per_call=False,
)

SPECS: Final = (
    COST,
    CALL_COST,
    TOKENS,
    REASONING,
    CALLS,
    DURATION,
    UNPRICED,
    FAILED_COST,
    CACHE_SAVINGS,
    CACHE_PREMIUM,
    RUN_COST,
    REPORTED,
    ESTIMATED,
    FLAGGED,
    DUPLICATES,
    UNCARRIED,
    RATE,
    BOOK,
    BOOK_TIME,
    PENDING,
    ERRORS,
    OVERFLOW,
)
"""All metrics, in the order in which they are shown."""

BY_NAME: Final = {spec.name: spec for spec in SPECS}
