# SPDX-License-Identifier: Apache-2.0
"""One change at a time, whoever asks: other threads wait, this one's own finalizers wait too."""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spancost.meter.cells import Count
    from spancost.meter.snapshot import Snapshot

_Copied = TypeVar("_Copied")


class Store(Protocol):
    """A membership in a group of workers: where all that is counted is written at once (`workers`)."""

    def enter(self) -> None:
        """Begin a file for this process."""

    def put(self, thing: Any) -> None:
        """Write a record or a run anew; the caller holds the meter's lock."""

    def put_process(self, counts: Sequence[Count], pending: int) -> None:
        """Write the counters that belong to no label set anew; the caller holds the meter's lock."""

    def snapshot(self, own: Snapshot) -> Snapshot:
        """Return the sum of this process's series and those of the others."""

    def left_in_fork(self) -> None:
        """Let go, in a forked child, of what is the parent's."""


class Gate:
    """
    The lock of a meter, and what came while its holder was in the middle of something.

    A finaliser may end a span, and so count a call, on the very thread that holds the lock: the lock
    is re-entrant, and what is brought so waits until that thread is done with what it is doing.
    """

    __slots__ = ("busy", "late", "lock", "store")

    def __init__(self, store: Store | None) -> None:
        self.lock = threading.RLock()
        self.busy = False
        """Whether the lock's holder is changing or copying something."""
        self.late: deque[Callable[[], None]] = deque()
        self.store = store
        """The group that what is counted is written to."""

    def do(self, step: Callable[..., None], *arguments: Any) -> None:
        """Change something under the lock, at once or after what this thread is changing or copying."""
        with self.lock:
            if self.busy:
                self.late.append(partial(step, *arguments))
                return
            self.busy = True
            try:
                step(*arguments)
            finally:
                self.busy = False
                if self.late:
                    self.catch_up()

    def copy(self, read: Callable[[], _Copied]) -> _Copied:
        """Copy something under the lock; what finalisers bring meanwhile waits."""
        with self.lock:
            outermost, self.busy = not self.busy, True
            try:
                return read()
            finally:
                if outermost:
                    self.busy = False
                    if self.late:
                        self.catch_up()

    def catch_up(self) -> None:
        """Do what came meanwhile; the caller holds the lock."""
        while self.late:
            self.busy = True
            try:
                self.late.popleft()()
            finally:
                self.busy = False


class Rejoin:
    """
    Stands for the group in a forked child until it counts something: few children ever do.

    Args:
        group: The parent's membership.
    """

    def __init__(self, group: Store) -> None:
        self._group = group
        self._failed = False

    def enter(self) -> None:
        """
        Join the group of the parent, which writes everything there is.

        Raises:
            OSError: It failed, now or before; it is tried once.
        """
        if self._failed:
            raise OSError("this process could not join the group of its parent")
        self._failed = True
        self._group.enter()

    def put(self, thing: object) -> None:  # noqa: ARG002 - everything is written
        """Join."""
        if not self._failed:
            self.enter()

    def put_process(self, counts: Sequence[Count], pending: int) -> None:  # noqa: ARG002 - as above
        """Join."""
        if not self._failed:
            self.enter()

    def snapshot(self, own: Snapshot) -> Snapshot:
        """Join, and return the group's sum."""
        self.enter()
        return self._group.snapshot(own)

    def left_in_fork(self) -> None:
        """Do nothing: there is no file to let go of."""
