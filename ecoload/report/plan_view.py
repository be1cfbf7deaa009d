"""What a plan would do, for whoever decides whether it may.

Rules
-----
- Read off the plan, whose hosts whoever made it has looked up: the hash that is shown is the one that an
  approval signs. Nothing is sent.
- Only the routes that the plan's loads send to are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ecoload.guard.approval import reasons_for_approval
from ecoload.guard.peaks import peak_rate, peak_vus, total_duration_ns
from ecoload.plan import (
    Choose,
    ClientCredentials,
    ConstantArrivalRate,
    ConstantVUs,
    Load,
    Origin,
    PerVUIterations,
    Plan,
    RampingArrivalRate,
    RampingVUs,
    SharedIterations,
    Stage,
    Step,
    to_tree,
)
from ecoload.report.forms import clean, plural, rate, span, whole
from ecoload.report.rows import level_text
from ecoload.report.tables import WIDEST, labelled, plain_table, stdout


def print_plan(plan: Plan, console: Console | None = None) -> None:
    """What a run of this plan would send, and what it would need; nothing is sent."""
    console = console or stdout()
    width = min(console.width, WIDEST)
    title = Text.assemble(
        (f"{clean(plan.app)} · {clean(plan.profile)}", "bold"), ("  nothing is sent", "dim")
    )
    console.print(Padding(title, (1, 0, 1, 1)))
    for part in (_plan_loads(plan), _plan_routes(plan), _plan_facts(plan)):
        console.print(Padding(part, (0, 0, 1, 1), expand=False), width=width)


def _plan_loads(plan: Plan) -> Table:
    table = plain_table()
    for name in ("Load", "Scenario", "Executor", "Asks for", "From", "Grace"):
        table.add_column(name, overflow="fold")
    for load in plan.loads:
        table.add_row(
            Text(clean(load.name)),
            Text(clean(plan.scenarios[load.scenario].name)),
            Text(clean(load.executor_name)),
            Text(_asks_for(load)),
            span(load.start_time_ns / 1e9),
            span(load.graceful_stop_ns / 1e9),
        )
    return table


def _plan_routes(plan: Plan) -> Table:
    table = plain_table()
    for name in ("Route", "Request", "Effect", "Must reach"):
        table.add_column(name, overflow="fold")
    sent = _sent(plan)
    for index, route in enumerate(plan.routes):
        if index not in sent:
            continue
        slo = route.slo
        levels = [level_text(name, limit) for name, limit in to_tree(slo).items() if limit is not None]
        table.add_row(
            Text(clean(f"{route.app} {route.name}")),
            Text(clean(f"{route.method} {route.path}")),
            route.effect,
            Text(", ".join(levels) or "–"),
        )
    return table


def _plan_facts(plan: Plan) -> Table:
    most = peak_rate(plan)
    lines = [
        ("Time", f"{span(total_duration_ns(plan, grace=False) / 1e9)} and grace", ""),
        (
            "At most",
            f"{whole(peak_vus(plan))} VUs · {'no bound on' if most is None else rate(most)} starts/s",
            "",
        ),
        *reach_of([plan]),
        *((f"Tokens of {app}", _tokens(auth, plan), "") for app, auth in plan.auths.items()),
        *([("Decides", f"{', '.join(plan.decides)}; other levels are shown", "")] if plan.decides else []),
        ("Seed", str(plan.seed), ""),
        ("Spec", plan.spec_hash, ""),
        ("Plan", plan.execution_hash, ""),
    ]
    lines += [("Approval", reason, "yellow") for reason in reasons_for_approval(plan)]
    return labelled(lines)


def reach_of(plans: Sequence[Plan]) -> list[tuple[str, str, str]]:
    """Where plans may lead, by whom, and whose code decides it."""
    places: dict[str, dict[str, None]] = {}
    for origin in (origin for plan in plans for origin in plan.origins):
        where = f"{origin.scheme}://{origin.authority}{_addresses(origin)}"
        where = "embedded sandbox" if origin.embedded else where
        places.setdefault(f"{where} ({origin.environment})", {})[origin.app] = None
    reach = "; ".join(f"{' '.join(apps)}: {place}" for place, apps in places.items())
    proxies = dict.fromkeys(plan.proxy for plan in plans if plan.proxy)
    modules = dict.fromkeys(
        scenario.module for plan in plans for scenario in plan.scenarios if scenario.module
    )
    lines = [("May reach", reach, "")]
    lines += [("Proxy", ", ".join(proxies), "yellow")] if proxies else []
    lines += [("Python", f"{', '.join(modules)}: its code is run", "yellow")] if modules else []
    return lines


def _addresses(origin: Origin) -> str:
    """Where a name leads; nothing for a literal address."""
    if origin.addresses == (origin.host,):
        return ""
    return f" at {', '.join(origin.addresses)}" if origin.addresses else " at no known address"


def _tokens(auth: ClientCredentials, plan: Plan) -> str:
    scope = f", for {auth.scope}" if auth.scope else ""
    return f"from {plan.origins[auth.origin].app}:{auth.path} as {auth.client_id}{scope}"


def _asks_for(load: Load) -> str:
    executor = load.executor
    match executor:
        case ConstantVUs():
            text = f"{plural(executor.vus, 'VU', 'VUs')} for {span(executor.duration_ns / 1e9)}"
        case RampingVUs():
            text = f"VUs {executor.start_vus}{_stages(executor.stages)}"
        case ConstantArrivalRate():
            unit = _unit(executor.time_unit_ns)
            text = f"{executor.rate:g}/{unit} for {span(executor.duration_ns / 1e9)}, {executor.max_vus} VUs"
        case RampingArrivalRate():
            unit = _unit(executor.time_unit_ns)
            text = f"{executor.start_rate:g}{_stages(executor.stages)} /{unit}, {executor.max_vus} VUs"
        case SharedIterations():
            text = f"{whole(executor.iterations)} iterations shared by {executor.vus} VUs"
        case PerVUIterations():
            text = f"{whole(executor.iterations)} iterations by each of {executor.vus} VUs"
    return f"{text}, one iteration each {load.pacing_ns / 1e9:g}s" if load.pacing_ns else text


def _stages(stages: Sequence[Stage]) -> str:
    return "".join(f" → {stage.target:g} ({span(stage.duration_ns / 1e9)})" for stage in stages)


def _unit(time_unit_ns: int) -> str:
    return "s" if time_unit_ns == 1_000_000_000 else span(time_unit_ns / 1e9)


def _sent(plan: Plan) -> set[int]:
    """Indices of the routes that the loads send to; all of them where a Python scenario decides it."""
    scenarios = [plan.scenarios[load.scenario] for load in plan.loads]
    if any(scenario.module is not None for scenario in scenarios):
        return set(range(len(plan.routes)))
    return {
        step.route
        for scenario in scenarios
        for part in (scenario.setup, scenario.steps, scenario.teardown)
        for step in _steps(part)
    }


def _steps(parts: Sequence[Step | Choose]) -> Iterator[Step]:
    for part in parts:
        if isinstance(part, Step):
            yield part
        else:
            for branch in part.branches:
                yield from _steps(branch.steps)
