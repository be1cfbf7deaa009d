"""Strict YAML 1.2: what is read as what, at which line, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.errors import SpecError
from ecoload.spec import yaml12


def read(text: str) -> Any:
    return yaml12.parse(text, "f").data


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(SpecError) as caught:
        yaml12.parse(text, "f")
    return [(problem.line, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2001-01-01", "2001-01-01"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("2m", "2m"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("=", "="),
        ("${A2_URL:-sandbox}", "${A2_URL:-sandbox}"),
    ],
)
def test_a_scalar_is_read_by_the_core_schema(text: str, value: object) -> None:
    found = read(f"k: {text}")["k"]
    assert found == value and type(found) is type(value)


def test_every_value_has_its_line() -> None:
    document = yaml12.parse("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n", "f")
    assert document.lines[("a",)] == 1
    assert document.lines[("b", 0)] == 3
    assert document.lines[("b", 1, "d")] == 5
    assert document.line(("b", 1, "nothing", "here")) == 4


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\na: 2", 2, "duplicate key 'a'; it stands first in line 1"),
        ("a: {b: 1,\n  b: 2}", 2, "duplicate key 'b'"),
        ("a: !!str 3", 1, "tag 'tag:yaml.org,2002:str' is not allowed"),
        ("a: !!python/object:os.system {}", 1, "is not allowed"),
        ("a: ! x", 1, "is not allowed"),
        ("a: &x {b: 1}\nc:\n  <<: *x", 3, "merge keys (<<) are not YAML 1.2"),
        ("1: x", 1, 'a key must be a string; write "1"'),
        ("true: x", 1, 'a key must be a string; write "true"'),
        ("? [a]\n: x", 1, "a key must be a string"),
        ("a: 9223372036854775808", 1, "does not fit 64 bits"),
        ("a: 0xFFFFFFFFFFFFFFFFF", 1, "does not fit 64 bits"),
        ("a: .inf", 1, ".inf is not a number here"),
        ("a: 1e999", 1, "1e999 is too large a number"),
        ("a: 1\n---\nb: 2", 2, "holds more than one document"),
        ("a: *x", 1, "alias *x has no anchor before it"),
        ("a: &x [*x]", 1, "alias *x contains itself"),
        ("a: [", 1, "is not YAML"),
        ("a: b: c", 1, "is not YAML"),
        ("a:\n\t- b", 2, "is not YAML"),
        ("a: " + "[" * 100, 1, "is nested too deep"),
        ("a: \x07", 0, "is not YAML"),
        ('a: "\\ud800"', 1, "half a surrogate pair"),
    ],
)
def test_what_is_refused_is_named_by_line(text: str, line: int, message: str) -> None:
    found = problems(text)
    assert len(found) == 1 and found[0][0] == line and message in found[0][1], found


def test_all_problems_come_at_once() -> None:
    assert [line for line, _ in problems("a: 1\na: 2\nb: !x 3\n4: 5\n")] == [2, 3, 4]


def test_aliases_are_copies() -> None:
    data = read("a: &x {b: [1]}\nc: *x\nd: [*x, &y 2, *y]")
    assert data == {"a": {"b": [1]}, "c": {"b": [1]}, "d": [{"b": [1]}, 2, 2]}
    assert data["a"] is not data["c"]


def test_a_small_file_cannot_unfold_into_a_huge_one() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "unfolds into too many values" in problems("\n".join(levels))[0][1]


def test_a_file_is_utf8_and_not_too_large(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(SpecError, match=r"f\.yaml:2: is not UTF-8"):
        yaml12.read(path)
    path.write_bytes(b"#" * (yaml12.MAX_BYTES + 1))
    with pytest.raises(SpecError, match="is larger than"):
        yaml12.read(path)
    path.write_text("\ufeffa: 1", encoding="utf-8")
    assert yaml12.read(path).data == {"a": 1}


TEXT = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co"], exclude_characters="\ufeff"), max_size=9
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_json_is_yaml(data: Any) -> None:
    assert read(json.dumps(data, ensure_ascii=False)) == data


@given(st.text(st.sampled_from("ab: -[]{}&*!?|>'\"\n#,<~1"), max_size=40))
def test_any_text_is_data_or_a_clear_no(text: str) -> None:
    try:
        yaml12.parse(text, "f")
    except SpecError as error:
        assert error.problems
