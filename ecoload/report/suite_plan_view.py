"""What `ecoload plan suite` shows: how much each app gets in each phase, for whoever decides whether it may.

Rules
-----
- Read off the plan; nothing is sent and nothing is looked up.
- Times are regular ones, without grace. A phase lasts as long as its batches, each as long as its longest
  run; its peak is that of the batch in which most is asked for at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ecoload.guard.peaks import peak_rate, peak_vus, regular_duration_ns, total_duration_ns
from ecoload.plan import (
    ConstantArrivalRate,
    ConstantVUs,
    Load,
    PerVUIterations,
    Plan,
    RampingArrivalRate,
    RampingVUs,
    SharedIterations,
    to_tree,
)
from ecoload.plan.suite import AppRun, Gate, Phase, SuitePlan
from ecoload.report.forms import NOTHING, clean, plural, rate, span, whole
from ecoload.report.plan_view import reach_of
from ecoload.report.tables import WIDEST, labelled, plain_table, stdout

Gated = Mapping[str, Sequence[str]]

_GATES = {Gate.HALT: "halts", Gate.PASS: "must pass", Gate.NONE: NOTHING}


def print_suite_plan(suite: SuitePlan, gated: Gated, console: Console | None = None) -> None:
    """What the suite would send, and what it would need; nothing is sent. `gated` holds the phases that
    need an approval, with the reasons."""
    console = console or stdout()
    width = min(console.width, WIDEST)
    mark = ("  REHEARSAL", "bold magenta") if suite.rehearsal else ""
    title = Text.assemble((clean(suite.protocol.name), "bold"), mark, ("  nothing is sent", "dim"))
    console.print(Padding(title, (1, 0, 1, 1)))
    for part in (_matrix(suite), _phases(suite, gated), _facts(suite, gated)):
        console.print(Padding(part, (0, 0, 1, 1), expand=False), width=width)


def suite_plan_tree(suite: SuitePlan, gated: Gated) -> dict[str, Any]:
    """The same as plain values, for `--json`. A rate without a bound is null."""
    return {
        "protocol": to_tree(suite.protocol),
        "tool_version": suite.tool_version,
        "apps": list(suite.apps),
        "rehearsal": list(suite.rehearsal),
        "duration_scale": suite.duration_scale,
        "seed": suite.seed,
        "duration_s": _total_ns(suite) / 1e9,
        "warmed_duration_s": _warmed_ns(suite) / 1e9,
        "peak_vus": max(map(_vus, suite.phases), default=0),
        "peak_starts_per_s": _highest([_starts(phase) for phase in suite.phases]),
        "phases": [_phase_tree(phase, gated) for phase in suite.phases],
        "known_issues": to_tree(suite.known_issues),
        "watched": [watched.app for watched in suite.watched],
        "uptime": suite.uptime,
        "spec_hash": suite.spec_hash,
        "execution_hash": suite.execution_hash,
    }


def how_much(plan: Plan) -> str:
    """What a plan asks for as short as can be: `20 VUs 15m`, `5→100→5 10m`, `100/s 2m`, `3×`."""
    if plan.flow is not None:
        return f"{len(plan.flow.cases) * plan.flow.repeat}×"
    if plan.browser is not None:
        return "1×"
    each = [_asked(load) for load in plan.loads]
    if len({one[1:] for one in each}) != 1:
        return " + ".join(f"{amount}{unit} {length}" for amount, unit, length in each) or NOTHING
    amounts = [amount for amount, _, _ in each]
    _, unit, length = each[0]
    equal = len(amounts) > 2 and len(set(amounts)) == 1
    joined = f"{len(amounts)}×{amounts[0]}" if equal else "+".join(amounts)
    return f"{joined}{unit} {length}"


def short_span(ns: int) -> str:
    """A length of time as people write it in a profile: `15m`, `60m`, `90s`, `0.6s`."""
    seconds = ns / 1e9
    if seconds < 120 and seconds % 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if rest else f"{minutes}m"


def _asked(load: Load) -> tuple[str, str, str]:
    """`(amount, unit, length)` of one load."""
    executor = load.executor
    length = short_span(regular_duration_ns(executor))
    match executor:
        case ConstantVUs():
            return f"{executor.vus}", " VU" if executor.vus == 1 else " VUs", length
        case RampingVUs():
            return _course([executor.start_vus, *(s.target for s in executor.stages)]), "", length
        case ConstantArrivalRate():
            return f"{executor.rate:g}", _per(executor.time_unit_ns), length
        case RampingArrivalRate():
            course = _course([executor.start_rate, *(s.target for s in executor.stages)])
            return course, _per(executor.time_unit_ns), length
        case SharedIterations():
            return whole(executor.iterations), f" by {plural(executor.vus, 'VU', 'VUs')}", f"≤ {length}"
        case PerVUIterations():
            return f"{executor.vus}×{whole(executor.iterations)}", " by VU", f"≤ {length}"


def _course(targets: Sequence[float]) -> str:
    """`5→100→5`: a level that is held is named once."""
    return "→".join(f"{level:g}" for level, _ in groupby(targets))


def _per(time_unit_ns: int) -> str:
    return "/s" if time_unit_ns == 1_000_000_000 else f"/{short_span(time_unit_ns)}"


def _usual(phase: Phase) -> str | None:
    """What more than one app of the phase gets, and most of them."""
    found = Counter(how_much(run.plan) for run in phase.runs).most_common(1)
    return found[0][0] if found and found[0][1] > 1 else None


def _is_own(phase: Phase, run: AppRun) -> bool:
    """Whether the app gets something else than most do."""
    usual = _usual(phase)
    return usual is not None and how_much(run.plan) != usual


def _matrix(suite: SuitePlan) -> RenderableType:
    """What each app gets in each phase; with more phases than apps, a row for each phase."""
    table = plain_table()
    extra = [run.app for _, run in suite.runs if run.app not in suite.apps]
    apps = [*dict.fromkeys([*suite.apps, *extra])]
    grid = {(phase.name, app): _asked_of(phase, app) for phase in suite.phases for app in apps}
    if len(suite.phases) > len(apps):
        table.padding = (0, 1, 0, 0)
        for name in ("Phase", *apps):
            table.add_column(Text(clean(name)), overflow="fold", no_wrap=name == "Phase")
        for phase in suite.phases:
            table.add_row(Text(clean(phase.name)), *(grid[phase.name, app] for app in apps))
    else:
        table.add_column("App", overflow="fold")
        for phase in suite.phases:
            table.add_column(Text(clean(phase.name)), overflow="fold")
        for app in apps:
            table.add_row(Text(clean(app)), *(grid[phase.name, app] for phase in suite.phases))
    # A caption would be no wider than the table, which can be narrow.
    marked = any(cell.plain.endswith("*") for cell in grid.values())
    return Group(table, Text("* the app's own, not what most apps get", "dim")) if marked else table


def _asked_of(phase: Phase, app: str) -> Text:
    runs = [run for run in phase.runs if run.app == app]
    text = " + ".join(how_much(run.plan) for run in runs)
    own = any(_is_own(phase, run) for run in runs)
    return Text(f"{text}*" if own else text or NOTHING, "" if text else "dim")


def _phases(suite: SuitePlan, gated: Gated) -> Table:
    table = plain_table()
    for name, right in (("Phase", 0), ("Gate", 0), ("Runs", 1), ("At once", 1), ("Time", 1), ("VUs", 1),
                        ("Starts/s", 1), ("Approval", 0)):  # fmt: skip
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for phase in suite.phases:
        starts = _starts(phase)
        table.add_row(
            Text(clean(phase.name + (" (optional)" if phase.optional else ""))),
            _GATES[phase.gate],
            str(len(phase.runs)),
            str(max((len(batch) for batch in phase.batches), default=0)),
            span(_phase_ns(phase) / 1e9),
            whole(_vus(phase)),
            "no bound" if starts is None else rate(starts),
            Text("needed" if phase.name in gated else NOTHING, "yellow" if phase.name in gated else "dim"),
        )
    return table


def _facts(suite: SuitePlan, gated: Gated) -> Table:
    most = _highest([_starts(phase) for phase in suite.phases])
    vus = max(map(_vus, suite.phases), default=0)
    warmed = _warmed_ns(suite)
    more = f", and up to {span(warmed / 1e9)} more where known issues are retested" if warmed else ""
    apps = ", ".join(one.app for one in suite.watched)
    watched = f"{apps}: uptime ≥ {suite.uptime * 100:.6g} %, asked once a second"
    lines = [
        *(("Rehearsal", reason, "magenta") for reason in suite.rehearsal),
        ("Time", f"{span(_total_ns(suite) / 1e9)} and grace{more}", ""),
        ("At most", f"{whole(vus)} VUs · {'no bound on' if most is None else rate(most)} starts/s", ""),
        *reach_of([run.plan for _, run in suite.runs]),
        *([("Watched", watched, "")] if apps else []),
        *(("Known", f"{issue.id}: {issue.summary}", "") for issue in suite.known_issues),
        ("Scale", f"{suite.duration_scale:g}", ""),
        ("Seed", str(suite.seed), ""),
        ("Spec", suite.spec_hash, ""),
        ("Plan", suite.execution_hash, ""),
        *(("Approval", f"{name}: {reason}", "yellow") for name, why in gated.items() for reason in why),
    ]
    return labelled(lines)


def _phase_tree(phase: Phase, gated: Gated) -> dict[str, Any]:
    return {
        "name": phase.name,
        "profile": phase.profile,
        "gate": phase.gate.value,
        "optional": phase.optional,
        "parallel": phase.parallel,
        "duration_s": _phase_ns(phase) / 1e9,
        "peak_vus": _vus(phase),
        "peak_starts_per_s": _starts(phase),
        "approval": list(gated.get(phase.name, ())),
        "runs": [
            {
                "app": run.app,
                "flow": run.plan.flow_name or None,
                "asks_for": how_much(run.plan),
                "own": _is_own(phase, run),
                "duration_s": total_duration_ns(run.plan, grace=False) / 1e9,
                "peak_vus": peak_vus(run.plan),
                "peak_starts_per_s": peak_rate(run.plan),
                "spec_hash": run.plan.spec_hash,
                "execution_hash": run.plan.execution_hash,
                "warmed_execution_hash": run.warmed.execution_hash if run.warmed else None,
            }
            for run in phase.runs
        ],
    }


def _phase_ns(phase: Phase) -> int:
    return sum(max(total_duration_ns(run.plan, grace=False) for run in batch) for batch in phase.batches)


def _total_ns(suite: SuitePlan) -> int:
    return sum(map(_phase_ns, suite.phases))


def _warmed_ns(suite: SuitePlan) -> int:
    return sum(total_duration_ns(plan, grace=False) for plan in _warmed(suite))


def _warmed(suite: SuitePlan) -> Iterator[Plan]:
    return (run.warmed for _, run in suite.runs if run.warmed is not None)


def _vus(phase: Phase) -> int:
    return max((sum(peak_vus(run.plan) for run in batch) for batch in phase.batches), default=0)


def _starts(phase: Phase) -> float | None:
    """Iteration starts a second at most; None where nothing bounds them."""
    return _highest([_sum([peak_rate(run.plan) for run in batch]) for batch in phase.batches])


def _sum(rates: Sequence[float | None]) -> float | None:
    known = [one for one in rates if one is not None]
    return sum(known) if len(known) == len(rates) else None


def _highest(rates: Sequence[float | None]) -> float | None:
    known = [one for one in rates if one is not None]
    return max(known, default=0.0) if len(known) == len(rates) else None
