# SPDX-License-Identifier: Apache-2.0
"""
Rows of the measured dialects, as test cases.

A row says what one instrumentation writes for one call and what was really used. Numbers are chosen so
that more input is fresh than cached: then only the dialect table can be right, never the safety net.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from spancost.usage import Usage, read_usage

INCLUSIVE, EXCLUSIVE, SAFETY_NET, DEFAULT = "inclusive", "exclusive", "safety-net", "default"

FRESH, READ, WRITE, OUT, THOUGHT = 1000, 600, 200, 300, 120
WHOLE = FRESH + READ + WRITE

ALL = Usage(input=WHOLE, cache_read=READ, cache_write=WRITE, output=OUT, reasoning=THOUGHT)
CACHED = Usage(input=WHOLE, cache_read=READ, cache_write=WRITE, output=OUT)
READ_ONLY = Usage(input=FRESH + READ, cache_read=READ, output=OUT)
READ_REASONED = Usage(input=FRESH + READ, cache_read=READ, output=OUT, reasoning=THOUGHT)
PLAIN = Usage(input=WHOLE, output=OUT)
FRESH_ONLY = Usage(input=FRESH, output=OUT)
EMBEDDED = Usage(input=FRESH)


@dataclass(frozen=True)
class Row:
    """What one instrumentation writes, and what it means."""

    scope: str
    attributes: dict[str, Any]
    usage: Usage
    rule: str = INCLUSIVE
    version: str = ""
    flags: tuple[str, ...] = field(default=())

    def check(self) -> None:
        """Read the row's span and compare everything that a price depends on."""
        reading = read_usage(self.attributes, self.scope, self.version)
        assert reading is not None
        assert (reading.usage, reading.rule, reading.flags) == (self.usage, self.rule, self.flags)


def row(
    name: str, scope: str, attributes: dict[str, Any], usage: Usage, rule: str = INCLUSIVE, **more: Any
) -> Any:
    """Return a case for ``parametrize``, named by its library and what it shows."""
    return pytest.param(Row(scope, attributes, usage, rule, **more), id=name)


def gen_ai(
    provider: str | None, inputs: int, outputs: int = OUT, *, key: str = "gen_ai.provider.name", **more: Any
) -> dict[str, Any]:
    """Return the attributes of the semantic conventions; keys of *more* are below ``gen_ai.usage.``."""
    found: dict[str, Any] = {"gen_ai.operation.name": "chat"}
    if provider is not None:
        found[key] = provider
    found["gen_ai.usage.input_tokens"] = inputs
    found["gen_ai.usage.output_tokens"] = outputs
    return found | {f"gen_ai.usage.{name}": value for name, value in more.items()}


def details(**more: int) -> dict[str, int]:
    """Return details of the semantic conventions by short names: ``read``, ``write``, ``created``, ``reasoning``."""
    names = {
        "read": "gen_ai.usage.cache_read.input_tokens",
        "write": "gen_ai.usage.cache_write.input_tokens",
        "created": "gen_ai.usage.cache_creation.input_tokens",
        "reasoning": "gen_ai.usage.reasoning.output_tokens",
    }
    return {names[name]: value for name, value in more.items()}


def models(request: str, response: str | None = None) -> dict[str, str]:
    """Return the model attributes of the semantic conventions."""
    found = {"gen_ai.request.model": request}
    return found | {"gen_ai.response.model": response} if response else found


def openinference(
    provider: str | None, model: str, prompt: int, completion: int | None = OUT, **more: int
) -> dict[str, Any]:
    """Return OpenInference's attributes; *more* are ``read``, ``write``, ``reasoning``, ``audio``, ``total``."""
    names = {
        "read": "llm.token_count.prompt_details.cache_read",
        "write": "llm.token_count.prompt_details.cache_write",
        "reasoning": "llm.token_count.completion_details.reasoning",
        "audio": "llm.token_count.prompt_details.audio",
        "total": "llm.token_count.total",
    }
    found: dict[str, Any] = {"openinference.span.kind": "LLM", "llm.model_name": model}
    if provider is not None:
        found["llm.provider"] = provider
    found["llm.token_count.prompt"] = prompt
    if completion is not None:
        found["llm.token_count.completion"] = completion
        found["llm.token_count.total"] = prompt + completion
    return found | {names[name]: value for name, value in more.items()}


def text(found: dict[str, Any]) -> str:
    """Return an object as the JSON text that stands in an attribute."""
    return json.dumps(found)
