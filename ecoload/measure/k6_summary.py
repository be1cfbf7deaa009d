"""What k6 measured, as its scripts say it: schema `ecoload.k6/1`.

Rules
-----
- Each dataclass field is a key of the JSON object. Latencies are k6's `http_req_duration` of expected
  responses, in ms: what ecoload calls service time. What k6 did not say is None, never 0; a text, empty.
- The files that k6 itself writes (`--summary-export`, the data of `handleSummary`) are read too
  (`k6_own.py`). What only they need has a default.
- Such a file may come from anywhere: it is read strictly, and everything that is wrong is said at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from ecoload.errors import UsageError
from ecoload.measure.k6_own import own_summary
from ecoload.measure.strict import Strict, rising

SCHEMA = "ecoload.k6/1"
MOST_BYTES = 16 << 20
PROBLEMS_SHOWN = 30
_HASH = re.compile("[0-9a-f]{64}|")
_MACHINE_READABLE = {"version", "results"}


class UnusableSummary(UsageError):
    """A file that is no summary of k6's, or holds what cannot be. `problems` has everything found."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = len(problems) - PROBLEMS_SHOWN
        shown = [*problems[:PROBLEMS_SHOWN], *([f"… and {more} more"] if more > 0 else [])]
        super().__init__("\n".join(["not a summary of k6's that can be read:", *shown]))


@dataclass(frozen=True, slots=True)
class K6Latency:
    """Interpolated percentiles (numpy's `linear`), maximum and mean in ms; None where there was no sample."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None
    mean: float | None


@dataclass(frozen=True, slots=True)
class K6Route:
    """One route, or one `name` tag: `requests` with every hop, `errors` steps that did not end ok."""

    route: str
    requests: int | None
    errors: int | None
    error_rate: float | None
    rps: float | None
    timeouts: int | None
    service_ms: K6Latency


@dataclass(frozen=True, slots=True)
class K6Threshold:
    """`samples`: how many it was formed of, where that is known. k6 calls one over none of them ok."""

    metric: str
    expression: str
    ok: bool
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class K6Summary:
    """A whole test. `duration_s` is without setup and teardown where that is known; requests are those of
    the routes, tokens not counted. `notes` say where a file of k6's own is to be read otherwise."""

    script: str
    app: str
    profile: str
    spec_hash: str
    run_id: str
    started_at: str
    duration_s: float | None
    duration_scale: float | None
    requests: int
    iterations: int
    dropped_iterations: int
    vus_max: int | None
    checks_passed: int
    checks_failed: int
    routes: tuple[K6Route, ...]
    thresholds: tuple[K6Threshold, ...]
    errors: int | None = None
    error_rate: float | None = None
    notes: tuple[str, ...] = ()


def read_summary(data: bytes) -> K6Summary:
    """The summary in a file: of schema `ecoload.k6/1`, or one that k6 wrote by itself. Raises UnusableSummary
    with everything that is wrong, and where."""
    tree = _tree(data)
    strict = Strict()
    if "schema" in tree:
        if tree["schema"] != SCHEMA:
            raise UnusableSummary([f"schema: {str(tree['schema'])[:60]!r} is not {SCHEMA}"])
        tree = {key: value for key, value in tree.items() if key != "schema"}
    else:
        tree = own_summary(tree, strict)
    summary: K6Summary = strict.of(K6Summary, tree, "")
    _look_for_nonsense(summary, strict)
    if strict.problems:
        raise UnusableSummary(strict.problems)
    return summary


def _tree(data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise UnusableSummary([f"{len(data):,} bytes; at most {MOST_BYTES:,} are read"])
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        several = (
            "; `--out json` writes every sample, which is no summary" if b'{"metric":' in data[:200] else ""
        )
        raise UnusableSummary([f"not JSON: {error}{several}"]) from error
    if not isinstance(tree, dict):
        raise UnusableSummary(["expected an object"])
    if "schema" not in tree and "metrics" not in tree:
        if tree.keys() >= _MACHINE_READABLE:
            raise UnusableSummary(
                [
                    "this is what k6 writes with --new-machine-readable-summary, in which no route stands by "
                    "itself; run without that option"
                ]
            )
        raise UnusableSummary([f"it has neither the schema {SCHEMA} nor the `metrics` of k6's own files"])
    return tree


def _look_for_nonsense(summary: K6Summary, strict: Strict) -> None:
    """What is of the right type and yet cannot be."""
    if not _HASH.fullmatch(summary.spec_hash or ""):
        strict.wrong("spec_hash", "is no SHA-256 in hexadecimal")
    if summary.started_at and not _is_moment(summary.started_at):
        strict.wrong("started_at", f"{summary.started_at[:60]!r} is no time of day in ISO 8601")
    if summary.duration_scale == 0:
        strict.wrong("duration_scale", "is 0")
    seen = set()
    for index, route in enumerate(summary.routes):
        place = f"routes[{index}]"
        if route.route in seen:
            strict.wrong(f"{place}.route", f"{route.route[:60]!r} is there twice")
        seen.add(route.route)
        latency = route.service_ms
        if latency is None:
            continue
        if not rising((latency.p50, latency.p90, latency.p95, latency.p99, latency.max)):
            strict.wrong(f"{place}.service_ms", "its percentiles do not rise")
        if not rising((latency.mean, latency.max)):
            strict.wrong(f"{place}.service_ms", "its mean is above its maximum")


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
