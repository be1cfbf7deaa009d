"""Small plans for the guard's tests."""

from __future__ import annotations

import dataclasses
from typing import Any

from ecoload.plan import (
    Body,
    BodyKind,
    ConstantVUs,
    Executor,
    Load,
    NamespaceAt,
    Object,
    Origin,
    Plan,
    ProtocolHeader,
    Route,
    Scenario,
    Step,
)

S = 1_000_000_000
A2 = Origin("a2", "https", "a2.example", 443, environment="staging", writes="perf_test")
A8 = Origin("a8", "http", "a8.example", 8080, "/api", environment="staging")
LIVE = Origin("live", "https", "live.example", 443)

INGEST, READ, TOUCH, TILE, REFRESH, HOME = range(6)
ROUTES = (
    Route("a2", "ingest", "POST", "/v1/events", "write", NamespaceAt("json", "namespace")),
    Route("a2", "read", "GET", "/v1/events/{id}", "none"),
    Route("a2", "touch", "PUT", "/v1/{space}/events", "write", NamespaceAt("path", "space")),
    Route("a8", "tile", "GET", "/tiles/{name}", "none"),
    Route("a8", "refresh", "POST", "/refresh", "write", NamespaceAt("query", "ns")),
    Route("live", "home", "GET", "/", "none"),
)


def json_body(*items: tuple[str, Any]) -> Body:
    return Body(BodyKind.JSON, Object(items), "application/json")


def ingest(**changes: Any) -> Step:
    step = Step(INGEST, 0, "POST", "/v1/events", body=json_body(("namespace", "perf_test"), ("kind", "x")))
    return dataclasses.replace(step, **changes)


def tile(**changes: Any) -> Step:
    return dataclasses.replace(Step(TILE, 1, "GET", "/tiles/finance"), **changes)


def load(executor: Executor, start: int = 0, pacing: int = S, grace: int = 0, scenario: int = 0) -> Load:
    return Load("load", scenario, "word", executor, start, grace, pacing)


def plan(*steps: Step, **changes: Any) -> Plan:
    scenarios = (Scenario("main", steps=steps or (ingest(),)),)
    loads = (load(ConstantVUs(1, S)),)
    made = Plan("1", ProtocolHeader(), "a2", "p", 1, 1.0, (A2, A8, LIVE), ROUTES, scenarios, loads)
    return dataclasses.replace(made, **changes)
