# SPDX-License-Identifier: Apache-2.0
"""
The table of libraries: what each is instrumented with, which program it runs, and what it is known to lose.

``sees`` says what an instrumentation lets anybody know of a call: the bill's entry, changed where the
instrumentation is known to change or to lose something. So a lossy library is still held to exact amounts.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import TracerProvider

    from demo.provider import Entry


class Library(NamedTuple):
    """
    One row.

    Args:
        program: The module of `programs` that it runs.
        instrumentors: Classes that switch its instrumentation on, as ``module:class``.
        sees: What its spans show of a call, as an entry of the bill.
        loses: What ``sees`` is about, for people.
        late: Its spans name agents only when they end, after the spans of their calls: the meter and a
            file know who called, the exported span of a call cannot.
        phantoms: How many more calls without a cost are counted than there were; a negative number where
            a span does not say that it is a call.
    """

    program: str
    instrumentors: Sequence[str]
    sees: Callable[[Entry], Entry] = lambda entry: entry
    loses: str = ""
    late: bool = False
    phantoms: int = 0

    def instrument(self, provider: TracerProvider) -> None:
        """Switch the instrumentation on."""
        for name in self.instrumentors:
            module, _, kind = name.partition(":")
            getattr(import_module(module), kind)().instrument(tracer_provider=provider)

    def scenario(self, server: object) -> None:
        """Run the program."""
        import_module(f"programs.{self.program}").run(server)


def _no_output_of_cut_streams(entry: Entry) -> Entry:
    if entry.delivered != "partial" or entry.usage is None:
        return entry
    return replace(entry, usage=replace(entry.usage, output=0))


def _no_output_of_broken_haiku(entry: Entry) -> Entry:
    # A stream that its reader left (the quitter) did not break off, and shows its first token.
    broken = entry.requested_model == "claude-haiku-4-5" and entry.caller != "quitter"
    return _no_output_of_cut_streams(entry) if broken else entry


def _no_cache_writes(entry: Entry) -> Entry:
    return replace(entry, usage=replace(entry.usage, cache_write=0)) if entry.usage else entry


def _no_tier(entry: Entry) -> Entry:
    return replace(entry, service_tier=None)


def _no_response_model_of_streams(entry: Entry) -> Entry:
    return replace(entry, model=entry.requested_model) if entry.streamed else entry


def _little_of_chats(entry: Entry) -> Entry:
    if entry.api != "openai.chat" or entry.usage is None:
        return entry
    return replace(entry, model=entry.requested_model, usage=replace(entry.usage, cache_read=0))


OPENAI = "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor"
ANTHROPIC = "opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor"

LIBRARIES = {
    "otel-openai": Library("openai_client", [OPENAI]),
    "otel-anthropic": Library("anthropic_client", [ANTHROPIC]),
    "anthropic-native": Library(
        "anthropic_client",
        [],
        sees=_no_output_of_cut_streams,
        loses="the first output token of a stream that broke off",
    ),
    "otel-google": Library(
        "google_client", ["opentelemetry.instrumentation.google_genai:GoogleGenAiSdkInstrumentor"]
    ),
    "openllmetry-openai": Library(
        "openai_client",
        ["opentelemetry.instrumentation.openai:OpenAIInstrumentor"],
        sees=_no_cache_writes,
        loses="what was written to a cache",
    ),
    "openllmetry-anthropic": Library(
        "anthropic_client",
        ["opentelemetry.instrumentation.anthropic:AnthropicInstrumentor"],
        sees=_no_output_of_cut_streams,
        loses="the first output token of a stream that broke off",
    ),
    "openinference-openai": Library(
        "openai_client",
        ["openinference.instrumentation.openai:OpenAIInstrumentor"],
        sees=_no_tier,
        loses="the service tier",
    ),
    "openinference-anthropic": Library(
        "anthropic_client",
        ["openinference.instrumentation.anthropic:AnthropicInstrumentor"],
        sees=_no_output_of_broken_haiku,
        loses="the first output token of a messages.stream() that broke off",
    ),
    "openinference-langchain": Library(
        "langchain_agents",
        ["openinference.instrumentation.langchain:LangChainInstrumentor"],
        sees=_no_response_model_of_streams,
        loses="the response's model of streams",
        late=True,
    ),
    "openinference-langchain+otel-openai": Library(
        "langchain_agents",
        ["openinference.instrumentation.langchain:LangChainInstrumentor", OPENAI],
        late=True,
        # A stream without usage is on two spans in two traces that share no id.
        phantoms=1,
    ),
    "otel-langchain": Library(
        "langchain_agents", ["opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor"]
    ),
    "otel-langchain+otel-openai": Library(
        "langchain_agents", ["opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor", OPENAI]
    ),
    "otel-openai-agents": Library(
        "openai_agents",
        ["opentelemetry.instrumentation.genai.openai_agents:OpenAIAgentsInstrumentor", OPENAI],
    ),
    "openinference-openai-agents": Library(
        "openai_agents",
        ["openinference.instrumentation.openai_agents:OpenAIAgentsInstrumentor"],
        sees=_little_of_chats,
        loses="the response's model and what was cached of chat completions",
    ),
    "openinference-openai-agents+openai": Library(
        "openai_agents",
        [
            "openinference.instrumentation.openai_agents:OpenAIAgentsInstrumentor",
            "openinference.instrumentation.openai:OpenAIInstrumentor",
        ],
    ),
    "otel-openai+openinference-openai": Library(
        "openai_client", [OPENAI, "openinference.instrumentation.openai:OpenAIInstrumentor"]
    ),
    "openinference-openai+otel-openai": Library(
        "openai_client", ["openinference.instrumentation.openai:OpenAIInstrumentor", OPENAI]
    ),
    "openllmetry-openai+otel-openai": Library(
        "openai_client", ["opentelemetry.instrumentation.openai:OpenAIInstrumentor", OPENAI]
    ),
    "otel-anthropic+openllmetry-anthropic": Library(
        "anthropic_client",
        [ANTHROPIC, "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor"],
    ),
    "openinference-anthropic+otel-anthropic": Library(
        "anthropic_client",
        ["openinference.instrumentation.anthropic:AnthropicInstrumentor", ANTHROPIC],
    ),
    "openinference-langchain+openinference-openai": Library(
        "langchain_agents",
        [
            "openinference.instrumentation.langchain:LangChainInstrumentor",
            "openinference.instrumentation.openai:OpenAIInstrumentor",
        ],
        late=True,
        # A stream without usage is on two spans in two traces that share no id.
        phantoms=1,
    ),
    "pydantic-ai": Library("pydantic_agents", []),
    "pydantic-ai+otel-openai": Library("pydantic_agents", [OPENAI]),
    "pydantic-ai+otel-anthropic": Library("pydantic_agents", [ANTHROPIC]),
}
