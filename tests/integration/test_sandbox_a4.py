"""A4 through its public endpoints: completions in OpenAI's shape, at once and as a stream."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from ecoload.sandbox import Sandbox
from ecoload.sandbox.a4.text import count_tokens
from tests.integration.ecosystem import call, eventually, faults, fetch, token

CHAT: dict[str, Any] = {
    "model": "scholarship-sage",
    "messages": [{"role": "user", "content": "Which grants fit?"}],
    "max_tokens": 16,
}
CHAT_PATHS = ("/chat/completions", "/v1/chat/completions")
Headers = dict[str, str]

_numbers = count()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(apps=("a1", "a4")) as running:
        yield running


@pytest.fixture(scope="module")
def allowed(sandbox: Sandbox) -> Headers:
    return token(sandbox, "a4")


@pytest.fixture
def a4(sandbox: Sandbox) -> str:
    return sandbox.urls["a4"]


@pytest.fixture
def run_id() -> str:
    """A run of ecoload that no other test uses."""
    return f"run-{next(_numbers)}"


def usage(a4: str, run_id: str) -> dict[str, Any]:
    status, found = call(f"{a4}/usage?run_id={run_id}")
    assert status == 200
    document: dict[str, Any] = found
    return document


def streamed(a4: str, chat: dict[str, Any], headers: Headers) -> list[dict[str, Any]]:
    """The chunks of a stream, which must end as one should."""
    sent = {"Content-Type": "application/json", **headers}
    status, got, body = fetch(f"{a4}/chat/completions", json.dumps(chat | {"stream": True}).encode(), sent)
    assert (status, got["Content-Type"]) == (200, "text/event-stream")
    *events, done, nothing = body.decode().split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    assert all(event.startswith("data: ") for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


# --- completions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CHAT_PATHS)
def test_a_completion_has_openais_shape(a4: str, allowed: Headers, path: str) -> None:
    status, found = call(a4 + path, CHAT, allowed)
    assert status == 200
    assert found.pop("id").startswith("chatcmpl-")
    assert isinstance(found.pop("created"), int)
    assert found.pop("system_fingerprint").startswith("fp_")
    text = found["choices"][0]["message"]["content"]
    assert count_tokens(text) == 16
    prompt = count_tokens("Which grants fit?") + 4
    assert found == {
        "object": "chat.completion",
        "model": "scholarship-sage",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 16, "total_tokens": prompt + 16},
    }


def test_a_stream_carries_one_chunk_a_token_and_the_text_of_the_completion(a4: str, allowed: Headers) -> None:
    chunks = streamed(a4, CHAT, allowed)
    assert {(chunk["object"], chunk["id"], chunk["model"]) for chunk in chunks} == {
        ("chat.completion.chunk", chunks[0]["id"], "scholarship-sage")
    }
    first, *tokens, last = [chunk["choices"][0] for chunk in chunks]
    assert first["delta"] == {"role": "assistant", "content": ""}
    assert (last["delta"], last["finish_reason"]) == ({}, "length")
    assert {choice["finish_reason"] for choice in (first, *tokens)} == {None}
    assert [count_tokens(choice["delta"]["content"]) for choice in tokens] == [1] * 16
    _, whole = call(f"{a4}/chat/completions", CHAT, allowed)
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]


def test_a_stream_tells_its_usage_when_asked_and_only_then(a4: str, allowed: Headers) -> None:
    chunks = streamed(a4, CHAT | {"stream_options": {"include_usage": True}}, allowed)
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 18
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == count_tokens(text_of(chunks)) == 16
    assert all("usage" not in chunk for chunk in streamed(a4, CHAT, allowed))


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_ends_the_text_before_it(a4: str, allowed: Headers, stream: bool) -> None:
    chat = CHAT | {"max_tokens": 200, "stop": ["."]}
    if stream:
        chunks = streamed(a4, chat, allowed)
        text, finish = text_of(chunks), chunks[-1]["choices"][0]["finish_reason"]
    else:
        choice = call(f"{a4}/chat/completions", chat, allowed)[1]["choices"][0]
        text, finish = choice["message"]["content"], choice["finish_reason"]
    assert finish == "stop"
    assert text and "." not in text


def test_a_stop_at_the_very_beginning_leaves_an_empty_stream(a4: str, allowed: Headers) -> None:
    text = text_of(streamed(a4, CHAT, allowed))
    chunks = streamed(a4, CHAT | {"stop": text[:2]}, allowed)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, "stop"]
    assert text_of(chunks) == ""


def test_usage_adds_up_by_run_and_in_all(a4: str, allowed: Headers, run_id: str) -> None:
    before = call(f"{a4}/usage")[1]
    known = allowed | {"X-Ecoload-Run": run_id}
    for _ in range(2):
        call(f"{a4}/chat/completions", CHAT, known)
    streamed(a4, CHAT, known)
    call(f"{a4}/chat/completions", CHAT | {"n": 2}, known)
    prompt = count_tokens("Which grants fit?") + 4
    figures = {"requests": 3, "prompt_tokens": 3 * prompt, "completion_tokens": 48}
    assert usage(a4, run_id) == {"run_id": run_id, **figures}
    after = call(f"{a4}/usage")[1]
    assert {name: after[name] - before[name] for name in figures} == figures
    assert usage(a4, "never-seen") == dict.fromkeys(figures, 0) | {"run_id": "never-seen"}
    assert 'llm_tokens_total{kind="completion"}' in fetch(f"{a4}/metrics")[2].decode()


def test_the_latency_is_that_of_an_llm_and_never_less(a4: str, allowed: Headers, run_id: str) -> None:
    known = allowed | {"X-Ecoload-Run": run_id}
    for _ in range(10):
        call(f"{a4}/chat/completions", CHAT, known)
        streamed(a4, CHAT, known)
    truth = call(f"{a4}/__truth?run_id={run_id}")[1]["by_route"]["chat"]
    assert (truth["requests"], truth["status"]) == (20, {"200": 20})
    for latency, model in zip(truth["latency_ms"].values(), truth["model_ms"].values(), strict=True):
        assert latency >= model * 0.999
    assert 45 < truth["model_ms"]["p50"] < 120


def test_a_longer_completion_and_a_longer_prompt_take_longer(a4: str, allowed: Headers, run_id: str) -> None:
    long = [{"role": "user", "content": "word " * 10_000}]
    for name, chat in (
        ("short", CHAT | {"max_tokens": 1}),
        ("long", CHAT | {"max_tokens": 100}),
        ("asked", CHAT | {"max_tokens": 1, "messages": long}),
    ):
        for _ in range(4):
            assert call(f"{a4}/chat/completions", chat, allowed | {"X-Ecoload-Run": run_id + name})[0] == 200
    short, long_answer, long_question = (
        call(f"{a4}/__truth?run_id={run_id}{name}")[1]["by_route"]["chat"]["model_ms"]["mean"]
        for name in ("short", "long", "asked")
    )
    assert long_answer > short + 99
    assert long_question > short + 300


def test_a_caller_that_goes_ends_its_stream(a4: str, allowed: Headers, run_id: str) -> None:
    for seed in count():
        chat = CHAT | {"max_tokens": 1024, "seed": seed}
        _, whole = call(f"{a4}/chat/completions", chat, allowed)
        if whole["usage"]["completion_tokens"] > 500:  # a second and more, to go in the middle of
            break
    body = json.dumps(chat | {"stream": True}).encode()
    lines = {
        "Host": "a4",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "X-Ecoload-Run": run_id,
        **allowed,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    address = urlsplit(a4)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as connection:
        connection.sendall(f"POST /chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body)
        assert connection.recv(16).startswith(b"HTTP/1.1 200")
    eventually(lambda: usage(a4, run_id)["requests"], 1)
    assert usage(a4, run_id)["completion_tokens"] < whole["usage"]["completion_tokens"]


def test_fifteen_at_once_are_served_and_far_too_many_are_told_to_return(a4: str, allowed: Headers) -> None:
    async def post(session: aiohttp.ClientSession, chat: dict[str, Any]) -> tuple[int, str | None]:
        async with session.post(f"{a4}/chat/completions", json=chat, headers=allowed) as answer:
            await answer.read()
            return answer.status, answer.headers.get("Retry-After")

    async def at_once(number: int, chat: dict[str, Any]) -> list[tuple[int, str | None]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            return await asyncio.gather(*(post(session, chat) for _ in range(number)))

    assert set(asyncio.run(at_once(15, CHAT))) == {(200, None)}
    assert set(asyncio.run(at_once(300, CHAT | {"max_tokens": 300}))) == {(200, None), (429, "1")}
    assert set(asyncio.run(at_once(15, CHAT))) == {(200, None)}


def test_another_seed_says_something_else_and_the_same_says_the_same() -> None:
    texts = []
    for seed in (1, 1, 2):
        with Sandbox(apps=("a4",), seed=seed) as sandbox:
            found = call(f"{sandbox.urls['a4']}/chat/completions", CHAT)[1]
            texts.append(found["choices"][0]["message"]["content"])
    assert texts[0] == texts[1] != texts[2]


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"[" * 50_000, {}, 400),
        (b"[]", {}, 400),
        ({}, {}, 400),
        (CHAT | {"max_tokens": 0}, {}, 400),
        (CHAT | {"max_tokens": True}, {}, 400),
        (CHAT | {"temperature": "hot"}, {}, 400),
        (CHAT | {"stream": "yes"}, {}, 400),
        (CHAT | {"tools": []}, {}, 400),
        (CHAT | {"stream": True, "messages": []}, {}, 400),
        (CHAT | {"model": "another"}, {}, 404),
        (CHAT | {"messages": [{"role": "user", "content": "x" * 70_000}]}, {}, 413),
        (CHAT, {"Content-Type": "text/html"}, 415),
    ],
)
@pytest.mark.parametrize("path", CHAT_PATHS)
def test_a_bad_request_is_a_problem(
    a4: str, allowed: Headers, path: str, body: Any, headers: Headers, status: int
) -> None:
    assert call(a4 + path, body, allowed | headers)[0] == status


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/chat/completions", "GET", 405),
        ("/usage?run_id=a%20b", "GET", 422),
        ("/usage?run_id=%ff%ED%A0%80%00", "GET", 422),
        ("/usage", "POST", 405),
        ("/nowhere", "GET", 404),
        ("/test-data?namespace=perf_test", "DELETE", 404),
    ],
)
def test_a_strange_request_is_answered_as_what_it_is(
    a4: str, allowed: Headers, path: str, method: str, status: int
) -> None:
    assert call(a4 + path, headers=allowed, method=method)[0] == status


@pytest.mark.parametrize("path", CHAT_PATHS)
def test_a_token_of_a1_with_the_right_scope_is_needed(sandbox: Sandbox, a4: str, path: str) -> None:
    assert call(a4 + path, CHAT)[0] == 401
    assert call(a4 + path, CHAT, token(sandbox, "a3"))[0] == 403


def test_what_is_there_can_be_seen_by_all(a4: str) -> None:
    status, models = call(f"{a4}/v1/models")
    assert (status, [model["id"] for model in models["data"]]) == (200, ["scholarship-sage"])
    status, ready = call(f"{a4}/healthz")
    assert (status, ready["checks"]) == (200, {"waiting": 0, "identity": "ok"})


def test_a_fault_strikes_a_stream_before_it_begins(sandbox: Sandbox, a4: str, allowed: Headers) -> None:
    with faults(sandbox, "a4", error_rate=1):
        assert call(f"{a4}/chat/completions", CHAT | {"stream": True}, allowed)[0] == 503
    assert streamed(a4, CHAT, allowed)
