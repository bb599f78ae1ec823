# SPDX-License-Identifier: Apache-2.0
"""
Where a model ran, as far as a price list cares: the classes of regions, and what on a span tells them.

Some providers ask more for a call that must stay in one geography: OpenAI's data residency,
Anthropic's ``inference_geo``, Vertex AI's regional endpoints, xAI's regional hosts. What tells is the
provider's own answer, the host that was called, or the path of the model. The region that the *app* runs in
(``cloud.region``) tells nothing of the model and is not looked at; neither is Bedrock's region, which
stands in the model id (its inference profiles) and has rows of its own in the table.
"""

from __future__ import annotations

from typing import Final

GLOBAL, US, EU, REGIONAL = "global", "us", "eu", "regional"
"""The classes: no promise where it runs; inside the United States; inside Europe; in one region, or elsewhere."""

IN_ONE_GEOGRAPHY: Final = frozenset({US, EU})
"""Classes that have the rates of `REGIONAL` where a card has none for them."""

_GEOGRAPHIES: Final = {"us": US, "eu": EU, "global": GLOBAL}
_UNKNOWN: Final = frozenset({"", "not_available", "none", "null", "default", "unspecified"})
_VERTEX: Final = "aiplatform"
_LOCATIONS: Final = "/locations/"


def class_of(name: str | None) -> str | None:
    """
    Return the class of a region by its name; None where the name says nothing.

    Args:
        name: ``us``, ``eu``, ``global``, or a location such as ``us-east5``, in any case: what
            Anthropic answers as ``inference_geo``, or a label of a host.
    """
    bare = (name or "").strip().lower()
    return None if bare in _UNKNOWN else _GEOGRAPHIES.get(bare, REGIONAL)


def class_of_host(host: str | None) -> str | None:
    """
    Return the class of the region that an API's host stands for; None where hosts do not tell.

    Args:
        host: A bare host name in lower case, such as ``eu.api.openai.com``.
    """
    if host is None:
        return None
    label, _, rest = host.partition(".")
    if rest in ("api.openai.com", "api.x.ai"):
        return class_of(label)
    if rest == "googleapis.com":
        location, dash, service = label.rpartition("-")
        if service == _VERTEX:
            return class_of(location) if dash else GLOBAL
    if label == _VERTEX and rest.endswith(".rep.googleapis.com"):
        return class_of(rest.partition(".")[0])
    return None


def class_of_model(model: str | None) -> str | None:
    """
    Return the class of the location in the path of a model on Vertex AI; None where there is none.

    Args:
        model: As on the span, such as ``projects/p/locations/us-east5/publishers/google/models/m``.
    """
    if model is None or _LOCATIONS not in model:
        return None
    return class_of(model.partition(_LOCATIONS)[2].partition("/")[0])
