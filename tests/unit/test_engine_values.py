"""The `${…}` language at run time: what each name and each function gives, and where it must not go."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.engine.values import (
    FIRST_FREE,
    ITERATION,
    RECORD,
    VU,
    Scope,
    Unsafe,
    for_header,
    for_path,
    for_query,
    mix,
)
from ecoload.plan import Array, Call, Object, Ref, Text
from ecoload.spec.functions import as_text, json_bytes

UUID = Call("uuid")


def scope(seed: int = 1, run_id: str = "run-1") -> Scope:
    return Scope(
        seed=seed,
        run_id=run_id,
        protocol={"namespace": "perf_test"},
        env={"REGION": "north"},
        secrets={"KEY": "s3cret"},
    )


def values(vu: int = 1, iteration: int = 0, record: Any = None, *more: Any) -> list[Any]:
    made: list[Any] = [None] * FIRST_FREE
    made[VU], made[ITERATION], made[RECORD] = vu, iteration, record
    return [*made, *more]


def value_of(template: Any, at: list[Any] | None = None) -> Any:
    return scope().getter(template)(values() if at is None else at)


# --- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (("vu",), 7),
        (("iteration",), 3),
        (("data", "kind"), "click"),
        (("data", "user", "id"), 9),
        (("env", "REGION"), "north"),
        (("secret", "KEY"), "s3cret"),
        (("protocol", "namespace"), "perf_test"),
        (("run", "id"), "run-1"),
    ],
)
def test_a_name_gives_its_value_with_its_type(name: tuple[str, ...], value: Any) -> None:
    assert value_of(Ref(name), values(7, 3, {"kind": "click", "user": {"id": 9}})) == value


def test_a_let_or_a_capture_has_a_place_of_its_own() -> None:
    one = scope()
    first, then = one.slot("first"), one.slot("then")
    assert len({VU, ITERATION, RECORD, first, then}) == 5
    assert one.slot("first") == first
    assert one.size == FIRST_FREE + 2
    assert one.getter(Ref(("then",)))(values(1, 0, None, "a", "b")) == "b"


def test_what_is_the_same_in_every_request_is_constant_and_nothing_else_is() -> None:
    one = scope()
    constant = [
        "text", 1, None, True, Ref(("env", "REGION")), Ref(("secret", "KEY")),
        Text(("a", Ref(("run", "id")))), Call("base64url", (Ref(("secret", "KEY")),)),
        Object((("a", Array((1, "b"))),)),
    ]  # fmt: skip
    changing = [
        Ref(("vu",)), Ref(("iteration",)), Ref(("data", "x")), Ref(("captured",)), UUID, Call("now_ms"),
        Call("random_int", (1, 2)), Text(("a", Ref(("vu",)))), Call("base64url", (Ref(("vu",)),)),
        Object((("a", Array((1, Ref(("vu",)))),),)),
    ]  # fmt: skip
    assert [one.constant(template) for template in constant] == [True] * len(constant)
    assert [one.constant(template) for template in changing] == [False] * len(changing)


def test_objects_and_arrays_keep_their_order_and_the_types_in_them() -> None:
    template = Object((("b", Array((Ref(("vu",)), None, True))), ("a", Text(("n", Ref(("iteration",)))))))
    assert list(value_of(template, values(5, 2)).items()) == [("b", [5, None, True]), ("a", "n2")]


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (1, "1"), (1.5, "1.5"), (True, "true"), (False, "false"), (None, ""), (b"\x01\xff", "01ff"),
     ([1, "a"], '[1,"a"]'), ({"a": None}, '{"a":null}')],
)  # fmt: skip
def test_a_value_inside_a_longer_text(value: Any, text: str) -> None:
    assert as_text(value) == text
    at = values(1, 0, {"x": value})
    assert value_of(Text(("<", Ref(("data", "x")), ">")), at) == f"<{text}>"
    assert value_of(Text(("<", Ref(("data", "x")))), at) == f"<{text}"


# --- Functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "value"),
    [
        (Call("base64url", ("a?>",)), "YT8-"),
        (Call("base64url", ("a",)), "YQ"),
        (Call("hex", ("az",)), "617a"),
        (Call("lower", ("aB",)), "ab"),
        (Call("upper", ("aB",)), "AB"),
        (Call("urlencode", ("a b/ä",)), "a%20b%2F%C3%A4"),
        (Call("sha256", ("abc",)), hashlib.sha256(b"abc").digest()),
        (Call("hex", (Call("sha256", ("abc",)),)), hashlib.sha256(b"abc").hexdigest()),
        (Call("base64url", (Call("sha256", ("abc",)),)), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"),
        (Text(("#", Call("sha256", ("abc",)))), "#" + hashlib.sha256(b"abc").hexdigest()),
        # RFC 7636, appendix B: the challenge (S256) of a verifier.
        (
            Call("base64url", (Call("sha256", ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",)),)),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
    ],
)
def test_pure_functions(call: Any, value: Any) -> None:
    assert value_of(call) == value


def test_the_clocks_tell_the_time_of_day() -> None:
    assert isinstance(value_of(Call("now_ms")), int)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value_of(Call("now_iso")))


@given(st.integers(-(10**6), 10**6), st.integers(0, 1000), st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_random_int_lies_between_its_ends(least: int, width: int, vu: int, iteration: int) -> None:
    call = Call("random_int", (least, least + width))
    assert least <= value_of(call, values(vu, iteration)) <= least + width


def test_random_ints_reach_both_ends_and_every_number_between() -> None:
    get = scope().getter(Call("random_int", (1, 6)))
    assert {get(values(vu, n)) for vu in range(10) for n in range(20)} == {1, 2, 3, 4, 5, 6}


def test_random_strings_have_their_length_and_are_not_alike() -> None:
    get = scope().getter(Call("random_string", (12,)))
    found = [get(values(vu, n)) for vu in range(20) for n in range(20)]
    assert len(set(found)) == 400
    assert all(re.fullmatch("[a-z0-9]{12}", text) for text in found)


@pytest.mark.parametrize("call", [UUID, Call("random_int", (0, 1 << 60)), Call("random_string", (20,))])
def test_what_looks_random_follows_from_seed_run_vu_iteration_and_place(call: Call) -> None:
    def made(seed: int = 1, run_id: str = "run-1", place: int = 0, vu: int = 1, iteration: int = 0) -> Any:
        one = scope(seed, run_id)
        return [one.getter(call) for _ in range(place + 1)][place](values(vu, iteration))

    assert made() == made()
    others = [made(seed=2), made(run_id="run-2"), made(place=1), made(vu=2), made(iteration=1)]
    assert len({made(), *others}) == 6


@given(st.integers(0, 2**20 - 1), st.integers(0, 2**30 - 1), st.integers(1, 50))
def test_a_uuid_is_one_of_version_8(vu: int, iteration: int, place: int) -> None:
    one = scope()
    text = [one.getter(UUID) for _ in range(place)][-1](values(vu, iteration))
    parsed = uuid.UUID(text)
    assert (str(parsed), parsed.version, parsed.variant) == (text, 8, uuid.RFC_4122)


where = st.tuples(st.integers(0, 2**20 - 1), st.integers(0, 2**30 - 1), st.integers(0, 299))


@given(st.lists(where, min_size=2, max_size=30, unique=True))
def test_ids_are_never_made_twice(places: list[tuple[int, int, int]]) -> None:
    one = scope()
    getters = [one.getter(UUID) for _ in range(300)]
    assert len({getters[place](values(vu, n)) for vu, n, place in places}) == len(places)


def test_ids_of_neighbours_are_all_different() -> None:
    one = scope()
    getters = [one.getter(UUID) for _ in range(300)]
    at = [values(vu, n) for vu in (0, 1, 2) for n in (0, 1, 2, 3)]
    assert len({get(v) for get in getters for v in at}) == 300 * 12


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), unique=True, min_size=2, max_size=50))
def test_mixing_tells_places_apart(places: list[tuple[int, int]]) -> None:
    assert len({mix(1, *place) for place in places}) == len(places)
    assert all(0 <= mix(1, *place) < 2**64 for place in places)


# --- Into a request -------------------------------------------------------------------------------


@given(st.text().filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)))
def test_a_value_in_a_query_comes_back_as_it_was_whatever_it_is(text: str) -> None:
    encoded = for_query(text)
    assert encoded.isascii()
    assert not set(b" \r\n\0&=#?+") & set(encoded)
    assert parse_qsl(f"a={encoded.decode()}", keep_blank_values=True) == [("a", text)]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_value_in_a_path_stays_in_its_segment_or_is_refused(text: str) -> None:
    try:
        encoded = for_path(text)
    except Unsafe:
        assert not text or set(text) & set("\r\n\0") or {".", ".."} & set(re.split(r"[/\\]", text))
        return
    assert not set(b" \r\n\0/?#\\") & set(encoded)
    assert unquote(encoded.decode()) == text


@pytest.mark.parametrize("value", ["", None, ".", "..", "a/../b", "..\\a", "a\r\n", "a\0", "\n"])
def test_what_would_leave_its_segment_is_refused(value: Any) -> None:
    with pytest.raises(Unsafe):
        for_path(value)


@pytest.mark.parametrize("value", ["a\r", "a\nb", "\0", "a\r\nX-Evil: 1", "snow \u2603"])
def test_what_would_break_a_header_is_refused(value: str) -> None:
    with pytest.raises(Unsafe):
        for_header(value)


@pytest.mark.parametrize(("value", "sent"), [("a b", b"a b"), ("caf\xe9", b"caf\xe9"), (7, b"7"), ("", b"")])
def test_any_other_value_stands_in_a_header_as_it_is(value: Any, sent: bytes) -> None:
    assert for_header(value) == sent


@pytest.mark.parametrize(("value", "sent"), [(b"\x01", b'"01"'), ([b"\xff"], b'["ff"]'), ('"\n', rb'"\"\n"')])
def test_json_has_digests_as_hex_text(value: Any, sent: bytes) -> None:
    assert json_bytes(value) == sent
    assert orjson.loads(sent) is not None
