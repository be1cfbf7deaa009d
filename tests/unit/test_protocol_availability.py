"""The availability probe: due each second by the clock, and an app that hangs is not up meanwhile."""

from __future__ import annotations

import dataclasses
import socket
from contextlib import closing
from pathlib import Path

import pytest

from ecoload.plan import Origin, Probe
from ecoload.plan.suite import Watched
from ecoload.protocol.availability import asking, keep, read_uptime, watching
from tests.unit.guard_plans import plan

ONE = Watched("a2", Probe(0, "/health", "$"))


class Course:
    """A clock that moves when somebody waits or an app takes its time; `answers` are `(seconds, reason)`."""

    def __init__(self, until_s: float, *answers: tuple[float, str]) -> None:
        self.now, self.until_s, self.answers = 0.0, until_s, list(answers)
        self.asked: list[float] = []
        self.rows: list[tuple[float, str]] = []

    def ask(self, _: Watched) -> str:
        self.asked.append(round(self.now, 3))
        took, reason = self.answers.pop(0) if self.answers else (0.01, "")
        self.now += took
        return reason

    def write(self, app: str, took_s: float, reason: str) -> None:
        assert app == "a2"
        self.rows.append((round(took_s, 3), reason))

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.now >= self.until_s

    def go(self) -> Course:
        keep(ONE, self.ask, self.write, self.wait, lambda: self.now)
        return self


def test_it_asks_each_second_by_the_clock() -> None:
    course = Course(5.0, (0.3, ""), (0.01, ""), (0.9, "")).go()
    assert course.asked == [0, 1, 2, 3, 4]
    assert all(reason == "" for _, reason in course.rows)


def test_what_was_due_while_an_app_hung_was_not_answered_either() -> None:
    course = Course(6.0, (0.01, ""), (3.5, "timed out")).go()
    assert course.asked == [0, 1, 5]
    assert [bool(reason) for _, reason in course.rows] == [False, True, True, True, True, False][:6]


def test_one_that_is_merely_slow_holds_up_nothing_but_itself() -> None:
    course = Course(5.0, (2.5, "")).go()
    assert course.asked == [0, 3, 4]
    assert [reason for _, reason in course.rows] == ["", "", ""]


def test_probes_are_counted_by_app_and_a_torn_row_is_left_out() -> None:
    lines = [
        "at,app,up,ms,reason,end",
        "t,a2,1,2.0,,.",
        "t,a2,0,5.0,answered 503,.",
        "t,a8,1,1.0,,.",
        "t,a8,1,1",
    ]
    assert read_uptime(lines) == {"a2": (2, 1), "a8": (1, 1)}
    assert read_uptime([]) == {}


def test_it_goes_on_in_the_same_file_after_a_row_that_was_torn(tmp_path: Path) -> None:
    file = tmp_path / "availability.csv"
    for _ in range(2):
        with watching(file, [], lambda _: ""):
            pass
        with file.open("a") as torn:
            torn.write("2026-11-25T10:00:00.000+00:00,a2,1,")
    with watching(file, [ONE], lambda _: "answered 503"):
        while b"answered 503" not in file.read_bytes():
            pass
    sent, answered = read_uptime(file.read_text().splitlines())["a2"]
    assert (sent >= 1, answered) == (True, 0)


def test_an_app_whose_certificates_cannot_be_used_is_not_up() -> None:
    lost = Origin("a2", "https", "127.0.0.1", 9, addresses=("127.0.0.1",), ca_file="nowhere.pem")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        there = dataclasses.replace(lost, port=server.getsockname()[1])
        assert "the TLS files cannot be used" in asking(plan(origins=(there,)), "suite")(ONE)


@pytest.mark.parametrize("reason", ["two\nlines", "a,b", 'a "quoted" word'])
def test_a_reason_stays_in_its_row(tmp_path: Path, reason: str) -> None:
    file = tmp_path / "availability.csv"
    with watching(file, [ONE], lambda _: reason):
        while len(file.read_text().splitlines()) < 2:
            pass
    assert set(read_uptime(file.read_text().splitlines())) == {"a2"}
