"""Start-up: from exec to the first request on the wire, and which imports cost what."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.clients import HERE, WORKSPACE
from benchmarks.process import run_client
from benchmarks.spread import Spread, spread
from benchmarks.tools import ECOLOAD, need

COSTLIEST = 10
IMPORTS = {
    "the command": "ecoload.cli.commands, ecoload.spec.workspace, ecoload.run, ecoload.report.terminal",
    "the generator": "ecoload.engine.process",
}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds of wall time, and the dearest imports by package (own time, ms)."""
    first_request: dict[str, list[float]] = {"ecoload": [], "k6": []}
    for turn in range(rounds):
        run: list[str | Path] = [ECOLOAD, "run", "bench", "--profile", "once", "--no-progress", "--json"]
        run += ["--targets", WORKSPACE / "targets.yaml", "--scenarios", WORKSPACE / "scenarios"]
        run += ["--out", folder / f"start-{turn}"]
        first_request["ecoload"].append(_first_request_ms(run, "BENCH_URL"))
        script: list[str | Path] = [need("k6"), "run", "--quiet", "--address", ""]
        script += [HERE / "k6" / "closed_get.js"]
        first_request["k6"].append(_first_request_ms(script, "URL"))
    return {
        "first_request_ms": {name: spread(values) for name, values in first_request.items()},
        "help_ms": _wall_ms([ECOLOAD, "--help"], rounds),
        "version_ms": _wall_ms([ECOLOAD, "--version"], rounds),
        "imports_ms": {name: _imports_ms(modules) for name, modules in IMPORTS.items()},
    }


def _wall_ms(command: Sequence[str | Path], rounds: int) -> Spread:
    return spread([run_client(command).wall_s * 1e3 for _ in range(rounds)])


def _first_request_ms(command: Sequence[str | Path], url_variable: str) -> float:
    """Starts the client against a listener that notes when the first request is there."""
    seen: list[float] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = Thread(target=_answer, args=(listener, seen), daemon=True)
        server.start()
        env = {
            url_variable: f"http://127.0.0.1:{listener.getsockname()[1]}",
            "VUS": "1",
            "SECONDS": "1",
            "OUT": "/dev/null",
            "K6_NO_USAGE_REPORT": "true",
        }
        started = time.monotonic()
        done = run_client(command, env=env)
        listener.shutdown(socket.SHUT_RDWR)
        server.join(5)
    if not seen:
        raise SystemExit(f"{command[0]} sent nothing:\n{done.stderr[-2000:]}")
    return (seen[0] - started) * 1e3


def _answer(listener: socket.socket, seen: list[float]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            try:
                if connection.recv(65536):
                    seen.append(time.monotonic())
                    connection.sendall(ANSWER)
            except OSError:
                continue


def _imports_ms(modules: str) -> dict[str, float]:
    command = [sys.executable, "-X", "importtime", "-c", f"import {modules}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    costs: defaultdict[str, float] = defaultdict(float)
    for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", done.stderr):
        costs[name.split(".")[0]] += int(own) / 1e3
    return dict(sorted(costs.items(), key=lambda item: -item[1])[:COSTLIEST])
