"""`ecosystem_perf_summary.html`: the suite on one page that needs nothing else, not even a script.

Rules
-----
- The page may load nothing and run nothing; a link leads to a run's own report, below `to_suite`.
- Foreign text is cleaned and escaped; a folder that is none of ours is no link.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from ecoload.report import suite_rows as rows
from ecoload.report.forms import NOTHING, clean
from ecoload.report.markup import asset, page, section, table, terms, text, tone
from ecoload.report.suite_commands import to_approve, to_retest
from ecoload.report.suite_rows import Spot, Tree


def suite_html(result: Tree, run: str, to_suite: str) -> str:
    """The page of a suite. `run` is the suite's folder as the commands name it, `to_suite` the way to it
    from the page's own folder."""
    body = "".join(
        (
            _head(result),
            _matrix(result, to_suite),
            _failures(result, run),
            _issues(result),
            _approvals(result, run),
            _uptime(result),
            _measured(result),
        )
    )
    title = f"Ecosystem performance: {clean(result.get('status'))}"
    return page(title, body, asset("page/report.css") + asset("page/suite.css"))


def _head(result: Tree) -> str:
    status = str(result.get("status"))
    mark = '<strong class="badge mark">REHEARSAL</strong>' if result.get("rehearsal") else ""
    found = "".join(f"<li>{text(reason)}</li>" for reason in rows.reasons(result))
    listed = f"<ul>{found}</ul>" if found else ""
    before = rows.score_before(result)
    before = f"<small>before: {text(before)}</small>" if before else ""
    return (
        f'<header class="{tone(status)}"><div class="wide">\n<p class="kicker">ecoload</p>\n'
        "<h1>Ecosystem performance</h1>\n"
        f'<p class="verdict"><strong class="badge {tone(status)}">{text(status)}</strong>{mark}</p>\n'
        f'<p class="score"><small>Readiness score</small>{text(rows.score(result))}{before}</p>\n'
        f'<p class="headline">{text(rows.headline(result))}</p>\n{listed}'
        f"<dl>{terms(rows.header(result))}</dl>\n</div></header>\n<main>\n"
    )


def _matrix(result: Tree, to_suite: str) -> str:
    phases = rows.phases(result)
    if not phases:
        return section("Phases and apps", "<p>No phase was asked for.</p>")
    body = []
    for app in rows.apps(result):
        spots = [rows.spot(phase, app) for phase in phases]
        body.append([text(app), *(_spot(spot, to_suite) for spot in spots)])
    body.append(["the phase", *(_badge(phase.get("verdict")) for phase in phases)])
    shown = table(["App", *(text(phase.get("name")) for phase in phases)], body, numbers=(), label="Phases")
    note = '<p class="quiet">A verdict leads to the report of the run that counts.</p>'
    why = [
        f"{phase.get('name')}, {rows.called(cell)}: {reason}"
        for phase in phases
        for cell in phase.get("cells") or ()
        if cell.get("verdict") != "PASS"
        for reason in cell.get("reasons") or ()
    ]
    listed = f'<ul class="quiet">{"".join(f"<li>{text(one)}</li>" for one in why)}</ul>' if why else ""
    return section("Phases and apps", f'<div class="matrix">{shown}</div>{note}{listed}')


def _spot(spot: Spot | None, to_suite: str) -> str:
    if spot is None:
        return f'<span class="quiet">{NOTHING}</span>'
    shown = _badge(spot.verdict)
    if not spot.folder:
        return shown
    return f'<a href="{text(quote(f"./{to_suite}/{spot.folder}/report.html"))}">{shown}</a>'


def _failures(result: Tree, run: str) -> str:
    found = result.get("failures") or ()
    if not found:
        return ""
    body = [
        [
            f"{text(one.get('phase'))} · {text(one.get('app'))}",
            text(one.get("of")),
            text(one.get("must_be")),
            f'<b class="fail">{text(one.get("was"))}</b>',
            f'<span class="quiet">{text(one.get("reason"))}</span>',
            text(one.get("remedy") or NOTHING),
        ]
        for one in found
    ]
    head = ("Where", "Of", "Must be", "Was", "Reason", "What to do")
    shown = table(head, body, numbers=(), label="Failures")
    again = '<p class="quiet">Once it is mended:</p>' + _commands(to_retest(result, run))
    return section("What failed", shown + again)


def _issues(result: Tree) -> str:
    found = "".join(
        f'<div class="issue"><h3>{text(issue.id)} {_badge(issue.state)}</h3>\n'
        f'<p class="figures"><span>cold</span> {text(issue.cold)} <span>→ warm</span> {text(issue.warm)} '
        f"<span>{text(issue.where)}, {text(issue.limit)}</span></p>\n"
        f"<p>{text(issue.summary)}</p><p><b>Recommended:</b> {text(issue.remedy)}</p>"
        f"{_waiver(result, issue.id)}</div>\n"
        for issue in rows.issues(result)
    )
    return section("Known issues", found) if found else ""


def _waiver(result: Tree, issue: str) -> str:
    return "".join(
        f"<p><b>Waived</b> by {text(by)} until {text(until)} ({text(state)}): {text(reason)}</p>"
        for waived, by, reason, until, state in rows.waivers(result)
        if waived == issue
    )


def _approvals(result: Tree, run: str) -> str:
    found = rows.approvals(result)
    if not found:
        return ""
    body = [[text(phase), text(state), text(why)] for phase, state, why in found]
    shown = table(("Phase", "State", "Needed because"), body, numbers=(), label="Approvals")
    commands = to_approve(result, run)
    goes_on = '<p class="quiet">What waits goes on with:</p>' + _commands(commands) if commands else ""
    return section("Approvals", shown + goes_on)


def _uptime(result: Tree) -> str:
    body = [
        [text(app), uptime, answered, probes, _badge(verdict), f'<span class="quiet">{text(reason)}</span>']
        for app, uptime, answered, probes, verdict, reason in rows.uptimes(result)
    ]
    head = ("App", "Uptime", "Probes answered", "Probes", "Verdict", "Reason")
    return section("Uptime", table(head, body, numbers=(1, 2, 3), label="Uptime")) if body else ""


def _measured(result: Tree) -> str:
    items = terms(rows.measured(result))
    return section("How to check it", f'<dl class="facts">{items}</dl>') + "</main>\n"


def _commands(commands: Iterable[str]) -> str:
    listed = "\n".join(map(text, commands))
    return f'<pre tabindex="0">{listed}</pre>'


def _badge(verdict: object) -> str:
    """The words with blanks, the colour by the verdict itself."""
    word = str(verdict)
    return f'<span class="badge {tone(word)}">{text(rows.judged_as(word))}</span>'
