# SPDX-License-Identifier: Apache-2.0
"""One span, one line, and what the reader makes of a file that may be broken."""

from __future__ import annotations

import json

from spancost.otlp import read_spans

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MIB = 1024 * 1024


def span(**fields):
    return {"traceId": TRACE, "spanId": SPAN, "name": "good", "startTimeUnixNano": "5"} | fields


def line(*spans, **scope_spans):
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)} | scope_spans]}]}).encode()


GOOD = line(span())


def read_content(folder, content, **options):
    """Read a file with this content; return the names of the spans, and the problems."""
    path = folder / "spans"
    path.write_bytes(content)
    problems = []
    spans = list(read_spans([path], on_problem=problems.append, **options))
    return [item.name for item in spans], [str(problem).removeprefix(f"{path}: ") for problem in problems]
