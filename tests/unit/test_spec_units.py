"""Durations, sizes, rates and conditions as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.plan import Condition
from ecoload.spec.conditions import parse_condition, parse_share
from ecoload.spec.units import MAX_DURATION_NS, format_duration, parse_duration, parse_rate, parse_size

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("90s", 90 * SECOND),
        ("2m", 120 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("250ms", 250_000_000),
        ("1.5s", 1_500_000_000),
        ("0.1s", 100_000_000),
        ("10us", 10_000),
        ("10µs", 10_000),
        ("1d", 86_400 * SECOND),
        ("0s", 0),
        ("1m30s500ms", 90_500_000_000),
    ],
)
def test_a_duration_is_read(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "value", ["", "5", 5, 1.5, "-5s", "5 s", "5S", "s", "30m1h", "1s1s", "5sec", None, True, [], "9999d"]
)
def test_anything_else_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_duration(value)


@given(st.integers(0, MAX_DURATION_NS))
def test_a_formatted_duration_reads_back(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_clear_no(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except ValueError as error:
        assert "expected" in str(error)


@pytest.mark.parametrize(
    ("value", "size"), [(1024, 1024), ("64KiB", 65_536), ("10MB", 10_000_000), ("1.5 KiB", 1536)]
)
def test_a_size_is_read(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", ["64", "64K", -1, 1.5, True, "x", None])
def test_anything_else_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(value)


@pytest.mark.parametrize(("value", "rate"), [(200, 200.0), (0.5, 0.5), ("200/s", 200.0), ("600/m", 10.0)])
def test_a_rate_is_read(value: object, rate: float) -> None:
    assert parse_rate(value) == rate


@pytest.mark.parametrize("value", [0, -1, True, "200", "200/d", None, float("nan")])
def test_anything_else_is_no_rate(value: object) -> None:
    with pytest.raises(ValueError, match="expected a rate"):
        parse_rate(value)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("p95 < 300ms", Condition("p95 < 300ms", "p95", "<", 300.0)),
        ("p95<0.3s", Condition("p95<0.3s", "p95", "<", 300.0)),
        ("error_rate > 1%", Condition("error_rate > 1%", "error_rate", ">", 0.01)),
        (
            "error_rate > 0.10 for 10s",
            Condition("error_rate > 0.10 for 10s", "error_rate", ">", 0.1, for_ns=10 * SECOND),
        ),
        (
            "ingest: mean >= 1s for 5s  after 1m",
            Condition(
                "ingest: mean >= 1s for 5s after 1m", "mean", ">=", 1000.0, "ingest", 5 * SECOND, 60 * SECOND
            ),
        ),
        ("rps < 90", Condition("rps < 90", "rps", "<", 90.0)),
        ("dropped_iterations == 0", Condition("dropped_iterations == 0", "dropped_iterations", "==", 0.0)),
    ],
)
def test_a_condition_is_read(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p95", "expected a condition such as"),
        ("p95 < 300", "expected a latency with its unit, such as 300ms"),
        ("p59 < 300ms", "unknown metric 'p59' in 'p59 < 300ms'; did you mean"),
        ("p95 => 300ms", "unknown operator '=>'"),
        ("p95 < fast", "expected a duration such as"),
        ("error_rate > 2", "expected a share such as 0.01 or 1%"),
        ("error_rate > 1ms", "expected a share such as 0.01 or 1%"),
        ("rps > 3ms", "expected a plain number for rps"),
        ("p95 < 1s for 5", "expected a duration such as"),
        ("p95 < 1s after 5s for 5s", "expected a condition such as"),
        ({"ingest": "p95 < 1s"}, "expected a condition in quotes"),
    ],
)
def test_anything_else_is_no_condition(text: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_condition(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "share"), [(0.01, 0.01), ("1%", 0.01), (0, 0.0), ("0.5 %", 0.005), ("100%", 1.0)]
)
def test_a_share_is_read(value: object, share: float) -> None:
    assert parse_share(value) == pytest.approx(share)


@pytest.mark.parametrize("value", [1.5, "150%", "1", -1, True, None, "%"])
def test_anything_else_is_no_share(value: object) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        parse_share(value)
