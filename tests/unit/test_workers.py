# SPDX-License-Identifier: Apache-2.0
"""Several processes as one: their sum in any scrape, exact however they die."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from spancost.cost import Cost
from spancost.meter import Meter
from tests.meter_kit import USD, a_call, by_label, samples, value
from tests.ports import free_port
from tests.workers_kit import KEY, USAGE, a_worker, calls, count, in_child, join

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
if hasattr(os, "fork"):
    import fcntl

    from spancost.meter.rows import CHUNK, Writer, read_rows
    from spancost.meter.workers_port import SharedPort


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "group"


def ended(child):
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_a_scrape_of_any_worker_shows_the_sum_once_per_label_set(folder):
    one, _ = a_worker(folder)
    two, _ = a_worker(folder)
    count(one, times=2, trace_id=0xAB)
    count(two)
    count(two, "writer")
    two.record(
        a_call(agent="planner", failed=True, error_type="Timeout", cost_parts=None, flags=("partial",))
    )
    two.record_run(service_name="shop", agent="planner", femto=7 * USD)
    two.duplicate()

    for meter in (one, two):
        assert calls(meter) == {"planner": 4, "writer": 1}
        assert by_label(meter, "gen_ai_calls_total", "error_type") == {"": 4, "Timeout": 1}
        assert by_label(meter, "gen_ai_operation_duration_seconds_count", "gen_ai_agent_name") == {
            "planner": 4,
            "writer": 1,
        }
        assert value(meter, "gen_ai_agent_run_cost_usd_sum") == 7
        assert value(meter, "spancost_duplicates_total") == 1
        exemplars = [s.exemplar for f in meter.collect() for s in f.samples if s.exemplar]
        assert {exemplar.labels["trace_id"] for exemplar in exemplars} == {f"{0xAB:032x}"}


def test_what_was_counted_before_joining_is_in_the_sum(folder):
    late = Meter()
    count(late, times=3)
    one, _ = a_worker(folder)
    join(late, folder)

    assert calls(one) == {"planner": 3}


def test_amounts_beyond_64_bits_stay_exact(folder):
    one, _ = a_worker(folder)
    two, _ = a_worker(folder)
    huge = Cost(2**62 + 1, {"input": 2**62 + 1})
    for _ in range(9):
        one.count(KEY, USAGE, huge, 1, trace_id=2**127, span_id=2**63, ended_ns=1)

    (copy,) = two.snapshot().records
    assert copy.cost.total == 9 * (2**62 + 1)
    assert [c.value for c in copy.counts if c.spec.name == "gen_ai_cost_usd"] == [9 * (2**62 + 1)]


def test_the_dead_are_folded_into_one_file_and_nothing_changes(folder):
    watch, group = a_worker(folder)
    for n in range(20):
        ended(in_child(lambda n=n: count(a_worker(folder)[0], f"a{n % 2}")))
        group.fold()

    assert calls(watch) == {"a0": 10, "a1": 10}
    assert sum(path.suffix == ".worker" for path in folder.iterdir()) == 1


def test_a_file_that_is_in_the_totals_already_counts_once(folder, tmp_path):
    """As after a crash between writing the totals and removing the files that are in them."""
    watch, group = a_worker(folder)
    before = set(folder.iterdir())
    ended(in_child(lambda: count(a_worker(folder)[0], times=3)))
    (dead,) = set(folder.iterdir()) - before
    kept = shutil.copy2(dead, tmp_path)
    group.fold()
    shutil.copy2(kept, dead)

    assert calls(watch) == {"planner": 3}
    group.fold()
    assert calls(watch) == {"planner": 3}
    assert not dead.exists()


def test_a_write_that_was_cut_in_the_middle_leaves_what_was_there(tmp_path):
    handle = os.open(tmp_path / "rows", os.O_RDWR | os.O_CREAT)
    writer = Writer(handle)
    row = writer.put(None, b"first")
    writer.put(row, b"second")
    row.memory[row.buffers[(row.version + 1) & 1]] = ord("X")  # ... and here the process dies

    with mmap.mmap(handle, 0) as memory:
        assert list(read_rows(memory)) == [b"second"]
    writer.close()


def test_rows_fill_chunk_after_chunk_and_those_that_grow_move(tmp_path):
    handle = os.open(tmp_path / "rows", os.O_RDWR | os.O_CREAT)
    writer = Writer(handle)
    rows = [writer.put(None, b"%d" % n * 100) for n in range(2_000)]
    moved = writer.put(rows[0], b"x" * 5_000)

    assert moved is not rows[0]
    with mmap.mmap(handle, 0) as memory:
        found = list(read_rows(memory))
        assert len(memory) % CHUNK == 0
    assert found[0] == b"0" * 100
    assert found[-1] == b"x" * 5_000
    assert len(found) == 2_001
    writer.close()


def test_a_row_above_what_a_chunk_holds_is_refused(tmp_path):
    writer = Writer(os.open(tmp_path / "rows", os.O_RDWR | os.O_CREAT))
    with pytest.raises(ValueError, match="are too much for a row"):
        writer.put(None, bytes(CHUNK))
    writer.close()


def test_a_forked_child_joins_with_its_first_call_and_its_parent_goes_on(folder):
    meter, _ = a_worker(folder)
    count(meter, "parent")
    ended(in_child(lambda: None))
    ended(in_child(lambda: count(meter, "child", times=2)))
    count(meter, "parent")

    assert calls(meter) == {"parent": 2, "child": 2}


def test_the_bounds_hold_for_the_group_however_many_workers_come_and_go(folder):
    watch, group = a_worker(folder, max_label_values=3)
    for n in range(6):
        ended(in_child(lambda n=n: count(a_worker(folder, max_label_values=3)[0], f"a{n}")))
        group.fold()

    assert calls(watch) == {"a0": 1, "a1": 1, "a2": 1, "__other__": 3}


def test_a_worker_with_other_labels_is_not_in_the_sum_and_counted_as_a_problem(folder):
    """As while a server reloads with another configuration."""
    old, _ = a_worker(folder)
    new, _ = a_worker(folder, extra_labels=["team"])
    count(old)

    assert calls(new) == {}
    assert calls(old) == {"planner": 1}
    assert samples(new, "spancost_internal_errors_total") == {("worker_with_other_labels",): 1}


def test_totals_stay_while_siblings_come_and_go_and_are_cleared_for_another_parent(folder):
    child = textwrap.dedent(f"""
        from pathlib import Path
        from spancost.meter import Meter
        from spancost.meter.workers import join
        meter = Meter()
        join(meter, Path({str(folder)!r}))
        meter.duplicate()
        print([c.value for c in meter.snapshot().counts if c.spec.name == "spancost_duplicates"])
    """)
    master = f"import subprocess, sys\nfor _ in range(2): subprocess.run([sys.executable, '-c', {child!r}])"

    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", master], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["[1]", "[2]"], done.stderr


def test_a_folder_that_others_can_enter_is_refused(folder):
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(PermissionError, match="chmod 700"):
        a_worker(folder)


def test_what_is_written_is_for_this_user_alone(folder):
    a_worker(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())


def test_a_damaged_file_fails_the_scrape_and_no_half_a_sum_is_shown(folder):
    meter, _ = a_worker(folder)
    (folder / "broken.worker").write_bytes(b"\xff" * CHUNK)

    with pytest.raises(ValueError, match="damaged"):
        meter.snapshot()


def test_a_child_forked_while_another_thread_has_the_folders_lock_does_not_keep_it(folder):
    """The lock belongs to an open file, which a child has too: it would stay until that child ends."""
    meter, group = a_worker(folder)
    is_locked, may_go, may_end = threading.Event(), threading.Event(), os.pipe()

    def hold():
        with group._locked(fcntl.LOCK_EX):
            is_locked.set()
            may_go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    is_locked.wait()
    child = in_child(lambda: os.read(may_end[0], 1))
    may_go.set()
    holder.join()
    try:
        _, other = a_worker(folder)  # which needs the lock

        assert calls(meter) == {}
        assert other.fold() == 0
    finally:
        os.write(may_end[1], b".")
        ended(child)


def test_nor_does_it_when_that_worker_is_killed_meanwhile(folder):
    tell, told = os.pipe()

    def work():
        _, group = a_worker(folder)

        def hold():
            with group._locked(fcntl.LOCK_EX):
                os.write(told, b"%d\n" % in_child(lambda: time.sleep(60)))
                time.sleep(60)

        threading.Thread(target=hold).start()
        time.sleep(60)

    worker = in_child(work)
    grandchild = int(os.read(tell, 20))
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    try:
        _, other = a_worker(folder)

        assert other.fold() in (0, 1)
    finally:
        os.kill(grandchild, signal.SIGKILL)


# --- the port -----------------------------------------------------------------------------------


def test_a_forked_child_does_not_keep_the_port_of_its_parent(folder):
    meter, group = a_worker(folder)
    port = SharedPort(meter, group, free_port())
    assert port.serves
    child = in_child(lambda: time.sleep(30))
    try:
        port.close()
        again = SharedPort(meter, group, port._port)
        assert again.serves
        again.close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
