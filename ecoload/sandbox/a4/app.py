"""A4, the scholarship sage: chat completions in OpenAI's shape, at the pace of an LLM.

Rules
-----
- A completion takes the time to its first token, which grows with the prompt, and then a time for each
  further one. Tokens have due times from the start on, so that a timer's lateness never adds up.
- A stream carries one chunk a token, and begins with its first token. Its tokens, its `usage` and the
  counters are the same figure. When the caller goes, the rest is not made.
- `SLOTS` completions are made at a time; a few more wait for a slot, and any beyond are told to return.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import Counter

from ecoload.sandbox.a4.request import Chat, parse_chat
from ecoload.sandbox.a4.text import Completion, complete
from ecoload.sandbox.common.behaviour import LatencyModel, LogNormal, until
from ecoload.sandbox.common.problems import NAME_RULE, Problem, answer, is_name, json_body, run_of
from ecoload.sandbox.common.service import DRAWN_US, App, Config

MODEL = "scholarship-sage"
SLOTS = 32
MAX_WAITING = 128
MAX_RUNS = 64

PACE = {"first_token": LogNormal(45, 90), "token": LogNormal(2, 4)}
PROMPT_TOKEN_NS = 50_000

_MODEL_SINCE_S = 1_735_689_600


@dataclass(slots=True)
class Tally:
    """What completions came to."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Counts one completion, or what there was of it."""
        self.requests += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens

    def document(self) -> dict[str, int]:
        """The figures by name."""
        return {
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }


class Sage(App):
    """The app; it keeps nothing but its counters."""

    laws: Mapping[str, LogNormal] = {"models": LogNormal(2, 4), "usage": LogNormal(2, 4)}
    protected = frozenset({"chat", "chat_v1"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._pace = LatencyModel(config.seed, config.app, PACE)
        self._fingerprint = f"fp_{hashlib.sha256(str(config.seed).encode()).hexdigest()[:10]}"
        self._slots = asyncio.Semaphore(SLOTS)
        self._waiting = 0
        self._all = Tally()
        self._runs: OrderedDict[str, Tally] = OrderedDict()
        self._tokens = Counter(
            "llm_tokens", "Tokens read and written.", ("kind",), registry=self.metrics.registry
        )

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/chat/completions", self._chat, name="chat"),
            web.post("/v1/chat/completions", self._chat, name="chat_v1"),
            web.get("/v1/models", self._models, name="models"),
            web.get("/usage", self._usage, name="usage"),
        ]

    async def checks(self) -> dict[str, Any]:
        return {"waiting": self._waiting}

    async def _models(self, request: web.Request) -> web.Response:
        model = {"id": MODEL, "object": "model", "created": _MODEL_SINCE_S, "owned_by": "sandbox"}
        return answer({"object": "list", "data": [model]})

    async def _usage(self, request: web.Request) -> web.Response:
        run_id = request.query.get("run_id")
        if run_id is not None and not is_name(run_id):
            raise Problem(422, f"run_id: must be {NAME_RULE}")
        tally = self._all if run_id is None else self._runs.get(run_id, Tally())
        return answer({"run_id": run_id, **tally.document()})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        chat, wrong = parse_chat(await json_body(request))
        if chat is None:
            raise Problem(400, "the request is not valid", wrong)
        if chat.model != MODEL:
            raise Problem(404, f"there is no model {chat.model}; there is {MODEL}")
        if self._slots.locked() and self._waiting >= MAX_WAITING:
            raise Problem(429, "too many completions at once", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            if request.transport is None:
                raise ConnectionResetError("the caller has gone while it waited")
            return await self._complete(request, chat)
        finally:
            self._slots.release()

    async def _complete(self, request: web.Request, chat: Chat) -> web.StreamResponse:
        completion = complete(f"{self.config.seed}/{chat.identity}", chat.max_tokens, chat.stops)
        offsets_ns = self._offsets_ns(chat.prompt_tokens, len(completion.pieces))
        request[DRAWN_US] = offsets_ns[-1] // 1000
        start_ns = time.perf_counter_ns()
        due_ns = [start_ns + offset_ns for offset_ns in offsets_ns]
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk" if chat.stream else "chat.completion",
            "created": int(time.time()),
            "model": chat.model,
            "system_fingerprint": self._fingerprint,
        }
        if chat.stream:
            return await self._stream(request, chat, completion, due_ns, head)
        await until(due_ns[-1])
        self._count(request, chat, len(completion.pieces))
        message = {"role": "assistant", "content": "".join(completion.pieces)}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": completion.finish_reason,
        }
        return answer(head | {"choices": [choice], "usage": _usage_of(chat, len(completion.pieces))})

    def _offsets_ns(self, prompt_tokens: int, count: int) -> list[int]:
        """When each of `count` tokens is due, from the start on; at least the first."""
        first_ns = self._pace.draw_us("first_token") * 1000 + prompt_tokens * PROMPT_TOKEN_NS
        further_ns = (self._pace.draw_us("token") * 1000 for _ in range(count - 1))
        return list(itertools.accumulate(further_ns, initial=first_ns))

    async def _stream(
        self,
        request: web.Request,
        chat: Chat,
        completion: Completion,
        due_ns: list[int],
        head: dict[str, Any],
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        if chat.include_usage:
            head = head | {"usage": None}
        chunks = [_chunk(head, {"content": piece}) for piece in completion.pieces]
        waiting = _chunk(head, {"role": "assistant", "content": ""})
        last = _chunk(head, {}, completion.finish_reason)
        if chat.include_usage:
            last += _event(head | {"choices": [], "usage": _usage_of(chat, len(completion.pieces))})
        sent = 0
        try:
            await until(due_ns[0])
            await response.prepare(request)
            while sent < len(chunks):
                await until(due_ns[sent])
                now_ns = time.perf_counter_ns()
                ready = sent
                while ready < len(chunks) and due_ns[ready] <= now_ns:
                    ready += 1
                await response.write(waiting + b"".join(chunks[sent:ready]))
                waiting, sent = b"", ready
            await response.write_eof(waiting + last + b"data: [DONE]\n\n")
        except ConnectionError:
            pass  # the caller has gone, and the rest is not made
        finally:
            self._count(request, chat, sent)
        return response

    def _count(self, request: web.Request, chat: Chat, completion_tokens: int) -> None:
        self._all.add(chat.prompt_tokens, completion_tokens)
        self._tokens.labels("prompt").inc(chat.prompt_tokens)
        self._tokens.labels("completion").inc(completion_tokens)
        run_id = run_of(request)
        if run_id is None:
            return
        if run_id not in self._runs:
            self._runs[run_id] = Tally()
            if len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)
        self._runs[run_id].add(chat.prompt_tokens, completion_tokens)


def _usage_of(chat: Chat, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": chat.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": chat.prompt_tokens + completion_tokens,
    }


def _chunk(head: dict[str, Any], delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event(head | {"choices": [choice]})


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"
