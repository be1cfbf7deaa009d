"""Results and courses as a run leaves them, for the tests of the reports."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

from ecoload.measure.series import ALL, COLUMNS

BREAKOUT = '</script><script>alert(1)</script>|`*x*`[red]\x1b[31m"quoted" <b>&amp;</b>\u202e\u2028\x00'
"""A text that tries to leave every form of report at once."""


def passing() -> dict[str, Any]:
    """A VALID run of two routes that passes."""
    levels = [
        _level("p95_ms", 125.0, 89.2, (87.1, 91.4)),
        _level("p95_stretch_ms", 75.0, 89.2, (87.1, 91.4), "FAIL", "89.2 ms > 75 ms", required=False),
        _level("error_rate", 0.01, 0.0, (0.0, 0.0)),
    ]
    return {
        "schema": "ecoload.run/1",
        "run_id": "20261123T201500-a2-burst-ab12",
        "app": "a2",
        "profile": "burst",
        "status": "finished",
        "stop_reason": "",
        "verdict": "PASS",
        "verdict_reasons": [],
        "validity": {"status": "VALID", "reasons": []},
        "model": "open",
        "seed": 7,
        "started_at": "2026-11-23T20:15:00.123+00:00",
        "duration_s": 120.4,
        "measured_s": 120.4,
        "duration_scale": 1.0,
        "tool_version": "0.1.0",
        "target_version": "2.4.1",
        "spec_hash": "5f" * 32,
        "execution_hash": "c0" * 32,
        "protocol": {
            "name": "Performance Testing v1.0",
            "assigned_app": "A8",
            "version": "",
            "mode": "staging",
            "namespace": "perf_test",
        },
        "planned": {"starts": 12_000, "duration_s": 120.0},
        "requests": 24_000,
        "errors": 0,
        "error_rate": 0.0,
        "rps": 199.8,
        "iterations": 12_000,
        "dropped_iterations": 0,
        "queued_at_end": 0,
        "interrupted_iterations": 0,
        "late_starts": 0,
        "vus_max": 60,
        "warm_up_requests": 0,
        "persistence": {
            "acknowledged": 12_000,
            "unacknowledged": 0,
            "persisted": 12_000,
            "lost": 0,
            "verdict": "PASS",
            "reason": "every acknowledged write is there",
        },
        "proofs": [
            {
                "name": "telemetry",
                "question": "a2: GET /status?run_id=… $.seen",
                "expected": True,
                "found": True,
                "within_s": 60.0,
                "took_s": 2.51,
                "verdict": "PASS",
                "reason": "is true after 2.5 s",
            }
        ],
        "drift": [],
        "routes": [
            _route("ingest", {"ok": 12_000}, 21.4, {"verdict": "PASS", "levels": levels}),
            _route("event_tile", {"ok": 12_000}, 8.3, None),
        ],
        "thresholds": [
            _condition("p95 < 300ms", "threshold", 89.2, "PASS", "89.2 ms"),
            _condition("error_rate > 0.10 for 10s", "abort_when", None, "PASS", "never came true"),
        ],
        "connections": [],
        "generator": {
            "cpu_share": 0.081,
            "lag_share": 0.0,
            "lag_max_ms": 0.42,
            "late_start_p99_ms": 0.11,
            "machine": {"system": "Linux-6.1", "python": "3.11.2", "cores": "2"},
        },
        "slowest": [_slow("ingest", "ok", 412.6), _slow("event_tile", "ok", 98.1)],
        "notes": [],
    }


def failing() -> dict[str, Any]:
    """A VALID run that fails its levels, loses data, drops iterations and is aborted."""
    result = passing()
    levels = [
        _level("p95_ms", 125.0, 1085.0, (981.0, 1203.0), "FAIL", "1085 ms > 125 ms"),
        _level("error_rate", 0.01, 0.0425, (0.031, 0.055), "FAIL", "4.250% > 1.000%"),
    ]
    outcomes = {"ok": 8_500, "timeout": 280, "http_error": 95, "reset": 2}
    route = _route("ingest", outcomes, 380.0, {"verdict": "FAIL", "levels": levels})
    route |= {"errors": 400, "error_rate": 0.0425, "unsent": 23}
    result |= {
        "verdict": "FAIL",
        "status": "aborted",
        "stop_reason": "abort_when error_rate > 0.10 for 10s (12.40% at 88 s)",
        "verdict_reasons": ["ingest p95_ms: 1085 ms > 125 ms", "persistence: 12 of 8,500 are missing"],
        "dropped_iterations": 23,
        "errors": 400,
        "routes": [route, result["routes"][1]],
    }
    result["persistence"] |= {
        "acknowledged": 8_500,
        "persisted": 8_488,
        "lost": 12,
        "verdict": "FAIL",
        "reason": "12 of 8,500 are missing",
    }
    return result


def soaked() -> dict[str, Any]:
    """A soak whose latency and memory drift."""
    result = passing() | {"profile": "soak", "model": "closed", "verdict": "FAIL"}
    result["drift"] = [
        _drift("ingest", "p95_ms", 29.8, 92.1, "FAIL", "29.8 ms to 92.1 ms, 20.8 ms a minute (p = 1e-08)"),
        _drift("ingest", "error_rate", 0.0, 0.0, "PASS", "0 % to 0 %"),
        _drift("a2", "resident_bytes", 40 * 2**20, 132 * 2**20, "FAIL", "40 MiB to 132 MiB"),
        _drift("event_tile", "p95_ms", None, None, "INCONCLUSIVE", "12 samples in a third of the time"),
    ]
    return result


def invalid() -> dict[str, Any]:
    """A run that says nothing about its target."""
    result = passing()
    doubt = "5.5 ms ≤ 125 ms; the measurement is INVALID"
    for level in result["routes"][0]["slo"]["levels"]:
        level |= {"verdict": "INCONCLUSIVE", "reason": doubt, "interval": None}
    result["routes"][0]["slo"]["verdict"] = "INCONCLUSIVE"
    result |= {
        "verdict": "INCONCLUSIVE",
        "validity": {"status": "INVALID", "reasons": ["the rate was off by 23 % (77.0/s of 100.0/s)"]},
        "verdict_reasons": [
            f"ingest p95_ms: {doubt}",
            "INVALID: the rate was off by 23 % (77.0/s of 100.0/s)",
        ],
        "late_starts": 1_904,
        "persistence": None,
    }
    return result


def hostile() -> dict[str, Any]:
    """A failing run in which every text that a target or a file has a hand in is `BREAKOUT`."""
    result = failing() | {"drift": soaked()["drift"][:1]}
    for key in ("app", "profile", "run_id", "target_version", "stop_reason"):
        result[key] = BREAKOUT
    result["protocol"] = dict.fromkeys(result["protocol"], BREAKOUT)
    result["notes"] = result["verdict_reasons"] = [BREAKOUT]
    result["validity"] = {"status": "SUSPECT", "reasons": [BREAKOUT]}
    for route in result["routes"]:
        route["route"] = BREAKOUT
        for level in (route["slo"] or {}).get("levels", ()):
            level["reason"] = BREAKOUT
    for proof in result["proofs"]:
        proof |= {"name": BREAKOUT, "question": BREAKOUT, "reason": BREAKOUT, "found": BREAKOUT}
    for drift in result["drift"]:
        drift |= {"of": BREAKOUT, "reason": BREAKOUT}
    for condition in result["thresholds"]:
        condition |= {"source": BREAKOUT, "reason": BREAKOUT}
    result["slowest"] = [_slow(BREAKOUT, BREAKOUT, 1.0)]
    result["generator"]["machine"] = {BREAKOUT: BREAKOUT}
    return copy.deepcopy(result)


def course(length_s: int, routes: Sequence[str] = ("ingest", "event_tile")) -> Iterator[dict[str, str]]:
    """The rows of a `series.csv` of `length_s` seconds, with a stall in the middle."""
    for second in range(1, length_s + 1):
        yield _second(second, ALL, length_s)
        for route in routes:
            yield _second(second, route, length_s)


def _second(second: int, route: str, length_s: int) -> dict[str, str]:
    row = dict.fromkeys(COLUMNS, "") | {"elapsed_s": f"{second}.000", "route": route, "end": "."}
    wave = 1 + 0.25 * math.sin(second / 9) + 0.12 * math.sin(second * 2.7)
    stall = 9.0 if second in (length_s // 2, length_s // 2 + 1) else 1.0
    base = 21.4 * wave * stall * (0.4 if route == "event_tile" else 1.0)
    figures = {
        "requests": 200 if route == ALL else 100,
        "errors": 14 if stall > 1 else 0,
        "rps": 200 + 3 * math.sin(second) if route == ALL else 100 + 2 * math.sin(second),
        "p50_ms": base,
        "p95_ms": base * 3.2,
        "p99_ms": base * 4.4,
        "max_ms": base * 6,
        "service_p95_ms": base * 3.1 / stall,
    }
    if route == ALL:
        of_the_run = {"vus": 60, "vus_active": round(4 * wave * stall), "iterations_started": 100}
        figures |= of_the_run | {"dropped_iterations": 3 if stall > 1 else 0, "queued": 8 if stall > 1 else 0}
    return row | {name: f"{value:.3f}" for name, value in figures.items()}


def _level(
    level: str,
    limit: float,
    value: float,
    interval: tuple[float, float],
    verdict: str = "PASS",
    reason: str = "",
    required: bool = True,
) -> dict[str, Any]:
    return {
        "level": level,
        "limit": limit,
        "value": value,
        "interval": list(interval),
        "verdict": verdict,
        "reason": reason,
        "required": required,
    }


def _route(name: str, outcomes: dict[str, int], p50: float, slo: dict[str, Any] | None) -> dict[str, Any]:
    latency = {"p50": p50, "p90": p50 * 3.1, "p95": p50 * 4.17, "p99": p50 * 6.1, "p999": p50 * 9.9}
    latency |= {"max": p50 * 19.3, "mean": p50 * 1.3}
    return {
        "route": name,
        "app": "a2",
        "requests": sum(outcomes.values()),
        "unsent": 0,
        "errors": 0,
        "error_rate": 0.0,
        "rps": 99.9,
        "outcomes": outcomes,
        "response_ms": latency,
        "service_ms": {key: value * 0.96 for key, value in latency.items()},
        "all_response_ms": latency,
        "phases_ms": {},
        "slo": slo,
    }


def _drift(
    of: str, metric: str, first: float | None, last: float | None, verdict: str, reason: str
) -> dict[str, Any]:
    change = last / first - 1 if first and last is not None else None
    figures = {"first": first, "last": last, "change": change, "slope_per_min": None, "p_value": None}
    return {"of": of, "metric": metric, **figures, "verdict": verdict, "reason": reason}


def _condition(source: str, kind: str, value: float | None, verdict: str, reason: str) -> dict[str, Any]:
    return {"source": source, "kind": kind, "value": value, "verdict": verdict, "reason": reason}


def _slow(route: str, outcome: str, response_ms: float) -> dict[str, Any]:
    parts = {"delay_ms": 0.2, "sending_ms": 0.05, "waiting_ms": response_ms - 0.35, "receiving_ms": 0.1}
    return {"route": route, "outcome": outcome, "due_s": 61.3, "response_ms": response_ms, **parts}
