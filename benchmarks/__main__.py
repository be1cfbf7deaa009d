"""`python -m benchmarks`: measures the cases, prints the tables, writes `benchmarks/results/latest.json`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import closed, lineage, many, pacing, startup
from benchmarks.process import SERVER_CORE, adopt_orphans, pin
from benchmarks.server import nginx
from benchmarks.table import markdown
from benchmarks.tools import ROOT, versions

CASES = ("get", "post", "open", "many", "startup", "lineage")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each case (default 5)")
    parser.add_argument("--seconds", type=int, default=10, help="length of a run (default 10)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="default: all")
    options = parser.parse_args()
    if sys.platform != "linux" or (os.cpu_count() or 1) <= SERVER_CORE:
        raise SystemExit("the benchmark needs Linux and two cores: one for the client, one for the server")
    adopt_orphans()
    pin(SERVER_CORE)
    results: dict[str, Any] = {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "versions": versions(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for case in options.cases:
            print(f"{case} …", flush=True)
            results[case] = _measure(case, Path(folder), options.rounds, options.seconds)
    out = ROOT / "benchmarks" / "results"
    out.mkdir(exist_ok=True)
    (out / "latest.json").write_text(json.dumps(results, indent=1, default=dataclasses.asdict) + "\n")
    print()
    print(markdown(results))


def _measure(case: str, folder: Path, rounds: int, seconds: int) -> dict[str, Any]:
    if case == "lineage":
        return lineage.measure(rounds)
    if case == "startup":
        return startup.measure(folder, rounds)
    with nginx(folder) as server:
        if case == "get":
            return closed.measure(server, closed.GET, rounds, seconds)
        if case == "post":
            return closed.measure(server, closed.POST, rounds, seconds)
        if case == "open":
            return pacing.measure(server, folder, rounds, seconds)
        return many.measure(server, rounds)


if __name__ == "__main__":
    main()
