# SPDX-License-Identifier: Apache-2.0
"""
What pricing one call costs, in ratios to the least that any table can cost, and beside other libraries.

*bare* is the yardstick: look the rates up in two dicts (provider, then model) and multiply four times.
*route* is what the processor's hot path does: look the model up, ask whether date, time of day, tier
and size are those of the rates that are kept, multiply integers, give integer parts. *book* is the public
`PriceBook.price`: a usage in, a `Cost` out. The goals are 3 (better 2) and 8 times the yardstick.

All ways price the same calls at the same prices, each behind one function of its own, in turns of a
millisecond or two, so that a ratio compares what ran in the same moment; shown are the median ratio, its quartiles, and the lowest and highest of the rounds.

    python bench/bench_price_call.py
    python bench/bench_price_call.py --count bare    one way only, for `valgrind --tool=callgrind`

genai-prices and LiteLLM are no dependencies of anything here. Where they are installed (`pip install -r
requirements-bench.txt` in an environment of its own, with PYTHONPATH=src) they are measured too.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

from spancost import PriceBook, Usage
from spancost.cost import Cost, Unpriced
from spancost.route import Route

SLICE = 0.002
"""Seconds that one way runs before it is the next one's turn."""

Way = Callable[[int], float]
"""Prices so many calls and returns the seconds of processor time that took."""


class Call(NamedTuple):
    """What is known of a call to be priced."""

    provider: str
    model: str
    input: int
    cache_read: int
    cache_write: int
    output: int
    tier: str | None = None


CALLS = (
    Call("openai", "gpt-5-mini-2025-08-07", 5_000, 2_048, 0, 900, "default"),
    Call("openai", "gpt-4.1", 12_000, 0, 0, 300),
    Call("openai", "gpt-5.5", 300_000, 200_000, 0, 700),
    Call("openai", "o4-mini", 900, 512, 0, 2_500, "flex"),
    Call("anthropic", "claude-haiku-4-5", 15_000, 12_000, 2_000, 800),
    Call("gcp.gemini", "gemini-2.5-pro", 50_000, 20_000, 0, 3_000),
    Call("mistral_ai", "mistral-large-latest", 3_000, 0, 0, 700),
    Call("groq", "llama-3.3-70b-versatile", 2_500, 0, 0, 600),
)
GENAI_PRICES_NAMES = {"gcp.gemini": "google", "mistral_ai": "mistral"}
LITELLM_NAMES = {"gcp.gemini": "gemini", "mistral_ai": "mistral"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--count", metavar="WAY", help="run one way only, for callgrind")
    parser.add_argument("--times", type=int, default=20_000, help="how often, with --count")
    options = parser.parse_args()
    book = PriceBook.default()
    at = time.time_ns()
    ways = {"bare": bare(book, at), "route": route(book, at), "book": public(book, at)}
    if options.count:
        ways[options.count](options.times)
        return
    for name, make in (("genai-prices calc_price", genai_prices), ("LiteLLM cost_per_token", litellm)):
        try:
            ways[name] = make()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from being measured is shown
            print(f"{name}: not measured: {type(error).__name__}: {error}")
    report(ways, options.rounds)


def report(ways: dict[str, Way], rounds: int) -> None:
    """Run all ways in turns and print their ratios to the first."""
    sizes = {}
    for name, way in ways.items():
        way(100)
        sizes[name] = max(2, int(100 * SLICE / min(way(100) for _ in range(5))))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    gc.disable()
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(way(sizes[name]) / sizes[name])
        gc.collect()
    base = next(iter(seconds.values()))
    print(f"{'':26}{'us, median':>12}{'ratio':>9}   (quartiles; lowest .. highest of {rounds} rounds)")
    for name, took in seconds.items():
        ratios = [one / other for one, other in zip(took, base, strict=True)]
        lower, middle, upper = statistics.quantiles(ratios, n=4)
        spread = f"({lower:.2f}, {upper:.2f}; {min(ratios):.2f} .. {max(ratios):.2f})"
        print(f"{name:26}{1e6 * statistics.median(took):12.3f}{middle:9.2f}   {spread}")


def timed(price: Callable[..., object], calls: Sequence[tuple[object, ...]]) -> Way:
    """Return a way that prices the calls one after the other, again and again."""

    def way(times: int) -> float:
        each = itertools.islice(itertools.cycle(calls), times)
        begin = time.thread_time()
        for call in each:
            price(*call)
        return time.thread_time() - begin

    return way


def bare(book: PriceBook, at: int) -> Way:
    """Two dicts and four multiplies, over as many models as the book has."""
    table: dict[str, dict[str, tuple[int, ...]]] = {
        f"provider {number}": {f"model {number} {other}": (1, 2, 3, 4) for other in range(60)}
        for number in range(50)
    }
    for call in CALLS:
        cost = book.price(Usage(input=1), provider=call.provider, model=call.model, at=at)
        if not isinstance(cost, Cost):
            raise SystemExit(f"the book does not price {call}: {cost}")
        fresh, read, write, _, output = (rate or 0 for rate in cost.rates[:5])
        table.setdefault(call.provider, {})[call.model] = (fresh, read, write, output)

    def price(provider: str, model: str, given: int, read: int, write: int, output: int) -> int:  # noqa: PLR0917
        fresh_rate, read_rate, write_rate, output_rate = table[provider][model]
        return given * fresh_rate + read * read_rate + write * write_rate + output * output_rate

    return timed(price, [call[:6] for call in CALLS])


def route(book: PriceBook, at: int) -> Way:
    """The look-up and the arithmetic of the processor's hot path."""

    def price(  # noqa: PLR0917
        provider: str, model: str, given: int, read: int, write: int, output: int, tier: str | None
    ) -> object:
        found = book.route(provider, model, model)
        return found.amounts(at, tier, given, read, write, 0, output) if type(found) is Route else found

    return timed(price, CALLS)


def public(book: PriceBook, at: int) -> Way:
    """`PriceBook.price`, with a usage made before."""

    def price(usage: Usage, provider: str, model: str, tier: str | None) -> Cost | Unpriced:
        return book.price(usage, provider=provider, model=model, at=at, service_tier=tier)

    calls = [
        (Usage(input=given, cache_read=read, cache_write=write, output=output), provider, model, tier)
        for provider, model, given, read, write, output, tier in CALLS
    ]
    return timed(price, calls)


def genai_prices() -> Way:
    """`genai_prices.calc_price`, with its own usage made before: that costs it 4 us more."""
    from genai_prices import Usage as TheirUsage  # noqa: PLC0415 - not required
    from genai_prices import calc_price  # noqa: PLC0415

    usages = {
        call: TheirUsage(
            input_tokens=call.input,
            cache_read_tokens=call.cache_read,
            cache_write_tokens=call.cache_write,
            output_tokens=call.output,
        )
        for call in CALLS
    }

    def price(call: Call) -> object:
        provider = GENAI_PRICES_NAMES.get(call.provider, call.provider)
        return calc_price(usages[call], call.model, provider_id=provider)

    return timed(price, [(call,) for call in CALLS if price(call)])


def litellm() -> Way:
    """`litellm.cost_per_token`, for those of the calls whose model it knows."""
    warnings.simplefilter("ignore")
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks the network for a newer one
    from litellm import cost_per_token  # noqa: PLC0415 - not required

    def price(call: Call) -> tuple[float, float]:
        return cost_per_token(
            model=call.model,
            custom_llm_provider=LITELLM_NAMES.get(call.provider, call.provider),
            prompt_tokens=call.input,
            completion_tokens=call.output,
            cache_read_input_tokens=call.cache_read,
            cache_creation_input_tokens=call.cache_write,
        )

    known = []
    for call in CALLS:
        try:
            known += [(call,)] if any(price(call)) else []
        except Exception as error:  # noqa: BLE001 - a model that it does not know
            print(f"LiteLLM leaves {call.model} out: {type(error).__name__}")
    return timed(price, known)


if __name__ == "__main__":
    main()
