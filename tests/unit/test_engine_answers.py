"""Judging an answer: every operator in both directions, captures, and bodies that are not what they say."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.engine.answers import compile_judge, decode_body, find_json, header, needs_body
from ecoload.engine.values import FIRST_FREE, Scope
from ecoload.measure.outcome import Outcome
from ecoload.plan import Capture, Check, Expect, Ref
from tests.unit.support import Reply

MOST = 1000
OK, FAILED, NO_CAPTURE = Outcome.OK, Outcome.CHECK_FAILED, Outcome.CAPTURE_FAILED


ANY = Check()


def judged(
    answer: Reply, check: Check = ANY, *captures: Capture, x: Any = None
) -> tuple[int, dict[str, Any]]:
    """The outcome, and what was captured. `${x}` is `x`."""
    scope = Scope(seed=1, run_id="r", protocol={}, env={}, secrets={})
    place = scope.slot("x")
    judge = compile_judge(check, captures, scope, MOST)
    assert judge is not None
    values: list[Any] = [None] * (FIRST_FREE + 1 + len(captures))
    values[place] = x
    outcome = judge(answer, values)
    return outcome, {capture.name: values[scope.slot(capture.name)] for capture in captures}


def outcome_of(answer: Reply, check: Check, x: Any = None) -> int:
    return judged(answer, check, x=x)[0]


def json_reply(value: Any) -> Reply:
    return Reply(body=orjson.dumps(value))


# --- Operators ------------------------------------------------------------------------------------

OPERATORS = [
    ("eq", 5, 5, 6),
    ("eq", "a", "a", "b"),
    ("eq", "5", "5", 5),
    ("eq", True, True, 1),
    ("eq", 1, 1, True),
    ("eq", 0, 0, False),
    ("eq", None, None, 0),
    ("eq", 1, 1.0, 1.5),
    ("ne", 5, 6, 5),
    ("ne", True, 1, True),
    ("lt", 5, 4, 5),
    ("le", 5, 5, 6),
    ("gt", 5, 6, 5),
    ("ge", 5, 5, 4),
    ("lt", 5, 4, "4"),
    ("gt", 5, 6, None),
    ("contains", "ell", "hello", "help"),
    ("contains", "a", ["a", "b"], ["b"]),
    ("contains", "a", {"a": 1}, {"b": "a"}),
    ("contains", 5, [4, 5], [4]),
    ("contains", 5, "a5", "a6"),
    ("matches", "^h.*o$", "hello", "help"),
    ("matches", r"^\d+$", 512, "x"),
    ("length", 2, [1, 2], [1]),
    ("length", 2, "ab", "abc"),
    ("length", 1, {"a": 1}, {}),
    ("length", 2, "ab", 22),
    ("exists", True, None, ...),
    ("exists", True, 0, ...),
    ("exists", False, ..., None),
]


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "run-time"])
@pytest.mark.parametrize(("operator", "operand", "good", "bad"), OPERATORS)
def test_an_operator_tells_what_is_right_from_what_is_wrong(
    operator: str, operand: Any, good: Any, bad: Any, constant: bool
) -> None:
    check = Check(json=(("$.v", Expect(operator, operand if constant else Ref(("x",)))),))
    for value, outcome in ((good, OK), (bad, FAILED)):
        found = json_reply({} if value is ... else {"v": value})
        assert outcome_of(found, check, x=operand) == outcome


@pytest.mark.parametrize("path", ["$.rows[*].s", "$.rows[*]['s']"], ids=["direct", "by the library"])
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"s": "CA"}, {"s": "CA"}], OK),
        ([{"s": "CA"}, {"s": "TX"}], FAILED),
        ([{"s": "CA"}, {"s": None}], FAILED),
        ([], FAILED),
        (None, FAILED),
    ],
)
def test_each_holds_when_every_row_has_the_value_and_there_is_one(
    path: str, rows: Any, expected: int
) -> None:
    check = Check(json=((path, Expect("each", Ref(("x",)))),))
    assert outcome_of(json_reply({"rows": rows}), check, x="CA") == expected


def test_each_fails_for_a_row_without_the_member() -> None:
    check = Check(json=(("$.rows[*].s", Expect("each", "CA")),))
    assert outcome_of(json_reply({"rows": [{"s": "CA"}, {"t": "CA"}]}), check) == FAILED


@pytest.mark.parametrize("operator", ["eq", "ne", "lt", "le", "gt", "ge", "contains", "matches", "length"])
def test_what_is_not_there_meets_no_expectation_but_its_absence(operator: str) -> None:
    check = Check(json=(("$.v", Expect(operator, "1")),))
    assert outcome_of(json_reply({"w": 1}), check) == FAILED


# --- Where they look ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", {"a": [{"b-c": 7}, 2], "true": True}),
        ("$.a[1]", 2),
        ("$.a[0]['b-c']", 7),
        ("$.a[-1]", 2),
        ("$..['b-c']", 7),
        ("$.true", True),
        ("$.a[?@ == 2]", 2),
    ],
)
def test_json_paths(path: str, value: Any) -> None:
    document = {"a": [{"b-c": 7}, 2], "true": True}
    assert find_json(path)(document) == value


@pytest.mark.parametrize(
    "path", ["$.b", "$.a[2]", "$.a.b", "$.a[0].x", "$.true.x", "$.a[0][0]", "$['b']", "$..nowhere"]
)
def test_json_paths_that_lead_nowhere_find_nothing(path: str) -> None:
    with pytest.raises(LookupError):
        find_json(path)({"a": [{"b-c": 7}, 2], "true": True})


def test_a_null_is_found() -> None:
    assert find_json("$.a")({"a": None}) is None
    assert find_json("$..a")({"a": None}) is None


@pytest.mark.parametrize(
    ("path", "document"), [("$[0]", "text"), ("$[0]", {"0": 1}), ("$.a[0]", {"a": "text"})]
)
def test_an_index_is_for_arrays_and_a_name_for_objects(path: str, document: Any) -> None:
    with pytest.raises(LookupError):
        find_json(path)(document)


def test_headers_are_found_in_any_case_and_the_first_counts() -> None:
    answer = Reply(headers=((b"X-One", b"a"), (b"x-one", b"b"), (b"Caf", b"\xe9")))
    assert header(answer.headers, b"x-one") == b"a"
    assert header(answer.headers, b"x-two") is None
    assert outcome_of(answer, Check(headers=(("X-ONE", Expect("eq", "a")),))) == OK
    assert outcome_of(answer, Check(headers=(("X-ONE", Expect("eq", "b")),))) == FAILED
    assert outcome_of(answer, Check(headers=(("caf", Expect("eq", "\xe9")),))) == OK
    assert outcome_of(answer, Check(headers=(("x-two", Expect("exists", False)),))) == OK


@pytest.mark.parametrize(
    ("operator", "operand", "good", "bad"),
    [
        ("eq", 5, b"5", b"6"),
        ("ne", 5, b"five", b"5"),
        ("le", 100, b"100", b"101"),
        ("gt", 1.5, b"2", b"1.5"),
        ("gt", 1, b"2", b"many"),
        ("eq", True, b"true", b"1"),
        ("eq", "5", b"5", b"5.0"),
        ("lt", "b", b"a", b"b"),
        ("contains", 5, b"a5", b"a"),
        ("matches", "^5$", b"5", b"55"),
        ("length", 1, b"5", b"55"),
    ],
)
def test_a_header_is_text_and_read_as_what_it_is_compared_with(
    operator: str, operand: Any, good: bytes, bad: bytes
) -> None:
    check = Check(headers=(("X-A", Expect(operator, operand)),))
    assert outcome_of(Reply(headers=((b"x-a", good),)), check) == OK
    assert outcome_of(Reply(headers=((b"x-a", bad),)), check) == FAILED


def test_bodies_are_text_whatever_their_bytes() -> None:
    check = Check(body=(Expect("contains", "ja"), Expect("matches", "^.ja")))
    assert outcome_of(Reply(body=b"\xffja"), check) == OK
    assert outcome_of(Reply(body=b"\xffnein"), check) == FAILED


def test_the_duration_of_a_check_is_the_service_time() -> None:
    answer = Reply()
    answer.begin, answer.last = 1000, 1500
    assert outcome_of(answer, Check(duration_ns=500)) == OK
    assert outcome_of(answer, Check(duration_ns=499)) == FAILED


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"nan", b'{"a":1}x'])
def test_a_body_that_is_no_json_fails_a_check_of_json(body: bytes) -> None:
    assert outcome_of(Reply(body=body), Check(json=(("$.a", Expect("exists", False)),))) == FAILED


def test_every_part_of_a_check_must_hold() -> None:
    answer = Reply(headers=((b"a", b"1"),), body=b'{"b":2}')
    parts: dict[str, Any] = {
        "headers": (("a", Expect("eq", "1")),),
        "json": (("$.b", Expect("eq", 2)),),
        "body": (Expect("contains", "b"),),
        "duration_ns": 10,
    }
    wrong: dict[str, Any] = {
        "headers": (("a", Expect("eq", "2")),),
        "json": (("$.b", Expect("eq", 3)),),
        "body": (Expect("contains", "c"),),
        "duration_ns": -1,
    }
    assert outcome_of(answer, Check(**parts)) == OK
    for name, part in wrong.items():
        assert outcome_of(answer, Check(**{**parts, name: part})) == FAILED


def test_a_step_that_asks_for_nothing_has_no_judge() -> None:
    scope = Scope(seed=1, run_id="r", protocol={}, env={}, secrets={})
    assert compile_judge(Check(status=(200,)), (), scope, MOST) is None


# --- Captures -------------------------------------------------------------------------------------

SENT_BACK = b"https://app.test/callback?state=x%2Fy&code=a-_%7E9&iss=z"
ANSWER = Reply(201, ((b"Location", b"/e/7"), (b"X-Back", SENT_BACK)), b'{"id":7,"tags":["a"],"none":null}')


@pytest.mark.parametrize(
    ("capture", "value"),
    [
        (Capture("c", "json", "$.id"), 7),
        (Capture("c", "json", "$.tags"), ["a"]),
        (Capture("c", "json", "$.none"), None),
        (Capture("c", "header", "location"), "/e/7"),
        (Capture("c", "header", "location", r"\d"), "7"),
        (Capture("c", "header", "x-back", r"[?&]code=([^&]+)"), "a-_%7E9"),
        (Capture("c", "header", "x-back", r"(?:state|iss)=([^&]+)"), "x%2Fy"),
        (Capture("c", "regex", r'"id":(\d+)'), "7"),
        (Capture("c", "regex", r'"id":\d+'), '"id":7'),
        (Capture("c", "status"), 201),
    ],
)
def test_a_capture_takes_its_value_with_its_type(capture: Capture, value: Any) -> None:
    assert judged(ANSWER, Check(), capture) == (OK, {"c": value})


@pytest.mark.parametrize(
    "capture",
    [
        Capture("c", "json", "$.x"),
        Capture("c", "json", "$.tags[1]"),
        Capture("c", "header", "x"),
        Capture("c", "header", "x", ".*"),
        Capture("c", "header", "location", "code=(.+)"),
        Capture("c", "header", "location", "/e/7(/.*)?"),
        Capture("c", "regex", "nowhere"),
        Capture("c", "regex", r'"id":7(,"x")?'),
    ],
)
def test_what_is_not_there_cannot_be_captured(capture: Capture) -> None:
    assert judged(ANSWER, Check(), capture) == (NO_CAPTURE, {"c": None})


def test_where_a_check_fails_nothing_is_captured() -> None:
    check = Check(json=(("$.id", Expect("eq", 8)),))
    assert judged(ANSWER, check, Capture("c", "json", "$.id")) == (FAILED, {"c": None})


def test_a_body_that_is_no_json_has_nothing_to_capture() -> None:
    assert judged(Reply(body=b"<html>"), Check(), Capture("c", "json", "$.id"))[0] == NO_CAPTURE


def test_only_what_looks_into_the_body_needs_it() -> None:
    expect = Expect("exists", True)
    assert needs_body(Check(json=(("$", expect),)), ())
    assert needs_body(Check(body=(expect,)), ())
    assert needs_body(Check(), (Capture("c", "json", "$"),))
    assert needs_body(Check(), (Capture("c", "regex", "x"),))
    assert not needs_body(Check(headers=(("a", expect),), duration_ns=5), (Capture("c", "header", "x", "y"),))
    assert not needs_body(Check(), (Capture("c", "status"),))


# --- Coded bodies ---------------------------------------------------------------------------------

PLAIN = b'{"id":7}' + b" " * 200


def raw_deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


def coded(coding: bytes, body: bytes) -> Reply:
    return Reply(headers=((b"Content-Encoding", coding),), body=body)


CODED = [
    (b"gzip", gzip.compress(PLAIN, mtime=0)),
    (b"GZIP ", gzip.compress(PLAIN, mtime=0)),
    (b"x-gzip", gzip.compress(PLAIN, mtime=0)),
    (b"deflate", zlib.compress(PLAIN)),
    (b"deflate", raw_deflate(PLAIN)),
    (b"identity", PLAIN),
    (b"gzip", gzip.compress(PLAIN[:100], mtime=0) + gzip.compress(PLAIN[100:], mtime=0)),
]


@pytest.mark.parametrize(("coding", "body"), CODED)
def test_a_coded_body_is_read_as_what_it_is(coding: bytes, body: bytes) -> None:
    answer = coded(coding, body)
    assert decode_body(answer.headers, body, MOST) == PLAIN
    assert judged(answer, Check(), Capture("c", "json", "$.id")) == (OK, {"c": 7})


def test_a_body_without_a_coding_is_left_alone() -> None:
    assert decode_body((), b"\x1f\x8b", MOST) == b"\x1f\x8b"
    assert decode_body(((b"content-encoding", b"gzip"),), b"", MOST) == b""


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", b"not gzip at all"),
        (b"gzip", gzip.compress(PLAIN, mtime=0)[:-9]),
        (b"gzip", gzip.compress(PLAIN, mtime=0)[:-8] + b"\0" * 8),
        (b"deflate", zlib.compress(PLAIN)[:-5]),
        (b"gzip", gzip.compress(PLAIN, mtime=0) + b"rubbish"),
        (b"br", b"x"),
        (b"gzip, br", gzip.compress(PLAIN, mtime=0)),
    ],
    ids=["rubbish", "cut", "checksum", "deflate-cut", "behind", "unknown", "several"],
)
def test_a_coding_that_does_not_hold_is_a_decode_error(coding: bytes, body: bytes) -> None:
    assert decode_body(((b"content-encoding", coding),), body, MOST) is Outcome.DECODE
    assert judged(coded(coding, body), Check(), Capture("c", "json", "$.id")) == (Outcome.DECODE, {"c": None})


@pytest.mark.parametrize("code", [gzip.compress, zlib.compress, raw_deflate])
@pytest.mark.parametrize(("size", "fits"), [(MOST, True), (MOST + 1, False), (50_000_000, False)])
def test_a_body_may_unfold_to_the_cap_and_no_further(code: Any, size: int, fits: bool) -> None:
    found = decode_body(((b"content-encoding", b"deflate"),), code(b"\0" * size), MOST)
    assert found == (b"\0" * size if fits else Outcome.TOO_LARGE)


def test_a_bomb_of_many_members_is_stopped_too() -> None:
    bomb = gzip.compress(b"\0" * 600, mtime=0) * 1000
    assert decode_body(((b"content-encoding", b"gzip"),), bomb, MOST) is Outcome.TOO_LARGE


@given(st.binary(), st.sampled_from([b"gzip", b"deflate", b"x", b"identity"]))
def test_no_body_breaks_the_judge(body: bytes, coding: bytes) -> None:
    capture = Capture("c", "json", "$.a")
    assert judged(coded(coding, body), Check(), capture)[0] in (
        OK, NO_CAPTURE, Outcome.DECODE, Outcome.TOO_LARGE
    )  # fmt: skip
    assert judged(Reply(body=body), Check(body=(Expect("matches", "x"),)))[0] in (OK, FAILED)
