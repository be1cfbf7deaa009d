"""From a checked workspace to the plan of the whole protocol.

Rules
-----
- Phases and apps come in the order of the file, whatever the order they are asked for in.
- An app takes part in a phase where it has a scenario, in flows where it is the flow's app; one that a phase
  names must have one. Where all apps are asked for, a phase in which none takes part is a mistake, never left
  out.
- The health phase is one plan: each health route of each app at its own arrival rate, side by side, their
  starts spread over the period. It is never scaled.
- Scaled durations, left-out phases (optional ones excepted) or left-out apps make a rehearsal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import ecoload
from ecoload.errors import UsageError
from ecoload.plan import (
    ConstantArrivalRate,
    Load,
    OnExhausted,
    Plan,
    Probe,
    ProtocolHeader,
    Scenario,
    Step,
    Warm,
)
from ecoload.plan.suite import AppRun, Gate, KnownIssue, Phase, Remedy, SuitePlan, Watched
from ecoload.spec import template
from ecoload.spec.browser_planning import make_browser
from ecoload.spec.flow_planning import make_flow
from ecoload.spec.planning import make_bare, make_plan, written_hash

if TYPE_CHECKING:
    from ecoload.spec.phases import HealthShape, PhaseShape
    from ecoload.spec.workspace import Workspace

ALL_APPS = "all"
_SECOND = 1_000_000_000
_MOST_VUS_EACH = 4
"""Of a health route: a slow one queues, and its waiting counts."""


def make_suite(
    workspace: Workspace,
    *,
    phases: Sequence[str] = (),
    apps: Sequence[str] = (),
    parallel: int | None = None,
    seed: int = 1,
    duration_scale: float = 1.0,
    **options: Any,
) -> SuitePlan:
    """The protocol of a workspace, or what of it is asked for; `options` are those of `make_plan`.
    Raises UsageError."""
    targets = workspace.targets
    if not targets.phases:
        raise UsageError("targets.yaml has no phases:, so there is no protocol to carry out")
    _known("phase", phases, [phase.name for phase in targets.phases])
    _known("app", apps, workspace.apps)
    chosen_apps = tuple(app for app in workspace.apps if not apps or app in apps)
    chosen = [phase for phase in targets.phases if not phases or phase.name in phases]
    issues = tuple(issue.value() for issue in targets.known_issues if issue.app in chosen_apps)
    make = _Maker(workspace, seed, duration_scale, issues, options)
    made = [make.phase(shape, chosen_apps, parallel) for shape in chosen]
    if not apps and (without := [phase.name for phase in made if not phase.runs]):
        raise UsageError(f"no app has a scenario, so {', '.join(without)} would run nothing")
    whole = tuple(phase for phase in made if phase.runs)
    if not whole:
        raise UsageError("none of these apps takes part in these phases: nothing would be run")
    return SuitePlan(
        tool_version=ecoload.__version__,
        protocol=ProtocolHeader(**targets.protocol.model_dump()),
        apps=chosen_apps,
        phases=whole,
        known_issues=issues,
        remedies=_remedies(workspace, chosen_apps),
        watched=tuple(_watched(workspace, whole[0].runs[0].plan, chosen_apps)),
        uptime=targets.defaults.uptime,
        seed=seed,
        duration_scale=duration_scale,
        rehearsal=tuple(_rehearsal(workspace, chosen, chosen_apps, duration_scale)),
    )


class _Maker:
    """Makes the phases of one suite."""

    def __init__(
        self,
        workspace: Workspace,
        seed: int,
        scale: float,
        issues: tuple[KnownIssue, ...],
        options: Mapping[str, Any],
    ) -> None:
        self._workspace, self._seed, self._scale = workspace, seed, scale
        self._issues, self._options = issues, options

    def phase(self, shape: PhaseShape, apps: Sequence[str], parallel: int | None) -> Phase:
        named = [app for app in apps if shape.apps is None or app in shape.apps]
        without: tuple[str, ...] = ()
        if shape.health is not None:
            plan = self._health(shape.name, shape.health, named)
            runs: tuple[AppRun, ...] = (AppRun(ALL_APPS, plan),) if plan else ()
        elif shape.flows is not None:
            names = _chosen(shape.flows, self._workspace.flows, named)
            runs = tuple(self._flow(make_flow, name) for name in names)
        elif shape.browser is not None:
            names = _chosen(shape.browser, self._workspace.browser, named)
            runs = tuple(self._flow(make_browser, name) for name in names)
        else:
            assert shape.profile is not None
            runs = tuple(self._run(app, shape.profile) for app in named if self._takes_part(app, shape))
            without = tuple(app for app in named if shape.profile not in self._workspace.profiles_of(app))
        return Phase(
            name=shape.name,
            profile=shape.profile,
            gate=Gate(shape.gate),
            runs=runs,
            parallel=parallel or shape.parallel,
            optional=shape.optional,
            not_applicable=without,
        )

    def _flow(self, make: Callable[..., Plan], name: str) -> AppRun:
        plan = make(self._workspace, name, seed=self._seed, together=True, **self._options)
        return AppRun(plan.app, plan)

    def _takes_part(self, app: str, shape: PhaseShape) -> bool:
        if shape.profile not in self._workspace.profiles_of(app):
            return False
        # An app that is named and has no scenario is a mistake; `make_plan` says so.
        return bool(shape.apps) or bool(self._workspace.scenarios_of(app))

    def _run(self, app: str, profile: str) -> AppRun:
        plan = self._plan(app, profile)
        home = next(i for i, origin in enumerate(plan.origins) if origin.app == app)
        warm = tuple(
            Warm(home, template.parse_text(issue.warm), issue.every_ns)
            for issue in self._issues
            if issue.app == app and issue.warm is not None
        )
        return AppRun(app, plan, dataclasses.replace(plan, warm=warm) if warm else None)

    def _plan(self, app: str, profile: str) -> Plan:
        return make_plan(
            self._workspace,
            app,
            profile,
            seed=self._seed,
            duration_scale=self._scale,
            together=True,
            **self._options,
        )

    def _health(self, name: str, shape: HealthShape, apps: Sequence[str]) -> Plan | None:
        """One plan for all apps, judged by the levels that their routes have under no profile."""
        with_health = [app for app in apps if self._workspace.targets.apps[app].health]
        if not with_health:
            return None
        base = make_bare(self._workspace, with_health[0], seed=self._seed, **self._options)
        asked = _health_routes(self._workspace, base, with_health)
        most = max(1, min(_MOST_VUS_EACH, base.approval_over_vus // len(asked)))
        period_ns = round(_SECOND / shape.rate)
        loads, scenarios = [], []
        for index, (route, origin) in enumerate(asked):
            declared = base.routes[route]
            executor = ConstantArrivalRate(
                shape.rate, shape.requests * period_ns, 1, most, on_exhausted=OnExhausted.QUEUE
            )
            label = f"{declared.app}_{declared.name}"
            step = Step(route, origin, declared.method, declared.path, timeout_ns=shape.timeout)
            scenarios.append(Scenario(label, steps=(step,)))
            start_ns = period_ns * index // len(asked)
            loads.append(Load(label, index, "constant-arrival-rate", executor, start_ns, shape.timeout))
        return dataclasses.replace(
            base,
            app=ALL_APPS,
            profile=name,
            scenarios=tuple(scenarios),
            loads=tuple(loads),
            routes=tuple(dataclasses.replace(route, bearer=False) for route in base.routes),
            spec_hash=_health_hash(self._workspace, name, shape, with_health),
        )


def _chosen(
    asked: Literal["all"] | Sequence[str], known: Mapping[str, Any], apps: Sequence[str]
) -> Iterator[str]:
    """The flows of a phase whose app is among `apps`, in the order in which the phase names them."""
    return (name for name in (known if asked == "all" else asked) if known[name].app in apps)


def _health_hash(workspace: Workspace, name: str, shape: HealthShape, apps: Sequence[str]) -> str:
    written = workspace.written["apps"]
    targets = {app: {k: v for k, v in written[app].items() if k != "profiles"} for app in apps}
    return written_hash(workspace, {"phase": name, "health": shape.model_dump(), "targets": targets})


def _health_routes(workspace: Workspace, base: Plan, apps: Sequence[str]) -> list[tuple[int, int]]:
    """`(route, origin)` of each health route, by their indices in `base`."""
    names = [origin.app for origin in base.origins]
    if missing := [app for app in apps if app not in names]:
        raise UsageError(f"the address of {', '.join(missing)} is not known; set it, or give --base-url")
    return [
        (next(i for i, r in enumerate(base.routes) if (r.app, r.name) == (app, name)), names.index(app))
        for app in apps
        for name in workspace.targets.apps[app].health
    ]


def _watched(workspace: Workspace, base: Plan, apps: Sequence[str]) -> list[Watched]:
    names = [origin.app for origin in base.origins]
    found = []
    for app in apps:
        shape = workspace.targets.apps[app]
        if shape.health and app in names:
            path = template.parse_text(shape.routes[shape.health[0]].path)
            found.append(Watched(app, Probe(names.index(app), path, "$")))
    return found


def _remedies(workspace: Workspace, apps: Sequence[str]) -> tuple[Remedy, ...]:
    return tuple(
        Remedy(app, name, route.remedy)
        for app in apps
        for name, route in workspace.targets.apps[app].routes.items()
        if route.remedy is not None
    )


def _rehearsal(
    workspace: Workspace, chosen: Sequence[PhaseShape], apps: Sequence[str], scale: float
) -> list[str]:
    reasons = []
    if scale != 1:
        reasons.append(f"durations × {scale:g}")
    left_out = [p.name for p in workspace.targets.phases if p not in chosen and not p.optional]
    if left_out:
        reasons.append(f"without the phases {', '.join(left_out)}")
    if others := [app for app in workspace.apps if app not in apps]:
        reasons.append(f"without the apps {', '.join(others)}")
    return reasons


def _known(what: str, names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"unknown {what} {name!r}{template.nearest(name, known)}")
