# SPDX-License-Identifier: Apache-2.0
"""
The vendored price table is whole. That it is what its sources give is a step of `make test` of its own
(`prices`), since the sources need an environment of their own.
"""

from __future__ import annotations

import pytest

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
