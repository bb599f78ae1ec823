# SPDX-License-Identifier: Apache-2.0
"""The names of service tiers: what spans write, and what rate cards call it."""

from __future__ import annotations

from typing import Final

STANDARD_TIERS: Final = frozenset(
    {
        "",
        "auto",
        "default",
        "none",
        "null",
        "on_demand",
        "ondemand",
        "standard",
        "standard_only",
        "unspecified",
    }
)
"""Service tiers that mean the ordinary rates, lower case."""


def tier_of(service_tier: str | None) -> str:
    """
    Return the name of a service tier as rate cards have it; ``standard`` for the ordinary one.

    Args:
        service_tier: As on the span: any case, JSON quotes, or the text of a Python object that
            stands for "not given".
    """
    if service_tier is None:
        return "standard"
    name = service_tier.strip().strip("\"'").lower().replace("-", "_")
    name = name.removeprefix("servicetier.").removeprefix("service_tier_")
    if name in STANDARD_TIERS or name.startswith("<"):
        return "standard"
    return name
