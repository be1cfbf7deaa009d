"""The options that several commands share, and what they lead to.

Rules
-----
- Options mean the same in every command that has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ecoload.errors import SandboxFailed, UsageError

if TYPE_CHECKING:
    from ecoload.plan import Plan
    from ecoload.spec.workspace import Workspace

targets_option = click.option(
    "--targets",
    type=click.Path(path_type=Path),
    default=Path("targets.yaml"),
    show_default=True,
    help="The file of the ecosystem.",
)
scenarios_option = click.option(
    "--scenarios",
    type=click.Path(path_type=Path),
    default=None,
    help="The folder of the scenarios.  [default: scenarios/ beside the targets]",
)
base_url_option = click.option(
    "--base-url", multiple=True, metavar="APP=URL", help="Where an app is, this time."
)


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
        closed: bool = False,
    ) -> None:
        self.closed = closed
        """Only apps whose address is given here have one."""
        self.targets, self.scenarios = targets, scenarios
        self.sandbox = sandbox
        self.duration_scale, self.seed = duration_scale, seed
        self.transport: Literal["http1", "aiohttp"] = "aiohttp" if transport == "aiohttp" else "http1"
        self.pacing: Literal["timer", "spin"] = "spin" if pacing == "spin" else "timer"
        self.base_urls = base_urls(base_url)
        if sandbox and self.base_urls:
            raise UsageError("--sandbox starts every app itself; it does not go with --base-url")

    def workspace(self) -> Workspace:
        from ecoload.guard.pii import find_personal_data
        from ecoload.spec.workspace import load_workspace

        return load_workspace(self.targets, self.scenarios, os.environ, find_personal_data)

    def plan(self, workspace: Workspace, app: str, profile: str, urls: dict[str, str] | None = None) -> Plan:
        """The plan; `urls` are the embedded sandbox's, once it is up."""
        from ecoload.spec.workspace import make_plan

        addresses, embedded = self.addresses(workspace, urls)
        return make_plan(
            workspace,
            app,
            profile,
            seed=self.seed,
            duration_scale=self.duration_scale,
            base_urls=addresses,
            embedded=embedded,
            transport=self.transport,
            pacing_mode=self.pacing,
        )

    def addresses(
        self, workspace: Workspace, urls: Mapping[str, str] | None
    ) -> tuple[dict[str, str], frozenset[str]]:
        """The addresses that replace those of the file, by app, and whose are the embedded sandbox's."""
        if urls is None:
            urls = dict.fromkeys(workspace.apps, "sandbox") if self.sandbox else {}
        return {**self.base_urls, **urls}, frozenset(urls)


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is run against what."""
    for option in reversed(
        [
            targets_option,
            scenarios_option,
            base_url_option,
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


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which part of the protocol."""
    for option in (
        click.option("--parallel", type=click.IntRange(min=1), help="So many apps at a time."),
        click.option("--apps", callback=names, metavar="A,B", help="Only these apps: a rehearsal."),
        click.option("--phases", callback=names, metavar="A,B", help="Only these phases: a rehearsal."),
    ):
        command = option(command)
    return command


def outcome_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of what sends load: where it is written, who approved it, what is said."""
    for option in (
        click.option("--no-progress", is_flag=True, help="Say nothing while it goes."),
        click.option("--json", "as_json", is_flag=True, help="Only the result, as JSON, on standard output."),
        click.option(
            "--approve-as",
            metavar="NAME",
            default="",
            help="Record an unsigned approval by NAME; for the sandbox this command starts, only.",
        ),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            default=Path("runs"),
            show_default=True,
            help="The folder that the folder of this is made in.",
        ),
    ):
        command = option(command)
    return command


@contextmanager
def sandbox_of(apps: Sequence[str], seed: int) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Starts these apps of the embedded ecosystem, and stops them after the block: their addresses, and the
    environment that goes with them."""
    if not apps:
        yield {}, {}
        return
    from ecoload.sandbox import Sandbox, SandboxError

    try:
        with Sandbox(apps, seed=seed) as sandbox:
            yield sandbox.urls, sandbox.secrets
    except SandboxError as error:
        raise SandboxFailed(f"{error}; see --base-url for targets of your own") from error


def base_urls(given: Iterable[str]) -> dict[str, str]:
    """The addresses by app. Raises UsageError."""
    return dict(map(_base_url, given))


def _base_url(text: str) -> tuple[str, str]:
    app, separator, url = text.partition("=")
    if not separator or not url:
        raise UsageError(f"--base-url {text!r}: expected APP=URL, for example a2=http://127.0.0.1:8080")
    return app, url


def names(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    """The names in an option such as `A,B`. One that is given and empty (an unset variable of a script) is
    a mistake: it would mean all."""
    if text is None:
        return ()
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise click.BadParameter("expected names such as a2,a6, got none")
    return found
