"""What became of the steps of a browser flow, and what its pages measured, from what Playwright told.

Rules
-----
- Times are ms. A step that has a limit is timed from the end of the last step that has none, by the clock of
  the machine that the browser ran on.
- What was begun and not ended was cut off; what was not begun was not reached.
- What is told is foreign: whatever is not of its type is as if it had not been told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecoload.measure.flow import StepOutcome
from ecoload.plan import BrowserStep

METRICS = ("lcp_ms", "cls", "inp_ms", "ttfb_ms")
PASSED, INTERRUPTED, TIMED_OUT = "passed", "interrupted", "timedOut"


@dataclass(frozen=True, slots=True)
class StepSeen:
    """One step. `seen_ms` is what its limit is held against; None where it has none or did not hold."""

    name: str
    outcome: StepOutcome
    reason: str = ""
    took_ms: float = 0.0
    seen_ms: float | None = None


@dataclass(frozen=True, slots=True)
class PageVitals:
    """The web vitals of one page, by the names of `METRICS`; None where the page had none."""

    page: str
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class BrowserSeen:
    """A flow as it was told. `status` is Playwright's own of the test, empty where the test never began or
    never ended, and `over` that of all that it ran; `errors` are all of them, those outside of any step
    included."""

    steps: tuple[StepSeen, ...]
    vitals: tuple[PageVitals, ...] = ()
    status: str = ""
    over: str = ""
    errors: tuple[str, ...] = ()
    attachments: tuple[tuple[str, str], ...] = field(default=())
    """`(name, path)` of each file."""


def seen(steps: Sequence[BrowserStep], events: Iterable[Mapping[str, Any]]) -> BrowserSeen:
    """The flow with these steps, from the events of one run."""
    begun: dict[str, float] = {}
    ended: dict[str, tuple[float, str]] = {}
    errors: list[str] = []
    status, over, attachments, first_ms = "", "", [], 0.0
    for event in events:
        kind, name = event.get("event"), str(event.get("name"))
        if kind == "begin":
            first_ms = _number(event.get("at_ms")) or 0.0
        elif kind == "step":
            begun.setdefault(name, _number(event.get("at_ms")) or 0.0)
        elif kind == "step_end":
            ended.setdefault(name, (_number(event.get("took_ms")) or 0.0, _text(event.get("error"))))
        elif kind == "error":
            errors.append(_text(event.get("error")))
        elif kind == "over":
            over = _text(event.get("status"))
        elif kind == "end":
            status = _text(event.get("status"))
            errors += [_text(error) for error in _list(event.get("errors"))]
            attachments += [one for one in _list(event.get("attachments")) if isinstance(one, Mapping)]
    return BrowserSeen(
        steps=tuple(_steps(steps, begun, ended, first_ms, [*errors, ""][0], status)),
        vitals=tuple(_vitals(attachments)),
        status=status,
        over=over,
        errors=tuple(errors),
        attachments=tuple(
            (_text(one.get("name")), _text(one["path"]))
            for one in attachments
            if isinstance(one.get("path"), str)
        ),
    )


def _steps(
    steps: Sequence[BrowserStep],
    begun: Mapping[str, float],
    ended: Mapping[str, tuple[float, str]],
    since_ms: float,
    why: str,
    status: str,
) -> Iterable[StepSeen]:
    for step in steps:
        if step.name not in begun:
            yield StepSeen(step.name, StepOutcome.NOT_REACHED, "a step before it did not hold")
            continue
        if step.name not in ended:
            cut = status in ("", INTERRUPTED)
            outcome = StepOutcome.INTERRUPTED if cut else StepOutcome.FAILED
            yield StepSeen(step.name, outcome, why or "it had not ended when the browser was ended")
            continue
        took_ms, error = ended[step.name]
        end_ms = begun[step.name] + took_ms
        if error:
            outcome = StepOutcome.INTERRUPTED if status == INTERRUPTED else StepOutcome.FAILED
            # What a step says that was cut off by the time is how it was cut off.
            reason = f"{why}\n{error}" if status == TIMED_OUT else error
            yield StepSeen(step.name, outcome, reason, took_ms)
        elif step.within_ns is None:
            yield StepSeen(step.name, StepOutcome.HELD, "", took_ms)
            since_ms = end_ms
        else:
            yield StepSeen(step.name, StepOutcome.HELD, "", took_ms, end_ms - since_ms)


def _vitals(attachments: Iterable[Mapping[str, Any]]) -> Iterable[PageVitals]:
    for one in attachments:
        if one.get("name") != "vitals" or not isinstance(one.get("text"), str):
            continue
        try:
            told = json.loads(one["text"])
        except ValueError:
            continue
        if isinstance(told, dict):
            values = {metric: _number(told.get(metric)) for metric in METRICS}
            yield PageVitals(_text(told.get("page")), values)


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
