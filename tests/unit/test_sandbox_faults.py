"""The fault switches of the sandbox: what can be switched, what happens to a request, what leaks."""

from __future__ import annotations

import math
import random
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.common import behaviour
from ecoload.sandbox.common.behaviour import COMMON_FAULTS, MOST, Faults, Leak, parse_faults

SPECIAL = sorted({field.name for field in fields(Faults)} - COMMON_FAULTS)


def named(wrong: list[str]) -> list[str]:
    return [reason.partition(":")[0] for reason in wrong]


# --- the switches --------------------------------------


def test_faults_are_off_until_they_are_switched_on() -> None:
    assert set(vars_of(Faults()).values()) == {0.0}
    assert parse_faults({}, ()) == (Faults(), math.inf, [])


def vars_of(faults: Faults) -> dict[str, float]:
    return {field.name: getattr(faults, field.name) for field in fields(Faults)}


@pytest.mark.parametrize("name", sorted(COMMON_FAULTS))
def test_every_app_has_the_common_switches(name: str) -> None:
    faults, ttl_s, wrong = parse_faults({name: 0.5}, ())
    assert (wrong, ttl_s) == ([], math.inf)
    assert vars_of(faults) == vars_of(Faults()) | {name: 0.5}


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_switch_is_there_only_where_it_means_something(name: str) -> None:
    assert getattr(parse_faults({name: 0.5}, {name})[0], name) == 0.5
    assert named(parse_faults({name: 0.5}, ())[2]) == [name]
    assert named(parse_faults({name: 0.5}, set(SPECIAL) - {name})[2]) == [name]


def test_a_switch_that_does_not_exist_is_refused_and_those_that_do_are_told() -> None:
    faults, _, wrong = parse_faults({"lose_event": 1}, {"lose_events"})
    assert faults == Faults()
    assert len(wrong) == 1
    for name in (*COMMON_FAULTS, "lose_events", "ttl_s"):
        assert name in wrong[0]
    assert "crm_silent" not in wrong[0]


@pytest.mark.parametrize("name", [*sorted(COMMON_FAULTS), *SPECIAL, "ttl_s"])
def test_a_switch_goes_from_nothing_to_its_most(name: str) -> None:
    most = MOST.get(name, 1)
    for good in (most, most / 2):
        assert parse_faults({name: good}, SPECIAL)[2] == []
    nonsense: list[Any] = [None, True, False, "1", [1], {}, math.nan, math.inf, -0.001, most * 1.001]
    for bad in nonsense:
        assert set(named(parse_faults({name: bad}, SPECIAL)[2])) == {name}


@pytest.mark.parametrize("document", [None, [], [{}], "error_rate", 1, True])
def test_switches_are_an_object(document: Any) -> None:
    faults, ttl_s, wrong = parse_faults(document, SPECIAL)
    assert (faults, ttl_s, len(wrong)) == (Faults(), math.inf, 1)


def test_a_time_to_live_is_above_nothing() -> None:
    assert parse_faults({"error_rate": 1, "ttl_s": 0.5}, ())[1] == 0.5
    for nothing in (0, 0.0):
        faults, _, wrong = parse_faults({"error_rate": 1, "ttl_s": nothing}, ())
        assert (faults, named(wrong)) == (Faults(), ["ttl_s"])


def test_errors_and_resets_are_shares_of_the_same_requests() -> None:
    assert parse_faults({"error_rate": 0.5, "reset_rate": 0.5}, ())[2] == []
    assert parse_faults({"error_rate": 0.6, "reset_rate": 0.5}, ())[2] != []


def test_everything_wrong_is_said_at_once() -> None:
    assert len(parse_faults({"error_rate": 2, "reset_rate": "x", "typo": 1, "ttl_s": -1}, ())[2]) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*sorted(COMMON_FAULTS), *SPECIAL, "ttl_s"])


@given(json_values, st.dictionaries(names, json_values | st.floats(0, 1)), st.sets(st.sampled_from(SPECIAL)))
def test_whatever_comes_is_within_bounds_or_has_reasons(
    document: Any, switches: dict[str, Any], special: set[str]
) -> None:
    for candidate in (document, switches):
        faults, ttl_s, wrong = parse_faults(candidate, special)
        if not wrong:
            assert ttl_s > 0
            assert faults.error_rate + faults.reset_rate <= 1
            for name, value in vars_of(faults).items():
                assert 0 <= value <= MOST.get(name, 1)
                assert value == 0 or name in COMMON_FAULTS | special


# --- what happens to a request --------------------------------------


def test_a_request_is_reset_failed_or_left_alone_by_the_shares() -> None:
    generator = random.Random(1)
    assert {Faults().draw(generator) for _ in range(100)} == {None}
    assert {Faults(error_rate=1).draw(generator) for _ in range(100)} == {"error"}
    assert {Faults(reset_rate=1).draw(generator) for _ in range(100)} == {"reset"}
    drawn = [Faults(reset_rate=0.2, error_rate=0.3).draw(generator) for _ in range(10_000)]
    assert drawn.count("reset") == pytest.approx(2_000, rel=0.1)
    assert drawn.count("error") == pytest.approx(3_000, rel=0.1)


# --- the leak --------------------------------------


@pytest.fixture
def cap(monkeypatch: pytest.MonkeyPatch) -> int:
    """The most that a leak holds, small enough for a test."""
    monkeypatch.setattr(behaviour, "MAX_LEAK_MB", 8)
    return 8


def test_memory_grows_with_the_minutes_and_is_given_back(cap: int) -> None:
    leak, faults = Leak(), Faults(leak_memory_mb_per_min=2)
    held = []
    for minutes in (0.0, 0.4, 0.5, 1.0, 2.5):
        assert leak.grow(faults, minutes) == 0
        held.append(held_mb(leak))
    assert held == [0, 0, 1, 2, 5]
    leak.grow(Faults(), 3.0)
    assert held_mb(leak) == 0


def held_mb(leak: Leak) -> float:
    return sum(map(len, leak._blocks)) / 2**20


def test_memory_ends_at_the_cap(cap: int) -> None:
    leak = Leak()
    leak.grow(Faults(leak_memory_mb_per_min=1_000), 60 * 24.0)
    assert held_mb(leak) == cap


def test_every_page_of_it_is_really_there(cap: int) -> None:
    leak = Leak()
    leak.grow(Faults(leak_memory_mb_per_min=1), 1.0)
    assert leak._blocks[0] == bytearray(b"\1") * 2**20


def test_a_new_switch_starts_anew(cap: int) -> None:
    leak = Leak()
    leak.grow(Faults(leak_memory_mb_per_min=2), 2.0)
    leak.grow(Faults(leak_memory_mb_per_min=2), 0.0)
    assert held_mb(leak) == 0


def test_latency_grows_with_the_minutes() -> None:
    leak, faults = Leak(), Faults(leak_latency_ms_per_min=30)
    assert [leak.grow(faults, minutes) for minutes in (0.0, 0.5, 2.0)] == [0, 15, 60]
    assert leak.grow(Faults(), 2.0) == 0
