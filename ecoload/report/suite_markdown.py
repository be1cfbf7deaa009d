"""The suite in Markdown: what a manager reads first, everything that was judged, and one page an app.

Rules
-----
- The source's header stands at the head of each, the status (with REHEARSAL beside it) next.
- Every foreign text is cleaned and escaped; a command stands in a fence that no text in it can close.
- `run` is the suite's folder as the commands name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ecoload.report import suite_rows as rows
from ecoload.report.forms import NOTHING, clean, span
from ecoload.report.markdown import escaped, table
from ecoload.report.suite_commands import to_approve, to_retest
from ecoload.report.suite_names import is_name
from ecoload.report.suite_rows import Tree

_STATUS = re.compile("[A-Z]+(_[A-Z]+)*")


def suite_summary(result: Tree, run: str) -> str:
    """`ecosystem_perf_summary.md`."""
    return _page(
        _head("Ecosystem performance", result, rows.header(result)),
        _score(result),
        _failures(result, run),
        _issues(result),
        _waivers(result),
        _approvals(result, run),
        _uptime(result),
        _matrix(result),
        _more(result),
        _measured(result),
    )


def slo_matrix(result: Tree) -> str:
    """`ecosystem_slo_matrix.md`: apps × routes × phases, a row for each thing that was judged."""
    return _page(
        _head("Service levels by phase", result, rows.header(result)),
        _legend(result),
        *(_lines(result, app) for app in dict.fromkeys(line.app for line in rows.lines(result))),
        _uptime(result),
        _parts(result),
    )


def slo_verdict(result: Tree, app: str, run: str) -> str:
    """`APP/slo_verdict.md`: PASS or FAIL of one app for each phase and route."""
    return _page(
        _head(f"{app}: verdicts", result, rows.app_header(result, app)),
        _phases_of(result, app),
        _verdicts_of(result, app),
        _failures(result, run, app),
        _issues(result, app),
        _uptime(result, app),
        _runs_of(result, app),
    )


def fenced(commands: Iterable[str]) -> Iterator[str]:
    """Commands as a block of code: whatever stands in them, nothing ends the block."""
    texts = [clean(command) for command in commands]
    longest = max((len(ticks) for text in texts for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}sh", *texts, fence, "")


def _page(*parts: Iterable[str]) -> str:
    return "\n".join(line for part in parts for line in part).rstrip("\n") + "\n"


def _head(title: str, result: Tree, header: Sequence[tuple[str, str]]) -> Iterator[str]:
    rehearsal = " (REHEARSAL)" if result.get("rehearsal") else ""
    yield from (f"# {escaped(title)}: {_status(result)}{rehearsal}", "")
    yield from table(("", ""), header)
    yield from ("", f"**{_status(result)}**{rehearsal}. {escaped(rows.headline(result))}", "")
    found = rows.reasons(result)
    yield from (f"- {escaped(reason)}" for reason in found)
    if found:
        yield ""


def _score(result: Tree) -> Iterator[str]:
    yield from ("## Readiness score", "", f"**{escaped(rows.score(result))}**", "")
    before = rows.score_before(result)
    if before:
        yield from (f"Before: {escaped(before)}.", "")


def _parts(result: Tree) -> Iterator[str]:
    """What the score is the mean of."""
    yield from _score(result)
    body = [(name, *(rows.thousandths(score) for score in scores)) for name, *scores in rows.parts(result)]
    yield from table(("Part", "First", "Last"), body, right=(1, 2))


def _failures(result: Tree, run: str, app: str = "") -> Iterator[str]:
    found = [one for one in result.get("failures") or () if not app or one.get("app") in (app, "all")]
    yield from ("## What failed, and what to do", "")
    if not found:
        yield from ("Nothing failed.", "")
        return
    body = [
        (
            *(one.get(key) for key in ("phase", "app", "of", "must_be", "was", "reason")),
            one.get("remedy") or NOTHING,
            one.get("diagnostics") or NOTHING,
        )
        for one in found
    ]
    head = ("Phase", "App", "Of", "Must be", "Was", "Reason", "What to do", "Diagnostics")
    yield from table(head, body)
    yield from ("", "Once it is mended:", "")
    yield from fenced(to_retest({**result, "failures": found}, run))


def _issues(result: Tree, app: str = "") -> Iterator[str]:
    found = [issue for issue in rows.issues(result) if not app or issue.app == app]
    if not found:
        return
    yield from ("## Known issues", "")
    body = [
        (issue.id, issue.where, issue.limit, issue.cold, issue.warm, rows.judged_as(issue.state))
        for issue in found
    ]
    head = ("Issue", "Where", "Must be", "Cold", "Warm, under the remedy", "State")
    yield from table(head, body, right=(3, 4))
    yield ""
    for issue in found:
        yield f"- {escaped(issue.id)}: {escaped(issue.summary)}"
        yield f"- {escaped(issue.id)}, recommended: {escaped(issue.remedy)}"
    yield ""


def _waivers(result: Tree) -> Iterator[str]:
    found = rows.waivers(result)
    if found:
        yield from ("## Waivers", "")
        yield from table(("Issue", "By", "Why", "Until", "State"), found)
        yield ""


def _approvals(result: Tree, run: str) -> Iterator[str]:
    found = rows.approvals(result)
    if not found:
        return
    yield from ("## Approvals", "")
    yield from table(("Phase", "State", "Needed because"), found)
    yield ""
    commands = to_approve(result, run)
    if commands:
        yield from ("What waits goes on with:", "")
        yield from fenced(commands)


def _uptime(result: Tree, app: str = "") -> Iterator[str]:
    found = [row for row in rows.uptimes(result) if not app or row[0] == app]
    if found:
        yield from ("## Uptime", "")
        head = ("App", "Uptime", "Probes answered", "Probes", "Verdict", "Reason")
        yield from table(head, found, right=(1, 2, 3))
        yield ""


def _matrix(result: Tree) -> Iterator[str]:
    phases = rows.phases(result)
    yield from ("## Phases and apps", "")
    if not phases:
        yield from ("No phase was asked for.", "")
        return
    body = []
    for app in rows.apps(result):
        spots = [rows.spot(phase, app) for phase in phases]
        body.append((app, *(NOTHING if spot is None else rows.judged_as(spot.verdict) for spot in spots)))
    body.append(("the phase", *(rows.judged_as(phase.get("verdict")) for phase in phases)))
    yield from table(("App", *(escaped(phase.get("name")) for phase in phases)), body)
    yield ""
    for phase in phases:
        for cell in phase.get("cells") or ():
            if cell.get("verdict") != "PASS":
                for reason in cell.get("reasons") or ():
                    yield f"- {escaped(phase.get('name'))}, {escaped(rows.called(cell))}: {escaped(reason)}"
    yield ""


def _measured(result: Tree) -> Iterator[str]:
    yield from ("## How to check it", "")
    yield from (f"- {escaped(label)}: {escaped(text)}" for label, text in rows.measured(result))


def _legend(result: Tree) -> Iterator[str]:
    yield "`first → last`: the first measurement, and the one that counts after a remedy or a retest."
    yield f"{NOTHING}: the phase does not judge it."
    yield ""
    if not rows.lines(result):
        yield "Nothing was judged."


def _lines(result: Tree, app: str) -> Iterator[str]:
    names = [escaped(phase.get("name")) for phase in rows.phases(result)]
    yield from (f"## {escaped(app)}", "")
    body = [
        (
            line.app,
            line.of,
            line.must_be + (f" ({line.issue})" if line.issue else ""),
            *(NOTHING if item is None else _judged(item) for item in line.items),
        )
        for line in rows.lines(result)
        if line.app == app
    ]
    yield from table(("App", "Of", "Must be", *names), body)
    yield ""


def _judged(item: Tree) -> str:
    return f"{rows.judged_as(item.get('verdict'))} {rows.was(item)}"


def _phases_of(result: Tree, app: str) -> Iterator[str]:
    body = []
    for phase in rows.phases(result):
        spot = rows.spot(phase, app)
        if spot is not None:
            verdict, reasons = rows.judged_as(spot.verdict), "; ".join(spot.reasons)
            body.append((phase.get("name"), phase.get("profile") or NOTHING, verdict, reasons))
    yield from ("## Phases", "")
    if not body:
        yield from ("No phase asked anything of it.", "")
        return
    yield from table(("Phase", "Profile", "Verdict", "Reasons"), body)
    yield ""


def _verdicts_of(result: Tree, app: str) -> Iterator[str]:
    body = []
    for phase in rows.phases(result):
        items = (item for cell in rows.cells_of(phase, app) for item in cell.get("items") or ())
        for item in items:
            if item.get("app") in (app, "all"):
                first, last = item.get("first") or {}, item.get("last") or {}
                same = first == last
                body.append(
                    (
                        phase.get("name"),
                        item.get("of"),
                        rows.judged_as(item.get("verdict")),
                        item.get("must_be"),
                        NOTHING if same else f"{first.get('was')} ({first.get('verdict')})",
                        last.get("was") or NOTHING,
                        item.get("issue") or NOTHING,
                        last.get("reason") or "",
                    )
                )
    if body:
        yield from ("## Verdicts", "")
        head = ("Phase", "Of", "Verdict", "Must be", "First measured", "Was", "Known issue", "Reason")
        yield from table(head, body, right=(4, 5))
        yield ""


def _runs_of(result: Tree, app: str) -> Iterator[str]:
    body = [
        (
            phase.get("name"),
            *(run.get(key) for key in ("kind", "verdict", "validity")),
            span(run.get("duration_s")),
            run.get("target_version") or NOTHING,
            run.get("folder"),
        )
        for phase in rows.phases(result)
        for cell in rows.cells_of(phase, app)
        for run in cell.get("runs") or ()
    ]
    if body:
        yield from ("## Runs", "", "Folders are below the suite's.", "")
        head = ("Phase", "Run", "Verdict", "Measurement", "Duration", "Version", "Folder")
        yield from table(head, body)


def _more(result: Tree) -> Iterator[str]:
    yield from ("## More", "")
    yield "- [everything that was judged, by phase](ecosystem_slo_matrix.md)"
    known = [app for app in rows.apps(result) if is_name(app)]
    if known:
        yield "- by app: " + ", ".join(f"[{escaped(app)}]({app}/slo_verdict.md)" for app in known)
    yield ""


def _status(result: Tree) -> str:
    """The status as a word that can be searched for; escaped where it is none of ours."""
    word = str(result.get("status"))
    return word if _STATUS.fullmatch(word) else escaped(word)
