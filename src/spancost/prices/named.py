# SPDX-License-Identifier: Apache-2.0
"""
The price tables of this project's two ancestors, for those who need those numbers; never the default.

Both are as they were, mistakes included, and neither knows prices of cached tokens: cached tokens cost what
input costs, so a call that is mostly read from a cache comes out several times too high. What is known of
their rates (checked against the providers' lists and other price collections in November 2026):

seed-2026-01, 14 models:
    GPT-5.1                     wrong, and never was true: the list says 1.25 / 10; 2 / 8 is GPT-4.1's price
    GPT-4.1, mini, nano         right
    Claude Opus 4, Sonnet 4     right (Sonnet 4 above 200,000 tokens cost 6 / 22.50 while that was offered)
    Claude Haiku 3.5            right since December 2024, 1 / 5 before
    Gemini 2.5 Pro              right up to 200,000 tokens, 2.50 / 15 above
    Gemini 2.5 Flash            outdated: 0.30 / 2.50 since 2025-06-17
    Gemini 2.0 Flash            right on the Gemini API; Vertex AI asks 0.15 / 0.60
    DeepSeek-V3, DeepSeek-R1    outdated: DeepSeek's own prices until September 2025
    Llama 4 Scout               matches no host
    Llama 4 Maverick            right at Together only

seed-2024-06, 6 models:
    gpt-4o                      outdated: 5 / 15 until 2024-10-02, 2.50 / 10 since
    gpt-4o-mini, gpt-4-turbo    right
    claude-3-opus, -sonnet      right
    claude-3-haiku              right (a cache write costs 0.30)
"""

from __future__ import annotations

from typing import Final

from spancost.errors import PriceBookError
from spancost.prices.overrides import Origin, Overrides
from spancost.prices.pricing_file import parse
from spancost.prices.problems import nearest

_SETS: Final = {
    "seed-2026-01": """{
      "openai": {
        "gpt-5.1": {"input": 2.00, "output": 8.00},
        "gpt-4.1": {"input": 2.00, "output": 8.00},
        "gpt-4.1-mini": {"input": 0.40, "output": 1.60},
        "gpt-4.1-nano": {"input": 0.10, "output": 0.40},
        "aliases": {"GPT-4.1 mini": "gpt-4.1-mini", "GPT-4.1 nano": "gpt-4.1-nano"}
      },
      "anthropic": {
        "claude-opus-4": {"input": 15.00, "output": 75.00},
        "claude-sonnet-4": {"input": 3.00, "output": 15.00},
        "claude-3-5-haiku": {"input": 0.80, "output": 4.00},
        "aliases": {
          "Claude Opus 4": "claude-opus-4",
          "Claude Sonnet 4": "claude-sonnet-4",
          "Claude Haiku 3.5": "claude-3-5-haiku",
          "claude-haiku-3.5": "claude-3-5-haiku",
          "claude-3.5-haiku": "claude-3-5-haiku"
        }
      },
      "google": {
        "gemini-2.5-pro": {"input": 1.25, "output": 10.00},
        "gemini-2.5-flash": {"input": 0.15, "output": 0.60},
        "gemini-2.0-flash": {"input": 0.10, "output": 0.40},
        "aliases": {
          "Gemini 2.5 Pro": "gemini-2.5-pro",
          "Gemini 2.5 Flash": "gemini-2.5-flash",
          "Gemini 2.0 Flash": "gemini-2.0-flash"
        }
      },
      "deepseek": {
        "deepseek-v3": {"input": 0.27, "output": 1.10},
        "deepseek-r1": {"input": 0.55, "output": 2.19},
        "aliases": {"deepseek-chat": "deepseek-v3", "deepseek-reasoner": "deepseek-r1"}
      },
      "meta": {
        "llama-4-scout": {"input": 0.17, "output": 0.40},
        "llama-4-maverick": {"input": 0.27, "output": 0.85},
        "aliases": {"Llama 4 Scout": "llama-4-scout", "Llama 4 Maverick": "llama-4-maverick"}
      }
    }""",
    "seed-2024-06": """{
      "openai": {
        "gpt-4o": {"input": 5.00, "output": 15.00},
        "gpt-4o-mini": {"input": 0.15, "output": 0.60},
        "gpt-4-turbo": {"input": 10.00, "output": 30.00}
      },
      "anthropic": {
        "claude-3-opus": {"input": 15.00, "output": 75.00},
        "claude-3-sonnet": {"input": 3.00, "output": 15.00},
        "claude-3-haiku": {"input": 0.25, "output": 1.25}
      }
    }""",
}


def named_sets() -> tuple[str, ...]:
    """Return the names of the sets."""
    return tuple(_SETS)


def day_of(name: str) -> str:
    """Return when the rates of a set are from, ISO; the names end in year and month."""
    return f"{name[-7:]}-01"


def named_set(name: str) -> Overrides:
    """
    Return what a named set says.

    Args:
        name: One of `named_sets`.

    Raises:
        PriceBookError: There is no set of that name; the message lists them.
    """
    text = _SETS.get(name)
    if text is None:
        near = nearest(name, _SETS)
        hint = f'; did you mean "{near}"?' if near else ""
        raise PriceBookError(f"no named set of prices {name!r}{hint}. There are: {', '.join(_SETS)}")
    said, problems = parse(text.encode(), name, Origin(name, f"named set {name}"))
    problems.raise_if_any(f"named set {name}")
    return said
