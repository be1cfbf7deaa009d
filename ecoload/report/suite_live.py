"""What a suite says while it goes, on standard error: a line for each run that is over, and what goes on now.

Rules
-----
- A run that goes on alone has the live view of a run; runs side by side share one line.
- Foreign text is cleaned; nothing is read as markup.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from ecoload.plan.suite import AppRun, Outline, Phase
from ecoload.report.forms import clean, ms, plural, span
from ecoload.report.live import LineView, PanelView, SilentView, live_console
from ecoload.report.rows import reasons
from ecoload.report.terminal import STYLES, live_view
from ecoload.verdict.browser import NO_BROWSER
from ecoload.verdict.suite_result import PhaseResult

MARKS = dict.fromkeys(("MITIGATED", "WAIVED", "AWAITING_APPROVAL", "NO_BROWSER"), "yellow") | {
    "NOT_RUN": "dim"
}


class SilentSuiteView:
    """Says nothing but what somebody has to do."""

    def head(self, outline: Outline, folder: Path) -> None: ...

    def note(self, text: str) -> None:
        """What somebody has to do is said all the same."""
        for line in text.splitlines():
            live_console().print(Text(clean(line)), soft_wrap=True)

    def phase(self, phase: Phase, why_not: str = "") -> None: ...

    def run_view(self, phase: Phase, run: AppRun, *, alone: bool) -> SilentView:
        return SilentView()

    def begun(self, phase: Phase, apps: Sequence[str], note: str = "") -> None: ...

    def progress(self, phase: Phase, run: AppRun, text: str) -> None: ...

    def ended(
        self, phase: Phase, app: str, result: Mapping[str, Any] | None, error: str, kind: str
    ) -> None: ...

    def judged(self, phase: PhaseResult) -> None: ...

    def close(self) -> None: ...


class SuiteLineView:
    """A line for each run that is over; on a terminal, what goes on stands below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._status: Status | None = None
        self._going: list[str] = []

    def head(self, outline: Outline, folder: Path) -> None:
        """What is about to be carried out."""
        mark = f" · REHEARSAL ({'; '.join(outline.rehearsal)})" if outline.rehearsal else ""
        apps, phases = (
            plural(len(outline.apps), "app", "apps"),
            plural(len(outline.phases), "phase", "phases"),
        )
        line = Text(f"{clean(outline.protocol.name)} · {apps} · {phases}{mark}", "bold")
        self._console.print(line, soft_wrap=not self._console.is_terminal)
        self._say(Text(clean(folder), "dim"))

    def note(self, text: str) -> None:
        for line in text.splitlines():
            self._say(Text(clean(line), "yellow"))

    def phase(self, phase: Phase, why_not: str = "") -> None:
        if why_not:
            self._say(Text.assemble(f"{clean(phase.name):<10} ", ("not run: ", "yellow"), clean(why_not)))

    def run_view(self, phase: Phase, run: AppRun, *, alone: bool) -> SilentView | LineView | PanelView:
        if alone and self._console.is_terminal:
            self._clear()
            return live_view(console=self._console)
        return SilentView()

    def progress(self, phase: Phase, run: AppRun, text: str) -> None:
        """What a run does just now, on a terminal."""
        with self._lock:
            if self._status is not None and run.name in self._going:
                self._status.update(Text(clean(f"{phase.name}: {' '.join(self._going)} · {text}")))

    def begun(self, phase: Phase, apps: Sequence[str], note: str = "") -> None:
        if note:
            self._say(Text(f"{clean(phase.name):<10} {clean(' '.join(apps)):<5} {clean(note)}", "dim"))
        with self._lock:
            self._going = list(apps)
            self._show(phase)

    def ended(self, phase: Phase, app: str, result: Mapping[str, Any] | None, error: str, kind: str) -> None:
        with self._lock:
            self._going = [one for one in self._going if one != app]
            self._show(phase)
        verdict = str(result["verdict"]) if result is not None else "FAIL"
        if result is not None and result["status"] == NO_BROWSER:
            verdict = "NO BROWSER"
        widest = max(5, *(len(run.name) for run in phase.runs))
        line = Text.assemble(
            f"{clean(phase.name):<10} {clean(app):<{widest}} ",
            (f"{verdict:<13}", f"bold {STYLES.get(verdict, '')}"),
            _figures(result) if result is not None else clean(error),
            "" if kind == "first" else f" · {kind}",
        )
        self._say(line)
        if result is not None and verdict != "PASS":
            for reason in reasons(result)[:3]:
                self._say(Text(f"{'':<17}{clean(reason)}", "dim"))

    def judged(self, phase: PhaseResult) -> None:
        with self._lock:
            self._clear()
        word = phase.verdict.value
        style = STYLES.get(word) or MARKS.get(word, "")
        self._say(Text.assemble(f"{clean(phase.name):<10} ", (word.replace("_", " "), f"bold {style}")))

    def close(self) -> None:
        with self._lock:
            self._clear()

    def _say(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)

    def _show(self, phase: Phase) -> None:
        if not self._console.is_terminal:
            return
        self._clear()
        flows = any(run.plan.flow_name for run in phase.runs)
        if len(self._going) > 1 or (self._going and (flows or len(phase.runs) == 1)):
            self._status = self._console.status(Text(f"{clean(phase.name)}: {clean(' '.join(self._going))}"))
            self._status.start()

    def _clear(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def suite_view(*, silent: bool = False) -> SilentSuiteView | SuiteLineView:
    """Whoever shows a suite while it goes."""
    return SilentSuiteView() if silent else SuiteLineView(live_console())


def _figures(result: Mapping[str, Any]) -> str:
    if result.get("kind") == "browser":
        return span(result.get("duration_s"))
    if result.get("flow"):
        return f"{span(result.get('duration_s'))} · {plural(result.get('passes'), 'pass', 'passes')}"
    p95s = [(route.get("response_ms") or {}).get("p95") for route in result.get("routes") or ()]
    worst = max((p95 for p95 in p95s if p95 is not None), default=None)
    requests = plural(result.get("requests"), "request", "requests")
    return f"{span(result.get('duration_s'))} · {requests} · P95 at most {ms(worst)} ms"
