# SPDX-License-Identifier: Apache-2.0
"""
Usage that a library made up: OpenAI streams that nobody asked to report usage.

The provider then sends none, and OpenLIT and LiteLLM count words of their own (24/9 and 20/5 for a true
12/5). Their spans look like any other, but for what a real answer would have had beside the counts.
OpenInference's LiteLLM spans show nothing that would tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spancost.usage.objects import parse_object

_TRUE: Final = (True, "True", "true")


def is_estimate(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell whether the counts of a span were made up by the library that wrote it."""
    if scope_name == "openlit.instrumentation.openai":
        # It writes cached counts, 0 or not, beside everything that the provider sent.
        return (
            attributes.get("gen_ai.request.stream") in _TRUE
            and attributes.get("gen_ai.operation.name") == "chat"
            and "gen_ai.usage.cache_read.input_tokens" not in attributes
        )
    if scope_name == "litellm" and attributes.get("llm.is_streaming") in _TRUE:
        return attributes.get("gen_ai.system") in ("openai", "azure") and _has_litellms_own_details(
            attributes
        )
    return False


def _has_litellms_own_details(attributes: Mapping[str, Any]) -> bool:
    """OpenAI's details have predictions and no text tokens; those that LiteLLM makes have it the other way."""
    found = parse_object(attributes.get("metadata.usage_object"))
    made = found.get("completion_tokens_details") if found else None
    if not isinstance(made, Mapping):
        return False
    return made.get("text_tokens") is not None and made.get("accepted_prediction_tokens") is None
