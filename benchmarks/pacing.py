"""Open model, 1,000 starts a second: how late they are, beside a bare timerfd loop in C."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import clients
from benchmarks.process import run_client
from benchmarks.server import Server
from benchmarks.spread import ratios, spread
from benchmarks.tools import ROOT, need

RATE = 1000


def measure(server: Server, folder: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """Lateness in µs of ecoload's starts and of the floor, cost and drops of ecoload and k6."""
    floor = _compile_floor(folder)
    floors, ours, theirs, late_us = [], [], [], []
    for turn in range(rounds):
        done = run_client([floor, str(RATE), str(seconds)])
        floors.append(json.loads(done.stdout))
        ours.append(clients.ecoload(server, "bench", "open", seconds / 10))
        theirs.append(clients.k6_open(server, seconds, RATE))
        late_us.append(ours[-1].extra["late_start_p99_ms"] * 1e3)
        print(
            f"  round {turn + 1} p99: floor {floors[-1]['p99_us']}, ecoload {late_us[-1]:.0f} µs", flush=True
        )
    return {
        "rate": RATE,
        "floor": {key: spread([f[key] for f in floors]) for key in ("p50_us", "p99_us", "max_us")},
        "ecoload": {
            "p99_us": spread(late_us),
            "p99_by_floor": ratios(late_us, [f["p99_us"] for f in floors]),
            "cpu_us_all_in": spread([run.cpu_us for run in ours]),
            "response_p95_ms": spread([run.extra["p95_ms"] for run in ours]),
            "dropped": sum(run.extra["dropped"] for run in ours),
            "validity": sorted({run.extra["validity"] for run in ours}),
            "disturbed": max(run.finished.disturbed for run in ours),
        },
        "k6": {
            "cpu_us_all_in": spread([run.cpu_us for run in theirs]),
            "response_p95_ms": spread([run.extra["p95_ms"] for run in theirs]),
            "dropped": sum(run.extra["dropped"] for run in theirs),
            "disturbed": max(run.finished.disturbed for run in theirs),
        },
    }


def _compile_floor(folder: Path) -> Path:
    program = folder / "floor"
    source = ROOT / "benchmarks" / "floor.c"
    subprocess.run([need("cc"), "-O2", "-o", program, source], check=True)
    return program
