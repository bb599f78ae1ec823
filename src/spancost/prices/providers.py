# SPDX-License-Identifier: Apache-2.0
"""
Who sold the call: the spellings of providers on spans, and the hosts of their APIs.

A provider's key is its name in the price table. The spellings are the semantic conventions'
`gen_ai.provider.name`, the legacy `gen_ai.system`, and what SDKs and instrumentations write.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spancost import _lazy_re as re

SELF_HOSTED: Final = "self_hosted"
"""The key of every local server: no list price exists."""

HUGGING_FACE: Final = "huggingface"
"""The key of Hugging Face's router: the host that it chose has the price."""

_SPELLINGS: Final = {
    "openai": "openai openai_chat_completions openaichat chatopenai text_completion_openai openai_api",
    "azure": "azure azure_openai azure_ai_openai az_ai_openai az_ai_inference azure_ai_inference azure_ai"
    " azureopenai azurechatopenai microsoft_azure azure_foundry azure_ai_foundry az_openai azure_text azure_inference",
    "anthropic": "anthropic chatanthropic claude",
    "google": "google gemini gcp_gemini gcp_gen_ai google_generative_ai google_gla google_genai google_ai_studio"
    " google_ai google_gemini googlegenai generativeai google_generativeai chatgooglegenerativeai",
    "google-vertex": "vertex_ai vertexai vertex gcp_vertex_ai google_vertex google_vertex_ai google_vertex_anthropic"
    " vertex_ai_beta chatvertexai vertex_anthropic google_vertexai google_anthropic_vertex anthropic_vertex",
    "aws": "aws_bedrock bedrock aws amazon amazon_bedrock bedrock_converse amazonbedrock awsbedrock"
    " bedrock_runtime anthropic_bedrock chatbedrock chatbedrockconverse amazon_nova aws_bedrock_converse",
    "mistral": "mistral mistral_ai mistralai chatmistralai codestral",
    "cohere": "cohere chatcohere cohereai",
    "deepseek": "deepseek deepseek_ai chatdeepseek",
    "x-ai": "xai x_ai grok chatxai",
    "groq": "groq groqcloud chatgroq",
    "together": "together together_ai togetherai chattogether",
    "fireworks": "fireworks fireworks_ai fireworksai chatfireworks",
    "perplexity": "perplexity perplexity_ai perplexityai chatperplexity",
    "openrouter": "openrouter open_router openrouter_ai chatopenrouter",
    "cerebras": "cerebras cerebras_ai chatcerebras",
    "moonshotai": "moonshot moonshot_ai moonshotai kimi",
    "minimax": "minimax minimax_ai",
    "zai": "zai z_ai",
    "zhipuai": "zhipuai zhipu zhipu_ai bigmodel",
    "voyageai": "voyage voyageai voyage_ai",
    "novita": "novita novita_ai",
    "avian": "avian",
    "arcee": "arcee arcee_ai",
    "baseten": "baseten",
    "cloudflare": "cloudflare cloudflare_workers_ai workers_ai workersai",
    "databricks": "databricks chatdatabricks databricks_ai",
    "doubleword": "doubleword",
    "elevenlabs": "elevenlabs",
    "github-copilot": "github_copilot copilot",
    "cursor": "cursor",
    "modal": "modal",
    "ovhcloud": "ovhcloud ovh ovh_cloud",
    "quicksilverpro": "quicksilverpro",
    "typesafe": "typesafe",
    "meta": "meta meta_llama_api",
    "deepinfra": "deepinfra deep_infra",
    "sambanova": "sambanova",
    "hyperbolic": "hyperbolic",
    "nebius": "nebius nebius_ai nebius_ai_studio",
    "nscale": "nscale",
    "dashscope": "dashscope alibaba alibaba_cloud qwen aliyun",
    "ai21": "ai21 ai21_labs",
    "watsonx": "watsonx ibm_watsonx_ai ibm watsonx_ai ibm_watsonx",
    HUGGING_FACE: "huggingface hugging_face huggingface_hub hf huggingface_inference hf_inference"
    " huggingface_router chathuggingface",
    "huggingface_cerebras": "huggingface_cerebras",
    "huggingface_fireworks-ai": "huggingface_fireworks_ai",
    "huggingface_groq": "huggingface_groq",
    "huggingface_hyperbolic": "huggingface_hyperbolic",
    "huggingface_nebius": "huggingface_nebius",
    "huggingface_novita": "huggingface_novita",
    "huggingface_nscale": "huggingface_nscale",
    "huggingface_ovhcloud": "huggingface_ovhcloud",
    "huggingface_publicai": "huggingface_publicai",
    "huggingface_sambanova": "huggingface_sambanova",
    "huggingface_together": "huggingface_together",
    SELF_HOSTED: "ollama vllm hosted_vllm lmstudio lm_studio llama_cpp llamacpp"
    " llama_cpp_server llamafile localai local_ai local tgi text_generation_inference transformers"
    " huggingface_local huggingface_pipeline gpt4all mlx sglang triton xinference oobabooga petals chatollama"
    " self_hosted docker_model_runner",
}

_KEY_OF: Final = {spelling: key for key, text in _SPELLINGS.items() for spelling in text.split()}

_FRAMEWORK_NAMES: Final = (
    "strands_agents strands gcp_vertex_agent google_adk adk crewai crew_ai langgraph langchain autogen ag2 litellm"
    " litellm_proxy langsmith unknown none null other custom custom_openai default agno phidata llamaindex"
    " llama_index haystack dspy pydantic_ai pydanticai smolagents semantic_kernel microsoft_agent_framework"
    " openai_agents openai_agents_sdk vercel ai_sdk vercel_ai_sdk mastra genkit instructor langfuse openlit"
    " traceloop openinference llm_api helicone portkey guardrails mem0 chroma pinecone weaviate qdrant milvus"
    " gateway vercel_ai_gateway ai_gateway proxy router openai_compatible openailike openai_like"
)
_FRAMEWORKS: Final = frozenset(_FRAMEWORK_NAMES.split())
"""Names of frameworks, gateways and placeholders: they say nothing about who sold the call."""

_SEMCONV: Final = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "fireworks": "fireworks_ai",
    "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "together": "together_ai",
    "x-ai": "x_ai",
}

_HOSTS: Final = {
    host: key
    for key, text in {
        "anthropic": "api.anthropic.com",
        "google": "generativelanguage.googleapis.com",
        "mistral": "api.mistral.ai codestral.mistral.ai",
        "cohere": "api.cohere.ai api.cohere.com",
        "deepseek": "api.deepseek.com",
        "groq": "api.groq.com",
        "together": "api.together.xyz api.together.ai",
        "perplexity": "api.perplexity.ai",
        "cerebras": "api.cerebras.ai",
        HUGGING_FACE: "router.huggingface.co api-inference.huggingface.co",
        "moonshotai": "api.moonshot.ai api.moonshot.cn",
        "minimax": "api.minimax.com api.minimax.io api.minimax.chat"
        " api.minimaxi.com api.minimaxi.io api.minimaxi.chat",
        "zai": "api.z.ai",
        "zhipuai": "open.bigmodel.cn",
        "voyageai": "api.voyageai.com",
        "novita": "api.novita.ai",
        "avian": "api.avian.io",
        "arcee": "api.arcee.ai",
        "baseten": "inference.baseten.co",
        "deepinfra": "api.deepinfra.com",
        "github-copilot": "api.githubcopilot.com",
        "ovhcloud": "oai.endpoints.kepler.ai.cloud.ovh.net",
    }.items()
    for host in text.split()
}
_HOST_PATTERNS: Final = tuple(
    (re.compile(pattern), key)
    for pattern, key in (
        (r"(?:[a-z0-9-]+\.)*openai\.azure\.com", "azure"),
        (
            r"(?:[a-z0-9-]+\.)+(?:azure-api\.net|cognitiveservices\.azure\.com|services\.ai\.azure\.com)",
            "azure",
        ),
        (r"(?:[a-z0-9-]+\.)+(?:inference\.ai\.azure\.com|models\.ai\.azure\.com)", "azure"),
        (r"(?:[a-z0-9-]+\.)?api\.openai\.com", "openai"),
        (r"bedrock(?:-[a-z-]+)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?", "aws"),
        (
            r"(?:[a-z0-9-]+-)?aiplatform\.googleapis\.com|aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com",
            "google-vertex",
        ),
        (r"(?:[a-z0-9-]+\.)?api\.x\.ai", "x-ai"),
        (r"(?:[a-z0-9-]+\.)?api\.fireworks\.ai", "fireworks"),
        (r"(?:[a-z0-9-]+\.)?openrouter\.ai", "openrouter"),
        (
            r"(?:[a-z0-9-]+\.)+(?:cloud\.databricks\.com|azuredatabricks\.net|gcp\.databricks\.com)",
            "databricks",
        ),
    )
)
_OPERATION: Final = re.compile(
    r"_(?:chat|responses|messages|embeddings?|completions?|image|speech|transcription|language_model)$"
)
"""What SDKs append to a provider's name: `openai.chat`, `anthropic.messages`."""
_PATH: Final = re.compile(r"[/?#]")
_SEPARATORS: Final = re.compile(r"[\s./:-]+")
_LOCAL_NAMES: Final = frozenset({"localhost", "host.docker.internal", "ip6-localhost"})
_LOCAL_SUFFIXES: Final = (".localhost", ".local", ".internal", ".svc", ".cluster.local", ".lan", ".test")


def provider_key(name: str | None) -> str | None:
    """
    Return the key of a provider's name on a span; None when the name is no provider we know.

    Args:
        name: As written on the span: any case, ``.``, ``-`` or ``_`` between words.
    """
    if not name:
        return None
    folded = _fold(name)
    return _KEY_OF.get(folded) or _KEY_OF.get(_OPERATION.sub("", folded))


def own_key(name: str) -> str:
    """Return the key of a provider that only the user knows: its name, whatever its case and separators."""
    return _fold(name)


def says_nothing(name: str | None) -> bool:
    """Tell whether a name is empty, a framework, a gateway or a placeholder: not who sold the call."""
    return not name or not name.strip() or _fold(name) in _FRAMEWORKS


def known_spellings() -> Iterable[str]:
    """Return every spelling of a provider that is known, for suggestions."""
    return _KEY_OF.keys()


def semconv_name(key: str) -> str:
    """Return the semantic conventions' name of a provider by its key."""
    return _SEMCONV.get(key, key)


def provider_of_host(host: str | None) -> str | None:
    """
    Return who answers at a host, by the semantic conventions' name; None when the host does not say.

    Args:
        host: A ``server.address``, with or without a port, or a whole URL such as an API base.
    """
    name = _bare_host(host)
    if not name:
        return None
    if name in _HOSTS:
        return semconv_name(_HOSTS[name])
    for pattern, key in _HOST_PATTERNS:
        if pattern.fullmatch(name):
            return semconv_name(key)
    return None


def is_local_host(host: str | None) -> bool:
    """Tell whether a host is this machine or a private network: a local server, or somebody's proxy."""
    name = _bare_host(host)
    if not name:
        return False
    import ipaddress  # noqa: PLC0415 - few calls go to hosts that nobody knows

    try:
        return ipaddress.ip_address(name).is_private
    except ValueError:
        return name in _LOCAL_NAMES or name.endswith(_LOCAL_SUFFIXES)


def _bare_host(host: str | None) -> str:
    if not host:
        return ""
    name = host.strip().lower()
    if "://" in name:
        name = name.split("://", 1)[1]
    name = _PATH.split(name, maxsplit=1)[0].rpartition("@")[2]
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0] if name.count(":") == 1 else name


def _fold(name: str) -> str:
    return _SEPARATORS.sub("_", name.strip().strip("\"'").lower()).strip("_")
