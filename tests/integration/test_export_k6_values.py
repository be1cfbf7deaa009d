"""Expressions of exported scripts give in real k6 what the engine gives: values, texts, checks, patterns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecoload.engine.answers import compile_judge
from ecoload.engine.values import RECORD, Scope, Unsafe, for_path, for_query
from ecoload.export.k6 import layout
from ecoload.export.k6.checks import judged
from ecoload.export.k6.layout import Call
from ecoload.export.k6.patterns import javascript
from ecoload.export.k6.values import Names
from ecoload.measure.outcome import Outcome
from ecoload.plan import Array, Check, Expect, Object, Plan, ProtocolHeader, Ref, Step, Text
from ecoload.spec.functions import as_text
from ecoload.spec.template import parse
from tests.integration.driving import gets, plan_of
from tests.integration.k6_lab import Case, evaluate

PLAN = replace(plan_of("http://127.0.0.1:1", gets(["/"])), protocol=ProtocolHeader(namespace="näme space"))
DATA = Ref(("data", "x"))
OPERAND = Ref(("data", "wanted"))


@pytest.fixture
def k6(tool: Callable[[str], Path]) -> Path:
    return tool("k6")


def fail(reason: str) -> None:
    raise AssertionError(reason)


def names(plan: Plan = PLAN) -> Names:
    return Names(plan, {}, fail)


def scope() -> Scope:
    return Scope(seed=1, run_id="r", protocol={"namespace": "näme space"}, env={}, secrets={})


def record(value: Any, wanted: Any = None) -> list[Any]:
    values: list[Any] = [1, 0, {"x": value, "wanted": wanted}]
    assert RECORD == 2
    return values


# --- Values ---------------------------------------------------------------------------------------

TEXTS = [
    "", "a", "plain-_.~", "a b+c&d=e%/?#[]@!$&'()*+,;:", "é ß ẞ İ ŉ ﬁ ΑΣ", "日本語", "😀👩‍👩‍👧",
    "\u2028\u2029\u0085\ufeff", "'\"`${x}\\", "<a>&amp;</a>", "a\nb\r\tc\x00\x01\x7f", ".", "..",
    "a/../b", "..;x", "\\..\\", "...", "a;..", ";..", "é\r", "x" * 300, "1.0", "null", "ǅǆ ΐ ᾳ ῼ",
]  # fmt: skip
OTHERS = [
    0, 1, -1, 42, 2**53 - 1, -(2**53 - 1), 0.1, -2.5, 1.5e-5, 0.00012, 9.5e-7, 1e-10, 123456.789,
    1e15 + 0.5, True, False, None, [], {}, [1, "a", None, True, [2.5]], {"b": 1, "a": {"ü": "\u2028"}},
]  # fmt: skip
EXPRESSIONS = [
    "${data.x}", "a ${data.x} b", "${data.x}${data.x}", "${urlencode(data.x)}", "${lower(data.x)}",
    "${upper(data.x)}", "${base64url(data.x)}", "${hex(data.x)}", "${sha256(data.x)}",
    "${base64url(sha256(data.x))}", "${hex(sha256(data.x))}", "${sha256(sha256(data.x))}",
    "${base64url(sha256(sha256(data.x)))}", "${upper(hex(sha256(data.x)))}",
    "${urlencode(urlencode(data.x))}", "`\\${upper(data.x)}$${x}", "${protocol.namespace} ${data.x}",
    "${hex(lower(base64url(data.x)))}", "${urlencode(sha256(data.x))}",
]  # fmt: skip


def arrow(parameters: str, node: layout.Node) -> str:
    return f"({parameters}) => {layout.expression(node)}"


def test_every_text_is_what_the_engine_would_send(k6: Path, tmp_path: Path) -> None:
    inputs = [*TEXTS, *OTHERS]
    known, engine = names(), scope()
    cases, wanted = [], []
    for expression in EXPRESSIONS:
        template: Any = parse(expression)
        cases.append(Case(arrow("data", known.text(template).node), [{"x": value} for value in inputs]))
        get = engine.getter(template)
        wanted.append([as_text(get(record(value))) for value in inputs])
    parts, holes = known.in_path(Text(("/a/", DATA)))
    fits = " && ".join(layout.expression(Call(hole.check, (hole.node,))) for hole in holes)
    cases.append(Case(f"(data) => {fits} ? {layout.template(parts)} : null", [{"x": x} for x in inputs]))
    wanted.append([path_of(value) for value in inputs])
    cases.append(Case(f"(data) => {layout.template(known.in_query(DATA))}", [{"x": x} for x in inputs]))
    wanted.append([for_query(value).decode() for value in inputs])
    cases.append(Case("(data) => form({ ['a b']: data.x, b: '1' })", [{"x": x} for x in inputs]))
    wanted.append([f"a%20b={for_query(value).decode()}&b=1" for value in inputs])
    cases.append(Case("(data) => fitsHeader(data.x)", [{"x": x} for x in inputs]))
    wanted.append([re.fullmatch(r"[\t\x20-\x7e]*", as_text(value)) is not None for value in inputs])
    needs = frozenset({*known.needs, "fitsPath", "fitsHeader", "form"})
    found = evaluate(k6, tmp_path, [Case(c.function, c.inputs, needs) for c in cases])
    for case, got, expected in zip(cases, found, wanted, strict=True):
        assert got == expected, case.function


def path_of(value: Any) -> str | None:
    try:
        return "/a/" + for_path(value).decode()
    except Unsafe:
        return None


def test_letters_have_the_same_cases_in_both(k6: Path, tmp_path: Path) -> None:
    """Every letter that both know: k6's Unicode is not Python's."""
    letters = [
        chr(code) for code in range(0x20, 0x1F000) if chr(code).isalpha() and not 0x3000 < code < 0xA000
    ]
    known = names()
    lower, upper = (known.text(parse(f"${{{name}(data.x)}}")).node for name in ("lower", "upper"))
    needs = frozenset(known.needs)
    found = evaluate(
        k6,
        tmp_path,
        [Case(arrow("data", node), [{"x": one} for one in letters], needs) for node in (lower, upper)],
    )
    differing = [
        (letter, low, up)
        for letter, low, up in zip(letters, *found, strict=True)
        if (low, up) != (letter.lower(), letter.upper())
    ]
    assert differing == []


# --- Checks ---------------------------------------------------------------------------------------

MISSING = object()
FOUND: list[Any] = [
    MISSING, None, True, False, 0, 1, -1, 2, 1.5, "", "1", "a", "abc", "true", "😀", "😀\uffff", "\uffff",
    "null", [], [1], [True], [1, 2], ["a"], [[1]], {}, {"a": 1}, {"a": True}, {"1": 2},
    {"b": {"c": [1]}}, [{"a": 1}],
]  # fmt: skip
CONSTANTS: list[Any] = [None, True, False, 0, 1, 1.0, 2, 1.5, "", "1", "a", "true"]
OPERANDS: list[Any] = [*CONSTANTS, [1], [True], {"a": 1}, {}]
HEADERS = ["", "1", "01", "1.5", "true", "null", "abc", '"a"', "[1]", " 1 ", "1e2", MISSING]


def plain(value: Any) -> Any:
    """A constant as it stands in a plan."""
    if isinstance(value, dict):
        return Object(tuple((key, plain(item)) for key, item in value.items()))
    return Array(tuple(map(plain, value))) if isinstance(value, list) else value


def judge(check: Check, answer: Any, wanted: Any) -> bool:
    """What the engine says of an answer."""
    decide = compile_judge(check, (), scope(), 1 << 20)
    assert decide is not None
    return decide(answer, record(None, wanted)) == Outcome.OK


def told(check: Check, known: Names) -> str:
    """What a script says of it: a function of the answer, its JSON and the record."""
    step = Step(0, 0, "GET", "/", check=check)
    found = judged(step, known, frozenset(), {})
    tests = " && ".join(f"Boolean({layout.expression(holds)})" for _, holds in found.checks[1:])
    body = "const body = json(answer); " if found.reads_json else ""
    return f"({{ answer, data }}) => {{ {body}return {tests}; }}"


def answer_of(found: Any, header: Any = MISSING) -> tuple[Any, dict[str, Any]]:
    """The same answer for the engine and for a script."""
    body = json.dumps({} if found is MISSING else {"v": found}, ensure_ascii=False)
    pairs = () if header is MISSING else ((b"x-it", header.encode()),)
    ours = SimpleNamespace(status=200, body=body.encode(), begin=0, last=0, headers=pairs, is_coded=False)
    theirs = {"status": 200, "body": body, "headers": {} if header is MISSING else {"X-It": header}}
    return ours, theirs


def compared(k6: Path, folder: Path, rows: list[tuple[Check, Any, list[tuple[Any, dict[str, Any]]]]]) -> None:
    """Checks, the value they compare with, and answers: both must say the same."""
    known = names()
    cases = [
        Case(told(check, known), [{"answer": theirs, "data": {"wanted": wanted}} for _, theirs in answers])
        for check, wanted, answers in rows
    ]
    needs = frozenset({*known.needs, "json"})
    found = evaluate(k6, folder, [Case(case.function, case.inputs, needs) for case in cases])
    for (check, wanted, answers), case, got in zip(rows, cases, found, strict=True):
        for (ours, theirs), said in zip(answers, got, strict=True):
            assert said == judge(check, ours, wanted), (case.function, theirs, wanted)


def test_every_operator_judges_as_the_engine_does(k6: Path, tmp_path: Path) -> None:
    answers = [answer_of(found) for found in FOUND]
    rows: list[Any] = []
    for operator in ("eq", "ne", "contains", "each"):
        operands = [one for one in OPERANDS if allowed(operator, one)]
        rows += [(json_check(operator, plain(one)), None, answers) for one in operands]
        rows += [(json_check(operator, OPERAND), one, answers) for one in operands]
    for operator in ("lt", "le", "gt", "ge"):
        rows += [(json_check(operator, one), None, answers) for one in (0, 1, 1.5, -1)]
        rows += [(json_check(operator, OPERAND), one, answers) for one in [*OPERANDS, "😀", "\uffff"]]
    rows += [(json_check("length", one), None, answers) for one in (0, 1, 2)]
    rows += [(json_check("length", OPERAND), one, answers) for one in (0, 1, 2, "1", True, None)]
    rows += [(json_check("exists", one), None, answers) for one in (True, False)]
    rows += [(json_check("matches", one), None, answers) for one in ("^$", "a", "[0-9]", "true", r"\[1")]
    headers = [answer_of(1, header) for header in HEADERS]
    for operator in ("eq", "ne", "lt", "le", "gt", "ge", "contains"):
        operands = [one for one in OPERANDS if allowed(operator, one)]
        operands = [1, 1.5, 100] if operator in ("lt", "le", "gt", "ge") else operands
        rows += [
            (Check(headers=(("x-IT", Expect(operator, plain(one))),)), None, headers) for one in operands
        ]
        rows += [(Check(headers=(("x-IT", Expect(operator, OPERAND)),)), one, headers)
                 for one in CONSTANTS if allowed(operator, one)]  # fmt: skip
    rows += [(Check(headers=(("X-It", Expect("length", one)),)), None, headers) for one in (0, 1, 3)]
    rows += [(Check(headers=(("X-It", Expect("exists", one)),)), None, headers) for one in (True, False)]
    rows += [(Check(headers=(("X-It", Expect("matches", one)),)), None, headers) for one in ("^1", "b")]
    rows += [
        (Check(body=(Expect(op, one),)), None, answers)
        for op, one in (("contains", "1"), ("matches", "v.*a"))
    ]
    compared(k6, tmp_path, rows)


def allowed(operator: str, operand: Any) -> bool:
    """A list is no key, and the engine's `contains` raises for one; 1.0 as a text is refused."""
    return operator != "contains" or not isinstance(operand, list | dict | float)


def header_check(operator: str, operand: Any) -> Check:
    return Check(headers=(("x-IT", Expect(operator, operand)),))


def json_check(operator: str, operand: Any) -> Check:
    return Check(json=(("$.v", Expect(operator, operand)),))


DOCUMENTS = [
    {}, [], "text", 7, None, [1, 2], {"a": {"b": [5, {"c": 5}]}}, {"a": [{"b": 5}, {"b": 5}]},
    {"a": [{"b": 5}, {}]}, {"a": []}, {"a": {"0": 5}}, {"length": 5}, "length", {"constructor": 5},
    {"a": {"length": 1}}, {"a": "xyz"}, {"a b": 5, "é": 5}, {"__proto__": 5}, {"a": [[5]]},
    {"rows": [5, 5]}, [{"b": 5}], {"keys": 5}, {"a": {"b": 5}},
]  # fmt: skip
PATHS = [
    "$", "$.a", "$.a.b", "$.a.b[0]", "$.a.b[1].c", "$[0]", "$[1]", "$.a[0]", "$.length", "$.a.length",
    "$.constructor", "$.toString", "$['a b']", '$["a b"]', "$.é", "$.__proto__", "$['__proto__']",
    "$.a[0][0]", "$.keys", "$.a.keys",
]  # fmt: skip
STARRED = ["$.a[*].b", "$.rows[*]", "$[*].b", "$.a[*][0]", "$.a[*].b", "$.a.b"]


def test_json_paths_find_what_the_engine_finds(k6: Path, tmp_path: Path) -> None:
    bodies = [json.dumps(one).encode() for one in DOCUMENTS] + [b"", b"{", b"nul", b"1 2", b" 5 "]
    answers = []
    for body in bodies:
        ours = SimpleNamespace(status=200, body=body, begin=0, last=0, headers=(), is_coded=False)
        answers.append((ours, {"status": 200, "body": body.decode(), "headers": {}}))
    expects = (Expect("eq", 5), Expect("ne", 5), Expect("exists", True), Expect("exists", False))
    rows = [(Check(json=((path, expect),)), None, answers) for path in PATHS for expect in expects]
    rows += [(Check(json=((path, Expect("each", 5)),)), None, answers) for path in STARRED]
    compared(k6, tmp_path, rows)


PATTERNS = [
    "a", "a.c", "^a$", "a$", r"\Aa\Z", r"a\Z", r"[^a]", r"a|b|", r"(a)(b)?", r"(?:x(a)|b)", r"a*?b",
    "a{2}", "a{2,}?", "a{1,3}b", r"\s", r"\S+", r"[\s,]+x", r"[^\s]", r"/\*`\$\{\}", r"[/\]\[^\-a]",
    "é+", "😀", "[😀é]", r"\u2028", r"\.", r"(?=a)a", r"(?!a)[a-z]", r"(?<=a)b", r"(?<!a)b",
    r"(?P<name>a)b", r'name="x" value="([^"]+)"', r"[?&]code=([^&]+)", r"(?a)\d+", r"(?a)\w+\b",
    r"(?a)[\d_]+", r"(?a)\W", r"(?a)\s", "", "(a|ab)(c|bcd)", "((a)b)", r"\x41\t", "[]a]", r"[a\-z]",
    r"x{0}y", r"(?:)", r"\\", "a+$", r"(\s*)$", "[.]", r"(?a)\bab\b", r"[\n\r]", "-", r"\]", "[)(]",
]  # fmt: skip
SUBJECTS = [
    "", "a", "b", "ab", "abc", "abcd", "aab", "aaab", "xa", "a\n", "a\n\n", "\na", "a\r", "a\u2028",
    "a\x85b", "\u3000,x", "/*`${}", "]", "[", "^", "-", "é", "éé😀", "😀", "\u2028", ".",
    'name="x" value="y z"', "/cb?code=1&code=2", "é12", "12_é", "١٢", "A\t", "y", "\\", "\ufeff",
    "\x1c", "a c", "a\nc", "()",
]  # fmt: skip


def test_regular_expressions_find_what_python_finds(k6: Path, tmp_path: Path) -> None:
    cases = [
        Case(f"(text) => match(text, {javascript(pattern, capture=True)})", SUBJECTS, frozenset({"match"}))
        for pattern in PATTERNS
    ]
    for pattern, case, found in zip(PATTERNS, cases, evaluate(k6, tmp_path, cases), strict=True):
        for subject, got in zip(SUBJECTS, found, strict=True):
            match = re.search(pattern, subject)
            wanted = match and match.group(1 if match.re.groups else 0)
            assert got == wanted, (pattern, case.function, subject)


def test_a_number_is_captured_only_where_javascript_spells_it_as_the_answer_does(
    k6: Path, tmp_path: Path
) -> None:
    bodies = [
        "7",
        "-7",
        "7.5",
        "7.0",
        "7e0",
        "9007199254740993",
        '{"a": "7.0", "v": 7}',
        '"7.0"',
        "null",
        "0.00001",
    ]
    inputs = [{"body": body if body.startswith("{") else f'{{"v": {body}}}'} for body in bodies]
    case = Case("(answer) => captured(answer, json(answer)?.v)", inputs, frozenset({"captured", "json"}))
    (found,) = evaluate(k6, tmp_path, [case])
    assert found == [7, -7, 7.5, None, None, None, 7, "7.0", None, 0.00001]
