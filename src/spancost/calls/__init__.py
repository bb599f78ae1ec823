# SPDX-License-Identifier: Apache-2.0
"""The engine: classify spans, settle copies of calls, attribute them."""

from spancost.calls.engine import Engine
from spancost.calls.facts import Facts, read_span
from spancost.calls.kinds import Kind
from spancost.calls.nodes import Call, Node

__all__ = ["Call", "Engine", "Facts", "Kind", "Node", "read_span"]
