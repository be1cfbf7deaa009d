"""One call of `ecoload suite`: a new folder or one to go on in, the protocol carried out, the result closed.

Rules
-----
- A resume carries out what the folder asks for, from the copy of what people wrote that lies in it. A plan
  that comes out different is refused: it is not what was begun, nor what was approved.
- However it ends, `suite.json` says how far it came; what went wrong on our side is still raised.
- A result can be formed again from the folder, or from the bundle made of it, alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from ecoload.engine.interrupts import interrupts
from ecoload.errors import EcoloadError, GuardRefused, UsageError
from ecoload.guard.grants import Grant
from ecoload.guard.reach import steps
from ecoload.measure.plan_file import read_outline
from ecoload.plan import Plan
from ecoload.plan.suite import Outline, SuitePlan
from ecoload.protocol.availability import asking, read_uptime, watching
from ecoload.protocol.suite import Conduct, SuiteView, conduct
from ecoload.protocol.suite_folder import AVAILABILITY, ERROR, PROTOCOL, SUITE, SuiteFolder, runs_among
from ecoload.spec.feeders import FILE
from ecoload.verdict.suite import FIRST, SuiteFacts, judge_suite
from ecoload.verdict.suite_result import SuiteResult


@dataclass(frozen=True, slots=True)
class Session:
    """What is carried out: the suite with hosts pinned, its folder (begun), the values of each app's
    secrets, the phases that need an approval and the grant of it (None: they wait), an earlier score with
    its source, and the app to retest."""

    suite: SuitePlan
    folder: SuiteFolder
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
    """Raises GuardRefused where a suite is not the one that an outline is of."""
    if suite.execution_hash != outline.execution_hash:
        raise GuardRefused(
            f"what would be sent is not what this suite began with (plan {suite.execution_hash}, begun as "
            f"{outline.execution_hash}): an address, a file, or the tool has changed. Begin a new suite"
        )


def inputs_of(targets: Path, scenarios: Path, plans: Iterable[Plan]) -> dict[str, Path]:
    """The files people wrote, by their path within a workspace: what a resume needs. No secret is one."""
    root = targets.parent
    found = {"targets.yaml": targets}
    if (root / FILE).exists():
        found[FILE] = root / FILE
    for path in sorted(scenarios.iterdir()) if scenarios.is_dir() else ():
        if path.suffix in (".yaml", ".py") and path.is_file():
            found[f"scenarios/{path.name}"] = path
    for name in {name for plan in plans for name in _body_files(plan)}:
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
        secrets=session.secrets,
        awaiting={name: session.gated[name] for name in session.awaiting},
        grant=session.grant,
        retest=session.retest,
    )
    # Whoever is production is not even probed before somebody has approved it.
    watched = [one for one in suite.watched if not _is_waiting(plan, one.app, session)]
    with interrupts() as heard:
        try:
            with watching(folder.path / AVAILABILITY, watched, asking(plan, folder.suite_id)):
                conduct(how, view, heard)
        except EcoloadError:
            with suppress(EcoloadError):
                _close(session, interrupted=True)
            raise
        return _close(session, interrupted=bool(heard.presses))


def judged_from(members: Mapping[str, bytes], suite_id: str = "") -> SuiteResult:
    """The result that follows from the files of a suite, by their names in its folder. Raises UsageError
    where they are not those of one."""
    try:
        protocol, said = orjson.loads(members[PROTOCOL]), orjson.loads(members[SUITE])
        outline = read_outline(protocol["outline"])
        trees = {
            name: orjson.loads(content)
            for name, content in members.items()
            if name.endswith(("/run.json", f"/{ERROR}"))
        }
        approvals, readiness = said["approvals"], said["readiness"]
        earlier = None if readiness["previous"] == FIRST else (readiness["before"], readiness["previous"])
        facts = SuiteFacts(
            suite_id=suite_id or said["suite_id"],
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
    except (KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise UsageError(f"these are not the files of a suite of this version: {error!r}") from error
    return judge_suite(outline, facts)


def _close(session: Session, *, interrupted: bool) -> SuiteResult:
    folder = session.folder
    outline, _, started_at = folder.read()
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
    result = judge_suite(outline, facts)
    folder.write(SUITE, result.to_json())
    return result


def _uptime(folder: SuiteFolder) -> Mapping[str, tuple[int, int]]:
    try:
        return read_uptime((folder.path / AVAILABILITY).read_text(errors="replace").splitlines())
    except OSError:
        return {}


def _is_waiting(plan: Plan, app: str, session: Session) -> bool:
    production = any(o.app == app and o.environment == "production" for o in plan.origins)
    return production and session.grant is None


def _body_files(plan: Plan) -> Iterator[str]:
    for scenario in plan.scenarios:
        for part in (scenario.setup, scenario.steps, scenario.teardown):
            for step in steps(part):
                if step.body is not None:
                    yield from (name for name, _ in step.body.file_sha256)
