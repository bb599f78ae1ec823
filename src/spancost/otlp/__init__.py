# SPDX-License-Identifier: Apache-2.0
"""Recorded traces: OTLP spans read from files and standard input."""

from __future__ import annotations

from spancost.otlp.reader import read_spans
from spancost.otlp.values import Problem, ReadCounts, Span

__all__ = ["Problem", "ReadCounts", "Span", "read_spans"]
