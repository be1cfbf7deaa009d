"""Requests that no route of the sandbox likes, made from those it does like, and sent as they are.

Rules
-----
- `BODIES` and `QUERIES` say what each route takes when all is well; what is nasty is made of that.
- Requests are bytes on a connection of their own: no client library makes them better on the way.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from ecoload.sandbox import process
from ecoload.sandbox.common.service import MAX_BODY_BYTES, Config, Service

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SIGN_IN, FORM_TOKEN = "s" * 43, "f" * 64
"""What a form carries; whoever sends it may put what a page gave in its place."""

_BILL = {"amount_cents": 100_000, "ai_cost_cents": 1_000}
_CHAT: dict[str, Any] = {
    "model": "scholarship-sage",
    "messages": [{"role": "user", "content": "Which grants?", "name": "s-1"}],
    "max_tokens": 2,
    "stream": False,
    "stop": ["x"],
    "seed": 1,
    "temperature": 1,
    "user": "u",
}
_EVENT = {
    "event_id": "e",
    "namespace": "perf_test",
    "kind": "k",
    "at": 1,
    "run_id": "nasty",
    "lineage_id": "l",
    "app": "a6",
    "state": "TX",
    "data": {"provider_id": "p", "amount_cents": 1, "tokens": 1, "page": "/", "outcome": "eligible"},
}
_AUTH = {
    "response_type": "code",
    "client_id": "perf",
    "redirect_uri": "http://127.0.0.1/callback",
    "scope": "openid email profile",
    "state": "state-1",
    "nonce": "nonce-1",
    "code_challenge": "c" * 43,
    "code_challenge_method": "S256",
    "prompt": "create",
    "login_hint": "new@example.test",
}
_CODE = {
    "grant_type": "authorization_code",
    "code": "c" * 43,
    "redirect_uri": "http://127.0.0.1/callback",
    "client_id": "perf",
    "code_verifier": "v" * 43,
}
_CLIENT = {"grant_type": "client_credentials", "client_id": "ecoload", "client_secret": "x", "scope": "a2"}
_WRITE = "?namespace=perf_test"

BODIES: Mapping[str, tuple[Any, ...]] = {
    "a1 auth": (_AUTH,),
    "a1 login": ({"sign_in": SIGN_IN, "email": "student-0001@example.test", "password": "password"},),
    "a1 register": (
        {"sign_in": SIGN_IN, "email": "new@example.test", "name": "New", "password": "password"},
    ),
    "a1 token": (_CLIENT, _CODE, {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "perf"}),
    "a1 userinfo": (),
    "a2 ingest": (_EVENT,),
    "a2 internal": (),
    "a3 run": ({"namespace": "perf_test", "student_id": "student-1", "goal": "Pay"},),
    "a4 chat": (_CHAT, _CHAT | {"stream": True, "stream_options": {"include_usage": True}}),
    "a4 chat_v1": (_CHAT,),
    "a5 signup": ({"form_token": FORM_TOKEN, "name": "New", "email": "new@example.test"},),
    "a5 upload": (),
    "a5 logout": ({"form_token": "t"},),  # a good one would end the session that the others are sent in
    "a5 document_upload": (),
    "a5 telemetry": ({"name": "n", "value": 1, "state": "TX"},),
    "a5 stripe_new_customer": (
        {
            "name": "n",
            "email": "n@example.test",
            "description": "d",
            "metadata[test]": "true",
            "metadata[x]": "y",
        },
    ),
    "a5 stripe_new_intent": (
        {
            "amount": "100",
            "currency": "usd",
            "customer": "cus_test_0001",
            "description": "d",
            "metadata[x]": "y",
        },
    ),
    "a5 stripe_confirm": ({},),
    "a6 register": (
        {
            "namespace": "perf_test",
            "provider": {"name": "College", "kind": "college", "state": "TX"},
            "email": "office@example.com",
        },
    ),
    "a6 stage": ({"namespace": "perf_test", "to": "contract", "contract": _BILL},),
    "a6 billing": ({"namespace": "perf_test", "contract_id": "c-1", **_BILL},),
    "a7 cta": (
        {
            "namespace": "perf_test",
            "page": "/browse",
            "cta": "find-my-scholarships",
            "action": "impression",
            "run_id": "nasty",
            "lineage_id": "l",
        },
    ),
    "a8 internal": (),
    "a8 internal_cleanup": (),
    **{f"a{number} faults": ({"no_such": 1},) for number in range(1, 9)},  # nothing is ever switched on
}
"""What a route takes as its body, by app and name; () for what is no object of fields, or not for callers."""

_PAGE = {"after": "0", "limit": "10"}
_FILTERS = {
    "namespace": "perf_test",
    "date": "2026-01-01",
    "state": "TX",
    "app": "a6",
    "kind": "lead",
    "lineage_id": "l",
    "run_id": "r",
    "event_id": "e",
}
_NARROWED = {name: _FILTERS[name] for name in ("namespace", "run_id", "lineage_id")}
QUERIES: Mapping[str, Mapping[str, str]] = {
    "a1 auth": _AUTH,
    "a2 events": _PAGE | _NARROWED,
    "a2 count": _NARROWED,
    "a3 preflight": {"student_id": "s"},
    "a3 effects": {"key": "k"},
    "a3 effects_summary": {"run_id": "r"},
    "a4 usage": {"run_id": "r"},
    "a5 callback": {"code": "c", "state": "s", "iss": "i", "error": "e"},
    "a5 crm": {"lineage_id": "l"},
    "a5 telemetry_status": {"run_id": "r"},
    "a5 payment_attempts": {"run_id": "r"},
    "a5 payment_summary": {"run_id": "r"},
    "a5 stripe_charges": {"limit": "10", "starting_after": "ch_1"},
    "a5 document_upload": {"namespace": "perf_test", "name": "n"},
    "a6 providers": {"stage": "lead", **_PAGE},
    "a6 contract": {"contract_id": "c"},
    "a8 home": _FILTERS,
    "a8 rows": _FILTERS | _PAGE,
    "a8 overview": {"namespace": "perf_test"},
    "a8 warm": {"namespace": "perf_test"},
    **{f"a8 tile_{name}": _NARROWED for name in ("events", "growth", "outcomes")},
    "a8 tile_finance": _NARROWED | {"contract_id": "c"},
    **{f"a{number} truth": {"run_id": "r"} for number in range(1, 9)},
    **{
        f"a{number} test_data": {"namespace": "perf_test", "run_id": "nasty"} for number in (1, 2, 3, 5, 6, 7)
    },
}
"""What a route takes in its query."""

RAW_BODIES = {
    "nothing": b"",
    "half": b"{",
    "a list": b"[]",
    "null": b"null",
    "a number": b"5",
    "a text": b'"x"',
    "no UTF-8": b"\xff\xfe\x00",
    "deep lists": b"[" * 60_000,
    "deep and whole": b"[" * 500 + b"]" * 500,
    "deep objects": b'{"a":' * 10_000,
    "NaN": b'{"a": NaN}',
    "NUL": b"\0",
    "a form": b"a=1&a=2&%ff=%00&=&&",
    "one byte too many": b" " * (MAX_BODY_BYTES + 1),
    "far too many": b"x" * (5 * MAX_BODY_BYTES),
}
_TOKEN_PART = f'Content-Disposition: form-data; name="form_token"\r\n\r\n{FORM_TOKEN}'
_FILE = 'Content-Disposition: form-data; name="document"; filename="{}"\r\nContent-Type: {}\r\n\r\n{}'
_PARTS: Mapping[str, Sequence[str]] = {
    "none": [],
    "no headers": ["", "\r\n", "\r\n\r\n"],
    "no name": ["Content-Disposition: form-data\r\n\r\nx"],
    "no form-data": ["Content-Disposition: attachment; filename=x\r\n\r\nx", "X: y\r\n\r\nx"],
    "no colon": ["Content-Disposition\r\n\r\nx"],
    "a long header": [f"X: {'x' * 20_000}\r\n\r\nx"],
    "many headers": ["".join(f"X{number}: x\r\n" for number in range(500)) + "\r\nx"],
    "many parts": [f'Content-Disposition: form-data; name="x{number}"\r\n\r\nx' for number in range(500)],
    "a part twice": [_TOKEN_PART],
    "two files": [_FILE.format("a.txt", "text/plain", "a"), _FILE.format("b.txt", "text/plain", "b")],
    "a path": [_FILE.format("../../etc/passwd", "text/plain", "x")],
    "no characters": [_FILE.format("\0\x1b\xff", "text/plain", "x")],
    "a long name": [_FILE.format("x" * 5_000, "text/plain", "x")],
    "no such type": [_FILE.format("a", "application/x-sh", "#!/bin/sh")],
    "no type": [_FILE.format("a", ";;\xff", "x")],
    "not its type": [_FILE.format("a.png", "image/png", "x"), _FILE.format("a", "text/plain", "\xff\0")],
    "empty": [_FILE.format("a.txt", "text/plain", "")],
    "base64 that is none": [_FILE.format("a", "text/plain\r\nContent-Transfer-Encoding: base64", "!")],
    "an unknown coding": [_FILE.format("a", "text/plain\r\nContent-Transfer-Encoding: x", "x")],
    "packed": [_FILE.format("a", "text/plain\r\nContent-Encoding: gzip", "x")],
    "parts of a part": [_FILE.format("a", "multipart/mixed; boundary=y", "--y\r\n\r\nx\r\n--y--")],
    "too large": [_FILE.format("a.txt", "text/plain", "x" * (5 * MAX_BODY_BYTES))],
}


def _multipart(parts: Sequence[str], end: str = "--x--\r\n") -> bytes:
    return ("".join(f"--x\r\n{part}\r\n" for part in (_TOKEN_PART, *parts)) + end).encode("latin-1")


MULTIPARTS = {wrong: _multipart(parts) for wrong, parts in _PARTS.items()} | {
    "no end": _multipart([_FILE.format("a.txt", "text/plain", "x")], ""),
    "half an end": _multipart([_FILE.format("a.txt", "text/plain", "x")], "--x-"),
    "something after the end": _multipart([_FILE.format("a.txt", "text/plain", "x")], "--x--\r\nmore\r\n--x"),
}
CONTENT_TYPES = (
    "",
    ";;;",
    "\xff",
    "text/plain",
    "text/html; charset=nonsense",
    "application/json; charset=nonsense",
    "application/json, text/html",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "multipart/form-data; boundary=" + "x" * 300,
    "multipart/mixed; boundary=x",
)
JSON_VALUES = (
    "null",
    "true",
    "false",
    "-1",
    "0",
    "0.5",
    "1e3",
    "1e999",
    "NaN",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551615",
    "1" + "0" * 400,
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"\\u00e9\\u202e"',
    '"a\\r\\nSet-Cookie: nasty=1"',
    '"../../etc/passwd"',
    '"<script>alert(1)</script>"',
    '"\'; DROP TABLE events; --"',
    '"{{ 7 * 7 }}"',
    '"%00"',
    '"' + "x" * 129 + '"',
    '"' + "x" * 50_000 + '"',
    "[]",
    "{}",
    "[null]",
    '{"a": null}',
    "[" * 300 + "]" * 300,
)
TEXTS = (
    "",
    "%00",
    "%FF",
    "%ED%A0%80",
    "%0D%0ASet-Cookie:%20nasty=1",
    "..%2F..%2Fetc%2Fpasswd",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "%27;%20DROP%20TABLE%20events;%20--",
    "%7B%7B7*7%7D%7D",
    "%F0%9F%98%80%E2%80%AE",
    "%D9%A3",
    "-1",
    "1.5",
    "NaN",
    "9" * 30,
    "9999-99-99",
    "%25",
    "%zz",
    "x" * 129,
    "x" * 3_000,
)
"""Values of queries and forms, and parts of paths, as they are sent."""
HEADERS = (
    {"X-Lineage-Id": "a b"},
    {"X-Lineage-Id": "\xff"},
    {"X-Lineage-Id": "x" * 4_000},
    {"X-Ecoload-Run": "\xff" + "x" * 4_000},
    {"Idempotency-Key": "a b\xff"},
    {"Idempotency-Key": "x" * 4_000},
    {"Authorization": "Bearer \xff.\xff.\xff"},
    {"Authorization": "Bearer ImFsZyI.e30.x"},
    {"Authorization": "Basic \xff"},
    {"Authorization": "Basic ////"},
    {"Cookie": "a1_browser=\xff; a5_browser=\xff; a5_session=\xff; ;;=; x"},
    {"Cookie": 'a1_browser="\\303\\251"; a5_browser="\\377"; a5_session="\\377"'},
    {"Cookie": "a5_session=" + "x" * 4_000},
    {"Accept": "\xff;q=x,,text/html;q=-1"},
    {"Accept-Encoding": "gzip;q=x, \xff"},
    {"If-None-Match": '"\xff", W/x, ",'},
    {"If-Modified-Since": "yesterday"},
    {"Range": "bytes=9-1,x"},
    {"Content-Encoding": "gzip"},
    {"Host": "[[\xff"},
    {"Host": "evil.test"},
    {"X-Sandbox-Internal": "\xff"},
    {"X-Sandbox-Admin": "\xff"},
    {"X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test", "X-HTTP-Method-Override": "DELETE"},
    {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
    {"Expect": "100-continue"},
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LINK")

_PARAMETER = re.compile(r"\{[^}]*\}")
_numbers = count()


@dataclass(frozen=True)
class Route:
    """A route of an app, as its router has it."""

    app: str
    name: str
    method: str
    path: str
    protected: bool

    @property
    def key(self) -> str:
        """How the tables name it."""
        return f"{self.app} {self.name}"

    @property
    def takes_form(self) -> bool:
        """Whether its body is a form; otherwise it is JSON."""
        return self.key in ("a1 auth", "a1 login", "a1 register", "a1 token") or self.name in (
            "signup",
            "logout",
            "stripe_new_customer",
            "stripe_new_intent",
            "stripe_confirm",
        )

    def target(self, part: str = "x", query: str = "") -> str:
        """Its address with `part` for what is variable in it."""
        if not query and self.method in ("POST", "PUT") and self.app == "a5":
            query = _WRITE
        return _PARAMETER.sub(part, self.path) + query


@dataclass(frozen=True)
class Sent:
    """A request to a route, and what was made wrong in it."""

    route: Route
    wrong: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    def __str__(self) -> str:
        headers = {name: value[:60] for name, value in self.headers.items() if name != "Authorization"}
        return f"{self.method} {self.target[:160]} [{self.wrong}] {headers} {self.body[:160]!r}"


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 is nothing at all."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def routes_of(app: str) -> list[Route]:
    """Every route of an app, the common ones included."""

    async def ask(folder: Path) -> list[Route]:
        config = Config(app, 1, folder, "admin", "internal")
        made = process._app(config)
        service = Service(made, config)
        try:
            protected = made.protected | {"test_data"}
            return [
                Route(app, str(route.name), route.method, route.resource.canonical, route.name in protected)
                for route in service.web.router.routes()
                if route.method != "HEAD" and route.resource is not None
            ]
        finally:
            await service.close()

    with TemporaryDirectory() as folder:
        return asyncio.run(ask(Path(folder)))


def nasty(route: Route, headers: Mapping[str, str]) -> Iterator[Sent]:
    """Every request that is made wrong for a route, with `headers` that let it in."""
    for accepted in ("*/*", "text/html,*/*;q=0.8"):
        yield from _paths(route, {**headers, "Accept": accepted})
        yield from _queries(route, {**headers, "Accept": accepted})
        yield from _headers(route, {**headers, "Accept": accepted})
        if route.method == "POST" and (route.takes_form or accepted == "*/*"):
            yield from _fields(route, {**headers, "Accept": accepted})
    if route.method == "POST":
        yield from _bodies(route, headers)


def methods(routes: Sequence[Route], headers: Mapping[str, str]) -> Iterator[Sent]:
    """Every method at every address; DELETE says no namespace, so that it deletes nothing."""
    for route in {route.path: route for route in routes}.values():
        for method in METHODS:
            yield Sent(route, "method", method, route.target(), headers)


def _paths(route: Route, headers: Mapping[str, str]) -> Iterator[Sent]:
    for text in TEXTS if "{" in route.path else ():
        yield _sent(route, "path", headers, target=route.target(text))


def _queries(route: Route, headers: Mapping[str, str]) -> Iterator[Sent]:
    good = QUERIES.get(route.key, {})
    for name in good:
        others = urlencode({other: text for other, text in good.items() if other != name})
        for text in (*TEXTS, f"x&{name}=x"):
            yield _sent(route, "query", headers, target=route.target(query=f"?{others}&{name}={text}"))
    for query in ("?", "?&&=&", "?%00=%FF", "?" + "x" * 4_000, "?" + "&".join(f"x{n}=1" for n in range(500))):
        yield _sent(route, "query", headers, target=route.target(query=query))


def _headers(route: Route, headers: Mapping[str, str]) -> Iterator[Sent]:
    for wrong in HEADERS:
        yield _sent(route, "header", {**headers, **wrong})


def _bodies(route: Route, headers: Mapping[str, str]) -> Iterator[Sent]:
    kind = FORM if route.takes_form else JSON
    for wrong, body in RAW_BODIES.items():
        for stated in (kind, "multipart/form-data; boundary=x", "text/plain"):
            yield _sent(route, wrong, {**headers, "Content-Type": stated}, body)
    for wrong, body in MULTIPARTS.items():
        yield _sent(route, wrong, {**headers, "Content-Type": "multipart/form-data; boundary=x"}, body)
    for stated in CONTENT_TYPES:
        yield _sent(route, "content type", {**headers, "Content-Type": stated}, b'--x\r\n\r\n{"a": 1}\r\n--x')


def _fields(route: Route, headers: Mapping[str, str]) -> Iterator[Sent]:
    for good in BODIES[route.key]:
        if route.takes_form:
            bodies, kind = _forms(good), FORM
        else:
            bodies, kind = (text.encode() for text in _documents(good)), JSON
        for body in bodies:
            key = {"Idempotency-Key": f"nasty-{next(_numbers)}"}  # none waits for another
            yield _sent(route, "field", {**headers, **key, "Content-Type": kind}, body)


def _forms(good: Mapping[str, str]) -> Iterator[bytes]:
    for name in (*good, "no_such"):
        others = urlencode({other: text for other, text in good.items() if other != name})
        yield others.encode()
        for text in (*TEXTS, f"x&{name}=x"):
            yield f"{others}&{name}={text}".encode()
    yield "&".join(f"x{number}=1" for number in range(1_000)).encode()


def _documents(good: Any) -> Iterator[str]:
    """JSON texts, each with one value changed, left out or put to it."""
    for path in _places(good):
        for value in (*JSON_VALUES, None):
            yield _changed(good, path, value)
    yield _changed(good | {"no_such": 1}, ("no_such",), '{"a": [1]}')


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(document, dict | list):
        for key in document if isinstance(document, dict) else range(len(document)):
            yield from _places(document[key], (*path, key))


def _changed(good: Any, path: tuple[Any, ...], value: str | None) -> str:
    """`good` as JSON with the JSON text `value` at `path`; None leaves it out."""
    document = json.loads(json.dumps(good))
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    if value is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = "@here@"
    return json.dumps(document).replace('"@here@"', value or "")


def _sent(
    route: Route, wrong: str, headers: Mapping[str, str], body: bytes = b"", target: str | None = None
) -> Sent:
    return Sent(route, wrong, route.method, target or route.target(), headers, body)


async def send(url: str, sent: Sent) -> Answer:
    """What comes back for a request."""
    host, _, port = url.removeprefix("http://").partition(":")
    headers = {"Host": f"{host}:{port}", "Connection": "close", **sent.headers}
    if sent.body or sent.method not in ("GET", "HEAD"):
        headers["Content-Length"] = str(len(sent.body))
    head = f"{sent.method} {sent.target} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head.encode("latin-1") + b"\r\n" + sent.body)
        return _answer(await asyncio.wait_for(reader.read(), 60))
    except (ConnectionError, TimeoutError) as error:
        return Answer(0, {}, repr(error).encode())
    finally:
        writer.close()


def _answer(raw: bytes) -> Answer:
    head, _, body = raw.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    found = re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", status)
    return Answer(
        int(found[1]) if found else 0, {name.lower(): value.strip() for name, _, value in pairs}, body
    )


def wrong_with(sent: Sent, answer: Answer) -> str | None:
    """Why an answer is not what nonsense deserves; None when it is."""
    if answer.status == 0:
        return f"no answer: {answer.body[:100]!r}"
    if answer.status >= 500:
        return f"{answer.status} {answer.body[:300]!r}"
    if b"Traceback (most" in answer.body:
        return "a traceback"
    if b"<script>alert(1)" in answer.body and "html" in answer.headers.get("content-type", ""):
        return "a script of the caller's"
    if "nasty=1" in answer.headers.get("set-cookie", ""):
        return "a header of the caller's"
    if answer.status >= 400 and sent.method != "HEAD":
        return _wrong_with_problem(sent, answer)
    if answer.status >= 300 and "evil.test" in answer.headers.get("location", ""):
        return f"leads to {answer.headers['location']}"
    return None


def _wrong_with_problem(sent: Sent, answer: Answer) -> str | None:
    kind = answer.headers.get("content-type", "")
    browser = sent.route.key in ("a1 auth", "a1 login", "a1 register") or "text/html" in sent.headers.get(
        "Accept", ""
    )
    if browser and kind.startswith("text/html"):
        return None
    try:
        document = json.loads(answer.body)
    except ValueError:
        return f"{answer.status} without JSON: {kind} {answer.body[:100]!r}"
    if sent.route.key == "a1 token" and kind == JSON:
        return None if {"error", "error_description"} == set(document) else f"no OAuth error: {document}"
    if kind != "application/problem+json" or document["status"] != answer.status or not document["detail"]:
        return f"{answer.status} is no problem: {kind} {document}"
    return None
