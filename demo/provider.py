# SPDX-License-Identifier: Apache-2.0
"""
A local server that answers as OpenAI, Anthropic and Google do, and keeps its own bill.

It lets programs on the real client libraries run without a key, a network or a cost, and it knows to
the token what a metering of these programs must come to::

    from demo.provider import Provider, Reply, ToolCall

    scripts = {"planner": [Reply("", tools=(ToolCall("search", {"q": "tea"}),)), Reply("Tea, then.")]}
    with Provider(scripts) as provider:
        client = openai.OpenAI(base_url=provider.openai_url, api_key="none")
        ...
    for entry, cost in provider.bill.priced(PriceBook.default()):
        print(entry.caller, entry.model, entry.usage, cost.total)

What it speaks: OpenAI chat completions, responses and embeddings, Anthropic messages, Gemini's
``generateContent`` and ``streamGenerateContent``; whole and as streams, with tool calls.

What it says depends on the request alone, so a program gets the same answers in every run, however
many threads it has:

- *Who asks* is a marker in the system prompt: ``[[planner]]``. It is what the bill calls the caller.
  Embeddings have no prompt: there it is the request's ``user``.
- *A script* is a list of replies for one caller. The n-th turn of a conversation gets the n-th reply,
  and later turns the last one; a turn is counted by what the assistant has said in the request.
- *Orders* in the last message change the reply: ``[[status 429]]`` is the whole answer, ``[[first 500]]``
  comes once before the answer (for clients that retry), ``[[cut 3]]`` breaks a stream off after three
  words.
- *The request's own options*: ``stream_options.include_usage`` of chat completions, Anthropic's
  ``cache_control`` (five minutes or an hour) and ``thinking``, OpenAI's ``service_tier``.

Usage is made to suit the request (see `demo.replies.Tokens`) or named by the reply. Models of OpenAI
and Gemini read their prompt from a cache from the second call on; Anthropic's where the request marks it.

A client that hangs up in the middle of a stream is not noticed: the bill says what was sent.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, Final

from demo import wire, wire_openai
from demo.bill import Bill, Entry, Priced, Refusal
from demo.replies import (
    CHAT,
    EMBEDDINGS,
    GEMINI,
    MESSAGES,
    PROVIDERS,
    RESPONSES,
    Asked,
    Reply,
    Tokens,
    ToolCall,
    read_request,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from spancost import Usage

__all__ = ["Bill", "Entry", "Priced", "Provider", "Refusal", "Reply", "ToolCall"]

_PATHS: Final = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/messages": MESSAGES,
}
_GEMINI: Final = re.compile(r"/v1(?:beta)?/models/([^/:]+):(generateContent|streamGenerateContent)")
_IDS: Final = {
    CHAT: "chatcmpl-{:06d}",
    RESPONSES: "resp_{:06d}",
    EMBEDDINGS: "embd-{:06d}",
    MESSAGES: "msg_{:06d}",
    GEMINI: "gem-{:06d}",
}
_WHOLE: Final = {
    CHAT: wire_openai.completion,
    RESPONSES: wire_openai.response,
    EMBEDDINGS: wire_openai.embeddings,
    MESSAGES: wire.message,
    GEMINI: wire.content,
}
_STREAMS: Final = {
    CHAT: wire_openai.completion_events,
    RESPONSES: wire_openai.response_events,
    MESSAGES: wire.message_events,
    GEMINI: wire.content_events,
}
_ERRORS: Final = {
    429: ("rate_limit_error", "RESOURCE_EXHAUSTED", "Too many requests for this minute."),
    500: ("server_error", "INTERNAL", "Something went wrong here; try again."),
}
OK: Final = 200


class Provider:
    """
    The server. It listens on 127.0.0.1 from when it is entered until it is left.

    Args:
        scripts: What to say to whom: replies by the caller's marker. Who has none gets a line of text.
        port: 0 for any free one.
        pace: Seconds to wait before each answer, for a program that people watch.
        usage: What every call uses; None for numbers by which calls can be told apart.
    """

    def __init__(
        self,
        scripts: Mapping[str, Sequence[Reply]] | None = None,
        *,
        port: int = 0,
        pace: float = 0.0,
        usage: Usage | None = None,
    ) -> None:
        self.bill = Bill()
        self.pace = pace
        self._scripts = dict(scripts or {})
        self._tokens = Tokens(usage)
        self._attempts: Counter[bytes] = Counter()
        self._answered = 0
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"provider": self})
        self._server = _Server(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The server's address; Anthropic's and Google's clients take it as their base."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def openai_url(self) -> str:
        """The base that OpenAI's clients take."""
        return f"{self.url}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reply_to(self, asked: Asked) -> Reply:
        """Return what to say: the script's line for this turn, changed by orders in the last message."""
        script = self._scripts.get(asked.caller or "") or [Reply()]
        return script[min(asked.turn, len(script) - 1)].ordered_by(asked.last)

    def refusal(self, asked: Asked, reply: Reply, request: bytes) -> int | None:
        """Return the error status of a request, and note it; None where it is answered."""
        status: int | None = None if reply.status == OK else reply.status
        if reply.fail_first:
            with self._lock:
                attempt = self._attempts[request]
                if attempt < len(reply.fail_first):
                    self._attempts[request] += 1
                    status = reply.fail_first[attempt]
                else:
                    del self._attempts[request]
        if status is not None:
            self.bill.refuse(Refusal(_now(), asked.api, asked.caller, status))
        return status

    def answer(self, asked: Asked, reply: Reply) -> wire.Answer:
        """Return an answer, entered on the bill."""
        now = _now()
        usage = self._tokens.of(asked, reply)
        with self._lock:
            self._answered += 1
            number = self._answered
        answer = wire.Answer(asked, reply, usage, _IDS[asked.api].format(number), int(now.timestamp()))
        told = _told(answer)
        self.bill.add(
            Entry(
                number=number,
                at=now,
                api=asked.api,
                provider=PROVIDERS[asked.api],
                requested_model=asked.model,
                model=asked.answering_model,
                caller=asked.caller,
                turn=asked.turn,
                response_id=answer.id,
                streamed=asked.streamed,
                service_tier=asked.service_tier,
                delivered="none" if told is None else "full" if told == usage else "partial",
                usage=told,
                used=usage,
            )
        )
        return answer


def _told(answer: wire.Answer) -> Usage | None:
    """Return what the client is told about usage: less where a stream breaks off, or does not say."""
    asked, cut = answer.asked, answer.reply.cut_after
    if not asked.streamed:
        return answer.usage
    if asked.api == CHAT and not (asked.body.get("stream_options") or {}).get("include_usage"):
        return None
    if cut is None or cut >= len(answer.pieces):
        return answer.usage
    if asked.api == MESSAGES:
        return wire.message_cut(answer.usage)
    return wire.content_cut(answer.usage, cut) if asked.api == GEMINI and cut else None


class _Server(ThreadingHTTPServer):
    """Serves each connection on a thread of its own."""

    daemon_threads = True
    # Agents that start together connect together.
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Write nothing about a client that hung up; everything else is a mistake of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for a provider."""

    provider: ClassVar[Provider]
    protocol_version = "HTTP/1.1"
    # Header and body are written apart; waiting to join them would cost 40 ms a call.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer one request."""
        request = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        try:
            asked = _read(path, json.loads(request))
        except (ValueError, TypeError, AttributeError, LookupError):
            self._send(400, {"error": {"message": "the body is no request of this API", "type": "invalid"}})
            return
        if asked is None:
            self._send(404, {"error": {"message": f"nothing answers at {path}", "type": "not_found"}})
            return
        time.sleep(self.provider.pace)
        reply = self.provider.reply_to(asked)
        status = self.provider.refusal(asked, reply, path.encode() + request)
        if status is not None:
            self._send(status, _error(asked.api, status))
            return
        answer = self.provider.answer(asked, reply)
        if asked.streamed:
            self._stream(answer)
        else:
            self._send(OK, _WHOLE[asked.api](answer))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        # Clients that retry wait half a second, unless they are told less.
        self.send_header("retry-after-ms", "10")
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, answer: wire.Answer) -> None:
        self.send_response(OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        left = len(answer.pieces) if answer.reply.cut_after is None else answer.reply.cut_after
        cut = left < len(answer.pieces)
        for event in _STREAMS[answer.asked.api](answer):
            if cut and event.is_text:
                if not left:
                    # No last chunk: the client sees that something is missing.
                    self.close_connection = True
                    return
                left -= 1
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event.data), event.data))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Write no line per request."""


def _read(path: str, body: dict[str, Any]) -> Asked | None:
    """Return what a request asks; None for a path that nothing answers."""
    if api := _PATHS.get(path):
        return read_request(api, str(body["model"]), body, streamed=bool(body.get("stream")))
    if found := _GEMINI.fullmatch(path):
        return read_request(GEMINI, found[1], body, streamed=found[2] == "streamGenerateContent")
    return None


def _error(api: str, status: int) -> dict[str, Any]:
    """Return the body of an error as each provider writes it."""
    kind, name, message = _ERRORS.get(status, ("api_error", "UNKNOWN", "The request was refused."))
    if api == MESSAGES:
        return {"type": "error", "error": {"type": kind, "message": message}}
    if api == GEMINI:
        return {"error": {"code": status, "message": message, "status": name}}
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)
