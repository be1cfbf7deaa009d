"""One call of `ecoload suite`: a new folder or one to go on in, the protocol carried out, the result closed.

Rules
-----
- A resume carries out what the folder asks for, from the copy of what people wrote that lies in it. A plan
  that comes out different is refused: it is not what was begun, nor what was approved.
- However it ends, `suite.json` says how far it came; what went wrong on our side is still raised.
- A result can be formed again from the folder, or from the bundle made of it, alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from ecoload.engine.interrupts import interrupts
from ecoload.errors import EcoloadError, GuardRefused, UsageError
from ecoload.guard.grants import Grant
from ecoload.guard.reach import is_production, steps, used_origins
from ecoload.measure.plan_file import read_outline
from ecoload.plan import Plan
from ecoload.plan.suite import Outline, SuitePlan, Watched
from ecoload.protocol.availability import asking, read_uptime, watching
from ecoload.protocol.suite import Conduct, SuiteView, conduct
from ecoload.protocol.suite_folder import (
    AVAILABILITY,
    ERROR,
    PROTOCOL,
    RESULTS,
    SUITE,
    SuiteFolder,
    runs_among,
)
from ecoload.spec.feeders import FILE
from ecoload.spec.files import BROWSER, FLOWS, is_inside
from ecoload.verdict.suite import FIRST, SuiteFacts, judge_suite
from ecoload.verdict.suite_result import SuiteResult

_NO_SUITE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
"""What comes of judging what is none."""


@dataclass(frozen=True, slots=True)
class Session:
    """What is carried out: the suite with hosts pinned, its folder (begun), the workspace, the values of each
    app's secrets, the phases that need an approval and the grant of it (None: they wait), an earlier score
    with its source, and the app to retest."""

    suite: SuitePlan
    folder: SuiteFolder
    root: Path
    secrets: Mapping[str, Mapping[str, str]] = field(repr=False)
    gated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    grant: Grant | None = None
    previous: tuple[float, str] | None = None
    retest: str = ""

    @property
    def awaiting(self) -> frozenset[str]:
        """The phases that wait for an approval."""
        return frozenset(self.gated) if self.grant is None else frozenset()


def new_folder(out: Path) -> SuiteFolder:
    """A folder's name below `out`; nothing is made yet."""
    return SuiteFolder(out / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-suite-{os.urandom(2).hex()}")


def newest_folder(out: Path) -> Path:
    """The suite that was begun last below `out`. Raises UsageError where there is none."""
    found = sorted(path.parent for path in out.glob(f"*-suite-*/{PROTOCOL}"))
    if not found:
        raise UsageError(f"there is no suite below {out} to go on with; name its folder with --resume")
    return found[-1]


def earlier_score(folder: SuiteFolder) -> tuple[float, str] | None:
    """The score before that a suite was given, and what it was read from."""
    readiness = (folder.load(SUITE) or {}).get("readiness") or {"previous": FIRST}
    if readiness["previous"] == FIRST:
        return folder.read()[1].previous
    return readiness["before"], readiness["previous"]


def same_plan(suite: SuitePlan, outline: Outline) -> None:
    """Raises GuardRefused where a suite is not the one that an outline is of: in what is sent, or in what it
    is judged by."""
    if suite.execution_hash != outline.execution_hash:
        raise GuardRefused(
            f"what would be sent is not what this suite began with (plan {suite.execution_hash}, begun as "
            f"{outline.execution_hash}): an address, a file, or the tool has changed. Begin a new suite"
        )
    made = suite.outline()
    changed = [f.name for f in dataclasses.fields(made) if getattr(made, f.name) != getattr(outline, f.name)]
    if changed:
        raise GuardRefused(f"{PROTOCOL} was changed since this suite began: {', '.join(changed)}")


def check_runs(folder: SuiteFolder) -> None:
    """Raises UsageError where what a folder holds of runs is not what runs leave."""
    outline, _, started_at = folder.read()
    try:
        runs, uptime = folder.runs(), _uptime(folder)
        facts = SuiteFacts(folder.suite_id, started_at, started_at, 0.0, runs, uptime=uptime)
        judge_suite(outline, facts).to_json()
    except _NO_SUITE as error:
        raise UsageError(f"{folder.path}: its runs are not those of this version: {error!r}") from error


def inputs_of(targets: Path, scenarios: Path, plans: Sequence[Plan]) -> dict[str, Path]:
    """The files people wrote, by their path within a workspace: what a resume needs. No secret is one, and no
    key; a certificate that lies elsewhere is not copied.

    Raises UsageError for a Python scenario that would not be found in the copy."""
    root = targets.parent
    for module in {s.module for plan in plans for s in plan.scenarios if s.module is not None}:
        if Path(module).parent != Path("scenarios"):
            raise UsageError(
                f"{module}: a suite takes Python scenarios from scenarios/ beside {targets} only"
            )
    found = {"targets.yaml": targets}
    if (root / FILE).exists():
        found[FILE] = root / FILE
    for path in sorted(scenarios.iterdir()) if scenarios.is_dir() else ():
        if path.suffix in (".yaml", ".py") and path.is_file():
            found[f"scenarios/{path.name}"] = path
    for path in sorted((scenarios / FLOWS).glob("*.yaml")):
        found[f"scenarios/{FLOWS}/{path.name}"] = path
    for path in sorted((scenarios / BROWSER).glob("*")):
        if path.suffix in (".yaml", ".ts") and path.is_file():
            found[f"scenarios/{BROWSER}/{path.name}"] = path
    for name in {name for plan in plans for name in (*_body_files(plan), *_certificates(plan))}:
        found[name] = root / name
    return found


def carry_out_suite(session: Session, view: SuiteView) -> SuiteResult:
    """Carries out what the folder does not hold yet, and closes it. Raises EcoloadError, then too with
    `suite.json` written as far as it goes."""
    folder, suite = session.folder, session.suite
    plan = suite.phases[0].runs[0].plan
    how = Conduct(
        suite=suite,
        folder=folder,
        root=session.root,
        secrets=session.secrets,
        awaiting={name: session.gated[name] for name in session.awaiting},
        grant=session.grant,
        retest=session.retest,
    )
    watched = [one for one in suite.watched if _may_be_watched(one, session)]
    with interrupts() as heard:
        try:
            with watching(folder.path / AVAILABILITY, watched, asking(plan, folder.suite_id)):
                conduct(how, view, heard)
        except EcoloadError:
            with suppress(EcoloadError):
                _close(session, interrupted=True)
            raise
        return _close(session, interrupted=bool(heard.presses))


def judged_from(members: Mapping[str, bytes]) -> SuiteResult:
    """The result that follows from the files of a suite, by their names in its folder. Raises UsageError
    where they are not those of one."""
    try:
        protocol, said = orjson.loads(members[PROTOCOL]), orjson.loads(members[SUITE])
        outline = read_outline(protocol["outline"])
        trees = {
            name: orjson.loads(content)
            for name, content in members.items()
            if name.endswith(tuple(f"/{result}" for result in (*RESULTS, ERROR)))
        }
        approvals, readiness = said["approvals"], said["readiness"]
        earlier = None if readiness["previous"] == FIRST else (readiness["before"], readiness["previous"])
        facts = SuiteFacts(
            suite_id=said["suite_id"],
            started_at=protocol["started_at"],
            ended_at=said["ended_at"],
            duration_s=said["duration_s"],
            runs=runs_among(trees),
            interrupted=said["interrupted"],
            gated={name: tuple(reasons) for name, reasons in approvals["needed"].items()},
            awaiting=frozenset(approvals["awaiting"]),
            approved_by=approvals["given"],
            uptime=read_uptime(members.get(AVAILABILITY, b"").decode(errors="replace").splitlines()),
            previous=earlier,
        )
        return judge_suite(outline, facts)
    except _NO_SUITE as error:
        raise UsageError(f"these are not the files of a suite of this version: {error!r}") from error


def _close(session: Session, *, interrupted: bool) -> SuiteResult:
    folder = session.folder
    _, _, started_at = folder.read()
    ended = datetime.now(UTC)
    facts = SuiteFacts(
        suite_id=folder.suite_id,
        started_at=started_at,
        ended_at=ended.isoformat(timespec="milliseconds"),
        duration_s=(ended - datetime.fromisoformat(started_at)).total_seconds(),
        runs=folder.runs(),
        interrupted=interrupted,
        gated=session.gated,
        awaiting=session.awaiting,
        approved_by=session.grant.given_by if session.grant is not None else "",
        uptime=_uptime(folder),
        previous=session.previous,
    )
    result = judge_suite(session.suite.outline(), facts)
    folder.write(SUITE, result.to_json())
    return result


def _uptime(folder: SuiteFolder) -> Mapping[str, tuple[int, int]]:
    try:
        return read_uptime((folder.path / AVAILABILITY).read_text(errors="replace").splitlines())
    except OSError:
        return {}


def _may_be_watched(one: Watched, session: Session) -> bool:
    """Whoever is production is not even probed unless somebody has approved that it is sent to."""
    plan = session.suite.phases[0].runs[0].plan
    if not is_production(plan, one.probe.origin):
        return True
    sent_to = (run.plan.origins[i].app for _, run in session.suite.runs for i in used_origins(run.plan))
    return session.grant is not None and one.app in sent_to


def _body_files(plan: Plan) -> Iterator[str]:
    for scenario in plan.scenarios:
        for part in (scenario.setup, scenario.steps, scenario.teardown):
            for step in steps(part):
                if step.body is not None:
                    yield from (name for name, _ in step.body.file_sha256)


def _certificates(plan: Plan) -> Iterator[str]:
    for origin in plan.origins:
        yield from (name for name, _ in origin.tls_sha256 if is_inside(name))
