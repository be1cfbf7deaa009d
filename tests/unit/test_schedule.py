"""Schedules: what is due when, for every executor; no clock, no network."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from itertools import islice, pairwise
from math import ceil, floor, isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.engine.schedule import (
    ClosedSchedule,
    IterationSchedule,
    OpenSchedule,
    first_start_ns,
    make_schedule,
    schedule_of,
    timetable,
)
from ecoload.plan import (
    Arrivals,
    ConstantArrivalRate,
    ConstantVUs,
    Executor,
    Load,
    PerVUIterations,
    Plan,
    ProtocolHeader,
    RampingArrivalRate,
    RampingVUs,
    SharedIterations,
    Stage,
)

MS = 1_000_000
S = 1_000 * MS
MINUTE = 60 * S


def vus(start: int, *stages: tuple[int, float]) -> ClosedSchedule:
    schedule = make_schedule(RampingVUs(start, tuple(Stage(d, t) for d, t in stages)), 1)
    assert isinstance(schedule, ClosedSchedule)
    return schedule


def in_seconds(schedule: ClosedSchedule) -> list[tuple[float, int]]:
    return [(offset / S, number) for offset, number in schedule.steps]


def constant(rate: float, duration: int, unit: int = S, **more: object) -> OpenSchedule:
    schedule = make_schedule(ConstantArrivalRate(rate, duration, 1, 1, unit, **more), 7)  # type: ignore[arg-type]
    assert isinstance(schedule, OpenSchedule)
    return schedule


def ramping(start: float, *stages: tuple[int, float], seed: int = 7, **more: object) -> OpenSchedule:
    executor = RampingArrivalRate(start, tuple(Stage(d, t) for d, t in stages), 1, 1, **more)  # type: ignore[arg-type]
    schedule = make_schedule(executor, seed)
    assert isinstance(schedule, OpenSchedule)
    return schedule


def plan(*loads: Load, seed: int = 1) -> Plan:
    return Plan("1", ProtocolHeader(), "a2", "p", seed, 1.0, (), (), (), loads)


def load(executor: Executor, name: str = "a2", start: int = 0) -> Load:
    return Load(name, 0, "word", executor, start)


# --- Closed model ---------------------------------------------------------------------------------


def test_constant_vus_all_start_at_once_and_stay_to_the_end() -> None:
    schedule = make_schedule(ConstantVUs(20, 15 * MINUTE), 1, graceful_stop_ns=3 * S)
    assert schedule == ClosedSchedule(((0, 20),), 15 * MINUTE, 0, 3 * S)


def test_ramping_vus_follow_the_documented_example_of_k6() -> None:
    schedule = vus(
        4, (2 * S, 6), (5 * S, 1), (4 * S, 5), (4 * S, 1), (3 * S, 4), (2 * S, 4), (0, 1), (3 * S, 1), (0, 0)
    )
    assert in_seconds(schedule) == [
        (0, 4), (1, 5), (2, 6), (3, 5), (4, 4), (5, 3), (6, 2), (7, 1), (8, 2), (9, 3), (10, 4), (11, 5),
        (12, 4), (13, 3), (14, 2), (15, 1), (16, 2), (17, 3), (18, 4), (20, 1), (23, 0),
    ]  # fmt: skip
    assert schedule.end_ns == 23 * S


def test_the_ramp_from_10_to_60_starts_each_vu_when_the_line_reaches_it() -> None:
    schedule = vus(10, (20 * MINUTE, 60))
    assert schedule.steps == tuple((24 * S * k, 10 + k) for k in range(51))
    assert schedule.end_ns == 20 * MINUTE


def test_the_spike_goes_up_stays_and_comes_down() -> None:
    schedule = vus(5, (2 * MINUTE, 5), (MINUTE, 100), (4 * MINUTE, 100), (MINUTE, 5), (2 * MINUTE, 5))
    at = dict(schedule.steps)
    assert schedule.steps[0] == (0, 5)
    assert at[3 * MINUTE] == 100
    assert schedule.steps[-1] == (8 * MINUTE, 5)
    assert max(number for _, number in schedule.steps) == 100
    assert not any(3 * MINUTE < offset <= 7 * MINUTE for offset in at)
    assert schedule.end_ns == 10 * MINUTE


def test_a_ramp_down_lets_the_last_vu_go_only_when_the_line_is_at_the_end() -> None:
    assert in_seconds(vus(3, (3 * S, 0))) == [(0, 3), (1, 2), (2, 1), (3, 0)]


def test_a_stage_of_no_length_jumps() -> None:
    assert in_seconds(vus(2, (5 * S, 2), (0, 9), (5 * S, 9), (0, 1), (5 * S, 1))) == [(0, 2), (5, 9), (10, 1)]


def test_only_the_last_of_several_changes_at_one_instant_counts() -> None:
    assert in_seconds(vus(1, (0, 50), (0, 7), (S, 7))) == [(0, 7)]
    assert in_seconds(vus(1, (S, 1), (0, 50), (0, 1), (S, 1))) == [(0, 1)]
    assert len({offset for offset, _ in vus(0, (3, 1000)).steps}) == 4


def test_a_ramping_schedule_carries_its_graces() -> None:
    executor = RampingVUs(1, (Stage(S, 2),), graceful_ramp_down_ns=4 * S)
    schedule = make_schedule(executor, 1, graceful_stop_ns=9 * S)
    assert isinstance(schedule, ClosedSchedule)
    assert (schedule.end_ns, schedule.graceful_ramp_down_ns, schedule.graceful_stop_ns) == (S, 4 * S, 9 * S)


stages_of_vus = st.lists(st.tuples(st.sampled_from([0, 1, 999, S, 7 * S]), st.integers(0, 40)), max_size=6)


@given(st.integers(0, 40), stages_of_vus)
def test_vus_are_the_line_rounded_as_k6_rounds_it(start: int, stages: list[tuple[int, int]]) -> None:
    schedule = vus(start, *stages)
    offsets = [offset for offset, _ in schedule.steps]
    assert offsets[0] == 0
    assert all(before < after for before, after in pairwise(offsets))
    assert all(before != after for (_, before), (_, after) in pairwise(schedule.steps))
    assert max(n for _, n in schedule.steps) <= max([start, *(target for _, target in stages)])
    assert offsets[-1] <= schedule.end_ns

    begin, level = 0, start
    for duration, target in stages:
        for part in (1, 2, 3, 5, 7):
            moment = begin + duration * part // 8
            if not begin < moment < begin + duration:
                continue
            line = level + Fraction((target - level) * (moment - begin), duration)
            expected = floor(line) if target >= level else ceil(line)
            got = schedule.steps[bisect_right(offsets, moment) - 1][1]
            assert got == expected, moment
        begin, level = begin + duration, target


# --- Closed model: where a paced VU begins --------------------------------------------------------

PLACES = st.integers(0, 200_000)
PACINGS = st.integers(1, 3600 * S)


def test_the_first_starts_of_paced_vus_are_the_multiples_of_the_golden_ratio() -> None:
    assert [first_start_ns(place, S) for place in range(6)] == [
        0, 618_033_988, 236_067_977, 854_101_966, 472_135_954, 90_169_943
    ]  # fmt: skip


def test_without_pacing_there_is_nothing_to_spread() -> None:
    assert {first_start_ns(place, 0) for place in range(100)} == {0}


@given(PLACES, PACINGS)
def test_a_first_start_is_exact_and_within_the_pacing(place: int, pacing: int) -> None:
    offset = first_start_ns(place, pacing)
    assert 0 <= offset < pacing
    golden = Fraction(isqrt(5 * 10**60) - 10**30, 2 * 10**30)
    share = place * golden % 1
    assert abs(offset - pacing * share) <= 1


@given(st.integers(1, 2000), PACINGS)
def test_the_first_starts_of_any_number_of_vus_are_spread_nearly_evenly(vus: int, pacing: int) -> None:
    offsets = sorted(first_start_ns(place, pacing) for place in range(vus))
    gaps = [after - before for before, after in pairwise([*offsets, offsets[0] + pacing])]
    assert max(gaps) <= 2 * pacing / vus + 1, "and one for the rounding"


@pytest.mark.parametrize(
    "executor",
    [
        RampingVUs(5, tuple(Stage(d * S, t) for d, t in ((120, 5.0), (60, 100.0), (240, 100.0))), 30 * S),
        RampingVUs(10, (Stage(1200 * S, 60.0),), 30 * S),
        RampingVUs(1, (Stage(60 * S, 100.0), Stage(60 * S, 100.0)), 30 * S),
    ],
    ids=["the protocol's spike", "its ramp", "one each 0.6 s"],
)
def test_however_a_line_starts_its_vus_they_are_due_nearly_evenly(executor: RampingVUs) -> None:
    schedule = make_schedule(executor, 1)
    assert isinstance(schedule, ClosedSchedule)
    moments: list[int] = []
    for offset, vus in schedule.steps:
        moments += [(offset + first_start_ns(place, S, offset)) % S for place in range(len(moments), vus)]
    moments.sort()
    share = S // len(moments)
    in_a_row = [sum(m < begin + 50_000_000 for m in moments[i:]) for i, begin in enumerate(moments)]
    assert max(in_a_row) <= 2 + 2 * 50_000_000 // share


# --- Iterations -----------------------------------------------------------------------------------


def test_iterations_are_shared_or_each_vus_own() -> None:
    shared = make_schedule(SharedIterations(5, 100, 60 * S), 1)
    own = make_schedule(PerVUIterations(5, 100, 60 * S), 1)
    assert shared == IterationSchedule(5, 100, True, 60 * S)
    assert own == IterationSchedule(5, 100, False, 60 * S)
    assert isinstance(own, IterationSchedule)
    assert own.end_ns == 60 * S


# --- Open model: constant -------------------------------------------------------------------------


def test_a_constant_rate_ticks_from_zero_and_ends_before_the_end() -> None:
    schedule = constant(10, 5 * S)
    assert list(schedule.starts()) == [100 * MS * i for i in range(50)]
    assert schedule.count() == 50
    assert schedule.end_ns == 5 * S


def test_the_burst_has_12000_starts() -> None:
    schedule = constant(100, 2 * MINUTE)
    starts = list(schedule.starts())
    assert schedule.count() == len(starts) == 12_000
    assert starts[-1] == 2 * MINUTE - 10 * MS


def test_a_started_period_counts_where_the_rate_does_not_divide_the_duration() -> None:
    schedule = constant(1, S, 3 * S)
    assert list(schedule.starts()) == [0]
    assert list(constant(3, S + 1).starts()) == [0, 333_333_333, 666_666_666, S]


def test_a_rate_is_the_decimal_that_was_written() -> None:
    assert constant(0.1, 100 * S).count() == 10
    assert list(constant(0.3, 20 * S).starts())[3] == 10 * S


def test_a_time_unit_scales_the_rate() -> None:
    assert list(constant(1, 6 * S, 2 * S).starts()) == [0, 2 * S, 4 * S]


def test_nothing_starts_at_rate_zero() -> None:
    assert list(constant(0, S).starts()) == []
    assert constant(0, S).count() == 0
    assert list(constant(0, S, arrivals=Arrivals.POISSON).starts()) == []


@given(st.integers(1, 99_999), st.sampled_from([1, 10, 1000]), st.integers(1, 100), st.integers(1, 50 * MS))
def test_a_constant_rate_has_every_offset_exact(whole: int, parts: int, units: int, duration: int) -> None:
    rate = whole / parts
    unit = units * 10 * MS
    schedule = constant(rate, duration, unit)
    starts = list(schedule.starts())
    exact = Fraction(str(rate)) / unit
    assert starts == [floor(i / exact) for i in range(len(starts))]
    assert len(starts) == schedule.count() == ceil(exact * duration)
    assert all(offset < duration for offset in starts)


def test_an_hour_at_a_hundred_thousand_a_second_is_never_held_and_never_drifts() -> None:
    schedule = constant(99_999.9, 60 * MINUTE)
    assert schedule.count() == 359_999_640
    assert list(islice(schedule.starts(), 3)) == [0, 10_000, 20_000]


# --- Open model: ramping --------------------------------------------------------------------------


def test_a_ramping_rate_starts_when_the_area_reaches_the_next_number() -> None:
    # 0 → 2 a second over 4 s: the area is t²/4.
    schedule = ramping(0, (4 * S, 2))
    assert [round(s / S, 6) for s in schedule.starts()] == [2.0, round(8**0.5, 6), round(12**0.5, 6), 4.0]


def test_a_flat_ramping_rate_starts_after_its_first_period() -> None:
    assert list(ramping(10, (S, 10)).starts()) == [100 * MS * i for i in range(1, 11)]


def test_a_falling_rate_is_the_rising_one_mirrored() -> None:
    up = list(ramping(0, (10 * S, 10)).starts())
    down = list(ramping(10, (10 * S, 0)).starts())
    assert len(up) == len(down) == 50
    assert down[-1] == 10 * S
    assert [10 * S - s for s in reversed(down[:-1])] == up[:-1]


def test_fractions_carry_over_from_stage_to_stage() -> None:
    # 0.4 + 0.4 + 0.4: the first start is in the third stage.
    schedule = ramping(0.4, (S, 0.4), (S, 0.4), (S, 0.4))
    assert list(schedule.starts()) == [2_500 * MS]
    # k6's own case: 2/s for 4.9 s is 9.8; number 10 comes 0.1 s into the next stage.
    assert list(ramping(2, (4_900 * MS, 2), (S, 2)).starts())[9] == 5 * S


def test_a_rate_jumps_where_a_stage_has_no_length() -> None:
    starts = list(ramping(1, (2 * S, 1), (0, 10), (S, 10)).starts())
    assert starts == [S, 2 * S, *(2 * S + 100 * MS * i for i in range(1, 11))]


def test_a_pause_in_the_rate_has_no_starts() -> None:
    starts = list(ramping(1, (S, 1), (0, 0), (10 * S, 0), (0, 1), (S, 1)).starts())
    assert starts == [S, 12 * S]


def test_the_end_of_a_long_falling_ramp_is_exact_to_the_microsecond() -> None:
    # 100 → 0 a second over an hour: number n is due at T - sqrt(2 (A - n) T / 100).
    duration, area = 3600, 180_000
    starts = list(ramping(100, (duration * S, 0)).starts())
    assert len(starts) == area
    for left in (0, 1, 2, 10, 1000, 100_000):
        exact = duration - Fraction((2 * left * duration * 10**26) ** 0.5 / 10**14).limit_denominator(10**15)
        assert abs(starts[area - 1 - left] - exact * S) < 1000


rates = st.sampled_from([0, 0.5, 1, 7.3, 40, 333.3])
stages_of_rates = st.lists(
    st.tuples(st.sampled_from([0, 1, 777 * MS, S, 4 * S]), rates), min_size=1, max_size=5
)


def area_at(start: float, stages: list[tuple[int, float]], moment: Fraction) -> Fraction:
    """The area under the line up to a moment in ns, exact; the oracle."""
    area, begin, rate = Fraction(0), 0, Fraction(str(start))
    for duration, to in stages:
        target = Fraction(str(to))
        spent = min(max(moment - begin, Fraction(0)), Fraction(duration))
        if duration:
            area += (rate + (target - rate) * spent / duration / 2) * spent / S
        begin, rate = begin + duration, target
    return area


@given(rates, stages_of_rates)
def test_starts_are_in_order_and_each_stands_where_the_area_says(
    start: float, stages: list[tuple[int, float]]
) -> None:
    schedule = ramping(start, *stages)
    starts = list(schedule.starts())
    total = area_at(start, stages, Fraction(schedule.end_ns))
    assert len(starts) == schedule.count() == floor(total)
    assert all(before <= after for before, after in pairwise(starts))
    assert all(0 <= offset <= schedule.end_ns for offset in starts)
    for number, offset in list(enumerate(starts, 1))[:: max(1, len(starts) // 50)]:
        assert (
            area_at(start, stages, Fraction(offset - 2))
            <= number
            <= area_at(start, stages, Fraction(offset + 2))
        )


@given(rates, stages_of_rates, st.sampled_from(Arrivals))
def test_segments_hold_every_start(start: float, stages: list[tuple[int, float]], arrivals: Arrivals) -> None:
    schedule = ramping(start, *stages, arrivals=arrivals)
    segments = schedule.segments()
    assert sum(segment.starts for segment in segments) == len(list(schedule.starts())) == schedule.count()
    assert all(before.to_ns == after.from_ns for before, after in pairwise(segments))


# --- Open model: Poisson --------------------------------------------------------------------------


def test_poisson_starts_are_the_same_for_a_seed_and_others_for_another() -> None:
    one = ramping(50, (10 * S, 50), arrivals=Arrivals.POISSON)
    assert list(one.starts()) == list(one.starts())
    assert list(one.starts()) != list(ramping(50, (10 * S, 50), seed=8, arrivals=Arrivals.POISSON).starts())


def test_poisson_gaps_have_the_mean_and_the_variance_of_exponentials() -> None:
    starts = list(constant(1000, 100 * S, arrivals=Arrivals.POISSON).starts())
    gaps = [(after - before) / MS for before, after in pairwise(starts)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(1.0, rel=0.01)
    assert variance == pytest.approx(1.0, rel=0.03)


def test_poisson_counts_have_a_variance_equal_to_their_mean_on_a_ramp_too() -> None:
    # 0 → 200 → 0 a second: bins of a second hold about as many starts as the area under them.
    counts = [0] * 20
    for seed in range(200):
        for offset in ramping(0, (10 * S, 200), (10 * S, 0), seed=seed, arrivals=Arrivals.POISSON).starts():
            counts[offset // S] += 1
    means = [count / 200 for count in counts]
    expected = [20 * second + 10 for second in range(10)]
    assert means == pytest.approx(expected + expected[::-1], rel=0.12)
    totals = [
        ramping(0, (10 * S, 200), (10 * S, 0), seed=seed, arrivals=Arrivals.POISSON).count()
        for seed in range(200)
    ]
    mean = sum(totals) / 200
    assert mean == pytest.approx(2000, rel=0.01)
    assert sum((total - mean) ** 2 for total in totals) / 200 == pytest.approx(2000, rel=0.25)


@given(rates, stages_of_rates, st.integers(0, 99))
def test_poisson_starts_are_in_order_and_within_the_duration(
    start: float, stages: list[tuple[int, float]], seed: int
) -> None:
    schedule = ramping(start, *stages, seed=seed, arrivals=Arrivals.POISSON)
    starts = list(schedule.starts())
    assert starts == sorted(starts)
    assert all(0 <= offset <= schedule.end_ns for offset in starts)


def test_two_poisson_loads_of_a_plan_do_not_start_in_step() -> None:
    executor = ConstantArrivalRate(10, 10 * S, 1, 1, arrivals=Arrivals.POISSON)
    both = plan(load(executor), load(executor, "b"))
    one, other = schedule_of(both, 0), schedule_of(both, 1)
    assert isinstance(one, OpenSchedule)
    assert isinstance(other, OpenSchedule)
    assert list(one.starts()) != list(other.starts())
    assert list(one.starts()) == list(make_schedule(executor, 1).starts())  # type: ignore[union-attr]


# --- Timetable ------------------------------------------------------------------------------------


def test_one_load_is_printed_flat() -> None:
    assert timetable(plan(load(ConstantVUs(20, MINUTE)))) == {
        "model": "closed",
        "steps": [[0, 20]],
        "end_ms": 60_000,
    }
    assert timetable(plan(load(ConstantArrivalRate(4, S, 1, 1)))) == {
        "model": "open",
        "starts_ms": [0, 250, 500, 750],
    }


def test_offsets_keep_their_fractions_of_a_millisecond() -> None:
    assert timetable(plan(load(ConstantArrivalRate(3, S, 1, 1))))["starts_ms"] == [0, 333.333333, 666.666666]


def test_iterations_are_printed_with_their_number() -> None:
    assert timetable(plan(load(SharedIterations(3, 10)))) == {
        "model": "closed", "steps": [[0, 3]], "iterations": 10, "shared": True,
    }  # fmt: skip
    assert timetable(plan(load(PerVUIterations(3, 10))))["shared"] is False


def test_several_loads_are_printed_by_name_with_their_own_start() -> None:
    table = timetable(plan(load(ConstantVUs(1, S), "one"), load(ConstantVUs(2, S), "two", 5 * S)))
    assert table == {
        "loads": [
            {"name": "one", "start_ms": 0, "model": "closed", "steps": [[0, 1]], "end_ms": 1000},
            {"name": "two", "start_ms": 5000, "model": "closed", "steps": [[0, 2]], "end_ms": 1000},
        ]
    }


def test_a_single_load_that_starts_late_says_so() -> None:
    assert timetable(plan(load(ConstantVUs(1, S), start=2 * S)))["start_ms"] == 2000


def test_a_timetable_is_a_list_up_to_ten_thousand_starts_and_segments_beyond() -> None:
    assert len(timetable(plan(load(ConstantArrivalRate(1000, 10 * S, 1, 1))))["starts_ms"]) == 10_000
    executor = RampingArrivalRate(0, (Stage(10 * S, 1000), Stage(0, 500), Stage(20 * S, 500)), 1, 1)
    assert timetable(plan(load(executor))) == {
        "model": "open",
        "segments": [
            {"from_ms": 0, "to_ms": 10_000, "rate_from": 0.0, "rate_to": 1000.0, "starts": 5000},
            {"from_ms": 10_000, "to_ms": 30_000, "rate_from": 500.0, "rate_to": 500.0, "starts": 10_000},
        ],
    }
