# SPDX-License-Identifier: Apache-2.0
"""
The vendored price table is whole. That it is what its sources give is a step of `make test` of its own
(`prices`), since the sources need an environment of their own.
"""

from __future__ import annotations

import pytest

from spancost import PriceBook
from spancost.prices import table


def test_every_row_says_where_it_is_from():
    """A rate without a source is nobody's."""
    loaded = table.load()

    nameless = [row for row in loaded.rows() for card in row.cards() if not card.source]

    assert not nameless


def test_the_digest_is_of_these_rows(tmp_path):
    """A table that was changed by hand is refused."""
    text = table.DEFAULT_PATH.read_bytes()
    changed = tmp_path / "table.tsv"
    changed.write_bytes(text.replace(b"gpt-4o-mini", b"gpt-4o-maxi", 1))

    assert table.load().digest == table.digest_of(text.partition(b"\n")[2].decode())
    with pytest.raises(ValueError, match="digest"):
        table.load(changed)


WRAPPERS = {
    "openai": ("openai/{}", "openai:{}"),
    "anthropic": ("anthropic/{}", "anthropic:{}"),
    "google": ("models/{}", "gemini/{}", "google-gla:{}"),
    "google-vertex": ("vertex_ai/{}", "google-vertex:{}"),
    "aws": (
        "bedrock/{}",
        "bedrock/converse/{}",
        "arn:aws:bedrock:us-west-2:123456789012:inference-profile/{}",
    ),
    "azure": ("azure/{}", "azure:{}"),
    "mistral": ("mistral/{}", "mistralai/{}"),
    "deepseek": ("deepseek/{}",),
    "x-ai": ("xai/{}", "x-ai/{}"),
    "groq": ("groq/{}",),
    "cohere": ("cohere/{}", "cohere_chat/{}"),
    "together": ("together_ai/{}",),
    "fireworks": ("fireworks_ai/{}",),
    "openrouter": ("openrouter/{}",),
    "cerebras": ("cerebras/{}",),
    "moonshotai": ("moonshot/{}",),
}
"""How clients and gateways wrap the ids of a provider."""


@pytest.mark.parametrize("provider", sorted(WRAPPERS))
def test_every_id_of_the_table_survives_its_wrappers(provider):
    """An id leads to its own row in capitals, in quotes and behind each prefix, with its provider named or not."""
    book = PriceBook(table.load())
    ids = [name.rstrip("*") for row in table.load().rows() if row.provider == provider for name in row.ids]

    def row_of(seller, model):
        found = book.resolve(provider=seller, model=model)
        return found.card.id if found.card else found.unpriced.reason

    lost = []
    for name in dict.fromkeys(ids):
        own = row_of(provider, name)
        wrapped = [wrapper.format(name) for wrapper in WRAPPERS[provider]]
        lost += [each for each in (name.upper(), f'"{name}"', *wrapped) if row_of(provider, each) != own]
        lost += [
            each for each in wrapped if not each.startswith("models/") and row_of("litellm", each) != own
        ]
    assert lost == []
