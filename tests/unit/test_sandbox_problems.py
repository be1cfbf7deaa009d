"""What comes into an app is a value of the kind that was asked for, or a problem; never anything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote, urlencode

import orjson
import pytest
from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from hypothesis import assume, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ecoload.sandbox.common.problems import (
    ADMIN_HEADER,
    LINEAGE_HEADER,
    MAX_DEPTH,
    MAX_FIELDS,
    RUN_HEADER,
    Problem,
    answer,
    form_body,
    is_name,
    json_body,
    json_object,
    lineage_of,
    problem_answer,
    query_int,
    query_namespace,
    run_of,
    token_given,
)

FORM = "application/x-www-form-urlencoded"
LIMIT = 1000
MOST = 1000

header_text = st.text(
    st.characters(min_codepoint=1, exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20
)
raw_queries = st.text(
    st.sampled_from("abcn019=&%+;[]{}\\\"'<>²٣é \t\0\x7f-") | st.characters(min_codepoint=33), max_size=40
)


def request(
    path: str = "/", headers: dict[str, str] | None = None, body: bytes = b"", kind: str | None = None
) -> web.Request:
    """A request as the server hands it to an app, with bodies of at most LIMIT bytes."""
    sent = CIMultiDict(headers or {})
    if kind is not None:
        sent["Content-Type"] = kind
    stream = StreamReader(Mock(), limit=2**16, loop=Mock())
    stream.feed_data(body)
    stream.feed_eof()
    return make_mocked_request("POST", path, sent, payload=stream, client_max_size=LIMIT)


def read(reader: Callable[[web.Request], Coroutine[Any, Any, Any]], body: bytes, kind: str) -> Any:
    """What `reader` makes of a body that is all there: a value, or the status of its problem."""
    reading = reader(request(body=body, kind=kind))
    try:
        reading.send(None)
    except StopIteration as done:
        return done.value
    except Problem as problem:
        assert problem.detail
        return problem.status
    raise AssertionError("it waits for more")


# --- JSON --------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b'{"a": Infinity}', "application/json", 400),
        (b'{"a": "\\ud800"}', "application/json", 400),
        (b'{"a": "\xed\xa0\x80"}', "application/json", 400),
        (b"{'a': 1}", "application/json", 400),
        (b"\xef\xbb\xbf{}", "application/json", 400),
        (b"{}{}", "application/json", 400),
        (b"[" * 900, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "application/jsonx", 415),
        (b"{}", FORM, 415),
        (b"{}", "multipart/form-data; boundary=x", 415),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b"1", "application/json", 422),
        (b'"{}"', "application/json", 422),
    ],
)
def test_a_body_that_is_no_json_object_is_a_problem(body: bytes, kind: str, status: int) -> None:
    assert read(json_object, body, kind) == status


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_body_may_be_nested_so_deep_and_no_deeper(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    for depth, refused in ((MAX_DEPTH, False), (MAX_DEPTH + 1, True)):
        found = read(json_body, opening * depth + b"1" + closing * depth, "application/json")
        assert (found == 422) is refused
        orjson.dumps({"events": [found]})  # what is taken can be written again


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_a_json_object_is_one_whatever_its_type_is_spelled_like(kind: str) -> None:
    assert read(json_object, b'{"a": [1, null, "\xc3\xa9"]}', kind) == {"a": [1, None, "é"]}


def test_a_body_of_json_may_be_anything_where_that_was_asked_for() -> None:
    assert [read(json_body, body, "application/json") for body in (b"[]", b"null", b'"x"')] == [[], None, "x"]


@given(st.binary(max_size=200), st.sampled_from(["application/json", "", "text/html", "x", "a/b/c;;"]))
def test_whatever_bytes_come_are_an_object_or_a_problem(body: bytes, kind: str) -> None:
    found = read(json_object, body, kind)
    assert isinstance(found, dict) or found in {400, 415, 422}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=3))
def test_an_object_comes_in_as_it_was_sent(document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    assume(len(body) < LIMIT)
    assert read(json_object, body, "application/json") == document


def test_a_body_that_is_too_large_is_refused_by_its_size() -> None:
    for reader, kind in ((json_body, "application/json"), (form_body, FORM)):
        with pytest.raises(web.HTTPRequestEntityTooLarge):
            read(reader, b"1" * (LIMIT + 1), kind)


# --- forms --------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a=1", "application/json", 415),
        (b"a=1", "multipart/form-data; boundary=x", 415),
        (b"a=%ff", FORM, 400),
        (b"a=%ED%A0%80", FORM, 400),
        ("a=é".encode(), FORM, 400),
        (b"&".join(b"a%d=1" % number for number in range(MAX_FIELDS + 1)), FORM, 400),
        (b"a=1&a=2", FORM, 422),
        (b"a=1&%61=2", FORM, 422),
        (b"a=%00", FORM, 422),
        (b"%00=a", FORM, 422),
    ],
)
def test_a_body_that_is_no_form_is_a_problem(body: bytes, kind: str, status: int) -> None:
    assert read(form_body, body, kind) == status


def test_a_form_may_have_empty_fields_and_up_to_its_most() -> None:
    assert read(form_body, b"", FORM) == {}
    assert read(form_body, b"a=&b", FORM + "; charset=utf-8") == {"a": "", "b": ""}
    full = {f"a{number}": "1" for number in range(MAX_FIELDS)}
    assert read(form_body, urlencode(full).encode(), FORM) == full


@given(st.dictionaries(st.text(), st.text()))
def test_a_form_comes_in_as_it_was_sent(fields: dict[str, str]) -> None:
    body = urlencode(fields).encode()
    assume(len(body) < LIMIT and len(fields) <= MAX_FIELDS)
    found = read(form_body, body, FORM)
    assert found == (422 if "\0" in "".join([*fields, *fields.values()]) else fields)


@given(st.binary(max_size=200) | st.text(st.sampled_from("ab01=&%+;")).map(str.encode))
def test_whatever_bytes_come_are_a_form_or_a_problem(body: bytes) -> None:
    found = read(form_body, body, FORM)
    assert found in (400, 422) or all(isinstance(text, str) for pair in found.items() for text in pair)


# --- queries --------------------------------------


@pytest.mark.parametrize("text", ["0", "7", "1000", "007"])
def test_a_number_of_the_query_is_one(text: str) -> None:
    assert query_int(request(f"/?limit={text}"), "limit", 5, MOST) == int(text)


def test_a_number_that_is_not_there_has_its_default() -> None:
    assert query_int(request("/"), "limit", 5, MOST) == 5


@pytest.mark.parametrize(
    "text",
    ["", "1001", "-1", "%2B1", "1.0", "1e2", "0x1", "1_0", "%C2%B2", "%D9%A3", "%201", "NaN", "9" * 5000],
)
def test_what_is_no_number_is_a_problem(text: str) -> None:
    with pytest.raises(Problem, match="limit must be a whole number from 0 to 1000"):
        query_int(request(f"/?limit={text}"), "limit", 5, MOST)


@given(raw_queries)
def test_whatever_the_query_is_a_number_of_it_is_within_bounds_or_a_problem(text: str) -> None:
    asked = request("/?n=" + text.replace("#", "").encode("utf-8", "surrogatepass").decode("latin-1"))
    try:
        assert 0 <= query_int(asked, "n", 0, MOST) <= MOST
    except Problem as problem:
        assert problem.status == 400


@pytest.mark.parametrize(
    ("query", "good"),
    [
        ("namespace=perf_test", True),
        ("run_id=1&namespace=perf_test", True),
        ("", False),
        ("namespace=", False),
        ("namespace=production", False),
        ("namespace=perf_test&namespace=perf_test", False),
        ("namespace=production&namespace=perf_test", False),
        ("Namespace=perf_test", False),
    ],
)
def test_a_write_says_its_namespace_once(query: str, good: bool) -> None:
    if good:
        query_namespace(request(f"/?{query}"))
    else:
        with pytest.raises(Problem, match="namespace=perf_test"):
            query_namespace(request(f"/?{query}"))


# --- names --------------------------------------


@pytest.mark.parametrize("name", ["a", "A-1", "0", "a.b_c:d@e~f-g", "x" * 128])
def test_names_that_are_good(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "x" * 129, "a b", "a\n", "a/b", "é", "٣", "a\0", "%00", "<a>", "'", '"', None, 5, True, b"a", ["a"]],
)
def test_names_that_are_not(name: Any) -> None:
    assert not is_name(name)


@given(st.text())
def test_a_name_can_stand_in_an_address_a_header_and_a_page_as_it_is(text: str) -> None:
    if is_name(text):
        assert text.isascii() and text.isprintable() and 1 <= len(text) <= 128
        assert quote(text, safe=":@") == text
        assert not set(text) & set("<>&\"'/\\%?# ")


@given(header_text)
def test_a_lineage_is_the_callers_or_a_problem(text: str) -> None:
    asked = request(headers={LINEAGE_HEADER: text})
    try:
        assert lineage_of(asked) == text
        assert is_name(text)
    except Problem as problem:
        assert problem.status == 422
        assert not is_name(text)


def test_a_caller_without_a_lineage_begins_a_new_one() -> None:
    begun = {lineage_of(request()) for _ in range(10)}
    assert len(begun) == 10
    assert all(map(is_name, begun))


@given(header_text)
def test_a_run_is_a_name_or_none(text: str) -> None:
    assert run_of(request(headers={RUN_HEADER: text})) == (text if is_name(text) else None)
    assert run_of(request()) is None


@given(header_text)
def test_only_the_token_opens(text: str) -> None:
    assert token_given(request(headers={ADMIN_HEADER: text}), ADMIN_HEADER, "token") == (text == "token")
    assert not token_given(request(), ADMIN_HEADER, "token")


# --- answers --------------------------------------


def body_of(response: web.Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


def test_a_problem_goes_out_as_rfc_9457_has_it() -> None:
    response = problem_answer(Problem(422, "not valid", ["a: b"], {"Allow": "GET"}))
    assert (response.status, response.content_type) == (422, "application/problem+json")
    assert response.headers["Allow"] == "GET"
    assert body_of(response) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "not valid",
        "errors": ["a: b"],
    }
    assert "errors" not in body_of(problem_answer(Problem(404, "nothing here")))


def test_an_answer_is_json() -> None:
    response = answer({"é": [1]}, 202)
    assert (response.status, response.content_type, body_of(response)) == (
        202,
        "application/json",
        {"é": [1]},
    )
