"""Can this measurement be believed? The run certifies itself, with reasons.

Rules
-----
- Only the generator's faults count here. Drops and queueing are a slow target's doing: they are
  errors of a route, never a doubt about the measurement.
- SUSPECT: starts missing by more than 1 %, late starts (p99 over 5 ms or over a tenth of the tightest
  level), the loop held up for more than 1 % of the time, CPU over 90 % in more than 5 % of the
  seconds (one second is forgiven), figures rebuilt after a kill.
- INVALID: starts missing by more than 10 %, outcomes of the generator itself, a generator that died,
  a target that saw fewer requests than it answered or more than were sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ecoload.measure.figures import Figures
from ecoload.measure.outcome import Outcome
from ecoload.measure.result import Validity, ValidityStatus

LATE_START_MS = 5.0
LATE_SHARE_OF_LEVEL = 0.1
LAG_SHARE = 0.01
HOT_SECONDS_SHARE = 0.05

Finding = tuple[ValidityStatus, str]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the figures do not tell. `planned_starts`: starts of open models due up to the run's end;
    `tightest_level_ms`: the smallest latency level judged; `closed_unpaced`: VUs that go as fast as they
    can; `spinning`: the pacing keeps a core busy on purpose; `server_count`: requests that the target
    says it saw; `lost_worker`: why a generator is gone."""

    planned_starts: int | None = None
    tightest_level_ms: float | None = None
    closed_unpaced: bool = False
    spinning: bool = False
    server_count: int | None = None
    lost_worker: str = ""


def judge_validity(figures: Figures, around: Circumstances) -> Validity:
    """VALID, or the worst of what was found with every reason."""
    found = [
        *_lost(around),
        *_generator_outcomes(figures),
        *_server_count(figures, around),
        *_missing_starts(figures, around),
        *_late_starts(figures, around),
        *_held_up(figures, around),
    ]
    if figures.rebuilt:
        found.append((ValidityStatus.SUSPECT, "the run was killed; its figures were rebuilt from its files"))
    if not found:
        return Validity(ValidityStatus.VALID)
    invalid = any(status is ValidityStatus.INVALID for status, _ in found)
    worst = ValidityStatus.INVALID if invalid else ValidityStatus.SUSPECT
    found.sort(key=lambda finding: finding[0] is not ValidityStatus.INVALID)
    return Validity(worst, tuple(reason for _, reason in found))


def _lost(around: Circumstances) -> Iterator[Finding]:
    if around.lost_worker:
        yield ValidityStatus.INVALID, f"a load generator was lost: {around.lost_worker}"


def _generator_outcomes(figures: Figures) -> Iterator[Finding]:
    for outcome in Outcome:
        count = figures.whole(outcome) if outcome.is_generator else 0
        if count:
            what = outcome.label.replace("_", " ").replace("fd", "file descriptors")
            yield ValidityStatus.INVALID, f"{count} requests failed in the generator itself ({what})"


def _server_count(figures: Figures, around: Circumstances) -> Iterator[Finding]:
    seen = around.server_count
    if seen is None:
        return
    beside = figures.last.beside  # what setup and teardown asked is no figure, but the target counted it
    answered = beside + sum(figures.whole(outcome) for outcome in Outcome if outcome.is_answered)
    sent = beside + sum(figures.whole(outcome) for outcome in Outcome if outcome.may_have_arrived)
    if not answered <= seen <= sent:
        counts = f"{answered} answered" if answered == sent else f"{answered} answered, {sent} sent"
        yield ValidityStatus.INVALID, f"the target counts {seen} requests, the generator {counts}"


def _missing_starts(figures: Figures, around: Circumstances) -> Iterator[Finding]:
    planned = around.planned_starts
    if not planned:
        return
    last = figures.last
    owned_up = last.iterations_started + last.dropped_iterations + last.queued
    off = abs(planned - owned_up) / planned
    if off > 0.01:
        status = ValidityStatus.INVALID if off > 0.1 else ValidityStatus.SUSPECT
        yield status, f"{owned_up} of {planned} planned starts were made or owned up to ({off:.1%} off)"


def _late_starts(figures: Figures, around: Circumstances) -> Iterator[Finding]:
    late_ms = figures.generator.lateness_p99_us / 1000
    tenth = None if around.tightest_level_ms is None else around.tightest_level_ms * LATE_SHARE_OF_LEVEL
    if late_ms > LATE_START_MS:
        yield ValidityStatus.SUSPECT, f"starts were late: p99 {late_ms:.1f} ms > {LATE_START_MS:g} ms"
    elif tenth is not None and late_ms > tenth:
        yield (
            ValidityStatus.SUSPECT,
            f"starts were late: p99 {late_ms:.2f} ms > a tenth of the tightest level ({tenth:g} ms)",
        )


def _held_up(figures: Figures, around: Circumstances) -> Iterator[Finding]:
    generator = figures.generator
    if generator.lag_share > LAG_SHARE:
        yield (
            ValidityStatus.SUSPECT,
            f"the generator's loop was held up for {generator.lag_share:.1%} of the time "
            f"(at most {generator.lag_max_ns / 1e6:.0f} ms)",
        )
    forgiven = max(1.0, HOT_SECONDS_SHARE * generator.seconds)
    if generator.hot_seconds > forgiven and not around.spinning:
        limit = ": it, not the target, was the limit" if around.closed_unpaced else ""
        yield (
            ValidityStatus.SUSPECT,
            f"the generator used over 90 % of its core in {generator.hot_seconds} of "
            f"{generator.seconds} seconds{limit}",
        )
