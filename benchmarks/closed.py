"""Closed loop, 50 connections: what a request costs each client.

Each round runs every client twice, short and long. *All in* is the CPU of the long run by its requests;
*per further request* is the difference of the two runs, so that start and end are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import clients
from benchmarks.clients import Measured
from benchmarks.server import Server
from benchmarks.spread import ratios, spread

SHORT_S = 2
Client = Callable[[Server, int], Measured]

GET: Mapping[str, Client] = {
    "ecoload": clients.ecoload_get,
    "wrk": clients.wrk_get,
    "hey": clients.hey_get,
    "k6": clients.k6_get,
}
POST: Mapping[str, Client] = {
    "ecoload": clients.ecoload_post,
    "wrk": clients.wrk_post,
    "hey": clients.hey_post,
    "k6": clients.k6_post,
}


def measure(server: Server, case: Mapping[str, Client], rounds: int, seconds: int) -> dict[str, Any]:
    """Figures for each client of `case`, and ecoload's ratios to the others."""
    runs: dict[str, list[tuple[Measured, Measured]]] = {name: [] for name in case}
    for turn in range(rounds):
        for name in _in_turn(list(case), turn):
            short = case[name](server, SHORT_S)
            runs[name].append((short, case[name](server, seconds)))
            long = runs[name][-1][1]
            cost = further_us(short, long)
            print(f"  round {turn + 1} {name}: {cost:.1f} µs, {long.rate:.0f}/s", flush=True)
    further = {name: [further_us(*pair) for pair in pairs] for name, pairs in runs.items()}
    all_in = {name: [long.cpu_us for _, long in pairs] for name, pairs in runs.items()}
    return {
        "clients": {
            name: {
                "cpu_us_per_further_request": spread(further[name]),
                "cpu_us_all_in": spread(all_in[name]),
                "requests_per_s": spread([_busy_rate(short, long) for short, long in pairs]),
                "failed": sum(long.failed for _, long in pairs),
                "disturbed": max(long.finished.disturbed for _, long in pairs),
                "validity": sorted({long.extra.get("validity", "") for _, long in pairs}),
            }
            for name, pairs in runs.items()
        },
        "ratios": {
            other: {
                "further": ratios(further["ecoload"], further[other]),
                "all_in": ratios(all_in["ecoload"], all_in[other]),
            }
            for other in case
            if other != "ecoload" and "ecoload" in case
        },
    }


def further_us(short: Measured, long: Measured) -> float:
    """CPU per request in µs without start and end."""
    return (long.finished.cpu_s - short.finished.cpu_s) / (long.requests - short.requests) * 1e6


def _busy_rate(short: Measured, long: Measured) -> float:
    return (long.requests - short.requests) / (long.finished.wall_s - short.finished.wall_s)


def _in_turn(names: list[str], turn: int) -> list[str]:
    first = turn % len(names)
    return names[first:] + names[:first]
