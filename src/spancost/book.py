# SPDX-License-Identifier: Apache-2.0
"""The price book: the dated collection of rate cards, and the one call that prices a usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spancost.cost import Cost, Unpriced

if TYPE_CHECKING:
    import datetime as dt

    from spancost.usage.values import Usage


class PriceBook:
    """The dated collection of rate cards with their sources."""

    version = "0"
    digest = ""
    _default: PriceBook | None = None

    @classmethod
    def default(cls) -> PriceBook:
        """Return the price book that comes with the package, loaded on first use."""
        if cls._default is None:
            cls._default = cls()
        return cls._default

    def price(
        self,
        usage: Usage,  # noqa: ARG002
        *,
        provider: str | None,
        model: str | None,
        at: dt.datetime | int | None = None,  # noqa: ARG002
        service_tier: str | None = None,  # noqa: ARG002
        region: str | None = None,  # noqa: ARG002
        request_model: str | None = None,  # noqa: ARG002
        aggregated: bool = False,  # noqa: ARG002
    ) -> Cost | Unpriced:
        """Price one usage."""
        return Unpriced("unknown_model", f"no rate card for {provider}/{model}: the table is empty")
