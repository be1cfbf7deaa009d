"""The course of a run as columns for charts, and the planned line beside it."""

from __future__ import annotations

import pytest

from ecoload.plan import ConstantVUs, Executor, Load, Plan, ProtocolHeader, RampingArrivalRate, Stage
from ecoload.report.courses import MOST_POINTS, courses
from ecoload.report.planned import planned_rate
from tests.unit.measuring import SECOND
from tests.unit.report_samples import course


def plan_of(*loads: tuple[Executor, int]) -> Plan:
    return Plan(
        tool_version="1",
        protocol=ProtocolHeader(),
        app="a2",
        profile="ramp",
        seed=1,
        duration_scale=1.0,
        origins=(),
        routes=(),
        scenarios=(),
        loads=tuple(Load(f"l{i}", 0, "x", executor, start) for i, (executor, start) in enumerate(loads)),
    )


def test_a_short_course_is_not_thinned() -> None:
    found = courses(course(120))
    assert (found.thinned, found.at_s[0], found.at_s[-1], len(found.at_s)) == (1, 1.0, 120.0, 120)


def test_a_long_course_keeps_its_highest_latency_and_its_lowest_rate() -> None:
    rows = list(course(3600, ["ingest"]))
    rows[2468]["rps"] = "3.000"
    assert rows[2468]["route"] == "*"
    found = courses(rows)
    assert len(found.at_s) <= MOST_POINTS
    assert found.thinned == 3
    highest = max(float(row["p99_ms"]) for row in rows if row["route"] == "*")
    thin = [value for value in found.columns["*"]["p99_ms"] if value is not None]
    assert max(thin) == pytest.approx(highest, rel=1e-3)
    assert min(value for value in found.columns["*"]["rps"] if value is not None) == 3
    assert found.at_s[-1] == 3600.0


def test_all_columns_are_as_long_as_the_time() -> None:
    found = courses(course(3599), lambda at_s: 100.0)
    assert {len(column) for route in found.columns.values() for column in route.values()} == {len(found.at_s)}


def test_a_second_without_a_figure_is_a_gap() -> None:
    rows = list(course(3, ["ingest"]))
    rows[2]["p95_ms"] = ""
    assert courses(rows).columns["*"]["p95_ms"][1] is None


def test_a_route_that_begins_later_stands_where_it_began() -> None:
    rows = [row for row in course(20) if row["route"] != "event_tile" or float(row["elapsed_s"]) > 8]
    found = courses(rows)
    late = found.columns["event_tile"]["rps"]
    assert [at_s for at_s, value in zip(found.at_s, late, strict=True) if value is None] == found.at_s[:8]


@pytest.mark.parametrize(("end", "rates"), [("10.014", 10), ("10.600", 11)])
def test_a_rate_of_less_than_half_a_second_is_a_gap(end: str, rates: int) -> None:
    rows = [row | {"elapsed_s": end} if row["elapsed_s"] == "11.000" else row for row in course(11)]
    found = courses(rows)
    for name in ("rps", "iterations_started"):
        assert sum(value is not None for value in found.columns["*"][name]) == rates
    assert None not in found.columns["*"]["errors"]
    assert found.at_s[-1] == pytest.approx(float(end), abs=0.01)


def test_a_single_route_stands_once() -> None:
    assert list(courses(course(5, ["ingest"])).columns) == ["*"]
    assert list(courses(course(5)).columns) == ["*", "ingest", "event_tile"]


def test_no_rows_are_no_course() -> None:
    assert courses([]).at_s == []


def test_the_planned_line_follows_the_stages_and_jumps_where_they_do() -> None:
    stages = (Stage(10 * SECOND, 20.0), Stage(0, 5.0), Stage(10 * SECOND, 5.0))
    executor = RampingArrivalRate(0.0, stages, 1, 10)
    planned = planned_rate(plan_of((executor, 0)))
    assert planned is not None
    assert [planned(at_s) for at_s in (0, 5, 9.5, 10.5, 19, 21)] == [0, 10, 19, 5, 5, 0]


def test_loads_add_up_from_when_they_start() -> None:
    executor = RampingArrivalRate(60.0, (Stage(10 * SECOND, 60.0),), 1, 10, time_unit_ns=60 * SECOND)
    planned = planned_rate(plan_of((executor, 0), (executor, 5 * SECOND)))
    assert planned is not None
    assert [planned(at_s) for at_s in (1, 7, 12)] == [1, 2, 1]


def test_a_closed_model_plans_no_rate() -> None:
    assert planned_rate(plan_of((ConstantVUs(5, SECOND), 0))) is None
