"""Python scenarios: any await is legal, and samples are due as they are in YAML."""

from __future__ import annotations

import asyncio
import hashlib
import textwrap
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

import ecoload
from ecoload.engine.schedule import first_start_ns
from ecoload.engine.task_driver import ScenarioVU
from ecoload.engine.worker import Job, Worker
from ecoload.errors import UsageError
from ecoload.measure.frames import SAMPLE_COLUMNS, Decoder, Frame, split_key
from ecoload.measure.outcome import Outcome
from ecoload.plan import (
    ConstantArrivalRate,
    ConstantVUs,
    Executor,
    Load,
    NamespaceAt,
    OnExhausted,
    Origin,
    PerVUIterations,
    Plan,
    ProtocolHeader,
    Route,
    Scenario,
)
from ecoload.spec.feeders import FILE, read_data
from tests.unit.support import MS, NO_REPLY, SLOT, T0, ManualClock, Reply, Request, ScriptedTransport
from tests.unit.support import S as SECOND

ROUTES = (
    Route("a2", "list", "GET", "/v1/events", "none"),
    Route("a2", "read", "GET", "/v1/events/{id}/part-{part}", "none"),
    Route("a2", "ingest", "POST", "/v1/events", "write", NamespaceAt("json", "meta.namespace")),
    Route("a2", "form", "POST", "/v1/form", "write", NamespaceAt("form", "namespace")),
    Route("a1", "list", "GET", "/v1/users", "none"),
    Route("a1", "make", "POST", "/v1/users", "write", NamespaceAt("query", "namespace")),
)
ONCE = PerVUIterations(1, 1, 60 * SECOND)


class Course:
    """A run of one Python scenario in which time moves only when nothing else can happen."""

    def __init__(self, tmp_path: Path, code: str, executor: Executor = ONCE, **changes: Any) -> None:
        (tmp_path / "scenarios").mkdir(exist_ok=True)
        source = textwrap.dedent(code).encode()
        (tmp_path / "scenarios" / "a2.py").write_bytes(source)
        origins = (
            Origin("a2", "http", "a2.example", 80, base_path="/api", writes="perf_test"),
            Origin("a1", "http", "a1.example", 80),
        )
        scenario = Scenario(
            "a2", module="scenarios/a2.py", module_sha256=hashlib.sha256(source).hexdigest(),
            feeder=changes.pop("feeder", None),
        )  # fmt: skip
        load = Load("a2", 0, "test", executor, graceful_stop_ns=changes.pop("grace", 5 * SECOND))
        plan = Plan("test", ProtocolHeader(), "a2", "test", 7, 1.0, origins, ROUTES, (scenario,), (load,))
        self.plan = replace(plan, **changes)
        self.job = Job(self.plan, "run-1", tmp_path, {})
        self.clock = ManualClock()
        self.script: Callable[[Request], Reply] = lambda _: Reply()
        self.transport: ScriptedTransport
        self.frames = bytearray()

    def run(self) -> Course:
        asyncio.run(self._run())
        self.samples: list[tuple[str, str, dict[str, int]]] = []
        self.notes: list[str] = []
        self.tick: dict[str, Any] = {}
        for kind, key, payload in Decoder().feed(bytes(self.frames)):
            if kind is Frame.SAMPLES:
                route, outcome = split_key(key)
                rows = array("q", payload)
                for at in range(0, len(rows), 5):
                    row = dict(zip(SAMPLE_COLUMNS, rows[at : at + 5], strict=True))
                    self.samples.append((ROUTES[route].name, Outcome(outcome).label, row))
            elif kind is Frame.START:
                self.t0 = orjson.loads(payload)["t0"]
            elif kind is Frame.LOG:
                self.notes.append(orjson.loads(payload)["message"])
            elif kind is Frame.TICK:
                self.tick = orjson.loads(payload)
            elif kind is Frame.END:
                self.end = orjson.loads(payload)
        self.samples.sort(key=lambda sample: sample[2]["begin"])
        return self

    async def _run(self) -> None:
        self.over = False
        worker = Worker(self.job, self.clock, self.frames.extend, self._transport, self._end)
        worker.start()
        for _ in range(100_000):
            for _ in range(10):
                await asyncio.sleep(0)
            if self.over:
                return
            assert self.clock.next_due <= T0 + 120 * SECOND, "the run hangs"
            self.clock.advance_to(self.clock.next_due)
        raise AssertionError("the run goes on and on")

    def _transport(self, worker: Worker) -> ScriptedTransport:
        self.transport = ScriptedTransport(self.clock, self.script, worker.fail)
        return self.transport

    def _end(self) -> None:
        self.over = True

    def dues(self) -> list[float]:
        """When the samples were due, in ms from the schedule's zero."""
        return [(row["due"] - self.t0) / MS for _, _, row in self.samples]

    def outcomes(self) -> list[tuple[str, str]]:
        return [(route, outcome) for route, outcome, _ in self.samples]


# --- Samples ----------------------------------------------------------------------------------------


def test_a_first_request_is_due_with_its_iteration_and_others_when_the_one_before_ended(
    tmp_path: Path,
) -> None:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            assert (await vu.request("list")).ok
            assert (await vu.request("a1.list")).status == 200
    """,
    ).run()
    assert course.end["status"] == "finished"
    assert course.outcomes() == [("list", "ok"), ("list", "ok")]
    assert course.dues() == [0, 10]
    lines = [sent.line for sent in course.transport.requests]
    assert lines == ["GET /api/v1/events HTTP/1.1", "GET /v1/users HTTP/1.1"]


def test_a_request_after_a_sleep_is_due_when_the_sleep_is_over(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            await vu.sleep(0.25)
            await vu.request("list")
            await vu.sleep(1)
            await vu.sleep(0.5)
            await vu.request("list")
    """,
    ).run()
    (_, _, first), (_, _, second) = course.samples
    assert first["due"] == course.t0 + 250 * MS
    assert second["due"] == first["last"] + 1500 * MS
    assert all(0 <= row["begin"] - row["due"] <= SLOT for row in (first, second))


def test_time_spent_in_another_await_is_the_scenarios_own(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        import asyncio
        async def iteration(vu):
            await vu.request("list")
            await asyncio.sleep(0)
            vu._vu.host.clock._now += 300_000_000
            await asyncio.sleep(0)
            await vu.request("list")
    """,
    ).run()
    assert course.dues() == [0, 310]


def test_waiting_in_the_queue_is_response_time(tmp_path: Path) -> None:
    rate = ConstantArrivalRate(
        rate=10, duration_ns=SECOND // 2, pre_allocated_vus=1, max_vus=1, on_exhausted=OnExhausted.QUEUE
    )
    course = Course(tmp_path, """
        import asyncio
        async def iteration(vu):
            await asyncio.sleep(0)
            await vu.request("list")
    """, rate)  # fmt: skip
    course.script = lambda _: Reply(delay_ns=250 * MS)
    course.run()
    responses = [(row["last"] - row["due"]) // MS for _, _, row in course.samples]
    assert responses[:2] == [250, 400]
    assert course.tick["dropped_iterations"] == 5 - len(responses)


def test_redirect_hops_are_samples_and_cookies_live_for_an_iteration(tmp_path: Path) -> None:
    def script(sent: Request) -> Reply:
        if b"?again=1" in sent.data:
            return Reply(body=b"there")
        return Reply(
            302,
            headers=(
                (b"Location", b"/api/v1/events?again=1"),
                (b"Set-Cookie", b"a=1"),
            ),
        )

    course = Course(tmp_path, """
        async def iteration(vu):
            answer = await vu.request("list")
            assert answer.text == "there", answer.text
    """, PerVUIterations(1, 2, 60 * SECOND))  # fmt: skip
    course.script = script
    course.run()
    assert course.end["status"] == "finished"
    assert course.dues() == [0, 10, 20, 30]
    assert [b"Cookie: a=1" in sent.data for sent in course.transport.requests] == [False, True, False, True]


def test_requests_awaited_together_go_out_one_after_the_other(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        import asyncio
        async def iteration(vu):
            both = await asyncio.gather(vu.request("list"), vu.request("a1.list"))
            assert [answer.ok for answer in both] == [True, True]
    """,
    ).run()
    assert course.end["status"] == "finished"
    assert [sent.at // MS for sent in course.transport.requests] == [0, 10]


def test_a_request_that_is_no_longer_awaited_is_cancelled(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        import asyncio
        async def iteration(vu):
            lost = asyncio.create_task(vu.request("list"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            lost.cancel()
            assert (await vu.request("a1.list")).ok
    """,
    )
    course.script = lambda sent: NO_REPLY if sent.origin == 0 else Reply()
    course.run()
    assert course.end["status"] == "finished"
    assert sorted(course.outcomes()) == [("list", "cancelled"), ("list", "ok")]


def test_a_request_left_behind_by_its_iteration_is_cancelled(tmp_path: Path) -> None:
    course = Course(tmp_path, """
        import asyncio
        kept = []
        async def iteration(vu):
            kept.append(asyncio.create_task(vu.request("list")))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    """, PerVUIterations(1, 3, 60 * SECOND))  # fmt: skip
    course.run()
    assert course.end["status"] == "finished"
    assert course.outcomes() == [("list", "cancelled")] * 3


# --- What is asked for ------------------------------------------------------------------------------


def test_path_query_headers_and_bodies_are_rendered_and_escaped(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            await vu.request("read", path={"id": "a/b c", "part": 3}, query={"q": "x&y", "n": 1},
                             headers={"X-Id": vu.number})
            await vu.request("ingest", json={"meta": {"namespace": vu.namespace, "n": [1]}, "at": None})
            await vu.request("form", form={"namespace": vu.namespace, "text": "a b&c"})
    """,
    ).run()
    assert course.end["status"] == "finished"
    read, ingest, form = course.transport.requests
    assert read.line == "GET /api/v1/events/a%2Fb%20c/part-3?q=x%26y&n=1 HTTP/1.1"
    assert b"\r\nX-Id: 1\r\n" in read.data
    assert orjson.loads(ingest.body) == {"meta": {"namespace": "perf_test", "n": [1]}, "at": None}
    assert b"\r\nContent-Type: application/json\r\n" in ingest.data
    assert form.body == b"namespace=perf_test&text=a%20b%26c"


def test_calls_of_one_shape_are_compiled_once(tmp_path: Path) -> None:
    course = Course(tmp_path, """
        programs = []
        async def iteration(vu):
            programs.append(vu._vu.program)
            for part in range(5):
                await vu.request("read", path={"id": part, "part": part}, check={"status": 200})
        async def teardown(vu):
            assert len(programs[0].calls._compiled) == 1
    """, PerVUIterations(2, 3, 60 * SECOND)).run()  # fmt: skip
    assert course.end["status"] == "finished"
    assert len(course.transport.requests) == 30


def test_a_request_carries_the_token_where_its_route_wants_one(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            await vu.request("list")
            await vu.request("read", path={"id": 1, "part": 2})
            await vu.request("a1.list")
            await vu.request("list", headers={"authorization": "Basic own"})
        """,
        routes=(replace(ROUTES[0], bearer=True), *ROUTES[1:]),
    )
    course.job = replace(course.job, token="t.1")
    course.run()
    sent = [request.headers.get("authorization") for request in course.transport.requests]
    assert sent == ["Bearer t.1", None, None, "Basic own"]


def test_checks_are_those_of_yaml(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            for check in (
                {"status": [200, 201], "json": {"$.n": {"gt": 1, "lt": 3}, "$.name": "x"}},
                {"json": {"$.n": 3}},
                {"headers": {"X-Kind": {"matches": "^a"}}, "body": {"contains": "name"}},
                {"headers": {"X-Kind": "b"}},
                {"status": 201},
            ):
                answer = await vu.request("list", check=check)
                assert answer.json()["n"] == 2 and answer.headers["x-kind"] == "abc"
    """,
    )
    course.script = lambda _: Reply(body=b'{"n":2,"name":"x"}', headers=((b"X-Kind", b"abc"),))
    course.run()
    assert course.end["status"] == "finished", course.notes
    expected = ["ok", "check_failed", "ok", "check_failed", "check_failed"]
    assert [outcome for _, outcome in course.outcomes()] == expected


def test_failures_of_the_target_are_answers_and_not_exceptions(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            answer = await vu.request("list")
            assert (answer.ok, answer.outcome, answer.status) == (False, "http_error", 503)
            answer = await vu.request("a1.list")
            assert (answer.ok, answer.outcome, answer.status, answer.text) == (False, "reset", 0, "")
    """,
    )
    course.script = lambda sent: Reply(503) if sent.origin == 0 else Reply(0, outcome=Outcome.RESET)
    course.run()
    assert course.end["status"] == "finished", course.notes


def test_a_body_that_cannot_be_decoded_is_decode(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            answer = await vu.request("list")
            assert (answer.outcome, answer.body) == ("decode", b"")
    """,
    )
    course.script = lambda _: Reply(body=b"no gzip", headers=((b"Content-Encoding", b"gzip"),))
    course.run()
    assert course.end["status"] == "finished", course.notes
    assert course.outcomes() == [("list", "decode")]


def test_unsafe_values_and_foreign_namespaces_are_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            for answer in (
                await vu.request("read", path={"id": "..", "part": 1}),
                await vu.request("read", path={"id": "", "part": 1}),
                await vu.request("list", headers={"X-A": "a\\r\\nb"}),
                await vu.request("ingest", json={"meta": {"namespace": "production"}}),
            ):
                assert (answer.ok, answer.outcome) == (False, "guard_refused")
            await vu.request("list")
    """,
    ).run()
    assert course.end["status"] == "finished", course.notes
    assert [outcome for _, outcome in course.outcomes()].count("guard_refused") == 4
    assert len(course.transport.requests) == 1


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ('vu.request("lst")', "no route 'lst' is declared; did you mean 'list'?"),
        ('vu.request("read", path={"id": 1})', "path= must give ['id', 'part'], and gives ['id']"),
        ('vu.request("list", path={"id": 1})', "path= must give [], and gives ['id']"),
        ('vu.request("ingest", json={"meta": {}})', "its namespace (json meta.namespace) is not there"),
        ('vu.request("a1.make", query={"namespace": "perf_test"})', "a1 is read-only"),
        ('vu.request("list", headers={"Host": "x"})', "the header Host is set by ecoload itself"),
        ('vu.request("list", json={}, text="")', "a request has one body"),
        ('vu.request("list", check={"stauts": 200})', "takes status, headers, json and body, not stauts"),
        ('vu.request("list", check={"json": {"$.a": {"least": 1}}})', "not ['least']"),
        ('vu.request("list", timeout_s=0)', "timeout_s must be more than 0"),
        ("vu.nothing()", "has no attribute 'nothing'"),
    ],
)
def test_what_a_scenario_must_not_ask_for_fails_the_run(tmp_path: Path, call: str, told: str) -> None:
    course = Course(tmp_path, f"async def iteration(vu):\n    await {call}\n", ConstantVUs(3, SECOND)).run()
    assert course.end["status"] == "failed"
    assert told in course.end["reason"]
    assert course.transport.requests == []


# --- Faults of the scenario -------------------------------------------------------------------------


@pytest.mark.parametrize("raised", ["ValueError('broken')", "SystemExit(3)", "asyncio.CancelledError()"])
def test_an_exception_interrupts_the_iteration_and_fails_the_run_and_is_told_once(
    tmp_path: Path, raised: str
) -> None:
    course = Course(tmp_path, f"""
        import asyncio
        async def iteration(vu):
            await vu.request("list")
            if vu.number > 1:
                raise {raised}
            await vu.sleep(60)
    """, ConstantVUs(4, 10 * SECOND)).run()  # fmt: skip
    assert course.end["status"] == "failed"
    assert course.end["reason"].startswith("scenario a2 raised ")
    assert len(course.notes) == 1
    assert f"raise {raised}" in course.notes[0]
    assert course.tick["interrupted_iterations"] == 4
    assert course.tick["iterations"] == 0
    assert sorted(course.transport.released) == [1, 2, 3, 4]


def test_an_endless_traceback_is_cut(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            raise ValueError("x" * 1_000_000)
    """,
    ).run()
    assert len(course.notes[0]) < 5_000
    assert len(course.end["reason"]) < 5_000


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = 1", "expected `async def iteration(vu)`"),
        ("def iteration(vu): pass", "iteration must be `async def iteration(vu)`"),
        ("import nothing_like_it", "cannot be imported: ModuleNotFoundError"),
        ("async def iteration(vu): pass\nsetup = 3", "setup must be `async def setup(vu)`"),
    ],
)
def test_a_module_that_is_no_scenario_is_refused(tmp_path: Path, code: str, told: str) -> None:
    with pytest.raises(UsageError, match=told.replace("(", r"\(").replace(")", r"\)")):
        Course(tmp_path, code).run()


def test_a_module_that_has_changed_since_the_plan_is_not_run(tmp_path: Path) -> None:
    course = Course(tmp_path, "async def iteration(vu): pass")
    (tmp_path / "scenarios" / "a2.py").write_text("async def iteration(vu): return 1")
    with pytest.raises(UsageError, match="has changed since the plan was made"):
        course.run()


# --- The life of a VU -------------------------------------------------------------------------------


def test_an_iteration_that_outlasts_its_grace_is_interrupted(tmp_path: Path) -> None:
    course = Course(tmp_path, """
        async def iteration(vu):
            try:
                await vu.request("list")
            finally:
                try:
                    await vu.request("a1.list")
                except BaseException:
                    pass
    """, ConstantVUs(2, SECOND), grace=SECOND)  # fmt: skip
    course.script = lambda _: NO_REPLY
    course.run()
    assert course.end["status"] == "finished"
    assert course.tick["interrupted_iterations"] == 2
    assert course.outcomes() == [("list", "cancelled")] * 2
    assert len(course.transport.requests) == 2


def test_an_iteration_within_its_grace_is_finished(tmp_path: Path) -> None:
    course = Course(tmp_path, """
        async def iteration(vu):
            await vu.sleep(1.5)
            await vu.request("list")
    """, ConstantVUs(2, SECOND)).run()  # fmt: skip
    assert course.tick["interrupted_iterations"] == 0
    assert course.tick["iterations"] == 2
    assert course.outcomes() == [("list", "ok")] * 2


def paced(tmp_path: Path, duration_ns: int) -> Course:
    course = Course(
        tmp_path,
        """
        async def iteration(vu):
            await vu.request("list")
    """,
        ConstantVUs(3, duration_ns),
    )
    load = replace(course.plan.loads[0], pacing_ns=SECOND)
    course.job = replace(course.job, plan=replace(course.plan, loads=(load,)))
    return course.run()


def test_paced_vus_begin_each_at_its_own_moment(tmp_path: Path) -> None:
    course = paced(tmp_path, 2 * SECOND)
    begin = sorted(first_start_ns(place, SECOND) for place in range(3))
    assert [row["due"] - course.t0 for _, _, row in course.samples] == begin + [SECOND + due for due in begin]
    assert all(0 <= row["begin"] - row["due"] <= SLOT for _, _, row in course.samples)
    assert course.tick["iterations"] == 6


def test_a_paced_vu_whose_first_iteration_never_comes_simply_goes(tmp_path: Path) -> None:
    course = paced(tmp_path, 500 * MS)
    assert course.dues() == [0, first_start_ns(2, SECOND) / MS]
    assert sorted(course.transport.released) == [1, 2, 3]
    assert course.tick["interrupted_iterations"] == 0


def test_iterations_that_never_wait_do_not_stop_the_loop(tmp_path: Path) -> None:
    course = Course(tmp_path, """
        async def iteration(vu):
            vu._vu.host.clock._now += 1_000_000
    """, ConstantVUs(2, SECOND)).run()  # fmt: skip
    assert course.end["status"] == "finished"
    assert course.tick["iterations"] > 100


def test_setup_and_teardown_run_once_and_stay_out_of_the_figures(tmp_path: Path) -> None:
    course = Course(tmp_path, """
        token = None
        async def setup(vu):
            global token
            token = (await vu.request("a1.list")).text
            await vu.sleep(1)
        async def iteration(vu):
            await vu.request("list", headers={"Authorization": token})
        async def teardown(vu):
            assert vu.number == 0
            await vu.request("a1.list", headers={"X-End": "1"})
    """, PerVUIterations(2, 1, 60 * SECOND))  # fmt: skip
    course.script = lambda _: Reply(body=b"secret")
    course.run()
    assert course.end["status"] == "finished", course.notes
    first, *middle, last = course.transport.requests
    assert (first.origin, last.origin) == (1, 1)
    assert [b"Authorization: secret" in sent.data for sent in middle] == [True, True]
    assert course.outcomes() == [("list", "ok")] * 2


def test_a_setup_that_raises_fails_the_run_before_any_load(tmp_path: Path) -> None:
    course = Course(
        tmp_path,
        """
        async def setup(vu):
            raise LookupError("no token")
        async def iteration(vu):
            await vu.request("list")
    """,
    ).run()
    assert course.end["status"] == "failed"
    assert "no token" in course.end["reason"]
    assert course.transport.requests == []


def test_a_vu_knows_its_number_iteration_record_run_and_makes_the_same_ids_again(tmp_path: Path) -> None:
    code = """
        async def iteration(vu):
            await vu.request("ingest", json={"meta": {"namespace": vu.namespace}, "seen": [
                vu.number, vu.iteration, vu.data.get("kind"), vu.run_id, vu.uuid(), vu.uuid()]})
    """
    records = tmp_path / FILE
    records.parent.mkdir(parents=True)
    records.write_text('{"feeder":"events","kind":"a"}\n{"feeder":"events","kind":"b"}\n')
    feeders = (read_data(tmp_path).feeder("events"),)

    def seen() -> list[list[Any]]:
        twice = PerVUIterations(2, 2, 60 * SECOND)
        course = Course(tmp_path, code, twice, feeders=feeders, feeder="events").run()
        assert course.end["status"] == "finished", course.notes
        return [orjson.loads(sent.body)["seen"] for sent in course.transport.requests]

    first = seen()
    assert sorted(row[:2] for row in first) == [[1, 0], [1, 1], [2, 0], [2, 1]]
    assert sorted(row[2] for row in first) == ["a", "a", "b", "b"]
    assert {row[3] for row in first} == {"run-1"}
    ids = [made for row in first for made in row[4:]]
    assert len(set(ids)) == 8
    assert all(len(made) == 36 and made[14] == "8" and made[19] in "89ab" for made in ids)
    assert seen() == first


def test_the_name_for_type_hints_is_that_of_the_package() -> None:
    assert ecoload.VU is ScenarioVU
    with pytest.raises(AttributeError):
        _ = ecoload.nothing
