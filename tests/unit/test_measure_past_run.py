"""Runs that are over, read from folders of anywhere: whole, half-written, torn, made up."""

from __future__ import annotations

import os
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest

from ecoload.errors import UsageError
from ecoload.measure.past_run import latency_of, past_run
from ecoload.run import judged_again
from tests.unit.past_runs import a_run, read
from tests.unit.report_samples import hostile, passing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_run(tmp_path / "run", seconds=10)


def test_a_run_is_read_with_the_blocks_of_both_kinds_of_time(folder: Path) -> None:
    run = read(folder)
    assert (run.app, run.profile, run.validity.status, run.no_blocks) == ("a2", "burst", "VALID", "")
    ingest, count = run.routes
    assert (ingest.route, ingest.requests, ingest.samples, ingest.verdict) == ("ingest", 300, 300, "PASS")
    assert ingest.kept is not None
    assert [len(ingest.kept.blocks[kind]) for kind in ("response", "service")] == [10, 10]
    assert sum(block.requests for block in ingest.kept.blocks["service"]) == 300
    assert latency_of(run.whole, "response") == ingest.response_ms == latency_of(ingest.kept, "response")
    assert (count.requests, count.samples, count.kept) == (0, 0, None)
    assert len(run.loads) == 1


def test_a_killed_run_is_rebuilt_and_read(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", seconds=10, finished=False)
    run = past_run(judged_again(folder), folder)
    assert (run.status, run.validity.status) == ("killed", "SUSPECT")
    assert run.routes[0].kept is not None


@pytest.mark.parametrize("name", ["latency.hlog", "series.csv"])
def test_without_its_files_of_each_second_a_run_has_no_blocks(folder: Path, name: str) -> None:
    (folder / name).unlink()
    run = read(folder)
    assert run.no_blocks == "it has no histograms of each second"
    assert run.routes[0].kept is None
    assert run.routes[0].response_ms.p95 is not None


def test_a_log_of_another_run_gives_no_blocks(folder: Path, tmp_path: Path) -> None:
    other = a_run(tmp_path / "other", seconds=9)
    (folder / "latency.hlog").write_bytes((other / "latency.hlog").read_bytes())
    assert read(folder).no_blocks == "latency.hlog holds 270 times of ingest, run.json 300"


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("series.csv", ("1.000,*,30", "1.000,*,many")),
        ("series.csv", ("1.000,ingest,30", "1.000,ingest,-30")),
        ("series.csv", ("1.000,ingest,30", "1.000,ingest," + "9" * 5000)),
        ("series.csv", ("elapsed_s", "elapsed")),
        ("latency.hlog", ("HISTF", "HISTX")),
        ("latency.hlog", ("|ok", "|well")),
    ],
)
def test_broken_files_of_each_second_give_no_blocks_and_the_reason(
    folder: Path, name: str, broken: tuple[str, str]
) -> None:
    text = (folder / name).read_text()
    assert broken[0] in text
    (folder / name).write_text(text.replace(*broken, 1))
    run = read(folder)
    assert name in run.no_blocks
    assert run.routes[0].kept is None


def test_a_histogram_cannot_claim_more_room_than_one_takes(folder: Path) -> None:
    """The library would unpack whatever is packed, and make room for any range."""
    lines = (folder / "latency.hlog").read_text().splitlines()
    packed = zlib.compress(bytes(50_000_000))
    head = (0x1C849304).to_bytes(4, "big") + len(packed).to_bytes(4, "big")
    start = lines[5].rpartition(",")[0]
    lines[5] = f"{start},{b64encode(head + packed).decode()}"
    (folder / "latency.hlog").write_text("\n".join(lines) + "\n")
    assert "larger than" in read(folder).no_blocks


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"requests": -1}, "requests"),
        ({"error_rate": 2}, "error_rate"),
        ({"iterations": None}, "iterations"),
        ({"app": 7}, "app"),
        ({"routes": None}, "routes"),
        ({"routes": [None]}, "routes[0]"),
        ({"routes": [passing()["routes"][0]] * 2}, "routes[1].route"),
        ({"routes": [passing()["routes"][0] | {"response_ms": {"p95": -3}}]}, "routes[0].response_ms.p95"),
        ({"routes": [passing()["routes"][0] | {"outcomes": {"ok": 1e30}}]}, "routes[0].samples"),
        ({"validity": "VALID"}, "validity"),
        ({"started_at": "x" * 5000}, "started_at"),
    ],
)
def test_a_result_in_which_something_is_wrong_is_refused_with_its_place(
    folder: Path, changes: dict[str, Any], place: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(folder, **changes)
    assert f"\n{place}: " in str(caught.value)


def test_everything_that_is_wrong_is_said_at_once_and_a_great_deal_is_cut(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(folder, requests=-1, iterations="x", routes=[{}] * 100)
    text = str(caught.value)
    assert "requests:" in text
    assert "iterations:" in text
    assert text.count("\n") < 30


def test_a_result_with_hostile_texts_is_read(folder: Path) -> None:
    names = [route | {"route": f"r{i}"} for i, route in enumerate(hostile()["routes"])]
    run = past_run(hostile() | {"routes": names}, folder)
    assert "\x1b" in run.app


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large"])
def test_what_is_no_plain_file_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(UsageError, match=r"run\.json: "):
        judged_again(tmp_path)


def test_a_pipe_in_place_of_the_log_gives_no_blocks(folder: Path) -> None:
    (folder / "latency.hlog").unlink()
    os.mkfifo(folder / "latency.hlog")
    assert "not a plain file" in read(folder).no_blocks


def test_a_pipe_among_the_files_of_a_killed_run_is_refused(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", seconds=2, finished=False)
    (folder / "series.csv").unlink()
    os.mkfifo(folder / "series.csv")
    with pytest.raises(UsageError, match="not a plain file"):
        judged_again(folder)


def test_a_plan_that_cannot_be_read_leaves_the_load_unknown(folder: Path) -> None:
    (folder / "plan.json").write_bytes(orjson.dumps({"loads": 1}))
    assert read(folder).loads is None
