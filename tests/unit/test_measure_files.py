"""The files a run writes each second: read back whole, torn, by the library and after a kill."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from ecoload.errors import OutputFailed, UsageError
from ecoload.measure.figures import Figures
from ecoload.measure.hlog import LogWriter, read_log, tag
from ecoload.measure.memory import MemorySample
from ecoload.measure.outcome import Outcome
from ecoload.measure.plan_file import read_plan
from ecoload.measure.rebuild import rebuild
from ecoload.measure.recorder import Recorder
from ecoload.measure.series import ALL, COLUMNS, SeriesWriter, read_series
from ecoload.plan import (
    ConstantVUs,
    Load,
    Metrics,
    PerVUIterations,
    Plan,
    Probe,
    Proof,
    RampingArrivalRate,
    RampingVUs,
    Ref,
    SharedIterations,
    Stage,
    Text,
    Warm,
    to_tree,
)
from tests.unit.measuring import SECOND, a_plan, rows, second_of, tick

STARTED = 1_700_000_000.25


def a_run(folder: Path, plan: Plan | None = None) -> Figures:
    """Five seconds of a run, one of them idle, with all its files in `folder`."""
    plan = plan or a_plan()
    (folder / "plan.json").write_bytes(orjson.dumps(to_tree(plan)))
    recorder = Recorder.for_plan(plan)
    log = LogWriter(folder / "latency.hlog", recorder.routes, STARTED)
    series = SeriesWriter(folder / "series.csv", recorder.routes)
    rng = np.random.default_rng(5)
    for second in range(1, 6):
        recorder.add_lateness(np.array([20_000 * second], np.int64))
        interval = second_of(
            recorder,
            second + 0.0004,
            [] if second == 3 else rng.lognormal(3, 1, 400),
            errors=second,
            vus=10 + second,
            vus_max=20,
            iterations=400 * second,
            iterations_started=410 * second,
            dropped_iterations=2 * second,
            dropped_by_load=(2 * second,),
            late_starts=second,
            queued=5 - second,
            cpu_ns=second * 300_000_000,
            lag_max_ns=1_000_000,
        )
        log.write(interval)
        series.write(interval)
    log.close()
    series.close()
    return recorder.figures()


def test_the_log_reads_back_with_the_librarys_own_reader(tmp_path: Path) -> None:
    figures = a_run(tmp_path)
    reader = HistogramLogReader(str(tmp_path / "latency.hlog"), HdrHistogram(1, 3_600_000_000, 3))
    totals: dict[str, int] = {}
    starts: list[float] = []
    while (histogram := reader.get_next_interval_histogram()) is not None:
        totals[histogram.get_tag()] = totals.get(histogram.get_tag(), 0) + histogram.get_total_count()
        starts.append(histogram.get_start_time_stamp())
    reader.input_file.close()
    assert totals == {
        "ingest|response|ok": figures.routes[0].ok_response.total,
        "ingest|service|ok": figures.routes[0].ok_response.total,
        "ingest|response|http_error": 15,
        "ingest|service|http_error": 15,
    }
    assert starts[0] == STARTED * 1000
    assert starts[-1] == pytest.approx(STARTED * 1000 + 4000, abs=1)


def test_the_log_reads_back_with_its_exact_maximum(tmp_path: Path) -> None:
    figures = a_run(tmp_path)
    entries = [e for e in read_log(tmp_path / "latency.hlog") if e.outcome is Outcome.OK]
    assert {entry.kind for entry in entries} == {"response", "service"}
    assert max(entry.histogram.maximum for entry in entries) == figures.routes[0].ok_response.maximum
    assert [e.start_s for e in entries if e.kind == "response"] == [0.0, 1.0, 3.0, 4.0]


def test_a_torn_last_line_is_left_out_and_a_broken_one_before_it_is_not(tmp_path: Path) -> None:
    a_run(tmp_path)
    path = tmp_path / "latency.hlog"
    text = path.read_text()
    count = len(list(read_log(path)))
    last = len(text.splitlines()[-1])
    for cut in (10, last // 2, last - 30, last - 2):
        path.write_text(text[: -1 - cut])
        assert len(list(read_log(path))) == count - 1
    path.write_text(text.replace("HISTF", "HISTX", 1))
    with pytest.raises(UsageError, match=r"latency\.hlog:6"):
        list(read_log(path))
    with pytest.raises(UsageError):
        list(read_log(tmp_path / "none.hlog"))


def test_a_routes_name_cannot_break_a_tag(tmp_path: Path) -> None:
    name = "a|b, c\n%7C é"
    assert not set(tag(name, "response", Outcome.OK).split("|")[0]) & set("|, \n")
    recorder = Recorder([name])
    log = LogWriter(tmp_path / "latency.hlog", recorder.routes, STARTED)
    log.write(second_of(recorder, 1, [1]))
    log.close()
    assert {entry.route for entry in read_log(tmp_path / "latency.hlog")} == {name}


def test_the_series_has_a_row_a_second_for_each_route_and_for_all(tmp_path: Path) -> None:
    a_run(tmp_path)
    found = list(read_series(tmp_path / "series.csv"))
    assert len(found) == 5 * 2
    whole = [row for row in found if row["route"] == ALL]
    assert [row["elapsed_s"] for row in whole] == ["1.000", "2.000", "3.000", "4.000", "5.000"]
    assert [row["iterations"] for row in whole] == ["400"] * 5
    assert [row["dropped_iterations"] for row in whole] == ["2"] * 5
    assert [row["errors"] for row in whole] == ["3", "4", "5", "6", "7"]
    assert [row["queued"] for row in whole] == ["4", "3", "2", "1", "0"]
    assert [row["p95_ms"] == "" for row in whole] == [False, False, True, False, False]
    assert whole[0]["cpu_share"] == ""
    assert float(whole[1]["cpu_share"]) == pytest.approx(0.3, abs=0.001)
    own = [row for row in found if row["route"] == "ingest"]
    assert [row["requests"] for row in own] == ["401", "402", "3", "404", "405"]
    assert (own[0]["vus"], own[0]["end"]) == ("", ".")
    assert not [row for row in found if row["route"] == "count"]


def test_a_route_has_rows_from_its_first_request_on_or_its_first_drop(tmp_path: Path) -> None:
    recorder = Recorder(["a", "b", "c"], first_routes=(1,))
    series = SeriesWriter(tmp_path / "series.csv", recorder.routes)
    series.write(second_of(recorder, 1, dropped_by_load=(0,)))
    series.write(second_of(recorder, 2, [1], dropped_by_load=(1,)))
    series.write(second_of(recorder, 3, dropped_by_load=(1,)))
    series.close()
    found = [(row["elapsed_s"], row["route"]) for row in read_series(tmp_path / "series.csv")]
    assert [name for end, name in found if end == "1.000"] == [ALL]
    assert [name for end, name in found if end == "3.000"] == [ALL, "a", "b"]


def test_a_torn_row_is_left_out_and_another_file_is_refused(tmp_path: Path) -> None:
    a_run(tmp_path)
    path = tmp_path / "series.csv"
    text = path.read_text()
    for cut in (2, 20):
        path.write_text(text[:-cut])
        assert len(list(read_series(path))) == 9
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="not a series"):
        list(read_series(path))
    with pytest.raises(UsageError):
        list(read_series(tmp_path / "none.csv"))


def test_every_row_is_as_long_as_the_header(tmp_path: Path) -> None:
    a_run(tmp_path)
    lines = (tmp_path / "series.csv").read_text().splitlines()
    assert {line.count(",") for line in lines} == {len(COLUMNS) - 1}


def test_a_full_disk_is_a_named_failure(tmp_path: Path) -> None:
    for writer in (
        lambda path: LogWriter(path, ["a"], STARTED),
        lambda path: SeriesWriter(path, ["a"]),
    ):
        with pytest.raises(OutputFailed):
            writer(tmp_path / "no" / "folder")
    full = Path("/dev/full")
    if full.exists():
        with pytest.raises(OutputFailed, match="No space"):
            LogWriter(full, ["a"], STARTED)
        with pytest.raises(OutputFailed, match="No space"):
            SeriesWriter(full, ["a"])


def test_a_killed_run_is_rebuilt_with_the_same_figures(tmp_path: Path) -> None:
    figures = a_run(tmp_path)
    found = rebuild(tmp_path)
    assert found.plan == a_plan()
    assert found.started_at == "2023-11-14T22:13:20.250+00:00"
    again = found.figures
    assert again.rebuilt
    for ours, theirs in zip(again.routes, figures.routes, strict=True):
        assert ours.outcomes == theirs.outcomes
        assert (ours.unsent, ours.errors, ours.error_rate) == (
            theirs.unsent,
            theirs.errors,
            theirs.error_rate,
        )
        shares = (0.5, 0.9, 0.95, 0.99, 0.999)
        assert ours.ok_response.percentiles(shares) == theirs.ok_response.percentiles(shares)
        assert ours.ok_service.percentiles(shares) == theirs.ok_service.percentiles(shares)
        assert ours.ok_response.mean() == theirs.ok_response.mean()
        assert [(b.requests, b.errors, b.counts.tolist()) for b in ours.blocks] == [
            (b.requests, b.errors, b.counts.tolist()) for b in theirs.blocks
        ]
    same = ("iterations", "dropped_iterations", "late_starts", "vus_max", "requests", "errors")
    assert [getattr(again, name) for name in same] == [getattr(figures, name) for name in same]
    assert again.duration_s == pytest.approx(figures.duration_s, abs=0.001)
    assert again.last.iterations_started == figures.last.iterations_started
    assert again.generator.lateness_p99_us == 0
    assert again.generator.lag_share == pytest.approx(figures.generator.lag_share, rel=0.001)


def test_the_memory_of_a_killed_run_is_read_too(tmp_path: Path) -> None:
    a_run(tmp_path)
    assert rebuild(tmp_path).memory == ()
    (tmp_path / "memory.csv").write_text("elapsed_s,resident_bytes\n0.500,1000\n1.500,20")
    assert rebuild(tmp_path).memory == (MemorySample(0.5, 1000),)


def test_what_is_asked_beside_a_load_is_read_back_with_its_plan(tmp_path: Path) -> None:
    path = Text(("/seen?run_id=", Ref(("run", "id"))))
    scalars = (None, True, 1, 1.5, "x")
    plan = a_plan(
        decides=("error_rate", "timeouts"),
        proofs=tuple(
            Proof(str(one), Probe(0, path, "$.n"), one, number) for number, one in enumerate(scalars)
        ),
        metrics=Metrics(0, "/metrics", "rss_bytes"),
        warm=(Warm(0, path, 5 * SECOND),),
    )
    file = tmp_path / "plan.json"
    file.write_bytes(orjson.dumps(to_tree(plan)))
    again = read_plan(file)
    assert (again, again.execution_hash) == (plan, plan.execution_hash)
    assert [type(proof.expected) for proof in again.proofs] == [type(one) for one in scalars]
    older = {
        key: value
        for key, value in to_tree(plan).items()
        if key not in ("decides", "proofs", "metrics", "warm")
    }
    for route in older["routes"]:
        for level in ("timeouts", "failed_checks", "p95_drift"):
            route["slo"].pop(level)
    file.write_bytes(orjson.dumps(older))
    assert read_plan(file) == a_plan(), "a plan of before can still be read"


def test_a_run_killed_at_once_is_rebuilt_too(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(orjson.dumps(to_tree(a_plan())))
    LogWriter(tmp_path / "latency.hlog", ["ingest"], STARTED).close()
    SeriesWriter(tmp_path / "series.csv", ["ingest"]).close()
    assert rebuild(tmp_path).figures.requests == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"approval_over_vus":60', '"approval_over_vus":"60"'),
        ('"approval_over_vus":60', '"approval_over_vus":null'),
        ('"pacing_mode":"timer"', '"pacing_mode":"other"'),
        ('"origins":[', '"origins":[7,'),
        ('"effect":"none"', '"effect":"[red]none"'),
        ('"duration_scale":1.0', '"duration_scale":1e999'),
        ('"scenarios":[', '"scenarios":[[],'),
        ('"loads":[', '"loads":{},"x":['),
        ('"env":[', '"env":[["a"],'),
        ('"deny":[', '"deny":[{"type":"os"},'),
    ],
)
def test_a_plan_with_a_value_of_another_type_is_none(tmp_path: Path, old: str, new: str) -> None:
    text = orjson.dumps(to_tree(a_plan())).decode()
    assert old in text
    (tmp_path / "plan.json").write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match="not a plan of this version"):
        read_plan(tmp_path / "plan.json")


@pytest.mark.parametrize(
    "executor",
    [
        ConstantVUs(5, SECOND),
        RampingVUs(0, (Stage(SECOND, 5.0), Stage(0, 1.0))),
        SharedIterations(1, 2),
        PerVUIterations(1, 2),
        RampingArrivalRate(1.0, (Stage(SECOND, 5.0),), 1, 2),
    ],
)
def test_a_plan_reads_back_as_itself_with_its_hashes(tmp_path: Path, executor: Any) -> None:
    plan = a_plan(loads=(Load("one", 0, "word", executor),))
    path = tmp_path / "plan.json"
    path.write_bytes(orjson.dumps(to_tree(plan)))
    again = read_plan(path)
    assert again == plan
    assert again.execution_hash == plan.execution_hash
    assert again.spec_hash == plan.spec_hash


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    tree = to_tree(a_plan())
    for wrong in (b"{", b"[1]", b"{}", orjson.dumps(tree | {"another": 1}), orjson.dumps({"type": "x"})):
        path.write_bytes(wrong)
        with pytest.raises(UsageError, match=r"plan\.json"):
            read_plan(path)
    with pytest.raises(UsageError):
        read_plan(tmp_path / "none.json")


def test_warm_up_seconds_stay_out_of_a_rebuilt_run(tmp_path: Path) -> None:
    plan = dataclasses.replace(a_plan(), warm_up_ns=2 * SECOND)
    (tmp_path / "plan.json").write_bytes(orjson.dumps(to_tree(plan)))
    recorder = Recorder.for_plan(plan)
    log = LogWriter(tmp_path / "latency.hlog", recorder.routes, STARTED)
    series = SeriesWriter(tmp_path / "series.csv", recorder.routes)
    for second in range(4):
        recorder.add_samples(0, Outcome.OK, rows(second * SECOND, [1_000_000]))
        dropped = second + 1
        interval = recorder.close_second(
            tick(second + 1, dropped_iterations=dropped, dropped_by_load=(dropped,))
        )
        log.write(interval)
        series.write(interval)
    log.close()
    series.close()
    ours, theirs = rebuild(tmp_path).figures, recorder.figures()
    for name in ("requests", "warm_up_requests", "dropped_iterations", "unsent", "measured_s"):
        assert getattr(ours, name) == getattr(theirs, name), name
