# SPDX-License-Identifier: Apache-2.0
"""What the local provider is asked, what it says, and how many tokens that takes."""

from __future__ import annotations

import json
import re
import threading
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from spancost import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CHAT: Final = "openai.chat"
RESPONSES: Final = "openai.responses"
EMBEDDINGS: Final = "openai.embeddings"
MESSAGES: Final = "anthropic.messages"
GEMINI: Final = "gemini.generate"

PROVIDERS: Final = {
    CHAT: "openai",
    RESPONSES: "openai",
    EMBEDDINGS: "openai",
    MESSAGES: "anthropic",
    GEMINI: "gcp.gemini",
}

_CALLER: Final = re.compile(r"\[\[([\w.-]+)\]\]")
_ORDER: Final = re.compile(r"\[\[(status|first|cut) (\d+)\]\]")
_REASONS: Final = re.compile(r"gpt-5|o\d|gemini-(2\.5|[3-9])")
# Names that lead to a dated release, as they do at the providers.
_DATED: Final = {
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-5.6": "gpt-5.6-sol",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model asks for."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def json(self) -> str:
        """The arguments as APIs send them."""
        return json.dumps(dict(self.arguments))


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What the model says in one turn.

    Args:
        text: Its words; with tools they come before the tool calls.
        tools: The tools it wants called.
        usage: What the call uses; None for numbers that suit the request and no other call.
        status: An HTTP status other than 200 is the whole answer.
        fail_first: Statuses that the same request gets before it is answered, for clients that retry.
        cut_after: A stream breaks off after so many pieces of text; None lets it end.
    """

    text: str = "Here is what you asked for, in as few words as it takes."
    tools: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    status: int = 200
    fail_first: tuple[int, ...] = ()
    cut_after: int | None = None

    def ordered_by(self, text: str) -> Reply:
        """Return the reply as the markers in a user's text order it: ``[[status 429]]`` and the like."""
        changed = self
        for order, number in _ORDER.findall(text):
            if order == "status":
                changed = replace(changed, status=int(number))
            elif order == "first":
                changed = replace(changed, fail_first=(*changed.fail_first, int(number)))
            else:
                changed = replace(changed, cut_after=int(number))
        return changed


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, in the words that all APIs share."""

    api: str
    model: str
    streamed: bool
    caller: str | None
    turn: int
    last: str
    """The text of the last message."""
    body: Mapping[str, Any]

    @property
    def answering_model(self) -> str:
        """The model's full name."""
        return _DATED.get(self.model, self.model)

    @property
    def reasons(self) -> bool:
        """Whether the model thinks before it answers."""
        if self.api == MESSAGES:
            thinking = self.body.get("thinking")
            return isinstance(thinking, dict) and thinking.get("type") != "disabled"
        return self.api != EMBEDDINGS and _REASONS.match(self.model) is not None

    @property
    def service_tier(self) -> str | None:
        """The tier that answers."""
        if self.api in (CHAT, RESPONSES):
            wanted = self.body.get("service_tier")
            return wanted if wanted in ("flex", "priority") else "default"
        return "standard" if self.api == MESSAGES else None


def read_request(api: str, model: str, body: Mapping[str, Any], *, streamed: bool) -> Asked:
    """Return what a request asks, whichever API it speaks."""
    if api == EMBEDDINGS:
        # There is no prompt to put a marker in, but the API lets a program say who asks.
        caller = str(body["user"]) if body.get("user") else None
        return Asked(
            api, model, streamed=False, caller=caller, turn=0, last=_text(body.get("input")), body=body
        )
    if api == GEMINI:
        system, turns = body.get("systemInstruction"), body.get("contents", [])
    elif api == RESPONSES:
        system, turns = body.get("instructions"), body.get("input", [])
    else:
        system, turns = body.get("system"), body.get("messages", [])
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    prompts = [_text(system), *(_text(turn) for turn in turns if turn.get("role") in ("system", "developer"))]
    found = _CALLER.search("\n".join(prompts)) or _CALLER.search("\n".join(map(_text, turns)))
    return Asked(
        api,
        model,
        streamed,
        caller=found[1] if found else None,
        turn=_runs(_is_own(turn) for turn in turns),
        last=_text(turns[-1]) if turns else "",
        body=body,
    )


def _text(content: object) -> str:
    """Return all text in a prompt, a message or a part of one."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(map(_text, content))
    if isinstance(content, dict):
        return "\n".join(_text(content[key]) for key in ("text", "content", "parts") if content.get(key))
    return ""


def _is_own(turn: Mapping[str, Any]) -> bool:
    """Tell whether an item of a conversation is the model's own."""
    return turn.get("role") in ("assistant", "model") or turn.get("type") in ("function_call", "reasoning")


def _runs(own: Iterable[bool]) -> int:
    """Count the turns of the model; one turn may be several items in a row."""
    count = 0
    before = False
    for now in own:
        count += now and not before
        before = now
    return count


class Tokens:
    """
    Gives calls numbers that suit them: the longer a conversation, the more input, and what was sent
    before comes from a cache. No two calls of one provider have equal numbers, so none can be taken
    for another. The same program gets the same numbers in every run.

    Args:
        same: Give every call these numbers instead.
    """

    def __init__(self, same: Usage | None = None) -> None:
        self._same = same
        self._seen: Counter[tuple[str, str | None, int]] = Counter()
        self._taken: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def of(self, asked: Asked, reply: Reply) -> Usage:
        """Return what one call uses."""
        if reply.usage is not None:
            return reply.usage
        if self._same is not None:
            return self._same if asked.api != EMBEDDINGS else Usage(input=self._same.input)
        key = (asked.api, asked.caller, asked.turn)
        seed = zlib.crc32(repr(key).encode())
        with self._lock:
            again = self._seen[key]
            self._seen[key] += 1
            usage = _embedded(asked, seed) if asked.api == EMBEDDINGS else _said(asked, reply, seed, again)
            while (usage.input, usage.output) in self._taken:
                usage = replace(usage, input=usage.input + 1)
            self._taken.add((usage.input, usage.output))
        return usage


def _embedded(asked: Asked, seed: int) -> Usage:
    return Usage(input=8 + len(asked.last) // 4 + seed % 90)


def _said(asked: Asked, reply: Reply, seed: int, again: int) -> Usage:
    warm = asked.turn > 0 or again > 0
    read = write = kept = 0
    if asked.api == MESSAGES:
        read, write, kept = _claude_cache(asked, seed, again)
    elif warm:
        read = 1_024 + 128 * (seed % 5 + asked.turn)
    elif asked.model.startswith("gpt-5.6"):
        write = 1_152 + seed % 128
    reasoning = 64 + seed % 230 + 8 * asked.turn if asked.reasons else 0
    words = len(reply.text) + sum(len(tool.name) + len(tool.json) for tool in reply.tools)
    fresh = 180 + 240 * asked.turn + seed % 170 + 3 * again
    return Usage(
        input=fresh + read + write,
        cache_read=read,
        cache_write=write,
        cache_write_1h=kept,
        output=reasoning + 12 + words // 4 + seed % 35 + again % 7,
        reasoning=reasoning,
    )


def _claude_cache(asked: Asked, seed: int, again: int) -> tuple[int, int, int]:
    """
    Return what is read, written and written for an hour. Anthropic caches only what a request
    marks: its prompt on the first turn, then what the turns add.
    """
    marks = json.dumps(asked.body)
    if '"cache_control"' not in marks:
        return 0, 0, 0
    prompt, added = 2_048 + seed % 600, 210 + seed % 80 + again
    if asked.turn == 0 and again == 0:
        return 0, prompt + added, prompt if '"ttl": "1h"' in marks else 0
    return prompt, added, 0
