"""How each tool carries out a plan once, and what is asked of the target afterwards.

Rules
-----
- k6 gets the environment that its script reads, and nothing else of ours: no variable of k6's own, no proxy
  that the plan does not have, no configuration of the user's.
- Both speak HTTP/1.1, go to the address that the guard has pinned, and send the same records.
- k6's thresholds are not compared, so it does not matter whether they hold, unless one ended the test.
- What the target says of a run is asked by the same questions for both.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from ecoload.engine.beside import Beside
from ecoload.engine.interrupts import Interrupts
from ecoload.engine.k6 import K6, K6Ended, K6Failed, K6Job, run_k6
from ecoload.engine.tokens import tokens_of
from ecoload.errors import OutputFailed, TokenFailed, UsageError, WorkerFailed
from ecoload.export.k6.parts import Part, Script
from ecoload.export.k6.script import text_of
from ecoload.export.k6.steps import secret_variable
from ecoload.guard.grants import Grant
from ecoload.guard.hosts import is_ip
from ecoload.guard.peaks import total_duration_ns
from ecoload.guard.reach import steps, used_origins
from ecoload.measure.cross_check import Witness, of_ecoload, of_k6
from ecoload.measure.k6_summary import MOST_BYTES, K6Summary, read_summary
from ecoload.measure.rebuild import rebuild
from ecoload.measure.recorder import route_names
from ecoload.measure.result import Status
from ecoload.measure.strict import read_plain
from ecoload.plan import Origin, Plan
from ecoload.protocol.cross_check import Made, Target
from ecoload.report.folder import write_reports
from ecoload.run import Request, View, carry_out
from ecoload.spec.feeders import FILE, read_data
from ecoload.spec.workspace import Workspace

PLACE = Path("workspace", "tests", "perf", "k6")
"""Of the script, in the cross-check's folder: from there it finds its files as it does in a workspace."""
SUMMARY, OPTIONS, LOG, CERTIFICATES = "summary.json", "options.json", "k6.log", "ca.pem"
"""In the folder of a run of k6."""
LESS_GARBAGE = "400"
"""How much k6's heap may grow, in percent, before it is collected. By its own 100 it collects so often that a
target beside it on two cores answers later (its P99 by 3 ms); our generator does not collect under load at
all."""
MARGIN_S = 60.0
"""What k6 may take to start and to end, beside what its script may."""


@dataclass(frozen=True, slots=True)
class K6Script:
    """A plan as a k6 script in a file of that name: its text, the variable of each app's address and of each
    secret, and the files of the workspace that it opens, its records apart."""

    name: str
    text: str
    addresses: Mapping[str, str]
    secrets: Mapping[str, str]
    files: Sequence[str] = ()

    @property
    def place(self) -> Path:
        """Where it is in the cross-check's folder."""
        return PLACE / self.name


def script_for(workspace: Workspace, plan: Plan, unscaled: Plan) -> K6Script:
    """The plan's script, with the durations of the plan `unscaled`: k6 scales them itself. Which address a
    host has is told to k6 by us, so it says none. Raises CannotExport with everything that k6 cannot say."""
    script, as_sent = _script(workspace, unscaled), _script(workspace, plan)
    text_of(as_sent)  # what is too short once it is scaled is told before anything is sent
    return K6Script(
        script.name,
        text_of(script),
        {place.app: place.variable for place in script.places},
        {name: secret_variable(plan, name) for name, _ in plan.secrets},
        script.reads,
    )


def _script(workspace: Workspace, plan: Plan) -> Script:
    origins = tuple(dataclasses.replace(origin, resolve=()) for origin in plan.origins)
    part = Part(dataclasses.replace(plan, origins=origins), tuple(range(len(plan.loads))))
    return Script(f"{plan.app}_{plan.profile}.js", workspace, {plan.profile: part}, ("targets.yaml",))


def write_script(folder: Path, script: K6Script, plan: Plan, workspace: Path) -> None:
    """Writes the script, its records and the files it sends into the cross-check's folder; keys are linked,
    not copied. Raises OutputFailed; UsageError where the records are no longer the plan's."""
    root = folder / PLACE.parts[0]
    keys = {origin.client_key for origin in plan.origins}
    records = {FILE} if plan.feeders else set()
    if records and any(feeder.sha256 != read_data(workspace).sha256 for feeder in plan.feeders):
        raise UsageError(f"{FILE} has changed since the plan was made; start again")
    try:
        (folder / script.place).parent.mkdir(parents=True)
        (folder / script.place).write_text(script.text, encoding="utf-8")
        for name in sorted({*records, *(file for file in script.files if not Path(file).is_absolute())}):
            there, own = workspace / name, root / name
            own.parent.mkdir(parents=True, exist_ok=True)
            if name in keys:
                own.symlink_to(there.resolve())
            else:
                own.write_bytes(there.read_bytes())
    except OSError as error:
        raise OutputFailed(f"{error.filename or folder}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class ByEcoload:
    """Runs of ours, under the grant of the whole cross-check. A `protocol.cross_check.RunTool`."""

    workspace: Path
    grant: Grant | None
    view: View
    heard: Interrupts

    def __call__(self, target: Target, number: int, folder: Path) -> Made:
        plan, grant = target.plan, self.grant
        request = Request(
            plan,
            self.workspace,
            folder.parent,
            target.secrets,
            permit=None if grant is None else lambda *_: grant,
            folder=folder,
            held=True,
        )
        finished = carry_out(request, self.view, self.heard)
        result = finished.result
        if finished.written_problem:
            raise OutputFailed(finished.written_problem)
        if finished.broken:
            raise WorkerFailed(f"the load generator broke: {'; '.join(result.notes)}")
        write_reports(folder, result.to_json())
        if result.status is not Status.FINISHED:
            return Made(None, f"the run was {result.status.value}: {result.stop_reason}", finished.answered)
        witness, figures = _witness(target, result.run_id), rebuild(folder).figures
        run = of_ecoload(result, figures, number, folder.name, witness, _acknowledging(plan))
        return Made(run, answered=finished.answered)


@dataclass(frozen=True, slots=True)
class ByK6:
    """Runs of k6, by the script in the cross-check's folder. A `protocol.cross_check.RunTool`."""

    k6: K6
    script: K6Script
    heard: Interrupts
    environ: Mapping[str, str] = field(repr=False)
    """What PATH, and where certificate authorities are, is read from."""

    def __call__(self, target: Target, number: int, folder: Path) -> Made:
        plan = target.plan
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{plan.app}-{plan.profile}-{os.urandom(2).hex()}"
        folder = folder.absolute()
        job = K6Job(
            script=folder.parent / self.script.place,
            config=folder / OPTIONS,
            folder=folder,
            environment=k6_environment(target, self.script, run_id, folder, self.environ),
            secrets=tuple(target.secrets.values()),
            most_s=total_duration_ns(plan, grace=True) / 1e9 + _beside_s(plan) + MARGIN_S,
        )
        _prepare(folder, plan)
        try:
            ended = run_k6(self.k6, job, self.heard)
        except K6Failed as error:
            error.add_note(f"its folder is {folder}")
            raise
        _keep_log(folder, ended)
        if ended.interrupted:
            return Made(None, "interrupted")
        if ended.aborted:
            return Made(None, f"the run was aborted: {ended.aborted}")
        summary = _summary(folder / SUMMARY, run_id)
        witness = _witness(target, run_id)
        cpu_share = ended.cpu_s / ended.duration_s if ended.duration_s else None
        return Made(of_k6(summary, number, folder.name, witness, _acknowledging(plan), cpu_share))


def k6_environment(
    target: Target, script: K6Script, run_id: str, folder: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    """Everything of the environment that a run of k6 in `folder` gets."""
    plan, origins = target.plan, {origin.app: origin for origin in target.plan.origins}
    own = {
        "PATH": environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "GODEBUG": "http2client=0",
        "GOGC": LESS_GARBAGE,
        "K6_NO_USAGE_REPORT": "true",
        "K6_AUTO_EXTENSION_RESOLUTION": "false",
        "PROFILE": plan.profile,
        "DURATION_SCALE": repr(plan.duration_scale),
        "ECOLOAD_APPROVED": plan.spec_hash,
        "ECOLOAD_RUN_ID": run_id,
        "ECOLOAD_SUMMARY": str(folder / SUMMARY),
    }
    if plan.proxy:
        own |= {"HTTP_PROXY": plan.proxy, "HTTPS_PROXY": plan.proxy, "NO_PROXY": ",".join(_by_no_proxy(plan))}
    # Where both look for certificate authorities.
    own |= {name: environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in environ}
    if any(origin.ca_file for origin in plan.origins):
        own["SSL_CERT_FILE"] = str(folder / CERTIFICATES)
    addresses = {script.addresses[app]: _url(origins[app]) for app in script.addresses}
    secrets = {
        script.secrets[name]: value for name, value in target.secrets.items() if name in script.secrets
    }
    return {**dict(plan.env), **addresses, **secrets, **own}


def k6_options(plan: Plan) -> dict[str, object]:
    """What k6 is told beside its script: each host of the plan at the address that the guard has pinned. A
    proxy looks names up itself."""
    hosts = {
        f"{origin.host}:{origin.port}": _joined(origin.addresses[0], origin.port)
        for origin in plan.origins
        if origin.addresses and not is_ip(origin.host) and plan.proxy is None
    }
    return {"hosts": hosts} if hosts else {}


def _prepare(folder: Path, plan: Plan) -> None:
    try:
        folder.mkdir()
        (folder / OPTIONS).write_bytes(orjson.dumps(k6_options(plan)))
        bundle = [Path(one.tls_root) / one.ca_file for one in plan.origins if one.ca_file]
        if bundle:
            content = b"\n".join(path.read_bytes() for path in dict.fromkeys(bundle))
            (folder / CERTIFICATES).write_bytes(content)
    except OSError as error:
        raise OutputFailed(f"{error.filename or folder}: {error.strerror}") from error


def _keep_log(folder: Path, ended: K6Ended) -> None:
    with suppress(OSError):
        (folder / LOG).write_text("\n".join([*ended.lines, ""]), encoding="utf-8")


def _summary(path: Path, run_id: str) -> K6Summary:
    try:
        summary = read_summary(read_plain(path, MOST_BYTES))
    except UsageError as error:  # ours to read, and nothing that the caller did
        raise K6Failed(f"k6 ended well and left no summary at {path} that can be read: {error}") from None
    if summary.run_id != run_id:
        raise K6Failed(f"{path} is of run {summary.run_id}, and this is {run_id}")
    return summary


def _witness(target: Target, run_id: str) -> Witness:
    """What the target says of a run; nothing where it cannot be asked."""
    plan = target.plan
    if plan.request_count is None and plan.persistence is None:
        return Witness()
    try:
        with tokens_of(plan, run_id, target.secrets) as tokens:
            beside = Beside(plan, run_id, tokens, target.secrets.values())
            return Witness(beside.request_count(), beside.persisted()[0])
    except TokenFailed:
        return Witness()


def _beside_s(plan: Plan) -> float:
    """What setup and teardown may take: a minute each, or as long as their steps may."""
    every = [step for scenario in plan.scenarios for step in steps(scenario.setup + scenario.teardown)]
    return 120 + sum(step.timeout_ns + (step.think.most_ns if step.think else 0) for step in every) / 1e9


def _acknowledging(plan: Plan) -> str:
    return "" if plan.persistence is None else route_names(plan)[plan.persistence.route]


def _by_no_proxy(plan: Plan) -> list[str]:
    """Where tokens come from: ecoload asks for them directly, unless the load goes there too."""
    if plan.auth is None or plan.auth.origin in used_origins(plan):
        return []
    return [plan.origins[plan.auth.origin].host]


def _url(origin: Origin) -> str:
    return f"{origin.scheme}://{origin.authority}{origin.base_path}"


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
