# SPDX-License-Identifier: Apache-2.0
"""
Several worker processes as one: any scrape shows their sum, and what dead ones counted stays in it.

Each worker writes what it counts to a file of its own (`rows`), as part of counting it; whoever is
scraped adds up the files. A worker holds a lock on its file, which the kernel releases when it dies,
however it dies: there are no process ids to mistake. The files of the dead are folded into one, so
that workers may come and go for ever. Files change hands only under the lock of their folder:
scrapes share it, whoever folds, joins or clears has it alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spancost.meter import names, packing
from spancost.meter.cells import Copy, Count, Kept, Run, RunCopy
from spancost.meter.copying import copy_of, record_from
from spancost.meter.records import Record
from spancost.meter.rows import Row, Writer, read_rows
from spancost.meter.snapshot import Gauge, Snapshot, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spancost.meter.core import Meter

_LOCK: Final = "lock"
_WORKER: Final = ".worker"
_TOTALS: Final = "dead.totals"
"""The file with what dead workers counted."""

_PATIENCE_S: Final = 5.0
"""How long the folder's lock is waited for: it is held for milliseconds."""


class Group:
    """
    A worker's membership in a group; made by `join`.

    Args:
        meter: What this worker counts.
        folder: Where the group's files are.
    """

    def __init__(self, meter: Meter, folder: Path) -> None:
        self.folder = folder
        self._meter = meter
        self._kept: dict[tuple[str, ...], Kept] = {}
        self._strange: set[str] = set()
        self._process: Row | None = None
        self._own = ""
        self._writer: Writer | None = None
        self._handles: set[int] = set()
        """The open files by which threads hold the folder's lock, or wait for it."""
        self.entered: Callable[[], None] | None = None
        """Called after this process joined, at first or as a forked child."""

    # --- this worker's own file -----------------------------------------------------------------

    def enter(self) -> None:
        """
        Begin a file of this worker's own, and write what it has counted so far.

        Raises:
            OSError: The folder is not ours alone, or has no room.
        """
        _check(self.folder)
        with self._locked(fcntl.LOCK_EX):
            self._clear()
            self._own = secrets.token_hex(8) + _WORKER
            handle = os.open(self.folder / self._own, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._writer = Writer(handle)
            member = (os.getpid(), _parent(), self._meter.labels, self._meter.run_labels, ())
            self._writer.put(None, packing.pack_member(member))
            known = self._others()
        self._meter.write_to(self, known)
        if self.entered is not None:
            self.entered()

    def put(self, thing: Record | Run) -> None:
        """Write a label set or an agent's runs anew; the caller holds the meter's lock."""
        data = packing.pack_record(thing) if isinstance(thing, Record) else packing.pack_run(thing)
        row = thing.row
        if isinstance(row, Row) and len(data) <= row.capacity:
            row.write(data)
        elif self._writer is not None:
            thing.row = self._writer.put(None, data)

    def put_process(self, counts: Sequence[Count], pending: int) -> None:
        """Write the counters that belong to no label set anew; the caller holds the meter's lock."""
        if self._writer is not None:
            self._process = self._writer.put(self._process, packing.pack_process(counts, pending))

    def left_in_fork(self) -> None:
        """Let go, in a forked child, of the files that are its parent's; the parent's locks stay, as long as it."""
        while self._handles:
            os.close(self._handles.pop())
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # --- the group ------------------------------------------------------------------------------

    def snapshot(self, own: Snapshot) -> Snapshot:
        """
        Return the sum of this worker's series and those of all others, dead or alive.

        Raises:
            OSError: The files cannot be read.
            ValueError: One is damaged, or a worker has other labels.
        """
        with self._locked(fcntl.LOCK_SH):
            others = self._others()
        return merged([own, *others], self._keep)

    def fold(self) -> int:
        """Fold the files of dead workers into one; return how many there were."""
        with self._locked(fcntl.LOCK_EX):
            return self._fold(self._dead())

    def _others(self) -> list[Snapshot]:
        """Read every file but this worker's own; the caller holds the folder's lock."""
        files = [_File(path, self._keep) for path in self._files() if path.name != self._own]
        folded = {name for each in files for name in each.folded}
        return [
            each.snapshot()
            for each in files
            if each.labels and each.path.name not in folded and self._fits(each)
        ]

    def _fits(self, file: _File) -> bool:
        """Tell whether a worker has the same labels; after a reload with others, its series are others."""
        if file.labels == self._meter.labels:
            return True
        if file.path.name not in self._strange:
            self._strange.add(file.path.name)
            self._meter.internal_error("worker_with_other_labels")
        return False

    def _files(self) -> list[Path]:
        found = sorted(self.folder.iterdir())
        return [path for path in found if path.name == _TOTALS or path.suffix == _WORKER]

    def _dead(self) -> list[Path]:
        """Return the files whose workers are dead."""
        return [path for path in self._files() if path.name not in (self._own, _TOTALS) and _is_dead(path)]

    def _clear(self) -> None:
        """Fold the dead; where nobody is alive and their parent was another, begin anew."""
        files = self._files()
        dead = self._dead()
        alive = len(dead) < sum(path.name != _TOTALS for path in files)
        siblings = any(_File(path, self._keep).parent == _parent() for path in files)
        if alive or siblings:
            self._fold(dead)
        else:
            for path in files:
                path.unlink()

    def _fold(self, dead: Sequence[Path]) -> int:
        """Add dead workers' files to the totals; a crash at any point neither loses nor doubles them."""
        if not dead:
            return 0
        totals = self.folder / _TOTALS
        files = [_File(path, self._keep) for path in ([totals] if totals.exists() else []) + list(dead)]
        done = {name for each in files for name in each.folded}
        parts = [
            each.snapshot()
            for each in files
            if each.labels and each.path.name not in done and self._fits(each)
        ]
        # Named by what it holds: until the files are gone, readers skip those that are in it.
        gone = [path.name for path in dead]
        temporary = self.folder / f"{_TOTALS}.new"
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        writer = Writer(handle)
        try:
            member = (0, _parent(), self._meter.labels, self._meter.run_labels, gone)
            writer.put(None, packing.pack_member(member))
            if parts:
                _write_all(writer, merged(parts, self._keep))
        finally:
            writer.close()
        temporary.replace(totals)
        for path in dead:
            path.unlink()
        return len(dead)

    def _keep(self, values: tuple[str, ...]) -> Kept:
        """Return what a renderer keeps with a label set of the group."""
        kept = self._kept.get(values)
        if kept is None:
            kept = self._kept[values] = Kept()
        return kept

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """
        Hold the folder's lock.

        Raises:
            OSError: Somebody else holds it for seconds, such as a worker that was stopped.
        """
        handle = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        self._handles.add(handle)
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while True:
                try:
                    fcntl.flock(handle, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.001)
            yield
        finally:
            # Closing alone would leave the lock to a child that was forked meanwhile, which has the file too.
            fcntl.flock(handle, fcntl.LOCK_UN)
            self._handles.discard(handle)
            os.close(handle)


class _File:
    """What one file of a group says; the caller holds the folder's lock."""

    def __init__(self, path: Path, keep: Callable[[tuple[str, ...]], Kept]) -> None:
        self.path = path
        self.parent = ""
        self.labels: tuple[str, ...] = ()
        self.run_labels: tuple[str, ...] = ()
        self.folded: Sequence[str] = ()
        self._keep = keep
        self._records: dict[tuple[str, ...], Copy] = {}
        self._runs: dict[tuple[str, ...], RunCopy] = {}
        self._counts: list[Count] = []
        self._pending = 0
        for data in _rows(path):
            self._take(*packing.unpack(data))

    def _take(self, kind: int, said: list[Any]) -> None:
        # Where a thing has two rows, the later one holds.
        if kind == packing.RECORD:
            record = packing.record_of(said)
            record.kept = self._keep(record.values)
            self._records[record.values] = copy_of(record)
        elif kind == packing.RUN:
            run = packing.run_of(said, self._keep(tuple(said[0])))
            self._runs[run.values] = run
        elif kind == packing.PROCESS:
            self._counts, self._pending = packing.counts_of(said), said[1]
        else:
            _, self.parent, labels, run_labels, self.folded = said
            self.labels, self.run_labels = tuple(labels), tuple(run_labels)

    def snapshot(self) -> Snapshot:
        """Return it as a snapshot."""
        return Snapshot(
            self.labels,
            self.run_labels,
            list(self._records.values()),
            list(self._runs.values()),
            self._counts,
            [Gauge(names.PENDING, (), self._pending)],
            0.0,
        )


def join(meter: Meter, folder: Path) -> Group:
    """
    Make a meter count for a group: all processes with the same folder are one in every scrape.

    A forked child joins by itself with its first call. Where no worker is alive, totals of an
    earlier run (another parent process, another boot) are cleared; those of siblings are kept.

    Args:
        meter: The meter.
        folder: A folder for the group's files, made where it does not exist; local, best in memory
            (``/dev/shm``): counting a call must not wait for a disk.

    Raises:
        OSError: The folder is not ours alone, or has no room.
    """
    group = Group(meter, folder)
    group.enter()
    return group


def _check(folder: Path) -> None:
    """
    Make the folder, and see that nobody else can write to it.

    Raises:
        OSError: It is somebody else's, or open to others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(
            f"{folder} must be a folder of this user that nobody else can enter: "
            f"chmod 700 it, or name another one in SPANCOST_WORKERS_DIR"
        )


def _is_dead(path: Path) -> bool:
    """Tell whether nobody holds the lock of a file."""
    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _rows(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
            return list(read_rows(memory))


def _write_all(writer: Writer, snapshot: Snapshot) -> None:
    """Write what a snapshot has, but for the gauges."""
    for copy in snapshot.records:
        writer.put(None, packing.pack_record(record_from(copy)))
    for copied in snapshot.runs:
        run = Run(copied.values, copied.cost.born)
        run.cost = copied.cost
        writer.put(None, packing.pack_run(run))
    writer.put(None, packing.pack_process(snapshot.counts, 0))


def _parent() -> str:
    """Return what tells this process's parent from every other process, ever: siblings have the same."""
    parent = os.getppid()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        # Behind the name, which may hold anything: the 20th field is the time it started.
        started = Path(f"/proc/{parent}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return str(parent)
    return f"{boot} {parent} {started}"
