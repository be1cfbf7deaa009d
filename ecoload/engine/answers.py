"""Judging one answer: expected status, checks, captures, decoding.

Rules
-----
- A step's checks are compiled once into one function; a step that asks only for a status has none.
- The first part of a check that fails decides: the answer is `check_failed`, and nothing is captured.
- Bodies are decoded under the plan's cap: a bomb ends as `too_large`, rubbish as `decode`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from ecoload.engine.values import Getter, Scope, Values
from ecoload.measure.outcome import Outcome
from ecoload.plan import Capture, Check, Expect
from ecoload.spec.functions import as_text

Headers = Sequence[tuple[bytes, bytes]]


class Answer(Protocol):
    """What a transport leaves behind. Times in ns; `outcome` is OK as far as the network went."""

    outcome: int
    status: int
    body: bytes
    begin: int
    sent: int
    first: int
    last: int
    has_cookies: bool
    """There is a Set-Cookie header."""
    is_coded: bool
    """There is a Content-Encoding header."""

    @property
    def headers(self) -> Headers: ...


class NoAnswer:
    """A request that was not sent, or found no connection: when it was begun, and when that was known."""

    __slots__ = ("begin", "first", "last", "outcome", "sent")
    status = 0
    headers: Headers = ()
    body = b""
    has_cookies = is_coded = False

    def __init__(self, outcome: int, begin: int, end: int) -> None:
        self.outcome = outcome
        self.begin = self.sent = begin
        self.first = self.last = end


Judge = Callable[[Answer, Values], int]
Operator = Callable[[Any, Any], bool]
_MISSING = object()
_PLAIN_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*|\[\d+\])*")
_MOST_MEMBERS = 100
"""A gzip file may be several, one behind the other; each takes a copy of what is left."""


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header; `name` in lower case."""
    for key, value in headers:
        if key.lower() == name:
            return value
    return None


def decode_body(headers: Headers, body: bytes, most: int) -> bytes | Outcome:
    """The body without its content coding, or the outcome that says why not."""
    coding = (header(headers, b"content-encoding") or b"identity").strip().lower()
    if coding == b"identity" or not body:
        return body
    if coding not in (b"gzip", b"x-gzip", b"deflate"):
        return Outcome.DECODE
    # 47: gzip or zlib by its own header; raw deflate, which some servers send, is tried after it.
    for window in (47, -15):
        try:
            return _inflate(body, window, most)
        except zlib.error:
            continue
    return Outcome.DECODE


def _inflate(body: bytes, window: int, most: int) -> bytes | Outcome:
    plain = b""
    for _ in range(_MOST_MEMBERS):
        inflate = zlib.decompressobj(window)
        plain += inflate.decompress(body, most + 1 - len(plain))
        if len(plain) > most:
            return Outcome.TOO_LARGE
        body = inflate.unused_data
        if not inflate.eof or not body:
            break
    return plain if inflate.eof and not body else Outcome.DECODE


def compile_judge(check: Check, captures: Sequence[Capture], scope: Scope, max_body: int) -> Judge | None:
    """One function for everything beyond the status: OK, CHECK_FAILED, CAPTURE_FAILED, DECODE or
    TOO_LARGE. None where there is nothing to judge. Captures write into the VU's values."""
    on_headers = [
        (name.lower().encode(), _expectation(expect, scope, _OF_HEADERS)) for name, expect in check.headers
    ]
    on_json = [(_finder(path, expect), _expectation(expect, scope)) for path, expect in check.json]
    on_body = [_expectation(expect, scope) for expect in check.body]
    takers = [(_taker(capture), scope.slot(capture.name)) for capture in captures]
    needs_json = bool(on_json) or any(c.source == "json" for c in captures)
    duration = check.duration_ns
    if not (on_headers or on_json or on_body or takers or duration):
        return None

    def judge(answer: Answer, values: Values) -> int:
        if duration is not None and answer.last - answer.begin > duration:
            return Outcome.CHECK_FAILED
        for name, expect in on_headers:
            value = header(answer.headers, name)
            if not expect(_MISSING if value is None else value.decode("latin-1"), values):
                return Outcome.CHECK_FAILED
        body = answer.body
        if answer.is_coded:
            decoded = decode_body(answer.headers, body, max_body)
            if isinstance(decoded, Outcome):
                return decoded
            body = decoded
        document: Any = _MISSING
        if needs_json:
            try:
                document = orjson.loads(body)
            except orjson.JSONDecodeError:
                return Outcome.CHECK_FAILED if on_json else Outcome.CAPTURE_FAILED
        for find, expect in on_json:
            if not expect(find(document), values):
                return Outcome.CHECK_FAILED
        if on_body:
            text = body.decode("utf-8", "replace")
            if not all(expect(text, values) for expect in on_body):
                return Outcome.CHECK_FAILED
        for take, slot in takers:
            value = take(answer, body, document)
            if value is _MISSING:
                return Outcome.CAPTURE_FAILED
            values[slot] = value
        return Outcome.OK

    return judge


@dataclass(frozen=True, slots=True)
class Finding:
    """What decided of an answer: `of` is what was looked at, `found` None where it is not there."""

    outcome: Outcome
    of: str = ""
    operator: str = ""
    wanted: Any = None
    found: Any = None


def compile_inspection(
    check: Check, captures: Sequence[Capture], scope: Scope, max_body: int
) -> Callable[[Answer, Values], Finding]:
    """As `compile_judge`, the status included, for who asks one request at a time and wants to know why.
    Values are compared exactly: 3000.0 is not 3000."""
    parts: list[tuple[str, Callable[[Answer, Any], Any], Expect, Callable[[Any, Values], bool], Getter]] = []

    def add(
        of: str, find: Callable[[Answer, Any], Any], expect: Expect, operators: Mapping[str, Operator]
    ) -> None:
        holds, wanted = _expectation(expect, scope, operators), scope.getter(expect.operand)
        parts.append((of, find, expect, holds, wanted))

    for name, expect in check.headers:
        add(f"header {name}", _header_of(name), expect, _OF_HEADERS)
    for path, expect in check.json:
        add(path, _document_at(_finder(path, expect)), expect, _EXACT)
    for expect in check.body:
        add("the body", lambda answer, document: answer.body.decode("utf-8", "replace"), expect, _OPERATORS)
    takers = [(capture, _taker(capture), scope.slot(capture.name)) for capture in captures]
    needs_json = bool(check.json) or any(c.source == "json" for c in captures)

    def inspect(answer: Answer, values: Values) -> Finding:
        right = answer.status in check.status if check.status else 200 <= answer.status < 400
        if not right:
            wanted: Any = list(check.status) or "200 to 399"
            return Finding(Outcome.HTTP_ERROR, "status", "eq", wanted, answer.status)
        body = decode_body(answer.headers, answer.body, max_body)
        if isinstance(body, Outcome):
            return Finding(body, "the body")
        document: Any = _MISSING
        if needs_json:
            try:
                document = orjson.loads(body)
            except orjson.JSONDecodeError:
                return Finding(Outcome.CHECK_FAILED, "the body", "eq", "JSON", "no JSON")
        for of, find, expect, holds, get in parts:
            found = find(answer, document)
            if not holds(found, values):
                missing = found is _MISSING
                return Finding(
                    Outcome.CHECK_FAILED, of, expect.operator, get(values), None if missing else found
                )
        took_ns = answer.last - answer.begin
        if check.duration_ns is not None and took_ns > check.duration_ns:
            return Finding(
                Outcome.CHECK_FAILED, "duration in ms", "le", check.duration_ns / 1e6, took_ns / 1e6
            )
        for capture, take, slot in takers:
            value = take(answer, body, document)
            if value is _MISSING:
                of = f"{capture.source} {capture.argument}".strip()
                return Finding(Outcome.CAPTURE_FAILED, of, "exists", True)
            values[slot] = value
        return Finding(Outcome.OK)

    return inspect


def _header_of(name: str) -> Callable[[Answer, Any], Any]:
    key = name.lower().encode()

    def find(answer: Answer, document: Any) -> Any:
        value = header(answer.headers, key)
        return _MISSING if value is None else value.decode("latin-1")

    return find


def _document_at(find: Callable[[Any], Any]) -> Callable[[Answer, Any], Any]:
    return lambda answer, document: find(document)


def find_json(path: str) -> Callable[[Any], Any]:
    """A function from a document to the value at a JSON path; it raises LookupError where there is none."""
    find = _json_path(path)

    def found(document: Any) -> Any:
        value = find(document)
        if value is _MISSING:
            raise LookupError(path)
        return value

    return found


def needs_body(check: Check, captures: Sequence[Capture]) -> bool:
    return bool(check.json or check.body or any(c.source in ("json", "regex") for c in captures))


def _expectation(
    expect: Expect, scope: Scope, operators: Mapping[str, Operator] | None = None
) -> Callable[[Any, Values], bool]:
    operator = (operators or _OPERATORS)[expect.operator]
    wanted: Getter = scope.getter(expect.operand)
    if expect.operator == "exists":
        return lambda found, values: (found is not _MISSING) == bool(wanted(values))
    if scope.constant(expect.operand):
        constant = wanted([])
        if expect.operator == "matches":
            search = re.compile(constant).search
            return lambda found, values: found is not _MISSING and search(as_text(found)) is not None
        return lambda found, values: found is not _MISSING and operator(found, constant)
    return lambda found, values: found is not _MISSING and operator(found, wanted(values))


def _equal(found: Any, wanted: Any) -> bool:
    # 1 is not true: JSON tells them apart, so do we.
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def _same(found: Any, wanted: Any) -> bool:
    """Equal, and of the same kinds all through: an amount in whole cents is no float."""
    if type(found) is not type(wanted):
        return False
    if isinstance(found, dict):
        return found.keys() == wanted.keys() and all(_same(found[key], wanted[key]) for key in found)
    if isinstance(found, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    return bool(found == wanted)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(found: Any, wanted: Any) -> bool:
        try:
            return compare(found, wanted)
        except TypeError:
            return False

    return ordered


def _contains(found: Any, wanted: Any) -> bool:
    return wanted in found if isinstance(found, list | dict) else as_text(wanted) in as_text(found)


def _length(found: Any, wanted: Any) -> bool:
    return isinstance(found, str | list | dict) and len(found) == wanted


def _each(found: Any, wanted: Any) -> bool:
    """All of them, and at least one: an empty list proves nothing."""
    return bool(found) and all(_equal(value, wanted) for value in found)


def _all(found: Any, wanted: Any) -> bool:
    """These values, no other, in this order."""
    return len(found) == len(wanted) and all(map(_equal, found, wanted))


def _read(compare: Operator) -> Operator:
    """Headers are text: compared with a number, they are read as one."""

    def read(found: Any, wanted: Any) -> bool:
        if not isinstance(wanted, str):
            try:
                found = orjson.loads(found)
            except orjson.JSONDecodeError:
                pass
        return compare(found, wanted)

    return read


_OPERATORS: dict[str, Operator] = {
    "eq": _equal,
    "ne": lambda found, wanted: not _equal(found, wanted),
    "lt": _ordered(lambda a, b: a < b),
    "le": _ordered(lambda a, b: a <= b),
    "gt": _ordered(lambda a, b: a > b),
    "ge": _ordered(lambda a, b: a >= b),
    "exists": lambda found, wanted: True,
    "contains": _contains,
    "matches": lambda found, wanted: re.search(wanted, as_text(found)) is not None,
    "length": _length,
    "each": _each,
    "all": _all,
}
_EXACT = _OPERATORS | {
    "eq": _same,
    "ne": lambda found, wanted: not _same(found, wanted),
    "each": lambda found, wanted: bool(found) and all(_same(value, wanted) for value in found),
    "all": lambda found, wanted: _same(list(found), wanted),
}
_OF_HEADERS = _OPERATORS | {name: _read(_OPERATORS[name]) for name in ("eq", "ne", "lt", "le", "gt", "ge")}


def _finder(path: str, expect: Expect) -> Callable[[Any], Any]:
    """What the expectation looks at: one value at the path, or all of them."""
    return _json_paths(path) if expect.operator in ("each", "all") else _json_path(path)


def _json_path(path: str) -> Callable[[Any], Any]:
    """A finder; a plain `$.a.b[0]` is direct access, anything else the library's."""
    if not _PLAIN_PATH.fullmatch(path):
        from jsonpath_rfc9535 import compile as compile_path

        query = compile_path(path)

        def find(document: Any) -> Any:
            node = query.find_one(document)
            return _MISSING if node is None else node.value

        return find
    keys: list[str | int] = [
        int(index) if index else name for name, index in re.findall(r"\.([A-Za-z_]\w*)|\[(\d+)\]", path)
    ]

    def walk(document: Any) -> Any:
        for key in keys:
            if document.__class__ is str:
                return _MISSING
            try:
                document = document[key]
            except (KeyError, IndexError, TypeError):
                return _MISSING
        return document

    return walk


def _json_paths(path: str) -> Callable[[Any], Any]:
    """A finder of all values at a JSON path; `$.a.b[*].c` is direct access, anything else the library's."""
    before, star, after = path.partition("[*]")
    if star and _PLAIN_PATH.fullmatch(before) and _PLAIN_PATH.fullmatch(f"${after}"):
        rows, member = _json_path(before), _json_path(f"${after}")

        def members(document: Any) -> Any:
            found = rows(document)
            return [member(row) for row in found] if isinstance(found, list) else []

        return members
    from jsonpath_rfc9535 import compile as compile_path

    query = compile_path(path)
    return lambda document: query.find(document).values()


def _taker(capture: Capture) -> Callable[[Answer, bytes, Any], Any]:
    if capture.source == "json":
        find = _json_path(capture.argument)
        return lambda answer, body, document: find(document)
    if capture.source == "header":
        name = capture.argument.lower().encode()

        inside = _matcher(capture.regex) if capture.regex is not None else lambda text: text

        def take_header(answer: Answer, body: bytes, document: Any) -> Any:
            value = header(answer.headers, name)
            return _MISSING if value is None else inside(value.decode("latin-1"))

        return take_header
    if capture.source == "status":
        return lambda answer, body, document: answer.status
    find = _matcher(capture.argument)
    return lambda answer, body, document: find(body.decode("utf-8", "replace"))


def _matcher(pattern: str) -> Callable[[str], Any]:
    """Group 1 of the first match, or the whole match where the pattern has no group."""
    search = re.compile(pattern).search

    def find(text: str) -> Any:
        match = search(text)
        taken = match and match.group(1 if match.re.groups else 0)
        return _MISSING if taken is None else taken

    return find
