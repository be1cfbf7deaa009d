"""What comes in and what goes out of every app: bodies, queries, names, answers and problems.

Rules
-----
- Every answer but a good one is an RFC 9457 problem, with everything that is wrong in `errors`.
- What is read of a request is bounded and of the type that was asked for, or a Problem.
"""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

NAMESPACE = "perf_test"
"""Where every write must stand."""

RUN_HEADER = "X-Ecoload-Run"
PROBE_HEADER = "X-Ecoload-Probe"
ADMIN_HEADER = "X-Sandbox-Admin"
INTERNAL_HEADER = "X-Sandbox-Internal"
LINEAGE_HEADER = "X-Lineage-Id"

NAME_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ : @ ~ -"
MAX_FIELDS = 64
MAX_DEPTH = 64
"""Of a JSON body: less than what every writer of JSON can write again."""

_NAME = re.compile(r"[A-Za-z0-9._:@~-]{1,128}")


class Problem(Exception):
    """An answer that is not a good one. `errors` lists each thing wrong; `headers` go out with it."""

    def __init__(
        self, status: int, detail: str, errors: Sequence[str] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers or {}


def answer(document: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


def problem_answer(problem: Problem) -> web.Response:
    """A problem as it goes out."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        document["errors"] = problem.errors
    return web.Response(
        body=orjson.dumps(document),
        status=problem.status,
        content_type="application/problem+json",
        headers=problem.headers,
    )


async def json_body(request: web.Request) -> Any:
    """The body as JSON; a Problem when it is none, too large or of another type."""
    if request.content_type not in ("application/json", "application/octet-stream"):  # the latter: not stated
        raise Problem(415, "the content type must be application/json")
    raw = await request.read()
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error}") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _deeper(document, MAX_DEPTH):
        raise Problem(422, f"the body is nested more than {MAX_DEPTH} deep")
    return document


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object, or a Problem."""
    document = await json_body(request)
    if not isinstance(document, dict):
        raise Problem(422, "the body must be a JSON object")
    return document


async def form_body(request: web.Request) -> dict[str, str]:
    """The fields of an urlencoded form, each at most once; a Problem when it is none."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem(415, "the content type must be application/x-www-form-urlencoded")
    try:
        text = (await request.read()).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:  # not ASCII, not UTF-8 inside, or too many
        raise Problem(400, f"the body is not a form of at most {MAX_FIELDS} fields") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Problem(422, "a field of the form stands there twice")
    if any("\0" in name + value for name, value in pairs):
        raise Problem(422, "a field of the form holds a NUL")
    return fields


def query_int(request: web.Request, name: str, default: int, most: int) -> int:
    """A number of the query from 0 to `most`, or a Problem."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise Problem(400, f"{name} must be a whole number from 0 to {most}")
    return int(text)


def query_namespace(request: web.Request) -> None:
    """A write that says its namespace in the query says the right one, or a Problem."""
    if request.query.getall("namespace", []) != [NAMESPACE]:
        raise Problem(422, f"the query must say namespace={NAMESPACE}, once")


def is_name(value: Any) -> bool:
    """Whether a value follows `NAME_RULE`."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def lineage_of(request: web.Request) -> str:
    """The lineage id a caller gave, else a new one; a Problem when what it gave is none."""
    given = request.headers.get(LINEAGE_HEADER)
    if given is None:
        return uuid.uuid4().hex
    if not is_name(given):
        raise Problem(422, f"{LINEAGE_HEADER}: must be {NAME_RULE}")
    return given


def run_of(request: web.Request) -> str | None:
    """The run a request belongs to, if it says so."""
    given = request.headers.get(RUN_HEADER)
    return given if is_name(given) else None


def token_given(request: web.Request, header: str, token: str) -> bool:
    """Whether `header` carries `token`, compared in constant time."""
    return hmac.compare_digest(
        request.headers.get(header, "").encode(errors="surrogateescape"), token.encode()
    )


def _deeper(value: Any, most: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return most == 0 or any(_deeper(item, most - 1) for item in items if isinstance(item, dict | list))
