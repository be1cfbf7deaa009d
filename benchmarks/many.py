"""Many VUs with one second of think time: what a further one takes, and whether all keep pace.

Memory is the proportional set size of all processes of the client towards the end of the run; a further
VU's share is the difference between few and many.
"""

from __future__ import annotations

from typing import Any

from benchmarks import clients
from benchmarks.clients import Measured
from benchmarks.server import Server
from benchmarks.spread import spread

PLAIN_VUS = (1_000, 10_000)
TLS_VUS = (500, 5_000)
RAMP_S, HOLD_S = 5, 20
MEMORY_AFTER_S = 23.0
"""Near the end of every profile of `workspace/targets.yaml` that this module runs (25 s each)."""


def measure(server: Server, rounds: int) -> dict[str, Any]:
    """Memory per further VU plain and over TLS, and the run with 10,000 VUs."""
    plain = [_pair(server, "bench", "idle", PLAIN_VUS) for _ in range(rounds)]
    tls = [_pair(server, "benchtls", "tls", TLS_VUS) for _ in range(rounds)]
    few, many = (
        clients.k6("idle.js", server.url, HOLD_S, MEMORY_AFTER_S, VUS=vus, RAMP=RAMP_S) for vus in PLAIN_VUS
    )
    return {
        "kb_per_further_vu": spread([_kb_per_vu(pair, PLAIN_VUS) for pair in plain]),
        "kb_per_further_vu_tls": spread([_kb_per_vu(pair, TLS_VUS) for pair in tls]),
        "ten_thousand": {
            "pss_mb": spread([_mb(many) for _, many in plain]),
            "rps": spread([many.extra["rps"] for _, many in plain]),
            "response_p99_ms": spread([many.extra["p99_ms"] for _, many in plain]),
            "cpu_us_all_in": spread([many.cpu_us for _, many in plain]),
            "failed": sum(many.failed for _, many in plain),
            "validity": sorted({many.extra["validity"] for _, many in plain}),
            "disturbed": max(many.finished.disturbed for _, many in plain),
        },
        "k6": {
            "kb_per_further_vu": _kb_per_vu((few, many), PLAIN_VUS),
            "pss_mb": _mb(many),
            "rps": many.rate,
            "response_p95_ms": many.extra["p95_ms"],
            "cpu_us_all_in": many.cpu_us,
            "failed": many.failed,
        },
    }


def _pair(server: Server, app: str, profile: str, counts: tuple[int, int]) -> tuple[Measured, Measured]:
    few, many = (
        clients.ecoload(server, app, f"{profile}_{vus}", 1.0, memory_after_s=MEMORY_AFTER_S) for vus in counts
    )
    print(f"  {app}: {_kb_per_vu((few, many), counts):.1f} KB, {many.extra['rps']:.0f}/s", flush=True)
    return few, many


def _kb_per_vu(pair: tuple[Measured, Measured], counts: tuple[int, int]) -> float:
    few, many = pair
    return (_mb(many) - _mb(few)) * 1024 / (counts[1] - counts[0])


def _mb(run: Measured) -> float:
    if run.finished.pss_kb is None:
        raise SystemExit(f"{run.client} ended before its memory was read:\n{run.finished.stderr}")
    return run.finished.pss_kb / 1024
