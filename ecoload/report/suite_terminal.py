"""What a suite says on the terminal at its end; its plan is shown by `suite_plan_view`.

Rules
-----
- The status first, the report's path last; between them what failed, what waits, and what to do.
- Colour only on a terminal, and never where NO_COLOR is set; a verdict is always a word as well.
- It fits 80 columns with seven phases. A command and a path stand on a line of their own, never broken.
- Every foreign text is cleaned and goes in as a rich Text: nothing of it is read as markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ecoload.report import suite_rows as rows
from ecoload.report.forms import NOTHING, clean, plural, span
from ecoload.report.suite_commands import to_approve, to_measure_again, to_resume, to_retest
from ecoload.report.suite_plan_view import print_suite_plan, suite_plan_tree
from ecoload.report.suite_rows import Tree
from ecoload.report.tables import WIDEST, labelled, plain_table, stdout

__all__ = ["SUMMARY", "print_readiness", "print_suite", "print_suite_plan", "suite_plan_tree"]

SUMMARY = "ecosystem_perf_summary.md"
MOST_FAILURES = 10
STYLES = {
    "READY": "green",
    "PASS": "green",
    "FIXED": "green",
    "NOT_READY": "red",
    "FAIL": "red",
    "STILL_FAILING": "red",
    "CONDITIONAL": "yellow",
    "MITIGATED": "yellow",
    "WAIVED": "yellow",
    "INCONCLUSIVE": "yellow",
    "AWAITING_APPROVAL": "yellow",
    "NO_BROWSER": "yellow",
    "NOT_RUN": "dim",
    "NOT_APPLICABLE": "dim",
}
_SHORT = {
    "MITIGATED": "MITIG.",
    "INCONCLUSIVE": "INCON.",
    "AWAITING_APPROVAL": "WAITS",
    "NO_BROWSER": "no br.",
    "NOT_RUN": "not run",
    "NOT_APPLICABLE": NOTHING,
}


ROOMY = 8
"""With more phases than that, each has a row of its own, so that 80 columns hold them."""


def print_suite(result: Tree, folder: Path, reports: Path, console: Console | None = None) -> None:
    """The status and the score, the table of apps and phases, what failed and what to do about it. `folder`
    is the suite's, `reports` where its reports were written."""
    console = console or stdout()
    width = min(console.width, WIDEST)
    summary = reports / SUMMARY
    console.print()
    console.print(Padding(_banner(result), (0, 0, 1, 1), expand=False), width=width)
    parts = (_matrix(result), _issues(result), _failures(result, summary), _waiting(result))
    for part in (*parts, _facts(result)):
        if part is not None:
            console.print(Padding(part, (0, 0, 1, 1), expand=False), width=width)
    for label, text in _last_lines(result, folder, summary):
        console.print(Text.assemble(" ", (f"{label:<10}", "dim"), clean(text)), soft_wrap=True)


def print_readiness(result: Tree, console: Console | None = None) -> None:
    """The score of a suite by its parts, as docs/readiness.md works it out."""
    console = console or stdout()
    table = plain_table()
    table.add_column("Part", overflow="fold")
    for name in ("First", "Last"):
        table.add_column(name, justify="right")
    for name, *scores in rows.parts(result):
        table.add_row(Text(clean(name)), *(rows.thousandths(score) for score in scores))
    console.print(Padding(table, (1, 0, 1, 1), expand=False))
    console.print(Text(f" score {clean(rows.score(result))}   status {clean(result.get('status'))}", "bold"))


def _banner(result: Tree) -> Table:
    top = Table.grid(padding=(0, 2))
    top.add_column(no_wrap=True)
    top.add_column(overflow="fold")
    status = str(result.get("status"))
    colour = STYLES.get(status)
    ink = "black" if colour == "yellow" else "white"
    badge = Text(f" {clean(status)} ", f"bold {ink} on {colour}" if colour else "bold reverse")
    mark = ("REHEARSAL   ", "bold magenta") if result.get("rehearsal") else ""
    told = Text.assemble(mark, (f"score {clean(rows.score(result))}", "bold"))
    top.add_row(badge, told)
    top.add_row(Text(), Text(clean(rows.headline(result))))
    for reason in rows.reasons(result):
        top.add_row(Text(), Text.assemble(("• ", "dim"), clean(reason)))
    return top


def _matrix(result: Tree) -> Table | None:
    """What became of each app in each phase: phases side by side, or where there are more than 80 columns
    hold, below each other."""
    phases, apps = rows.phases(result), rows.apps(result)
    if not phases:
        return None
    table = plain_table()

    def word(phase: Tree, app: str) -> Text:
        spot = rows.spot(phase, app)
        return _short(spot.verdict) if spot else Text(NOTHING, "dim")

    if len(phases) > ROOMY:
        table.padding = (0, 1, 0, 0)
        for name in ("Phase", *apps, "all"):
            table.add_column(Text(clean(name)), overflow="fold", min_width=5, no_wrap=name == "Phase")
        for phase in phases:
            cells = (word(phase, app) for app in apps)
            table.add_row(Text(clean(phase.get("name"))), *cells, _short(phase.get("verdict")))
        return table
    table.add_column("App", overflow="fold")
    for phase in phases:
        table.add_column(Text(clean(phase.get("name"))), overflow="fold", min_width=5)
    for app in apps:
        table.add_row(Text(clean(app)), *(word(phase, app) for phase in phases))
    table.add_section()
    table.add_row(Text("all", "dim"), *(_short(phase.get("verdict")) for phase in phases))
    return table


def _issues(result: Tree) -> Table | None:
    found = rows.issues(result)
    if not found:
        return None
    grid = Table.grid(padding=(0, 2))
    for _ in range(3):
        grid.add_column(overflow="fold")
    for issue in found:
        figures = Text.assemble(
            ("cold ", "dim"), clean(issue.cold), (" → ", "dim"), ("warm ", "dim"), clean(issue.warm)
        )
        grid.add_row(Text(clean(issue.id), "bold"), figures, _word(issue.state))
        grid.add_row(Text(), Text(clean(f"{issue.where}, {issue.limit}"), "dim"), Text())
    return grid


def _failures(result: Tree, summary: Path) -> Group | None:
    found = list(result.get("failures") or ())
    if not found:
        return None
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for one in found[:MOST_FAILURES]:
        where = " · ".join(clean(one.get(key)) for key in ("phase", "app", "of"))
        grid.add_row(_word("FAIL"), Text(where, "bold"))
        told = f"{clean(one.get('must_be'))}: was {clean(one.get('was'))}"
        grid.add_row(Text(), Text(told))
        if one.get("of") == "the run" and one.get("reason"):
            grid.add_row(Text(), Text(clean(one["reason"])))
        if one.get("remedy"):
            grid.add_row(Text(), Text.assemble(("remedy  ", "dim"), clean(one["remedy"])))
    parts: list[RenderableType] = [grid]
    if len(found) > MOST_FAILURES:
        parts.append(Text(clean(f"and {len(found) - MOST_FAILURES} more in {summary}"), "dim"))
    return Group(*parts)


def _waiting(result: Tree) -> Table | None:
    """What waits for an approval; a line for each reason."""
    needed = (result.get("approvals") or {}).get("needed") or {}
    waiting = [phase for phase, state, _ in rows.approvals(result) if state == "waits"]
    if not waiting:
        return None
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for phase in waiting:
        for at, why in enumerate(needed.get(phase) or ("",)):
            told = Text(clean(f"{phase}: {why}" if why else phase))
            grid.add_row(Text() if at else _short("AWAITING_APPROVAL"), told)
    return grid


def _facts(result: Tree) -> Table:
    lines = [("Suite", f"{result.get('suite_id')} · {span(result.get('duration_s'))}", "")]
    before = rows.score_before(result)
    if before:
        lines.append(("Before", before, ""))
    uptimes = rows.uptimes(result)
    fine = [row for row in uptimes if row[4] == "PASS"]
    if fine:
        lines.append(("Uptime", f"PASS for {plural(len(fine), 'app', 'apps')}", ""))
    others: dict[tuple[str, str, str], list[str]] = {}
    for app, uptime, _, _, verdict, reason in uptimes:
        if verdict != "PASS":
            others.setdefault((uptime, verdict, reason), []).append(app)
    for (uptime, verdict, reason), apps in others.items():
        told = f"{' '.join(apps)} {uptime}: {rows.judged_as(verdict)}" + (f", {reason}" if reason else "")
        lines.append(("Uptime", told, "red" if verdict == "FAIL" else "yellow"))
    for phase, state, _ in rows.approvals(result):
        if state != "waits":
            lines.append(("Approval", f"{phase}: {state}", ""))
    for issue, by, reason, until, state in rows.waivers(result):
        lines.append(("Waiver", f"{issue}, by {by} until {until} ({state}): {reason}", "yellow"))
    return labelled(lines)


def _last_lines(result: Tree, folder: Path, summary: Path) -> Iterator[tuple[str, str]]:
    """What is to be copied: commands, then the folder, and the report last."""
    run = str(folder)
    retests = dict.fromkeys([*to_retest(result, run), *to_measure_again(result, run)])
    commands = (
        ("Resume", to_resume(result, run)),
        ("Retest", [*retests]),
        ("Approve", to_approve(result, run)),
    )
    for label, lines in commands:
        yield from ((label if at == 0 else "", line) for at, line in enumerate(lines))
    yield ("Folder", run)
    yield ("Report", str(summary))


def _short(verdict: object) -> Text:
    """A verdict as short as a column is narrow."""
    word = str(verdict)
    return Text(clean(_SHORT.get(word, word)), _style(word), no_wrap=word in STYLES)


def _word(verdict: str) -> Text:
    return Text(clean(rows.judged_as(verdict)), _style(verdict))


def _style(word: str) -> str:
    """What passes is there to be passed over; only the rest is loud."""
    style = STYLES.get(word, "")
    return f"bold {style}" if style in ("red", "yellow") else style
