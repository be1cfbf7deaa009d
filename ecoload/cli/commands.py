"""The commands.

Rules
-----
- A command is thin: options in, one call, an exit code out. What a person reads is made in `report/`.
- Options mean the same in every command that has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecoload import __version__
from ecoload.errors import OutputFailed, SandboxFailed, UsageError

if TYPE_CHECKING:
    from ecoload.plan import Plan
    from ecoload.spec.workspace import Workspace

DEFAULT_TARGETS = Path("targets.yaml")


class Options:
    """The options that several commands share, and the workspace they lead to."""

    def __init__(
        self,
        targets: Path,
        scenarios: Path | None,
        base_url: tuple[str, ...],
        sandbox: bool,
        duration_scale: float,
        seed: int,
        transport: str,
        pacing: str,
    ) -> None:
        self.targets, self.scenarios = targets, scenarios
        self.sandbox = sandbox
        self.duration_scale, self.seed = duration_scale, seed
        self.transport, self.pacing = transport, pacing
        self.base_urls = dict(map(_base_url, base_url))
        if sandbox and self.base_urls:
            raise UsageError("--sandbox starts every app itself; it does not go with --base-url")

    def workspace(self) -> Workspace:
        from ecoload.guard.pii import find_personal_data
        from ecoload.spec.workspace import load_workspace

        return load_workspace(self.targets, self.scenarios, os.environ, find_personal_data)

    def plan(self, workspace: Workspace, app: str, profile: str, urls: dict[str, str] | None = None) -> Plan:
        """The plan; `urls` are the embedded sandbox's, once it is up."""
        from ecoload.spec.workspace import make_plan

        if urls is None:
            urls = dict.fromkeys(workspace.apps, "sandbox") if self.sandbox else {}
        return make_plan(
            workspace,
            app,
            profile,
            seed=self.seed,
            duration_scale=self.duration_scale,
            base_urls=self.base_urls | urls,
            embedded=frozenset(urls),
            transport="aiohttp" if self.transport == "aiohttp" else "http1",
            pacing_mode="spin" if self.pacing == "spin" else "timer",
        )


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is run against what."""
    for option in reversed(
        [
            click.option(
                "--targets",
                type=click.Path(path_type=Path),
                default=DEFAULT_TARGETS,
                show_default=True,
                help="The file of the ecosystem.",
            ),
            click.option(
                "--scenarios",
                type=click.Path(path_type=Path),
                default=None,
                help="The folder of the scenarios.  [default: scenarios/ beside the targets]",
            ),
            click.option("--base-url", multiple=True, metavar="APP=URL", help="Where an app is, this time."),
            click.option(
                "--sandbox", is_flag=True, help="Start the embedded ecosystem and send everything there."
            ),
            click.option(
                "--duration-scale",
                type=click.FloatRange(min=0, min_open=True),
                default=1.0,
                help="Scale every duration (stages and grace too; never think time or pacing).",
            ),
            click.option(
                "--seed", type=int, default=1, show_default=True, help="Where everything random starts."
            ),
            click.option(
                "--transport",
                type=click.Choice(["http1", "aiohttp"]),
                default="http1",
                show_default=True,
                help="What carries the requests.",
            ),
            click.option(
                "--pacing",
                type=click.Choice(["timer", "spin"]),
                default="timer",
                show_default=True,
                help="spin: starts late by microseconds, for a whole core.",
            ),
        ]
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ecoload", message="%(prog)s %(version)s")
def ecoload() -> None:
    """Puts load on an ecosystem of services, measures it truthfully, and judges it."""


@ecoload.command()
@click.argument("app")
@click.option("--profile", required=True, help="Which of the profiles in the targets file.")
@_shared
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder that the run's folder is made in.",
)
@click.option(
    "--approve-as",
    metavar="NAME",
    default="",
    help="Record an unsigned approval by NAME; for the sandbox this command starts, only.",
)
@click.option(
    "--junit", type=click.Path(path_type=Path), default=None, help="Write the verdicts as JUnit XML."
)
@click.option("--json", "as_json", is_flag=True, help="Only the result, as JSON, on standard output.")
@click.option("--no-progress", is_flag=True, help="No live view.")
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
    from ecoload.report.folder import write_reports
    from ecoload.report.terminal import live_view, print_result
    from ecoload.run import Request, exit_code, resolve_secrets, run_once

    options = Options(**shared)
    workspace = options.workspace()
    plan = options.plan(workspace, app, profile)
    with _sandbox_for(plan) as (urls, environment):
        if urls:
            plan = options.plan(workspace, app, profile, urls)
        folder = options.targets.parent
        secrets = resolve_secrets(plan, os.environ | environment, folder)
        request = Request(plan, folder, out, secrets, approve_as)
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
@click.argument("app")
@click.option("--profile", required=True, help="Which of the profiles in the targets file.")
@_shared
@click.option("--timetable", is_flag=True, help="Only the schedule, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="The whole plan, as JSON.")
def plan(app: str, profile: str, timetable: bool, as_json: bool, **shared: Any) -> int:
    """Show what a run would send, and send nothing."""
    import orjson

    from ecoload.engine.schedule import timetable as make_timetable
    from ecoload.plan import to_tree
    from ecoload.report.terminal import print_plan

    options = Options(**shared)
    made = options.plan(options.workspace(), app, profile)
    if timetable:
        click.echo(orjson.dumps(make_timetable(made)))
    elif as_json:
        hashes = {"spec_hash": made.spec_hash, "execution_hash": made.execution_hash}
        click.echo(orjson.dumps(to_tree(made) | hashes, option=orjson.OPT_INDENT_2))
    else:
        print_plan(made)
    return 0


@ecoload.command()
@_shared
def validate(**shared: Any) -> int:
    """Check every file of a workspace, and send nothing."""
    from ecoload.guard.rules import check_plan

    options = Options(**shared)
    workspace = options.workspace()
    count = 0
    for app in filter(workspace.scenarios_of, workspace.apps):
        for profile in workspace.profile_names:
            check_plan(options.plan(workspace, app, profile))
            count += 1
    click.echo(f"{options.targets}: {len(workspace.apps)} apps, {count} plans, all sound")
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

    from ecoload.report.folder import write_reports
    from ecoload.report.terminal import print_result
    from ecoload.run import judged_again

    result = judged_again(folder)
    write_reports(folder, result, junit=junit)
    if as_json:
        click.echo(orjson.dumps(result | {"folder": str(folder)}, option=orjson.OPT_INDENT_2))
    else:
        print_result(result, folder)
    return 0


@ecoload.command()
@click.option(
    "--targets",
    type=click.Path(path_type=Path),
    default=DEFAULT_TARGETS,
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


@contextmanager
def _sandbox_for(plan: Plan) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Starts the embedded apps that a plan's origins name, and stops them after it: their addresses, and
    the environment that goes with them."""
    wanted = [origin.app for origin in plan.origins if origin.embedded]
    if not wanted:
        yield {}, {}
        return
    from ecoload.sandbox import Sandbox, SandboxError

    try:
        with Sandbox(wanted, seed=plan.seed) as sandbox:
            yield sandbox.urls, sandbox.secrets
    except SandboxError as error:
        raise SandboxFailed(f"{error}; see --base-url for targets of your own") from error


def _base_url(text: str) -> tuple[str, str]:
    app, separator, url = text.partition("=")
    if not separator or not url:
        raise UsageError(f"--base-url {text!r}: expected APP=URL, for example a2=http://127.0.0.1:8080")
    return app, url
