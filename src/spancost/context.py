# SPDX-License-Identifier: Apache-2.0
"""
Name the agent whose code runs: the ``agent`` block, and carrying it over threads that lose context.

A block makes no span. It lives in OpenTelemetry's context, so tasks, ``asyncio.to_thread`` and
whatever else carries the current span carries it too; a bare thread pool carries neither (``carry``).
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry import baggage
from opentelemetry import context as otel_context

if TYPE_CHECKING:
    from typing_extensions import Self

_KEY: Final = otel_context.create_key("spancost-agent")
AGENT_BAGGAGE: Final = "gen_ai.agent.name"
LABEL_BAGGAGE: Final = "spancost.label."

F = TypeVar("F", bound=Callable[..., Any])


class Block:
    """
    One run of an ``agent`` block, while it lasts and for the calls made in it.

    Args:
        name: The agent's name.
        labels: Label values for metrics, by label name.
        outer: The block around this one.
    """

    __slots__ = ("_charged", "calls", "femto", "labels", "name", "outer", "service")

    def __init__(self, name: str, labels: Mapping[str, str], outer: Block | None) -> None:
        self.name = name
        inherited: Mapping[str, str] = outer.labels if outer is not None else {}
        self.labels: Mapping[str, str] = {**inherited, **labels}
        self.outer = outer
        self.femto = 0
        self.calls = 0
        self.service = ""
        self._charged: object = None

    def charge(self, call: object, femto: int, service: str) -> None:
        """Add a call made inside, once however many spans show it (they come one after the other)."""
        if self._charged is not call:
            self._charged = call
            self.femto += femto
            self.calls += 1
            self.service = service


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

    Raises:
        ValueError: The name is empty.
        TypeError: The name or a label's value is no string.
        RuntimeError: One object is entered again while it is entered; make one per block.
    """

    __slots__ = ("_across", "_block", "_labels", "_name", "_token")

    def __init__(self, name: str, *, across_services: bool = False, **labels: str) -> None:
        given: list[object] = [name, *labels.values()]
        if not all(isinstance(value, str) for value in given):
            raise TypeError(f"an agent's name and labels are strings, not {name!r} {labels!r}")
        if not name.strip():
            raise ValueError("an agent needs a name")
        self._name = name
        self._across = across_services
        self._labels = labels
        self._block: Block | None = None
        self._token: Any = None

    def __enter__(self) -> Self:
        if self._block is not None:
            raise RuntimeError(f"agent({self._name!r}) is entered already; make one object per block")
        context = otel_context.get_current()
        self._block = Block(self._name, self._labels, current_block(context))
        context = otel_context.set_value(_KEY, self._block, context)
        if self._across:
            context = baggage.set_baggage(AGENT_BAGGAGE, self._name, context)
            for label, value in self._labels.items():
                context = baggage.set_baggage(LABEL_BAGGAGE + label, value, context)
        self._token = otel_context.attach(context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        otel_context.detach(self._token)
        if block is not None:
            _ended(block)

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
            block = Block(self._name, self._labels, current_block())
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = functools.partial(inner.send, None)
            try:
                while True:
                    with _entered(block):
                        try:
                            value = step()
                        except StopIteration as stop:
                            return stop.value
                    try:
                        sent = yield value
                    except GeneratorExit:
                        with _entered(block):
                            inner.close()
                        raise
                    except BaseException as error:  # noqa: BLE001 - handed on into the generator
                        step = functools.partial(inner.throw, error)
                    else:
                        step = functools.partial(inner.send, sent)
            finally:
                _ended(block)

        return steps

    def _asynchronous_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def steps(*args: Any, **kwargs: Any) -> Any:
            block = Block(self._name, self._labels, current_block())
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = functools.partial(inner.asend, None)
            try:
                while True:
                    with _entered(block):
                        try:
                            value = await step()
                        except StopAsyncIteration:
                            return
                    try:
                        sent = yield value
                    except GeneratorExit:
                        with _entered(block):
                            await inner.aclose()
                        raise
                    except BaseException as error:  # noqa: BLE001 - handed on into the generator
                        step = functools.partial(inner.athrow, error)
                    else:
                        step = functools.partial(inner.asend, sent)
            finally:
                _ended(block)

        return steps


class _entered:  # noqa: N801 - a context manager like the one above
    """Make an existing block current."""

    __slots__ = ("_block", "_token")

    def __init__(self, block: Block) -> None:
        self._block = block
        self._token: Any = None

    def __enter__(self) -> None:
        self._token = otel_context.attach(otel_context.set_value(_KEY, self._block))

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._token)


def carry(function: F) -> F:
    """
    Return *function* with the current context bound to it: span, agent block and baggage.

    For thread pools that do not carry context: ``pool.submit(spancost.carry(work), item)``.
    """
    context = otel_context.get_current()

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        token = otel_context.attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            otel_context.detach(token)

    return cast("F", run)


# --- who listens to the end of a block ---------------------------------------------------------

_listeners: list[Callable[[Block], None]] = []
_listeners_lock: Final = threading.Lock()


def on_block_end(listener: Callable[[Block], None]) -> None:
    """Call *listener* with every block that ends; the processor observes the cost of its run so."""
    with _listeners_lock:
        if listener not in _listeners:
            _listeners.append(listener)


def _ended(block: Block) -> None:
    for listener in _listeners:
        listener(block)
