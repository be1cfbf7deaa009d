"""The report of a fault: what the breaker did, as a picture and in words, and each oracle.

Rules
-----
- Figures are those of the verdict; nothing is formed here but places in the picture.
- The picture is SVG within the page: no script, no style attribute; what it shows stands in tables too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ecoload.errors import OutputFailed
from ecoload.measure.resiliency import ResiliencyFound
from ecoload.measure.result import ProofResult
from ecoload.plan import Plan
from ecoload.report.folder import replace
from ecoload.report.forms import NOTHING, ms, whole
from ecoload.report.markdown import escaped, table
from ecoload.report.markup import asset, badge, page, section, terms, text, tone
from ecoload.report.markup import table as html_table
from ecoload.verdict.resiliency import Course, course_of, judge_resiliency
from ecoload.verdict.slo import worst

PAGE, REPORT = "resiliency_report.html", "resiliency_report.md"
_WIDTH, _LEFT, _RIGHT = 960, 90, 20
_LANES = {"closed": 40, "half_open": 70, "open": 100}
_FAULT, _LOAD = 140, 200
_HEIGHT = 250
_HEAD = ("Verdict", "Oracle", "Must be", "Was", "Reason")


def write_resiliency(folder: Path, plan: Plan, run_id: str, found: ResiliencyFound) -> None:
    """Writes `resiliency_report.md` and `.html`. Raises OutputFailed."""
    course, proofs = course_of(found), judge_resiliency(plan, found)
    try:
        replace(folder / REPORT, resiliency_markdown(plan, run_id, found, course, proofs).encode())
        replace(folder / PAGE, resiliency_html(plan, run_id, found, course, proofs).encode())
    except OSError as error:
        raise OutputFailed(f"{error.filename or folder}: {error.strerror}; free some space") from error


def resiliency_markdown(
    plan: Plan, run_id: str, found: ResiliencyFound, course: Course, proofs: Sequence[ProofResult]
) -> str:
    """The report in words."""
    lines = [f"# Resiliency of {escaped(plan.app)}: {_verdict(proofs)}", ""]
    lines += [*table(("", ""), _facts(plan, run_id, found, course)), ""]
    lines += ["## Oracles", "", *table(_HEAD, [_row(one) for one in proofs]), ""]
    lines += [
        "## The breaker",
        "",
        *table(("From, s", "To, s", "State"), _timeline(course), right=(0, 1)),
        "",
    ]
    lines += ["## The fault", "", *table(("At, s", "What", "Problem"), _events(found), right=(0,)), ""]
    lines += ["Times count from the load's beginning; a state is known at the moments at which it was asked."]
    return "\n".join(lines) + "\n"


def resiliency_html(
    plan: Plan, run_id: str, found: ResiliencyFound, course: Course, proofs: Sequence[ProofResult]
) -> str:
    """The report as a page, with the picture of the timeline."""
    verdict = _verdict(proofs)
    head = (
        f'<header class="{tone(verdict)}"><div class="wide">\n<p class="kicker">ecoload</p>\n'
        f"<h1>Resiliency <span>·</span> {text(plan.app)}</h1>\n"
        f'<p class="verdict"><strong class="badge {tone(verdict)}">{verdict}</strong></p>\n'
        f"<dl>{terms(_facts(plan, run_id, found, course))}</dl>\n</div></header>\n<main>\n"
    )
    oracles = [[badge(cells[0]), *(text(cell) for cell in cells[1:])] for cells in map(_row, proofs)]
    states = [[text(cell) for cell in row] for row in _timeline(course)]
    events = [[text(cell) for cell in row] for row in _events(found)]
    body = (
        section("Timeline", _picture(found, course))
        + section("Oracles", html_table(_HEAD, oracles, numbers=(), label="Oracles"))
        + section(
            "The breaker", html_table(("From, s", "To, s", "State"), states, numbers=(1,), label="States")
        )
        + section("The fault", html_table(("At, s", "What", "Problem"), events, numbers=(), label="Fault"))
    )
    style = asset("page/report.css") + _STYLE
    return page(f"Resiliency of {plan.app}: {verdict}", f"{head}{body}</main>\n", style)


_STYLE = """
.timeline{width:100%;height:auto;font:13px system-ui,sans-serif}
.timeline text{fill:currentColor}.timeline .axis{stroke:currentColor;stroke-opacity:.25}
.timeline .closed{stroke:#2e9e5b}.timeline .open{stroke:#d64545}.timeline .half_open{stroke:#e0a126}
.timeline .other{stroke:#888}.timeline .state{stroke-width:9;stroke-linecap:butt}
.timeline .step{stroke:currentColor;stroke-opacity:.45;stroke-width:1.5}
.timeline .fault{fill:#d64545;fill-opacity:.3}
.timeline .ok{fill:#2e9e5b}.timeline .bad{fill:#d64545}
"""


def _verdict(proofs: Sequence[ProofResult]) -> str:
    return worst(one.verdict for one in proofs).value if proofs else "INCONCLUSIVE"


def _facts(plan: Plan, run_id: str, found: ResiliencyFound, course: Course) -> list[tuple[str, str]]:
    assert plan.resiliency is not None, "the plan of a fault"
    fault, protocol = plan.resiliency.fault, plan.protocol
    renewed = sum(one.what == "renewed" and not one.problem for one in found.fault)
    lasts = (
        f"{fault.ttl_ns / 1e9:g} s unless renewed"
        if fault.ttl_ns
        else "until it is withdrawn (cannot expire)"
    )
    route, share = plan.routes[fault.inject.route], course.error_share
    facts = [
        ("Assigned app", protocol.assigned_app),
        ("Mode", protocol.mode),
        ("Protocol", protocol.name),
        ("Namespace", protocol.namespace),
        ("Run", run_id),
        ("Fault", f"{route.app} {route.name}, lasts {lasts}"),
        ("Set", f"after {_at(course.set_s)}, renewed {renewed} times"),
        ("Withdrawn", f"after {_at(course.withdrawn_s)}"),
        ("Opened", f"{_after(course.opened_s, course.set_s)} after the fault was set"),
        ("Closed again", f"{_after(course.closed_s, course.withdrawn_s)} after the fault was withdrawn"),
        ("P95 before · open · after", " · ".join(_ms(one) for one in (
            course.p95_before_ms, course.p95_open_ms, course.p95_after_ms))),
        ("Requests of the guarded route", whole(course.requests)),
        ("Error budget spent", NOTHING if share is None else f"{course.errors} failed, {share * 100:.1f} %"),
        ("While open", f"{course.while_open} requests, {course.fallbacks} fallback answers, "
                       f"{course.let_through} let through"),
        ("Resolution", f"{found.resolution_s * 1000:.0f} ms, {whole(found.polls)} questions"),
        ("Plan (execution hash)", plan.execution_hash),
    ]  # fmt: skip
    return [(label, value) for label, value in facts if value]


def _row(one: ProofResult) -> tuple[str, ...]:
    expected = NOTHING if one.expected is None else str(one.expected)
    return (
        one.verdict.value,
        one.name,
        expected,
        NOTHING if one.found is None else str(one.found),
        one.reason,
    )


def _timeline(course: Course) -> list[tuple[str, str, str]]:
    rows, before = [], ""
    for one in course.spans:
        anew = ", anew" if one.state == before else ""
        rows.append((f"{one.from_s:.1f}", f"{one.to_s:.1f}", f"{one.state.replace('_', '-')}{anew}"))
        before = one.state
    return rows


def _events(found: ResiliencyFound) -> list[tuple[str, str, str]]:
    return [(f"{one.at_s:.1f}", one.what, one.problem or NOTHING) for one in found.fault]


def _picture(found: ResiliencyFound, course: Course) -> str:
    end = max([found.ended_s, *(one.to_s for one in course.spans), 1.0])
    said = "; ".join(f"{state} from {start} to {to} s" for start, to, state in _timeline(course))
    parts = [
        f'<svg class="timeline" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="The breaker: {text(said)}">'
    ]
    parts += _axis(end)
    if course.set_s is not None:
        to = course.withdrawn_s if course.withdrawn_s is not None else end
        parts.append(f'<rect class="fault" x="{_x(course.set_s, end):.1f}" y="{_FAULT - 9}" '
                     f'width="{_x(to, end) - _x(course.set_s, end):.1f}" height="18"></rect>')  # fmt: skip
    before = None
    for one in course.spans:
        y = _LANES.get(one.state, 120)
        kind = one.state if one.state in _LANES else "other"
        x1, x2 = _x(one.from_s, end), _x(one.to_s, end)
        if before is not None:
            # A state that was begun anew has a tick: what was between them was too short to be seen.
            top, foot = (before, y) if before != y else (y - 9, y + 9)
            parts.append(f'<line class="step" x1="{x1:.1f}" y1="{top}" x2="{x1:.1f}" y2="{foot}"></line>')
        parts.append(
            f'<line class="state {kind}" x1="{x1:.1f}" y1="{y}" x2="{max(x2, x1 + 1):.1f}" y2="{y}"></line>'
        )
        before = y
    parts += _bars(found, end)
    return "".join([*parts, "</svg>"])


def _axis(end: float) -> Iterator[str]:
    for name, y in (
        *((name.replace("_", "-"), y) for name, y in _LANES.items()),
        ("fault", _FAULT),
        ("answers", _LOAD - 8),
    ):
        yield f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{name}</text>'
    step = next(s for s in (1, 2, 5, 10, 30, 60, 300, 900, 3600, 86400) if end / s <= 12 or s == 86400)
    for number in range(int(end // step) + 1):
        x = _x(number * step, end)
        yield f'<line class="axis" x1="{x:.1f}" y1="25" x2="{x:.1f}" y2="{_LOAD + 22}"></line>'
        yield f'<text x="{x:.1f}" y="{_LOAD + 40}" text-anchor="middle">{number * step} s</text>'


def _bars(found: ResiliencyFound, end: float) -> Iterator[str]:
    """Answers of the guarded route by second: those that were ok above the line, those that failed below."""
    rows = found.answers.table()
    seconds = (rows[:, 2] // 1_000_000_000).tolist()
    good: dict[int, int] = {}
    bad: dict[int, int] = {}
    for second, outcome in zip(seconds, rows[:, 3].tolist(), strict=True):
        counts = bad if outcome else good
        counts[second] = counts.get(second, 0) + 1
    most = max([*good.values(), *bad.values(), 1])
    wide = max(1.0, (_x(1, end) - _x(0, end)) * 0.8)
    for kind, counts in (("ok", good), ("bad", bad)):
        for second, count in sorted(counts.items()):
            height = 24 * count / most
            y = _LOAD - 10 - height if kind == "ok" else _LOAD - 8
            yield (f'<rect class="{kind}" x="{_x(second, end):.1f}" y="{y:.1f}" width="{wide:.1f}" '
                   f'height="{height:.1f}"><title>{second} s: {count} {kind}</title></rect>')  # fmt: skip


def _x(at_s: float, end: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(at_s, 0.0), end) / end


def _at(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f} s"


def _after(value: float | None, before: float | None) -> str:
    return NOTHING if value is None or before is None else f"{value - before:.1f} s"


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{ms(value)} ms"
