# SPDX-License-Identifier: Apache-2.0
"""
Name the agent whose code runs: the ``agent`` block, and carrying it over threads that lose context.

A block makes no span. It lives in OpenTelemetry's context, so tasks, ``asyncio.to_thread`` and
whatever else carries the current span carries it too; a bare thread pool carries neither (``carry``).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from opentelemetry import baggage
from opentelemetry import context as otel_context

from spancost._env import is_disabled

if TYPE_CHECKING:
    from typing_extensions import Self

_KEY: Final = otel_context.create_key("spancost-agent")
AGENT_BAGGAGE: Final = "gen_ai.agent.name"
LABEL_BAGGAGE: Final = "spancost.label."

F = TypeVar("F", bound=Callable[..., Any])


class RunKeeper(Protocol):
    """Who adds up what the calls made in a block cost: the engine of the process."""

    generation: int
    """Changes in a forked child, which begins at zero."""

    def end_block(self, block: Block, run: BlockRun) -> None:
        """Take a block that ended, with what this keeper added up; it must not raise."""


class BlockRun:
    """What the calls made in a block cost so far, by the account of one keeper."""

    __slots__ = ("calls", "femto", "generation", "service")

    def __init__(self, service: str, generation: int) -> None:
        self.service = service
        self.generation = generation
        self.femto = 0
        self.calls = 0


class Block:
    """
    One run of an ``agent`` block, while it lasts and for the calls made in it.

    Args:
        name: The agent's name.
        labels: Label values for metrics, by label name.
        outer: The block around this one.
    """

    __slots__ = ("labels", "name", "outer", "runs", "token")

    def __init__(self, name: str, labels: Mapping[str, str], outer: Block | None) -> None:
        BLOCKS_USED[0] = True
        self.name = name
        inherited: Mapping[str, str] = outer.labels if outer is not None else {}
        self.labels: Mapping[str, str] = {**inherited, **labels}
        self.outer = outer
        self.runs: dict[RunKeeper, BlockRun] = {}
        self.token: Any = None

    def charge(self, keeper: RunKeeper, femto: int, service: str) -> None:
        """Add a call made inside; the keeper sees to it that each comes once."""
        run = self.runs.get(keeper)
        if run is None or run.generation != keeper.generation:
            run = self.runs[keeper] = BlockRun(service, keeper.generation)
        run.femto += femto
        run.calls += 1

    def ended(self) -> None:
        """Tell those who added up its calls."""
        for keeper, run in list(self.runs.items()):
            keeper.end_block(self, run)


BLOCKS_USED: Final = [False]
"""Whether the program ever entered an ``agent`` block."""


def blocks_are_used() -> bool:
    """Tell whether the program ever entered an ``agent`` block."""
    return BLOCKS_USED[0]


def current_block(context: otel_context.Context | None = None) -> Block | None:
    """Return the innermost block of a context, by default the current one."""
    return cast("Block | None", otel_context.get_value(_KEY, context))


class agent:  # noqa: N801 - used as a statement: `with spancost.agent("planner"):`
    """
    Say that the code inside is an agent's: its calls without a nearer agent span are counted as this agent's.

    Works as ``with``, ``async with`` and as a decorator of functions, coroutine functions and
    (asynchronous) generators. Blocks and agent spans form one nesting; the innermost names the call.

    Args:
        name: The agent's name; not empty.
        across_services: Also put the name and labels into baggage, so that services this code calls
            inherit them. Baggage travels in the headers of *every* outgoing request that is
            instrumented, those to the LLM providers included.
        **labels: Values of configured metric labels, such as ``team="growth"``.

    One object may be entered again, also while it is entered, by any thread or task; every entry is
    a run of its own. Where ``SPANCOST_DISABLED`` is set, nothing happens.

    Raises:
        ValueError: The name is empty.
        TypeError: The name or a label's value is no string.
    """

    __slots__ = ("_across", "_entered", "_labels", "_name")

    def __init__(self, name: str, *, across_services: bool = False, **labels: str) -> None:
        given: list[object] = [name, *labels.values()]
        if not all(isinstance(value, str) for value in given):
            raise TypeError(f"an agent's name and labels are strings, not {name!r} {labels!r}")
        if not name.strip():
            raise ValueError("an agent needs a name")
        self._name = name
        self._across = across_services
        self._labels = labels
        self._entered: list[Block] = []

    def __enter__(self) -> Self:
        if is_disabled():
            return self
        context = otel_context.get_current()
        block = Block(self._name, self._labels, current_block(context))
        context = otel_context.set_value(_KEY, block, context)
        if self._across:
            context = baggage.set_baggage(AGENT_BAGGAGE, self._name, context)
            for label, value in self._labels.items():
                context = baggage.set_baggage(LABEL_BAGGAGE + label, value, context)
        block.token = otel_context.attach(context)
        self._entered.append(block)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        block = self._left()
        if block is not None:
            # A call remembers the block, and the token what was current before: spans, with all they say.
            token, block.token = block.token, None
            otel_context.detach(token)
            block.ended()

    def _left(self) -> Block | None:
        """Return the run that ends: the current one, else (another task leaves) the last one entered."""
        block = current_block()
        if block is not None and block in self._entered:
            self._entered.remove(block)
            return block
        return self._entered.pop() if self._entered else None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _anew(self) -> agent:
        return agent(self._name, across_services=self._across, **self._labels)

    def __call__(self, function: F) -> F:
        """Decorate a function: every call of it is a block of its own."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self._anew():
                    return await function(*args, **kwargs)

            return cast("F", run_coroutine)
        if inspect.isasyncgenfunction(function):
            return cast("F", self._asynchronous_generator(function))
        if inspect.isgeneratorfunction(function):
            return cast("F", self._generator(function))

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self._anew():
                return function(*args, **kwargs)

        return cast("F", run)

    def _generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Any:
            # Between its steps a generator is suspended and its caller's code runs, so the block is
            # entered for each step; the calls still add up on one run.
            inside = _Steps(Block(self._name, self._labels, current_block()))
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = functools.partial(inner.send, None)
            try:
                while True:
                    with inside:
                        try:
                            value = step()
                        except StopIteration as stop:
                            return stop.value
                    try:
                        sent = yield value
                    except GeneratorExit:
                        with inside:
                            inner.close()
                        raise
                    except BaseException as error:  # noqa: BLE001 - handed on into the generator
                        step = functools.partial(inner.throw, error)
                    else:
                        step = functools.partial(inner.send, sent)
            finally:
                inside.block.ended()

        return steps

    def _asynchronous_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def steps(*args: Any, **kwargs: Any) -> Any:
            inside = _Steps(Block(self._name, self._labels, current_block()))
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = functools.partial(inner.asend, None)
            try:
                while True:
                    with inside:
                        try:
                            value = await step()
                        except StopAsyncIteration:
                            return
                    try:
                        sent = yield value
                    except GeneratorExit:
                        with inside:
                            await inner.aclose()
                        raise
                    except BaseException as error:  # noqa: BLE001 - handed on into the generator
                        step = functools.partial(inner.athrow, error)
                    else:
                        step = functools.partial(inner.asend, sent)
            finally:
                inside.block.ended()

        return steps


class _Steps:
    """
    Makes the block of a generator current for one step of it at a time.

    What the generator itself made current, such as a span around its ``yield``, is current again in
    its next step, and is not in its caller's code between the steps.
    """

    __slots__ = ("_base", "_kept", "_token", "block")

    def __init__(self, block: Block) -> None:
        self.block = block
        self._base = otel_context.get_current()
        self._kept: otel_context.Context | None = None
        self._token: Any = None

    def __enter__(self) -> None:
        if self._kept is None:
            self._base = otel_context.set_value(_KEY, self.block)
        self._token = otel_context.attach(self._base if self._kept is None else self._kept)

    def __exit__(self, *_: object) -> None:
        now = otel_context.get_current()
        self._kept = None if now is self._base else now
        otel_context.detach(self._token)


def carry(function: F) -> F:
    """
    Return *function* with the current context bound to it: span, agent block and baggage.

    For thread pools that do not carry context: ``pool.submit(spancost.carry(work), item)``.
    """
    context = otel_context.get_current()
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
            token = otel_context.attach(context)
            try:
                return await function(*args, **kwargs)
            finally:
                otel_context.detach(token)

        return cast("F", run_coroutine)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        token = otel_context.attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            otel_context.detach(token)

    return cast("F", run)
