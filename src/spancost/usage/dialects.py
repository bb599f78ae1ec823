# SPDX-License-Identifier: Apache-2.0
"""
The dialect table: how each instrumentation writes usage, as data.

A row holds what was measured of one instrumentation scope, against the truth of what went over the
wire. A scope without a row is read by the semantic conventions (input includes cached tokens, output
includes reasoning) and corrected only where its own numbers prove otherwise (``reader.py``).

Rows are tried in order and the first that fits a scope, its version and its provider decides. A scope
pattern is exact, or ends in ``*``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

ALL: Final = "all"
NONE: Final = "none"
READ: Final = "read"

ANTHROPIC: Final = "anthropic"
BEDROCK: Final = "bedrock"
GOOGLE: Final = "google"
OPENAI: Final = "openai"
COHERE: Final = "cohere"
XAI: Final = "xai"
OTHER: Final = "other"

NATIVE, OFFICIAL, CLIENT, FRAMEWORK = 4, 3, 2, 1
"""Whose numbers win when copies contradict each other: the SDK's own, then nearest to the wire first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """
    One measured row: what an instrumentation's numbers mean, and when its spans can be read.

    Args:
        scope: Instrumentation scope name, exact or with a final ``*``.
        below: Only versions below this one; None for any. A scope without a version never fits.
        since: Only versions from this one on; None for any. A scope without a version never fits.
        when: Only calls of these provider families; empty for any.
        input_has: Which cached parts the input includes: all, none, or reads only.
        output_has_reasoning: Whether the output includes reasoning; None where it depends and the
            span's own numbers must tell.
        reasoning_twice: The output counts reasoning twice (a bug of the library).
        completes_output: The library adds reasoning to outputs that the API counts beside it (xAI's).
        billed: Input and output are billed units; cached tokens above them are raw and are dropped.
        raw_units: Input and output are raw tokens where the provider bills other units.
        needs_absent: The row fits only where no attribute with this prefix is on the span.
        trust: Rank among copies that contradict each other.
        readable: ``start`` where kind and agent can be read while the span is open, ``end`` where they
            are written only when it ends (the span's name can still be read).
        detached: The span is never made current, so calls it encloses are in other traces.
        note: What a reader of a bill should know about this stack.
    """

    scope: str
    below: str | None = None
    since: str | None = None
    when: tuple[str, ...] = ()
    input_has: str = ALL
    output_has_reasoning: bool | None = True
    reasoning_twice: bool = False
    completes_output: bool = False
    billed: bool = False
    raw_units: bool = False
    needs_absent: str | None = None
    trust: int = CLIENT
    readable: str = "start"
    detached: bool = False
    note: str = ""


_CACHE_LOST: Final = "cached tokens are not reported: costs are upper bounds"
_CACHE_LOST_BELOW: Final = "cached tokens are neither reported nor inside the input: costs are lower bounds"
_THOUGHTS_LOST: Final = "reasoning tokens are not reported: costs are lower bounds"

TABLE: Final = (
    # --- SDKs that trace themselves ------------------------------------------------------------
    Dialect(scope="com.anthropic.sdk.*", trust=NATIVE),
    Dialect(scope="com.anthropic.claude_code.tracing", input_has=NONE, trust=NATIVE),
    Dialect(scope="mistralai_sdk_tracer", trust=NATIVE, note=_CACHE_LOST),
    # --- OpenTelemetry GenAI instrumentations -------------------------------------------------
    Dialect(scope="opentelemetry.instrumentation.genai.bedrock", input_has=NONE, trust=OFFICIAL),
    Dialect(scope="opentelemetry.instrumentation.genai.*", trust=OFFICIAL),
    Dialect(
        scope="opentelemetry.instrumentation.botocore.bedrock-runtime",
        input_has=NONE,
        trust=OFFICIAL,
        note="InvokeModel calls report no cached tokens: their costs are lower bounds",
    ),
    # 0.3b0 was measured. Its changelog: streams were counted right from 0.7b0 on (contrib#4152), thoughts
    # came into the output after it (contrib#4206).
    Dialect(
        scope="opentelemetry.instrumentation.google_genai",
        below="0.7",
        output_has_reasoning=False,
        trust=OFFICIAL,
        note="streams report the sum of cumulative chunks and no reasoning: costs are approximate",
    ),
    Dialect(
        scope="opentelemetry.instrumentation.google_genai",
        below="0.8",
        output_has_reasoning=False,
        trust=OFFICIAL,
        note=_THOUGHTS_LOST,
    ),
    Dialect(scope="opentelemetry.instrumentation.google_genai", trust=OFFICIAL),
    Dialect(
        scope="opentelemetry.instrumentation.vertexai",
        output_has_reasoning=False,
        trust=OFFICIAL,
        note=_THOUGHTS_LOST,
    ),
    Dialect(scope="opentelemetry.instrumentation.openai_v2", trust=OFFICIAL, note=_CACHE_LOST),
    Dialect(scope="opentelemetry.util.genai.handler", trust=OFFICIAL, note=_CACHE_LOST),
    Dialect(scope="@opentelemetry/instrumentation-openai", trust=OFFICIAL, note=_CACHE_LOST),
    Dialect(scope="@elastic/opentelemetry-instrumentation-openai", trust=CLIENT, note=_CACHE_LOST),
    # --- OpenLLMetry (Traceloop) ---------------------------------------------------------------
    Dialect(scope="opentelemetry.instrumentation.bedrock", input_has=NONE),
    Dialect(
        scope="opentelemetry.instrumentation.google_generativeai",
        output_has_reasoning=False,
        note="reasoning tokens are known only from the total, where a tool-use prompt can hide among them",
    ),
    Dialect(scope="opentelemetry.instrumentation.cohere", billed=True),
    # Streams add message_start's output token to the output (222 for 221), so any other copy is better.
    Dialect(scope="opentelemetry.instrumentation.anthropic", trust=FRAMEWORK),
    Dialect(scope="opentelemetry.instrumentation.openai.v1"),
    Dialect(scope="opentelemetry.instrumentation.openai_agents", trust=FRAMEWORK),
    Dialect(scope="opentelemetry.instrumentation.groq"),
    Dialect(scope="opentelemetry.instrumentation.mistralai"),
    Dialect(scope="opentelemetry.instrumentation.langchain", trust=FRAMEWORK),
    Dialect(scope="@traceloop/instrumentation-anthropic", input_has=NONE),
    Dialect(scope="@traceloop/instrumentation-openai", note=_CACHE_LOST),
    # --- OpenInference -------------------------------------------------------------------------
    # Both were changed by one fix (Arize-ai/openinference#1429), released on 2025-03-25 as 0.1.14 and
    # 0.1.18; 0.1.11 and 0.1.16 were measured.
    Dialect(
        scope="openinference.instrumentation.anthropic",
        below="0.1.14",
        input_has=NONE,
        note=_CACHE_LOST_BELOW,
    ),
    Dialect(
        scope="openinference.instrumentation.bedrock", below="0.1.18", input_has=NONE, note=_CACHE_LOST_BELOW
    ),
    Dialect(scope="openinference.instrumentation.cohere", raw_units=True),
    # agno passes on what each API counts (agno/models/{anthropic,aws,google}); OpenInference writes that.
    Dialect(
        scope="openinference.instrumentation.agno", when=(ANTHROPIC, BEDROCK), input_has=NONE, trust=FRAMEWORK
    ),
    Dialect(
        scope="openinference.instrumentation.agno",
        when=(GOOGLE,),
        output_has_reasoning=False,
        trust=FRAMEWORK,
        note=_THOUGHTS_LOST,
    ),
    Dialect(scope="openinference.instrumentation.langchain", trust=FRAMEWORK, readable="end", detached=True),
    Dialect(scope="openinference.instrumentation.smolagents", trust=FRAMEWORK, note=_CACHE_LOST),
    Dialect(scope="openinference.instrumentation.autogen_agentchat", trust=FRAMEWORK, note=_CACHE_LOST),
    Dialect(scope="openinference.instrumentation.haystack", trust=FRAMEWORK, note=_CACHE_LOST),
    Dialect(scope="openinference.instrumentation.agno", trust=FRAMEWORK),
    Dialect(scope="openinference.instrumentation.beeai", trust=FRAMEWORK),
    Dialect(scope="openinference.instrumentation.llama_index", trust=FRAMEWORK),
    Dialect(scope="openinference.instrumentation.openai_agents", trust=FRAMEWORK),
    Dialect(scope="openinference.instrumentation.google_adk", trust=FRAMEWORK),
    Dialect(scope="openinference.instrumentation.litellm", completes_output=True),
    Dialect(scope="openinference.instrumentation.*"),
    Dialect(scope="@arizeai/openinference-instrumentation-*"),
    # --- OpenLIT -------------------------------------------------------------------------------
    Dialect(
        scope="openlit.instrumentation.anthropic",
        input_has=NONE,
        note="streams report no cached tokens: their costs are lower bounds",
    ),
    Dialect(scope="openlit.instrumentation.bedrock", input_has=NONE),
    Dialect(scope="openlit.instrumentation.google*", output_has_reasoning=False),
    Dialect(scope="openlit.instrumentation.vertexai", output_has_reasoning=False),
    Dialect(scope="openlit.instrumentation.cohere", billed=True),
    Dialect(scope="openlit.instrumentation.*"),
    Dialect(scope="openlit", when=(ANTHROPIC, BEDROCK), input_has=NONE, note=_CACHE_LOST_BELOW),
    Dialect(scope="openlit", when=(GOOGLE,), output_has_reasoning=False, note=_THOUGHTS_LOST),
    Dialect(scope="openlit", when=(COHERE,), billed=True),
    Dialect(scope="openlit", note=_CACHE_LOST),
    # --- genai-otel-instrument -----------------------------------------------------------------
    Dialect(scope="genai_otel.*", when=(ANTHROPIC, BEDROCK), input_has=NONE),
    Dialect(scope="genai_otel.*", when=(COHERE,), billed=True),
    Dialect(scope="genai_otel.*"),
    # --- Langtrace -----------------------------------------------------------------------------
    Dialect(
        scope="langtrace_python_sdk.*", when=(ANTHROPIC, BEDROCK), input_has=NONE, note=_CACHE_LOST_BELOW
    ),
    Dialect(scope="langtrace_python_sdk.*", when=(COHERE,), billed=True),
    # Its Gemini and Vertex AI patches write candidates only, and a total made of what they write.
    Dialect(scope="langtrace_python_sdk.*", when=(GOOGLE,), output_has_reasoning=False, note=_THOUGHTS_LOST),
    Dialect(scope="langtrace_python_sdk.*"),
    # --- LiteLLM -------------------------------------------------------------------------------
    # Its 1.74 wrote prompt_tokens = uncached + cache reads for Anthropic. The scope has no version,
    # but only such old releases write prompt_tokens; the later ones write input_tokens.
    Dialect(
        scope="litellm",
        when=(ANTHROPIC,),
        input_has=READ,
        needs_absent="gen_ai.usage.input_tokens",
        completes_output=True,
        trust=FRAMEWORK,
    ),
    Dialect(scope="litellm", completes_output=True, trust=FRAMEWORK),
    # --- Observability SDKs --------------------------------------------------------------------
    # pydantic/logfire#1812, released as 4.31.0, made the input of Anthropic calls include the cache.
    Dialect(scope="logfire.anthropic", below="4.31", input_has=NONE),
    Dialect(scope="logfire.*", trust=CLIENT),
    Dialect(scope="mlflow*", when=(GOOGLE,), output_has_reasoning=False),
    Dialect(scope="mlflow*"),
    Dialect(scope="langfuse-sdk", trust=CLIENT),
    Dialect(scope="langsmith", trust=FRAMEWORK, readable="end", detached=True),
    Dialect(scope="agentops*", note=_CACHE_LOST),
    # --- Vercel AI SDK -------------------------------------------------------------------------
    # Versions 5, 6 and 7-legacy share the scope `ai` without a version; 5 has no token details.
    # Its Amazon Bedrock provider passes Converse's uncached input on as its Anthropic provider does.
    Dialect(
        scope="ai",
        when=(ANTHROPIC, BEDROCK),
        input_has=NONE,
        needs_absent="ai.usage.inputTokenDetails.",
        trust=FRAMEWORK,
    ),
    Dialect(
        scope="ai",
        when=(GOOGLE,),
        output_has_reasoning=False,
        needs_absent="ai.usage.inputTokenDetails.",
        trust=FRAMEWORK,
    ),
    Dialect(scope="ai", trust=FRAMEWORK),
    Dialect(scope="gen_ai", trust=FRAMEWORK),
    # --- Agent frameworks ----------------------------------------------------------------------
    Dialect(scope="agent_framework", when=(ANTHROPIC, BEDROCK), input_has=NONE, trust=FRAMEWORK),
    Dialect(scope="agent_framework", trust=FRAMEWORK),
    # Version 1 gives its scope no version; it is known by the operation name that only 2 writes.
    Dialect(
        scope="gcp.vertex.agent",
        needs_absent="gen_ai.operation.name",
        output_has_reasoning=False,
        trust=FRAMEWORK,
        note=_CACHE_LOST,
    ),
    Dialect(
        scope="gcp.vertex.agent",
        when=(OPENAI, ANTHROPIC, XAI, BEDROCK, COHERE, OTHER),
        reasoning_twice=True,
        trust=FRAMEWORK,
    ),
    Dialect(scope="gcp.vertex.agent", trust=FRAMEWORK),
    Dialect(scope="pydantic-ai", trust=FRAMEWORK),
    Dialect(scope="strands.telemetry.tracer", trust=FRAMEWORK),
    Dialect(scope="opentelemetry.instrumentation.ag2", trust=FRAMEWORK),
    Dialect(scope="semantic_kernel*", trust=FRAMEWORK, note=_CACHE_LOST),
    Dialect(scope="autogen*", trust=FRAMEWORK),
    Dialect(scope="@mastra/*", trust=FRAMEWORK, readable="end"),
    Dialect(scope="mastra*", trust=FRAMEWORK, readable="end"),
    Dialect(scope="haystack*", trust=FRAMEWORK),
)

UNLISTED: Final = Dialect(scope="*", trust=CLIENT)
"""What holds for a scope without a row: the semantic conventions."""


@lru_cache(maxsize=1024)
def dialects_of(scope_name: str, scope_version: str) -> tuple[Dialect, ...]:
    """Return the rows that fit a scope and version, in order; bounded, so names cost no memory."""
    return tuple(row for row in TABLE if _fits(row, scope_name, scope_version))


def _fits(row: Dialect, name: str, version: str) -> bool:
    if row.scope.endswith("*"):
        if not name.startswith(row.scope[:-1]):
            return False
    elif name != row.scope:
        return False
    if row.below is None and row.since is None:
        return True
    if not version:
        return False
    mine = version_key(version)
    if row.below is not None and not mine < version_key(row.below):
        return False
    return row.since is None or mine >= version_key(row.since)


def version_key(version: str) -> tuple[int, ...]:
    """Return the release numbers of a version, ``1.3b0`` as (1, 3): enough to order releases."""
    numbers = []
    for part in version.split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        numbers.append(int(digits.group()[:9]))
        if digits.end() != len(part):
            break
    return tuple(numbers)
