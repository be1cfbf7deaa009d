"""Carries out one browser flow: guard, Playwright, evidence, verdict.

Rules
-----
- It takes no lock: one browser is not load.
- Playwright runs in a private folder that goes afterwards. What is kept of it stands in the run's folder,
  with no secret, cookie or token in it: `browser_evidence.py`.
- The files that are carried out are those of the plan, by their digests.
- No browser, no Node.js, no modules: the result says so and how to get them, and it is no verdict on a
  target.
- Nothing that a browser does makes it go on for ever: a flow has a time, Playwright keeps it, and is itself
  ended some time after.
- The first Ctrl-C lets Playwright end the flow; what was seen so far is kept and judged.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import secrets as random
import shutil
from collections.abc import Collection, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from ecoload.engine.browser_evidence import (
    Hider,
    failed_requests,
    hidden_har,
    sensitive_in_har,
    sensitive_in_trace,
    write_hidden_trace,
)
from ecoload.engine.interrupts import Interrupts, interrupts
from ecoload.engine.playwright import (
    NOT_STARTED,
    BrowserFound,
    BrowserTold,
    NoBrowser,
    environment_of,
    find_browser,
    find_modules,
    lay_out,
    private_folder,
    run_playwright,
)
from ecoload.errors import OutputFailed, UsageError
from ecoload.export.playwright.files import project_of
from ecoload.measure.browser import BrowserSeen, seen
from ecoload.measure.result import Status, Verdict
from ecoload.plan import Browser, Plan
from ecoload.run import Request, begun, granted
from ecoload.spec.browser import SPEC
from ecoload.spec.files import BROWSER
from ecoload.verdict.browser import NO_BROWSER, judge_browser

SCHEMA = "ecoload.e2e/1"
RESULT, PLAYWRIGHT, PAGE = "e2e.json", "playwright.json", "page.md"
HAR, TRACE, FILM = "network.har", "trace.zip", "video.webm"
_OUTPUT = "test-results"
_PASSWORD_BYTES = 18
MOST_FAILED = 5
"""Of the requests that got no answer or a 5xx that are told."""


class BrowserView(Protocol):
    """Whoever watches a browser flow; see `report/browser.py`."""

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None: ...

    def event(self, event: Mapping[str, Any]) -> None:
        """Playwright told of something; from another thread."""

    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class BrowserFinished:
    """A browser flow that is over: its result (`e2e.json` as a tree), and its folder."""

    result: dict[str, Any]
    folder: Path


def carry_out_browser(
    request: Request, root: Path, view: BrowserView, heard: Interrupts | None = None
) -> BrowserFinished:
    """Carries out a browser flow that is prepared (`run.prepare`); `root` is the workspace whose project has
    the modules, `request.workspace` what the specs are read from. Raises ApprovalNeeded and GuardRefused
    before anything is sent, UsageError where a spec is another than the plan's, OutputFailed where the disk
    refuses."""
    plan, started = request.plan, datetime.now(UTC)
    flow = plan.browser
    assert flow is not None, "the plan of a browser flow"
    files = project_of(plan, _sources(request.workspace, flow))
    run_id = f"{started:%Y%m%dT%H%M%S}-e2e-{flow.name}-{os.urandom(2).hex()}"
    folder = begun(request.folder or request.out / run_id, plan)
    run = _Run(plan, run_id, started, folder)
    with ExitStack() as stack:
        grant = granted(request, plan, run_id, folder)
        notes = [grant.note] if grant is not None else []
        taken = stack.enter_context(interrupts() if heard is None else nullcontext(heard))
        private = stack.enter_context(private_folder())
        view.begin(plan, run_id, folder)
        stack.callback(view.end)
        try:
            node, modules = find_modules(root)
            lay_out(private, files, modules)
            found = find_browser(node, modules, private)
        except NoBrowser as error:
            return BrowserFinished(run.without_browser(str(error), notes), folder)
        password = random.token_urlsafe(_PASSWORD_BYTES)
        own = {
            **request.secrets,
            "ECOLOAD_RUN_ID": run_id,
            "ECOLOAD_PASSWORD": password,
            "ECOLOAD_ADDRESSES": orjson.dumps(_addresses(plan)).decode(),
        }
        environment = environment_of(os.environ, own)
        spec, most_s = f"{flow.name}{SPEC}", flow.timeout_ns / 1e9
        told = run_playwright(found, private, spec, environment, most_s, taken, view.event)
        known = {password, *request.secrets.values()}
        result = run.result(told, found, private / _OUTPUT, known, notes)
        return BrowserFinished(result, folder)


def exit_code(results: list[dict[str, Any]]) -> int:
    """What browser flows outside a suite end with (docs/exit-codes.md)."""
    if any(result["status"] == Status.INTERRUPTED for result in results):
        return 130
    verdicts = {result["verdict"] for result in results if result["status"] != NO_BROWSER}
    if Verdict.FAIL in verdicts:
        return 99
    if verdicts - {Verdict.PASS}:
        return 5
    return 8 if any(result["status"] == NO_BROWSER for result in results) else 0


def _sources(workspace: Path, flow: Browser) -> dict[str, bytes]:
    """The files of the plan. Raises UsageError where one is not what was planned."""
    found = {}
    for name, digest in flow.sources:
        path = workspace / "scenarios" / BROWSER / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise UsageError(f"{path} was changed since the plan was made; plan again")
        found[name] = content
    return found


def _addresses(plan: Plan) -> dict[str, str]:
    """What the guard has looked up, for each host that is a name."""
    assert plan.browser is not None
    origins = [plan.origins[visit.origin] for visit in plan.browser.visits]
    found = {o.host.lower(): o.addresses[0] for o in origins if o.addresses and o.addresses[0] != o.host}
    return {host: f"[{address}]" if ":" in address else address for host, address in found.items()}


@dataclass(slots=True)
class _Run:
    plan: Plan
    run_id: str
    started: datetime
    folder: Path

    def without_browser(self, reason: str, notes: list[str]) -> dict[str, Any]:
        status, verdict = NO_BROWSER, Verdict.INCONCLUSIVE
        return self._tree(status, verdict, [reason], [], BrowserSeen(()), [], {}, notes)

    def result(
        self, told: BrowserTold, found: BrowserFound, output: Path, known: set[str], notes: list[str]
    ) -> dict[str, Any]:
        flow = self.plan.browser
        assert flow is not None
        taken = seen(flow.steps, told.events)
        if reason := next((error for error in taken.errors if NOT_STARTED.search(error)), ""):
            return self.without_browser(f"{found.executable} does not start: {reason.splitlines()[0]}", notes)
        kept = _Evidence(self.folder, output, known, taken)
        try:
            kept.write(told)
        except OSError as error:
            raise OutputFailed(
                f"{error.filename or self.folder}: {error.strerror}; free some space"
            ) from error
        verdict, reasons, proofs = judge_browser(
            self.plan, taken, interrupted=told.interrupted, trouble=_trouble(told, kept.said)
        )
        status = Status.INTERRUPTED if told.interrupted else Status.FINISHED
        if not found.video:
            notes = [*notes, "no ffmpeg where Playwright looks for it: there is no video"]
        tree = self._tree(
            status, verdict, reasons, proofs, taken, kept.files, kept.browser, [*notes, *kept.notes]
        )
        clean: dict[str, Any] = Hider(kept.secrets).tree(tree)
        return clean

    def _tree(
        self,
        status: str,
        verdict: Verdict,
        reasons: list[str],
        proofs: list[dict[str, Any]],
        taken: BrowserSeen,
        files: list[dict[str, str]],
        browser: Mapping[str, str],
        notes: list[str],
    ) -> dict[str, Any]:
        plan, flow = self.plan, self.plan.browser
        assert flow is not None
        return {
            "schema": SCHEMA,
            "tool_version": plan.tool_version,
            "protocol": dataclasses.asdict(plan.protocol),
            "kind": "browser",
            "app": plan.app,
            "flow": flow.name,
            "about": flow.about,
            "profile": plan.profile,
            "run_id": self.run_id,
            "seed": plan.seed,
            "started_at": self.started.isoformat(timespec="milliseconds"),
            "duration_s": round((datetime.now(UTC) - self.started).total_seconds(), 3),
            "status": str(status),
            "verdict": verdict.value,
            "verdict_reasons": reasons,
            "validity": {"status": "VALID", "reasons": []},
            "target_version": "",
            "browser": dict(browser),
            "proofs": proofs,
            "vitals": [{"page": one.page, **one.values} for one in taken.vitals],
            "limits": None if flow.vitals is None else dataclasses.asdict(flow.vitals),
            "evidence": files,
            "notes": notes,
            "spec_hash": plan.spec_hash,
            "execution_hash": plan.execution_hash,
        }


def _without(folders: Collection[str], text: str) -> str:
    for folder in folders:
        text = text.replace(folder, "")
    return text


def _trouble(told: BrowserTold, said: str) -> str:
    """Why Playwright did not get to its end."""
    if told.interrupted:
        return ""
    if not told.in_time:
        return "Playwright had not ended long after the flow's time was over, and was ended"
    if told.code < 0 or (told.code and not any(event.get("event") == "over" for event in told.events)):
        return f"Playwright ended with {told.code}: {said or 'it said nothing'}"
    return ""


class _Evidence:
    """What is kept of Playwright's output, in the run's folder."""

    def __init__(self, folder: Path, output: Path, known: set[str], taken: BrowserSeen) -> None:
        self._folder, self._output, self._taken = folder, output, taken
        self.secrets = set(known)
        self.files: list[dict[str, str]] = []
        self.browser: dict[str, str] = {}
        self.notes: list[str] = []
        self.said = ""

    def write(self, told: BrowserTold) -> None:
        """Finds what must not be kept, then keeps the rest. Raises OSError."""
        har, trace = self._har(), self._one(TRACE)
        self.secrets |= sensitive_in_har(har)
        if trace is not None:
            try:
                self.secrets |= sensitive_in_trace(trace)
            except ValueError as error:
                self.notes.append(f"the trace is not kept: {error}")
                trace = None
        hider = Hider(self.secrets)
        self.said = hider.text(" · ".join(line for line in told.lines if line.strip())[-2000:])
        for name, path in self._taken.attachments:
            if path.endswith(".png"):
                file = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
                self._copy(Path(path), f"{file}.png", "screenshot", name)
        if (film := self._one(FILM)) is not None:
            self._copy(film, FILM, "video", "the flow as it was seen")
        if har is not None:
            self.notes += failed_requests(har)[:MOST_FAILED]
            self._keep(HAR, hidden_har(har, self.secrets), "har", "what went over the network")
            self.browser = {k: str(v) for k, v in (har["log"].get("browser") or {}).items()}
        if trace is not None:
            write_hidden_trace(trace, self._folder / TRACE, self.secrets)
            self.files.append(
                {"file": TRACE, "kind": "trace", "about": "npx playwright show-trace trace.zip"}
            )
        private = {str(self._output.parent), str(self._output.parent.resolve())}
        if (results := self._one(PLAYWRIGHT)) is not None:
            tree = hider.tree(orjson.loads(_without(private, results.read_text(encoding="utf-8"))))
            content = orjson.dumps(tree, option=orjson.OPT_INDENT_2)
            self._keep(PLAYWRIGHT, content, "results", "what Playwright itself says")
        if (page := self._one("error-context.md")) is not None:
            text = _without(private, page.read_text(encoding="utf-8", errors="replace"))
            # What it says before is meant for a machine, and the spec stands in the workspace.
            text = text[max(text.find("# Error details"), 0) :].partition("# Test source")[0]
            self._keep(PAGE, hider.text(text).encode(), "page", "where it failed, as a screen reader has it")

    def _har(self) -> Any:
        path = self._one(HAR)
        if path is None:
            return None
        try:
            har = orjson.loads(path.read_bytes())
        except ValueError:
            har = None
        if not isinstance(har, dict) or not isinstance(har.get("log"), dict):
            self.notes.append("the HAR is not kept: it is none")
            return None
        return har

    def _one(self, name: str) -> Path | None:
        """The first file of this name in the output; no link is one."""
        found = sorted(p for p in self._output.rglob(name) if p.is_file() and not p.is_symlink())
        return found[0] if found else None

    def _copy(self, source: Path, name: str, kind: str, about: str) -> None:
        inside = source.resolve().is_relative_to(self._output.resolve())
        if inside and source.is_file() and Path(name).name == name:
            shutil.copyfile(source, self._folder / name)
            self.files.append({"file": name, "kind": kind, "about": about})

    def _keep(self, name: str, content: bytes, kind: str, about: str) -> None:
        (self._folder / name).write_bytes(content)
        self.files.append({"file": name, "kind": kind, "about": about})
