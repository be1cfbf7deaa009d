"""How figures are written, and what is taken out of foreign texts."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.report.forms import change, clean, moment, ms, plural, rate, share, span, whole


@given(st.text())
def test_a_cleaned_text_is_one_line_without_control_characters(text: str) -> None:
    cleaned = clean(text)
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(c) for c in cleaned}
    assert len(cleaned.splitlines()) <= 1
    assert clean(cleaned) == cleaned


def test_an_escape_sequence_loses_what_makes_it_one() -> None:
    assert clean("\x1b[31mred\x9b0m\x07") == "[31mred0m"


def test_a_direction_override_is_taken_out_and_letters_stay() -> None:
    assert clean("\u202eabc\u2066 ärger 日本 👩\u200d🚀") == "abc ärger 日本 👩\u200d🚀"


def test_line_breaks_become_spaces() -> None:
    assert clean("a\nb\u2028c\td") == "a b c d"


@pytest.mark.parametrize("value", [None, "", math.nan, math.inf])
def test_a_figure_that_is_not_there_is_a_dash_and_not_0(value: object) -> None:
    assert {write(value) for write in (ms, whole, rate, share, change, span)} == {"–"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.00"), (8.214, "8.21"), (9.999, "10.0"), (89.16, "89.2"), (99.99, "100"), (1085.4, "1,085")],
)
def test_milliseconds_keep_three_digits(value: float, text: str) -> None:
    assert ms(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (0.00001, "< 0.01 %"), (0.0123, "1.23 %"), (0.25, "25.0 %"), (1, "100.0 %")],
)
def test_a_share_that_is_not_0_never_reads_as_0(value: float, text: str) -> None:
    assert share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "+0.0 %"), (0.0312, "+3.1 %"), (-0.1234, "-12 %"), (0.09996, "+10 %"), (12.5, "+1,250 %")],
)
def test_a_change_has_its_direction(value: float, text: str) -> None:
    assert change(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.84, "0.8s"), (42, "42s"), (120.4, "2m 00s"), (3840, "1h 04m 00s")]
)
def test_a_length_of_time_reads_in_hours_minutes_and_seconds(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_time_of_day_reads_in_utc_and_what_is_none_stays_as_it_is() -> None:
    assert moment("2026-11-23T20:15:00.123+00:00") == "2026-11-23 20:15:00 UTC"
    assert moment("2026-11-23T22:15:00+02:00") == "2026-11-23 20:15:00 UTC"
    assert moment("yesterday") == "yesterday"


def test_one_is_singular() -> None:
    assert (plural(1, "VU", "VUs"), plural(0, "VU", "VUs")) == ("1 VU", "0 VUs")
