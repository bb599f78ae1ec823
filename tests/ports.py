# SPDX-License-Identifier: Apache-2.0
"""Ports for servers of the tests."""

from __future__ import annotations

import random
import socket

_BELOW = 32_768
"""From here up systems take ports for connections, so that one which was free is taken a moment later."""

_anyhow = random.SystemRandom()  # the other one begins anew with each test
_given: set[int] = set()


def free_port() -> int:
    """
    Return a port on which nobody listens, and never the same one twice.

    Programs that serve metrics on one port, one after the other, count as one where we started both.
    """
    while True:
        port = _anyhow.randrange(10_000, _BELOW)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def free_ports(number: int) -> list[int]:
    """Return several."""
    return [free_port() for _ in range(number)]
