# SPDX-License-Identifier: Apache-2.0
"""
Model ids as spans carry them, and the spellings under which the price table may know them.

The order is: the id itself, then the id without what wraps it (paths, ARNs, vendor and region
prefixes), each also with its date written otherwise or left out, then, only where the table
says that an id stands for its versions, without the version. Nothing is ever matched by a bare
prefix or a substring: a new model must not get the price of an old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from spancost import _lazy_re as re
from spancost.prices.providers import HUGGING_FACE, SELF_HOSTED, provider_key

MAX_LENGTH: Final = 512
"""Longer ids are no model ids; ARNs and resource names are below 300."""

_DATE: Final = re.compile(r"[-@](20\d\d)-?(0[1-9]|1[0-2])-?([0-3]\d)$")
_AT: Final = re.compile(r"@(?:default|latest|\d{3,8})$")
_LATEST: Final = re.compile(r"[-:]latest$")
_VERSION: Final = re.compile(
    r"(?:-v\d+(?:\.\d+)?(?::\d+)?|:\d+"  # Bedrock: -v1:0, -v1, :0
    r"|-(?:preview|exp|experimental)(?:-\d\d-\d\d|-\d\d-20\d\d|-\d{3,4})?"  # Gemini: -preview-05-20, -exp-0827
    r"|-\d\d-\d\d|-\d\d-20\d\d|-\d{3,4})$"  # -05-20, -09-2025, -002, -2506
)
_CONTEXT: Final = re.compile(r"(?::\d+k|\[1m\])$")
_GEOGRAPHY: Final = re.compile(r"^(global|us-gov|us|eu|apac|ap|jp|au|in|ca|sa|me|af|il|mx)\.(?=[a-z0-9]+\.)")
_BEDROCK: Final = re.compile(
    r"^(?:(?:global|us-gov|us|eu|apac|ap|jp|au|in|ca|sa|me|af|il|mx)\.)?"
    r"(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|stability|writer|qwen|nvidia|minimax|moonshotai?|zai"
    r"|openai|google|twelvelabs|luma)\.[a-z]"
)
_BEDROCK_VENDORLESS: Final = (("nova-", "amazon."), ("titan-", "amazon."), ("claude-", "anthropic."))
_ARN: Final = re.compile(r"^arn:aws[a-z-]*:(?:bedrock|sagemaker):[^:]*:[^:]*:([^/]+)/(.+)$")
_ARN_MODELS: Final = frozenset({"inference-profile", "foundation-model"})
_VERTEX: Final = re.compile(
    r"^(?://aiplatform\.googleapis\.com)?(?:/*projects/[^/]+/locations/[^/]+/)?publishers/([^/]+)/models/([^/]+)$"
)
_VERTEX_OPAQUE: Final = re.compile(
    r"^(?:projects/[^/]+/locations/[^/]+/)?(?:endpoints|tunedmodels|models/\d+)(?:/|$)|^projects/"
)
_FIREWORKS_OWN: Final = ("accounts/fireworks/models/", "accounts/fireworks/routers/")
"""Fireworks' own models, and its routers to the same at other speeds and prices."""
_REGION_PATH: Final = re.compile(r"^(?:[a-z]{2}(?:-gov)?-[a-z]+-\d|converse|converse_like|invoke)/")
_FINE_TUNE: Final = re.compile(r"^ft:([^:]+)(?::|$)")
_AZURE_FINE_TUNE: Final = re.compile(r"^(.+)\.ft-[0-9a-z-]+$")

PROFILE_PREFIX: Final = "profile prefix"
"""The rule that takes the in-region rates of Bedrock for a geography's inference profile."""

REGIONAL_PROFILE: Final = "regional profile"
"""The rule that takes the rates of the table's ``regional`` row for a geography it does not name."""

_OWN_PREFIXES: Final = {
    "anthropic": ("anthropic",),
    "google": ("google", "models", "gemini"),
    "google-vertex": ("google", "models", "gemini", "anthropic", "meta", "mistralai", "mistral", "openapi"),
    "mistral": ("mistralai",),
    "deepseek": ("deepseek-ai",),
    "azure": ("openai",),
}
"""First path segments of an id that a provider uses for itself, beside the spellings of its name."""

_VARIANTS: Final = {"openrouter": re.compile(r":(?:nitro|floor|exacto|beta|thinking|extended|online)$")}
"""Suffixes that change the route or add a fee of its own, not what a token costs."""

_CLAUDE_SLUG: Final = re.compile(r"^anthropic/claude-(\d+)(?:[.-](\d))?-([a-z]+)(?:-20\d{6})?$")
"""How OpenRouter names Claude in answers: `anthropic/claude-4.5-sonnet-20250929` is `anthropic/claude-sonnet-4.5`."""


class Spelling(NamedTuple):
    """
    One spelling to look up.

    Args:
        id: The id, lower case.
        rule: What was done to the span's id: ``exact``, ``unwrapped``, ``dated``, ``version`` ...
        versioned: Only ids that the table marks as standing for their versions may match.
    """

    id: str
    rule: str
    versioned: bool = False


def clean(model: str | None) -> str:
    """Return an id without white space and JSON quotes, lower case; empty for what is no id."""
    if not model or len(model) > MAX_LENGTH:
        return ""
    return model.strip().strip("\"'").strip().lower()


def is_opaque(provider: str | None, model: str) -> bool:
    """
    Tell whether an id names something of the user's own account, which only its owner can resolve.

    Args:
        provider: Key of the provider, None when nobody says.
        model: A cleaned id.
    """
    arn = _ARN.match(model.partition("bedrock/")[2] or model)
    if arn or model.startswith("arn:"):
        return arn is None or arn[1] not in _ARN_MODELS
    if provider == "fireworks":
        return model.startswith("accounts/") and not model.startswith(_FIREWORKS_OWN)
    if provider == "aws":
        return model.startswith(("imported-model/", "custom-model", "provisioned-model/"))
    return provider in ("google", "google-vertex", None) and bool(
        _VERTEX_OPAQUE.match(model) and not _VERTEX.match(model)
    )


def provider_of_shape(model: str) -> str | None:
    """
    Return the provider that alone writes ids of this shape, whoever's client made the call; else None.

    Args:
        model: A cleaned id: an ARN or a Bedrock id, a Vertex publisher's model, a Fireworks account's.
    """
    if model.startswith("arn:aws") or (_BEDROCK.match(model) and "/" not in model):
        return "aws"
    if _VERTEX.match(model):
        return "google-vertex"
    return "fireworks" if model.startswith("accounts/") else None


def hugging_face_host(model: str) -> tuple[str, str] | None:
    """
    Return who ran a model behind Hugging Face's router, as a key of the table, and the model's own id.

    Args:
        model: A cleaned id: `org/model:host` as the router takes it, or LiteLLM's `host/org/model`.
            Without a host the router chooses, and the price is not known: None.
    """
    name, _, host = model.rpartition(":")
    if not name and model.count("/") > 1:
        host, _, name = model.partition("/")
    return (f"{HUGGING_FACE}_{host}", name) if name else None


def implied_provider(model: str) -> tuple[str, str] | None:
    """
    Return the provider that the id itself names, and the rest of the id; None when it names none.

    `groq/llama3-8b-8192` and `azure/x` name one (LiteLLM's routes), so does the shape of a
    Bedrock id, an ARN, a Vertex resource, a Fireworks account or a fine-tune of OpenAI.

    Args:
        model: A cleaned id.
    """
    shaped = provider_of_shape(model)
    if shaped:
        return shaped, model
    if _VERTEX_OPAQUE.match(model):
        return "google-vertex", model
    if model.startswith("models/"):
        return "google", model
    if model.startswith("ft:"):
        return "openai", model
    for separator in ("/", ":"):
        head, found, rest = model.partition(separator)
        key = provider_key(head) if found and rest else None
        if key:
            return key, model if key == SELF_HOSTED else rest
    return None


def spellings(provider: str, model: str) -> Iterator[Spelling]:
    """
    Yield the spellings under which a provider's rows may have an id, the most literal first.

    Args:
        provider: Key of the provider.
        model: A cleaned id.
    """
    seen: set[tuple[str, bool]] = set()
    for base, rule in _bases(provider, model):
        for spelling in _forms(base, rule):
            mark = (spelling.id, spelling.versioned)
            if mark not in seen:
                seen.add(mark)
                yield spelling


def _bases(provider: str, model: str) -> Iterator[tuple[str, str]]:
    fine_tune = _fine_tune_base(model)
    if fine_tune:
        yield fine_tune, "fine-tune"
        return
    yield model, "exact"
    cores = _unwrapped(provider, model)
    core = cores[-1] if cores else model
    fine_tune = _fine_tune_base(core)
    if fine_tune:
        yield fine_tune, "fine-tune"
        return
    yield from ((shorter, "unwrapped") for shorter in cores)
    vertex = _VERTEX.match(model)
    if vertex:
        yield f"{vertex[1]}/{vertex[2]}", "publisher kept"
    if provider == "aws":
        yield from _bedrock_bases(core)
    elif provider == "azure" and core.startswith("gpt-35"):
        yield core.replace("gpt-35", "gpt-3.5", 1), "azure spelling"
    elif provider in _VARIANTS:
        plain = _VARIANTS[provider].sub("", core)
        if plain != core:
            yield plain, "route suffix"
        yield from _claude_slugs(plain)


def _claude_slugs(core: str) -> Iterator[tuple[str, str]]:
    """Yield the names in OpenRouter's list of the Claude that a slug means, the newer manner first."""
    slug = _CLAUDE_SLUG.match(core)
    if slug:
        version = ".".join(filter(None, slug.group(1, 2)))
        yield f"anthropic/claude-{slug[3]}-{version}", "slug"
        yield f"anthropic/claude-{version}-{slug[3]}", "slug"


def _bedrock_bases(core: str) -> Iterator[tuple[str, str]]:
    plain = "" if ":" in core else f"{core}:0"  # some write no revision
    if plain:
        yield plain, "revision added"
    geography = _GEOGRAPHY.match(core)
    if geography:
        if geography[1] == "global":
            return
        for name in filter(None, (core, plain)):
            rest = name[geography.end() :]
            yield f"regional.{rest}", REGIONAL_PROFILE
            yield rest, PROFILE_PREFIX
        rest = core[geography.end() :]
        if rest.startswith("anthropic."):
            yield rest.removeprefix("anthropic."), PROFILE_PREFIX
        return
    if core.startswith("anthropic."):
        yield core.removeprefix("anthropic."), "vendor left out"
    for head, vendor in _BEDROCK_VENDORLESS:
        if core.startswith(head):
            yield vendor + core, "vendor added"


def _forms(base: str, rule: str) -> Iterator[Spelling]:
    """Yield a base as it is, with its date in the other form, and with dates and versions left out."""
    yield Spelling(base, rule)
    base = _CONTEXT.sub("", base)
    suffix = "" if rule == "exact" else f"{rule}, "
    yield Spelling(base, suffix + "context suffix")
    at = _AT.sub("", base)
    date = _DATE.search(base)
    if date:
        stem, (year, month, day) = base[: date.start()], date.groups()
        yield Spelling(f"{stem}-{year}-{month}-{day}", suffix + "date form")
        yield Spelling(f"{stem}-{year}{month}{day}", suffix + "date form")
        yield Spelling(stem, suffix + "dated")
    elif at != base:
        yield Spelling(at, suffix + "dated")
    plain = _LATEST.sub("", base)
    if plain != base:
        yield Spelling(plain, suffix + "latest")
    stem = base
    for _ in range(4):  # -v1 and :0, a date, -preview: an id has no more of them
        stem = _strip_one(stem)
        if not stem:
            return
        yield Spelling(stem, suffix + "version", versioned=True)


def _strip_one(text: str) -> str:
    """Return a text without its last date or version; empty when it has none."""
    for pattern in (_DATE, _AT, _LATEST, _VERSION):
        shorter = pattern.sub("", text)
        if shorter != text:
            return shorter
    return ""


def _unwrapped(provider: str, model: str) -> list[str]:
    """Return an id with one after the other of its paths, ARNs and the provider's own prefixes taken off."""
    cores = []
    core = model
    for _ in range(4):  # bedrock/converse/us-east-1/arn:...
        named = _ARN.match(core) or _VERTEX.match(core)
        shorter = named[2] if named else _without_own_prefix(provider, core)
        if shorter == core:
            break
        cores.append(shorter)
        if named:
            break
        core = shorter
    return cores


def _without_own_prefix(provider: str, model: str) -> str:
    if provider == "aws":
        shorter = _REGION_PATH.sub("", model)
        if shorter != model:
            return shorter
    if provider == "fireworks" and model.startswith("accounts/"):
        return model.split("/", 3)[-1] if model.count("/") >= 3 else model
    for separator in ("/", ":"):
        head, found, rest = model.partition(separator)
        if found and rest and (head in _OWN_PREFIXES.get(provider, ()) or provider_key(head) == provider):
            return rest
    return model


def _fine_tune_base(model: str) -> str:
    """Return ``ft:`` and the base model of a fine-tune; empty for any other id."""
    match = _FINE_TUNE.match(model)
    if match:
        return f"ft:{match[1]}"
    azure = _AZURE_FINE_TUNE.match(model)
    return f"ft:{azure[1]}" if azure else ""
