"""The plan of a suite as the command line asks for it, and how it is shown.

Rules
-----
- What is shown to whoever approves is made again from the copy of what people wrote, and held against the
  hash: a folder may say anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecoload.cli.options import Options
from ecoload.errors import GuardRefused

if TYPE_CHECKING:
    from ecoload.plan.suite import SuitePlan
    from ecoload.protocol.suite_folder import SuiteFolder
    from ecoload.spec.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Choice:
    """What of the protocol is asked for; empty: all of it."""

    phases: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    parallel: int | None = None

    def suite(
        self, options: Options, workspace: Workspace, urls: Mapping[str, str] | None = None
    ) -> SuitePlan:
        """The plan of the suite; `urls` are the embedded sandbox's, once it is up."""
        from ecoload.spec.suite_planning import make_suite

        addresses, embedded = options.addresses(workspace, urls)
        return make_suite(
            workspace,
            phases=self.phases,
            apps=self.apps,
            parallel=self.parallel,
            seed=options.seed,
            duration_scale=options.duration_scale,
            base_urls=addresses,
            embedded=embedded,
            transport=options.transport,
            pacing_mode=options.pacing,
            closed=options.closed,
        )


def plan_suite(options: Options, choice: Choice, *, as_json: bool) -> int:
    """Show what a suite would send, and send nothing."""
    import orjson

    from ecoload.guard.approval import gated_phases
    from ecoload.protocol.suite import pinned
    from ecoload.report.suite_plan_view import print_suite_plan, suite_plan_tree

    suite = pinned(choice.suite(options, options.workspace()), sandbox_is_up=False)
    gated = gated_phases(suite)
    if as_json:
        click.echo(orjson.dumps(suite_plan_tree(suite, gated), option=orjson.OPT_INDENT_2))
    else:
        print_suite_plan(suite, gated)
    return 0


def show_suite(path: Path, execution_hash: str) -> None:
    """Shows the suite in a folder to whoever is to approve it, made again from the copy of what people wrote.
    Raises GuardRefused where it is not the one of that hash."""
    from ecoload.guard.approval import gated_phases
    from ecoload.protocol.suite import pinned
    from ecoload.protocol.suite_folder import SuiteFolder
    from ecoload.report.live import live_console
    from ecoload.report.suite_plan_view import print_suite_plan

    options, choice = asked_before(SuiteFolder(path))
    suite = pinned(choice.suite(options, options.workspace()), sandbox_is_up=False)
    if suite.execution_hash != execution_hash:
        raise GuardRefused(f"{path} does not hold the suite of that hash, but {suite.execution_hash}")
    print_suite_plan(suite, gated_phases(suite), live_console())


def asked_before(folder: SuiteFolder) -> tuple[Options, Choice]:
    """What a suite was asked for when it was begun, from the copy in its folder."""
    from ecoload.protocol.suite_folder import WORKSPACE

    folder.refuse_links()
    _, asked, _ = folder.read()
    options = Options(
        targets=folder.path / WORKSPACE / "targets.yaml",
        scenarios=None,
        base_url=tuple(f"{app}={url}" for app, url in asked.base_urls.items()),
        sandbox=False,
        duration_scale=asked.duration_scale,
        seed=asked.seed,
        transport=asked.transport,
        pacing=asked.pacing,
        # What was no part of the suite is none now; its address may read anything of the environment.
        closed=True,
    )
    return options, Choice(asked.phases, asked.apps, asked.parallel)
