"""The `${…}` language, regular expressions and the layout of JavaScript: what they read like in a script.
What they give there is held against real k6 in the integration tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ecoload.export.k6 import layout
from ecoload.export.k6.js import Raw
from ecoload.export.k6.layout import Arr, Binary, Call, Index, Not, Obj, Template
from ecoload.export.k6.patterns import NotInJavaScript, javascript
from ecoload.export.k6.sameness import same_numbers, same_text, told_apart
from ecoload.export.k6.values import Hole, Names, Said
from ecoload.plan import Array, Object, ProtocolHeader, Ref, Text
from ecoload.spec.template import parse
from tests.unit.test_export_k6_steps import plan


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture
def names(problems: list[str]) -> Names:
    told = dataclasses.replace(plan(), protocol=ProtocolHeader(namespace="perf test"))
    names = Names(told, {"KEY": "SHOP_KEY", "PIN": "pin-file"}, problems.append)
    names.local["digest"] = Said(Raw("digest"), "bytes")
    names.local["id"] = Said(Raw("id"), "any")
    names.local["word"] = Said(Raw("word"), "text")
    return names


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("a `b` ${'$'}{c}\\\n", '"a `b` ${c}\\\\\\n"'),
        ("${protocol.namespace}/${upper('x')}", '"perf test/X"'),
        ("${base64url(sha256('x'))}", '"LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE"'),
        ("${1.0}", '"1.0"'),
        ("${true}", '"true"'),
        ("${null}", '""'),
        ("${data.x}", "text(data.x)"),
        ("a ${data.x} `\\${vu}", "`a ${text(data.x)} \\`\\\\${exec.vu.idInTest}`"),
        ("${iteration}", "`${exec.vu.iterationInScenario}`"),
        ("${run.id}", "run.id"),
        ("${secret.KEY}${env.REGION}", "`${__ENV.SHOP_KEY}${__ENV.REGION}`"),
        ("${secret.PIN}", '__ENV["pin-file"]'),
        ("${word}", "word"),
        ("${uuid()}", "crypto.randomUUID()"),
        ("${now_ms()}", "`${Date.now()}`"),
        ("${now_iso()}", "new Date().toISOString()"),
        ("${random_int(1, 6)}", "`${randomInt(1, 6)}`"),
        ("${random_string(8)}", "randomString(8)"),
        ("${lower(id)}", "lower(id)"),
        ("${upper(word)}", "upper(word)"),
        ("${lower(sha256(word))}", 'lower(sha256(word, "hex"))'),
        ("${urlencode(id)}", "urlencode(id)"),
        ("${sha256(id)}", 'sha256(text(id), "hex")'),
        ("${hex(sha256(word))}", 'sha256(word, "hex")'),
        ("${base64url(sha256(word))}", 'sha256(word, "base64rawurl")'),
        ("${sha256(sha256(word))}", 'sha256(sha256(word, "binary"), "hex")'),
        ("${base64url(id)}", 'encoding.b64encode(text(id), "rawurl")'),
        ("${base64url(digest)}", 'encoding.b64encode(digest, "rawurl")'),
        ("${digest}", "hexEncode(digest)"),
        ("${hex(word)}", "hexEncode(word)"),
    ],
)
def test_a_template_as_text(names: Names, written: str, text: str) -> None:
    template: Any = parse(written)
    assert layout.expression(names.text(template).node) == text


def test_a_whole_value_keeps_its_type(names: Names) -> None:
    value = Object(
        (("a", Ref(("data", "x"))), ("b", Array((1, None, Ref(("digest",))))), ("c", Ref(("vu",))))
    )
    node = names.value(value).node
    assert isinstance(node, Obj)
    flat = layout.expression(dataclasses.replace(node, flat=True))
    assert flat == "{ a: data.x, b: [1, null, hexEncode(digest)], c: exec.vu.idInTest }"


def test_a_let_that_every_iteration_has_is_a_constant(names: Names) -> None:
    names.known["limit"] = 1.0
    assert names.text(Text(("n=", Ref(("limit",))))).node == "n=1.0"


def test_values_are_encoded_and_looked_at_where_they_must_be(names: Names) -> None:
    hole = Ref(("data", "x"))
    assert names.in_path(Text(("/a/", hole, "/", parse("${uuid()}")))) == (  # type: ignore[arg-type]
        ["/a/", Raw("urlencode(data.x)"), "/", Raw("crypto.randomUUID()")],
        [Hole("fitsPath", Raw("data.x"))],
    )
    assert names.in_query(Text(("a b", Ref(("protocol", "namespace")), hole))) == [
        "a%20b", "perf%20test", Raw("urlencode(data.x)"),
    ]  # fmt: skip
    node, holes = names.in_header("X", Text(("Bearer ", Ref(("word",)), Ref(("run", "id")))))
    assert layout.expression(node) == "`Bearer ${word}${run.id}`"
    assert holes == [Hole("fitsHeader", Raw("word"))]
    assert names.read_as_text == {"x"}


def test_a_constant_that_no_path_can_hold_is_refused(names: Names, problems: list[str]) -> None:
    names.in_path(Text(("/a/", parse("${lower('..')}"))))  # type: ignore[arg-type]
    assert problems == ["a value must not stand in a path: '..' would climb in the path"]


def test_what_javascript_writes_as_python_does() -> None:
    assert told_apart({"a": [1.5, 1e-7, 0.00002, 12, "1.0", True, None]})
    assert not any(map(told_apart, (1.0, {"a": [0.0]}, {"1": 1}, 1e22)))
    assert all(map(same_text, (1, "1.0", 2.5, True, None, {"a": 1.5}, 2**53 - 1)))
    assert not any(map(same_text, (1.0, 2**53, [1.0], {"a": 2**60})))
    assert same_numbers({"a": [1.0, 2**53 - 1]})
    assert not same_numbers({"a": [2**53]})


# --- Regular expressions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (r'name="x" value="([^"]+)"', r'/name="x" value="([^"]+)"/u'),
        (r"^a.b$", r"/^a[^\n]b(?=\n?$)/u"),
        (r"\Aa/b\Z", r"/^a\/b$/u"),
        (r"(?P<first>a)(b|cd)*?", r"/(a)(?:b|cd)*?/u"),
        (r"(?a)\d{2,}[\w-]", r"/[0-9]{2,}[A-Za-z0-9_\-]/u"),
        ("", "/(?:)/u"),
        ("a\n\u2028😀\x00", r"/a\n\u2028😀\x00/u"),
    ],
)
def test_a_pattern_in_javascript(pattern: str, literal: str) -> None:
    assert javascript(pattern, capture=True) == literal


def test_only_a_capture_has_a_group() -> None:
    assert javascript("(a)(b)") == "/(?:a)(?:b)/u"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"\d", r"\d is a digit of any script in Python: write [0-9], or begin with (?a)"),
        (r"[\w]", r"\w is a letter of any script in Python: write [A-Za-z0-9_], or begin with (?a)"),
        (r"\bx", r"\b is between letters of any script in Python: begin with (?a), or do without"),
        (r"\Bx", r"\B finds other places in k6: do without"),
        (r"(?a)[\D1]", r"\D, \S and \W beside others in […] are not taken over: list the characters"),
        ("(?i)x", "flags such as (?i), (?m), (?s) and (?x) are not taken over: spell them out"),
        ("(?i:x)", "flags of a group are not taken over: spell them out"),
        (r"(a)\1", "a reference to a group is not to be had in k6"),
        (r"(a)?(?(1)b)", "a condition on a group is not to be had in k6"),
        ("a++", "a possessive repeat is not to be had in k6"),
        ("(?>a)", "an atomic group is not to be had in k6"),
        ("(a|b)+", "k6 keeps another round of a repeated group: put the repeat inside of the group"),
    ],
)
def test_a_pattern_that_k6_would_match_otherwise_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(NotInJavaScript) as error:
        javascript(pattern, capture=True)
    assert str(error.value) == reason


# --- Layout: each expected text is as prettier 3 leaves it ----------------------------------------


LONG = Raw("a" * 60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (layout.assignment("const", "x", Call("f", (Raw("a"), "b")), 0), 'const x = f(a, "b");'),
        (
            layout.assignment("const", "name", Call("call", (LONG, "some text here")), 2),
            f'  const name = call(\n    {LONG.text},\n    "some text here",\n  );',
        ),
        (
            layout.assignment("const", "name", Call("a" * 70, (Raw("b"),)), 2),
            f"  const name =\n    {'a' * 70}(b);",
        ),
        (
            layout.statement(Call("f", (Raw("a"), Obj((("b-c", 1), (None, Raw("d")), ("e", Raw("e")))))), 2),
            '  f(a, {\n    "b-c": 1,\n    ...d,\n    e,\n  });',
        ),
        (
            layout.statement(Call("f", (Call("g", (Obj((("a", 1),)),)), Obj((("b", 2),)))), 0),
            "f(\n  g({\n    a: 1,\n  }),\n  {\n    b: 2,\n  },\n);",
        ),
        (
            layout.statement(Call("f", (Obj((("key", "x" * 80), ("t", Template(("z",)))),),)), 0),
            f'f({{\n  key: "{"x" * 80}",\n  t: `z`,\n}});',
        ),
        (
            layout.statement(Call("f", (Obj((("longer", "x" * 80),)),)), 0),
            f'f({{\n  longer:\n    "{"x" * 80}",\n}});',
        ),
        (
            layout.condition(Binary("||", (Not(Call("f", (LONG,))), Not(Call("g", (Raw("b"),))))), 2),
            f"  if (\n    !f({LONG.text}) ||\n    !g(b)\n  ) {{",
        ),
        (layout.condition(Not(Call("f", (Raw("a"),))), 2), "  if (!f(a)) {"),
        (
            layout.assignment("", "x", Arr((Arr((1, 2)), Arr((3, 4)))), 0),
            "x = [\n  [1, 2],\n  [3, 4],\n];",
        ),
        (layout.expression(Index("a", "b'c")), 'a["b\'c"]'),
        (layout.expression(Obj((("__proto__", 1), ("12", 2), ("a", 1e-7)), flat=True)),
         '{ ["__proto__"]: 1, ["12"]: 2, a: 1e-7 }'),
    ],
)  # fmt: skip
def test_code_is_laid_out_as_prettier_leaves_it(text: str, expected: str) -> None:
    assert text == expected
