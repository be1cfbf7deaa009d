"""The commands of the whole protocol: `ecoload suite` and `ecoload readiness`.

Rules
-----
- As in `commands.py`: options in, one call, an exit code out.
- A resume asks for nothing of its own: what is carried out stands in the folder. Where the reports go and
  where secrets lie is said by `--targets`, as at the beginning.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecoload.cli.options import Options, choice_options, outcome_options, sandbox_of, shared_options
from ecoload.cli.suite_plans import Choice, asked_before
from ecoload.errors import ApprovalNeeded, EcoloadError, OutputFailed, UsageError

if TYPE_CHECKING:
    from ecoload.guard.asking import Asked
    from ecoload.guard.grants import Grant
    from ecoload.plan import Plan
    from ecoload.plan.suite import SuitePlan
    from ecoload.protocol.session import Session
    from ecoload.protocol.suite_folder import SuiteFolder
    from ecoload.report.suite_live import SilentSuiteView, SuiteLineView
    from ecoload.verdict.suite_result import SuiteResult

REPORTS = Path("tests/perf/reports")
_OWN = frozenset("resume retest targets scenarios out approve_as as_json no_progress previous".split())
"""Options that go with a resume."""


@click.command()
@choice_options
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with the suite in this folder.")
@click.option(
    "--retest", metavar="APP", default="", help="After a fix: run what did not pass of APP again, and go on."
)
@click.option("--previous", type=click.Path(path_type=Path), help="An earlier bundle: the score before.")
@shared_options
@outcome_options
@click.pass_context
def suite(
    context: click.Context,
    /,
    phases: tuple[str, ...],
    apps: tuple[str, ...],
    parallel: int | None,
    resume: Path | None,
    retest: str,
    previous: Path | None,
    out: Path,
    approve_as: str,
    as_json: bool,
    no_progress: bool,
    **shared: Any,
) -> int:
    """Carry out the whole protocol, phase after phase, and say whether the ecosystem is ready."""
    from ecoload.protocol.session import carry_out_suite, newest_folder
    from ecoload.report.suite_live import suite_view

    if retest and resume is None:
        resume = newest_folder(out)
    if resume is not None:
        _refuse_options(context)
    call = _Call(Options(**shared), Choice(phases, apps, parallel), resume, out, approve_as, retest, previous)
    view = suite_view(silent=no_progress or as_json)
    with call.session(view) as session:
        try:
            result = carry_out_suite(session, view)
        except EcoloadError as error:
            error.add_note(f"the suite goes on with: {call.again(session.folder.path)}")
            raise
        finally:
            view.close()
    return call.told(result, session.folder.path, as_json=as_json)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Only the result, as JSON, on standard output.")
def readiness(bundle: Path, as_json: bool) -> int:
    """Work the score of a BUNDLE out again, from the bundle alone."""
    import orjson

    from ecoload.report.suite_terminal import print_readiness

    tree = _judged_again(bundle)
    if as_json:
        click.echo(orjson.dumps(tree["readiness"], option=orjson.OPT_INDENT_2))
    else:
        print_readiness(tree)
    return 0


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of `ecoload suite`."""

    options: Options
    choice: Choice
    resume: Path | None
    out: Path
    approve_as: str
    retest: str
    previous: Path | None

    @property
    def root(self) -> Path:
        return self.options.targets.parent

    @property
    def reports(self) -> Path:
        return self.root / REPORTS

    def again(self, folder: Path) -> str:
        """The command that goes on with the suite in `folder`."""
        from ecoload.report.suite_commands import resumed

        return resumed(str(folder), self._targets)

    def told(self, result: SuiteResult, folder: Path, *, as_json: bool) -> int:
        """Writes the reports of a suite that is over and shows it; what the command ends with."""
        import orjson

        from ecoload.report.suite_folder import write_suite_reports
        from ecoload.report.suite_terminal import print_suite

        tree, problem = result.to_json(), ""
        try:
            write_suite_reports(tree | self._targets, folder, self.reports)
        except OutputFailed as error:
            problem = str(error)
        if as_json:
            click.echo(orjson.dumps(tree | {"folder": str(folder)}, option=orjson.OPT_INDENT_2))
        else:
            print_suite(tree | self._targets, folder, self.reports)
        if problem:
            click.echo(f"ecoload: the reports could not all be written: {problem}", err=True)
        return OutputFailed.exit_code if problem else result.exit_code

    @property
    def _targets(self) -> dict[str, str]:
        """The targets file, where a command must say it."""
        usual = self.options.targets == Path("targets.yaml")
        return {} if usual else {"targets": str(self.options.targets)}

    @contextmanager
    def session(self, view: SilentSuiteView | SuiteLineView) -> Iterator[Session]:
        """The session, everything made ready; nothing is sent yet."""
        from ecoload.engine.fleet import raise_file_limit
        from ecoload.guard.approval import gated_phases
        from ecoload.protocol.session import Session, check_runs, earlier_score, new_folder, same_plan
        from ecoload.protocol.suite import pinned
        from ecoload.protocol.suite_folder import SuiteFolder

        before = _score(self.previous) if self.previous is not None else None
        folder = new_folder(self.out) if self.resume is None else SuiteFolder(self.resume)
        options, choice = (self.options, self.choice) if self.resume is None else asked_before(folder)
        workspace = options.workspace()
        suite = choice.suite(options, workspace)
        if self.retest and self.retest not in suite.apps:
            raise UsageError(f"{self.retest!r} is no app of this suite; there are {', '.join(suite.apps)}")
        for _, run in suite.runs:
            raise_file_limit(run.plan)
        embedded = [o.app for o in suite.phases[0].runs[0].plan.origins if o.embedded]
        with sandbox_of(embedded, options.seed) as (urls, environment):
            suite = pinned(choice.suite(options, workspace, urls) if urls else suite)
            secrets = self._secrets(suite, os.environ | environment)
            self._make_room()
            if self.resume is not None:
                same_plan(suite, folder.read()[0])
                check_runs(folder)
                before = before or earlier_score(folder)
            else:
                self._begin(folder, suite, before)
            view.head(suite.outline(), folder.path)
            gated = gated_phases(suite)
            with folder.held():
                grant = self._grant(suite, folder, gated, view) if gated else None
                yield Session(
                    suite=suite,
                    folder=folder,
                    root=self.root,
                    secrets=secrets,
                    gated=gated,
                    grant=grant,
                    previous=before,
                    retest=self.retest,
                )

    def _make_room(self) -> None:
        """The folder of the reports. Raises OutputFailed, before hours of load whose end nobody reads."""
        try:
            self.reports.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFailed(
                f"the reports cannot be written to {self.reports}: {error.strerror}; nothing was sent"
            ) from error

    def _begin(self, folder: SuiteFolder, suite: SuitePlan, before: tuple[float, str] | None) -> None:
        from ecoload.protocol.session import inputs_of
        from ecoload.protocol.suite_folder import AskedFor

        options, choice = self.options, self.choice
        origins = suite.phases[0].runs[0].plan.origins
        urls = {o.app: f"{o.scheme}://{o.authority}{o.base_path}" for o in origins if not o.embedded}
        asked = AskedFor(
            phases=choice.phases,
            apps=choice.apps,
            parallel=choice.parallel,
            seed=options.seed,
            duration_scale=options.duration_scale,
            base_urls=urls | {o.app: "sandbox" for o in origins if o.embedded},
            transport=options.transport,
            pacing=options.pacing,
            previous=before,
        )
        scenarios = options.scenarios or self.root / "scenarios"
        inputs = inputs_of(options.targets, scenarios, [run.plan for _, run in suite.runs])
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        folder.begin(suite.outline(), asked, now, inputs)

    def _secrets(self, suite: SuitePlan, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
        from ecoload.run import resolve_secrets

        found: dict[str, dict[str, str]] = {}
        for _, run in suite.runs:
            found.setdefault(run.name, {}).update(resolve_secrets(run.plan, environ, self.root))
        return found

    def _grant(
        self,
        suite: SuitePlan,
        folder: SuiteFolder,
        gated: Mapping[str, tuple[str, ...]],
        view: SilentSuiteView | SuiteLineView,
    ) -> Grant | None:
        """The approval of the gated phases, kept in the folder: the one that is there, else a new use of one.
        None: they wait, and a request lies in the folder."""
        from ecoload.cli.approving import permit_for
        from ecoload.guard.asking import KEPT, asked_of_suite, keep
        from ecoload.guard.grants import unsigned

        asked, plans = asked_of_suite(suite, gated), [run.plan for _, run in suite.runs]
        if self.resume is not None and (folder.path / KEPT).exists():
            found = self._kept(asked, folder, plans)
            if found is not None:
                keep(found, folder.path)
                return found
        if self.approve_as and asked.embedded:
            grant = unsigned(suite.execution_hash, self.approve_as, folder.suite_id, datetime.now(UTC))
        else:
            try:
                again = self.again(folder.path)
                permit = permit_for(self.options, self.root, plans, self.approve_as, again)
                grant = permit(asked, folder.suite_id, folder.path)
            except ApprovalNeeded as error:
                view.note(str(error))
                return None
        keep(grant, folder.path)
        return grant

    def _kept(self, asked: Asked, folder: SuiteFolder, plans: Sequence[Plan]) -> Grant | None:
        """The approval that lies in the folder, held against what is known here; None where its time is
        over, and it must be given anew. Raises GuardRefused where it does not serve."""
        from ecoload.cli.approving import desk_for
        from ecoload.guard.asking import kept, resumed
        from ecoload.guard.grants import verify
        from ecoload.guard.signing import Signers

        grant = kept(folder.path)
        if asked.embedded and not grant.signed.signature:
            verify(grant, asked.execution_hash, folder.suite_id, Signers("", b""), embedded=True)
            return grant
        desk = desk_for(self.options, self.root, plans)
        verify(grant, asked.execution_hash, folder.suite_id, desk.signers)
        return None if grant.signed.approval.is_over(desk.now()) else resumed(desk, grant, folder.suite_id)


def _refuse_options(context: click.Context) -> None:
    """Raises UsageError for whatever a resume cannot be asked for."""
    given = [
        name
        for name in context.params
        if name not in _OWN and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{names} cannot go with a resume: the suite goes on as it was begun")


def _judged_again(path: Path) -> dict[str, Any]:
    """The result of a bundle, formed again from its runs. Raises UsageError where it is not what it says."""
    import orjson

    from ecoload.protocol.session import judged_from
    from ecoload.protocol.suite_folder import SUITE
    from ecoload.report.bundle import IN_SUITE, read_bundle

    bundle = read_bundle(path)
    names = [name for name in bundle.sums if name.startswith(IN_SUITE) and name.endswith((".json", ".csv"))]
    members = {name.removeprefix(IN_SUITE): bundle.read(name) for name in names}
    tree = judged_from(members).to_json()
    if tree != orjson.loads(members[SUITE]):
        raise UsageError(f"{path}: its {SUITE} does not follow from its runs: it is not what was measured")
    return tree


def _score(path: Path) -> tuple[float, str]:
    """The score of an earlier bundle, worked out again, and where it is from."""
    return float(_judged_again(path)["readiness"]["after"]), path.name
