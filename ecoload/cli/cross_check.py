"""The command `ecoload cross-check`.

Rules
-----
- As in `commands.py`: options in, one call, an exit code out.
- The guard, the lock and a human are asked once, before anything is sent, for every run of both tools.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecoload.cli.options import Options, outcome_options, sandbox_of, shared_options
from ecoload.cli.suite import REPORTS
from ecoload.errors import OutputFailed

if TYPE_CHECKING:
    from ecoload.guard.grants import Grant
    from ecoload.plan import Plan
    from ecoload.protocol.cross_check import Target
    from ecoload.spec.workspace import Workspace
    from ecoload.verdict.cross_check_result import CrossCheckResult


@click.command("cross-check")
@click.argument("app")
@click.option("--profile", required=True, help="Which of the profiles in the targets file.")
@click.option(
    "--rounds",
    type=click.IntRange(min=3),
    default=4,
    show_default=True,
    help="How often each tool runs.",
)
@shared_options
@outcome_options
def cross_check(
    app: str,
    profile: str,
    rounds: int,
    out: Path,
    approve_as: str,
    as_json: bool,
    no_progress: bool,
    **shared: Any,
) -> int:
    """Send the same plan through ecoload and through k6, in turn, and say whether they agree."""
    call = _Call(Options(**shared), app, profile, rounds, out, approve_as, silent=no_progress or as_json)
    return _told(*call.carry_out(), call.root / REPORTS, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of the command."""

    options: Options
    app: str
    profile: str
    rounds: int
    out: Path
    approve_as: str
    silent: bool

    @property
    def root(self) -> Path:
        return self.options.targets.parent

    def carry_out(self) -> tuple[CrossCheckResult, Path]:
        """The result, and the folder of the cross-check. Raises EcoloadError."""
        from ecoload.engine.fleet import raise_file_limit
        from ecoload.engine.interrupts import interrupts
        from ecoload.engine.k6 import find_k6
        from ecoload.guard.lock import locked
        from ecoload.measure.cross_check import Tool
        from ecoload.protocol.cross_check import CrossCheck, alike, conduct, new_folder, prepared
        from ecoload.protocol.cross_check_runs import ByEcoload, ByK6, script_for, write_script
        from ecoload.report.cross_check_terminal import cross_check_view
        from ecoload.report.terminal import live_view

        k6, workspace = find_k6(self.root, os.environ), self.options.workspace()
        plan, like = alike(self.options.plan(workspace, self.app, self.profile))
        plan, pinned = prepared(plan, sandbox_is_up=False)
        script = script_for(workspace, plan, self._unscaled(workspace))
        raise_file_limit(plan)
        folder = new_folder(self.out, plan)
        with locked(plan, str(folder)):
            grant = self._grant(plan, folder)
            write_script(folder, script, plan, self.root)
            with interrupts() as heard:
                ours = ByEcoload(self.root, grant, live_view(silent=self.silent), heard)
                check = CrossCheck(
                    plan,
                    self.rounds,
                    folder,
                    lambda number: self._target(workspace, plan, number),
                    {Tool.ECOLOAD: ours, Tool.K6: ByK6(k6, script, heard, os.environ)},
                    k6.version,
                    (*like, *pinned, *([] if grant is None else [grant.note])),
                )
                return conduct(check, cross_check_view(silent=self.silent), heard), folder

    def _unscaled(self, workspace: Workspace) -> Plan:
        from copy import copy

        from ecoload.protocol.cross_check import alike

        options = copy(self.options)
        options.duration_scale = 1.0
        return alike(options.plan(workspace, self.app, self.profile))[0]

    def _grant(self, plan: Plan, folder: Path) -> Grant | None:
        """The grant of a plan that needs one, kept in the folder: one use for every run of both tools."""
        from dataclasses import replace

        from ecoload.cli.approving import permit_for
        from ecoload.guard.asking import asked_of, keep
        from ecoload.guard.grants import unsigned

        asked = asked_of(plan)
        if not asked.reasons:
            return None
        title = f"{asked.title} · cross-check, {self.rounds} runs each by ecoload and by k6"
        asked = replace(asked, title=title, details={**asked.details, "rounds": self.rounds})
        if self.approve_as and asked.embedded:
            grant = unsigned(asked.execution_hash, self.approve_as, folder.name, datetime.now(UTC))
        else:
            permit = permit_for(self.options, self.root, [plan], self.approve_as)
            grant = permit(asked, folder.name, folder)
        keep(grant, folder)
        return grant

    @contextmanager
    def _target(self, workspace: Workspace, plan: Plan, number: int) -> Iterator[Target]:
        """What a run goes to. An embedded sandbox is a new one each time, of the same seed for both tools of
        a round: a route's n-th latency is the same for both."""
        from ecoload.protocol.cross_check import Target, alike, prepared
        from ecoload.run import resolve_secrets

        embedded = [origin.app for origin in plan.origins if origin.embedded]
        with sandbox_of(embedded, plan.seed + number) as (urls, environment):
            if urls:
                made, _ = alike(self.options.plan(workspace, self.app, self.profile, urls))
                plan, _ = prepared(made)
            yield Target(plan, resolve_secrets(plan, os.environ | environment, self.root))


def _told(result: CrossCheckResult, folder: Path, reports: Path, *, as_json: bool) -> int:
    """Writes the reports and shows the result; what the command ends with."""
    import orjson

    from ecoload.report.cross_check import write_cross_check
    from ecoload.report.cross_check_terminal import print_cross_check

    tree, problem = result.to_json(), ""
    try:
        report = write_cross_check(tree, folder, reports)[0]
    except OutputFailed as error:
        report, problem = folder, str(error)
    if as_json:
        click.echo(orjson.dumps(tree | {"folder": str(folder)}, option=orjson.OPT_INDENT_2))
    else:
        print_cross_check(tree, folder, report)
    if problem:
        click.echo(f"ecoload: the results could not all be written: {problem}", err=True)
    return OutputFailed.exit_code if problem else result.exit_code
