# SPDX-License-Identifier: Apache-2.0
"""
Costs that the provider itself reported, as a closed table by scope and key.

The same key means different things in different scopes: OpenRouter's ``gen_ai.usage.cost`` is the
bill, OpenLIT's is an estimate of its own. Estimates of third parties are never taken as reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from spancost.usage.amounts import amount
from spancost.usage.objects import parse_object

if TYPE_CHECKING:
    from spancost.usage import Reading

_BY_SCOPE: Final = (
    ("openrouter", ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "gen_ai.usage.cost.amount")),
    ("@openrouter/", ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "gen_ai.usage.cost.amount")),
)
_PROXY_HEADER: Final = "llm_provider-x-litellm-response-cost"


_CURRENCY: Final = "gen_ai.usage.cost.currency"


def provider_cost(attributes: Mapping[str, Any], scope_name: str, reading: Reading | None) -> Decimal | None:
    """
    Return what the provider said the call cost, in USD, or None.

    A provider's amount inside its own usage object comes with the reading. A recorded amount whose
    ``gen_ai.usage.cost.source`` is ``provider`` was passed through by whoever wrote it and still wins.
    A zero says that somebody knew no price; an amount in another currency says nothing in USD.
    """
    if attributes.get("gen_ai.usage.cost.source") == "provider" and _is_usd(attributes):
        recorded = amount(attributes.get("gen_ai.usage.cost.amount"))
        if recorded:
            return recorded
    if reading is not None and reading.reported_usd:
        return reading.reported_usd
    return _by_scope(attributes, scope_name) or _by_proxy_header(attributes)


def _is_usd(attributes: Mapping[str, Any]) -> bool:
    return attributes.get(_CURRENCY, "USD") in ("USD", "usd")


def _by_scope(attributes: Mapping[str, Any], scope_name: str) -> Decimal | None:
    for prefix, keys in _BY_SCOPE:
        if scope_name.startswith(prefix) and _is_usd(attributes):
            for key in keys:
                if key in attributes:
                    return amount(attributes[key])
    return None


def _by_proxy_header(attributes: Mapping[str, Any]) -> Decimal | None:
    if "hidden_params" not in attributes:
        return None
    found = parse_object(attributes["hidden_params"]) or {}
    headers = found.get("additional_headers")
    return (amount(headers.get(_PROXY_HEADER)) or None) if isinstance(headers, Mapping) else None
