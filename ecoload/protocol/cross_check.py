"""Two tools, one plan, in turn: A B, B A, A B … until all rounds are made, then the verdict.

Rules
-----
- Every run meets the plan that was approved: a target that is made anew for each run (the embedded sandbox)
  must give the same execution hash.
- The plan is carried out as both tools can carry it out (`alike`): what only one of them would do beside the
  load is left out for both.
- A run that was cut short tells nothing, and ends the cross-check without a verdict. So does a target that
  does not answer.
- How a tool is run is handed in, so that this module needs no socket.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import orjson

from ecoload.engine.interrupts import Interrupts
from ecoload.errors import GuardRefused, OutputFailed, UsageError
from ecoload.guard.hosts import resolve
from ecoload.guard.reach import used_origins
from ecoload.guard.rules import check_plan
from ecoload.measure.cross_check import Tool, ToolRun
from ecoload.measure.others import Others
from ecoload.plan import Plan, to_tree
from ecoload.verdict.cross_check import CrossCheckFacts, judge_cross_check
from ecoload.verdict.cross_check_result import CheckStatus, CrossCheckResult


class CrossCheckView(Protocol):
    """Whoever watches a cross-check; see `report/cross_check.py`."""

    def begun(self, tool: Tool, number: int, rounds: int) -> None:
        """A run of a tool begins."""

    def ended(self, run: ToolRun) -> None:
        """It is over."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one run goes to: the plan with its hosts resolved, and the values of its secrets."""

    plan: Plan
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Made:
    """A run of a tool that is over; None: it tells nothing. `cut_short`: why it did not go through the whole
    plan; `answered`: something came back from the target."""

    run: ToolRun | None
    cut_short: str = ""
    answered: bool = True


RunTool = Callable[[Target, int, Path], Made]
"""Carries out a target's plan once, as this round, in a folder that is not there yet. Raises EcoloadError for
a failure of the tool's own."""
Targets = Callable[[int], AbstractContextManager[Target]]
"""What the runs of a round go to; entered once for each run."""


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """What is carried out: the plan as it was approved, how often, where it is written, what it goes to, how
    each tool is run. `notes` is what a reader should know."""

    plan: Plan
    rounds: int
    folder: Path
    targets: Targets
    run: Mapping[Tool, RunTool]
    k6_version: str
    notes: tuple[str, ...] = ()


def alike(plan: Plan) -> tuple[Plan, tuple[str, ...]]:
    """The plan as both tools can carry it out, and what a reader should know of it. Raises UsageError for
    what only one of them could."""
    problems = [*_only_ours(plan)]
    if problems:
        raise UsageError("\n".join(["the plan cannot be compared like with like:", *problems]))
    notes = []
    if plan.warm_up_ns:
        notes.append("the warm-up stands in the figures of both tools: k6 leaves none out")
    if plan.metrics is not None or plan.proofs or plan.lineage is not None:
        notes.append("the target's metrics and proofs were not asked for: k6 asks for none beside its load")
    changed = dataclasses.replace(
        plan, warm_up_ns=0, metrics=None, proofs=(), lineage=None, other_auths=(), warm=()
    )
    return changed, tuple(notes)


def prepared(plan: Plan, *, sandbox_is_up: bool = True) -> tuple[Plan, tuple[str, ...]]:
    """The plan as it will be sent: checked by the guard, and each host at one address, the same for both
    tools; and what a reader should know of it. Raises GuardRefused."""
    check_plan(plan)
    found = resolve(plan, sandbox_is_up=sandbox_is_up)
    several = [origin for origin in found.origins if len(origin.addresses) > 1]
    notes = [
        f"{one.host} has {len(one.addresses)} addresses; both went to {one.addresses[0]}" for one in several
    ]
    origins = (dataclasses.replace(origin, addresses=origin.addresses[:1]) for origin in found.origins)
    return dataclasses.replace(found, origins=tuple(origins)), tuple(dict.fromkeys(notes))


def new_folder(out: Path, plan: Plan) -> Path:
    """A folder for a cross-check of the plan, with the plan in it. Raises OutputFailed."""
    now, chance = datetime.now(UTC), os.urandom(2).hex()
    folder = out / f"{now:%Y%m%dT%H%M%S}-{plan.app}-{plan.profile}-cross-check-{chance}"
    try:
        folder.mkdir(parents=True)
        (folder / "plan.json").write_bytes(orjson.dumps(to_tree(plan), option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise OutputFailed(f"{folder} cannot be written: {error.strerror}; choose another --out") from error
    return folder


def in_turn(rounds: int) -> Iterator[tuple[int, Tool]]:
    """`(round, tool)` of each run, rounds from 1: the tool that was last in a round is first in the next."""
    for number in range(1, rounds + 1):
        order = (Tool.ECOLOAD, Tool.K6) if number % 2 else (Tool.K6, Tool.ECOLOAD)
        yield from ((number, tool) for tool in order)


def conduct(check: CrossCheck, view: CrossCheckView, heard: Interrupts) -> CrossCheckResult:
    """Carries out every round, and judges what came of them. Raises EcoloadError for a failure of our own or
    of a tool's."""
    started, begun = datetime.now(UTC), time.monotonic()
    runs: list[ToolRun] = []
    status, reason, answered = CheckStatus.FINISHED, "", True
    for number, tool in in_turn(check.rounds):
        if heard.presses:
            status, reason = CheckStatus.INTERRUPTED, "Ctrl-C"
            break
        view.begun(tool, number, check.rounds)
        others = Others()
        made = _one(check, tool, number)
        if heard.presses:
            status, reason = CheckStatus.INTERRUPTED, "Ctrl-C"
            break
        if made.run is not None:
            runs.append(dataclasses.replace(made.run, others_cpu_share=others.cpu_share()))
            view.ended(runs[-1])
        if made.cut_short or not made.answered:
            status, answered = CheckStatus.STOPPED, made.answered
            said = made.cut_short if made.answered else "nothing answered; is the target up?"
            reason = f"round {number}, {tool.value}: {said}"
            break
    return judge_cross_check(
        CrossCheckFacts(
            cross_check_id=check.folder.name,
            plan=check.plan,
            rounds=check.rounds,
            runs=tuple(runs),
            started_at=started.isoformat(timespec="milliseconds"),
            duration_s=time.monotonic() - begun,
            k6_version=check.k6_version,
            status=status,
            stop_reason=reason,
            answered=answered,
            notes=check.notes,
        )
    )


def _one(check: CrossCheck, tool: Tool, number: int) -> Made:
    with check.targets(number) as target:
        if target.plan.execution_hash != check.plan.execution_hash:
            raise GuardRefused(
                f"round {number}: what would be sent is not what was looked at and approved "
                f"({target.plan.execution_hash}, not {check.plan.execution_hash}): a host has another address"
            )
        return check.run[tool](target, number, check.folder / f"round_{number}_{tool.value}")


def _only_ours(plan: Plan) -> Iterator[str]:
    if plan.resiliency is not None:
        yield f"- the profile {plan.profile} injects a fault beside its load, and k6 injects none"
    for index in sorted(used_origins(plan)):
        origin = plan.origins[index]
        if plan.proxy is not None and _is_local(origin.host):
            yield f"- {origin.app} is on this machine, where k6 takes no proxy, and the plan has one"


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
