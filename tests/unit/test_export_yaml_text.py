"""Plain data as YAML: whoever reads it, reads the same data."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ecoload.export.yaml_text import WIDTH, yaml_text
from ecoload.spec.yaml12 import parse

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
WORDS = st.sampled_from(
    "no yes on off null ~ true NULL y 1 1.5 1e3 0o17 0x1F 010 1_000 12:30 2026-01-02 .inf .nan << = - ? : # "
    "a:b a: {a} [a] *a &a !a %a @a ${A_URL:-sandbox} $.a.b /v1/{id} 90s 1h30m a# -1 +1 | >".split()
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS | WORDS
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DATA = st.recursive(
    SCALARS | FLOATS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | WORDS, inner, max_size=4),
    max_leaves=25,
)


def kinds(value: Any) -> Any:
    """The data with the type of each part: 1, 1.0 and true are three things."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    return [kinds(item) for item in value] if isinstance(value, list) else (type(value), value)


@given(st.dictionaries(TEXTS | WORDS, DATA, min_size=1, max_size=5), st.integers(0, 4))
@example({"a": {"b": {"c": ["x" * 200, "y"], "d": {}}}}, 1)
@example({"a": [{"b": {"c": [[], [1, [2]]]}}]}, 4)
def test_what_is_written_is_read_back_by_our_strict_reader(data: dict[str, Any], levels: int) -> None:
    text = yaml_text(data, open_levels=levels)
    assert kinds(parse(text, "file").data) == kinds(data)


@given(st.dictionaries(TEXTS | WORDS, st.lists(SCALARS | FLOATS), min_size=1, max_size=5))
def test_readers_of_yaml_1_1_read_the_same(data: dict[str, Any]) -> None:
    assert kinds(yaml.safe_load(yaml_text(data))) == kinds(data)


@given(TEXTS)
def test_nothing_that_a_terminal_would_obey_stands_in_the_text(text: str) -> None:
    assert all(char.isprintable() for char in yaml_text({"key": text}).rstrip("\n"))


def test_what_fits_one_line_stands_in_one_and_what_does_not_is_opened() -> None:
    wide = {"key": "word " * 30}
    text = yaml_text({"top": {"small": {"in": {"a": 1}}, "wide": {"in": wide}}})
    assert "  small: {in: {a: 1}}\n" in text
    assert "  wide:\n    in:\n      key: " in text
    assert yaml_text({"a": {"b": {"c": 1}}}, open_levels=2) == "a:\n  b: {c: 1}\n"
    assert yaml_text({"a": {"b": {"c": [1]}}}, open_levels=2) == "a:\n  b:\n    c: [1]\n"


@pytest.mark.parametrize(("data", "line"), [({"a": "x" * 200}, 204), ({"a": ["x"] * 80}, WIDTH)])
def test_only_a_text_may_be_wider_than_a_line(data: dict[str, Any], line: int) -> None:
    assert max(map(len, yaml_text(data).splitlines())) <= line


def test_a_number_that_is_none_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        yaml_text({"a": float("nan")})
