# SPDX-License-Identifier: Apache-2.0
"""
A file of rows that outlives the process that writes it, in the middle of a write too.

The file is mapped into memory: what is written is the kernel's at once, so `kill -9` of the writer
loses nothing, and no system call is made per write. Each row has two buffers. A write fills the one
that is not in force, then one store of eight bytes puts it in force: a reader, or whoever finds the
file of a dead process, sees the row as it was or as it is, and nothing between.

    chunk = [row, row, ..., 0]           a row never crosses a chunk; behind the last one stands a 0
    row   = [capacity, state, buffer 0, buffer 1]    capacity: of one buffer, in bytes
    state = version << 32 | length       the buffer in force is that of the version's last bit
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 1 << 18
"""Bytes that a file grows by."""

MAX_ROW: Final = (CHUNK - 24) // 2 // 8 * 8
"""The most that a row can hold."""

_WORD: Final = 8
_LENGTH: Final = (1 << 32) - 1
_VERSIONS: Final = (1 << 31) - 1
_ATTEMPTS: Final = 10_000


class Row:
    """Where one row is, for its writer."""

    __slots__ = ("buffers", "capacity", "memory", "state", "version", "words")

    def __init__(self, memory: mmap.mmap, words: memoryview, at: int, capacity: int) -> None:
        self.memory = memory
        self.words = words
        self.state = at // _WORD + 1
        self.buffers = (at + 2 * _WORD, at + 2 * _WORD + capacity)
        self.capacity = capacity
        self.version = 0

    def write(self, data: bytes) -> None:
        """Replace what the row says; *data* fits its capacity."""
        version = self.version = (self.version + 1) & _VERSIONS
        start = self.buffers[version & 1]
        size = len(data)
        self.memory[start : start + size] = data
        self.words[self.state] = version << 32 | size


class Writer:
    """
    Writes a file of rows. It is not safe for threads.

    Args:
        handle: The file, empty, open for reading and writing; the writer closes it.

    Raises:
        OSError: There is no room on the disk.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._size = 0
        self._used = CHUNK
        self._memory: mmap.mmap | None = None
        self._words = memoryview(b"")

    def put(self, row: Row | None, data: bytes) -> Row:
        """
        Write a row anew, or for the first time; return where it is.

        One that no longer fits gets a new place behind all others. Its old place keeps what it
        said: where a file has two rows of one thing, the later one holds.

        Raises:
            ValueError: It is above `MAX_ROW`.
            OSError: There is no room on the disk.
        """
        if row is None or len(data) > row.capacity:
            row = self._new_row(len(data))
        row.write(data)
        return row

    def _new_row(self, needed: int) -> Row:
        if needed > MAX_ROW:
            raise ValueError(f"{needed} bytes are too much for a row, which holds {MAX_ROW}")
        capacity = min(-(-needed * 3 // 2 // _WORD) * _WORD, MAX_ROW)
        size = 2 * _WORD + 2 * capacity
        if self._used + size + _WORD > CHUNK:
            self._grow()
        if self._memory is None:
            raise RuntimeError("a file that grew is mapped")
        at = self._used
        self._used += size
        self._words[at // _WORD] = capacity
        return Row(self._memory, self._words, at, capacity)

    def _grow(self) -> None:
        # Touching a page for which the disk has no room would end the process: reserve it first.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._handle, self._size, CHUNK)
        else:
            os.pwrite(self._handle, bytes(CHUNK), self._size)
        self._memory = mmap.mmap(self._handle, CHUNK, offset=self._size)
        self._words = memoryview(self._memory).cast("Q")
        self._size += CHUNK
        self._used = 0

    def close(self) -> None:
        """Close the file; what was written stays mapped as long as rows refer to it."""
        os.close(self._handle)


def read_rows(memory: mmap.mmap) -> Iterator[bytes]:
    """
    Yield what the rows of a file say, each as it is at one moment.

    Raises:
        ValueError: The file is none of ours, or a row never stands still.
    """
    words = memoryview(memory).cast("Q")
    try:
        for chunk in range(0, len(memory), CHUNK):
            at = chunk
            while at + 2 * _WORD < chunk + CHUNK:
                capacity = words[at // _WORD]
                if not capacity:
                    break
                if capacity > MAX_ROW:
                    raise ValueError("a file of a group of workers is damaged")
                found = _read(memory, words, at, capacity)
                if found is not None:
                    yield found
                at += 2 * _WORD + 2 * capacity
    finally:
        words.release()


def _read(memory: mmap.mmap, words: memoryview, at: int, capacity: int) -> bytes | None:
    """Return what a row says; None where nothing was written yet."""
    for _ in range(_ATTEMPTS):
        state = words[at // _WORD + 1]
        if not state:
            return None
        start = at + 2 * _WORD + (capacity if state >> 32 & 1 else 0)
        data = memory[start : start + (state & _LENGTH)]
        if words[at // _WORD + 1] == state:
            return data
    raise ValueError("a row of a group of workers never stands still")
