"""Values from data in headers, paths and queries."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.guard.text import header_value_ok, path_segment, query_value


@pytest.mark.parametrize("value", ["", "plain", "a b\tc", "naïve", "ÿ", "a: b; c=d"])
def test_a_header_takes_latin_1(value: str) -> None:
    assert header_value_ok(value)


@pytest.mark.parametrize("value", ["a\r\nHost: b", "a\rb", "a\n", "\0", "é\n", "€", "日本", "\udc80"])
def test_a_header_takes_nothing_that_breaks_out_of_it(value: str) -> None:
    assert not header_value_ok(value)


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("abc123", "abc123"),
        ("a/b", "a%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("100%", "100%25"),
        ("a b", "a%20b"),
        ("é", "%C3%A9"),
        ("...", "..."),
        ("v1.2", "v1.2"),
        ("a\\b", "a%5Cb"),
    ],
)
def test_a_value_stays_in_its_segment(value: str, segment: str) -> None:
    assert path_segment(value) == segment


@pytest.mark.parametrize(
    "value", ["", ".", "..", "../x", "a/../b", "a\\..\\b", "a/.", "a\r", "a\nb", "\0", "\udc80"]
)
def test_a_value_that_would_change_the_path_is_refused(value: str) -> None:
    with pytest.raises(ValueError):
        path_segment(value)


def test_a_query_value_takes_anything() -> None:
    assert query_value("a&b=c d\r\n+") == "a%26b%3Dc%20d%0D%0A%2B"


@given(st.text())
def test_whatever_is_let_through_comes_out_the_same_and_harmless(value: str) -> None:
    assert unquote(query_value(value)) == value
    try:
        segment = path_segment(value)
    except ValueError:
        return
    assert unquote(segment) == value
    assert segment not in ("", ".", "..")
    assert set(segment).isdisjoint("/?#\\ \r\n\0")
    assert segment.isascii()
