"""Known issues: what a retest under the remedy makes of a failing level.

Rules
-----
- FIXED: passes without the remedy. MITIGATED: only with it. STILL_FAILING: not even so. What was not
  measured well enough is INCONCLUSIVE, and never a PASS.
- Only the level that the issue names has this second chance, and only where the issue has a retest;
  everything else in the run stands. What fails under the remedy fails, however it did without.
- A waiver holds up to and including its day, and changes no figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from ecoload.plan.suite import KnownIssue
from ecoload.verdict.items import Judged
from ecoload.verdict.suite_result import Cell, IssueState, WaiverNote


def issue_of(item: Judged, issues: Sequence[KnownIssue]) -> KnownIssue | None:
    """The known issue that an item is, if it is one."""
    here = (item.app, item.of, item.level)
    return next((one for one in issues if item.level and (one.app, one.route, one.level) == here), None)


def waiver_of(issue: KnownIssue, today: date) -> WaiverNote | None:
    """The waiver of an issue, and whether it holds on a day (UTC)."""
    given = issue.waiver
    if given is None:
        return None
    return WaiverNote(given.by, given.reason, given.until, today <= date.fromisoformat(given.until))


def verdict_of(issue: KnownIssue, cold: str | None, warm: str | None, today: date) -> Cell:
    """What counts of a known issue's level: `cold` is its verdict without the remedy (None: was not
    measured so), `warm` with it."""
    if warm == "FAIL" or (cold == "FAIL" and (warm is None or issue.warm is None)):
        waiver = waiver_of(issue, today)
        return Cell.WAIVED if waiver is not None and waiver.valid else Cell.FAIL
    if issue.warm is None:
        return Cell(cold or warm or Cell.INCONCLUSIVE)
    if cold in ("PASS", "INCONCLUSIVE"):
        return Cell(cold)
    return Cell.MITIGATED if warm == "PASS" else Cell.INCONCLUSIVE


STATES = {
    Cell.PASS: IssueState.FIXED,
    Cell.MITIGATED: IssueState.MITIGATED,
    Cell.FAIL: IssueState.STILL_FAILING,
    Cell.WAIVED: IssueState.STILL_FAILING,
}


def state_of(verdict: Cell | None) -> IssueState:
    """The state of an issue by what counts of its level; None: no phase judges it."""
    return IssueState.NOT_MEASURED if verdict is None else STATES.get(verdict, IssueState.INCONCLUSIVE)
