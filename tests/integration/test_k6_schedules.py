"""k6 and ecoload start the same plan's iterations at the same moments: real k6, one recording server.

Rules
-----
- All loads are one plan's and run side by side, so that a script of several scenarios is tested too: k6 then
  numbers its VUs over all of them.
- Where a count hangs on which of two things comes first (a VU is free and a tick is due, an iteration ends
  and so does the load), 60 ms or more lie between them: the count is the schedule's, not the machine's.
- What k6 does in its own way is told where it is left out: a constant rate's tick on the very end (`race`),
  and an iteration counted for a VU that made no request (`paced_too_short`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ecoload.plan import (
    ConstantArrivalRate,
    ConstantVUs,
    OnExhausted,
    PerVUIterations,
    RampingArrivalRate,
    RampingVUs,
    SharedIterations,
    Stage,
)
from tests.integration.driving import SECOND
from tests.integration.k6_starts import (
    Case,
    Figures,
    Round,
    agreed,
    disagreement,
    plan_for,
    script_of,
    under_ecoload,
    under_k6,
)

pytestmark = pytest.mark.alone

ROUNDS = 3


def ns(seconds: float) -> int:
    return round(seconds * SECOND)


def stages(*pieces: tuple[float, float]) -> tuple[Stage, ...]:
    """Stages of (seconds, target)."""
    return tuple(Stage(ns(seconds), target) for seconds, target in pieces)


def dip(low: float, then: float) -> tuple[Stage, ...]:
    """3 VUs, 1 for so many seconds, and 3 again."""
    return stages((0.2, 3), (0, 1), (low, 1), (0, 3), (then, 3))


LINE = stages((1, 7.5), (0, 20), (0.7, 20), (0.84, 2.5))
LINE_LONGER = stages((1.1, 7.5), (0, 20), (0.7, 20), (0.84, 2.5))
HELD_THEN_ONE = stages((0.8, 3), (0, 1), (1, 1))
THERE_AND_BACK = stages((0.94, 1), (0, 6), (0.96, 6), (0, 0), (0.4, 0), (0, 5), (0.8, 5))

OPEN = {
    "fraction": Case(ConstantArrivalRate(2.5, ns(2.9), 2, 2)),
    "rates": Case(RampingArrivalRate(0.5, LINE, 5, 5)),  # 4, then 14, then 9.45: fractions carried over
    "drops": Case(ConstantArrivalRate(4, ns(3.1), 2, 2), 625),
    "drops_and_grows": Case(ConstantArrivalRate(4, ns(3.1), 1, 2), 625),
    "drops_of_a_ramp": Case(RampingArrivalRate(2, stages((2.4, 6), (1.2, 0)), 2, 2), 700),
    "burst": Case(ConstantArrivalRate(30, ns(1.51), 20, 20, on_exhausted=OnExhausted.QUEUE), 100),
}
CLOSED = {
    "up_and_a_jump_down": Case(RampingVUs(1, stages((0.9, 4), (0.35, 4), (0, 2), (0.4, 2)), SECOND), 500),
    "down": Case(RampingVUs(4, stages((1.5, 1)), SECOND), 650),
    "jump_up": Case(RampingVUs(0, stages((0.5, 0), (0, 5), (1, 5)), SECOND), 400),
    "starts_late": Case(ConstantVUs(2, SECOND), 400, start_time_ns=ns(0.7)),
    "shared": Case(SharedIterations(3, 8), 300),
    "shared_cut_off": Case(SharedIterations(3, 30, ns(1.05)), 450),
    "per_vu": Case(PerVUIterations(2, 3), 300),
    "per_vu_cut_off": Case(PerVUIterations(2, 9, ns(1.05)), 450),
}
GRACE = {
    "stop_in_grace": Case(ConstantVUs(2, SECOND), 700, graceful_stop_ns=ns(0.7)),
    "stop_after_grace": Case(ConstantVUs(2, SECOND), 700, graceful_stop_ns=ns(0.2)),
    "down_in_grace": Case(RampingVUs(3, HELD_THEN_ONE, ns(0.4)), 500),
    "down_after_grace": Case(RampingVUs(3, HELD_THEN_ONE, ns(0.05)), 500),
    "down_until_the_stop": Case(RampingVUs(3, stages((0.8, 3), (0, 1), (0.1, 1)), ns(5)), 700, 0, ns(0.2)),
    "raised_in_grace": Case(RampingVUs(3, dip(0.3, 0.75), SECOND), 700),
    "raised_after_grace": Case(RampingVUs(3, dip(0.7, 0.3), SECOND), 500),
    "raised_after_interrupts": Case(RampingVUs(3, dip(0.4, 0.5), ns(0.1)), 700),
    "rate_after_grace": Case(ConstantArrivalRate(3, ns(1.1), 5, 5), 500, 0, ns(0.2)),
}
PACED = {
    "paced": Case(ConstantVUs(7, ns(3)), 30, pacing_ns=ns(0.5)),
    "paced_ramp": Case(RampingVUs(2, stages((1.6, 8), (1.2, 2)), SECOND), 30, pacing_ns=ns(0.4)),
    "paced_there_and_back": Case(RampingVUs(1, THERE_AND_BACK, ns(0.05)), 30, pacing_ns=ns(0.4)),
    "paced_without_grace": Case(ConstantVUs(4, ns(2)), 30, graceful_stop_ns=0, pacing_ns=ns(0.5)),
    "paced_slower_than_that": Case(ConstantVUs(3, ns(1.5)), 600, pacing_ns=ns(0.5)),
    "paced_too_short": Case(ConstantVUs(3, ns(1)), 30, pacing_ns=ns(3)),  # first starts at 0, 1.9 and 0.7 s
}
SAME = {**OPEN, **CLOSED, **GRACE, **PACED}
WRONG = {
    # One stage a tenth longer; VUs that go where a falling line leaves k, not where it comes to k - 1; the
    # first start of a rate where the area is 1, not 0.
    "a_stage_longer": replace(OPEN["rates"], instead=RampingArrivalRate(0.5, LINE_LONGER, 5, 5)),
    "down_by_floor": replace(CLOSED["down"], instead=RampingVUs(3, stages((1, 1), (0.5, 1)), SECOND)),
    "a_tick_later": replace(OPEN["fraction"], instead=RampingArrivalRate(2.5, stages((2.9, 2.5)), 2, 2)),
}
RACE = {"race": Case(ConstantArrivalRate(10, SECOND, 5, 5))}
CASES = {**WRONG, **SAME, **RACE}


@dataclass(frozen=True, slots=True)
class Both:
    ours: list[Round]
    theirs: list[Round]


@pytest.fixture(scope="module")
def rounds(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Both:
    k6, both = tool("k6"), Both([], [])
    for _ in range(ROUNDS):
        folder = tmp_path_factory.mktemp("round")
        both.ours.append(under_ecoload(CASES, folder))
        both.theirs.append(under_k6(CASES, folder, k6))
    return both


@pytest.fixture(scope="module")
def ours(rounds: Both) -> dict[str, Figures]:
    return agreed(rounds.ours)


@pytest.fixture(scope="module")
def theirs(rounds: Both) -> dict[str, Figures]:
    return agreed(rounds.theirs)


@pytest.mark.parametrize("load", SAME)
def test_starts_are_the_same(load: str, ours: dict[str, Figures], theirs: dict[str, Figures]) -> None:
    assert disagreement(ours[load], theirs[load]) == ""


@pytest.mark.parametrize("load", WRONG)
def test_a_wrong_schedule_is_told(load: str, ours: dict[str, Figures], theirs: dict[str, Figures]) -> None:
    assert disagreement(ours[load], theirs[load]) != ""


def test_what_the_loads_are_for_came_about(ours: dict[str, Figures]) -> None:
    """(starts, finished, dropped), worked out by hand: agreement on nothing would be none."""
    expected = {
        "drops": (9, 9, 4),
        "drops_of_a_ramp": (8, 8, 5),
        "shared_cut_off": (9, 9, 21),
        "per_vu_cut_off": (6, 6, 12),
        "down": (9, 9, 0),
        "stop_in_grace": (4, 4, 0),
        "stop_after_grace": (4, 2, 0),
        "down_in_grace": (8, 8, 0),
        "down_after_grace": (8, 6, 0),
        "down_until_the_stop": (6, 3, 0),
        "raised_in_grace": (6, 6, 0),
        "raised_after_grace": (7, 7, 0),
        "raised_after_interrupts": (6, 4, 0),
        "rate_after_grace": (4, 3, 0),
        "paced_too_short": (2, 2, 0),
    }
    assert {load: ours[load].counts for load in expected} == expected


def test_the_tick_on_the_very_end_of_a_constant_rate_is_the_one_that_k6_may_start(
    rounds: Both, theirs: dict[str, Figures]
) -> None:
    assert {len(each.loads["race"].starts) for each in rounds.ours} == {10}
    for each in rounds.theirs:
        starts = each.loads["race"].starts
        assert len(starts) in (10, 11)
        assert starts[10:] == () or starts[10] - starts[0] > 950


def test_both_count_what_the_server_saw(rounds: Both) -> None:
    for each in rounds.ours:
        assert each.iterations == each.finished
    for each in rounds.theirs:
        assert (
            each.iterations == each.finished + 1
        )  # the VU of `paced_too_short` whose first start never came
        # Requests in flight when their iteration is interrupted are in no figure of k6's.
        interrupted = sum(len(load.starts) - load.finished for load in each.loads.values())
        assert each.requests == each.arrivals - interrupted


def test_a_duration_that_scaling_makes_too_short_for_k6_says_so(
    tool: Callable[[str], Path], tmp_path: Path
) -> None:
    cases = {"short": Case(ConstantVUs(1, ns(30)))}
    script = tmp_path / "short.js"
    script.write_text(script_of(plan_for("http://127.0.0.1:9", cases), cases))
    said = {}
    for scale in ("0.5", "0.02"):
        command = [str(tool("k6")), "inspect", "--env", f"DURATION_SCALE={scale}", str(script)]
        done = subprocess.run(command, capture_output=True, text=True)
        said[scale] = done.stderr if done.returncode else ""
    assert said["0.5"] == ""
    assert "DURATION_SCALE=0.02 is too small: k6 takes at least 1 s where the plan has" in said["0.02"]
