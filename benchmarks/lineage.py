"""What it takes to reconcile a million events: ids from the seed, two stations, on one core.

Rules
-----
- A process of its own does it, pinned to one core, so that its time and its peak memory are its own.
- The stations are made, not asked: what a network costs is not counted, nor what JSON does.
- Of the million some are lost, some doubled, some nobody's, so that the answer is known.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

EVENTS = 1_000_000
VUS = 50
ROUNDS = 3


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """Seconds and peak MB of each round."""
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.lineage"], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(rounds)
    ]
    return {
        "events": EVENTS,
        "seconds": statistics.median(one["seconds"] for one in found),
        "peak_mb": max(one["peak_mb"] for one in found),
        "rounds": found,
    }


def _reconcile() -> dict[str, Any]:
    import os
    import resource
    import tempfile
    import time
    from pathlib import Path

    import numpy as np

    from ecoload.engine.event_ids import id_of
    from ecoload.engine.lineage import sorted_ids
    from ecoload.measure.ledger import Ledger, Sent
    from ecoload.measure.reconcile import Sorter, reconcile, roots
    from ecoload.plan import Call, ProtocolHeader, Scenario

    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    each = EVENTS // VUS
    vu = np.repeat(np.arange(1, VUS + 1), each)[:EVENTS]
    iteration = np.tile(np.arange(each), VUS)[:EVENTS]
    none = np.zeros(EVENTS, np.int64)
    ledger = Ledger((Sent(0, vu, iteration, none, none + 1000),), True, "run")
    of = id_of(Scenario("s", (("id", Call("uuid")),)), "id", 1, "run", ProtocolHeader(), {})
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sent = sorted_ids(ledger, {0: of}, Path(folder))
        roots(sent.lines())
        for station in ("a2", "a8"):
            held = Sorter(Path(folder), station)
            for number in range(EVENTS):
                if number % 100_000 == 7:
                    continue  # lost
                identifier = of(number % VUS + 1, number // VUS)
                held.add(identifier, b"1050")
                if number % 100_000 == 8:
                    held.add(identifier, b"1051")
            held.add("nobody's", b"1050")
            found = reconcile(sent.lines(), held.lines(), 60_000, frozenset)
            assert (len(found.lost), len(found.duplicated), found.never_sent) == (10, 10, ["nobody's"])
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": round(time.perf_counter() - begun, 2), "peak_mb": round(peak_kb / 1024, 1)}


if __name__ == "__main__":
    print(json.dumps(_reconcile()))
