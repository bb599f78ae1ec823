# SPDX-License-Identifier: Apache-2.0
"""
What the engine needs to know of one span: everything its attributes say, read once at its end.

Contents (messages, prompts, tool arguments) are not among it, so a span can be dropped once read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from spancost._values import maker
from spancost.calls.agents import AgentName, agent_of
from spancost.calls.kinds import OTHER, USAGE_RECORD, Classification, Kind, classify
from spancost.calls.reported import provider_cost
from spancost.calls.shapes import Shape, shape_of
from spancost.prices.regions import class_of_host, class_of_model
from spancost.usage import Dialect, Reading, dialect_of
from spancost.usage import identity as who
from spancost.usage.common import meaning_of, quick_reading
from spancost.usage.estimates import is_estimate
from spancost.usage.identity import family_of
from spancost.usage.reader import find_counts, settle


@dataclass(frozen=True, slots=True)
class Facts:
    """
    One span, read.

    Args:
        classification: What the span is.
        reading: Its usage, or None; also None where every count is zero.
        agent: The agent it names itself, or None.
        providers: Every provider name its attributes give, in order of trust.
        host: Host name of the API that was called.
        model: The model that answered.
        request_model: The model asked for.
        service_tier: The tier served, else the tier asked for.
        region: Class of the region that the host or the model's path stands for
            (`spancost.prices.regions`), where they tell.
        response_id: The provider's id of the response.
        failed: Whether the span's status is an error.
        streaming: Whether the answer was streamed; None where nothing says.
        is_log: Whether this is a log record in a span's clothes (Logfire), which reports on a sibling.
        cached_response: Whether the answer came from a response cache and cost nothing.
        reported_usd: A cost that the provider itself reported, in USD.
        operation: The operation's name for metrics and rows.
        error_type: The class of the error; empty when the span did not fail.
    """

    classification: Classification
    reading: Reading | None = None
    agent: AgentName | None = None
    providers: tuple[str, ...] = ()
    host: str | None = None
    model: str | None = None
    request_model: str | None = None
    service_tier: str | None = None
    region: str | None = None
    response_id: str | None = None
    failed: bool = False
    streaming: bool | None = None
    is_log: bool = False
    cached_response: bool = False
    reported_usd: Decimal | None = None
    operation: str = ""
    error_type: str = ""

    @property
    def kind(self) -> Kind:
        """What the span is."""
        return self.classification.kind


NOTHING: Final = Facts(OTHER)
_make_facts: Final = maker(Facts)

_OUR_NAMES: Final = (
    "call_llm",
    "claude_code.",
    "agent_run [",
    "agent_collaborator[",
    "invoke_agent ",
    "raw_gen_ai_request",
)
"""Beginnings of span names that say what a span is, even without attributes."""

MAX_PLAIN_NAMES: Final = 4096
PLAIN_NAMES: Final[set[str]] = set()
"""Names of spans seen before that say nothing; at most `MAX_PLAIN_NAMES`, then all are forgotten."""


def is_plain_name(name: str) -> bool:
    """Tell whether a span's name says nothing, and remember it if so."""
    if name.startswith(_OUR_NAMES):
        return False
    if len(name) <= MAX_VALUES_TEXT // 8:
        if len(PLAIN_NAMES) >= MAX_PLAIN_NAMES:
            PLAIN_NAMES.clear()
        PLAIN_NAMES.add(name)
    return True


_STREAM_KEYS: Final = (
    "gen_ai.request.stream",
    "gen_ai.request.is_stream",
    "gen_ai.request.streaming",
    "gen_ai.is_streaming",
    "llm.is_streaming",
)
_CACHED_RESPONSE_KEYS: Final = ("gen_ai.response.cached", "gen_ai.response.cache_hit", "llm.cache_hit")


def read_span(
    name: str, attributes: Mapping[str, Any], scope_name: str, scope_version: str, *, failed: bool
) -> Facts:
    """Read one span whole; spans without anything of ours come back as ``NOTHING``."""
    return examine(name, attributes, scope_name, scope_version, failed=failed)[0]


def examine(
    name: str, attributes: Mapping[str, Any], scope_name: str, scope_version: str, *, failed: bool
) -> tuple[Facts, Dialect | None]:
    """Read one span whole, and return the dialect row that fits it too; none for ``NOTHING``."""
    shape = shape_of(attributes, scope_name, scope_version)
    if not shape.is_ours and not name.startswith(_OUR_NAMES):
        return NOTHING, None
    profile = profile_of(shape, name, attributes, scope_name, scope_version)
    reading = _reading_of(shape, profile, attributes, scope_name) if shape.has_counts else None
    like = profile.facts[2 * failed + (reading is not None)]
    if like is None:
        like = profile.learn(name, attributes, scope_name, has_usage=reading is not None, failed=failed)
    if like.classification.rule == USAGE_RECORD:
        reading = None  # the same numbers once more, beside the call or the sub-agent they are of
    if reading is None and like.classification.kind is not Kind.CALL:
        return like, profile.dialect
    if shape.is_raw:
        response_id = who.response_id_of(attributes)
    else:
        response_id = who.first_text(attributes, shape.ids) if shape.ids else None
    if shape.has_cost:
        reported = provider_cost(attributes, scope_name, reading)
    else:
        reported = reading.reported_usd or None if reading is not None else None
    return facts_like(like, reading, response_id, reported), profile.dialect


def facts_like(
    like: Facts, reading: Reading | None, response_id: str | None, reported: Decimal | None = None
) -> Facts:
    """Return facts with a span's own usage, response id and reported cost."""
    return _make_facts(
        like.classification,
        reading,
        like.agent,
        like.providers,
        like.host,
        like.model,
        like.request_model,
        like.service_tier,
        like.region,
        response_id,
        like.failed,
        like.streaming,
        like.is_log,
        like.cached_response,
        reported,
        like.operation,
        like.error_type,
    )


def glance(
    name: str, attributes: Mapping[str, Any], scope_name: str, scope_version: str
) -> tuple[Classification, AgentName | None, Dialect]:
    """Return what an open span is by now, the agent it names and the dialect row that fits it: 0.8 us."""
    shape = shape_of(attributes, scope_name, scope_version)
    profile = profile_of(shape, name, attributes, scope_name, scope_version)
    like = profile.facts[0]
    if like is None:
        like = profile.learn(name, attributes, scope_name, has_usage=False, failed=False)
    return like.classification, like.agent, profile.dialect


def _reading_of(
    shape: Shape, profile: Profile, attributes: Mapping[str, Any], scope_name: str
) -> Reading | None:
    """Return the usage of a span, the short way where that will do; None where every count is zero."""
    reading = None
    if shape.layout is not None and profile.meaning is not None:
        reading = quick_reading(shape.layout, attributes, profile.meaning)
    if reading is None:
        counts, objects = find_counts(attributes, scope_name, shape.families)
        if counts is None:
            return None
        estimated = is_estimate(attributes, scope_name)
        reading = settle(counts, objects, attributes, profile.dialect, profile.family, estimated=estimated)
    usage = reading.usage
    if not usage.input and not usage and not reading.bad_usage:
        return None  # zeros: a library that knows nothing
    return reading


class Profile:
    """
    What spans have in common whose shape, name and values that are no counts are the same.

    Args:
        name: The span's name.
        attributes: Its attributes.
        scope_name: Its instrumentation scope.
        scope_version: The scope's version.
    """

    __slots__ = ("dialect", "facts", "family", "meaning")

    def __init__(self, attributes: Mapping[str, Any], scope_name: str, scope_version: str) -> None:
        self.family = family_of(attributes)
        self.dialect = dialect_of(attributes, scope_name, scope_version, self.family)
        estimated = is_estimate(attributes, scope_name)
        self.meaning = meaning_of(self.dialect, self.family, estimated=estimated)
        self.facts: list[Facts | None] = [None] * 4
        """Facts but for usage, response id and reported cost: by whether it failed and shows usage."""

    def learn(
        self, name: str, attributes: Mapping[str, Any], scope_name: str, *, has_usage: bool, failed: bool
    ) -> Facts:
        """Work out, once, what is the same in all such spans."""
        found = _identify(name, attributes, scope_name, has_usage=has_usage, failed=failed)
        self.facts[2 * failed + has_usage] = found
        return found


def profile_of(
    shape: Shape, name: str, attributes: Mapping[str, Any], scope_name: str, scope_version: str
) -> Profile:
    """Return the profile of a span, remembered where its values are short and plain."""
    if shape.is_unlike:
        return Profile(attributes, scope_name, scope_version)
    try:
        values = shape.values_of(attributes)
        key = (
            shape,
            name,
            values,
            tuple(map(type, values)),
        )  # True, 1 and 1.0 are one key, and not one value
        found = _profiles.get(key)
    except (KeyError, TypeError):  # an attribute that another thread took away, or a list
        return Profile(attributes, scope_name, scope_version)
    if found is None:
        found = Profile(attributes, scope_name, scope_version)
        if are_short(name, values) and not _asks_the_body(attributes):
            if len(_profiles) >= MAX_PROFILES:
                _profiles.clear()
            _profiles[key] = found
    return found


def are_short(name: str, values: tuple[Any, ...]) -> bool:
    """Tell whether a span's name and values may be remembered."""
    text = len(name) + sum(len(value) for value in values if type(value) is str)
    return text <= MAX_VALUES_TEXT and _PLAIN_TYPES.issuperset(map(type, values))


def _asks_the_body(attributes: Mapping[str, Any]) -> bool:
    """Tell whether only the recorded request names the model (Logfire 3): it differs on every span."""
    return (
        "request_data" in attributes
        and who.first_text(attributes, who.RESPONSE_MODEL_KEYS) is None
        and who.first_text(attributes, who.REQUEST_MODEL_KEYS) is None
    )


MAX_PROFILES: Final = 4096
"""How many profiles are remembered; then all are forgotten, so that no span can grow memory."""

MAX_VALUES_TEXT: Final = 2048
"""Values with more text than this together are not remembered."""

_PLAIN_TYPES: Final = frozenset({str, bool, int, type(None)})
_profiles: dict[tuple[Shape, str, tuple[Any, ...], tuple[type, ...]], Profile] = {}


def _identify(
    name: str, attributes: Mapping[str, Any], scope_name: str, *, has_usage: bool, failed: bool
) -> Facts:
    """Return everything but usage, response id and reported cost; for no call, without usage, kind and agent."""
    model, request_model = who.models_of(attributes)
    classification = classify(
        name,
        attributes,
        scope_name,
        has_usage=has_usage,
        has_model=model is not None or request_model is not None,
    )
    kind = classification.kind
    agent = agent_of(name, attributes, scope_name, kind)
    if kind is not Kind.CALL and (not has_usage or classification.rule == USAGE_RECORD):
        return Facts(classification, agent=agent, failed=failed)
    host = who.host_of(attributes)
    return Facts(
        classification=classification,
        agent=agent,
        providers=who.providers_of(attributes),
        host=host,
        model=model,
        request_model=request_model,
        service_tier=who.tier_of(attributes),
        region=class_of_host(host) or class_of_model(model) or class_of_model(request_model),
        failed=failed,
        streaming=_streaming(attributes),
        is_log=attributes.get("logfire.span_type") == "log",
        cached_response=any(attributes.get(key) in (True, "true", "True") for key in _CACHED_RESPONSE_KEYS),
        operation=who.first_text(attributes, ("gen_ai.operation.name",)) or classification.call_type,
        error_type=(who.first_text(attributes, ("error.type",)) or "_OTHER") if failed else "",
    )


def _streaming(attributes: Mapping[str, Any]) -> bool | None:
    for key in _STREAM_KEYS:
        value = attributes.get(key)
        if isinstance(value, bool):
            return value
        if value in ("True", "true"):
            return True
        if value in ("False", "false"):
            return False
    return None
