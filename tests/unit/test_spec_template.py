"""The `${…}` language: what it reads, and how it says no."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.plan import Array, Call, Object, Ref, Text
from ecoload.spec.template import (
    FUNCTIONS,
    RESERVED,
    Scope,
    TemplateError,
    check,
    is_constant,
    parse,
    parse_text,
    references,
    resolve_environment,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("plain $5 {x}", "plain $5 {x}"),
        ("${event_id}", Ref(("event_id",))),
        ("${ data.kind }", Ref(("data", "kind"))),
        ("${uuid()}", Call("uuid")),
        ("a${vu}b", Text(("a", Ref(("vu",)), "b"))),
        ("${vu}${iteration}", Text((Ref(("vu",)), Ref(("iteration",))))),
        ("${base64url(sha256(data.x))}", Call("base64url", (Call("sha256", (Ref(("data", "x")),)),))),
        ("${random_int(-1, 5)}", Call("random_int", (-1, 5))),
        ("${upper('a b')}", Call("upper", ("a b",))),
        ("${true}", True),
        ("${null}", None),
        ("${3}", 3),
        ("${1.5}", 1.5),
        ("x${3}${true}", "x3true"),
        ("$${x}", "${x}"),
        ("$$${x}", "$${x}"),
        ("a$${b}${c}", Text(("a${b}", Ref(("c",))))),
    ],
)
def test_it_reads(text: str, value: object) -> None:
    parsed = parse(text)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${", "expected a name, a function or a literal, got ''"),
        ("${}", "expected a name, a function or a literal, got '}'"),
        ("${x", "expected '}' to end the ${…} at character 4"),
        ("${x y}", "expected '}' to end the ${…}, got 'y'"),
        ("${x.y}", "there is no attribute access"),
        ("${data.x.y}", "there is no attribute access"),
        ("${data}", "expected a member such as data.name"),
        ("${uuid}", "uuid is a function: write uuid()"),
        ("${uid()}", "unknown function 'uid'; did you mean 'uuid'?"),
        ("${exec('x')}", "unknown function 'exec'; expected one of: base64url"),
        ("${uuid(1)}", "expected uuid(), got 1 arguments"),
        ("${random_int(1)}", "expected random_int(a, b), got 1 arguments"),
        ("${random_int('a', 2)}", "takes whole numbers, got 'a'"),
        ("${random_int(5, 1)}", "takes the smaller number first, got 5 and 1"),
        ("${random_string(0)}", "takes 1 to 65536, got 0"),
        ("${lower('x}", "expected a closing '"),
        ("${1 + 2}", "expected '}' to end the ${…}, got '+'"),
        ("${" + "hex(" * 30, "nested too deep"),
        ("${1234567890123456789}", "a number has at most 18 digits"),
        ("${__import__}", ""),
    ],
)
def test_it_says_what_is_wrong(text: str, message: str) -> None:
    if not message:
        assert check(parse(text), Scope())  # a name like any other, and not in reach
        return
    with pytest.raises(TemplateError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_a_text_template_is_always_text() -> None:
    assert parse_text("${3}") == "3"
    assert parse_text("${true}") == "true"
    assert parse_text("${null}") == ""


SCOPE = Scope(names={"event_id"}, data={"kind"}, env={"TENANT"}, secrets={"TOKEN"})


@pytest.mark.parametrize(
    "text",
    [
        "${event_id}",
        "${data.kind}",
        "${env.TENANT}",
        "${secret.TOKEN}",
        "${run.id}",
        "${protocol.mode}",
        "${vu}",
        "$${x}",
    ],
)
def test_names_in_reach_are_fine(text: str) -> None:
    assert check(parse(text), SCOPE) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${event_i}", "unknown name 'event_i'; did you mean 'event_id'?"),
        ("${data.kin}", "not every record of the feeder has 'kin'; did you mean 'kind'?"),
        ("${env.TENAN}", "'env.TENAN' is not declared under the app's env: [NAMES]; did you mean 'TENANT'?"),
        ("${secret.TOKE}", "'secret.TOKE' is not declared under the app's secrets:; did you mean 'TOKEN'?"),
        ("${run.ID}", "unknown name 'run.ID'; did you mean 'run.id'?"),
        ("${protocol.namespce}", "unknown name 'protocol.namespce'; did you mean 'namespace'?"),
        ("a${hex(lower(nothing))}", "unknown name 'nothing'; expected one of: event_id, iteration, vu"),
    ],
)
def test_names_out_of_reach_are_named(text: str, message: str) -> None:
    assert check(parse(text), SCOPE) == [message]


def test_names_are_found_everywhere_in_a_value() -> None:
    value = Object((("a", Array((Ref(("x",)), 1))), ("b", Text(("-", Call("hex", (Ref(("y",)),)))))))
    assert [ref.name for ref in references(value)] == [("x",), ("y",)]
    assert not is_constant(value) and is_constant(Object((("a", Array((1, "x"))),)))


# --- properties -----------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in RESERVED)
LITERALS = st.one_of(
    st.integers(-(10**12), 10**12).map(lambda n: (str(n), n)),
    st.text(st.characters(exclude_characters="'", codec="utf-8"), max_size=8).map(lambda s: (f"'{s}'", s)),
    st.sampled_from([("true", True), ("false", False), ("null", None)]),
)
ANY_FUNCTION = st.sampled_from([name for name, kinds in FUNCTIONS.items() if kinds == ("any",)])
HOLES = st.recursive(
    st.one_of(
        NAMES.map(lambda n: (n, Ref((n,)))),
        st.tuples(st.sampled_from(["data", "env", "secret"]), NAMES).map(
            lambda p: (f"{p[0]}.{p[1]}", Ref(p))
        ),
        LITERALS,
    ),
    lambda inner: st.tuples(ANY_FUNCTION, inner).map(
        lambda p: (f"{p[0]}( {p[1][0]} )", Call(p[0], (p[1][1],)))
    ),
    max_leaves=4,
)


@given(HOLES)
def test_every_expression_is_read_as_it_was_meant(hole: tuple[str, object]) -> None:
    source, meant = hole
    assert parse(f"${{{source}}}") == meant
    if isinstance(meant, Ref | Call):
        assert parse(f"<${{{source}}}>") == Text(("<", meant, ">"))


@given(st.text(max_size=40))
def test_escaped_text_is_constant_and_itself(text: str) -> None:
    escaped = text.replace("${", "$${")
    assert parse(escaped) == text


@given(st.text(st.sampled_from("${}().,'\"ab_1 -"), max_size=30))
def test_any_text_is_a_template_or_a_clear_no(text: str) -> None:
    try:
        parse(text)
    except TemplateError as error:
        assert "at character" in str(error)


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "environ", "value"),
    [
        ("http://x", {}, "http://x"),
        ("${A:-sandbox}", {}, "sandbox"),
        ("${A:-sandbox}", {"A": ""}, "sandbox"),
        ("${A:-sandbox}", {"A": "http://x"}, "http://x"),
        ("http://${HOST}:${PORT:-80}/", {"HOST": "h"}, "http://h:80/"),
        ("${A:-}", {}, ""),
        ("${A}", {}, None),
    ],
)
def test_an_address_reads_the_environment(text: str, environ: dict[str, str], value: str | None) -> None:
    assert resolve_environment(text, environ) == value


@pytest.mark.parametrize("text", ["${A", "${a b}", "${uuid()}", "${A:-${B}}"])
def test_an_address_takes_nothing_else(text: str) -> None:
    with pytest.raises(TemplateError, match="expected"):
        resolve_environment(text, {})


def test_what_stands_in_the_environment_is_not_read_again() -> None:
    assert resolve_environment("${A}", {"A": "${B}", "B": "x"}) == "${B}"
