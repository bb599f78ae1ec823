# SPDX-License-Identifier: Apache-2.0
"""
The pricing file: JSON by provider and model, USD per 1,000,000 tokens.

    {"openai": {"gpt-4o": {"input": 5.00, "output": 15.00}}, "default": {"input": 5.00, "output": 15.00}}

`docs/pricing-file.md` describes all of it. Numbers are read as they are written, never as floats. A file
is good as a whole or not at all, and everything wrong with it is in one message.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from spancost.errors import PriceBookError
from spancost.prices import ids
from spancost.prices.entries import read_default, read_entry
from spancost.prices.overrides import ANY, MAX_ENTRIES, Alias, Entry, Key, Multiplier, Origin, Overrides
from spancost.prices.problems import Place, Problems, nearest
from spancost.prices.providers import known_spellings, own_key, provider_key
from spancost.prices.scalars import check_repeated, read_multiplier, read_text, said

MAX_BYTES: Final = 4 * 2**20
"""A larger file is no pricing file."""

DEFAULT, ALIASES, MULTIPLIER, COMMENT, OWN = "default", "aliases", "multiplier", "comment", "own"

_TOP: Final = (DEFAULT, ALIASES, MULTIPLIER, COMMENT)
_BLOCK: Final = (ALIASES, MULTIPLIER, COMMENT, OWN)
_TOO_ALIKE: Final = 0.8
"""A provider's name that nobody knows and that is so much like one we know is a slip."""

_A_PROVIDER: Final = 'must be an object of models, such as {"gpt-4o": {"input": 2.50, "output": 10}}'


class _Object(dict[str, Any]):
    """A JSON object that remembers all it had, keys that were there twice included."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs
        self.repeated = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]


def read(path: Path) -> tuple[Overrides, Problems, Origin]:
    """
    Read a pricing file as far as it can be read alone.

    Args:
        path: The file.

    Returns:
        What it says, what is wrong with it so far, and its name with its digest.

    Raises:
        PriceBookError: It is not there, cannot be read, is too large, or is no JSON.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PriceBookError(f"{path}: the pricing file cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise PriceBookError(f"{path}: larger than {MAX_BYTES:,} bytes: no pricing file")
    digest = hashlib.sha256(data).hexdigest()
    origin = Origin("file", f"pricing file {path} (sha256:{digest[:12]})", digest)
    said_there, problems = parse(data, str(path), origin)
    return said_there, problems, origin


def parse(data: bytes, name: str, origin: Origin) -> tuple[Overrides, Problems]:
    """
    Read the bytes of a pricing file.

    Args:
        data: UTF-8, with or without a byte order mark.
        name: What messages call it.
        origin: Where what it says is from.

    Raises:
        PriceBookError: It is no JSON.
    """
    try:
        document = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_Object,
            parse_float=Decimal,
            parse_int=Decimal,
            parse_constant=Decimal,
        )
    except RecursionError:
        raise PriceBookError(f"{name}: nested deeper than any pricing file") from None
    except ValueError as error:
        raise PriceBookError(f"{name}: not JSON: {error}") from error
    reader = _Reader(origin)
    reader.read(document)
    return Overrides(reader.rates, reader.aliases, reader.multipliers, reader.default), reader.problems


class _Reader:
    """Walks a document once, and collects what it says and what is wrong with it."""

    def __init__(self, origin: Origin) -> None:
        self.problems = Problems()
        self.rates: dict[Key, Entry] = {}
        self.aliases: dict[Key, Alias] = {}
        self.multipliers: dict[str, Multiplier] = {}
        self.default: Entry | None = None
        self._origin = origin
        self._entries = 0
        self._named: dict[Key, Place] = {}

    def read(self, document: object) -> None:
        """Read the whole document."""
        if not isinstance(document, _Object):
            self.problems.add((), f"must be an object by provider, not {said(document)}")
            return
        check_repeated(document, (), self.problems)
        for name, value in document.pairs:
            if name == DEFAULT:
                self.default = read_default(value, (name,), self.problems, self._origin)
            elif name not in _TOP:
                self._block(name, value)
        self._extras(document, (), ANY)
        if self._entries > MAX_ENTRIES:
            self.problems.add(
                (), f"has {self._entries:,} models and other names; at most {MAX_ENTRIES:,} can be"
            )

    def _block(self, name: str, value: object) -> None:
        """Read the models of one provider."""
        place = (name,)
        if not isinstance(value, _Object):
            near = None if isinstance(value, Mapping) else nearest(name, _TOP)
            hint = f'; did you mean "{near}"?' if near else ""
            self.problems.add(place, f"{_A_PROVIDER}, not {said(value)}{hint}")
            return
        check_repeated(value, place, self.problems)
        key = self._provider(name, value)
        for model, rates in value.pairs:
            here = (*place, model)
            if model in _BLOCK:
                continue
            if not isinstance(rates, (Mapping, list)) and (near := nearest(model, _BLOCK)):
                self.problems.add(here, f'no model, and no such key; did you mean "{near}"?')
            elif self._may_be_named(key, model, here):
                entry = read_entry(rates, here, self.problems, provider=key, model=model, origin=self._origin)
                if entry is not None:
                    self.rates[key, ids.clean(model)] = entry
        self._extras(value, place, key)

    def _provider(self, name: str, block: Mapping[str, object]) -> str:
        """Return the key of a block; a name that nobody knows is a provider of the user's own, unless it is a slip."""
        own = block.get(OWN, False)
        if not isinstance(own, bool):
            self.problems.add((name, OWN), f"must be true or false, not {said(own)}")
        if name.strip() == ANY:
            return ANY
        key = provider_key(name)
        if key is not None:
            return key
        key = own_key(name)
        near = nearest(key, (*known_spellings(), *_TOP), alike=_TOO_ALIKE)
        if not key:
            self.problems.add((name,), "is no name of a provider")
        elif near and own is not True:
            self.problems.add(
                (name,),
                f'no provider that we know; did you mean "{near}"? If it is one of your own, put "own": true into it',
            )
        return key

    def _extras(self, block: _Object, place: Place, key: str) -> None:
        """Read what a block or the whole file says beside models."""
        if MULTIPLIER in block:
            by = read_multiplier(block[MULTIPLIER], (*place, MULTIPLIER), self.problems)
            if key in self.multipliers:
                self.problems.add(
                    (*place, MULTIPLIER), "the same provider has one already, under another name"
                )
            elif by is not None:
                self.multipliers[key] = Multiplier(by, self._origin)
        if ALIASES not in block:
            return
        aliases, place = block[ALIASES], (*place, ALIASES)
        if not isinstance(aliases, _Object):
            self.problems.add(
                place, f'must be an object such as {{"my-deployment": "gpt-4o"}}, not {said(aliases)}'
            )
            return
        check_repeated(aliases, place, self.problems)
        for name, target in aliases.items():
            here = (*place, name)
            if self._may_be_named(key, name, here):
                alias = self._target(target, here)
                if alias is not None:
                    self.aliases[key, ids.clean(name)] = alias

    def _target(self, value: object, place: Place) -> Alias | None:
        """Read what another name stands for: a model, or a model of another provider."""
        if isinstance(value, str):
            model = read_text(value, place, self.problems)
            return Alias(ids.clean(model), None, self._origin, place) if model else None
        if not isinstance(value, _Object) or value.keys() != {"provider", "model"} or value.repeated:
            self.problems.add(
                place, 'must be a model id, or {"provider": "openai", "model": "gpt-4o"}, not ' + said(value)
            )
            return None
        provider = read_text(value["provider"], (*place, "provider"), self.problems)
        model = read_text(value["model"], (*place, "model"), self.problems)
        return Alias(ids.clean(model), provider, self._origin, place) if model and provider else None

    def _may_be_named(self, key: str, name: str, place: Place) -> bool:
        """Tell whether a name can be a model id or another name, and is not taken."""
        self._entries += 1
        cleaned = ids.clean(name)
        if not cleaned or not name.isprintable():
            self.problems.add(place, f"a model id has 1 to {ids.MAX_LENGTH} printable characters")
            return False
        if "*" in name:
            self.problems.add(
                place,
                'there are no wildcards; an id also stands for its dated versions, and "aliases" names others',
            )
            return False
        other = self._named.setdefault((key, cleaned), place)
        if other != place:
            self.problems.add(place, f"is the same provider and name as {other[0]} > {other[-1]}; keep one")
            return False
        return True
