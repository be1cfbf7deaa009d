"""The commands.

Rules
-----
- A command is thin: options in, one call, an exit code out. What a person reads is made in `report/`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ecoload import __version__
from ecoload.cli.artifacts import cleanup, export
from ecoload.cli.browser import e2e, export_playwright
from ecoload.cli.comparing import compare, import_group
from ecoload.cli.cross_check import cross_check
from ecoload.cli.flow import flow
from ecoload.cli.k6 import export_k6
from ecoload.cli.lineage import lineage
from ecoload.cli.options import Options, choice_options, outcome_options, sandbox_of, shared_options
from ecoload.cli.suite import readiness, suite
from ecoload.cli.suite_plans import Choice, plan_suite
from ecoload.errors import OutputFailed, SandboxFailed, UsageError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ecoload", message="%(prog)s %(version)s")
def ecoload() -> None:
    """Puts load on an ecosystem of services, measures it truthfully, and judges it."""


for command in (
    *(suite, flow, e2e, lineage, readiness, export, export_k6, export_playwright, cross_check, cleanup),
    compare,
):
    ecoload.add_command(command)
ecoload.add_command(import_group)


@ecoload.command()
@click.argument("app")
@click.option("--profile", required=True, help="Which of the profiles in the targets file.")
@shared_options
@outcome_options
@click.option(
    "--junit", type=click.Path(path_type=Path), default=None, help="Write the verdicts as JUnit XML."
)
def run(
    app: str,
    profile: str,
    out: Path,
    approve_as: str,
    junit: Path | None,
    as_json: bool,
    no_progress: bool,
    **shared: Any,
) -> int:
    """Run one APP under one profile, and judge it."""
    from ecoload.cli.approving import permit_for
    from ecoload.report.folder import write_reports
    from ecoload.report.terminal import live_view, print_result
    from ecoload.run import Request, exit_code, resolve_secrets, run_once

    options = Options(**shared)
    workspace = options.workspace()
    plan = options.plan(workspace, app, profile)
    embedded = [origin.app for origin in plan.origins if origin.embedded]
    with sandbox_of(embedded, plan.seed) as (urls, environment):
        if urls:
            plan = options.plan(workspace, app, profile, urls)
        folder = options.targets.parent
        secrets = resolve_secrets(plan, os.environ | environment, folder)
        permit = permit_for(options, folder, [plan], approve_as)
        request = Request(plan, folder, out, secrets, approve_as, permit)
        finished = run_once(request, live_view(silent=no_progress or as_json))
    result = finished.result.to_json()
    problem = finished.written_problem
    try:
        write_reports(finished.folder, result, junit=junit)
    except OutputFailed as error:
        problem = str(error)
    if as_json:
        import orjson

        click.echo(orjson.dumps(result | {"folder": str(finished.folder)}, option=orjson.OPT_INDENT_2))
    else:
        print_result(result, finished.folder)
    if problem:
        click.echo(f"ecoload: the results could not all be written: {problem}", err=True)
        return 70
    return exit_code(finished)


@ecoload.command()
@click.argument("app", metavar="APP|suite")
@click.option("--profile", help="Which of the profiles in the targets file; not for `suite`.")
@choice_options
@shared_options
@click.option("--timetable", is_flag=True, help="Only the schedule, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="The whole plan, as JSON.")
def plan(
    app: str,
    profile: str | None,
    phases: tuple[str, ...],
    apps: tuple[str, ...],
    parallel: int | None,
    timetable: bool,
    as_json: bool,
    **shared: Any,
) -> int:
    """Show what a run, or the whole `suite`, would send; and send nothing."""
    import orjson

    from ecoload.engine.schedule import timetable as make_timetable
    from ecoload.guard.hosts import resolve
    from ecoload.plan import to_tree
    from ecoload.report.terminal import print_plan

    options = Options(**shared)
    if app == "suite":
        if profile is not None or timetable:
            raise UsageError("`plan suite` shows every phase; --profile and --timetable are for one app")
        return plan_suite(options, Choice(phases, apps, parallel), as_json=as_json)
    if profile is None:
        raise UsageError(f"say what {app} is to run: --profile NAME, or `ecoload plan suite`")
    if phases or apps or parallel:
        raise UsageError("--phases, --apps and --parallel are for `ecoload plan suite`")
    made = options.plan(options.workspace(), app, profile)
    if timetable:
        click.echo(orjson.dumps(make_timetable(made)))
        return 0
    # The hash of what a run would send: an approval signs it.
    made = resolve(made, sandbox_is_up=False)
    if as_json:
        hashes = {"spec_hash": made.spec_hash, "execution_hash": made.execution_hash}
        click.echo(orjson.dumps(to_tree(made) | hashes, option=orjson.OPT_INDENT_2))
    else:
        print_plan(made)
    return 0


@ecoload.command()
@click.argument("execution_hash", metavar="HASH")
@click.option("--by", required=True, metavar="NAME", help="Who approves: a principal of the allowed signers.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is signed too.")
@click.option("--expires", metavar="DURATION", help="For how long it holds.  [default: 8h]")
@click.option("--uses", type=click.IntRange(min=1), help="For how many runs; more than one needs --expires.")
@click.option("--window", metavar="DURATION", help="With --uses: at most one use in each such window.")
@click.option("--key", type=click.Path(path_type=Path), help="The SSH key to sign with.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder that the run's folder with its request is in.",
)
def approve(
    execution_hash: str,
    by: str,
    reason: str,
    expires: str | None,
    uses: int | None,
    window: str | None,
    key: Path | None,
    out: Path,
) -> int:
    """Sign one plan, by its HASH, and put the approval into the ledger."""
    from ecoload.cli.approving import Terms, approve_hash

    approve_hash(execution_hash, by, reason, Terms.of(expires, uses, window), key, out)
    return 0


@ecoload.command()
@shared_options
def validate(**shared: Any) -> int:
    """Check every file of a workspace, and send nothing."""
    from ecoload.guard.rules import check_plan, check_watched
    from ecoload.spec.browser_planning import make_browser
    from ecoload.spec.flow_planning import make_flow

    options = Options(**shared)
    workspace = options.workspace()
    count = 0
    for app in filter(workspace.scenarios_of, workspace.apps):
        for profile in workspace.profiles_of(app):
            check_plan(options.plan(workspace, app, profile))
            count += 1
    for name in workspace.flows:
        addresses, embedded = options.addresses(workspace, None)
        check_plan(make_flow(workspace, name, base_urls=addresses, embedded=embedded))
    for name in workspace.browser:
        addresses, embedded = options.addresses(workspace, None)
        check_plan(make_browser(workspace, name, base_urls=addresses, embedded=embedded))
    if workspace.targets.phases:
        suite = Choice().suite(options, workspace)
        for _, run in suite.runs:
            check_plan(run.warmed or run.plan)
        check_watched(suite.phases[0].runs[0].plan, suite.watched)
    found = f"{len(workspace.apps)} apps, {count} plans, {len(workspace.flows)} flows"
    found += f", {len(workspace.browser)} browser flows"
    click.echo(f"{options.targets}: {found}, all sound")
    return 0


@ecoload.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--junit", type=click.Path(path_type=Path), default=None, help="Write the verdicts as JUnit XML."
)
@click.option("--json", "as_json", is_flag=True, help="Only the result, as JSON, on standard output.")
def report(folder: Path, junit: Path | None, as_json: bool) -> int:
    """Write the reports of a run's FOLDER again; rebuilds them where the run was killed."""
    import orjson

    from ecoload.report.browser import print_browser, write_browser_reports
    from ecoload.report.flow import print_flow, write_flow_reports
    from ecoload.report.folder import write_reports
    from ecoload.report.terminal import print_result
    from ecoload.run import judged_again

    result = judged_again(folder)
    try:
        if result.get("kind") == "flow":
            write_flow_reports(folder, result)
            print_flow(result, folder)
            return 0
        if result.get("kind") == "browser":
            write_browser_reports(folder, result)
            print_browser([(result, folder)], folder / "report.html")
            return 0
        write_reports(folder, result, junit=junit)
        if as_json:
            click.echo(orjson.dumps(result | {"folder": str(folder)}, option=orjson.OPT_INDENT_2))
        else:
            print_result(result, folder)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        # A folder may come from anywhere.
        raise UsageError(
            f"{folder}: what is in it is not what a run of this version leaves: {error!r}"
        ) from error
    return 0


@ecoload.command()
@click.option(
    "--targets",
    type=click.Path(path_type=Path),
    default=Path("targets.yaml"),
    show_default=True,
    help="The file of the ecosystem; the records go beside it.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Where everything random starts.")
def data(targets: Path, seed: int) -> int:
    """Write the feeders' synthetic records; never over a file that is there."""
    from ecoload.export.records import data_file
    from ecoload.spec.feeders import FILE

    file, content = targets.parent / FILE, data_file(seed)
    try:
        if file.exists() and file.read_bytes() != content:
            raise UsageError(f"{file} is there and holds something else; move it away first")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise OutputFailed(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"{file}: {len(content.splitlines())} records")
    return 0


@ecoload.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Where the model of latencies starts.")
@click.option(
    "--state", type=click.Path(path_type=Path), default=None, help="Keep what it stores in this folder."
)
def sandbox(seed: int, state: Path | None) -> int:
    """The embedded ecosystem, until Ctrl-C."""
    import signal

    from ecoload.sandbox import APPS, Sandbox, SandboxError

    # SIGTERM ends it as Ctrl-C does: the apps go with it either way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt), Sandbox(seed=seed, state=state) as running:
            for app, url in running.urls.items():
                click.echo(f"{app}  {url:<23}  {APPS[app]}")
            kept = "kept" if state is not None else "removed at the end"
            click.echo(f"\nstate        {running.state} ({kept})")
            click.echo(f"to reach it  . {running.write_environment()}")
            click.echo("to end it    Ctrl-C")
            signal.pause()
    except SandboxError as error:
        raise SandboxFailed(str(error)) from error
    return 0
