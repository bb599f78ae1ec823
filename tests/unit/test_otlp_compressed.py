# SPDX-License-Identifier: Apache-2.0
"""Compressed sources: what is read, and damage and bombs that are reported instead."""

from __future__ import annotations

import functools
import gzip
import random
import subprocess
import sys
import tracemalloc

import pytest

from spancost.otlp._streams import _zstd
from tests.otlp_kit import GOOD, MIB, line, read_content, span

zstd = _zstd()


@pytest.fixture
def read(tmp_path):
    return functools.partial(read_content, tmp_path)


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_several_members_are_one_stream(read, compress):
    """Appended files, and those that end a frame at each write, are read whole."""
    halves = GOOD + b"\n" + GOOD[:50], GOOD[50:] + b"\n"

    assert read(compress(halves[0]) + compress(b"") + compress(halves[1])) == (["good", "good"], [])


def test_gzip_may_be_padded(read):
    assert read(gzip.compress(GOOD) + bytes(1000)) == (["good"], [])


def test_gzip_of_zstd_is_read(read):
    assert read(gzip.compress(zstd.compress(GOOD))) == (["good"], [])


@pytest.mark.parametrize(
    ("compress", "name"), [(gzip.compress, "gzip"), (zstd.compress, "zstd")], ids=["gzip", "zstd"]
)
def test_damaged_compressed_data(read, compress, name):
    """What comes before the damage is read; then there is one problem."""
    noise = random.Random(1).randbytes(200_000).hex()  # so that there is something to damage
    whole = compress(GOOD + b"\n" + line(span(name=noise)) + b"\n" + GOOD)
    middle = len(whole) // 2

    for content, text in (
        (whole[:middle], f"the {name} data is cut off"),
        (whole[:middle] + b"damage" * 20 + whole[middle:], f"damaged {name} data"),
        (whole + b"garbage", name),
    ):
        names, problems = read(content)

        assert "good" in names
        assert len(problems) == 1
        assert text in problems[0]
    assert len(read(whole[:6])[1]) == 1


def test_zstd_with_a_window_above_128_mib_is_a_problem(read):
    """The decoder's memory is bounded by its own limit on the window."""

    def frame(window_log):
        header = b"\x28\xb5\x2f\xfd\x00" + bytes([window_log - 10 << 3])
        return header + (len(GOOD) << 3 | 1).to_bytes(3, "little") + GOOD

    assert read(frame(27)) == (["good"], [])
    names, problems = read(frame(28))

    assert names == []
    assert len(problems) == 1
    assert problems[0].startswith("damaged zstd data: ")


def peak(action):
    tracemalloc.start()
    try:
        result = action()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_line_of_a_gigabyte_is_skipped_without_holding_it(read):
    """A gzip bomb of one line, a megabyte of it stored, costs no more than the limit."""
    member = gzip.compress(b"x" * MIB)
    bomb = gzip.compress(GOOD + b"\n" + GOOD[:-1]) + member * 1024 + gzip.compress(b"}\n" + GOOD)

    (names, problems), most = peak(lambda: read(bomb, max_record_bytes=2 * MIB))

    assert names == ["good", "good"]
    assert problems == ["line 2: above the limit of 2,097,152 bytes, skipped"]
    assert most < 8 * MIB


def test_a_message_that_is_a_bomb_is_skipped(read):
    """A small frame of the file exporter that inflates to 100 MiB is left at the limit."""
    bomb = zstd.compress(b"{" + b" " * 100 * MIB)
    good = zstd.compress(GOOD)
    content = b"".join(len(item).to_bytes(4, "big") + item for item in (good, bomb, good))

    (names, problems), most = peak(lambda: read(content, max_record_bytes=2 * MIB))

    assert names == ["good", "good"]
    assert problems == ["message 2: above the limit of 2,097,152 bytes decompressed, skipped"]
    assert most < 8 * MIB


def test_zstd_without_a_decoder_says_what_to_install(tmp_path):
    """Other sources are read all the same."""
    parent = "compression" if sys.version_info >= (3, 14) else "backports"
    for name, content in (("a", zstd.compress(GOOD)), ("b", GOOD)):
        (tmp_path / name).write_bytes(content)
    program = (
        f"import sys; sys.modules[{parent!r}] = None\n"
        "from spancost.otlp import read_spans\n"
        "for span in read_spans(sys.argv[1:], on_problem=print):\n"
        "    print(span.name)\n"
    )

    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True)

    needed = 'zstd-compressed; reading it needs a decoder: pip install "spancost[zstd]"'
    assert done.stdout == f"{paths[0]}: {needed}\ngood\n"
