"""Folders of runs that are over, made without a run: what each second held is an argument."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ecoload.measure.hlog import LogWriter
from ecoload.measure.past_run import PastRun, past_run
from ecoload.measure.recorder import Recorder
from ecoload.measure.result import Status
from ecoload.measure.series import SeriesWriter
from ecoload.plan import Plan, to_tree
from ecoload.verdict.judge import RunFacts, judge
from tests.unit.measuring import a_plan, second_of

Course = Callable[[np.random.Generator], Any]
"""The response times (ms) of one second."""


def steady(median_ms: float = 20.0, requests: int = 30, spread: float = 0.5) -> Course:
    """So many requests a second, lognormal around their median."""
    return lambda rng: median_ms * rng.lognormal(0, spread, requests)


def a_run(
    folder: Path,
    course: Course | None = None,
    *,
    seconds: int = 30,
    seed: int = 1,
    errors: int = 0,
    plan: Plan | None = None,
    finished: bool = True,
    **facts: Any,
) -> Path:
    """Writes the folder of a run of `a_plan`, with `run.json` where it finished; only the route `ingest` is
    asked. `errors` more requests fail each second."""
    plan = plan or dataclasses.replace(a_plan(), persistence=None)
    course = course or steady()
    folder.mkdir(parents=True)
    (folder / "plan.json").write_bytes(orjson.dumps(to_tree(plan)))
    recorder, rng = Recorder.for_plan(plan), np.random.default_rng(seed)
    log = LogWriter(folder / "latency.hlog", recorder.routes, 1_700_000_000.25)
    series = SeriesWriter(folder / "series.csv", recorder.routes)
    for second in range(1, seconds + 1):
        counters = {"iterations": 30 * second, "iterations_started": 30 * second, "vus_max": 5}
        interval = second_of(recorder, second, course(rng), errors=errors, **counters)
        log.write(interval)
        series.write(interval)
    log.close()
    series.close()
    if finished:
        stated = {"run_id": folder.name, "started_at": "2026-11-23T20:00:00Z", "status": Status.FINISHED}
        result = judge(plan, recorder.figures(), RunFacts(**stated | facts)).to_json()
        (folder / "run.json").write_bytes(orjson.dumps(result))
    return folder


def read(folder: Path, **changes: Any) -> PastRun:
    """The run of a folder that finished; `changes` stand in its `run.json` instead."""
    return past_run(orjson.loads((folder / "run.json").read_bytes()) | changes, folder)
