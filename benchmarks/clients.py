"""The clients side by side: how each is started, and how each tells what it did.

Rules
-----
- Every client gets the same URL, connections and duration, and checks the status; requests and failed
  checks come from its own output.
- A client that fails ends the benchmark with its last words; there are no half results.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import Finished, run_client
from benchmarks.server import Server
from benchmarks.tools import ECOLOAD, ROOT, need

HERE = ROOT / "benchmarks"
WORKSPACE = HERE / "workspace"
VUS = 50
JUDGED = (0, 5, 99)
"""A closed loop fills its core, which makes a run SUSPECT: ecoload says so, and it is no failure here."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one client. Latencies in ms are the client's own; `extra` is what only it tells."""

    client: str
    requests: int
    failed: int
    finished: Finished
    extra: Mapping[str, Any]

    @property
    def cpu_us(self) -> float:
        """CPU per request, start and end of the client included."""
        return self.finished.cpu_s / self.requests * 1e6

    @property
    def rate(self) -> float:
        """Requests per second of the client's whole life."""
        return self.requests / self.finished.wall_s


def wrk_get(server: Server, seconds: int) -> Measured:
    return _wrk([f"{server.url}/health"], seconds)


def wrk_post(server: Server, seconds: int) -> Measured:
    return _wrk(["-s", HERE / "wrk" / "post.lua", server.url], seconds)


def hey_get(server: Server, seconds: int) -> Measured:
    return _hey([f"{server.url}/health"], seconds, 200)


def hey_post(server: Server, seconds: int) -> Measured:
    """hey has no templates: its body is the same for each request."""
    body = (
        '{"id":"5b2c9c1e-0000-4000-8000-000000000001","namespace":"bench",'
        '"n":1,"user":"user00001","sku":"A-1","qty":2}'
    )
    arguments: list[str | Path] = ["-m", "POST", "-T", "application/json", "-d", body]
    return _hey([*arguments, f"{server.url}/orders"], seconds, 201)


def k6(
    script: str, url: str, seconds: int, memory_after_s: float | None = None, **env: str | int | float
) -> Measured:
    """Runs one of `benchmarks/k6`. `extra` has the median and P95 of `http_req_duration` and the drops."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "summary.json"
        settings = {"URL": url, "SECONDS": seconds, "OUT": out, "K6_NO_USAGE_REPORT": "true", **env}
        finished = run_client(
            [need("k6"), "run", "--quiet", "--no-color", "--address", "", HERE / "k6" / script],
            env={name: str(value) for name, value in settings.items()},
            timeout_s=seconds + 90,
            memory_after_s=memory_after_s,
        )
        _must_succeed("k6", finished)
        metrics = json.loads(out.read_text())
    duration = metrics["http_req_duration"]["values"]
    return Measured(
        client="k6",
        requests=int(metrics["http_reqs"]["values"]["count"]),
        failed=int(metrics["checks"]["values"]["fails"]),
        finished=finished,
        extra={
            "p50_ms": duration["med"],
            "p95_ms": duration["p(95)"],
            "dropped": int(metrics.get("dropped_iterations", {"values": {"count": 0}})["values"]["count"]),
        },
    )


def k6_get(server: Server, seconds: int) -> Measured:
    return k6("closed_get.js", server.url, seconds, VUS=VUS)


def k6_post(server: Server, seconds: int) -> Measured:
    return k6("closed_post.js", server.url, seconds, VUS=VUS)


def k6_open(server: Server, seconds: int, rate: int) -> Measured:
    return k6("open.js", server.url, seconds, RATE=rate)


def ecoload(
    server: Server, app: str, profile: str, scale: float, memory_after_s: float | None = None
) -> Measured:
    """`ecoload run APP --profile PROFILE` on the workspace of the benchmark, every feature on."""
    with tempfile.TemporaryDirectory() as folder:
        command: list[str | Path] = [ECOLOAD, "run", app, "--profile", profile]
        command += ["--targets", WORKSPACE / "targets.yaml", "--scenarios", WORKSPACE / "scenarios"]
        command += ["--out", folder, "--duration-scale", f"{scale:g}"]
        command += ["--no-progress", "--json"]
        finished = run_client(
            command,
            env={
                "BENCH_URL": server.url,
                "BENCH_TLS_URL": server.tls_url,
                "SSL_CERT_FILE": str(server.ca_file),
            },
            memory_after_s=memory_after_s,
        )
        _must_succeed("ecoload", finished, JUDGED)
        (written,) = Path(folder).glob("*/run.json")
        run = json.loads(written.read_text())
    routes = run["routes"]
    return Measured(
        client="ecoload",
        requests=sum(route["requests"] for route in routes),
        failed=sum(route["errors"] for route in routes),
        finished=finished,
        extra={
            "validity": run["validity"]["status"],
            "reasons": run["validity"]["reasons"],
            "verdict": run["verdict"],
            "dropped": run["dropped_iterations"],
            "rps": sum(route["rps"] for route in routes),
            "p50_ms": routes[0]["response_ms"]["p50"],
            "p95_ms": routes[0]["response_ms"]["p95"],
            "p99_ms": routes[0]["response_ms"]["p99"],
            "late_starts": run["late_starts"],
            "late_start_p99_ms": run["generator"]["late_start_p99_ms"],
        },
    )


def ecoload_get(server: Server, seconds: int) -> Measured:
    return ecoload(server, "bench", "get", seconds / 10)


def ecoload_post(server: Server, seconds: int) -> Measured:
    return ecoload(server, "bench", "post", seconds / 10)


def _wrk(arguments: list[str | Path], seconds: int) -> Measured:
    finished = run_client([need("wrk"), "-t1", f"-c{VUS}", f"-d{seconds}s", *arguments])
    _must_succeed("wrk", finished)
    failed = re.findall(r"(?:Non-2xx or 3xx responses|failed checks): (\d+)", finished.stdout)
    requests = _number(r"(\d+) requests in", finished)
    return Measured("wrk", requests, sum(map(int, failed)), finished, {})


def _hey(arguments: list[str | Path], seconds: int, status: int) -> Measured:
    finished = run_client([need("hey"), "-z", f"{seconds}s", "-c", str(VUS), *arguments])
    _must_succeed("hey", finished)
    counts = {int(code): int(n) for code, n in re.findall(r"\[(\d{3})\]\s+(\d+) responses", finished.stdout)}
    total = sum(counts.values())
    return Measured("hey", total, total - counts.get(status, 0), finished, {})


def _number(pattern: str, finished: Finished) -> int:
    found = re.search(pattern, finished.stdout)
    if found is None:
        raise SystemExit(f"no {pattern!r} in:\n{finished.stdout}\n{finished.stderr}")
    return int(found.group(1))


def _must_succeed(client: str, finished: Finished, codes: tuple[int, ...] = (0,)) -> None:
    if finished.code not in codes:
        words = (finished.stderr or finished.stdout)[-2000:]
        raise SystemExit(f"{client} ended with {finished.code}:\n{words}")
