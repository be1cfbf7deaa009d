"""A cell: what became of one app in one phase, from the results of its runs.

Rules
-----
- Of a cell's runs the last one without a remedy counts (`retest` after a fix); a known issue's level may be
  saved by the run under its remedy (`warmed`), nothing else may. What fails in that run though it held
  without the remedy, fails. Where the remedy could not be put in place, that run saves nothing.
- A run that could not be carried out fails the cell for as long as none follows it.
- What is undecided only because the measurement is in doubt is one reason, not one for each thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from ecoload.measure.asked import NOT_WARMED
from ecoload.plan.suite import KnownIssue
from ecoload.verdict.browser import NO_BROWSER
from ecoload.verdict.items import Judged, Key, items_of
from ecoload.verdict.known_issues import issue_of, verdict_of
from ecoload.verdict.suite_result import Cell, CellResult, Item, Measured, RunNote

WORST_FIRST = (
    Cell.FAIL,
    Cell.INCONCLUSIVE,
    Cell.AWAITING_APPROVAL,
    Cell.NO_BROWSER,
    Cell.NOT_RUN,
    Cell.WAIVED,
    Cell.MITIGATED,
    Cell.PASS,
    Cell.NOT_APPLICABLE,
)

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OneRun:
    """One run of a cell. `kind` is `first`, `warmed` or `retest`; `folder` from the suite's own; `result`
    its `run.json`; `error` why there is none though it was tried."""

    kind: str
    folder: str
    result: Tree | None = None
    error: str = ""


def judge_cell(app: str, runs: Sequence[OneRun], issues: Sequence[KnownIssue], today: date) -> CellResult:
    """One app in one phase, by its runs in the order in which they were made."""
    if not runs:
        return CellResult(app, Cell.NOT_RUN, ())
    notes = tuple(_note(run) for run in runs)
    if runs[-1].result is None:
        return CellResult(app, Cell.FAIL, (runs[-1].error,), notes)
    if runs[-1].result.get("status") == NO_BROWSER:
        # It was not begun: it tells nothing of any target.
        return CellResult(app, Cell.NO_BROWSER, tuple(map(str, runs[-1].result["verdict_reasons"])), notes)
    done = [run for run in runs if run.result is not None]
    items = tuple(_items(done, issues, today))
    if runs[0].result is None:
        # Nothing was measured at first, and the later figures are not the first ones.
        lost = Measured("FAIL", "not carried out", reason=runs[0].error)
        items = tuple(replace(item, first=lost) for item in items)
    reasons = (*_reasons(items, runs[-1].result), *_unwarmed(runs[-1]))
    return CellResult(app, worst_cell(item.verdict for item in items), reasons, notes, items)


def worst_cell(verdicts: Iterable[Cell]) -> Cell:
    """The worst of several; NOT_APPLICABLE of none."""
    found = set(verdicts)
    return next((one for one in WORST_FIRST if one in found), Cell.NOT_APPLICABLE)


def credited(cells: Sequence[CellResult], *, first: bool) -> Iterator[Cell]:
    """What each thing that cells judge counts as for the score, at first or at last."""
    for cell in cells:
        if not cell.items:
            yield cell.verdict
        for item in cell.items:
            if not first:
                yield item.verdict
            elif item.first.verdict != "PASS":
                yield Cell.FAIL
            else:
                # In a later phase the first measurement may stand under the remedy already.
                yield Cell.MITIGATED if item.verdict is Cell.MITIGATED else Cell.PASS


def _reasons(items: Sequence[Item], result: Tree) -> Iterator[str]:
    """Why a cell is no plain PASS. What is undecided only for a doubtful measurement is one reason."""
    doubts = (result.get("validity") or {}).get("reasons") or ()
    unsure = [item for item in items if item.verdict is Cell.INCONCLUSIVE]
    for item in items:
        if item.verdict is not Cell.PASS and not (doubts and item in unsure):
            yield f"{item.app} {item.of}: {_why(item)}"
    if doubts and unsure:
        status, why = result["validity"]["status"], "; ".join(doubts)
        yield f"{len(unsure)} of {len(items)} cannot be told, the measurement is {status}: {why}"


def _why(item: Item) -> str:
    if item.verdict is Cell.MITIGATED:
        before = f", {item.first.was} without" if item.first.verdict == "FAIL" else ""
        return f"{item.issue}, {item.last.was} under its remedy{before}"
    if item.verdict is Cell.WAIVED:
        return f"{item.issue}, waived: {item.last.reason or item.last.was}"
    return item.last.reason or item.last.was


def _items(runs: Sequence[OneRun], issues: Sequence[KnownIssue], today: date) -> Iterator[Item]:
    plain = [_by_key(run) for run in runs if run.kind != "warmed"]
    warmed = [_by_key(run) for run in runs if run.kind == "warmed" and not _unwarmed(run)]
    if not plain and not warmed:
        plain = [_by_key(run) for run in runs]
    cold, warm = plain[-1] if plain else {}, warmed[-1] if warmed else {}
    if runs[-1].kind == "retest":
        # After a fix the remedy is not asked again; what it had shown belongs to the time before.
        warm = {}
    first = (plain or warmed or [{}])[0]
    for key in dict.fromkeys([*cold, *warm]):
        without, under = cold.get(key), warm.get(key)
        any_of = without or under
        assert any_of is not None
        issue = issue_of(any_of, issues)
        begun = first.get(key) or any_of
        verdict, last = _verdict(without, under, issue, today)
        yield Item(
            kind=any_of.kind,
            app=any_of.app,
            of=any_of.of,
            must_be=any_of.must_be,
            first=begun.measured,
            last=last,
            verdict=verdict,
            issue=issue.id if issue else "",
            level=any_of.level,
            limit=any_of.limit,
        )


def _unwarmed(run: OneRun) -> list[str]:
    """Why a run did not stand under the remedy that it was made for."""
    notes = (run.result or {}).get("notes") or ()
    return [str(note) for note in notes if str(note).startswith(NOT_WARMED)]


def _verdict(
    cold: Judged | None, warm: Judged | None, issue: KnownIssue | None, today: date
) -> tuple[Cell, Measured]:
    """What counts of one item, and the figure that it counts by."""
    if issue is not None:
        verdict = verdict_of(issue, _word(cold), _word(warm), today)
        retested = _word(cold) == "FAIL" and issue.warm is not None
        counts = warm if warm is not None and (retested or _word(warm) == "FAIL") else cold or warm
    else:
        broke = warm is not None and _word(warm) == "FAIL"
        counts = warm if broke or cold is None else cold
        verdict = Cell(_word(counts) or Cell.INCONCLUSIVE)
    assert counts is not None
    return verdict, counts.measured


def _word(item: Judged | None) -> str | None:
    return None if item is None else item.measured.verdict


def _by_key(run: OneRun) -> dict[Key, Judged]:
    return {item.key: item for item in items_of(run.result or {})}


def _note(run: OneRun) -> RunNote:
    tree = run.result
    if tree is None:
        return RunNote(run.kind, run.folder, Cell.FAIL.value, "INVALID", 0.0)
    validity = str((tree.get("validity") or {}).get("status") or "INVALID")
    seconds = float(tree.get("duration_s") or 0.0)
    version = str(tree.get("target_version") or "")
    return RunNote(run.kind, run.folder, str(tree["verdict"]), validity, seconds, version)
