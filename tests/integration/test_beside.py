"""What is asked beside a load, for real: metrics, memory, warming. No sample of it, and no end of a run."""

from __future__ import annotations

import json
from pathlib import Path

from ecoload.measure.memory import read_memory
from ecoload.measure.result import Status
from ecoload.plan import ConstantVUs, Metrics, Probe, Proof, Warm
from ecoload.run import Request, run_once
from tests.integration.driving import SECOND, Silent, gets, plan_of, run
from tests.servers.recorder import REPLY, Arrival, Recorder

SECRET = "hunter2hunter2"


class Target(Recorder):
    """Tells its metrics, with a secret in them and memory that grows; or does not, or not in time."""

    def __init__(self, status: str = "200 OK", answers: bool = True) -> None:
        super().__init__(delay_ms=5)
        self.status, self.answers = status, answers

    def reply(self, arrival: Arrival) -> bytes | None:
        if arrival.path == "/":
            return REPLY
        if not self.answers and self.paths().count("/"):
            return None
        megabytes = 100 + self.paths().count("/metrics")
        text = f'info{{key="{SECRET}"}} 1\nrss_bytes {megabytes}e6\n'
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        return (head + text).encode()


def asked(server: Recorder, path: str) -> list[Arrival]:
    return [arrival for arrival in server.arrivals if arrival.path == path]


def test_metrics_are_kept_and_memory_is_followed(tmp_path: Path) -> None:
    view = Silent()
    with Target() as server:
        plan = plan_of(
            server.url, gets(["/"]), ConstantVUs(2, 3 * SECOND), metrics=Metrics(0, "/metrics", "rss_bytes")
        )
        finished = run_once(Request(plan, tmp_path, tmp_path / "runs", {"KEY": SECRET}), view)
    assert finished.result.status is Status.FINISHED
    assert {arrival.headers["x-ecoload-probe"] for arrival in asked(server, "/metrics")} == {"1"}
    assert finished.result.requests == len(asked(server, "/")), "a question is no sample"
    before, after = ((view.folder / f"metrics_{when}.txt").read_text() for when in ("before", "after"))
    assert before == 'info{key="***"} 1\nrss_bytes 101e6\n'
    assert after > before
    samples = read_memory(view.folder / "memory.csv")
    assert 3 <= len(samples) <= 5
    assert [round(sample.at_s) for sample in samples[:3]] == [0, 1, 2]
    assert samples[0].resident_bytes == 102e6
    assert not [note for note in finished.result.notes if "memory" in note or "metrics" in note]


def test_a_target_without_metrics_is_a_note(tmp_path: Path) -> None:
    view = Silent()
    with Target(status="404 Not Found") as server:
        plan = plan_of(
            server.url, gets(["/"]), ConstantVUs(1, 2 * SECOND), metrics=Metrics(0, "/metrics", "rss_bytes")
        )
        finished = run(plan, tmp_path, view)
    assert finished.result.status is Status.FINISHED
    assert [note.partition(":")[0] for note in finished.result.notes if "closed model" not in note][:2] == [
        "the target's metrics could not be read",
        "the target's metrics could not be read",
    ]
    assert "memory could not be followed" in finished.result.notes[2]
    assert not {"memory.csv", "metrics_before.txt"} & {path.name for path in view.folder.iterdir()}


def test_a_target_that_leaves_a_question_open_holds_up_nothing(tmp_path: Path) -> None:
    with Target(answers=False) as server:
        plan = plan_of(
            server.url, gets(["/"]), ConstantVUs(2, 2 * SECOND), warm=(Warm(0, "/warm", 200_000_000),)
        )
        finished = run(plan, tmp_path)
    assert finished.result.status is Status.FINISHED
    assert finished.result.duration_s < 20, "the question is given up after 30 s"
    assert finished.result.errors == 0


def test_a_target_is_warmed_before_the_load_and_while_it_runs(tmp_path: Path) -> None:
    with Target() as server:
        plan = plan_of(
            server.url, gets(["/"]), ConstantVUs(2, 2 * SECOND), warm=(Warm(0, "/warm", SECOND // 2),)
        )
        finished = run(plan, tmp_path)
    paths = server.paths()
    assert paths[0] == "/warm"
    assert 3 <= paths.count("/warm") <= 5
    assert not [note for note in finished.result.notes if "warmed" in note]
    with Target() as server:
        once = plan_of(server.url, gets(["/"]), ConstantVUs(1, SECOND), warm=(Warm(0, "/warm"),))
        run(once, tmp_path)
    assert server.paths().count("/warm") == 1


def test_a_warming_that_fails_is_a_note(tmp_path: Path) -> None:
    with Target(status="503 Service Unavailable") as server:
        plan = plan_of(
            server.url, gets(["/"]), ConstantVUs(1, 2 * SECOND), warm=(Warm(0, "/warm", SECOND // 2),)
        )
        finished = run(plan, tmp_path)
    notes = [note for note in finished.result.notes if "warmed" in note]
    assert notes[0] == "could not be warmed: app: GET /warm answered 503"
    assert notes[1].startswith("could not be warmed again (")
    assert finished.result.errors == 0


class Echo(Recorder):
    """Answers each question beside the load with what it knows of us."""

    def reply(self, arrival: Arrival) -> bytes | None:
        known = {
            "/version": f"1 {SECRET}",
            "/count": {SECRET: 1},
            "/proof": [["x", SECRET]],
            "/long": "9" * 9999,
        }
        text = json.dumps({"said": known.get(arrival.path, "short")})
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def test_an_answer_that_holds_a_secret_of_the_run_is_not_read(tmp_path: Path) -> None:
    view = Silent()
    probes = {path: Probe(0, path, "$.said") for path in ("/version", "/count", "/proof", "/other")}
    with Echo() as server:
        plan = plan_of(
            server.url,
            gets(["/"]),
            version_from=probes["/version"],
            request_count=probes["/count"],
            proofs=(Proof("p", probes["/proof"], "short"), Proof("q", probes["/other"], "short")),
        )
        finished = run_once(Request(plan, tmp_path, tmp_path / "runs", {"KEY": SECRET, "SHORT": "sho"}), view)
    assert SECRET not in json.dumps(finished.result.to_json())
    notes = "; ".join(finished.result.notes)
    for path in ("/version", "/count"):
        assert f"app: GET {path} answered with a secret that it was sent" in notes
    assert [proof.verdict.value for proof in finished.result.proofs] == ["INCONCLUSIVE", "PASS"]


def test_of_a_long_answer_the_beginning_is_told(tmp_path: Path) -> None:
    with Echo() as server:
        long = Probe(0, "/long", "$.said")
        finished = run(plan_of(server.url, gets(["/"]), version_from=long, request_count=long), tmp_path)
    assert finished.result.target_version == "9" * 200
    assert max(map(len, finished.result.notes)) < 400
