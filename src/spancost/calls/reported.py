# SPDX-License-Identifier: Apache-2.0
"""
Costs that the provider itself reported, as a closed table by scope and key.

The same key means different things in different scopes: OpenRouter's ``gen_ai.usage.cost`` is the
bill, OpenLIT's is an estimate of its own. Estimates of third parties are never taken as reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from spancost.usage import Reading
from spancost.usage.objects import amount, parse_object

_BY_SCOPE: Final = (
    ("openrouter", ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "gen_ai.usage.cost.amount")),
    ("@openrouter/", ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "gen_ai.usage.cost.amount")),
)
_PROXY_HEADER: Final = "llm_provider-x-litellm-response-cost"


def provider_cost(
    attributes: Mapping[str, Any], scope_name: str, reading: Reading | None
) -> Decimal | None:
    """
    Return what the provider said the call cost, in USD, or None.

    A provider's amount inside its own usage object comes with the reading. A recorded amount whose
    ``gen_ai.usage.cost.source`` is ``provider`` was passed through by whoever wrote it and still wins.
    """
    if attributes.get("gen_ai.usage.cost.source") == "provider":
        recorded = amount(attributes.get("gen_ai.usage.cost.amount"))
        if recorded is not None:
            return recorded
    if reading is not None and reading.reported_usd is not None:
        return reading.reported_usd
    for prefix, keys in _BY_SCOPE:
        if scope_name.startswith(prefix):
            for key in keys:
                if key in attributes:
                    return amount(attributes[key])
    if "hidden_params" in attributes:
        found = parse_object(attributes["hidden_params"]) or {}
        headers = found.get("additional_headers")
        if isinstance(headers, Mapping):
            return amount(headers.get(_PROXY_HEADER))
    return None
