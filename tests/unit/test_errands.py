"""What is asked again and again beside a load, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.engine.errands import Errand, Errands
from ecoload.engine.metrics import HIDDEN, MOST_KEPT, kept, metric_value
from ecoload.engine.probe import ProbeFailed
from ecoload.errors import OutputFailed, UsageError
from ecoload.measure.memory import Memory, MemorySample, read_memory


class Course:
    """Time that waiting and asking move, and a load that ends at `end_s`."""

    def __init__(self, end_s: float) -> None:
        self.now, self.end_s = 50.0, 50.0 + end_s
        self.asked: list[tuple[str, float]] = []
        self.taken: list[tuple[str, float, Any]] = []

    def errand(
        self, name: str, first_s: float, every_s: float, takes_s: float = 0.0, *answers: Any
    ) -> Errand:
        left = list(answers)

        def ask() -> Any:
            self.asked.append((name, round(self.now - 50, 6)))
            self.now += takes_s
            found = left.pop(0) if left else "fine"
            if isinstance(found, Exception):
                raise found
            return found

        return Errand(
            f"{name} failed", first_s, every_s, ask, lambda at_s, it: self.taken.append((name, at_s, it))
        )

    def run(self, *errands: Errand) -> Errands:
        def wait(seconds: float) -> bool:
            self.now += seconds
            return self.now >= self.end_s

        runner = Errands(errands, lambda: self.now)
        runner.run(50.0, wait)
        return runner


def test_each_is_done_in_its_time() -> None:
    course = Course(10)
    course.run(course.errand("memory", 0, 2), course.errand("warm", 3, 3))
    assert [at for name, at in course.asked if name == "memory"] == [0, 2, 4, 6, 8]
    assert [at for name, at in course.asked if name == "warm"] == [3, 6, 9]
    assert course.taken[0] == ("memory", 0, "fine")


def test_what_was_missed_while_an_answer_was_waited_for_is_not_made_up_for() -> None:
    course = Course(10)
    course.run(course.errand("slow", 0, 1, 2.5), course.errand("other", 1, 1))
    assert course.asked == [
        ("slow", 0), ("other", 2.5), ("slow", 3), ("other", 5.5), ("slow", 6), ("other", 8.5), ("slow", 9),
    ]  # fmt: skip


def test_a_zero_that_is_still_to_come_is_waited_for() -> None:
    course = Course(5)
    course.now = 48.0
    course.run(course.errand("memory", 0, 2))
    assert [at for _, at in course.asked] == [0, 2, 4]


def test_failures_are_notes_and_end_nothing() -> None:
    course = Course(5)
    down, full = ProbeFailed("a2 is down"), OutputFailed("the disk is full")
    runner = course.run(
        course.errand("memory", 0, 1, 0, down, 7, full, down),
        course.errand("warm", 0, 1, 0, down),
        course.errand("good", 0, 1),
    )
    assert [it for name, _, it in course.taken if name == "memory"] == [7, "fine"]
    assert runner.notes == ["memory failed (3 times): a2 is down", "warm failed: a2 is down"]


def test_what_is_no_failure_of_the_target_is_not_swallowed() -> None:
    course = Course(5)
    with pytest.raises(ZeroDivisionError):
        course.run(course.errand("memory", 0, 1, 0, ZeroDivisionError()))


def test_an_answer_after_the_end_is_dropped() -> None:
    taken: list[Any] = []

    def ask() -> int:
        runner.close()
        return 1

    runner = Errands([Errand("x", 0, 1, ask, lambda at_s, it: taken.append(it))], lambda: 0.0)
    waits = iter([False, True])
    runner.run(0.0, lambda seconds: next(waits))
    assert (taken, runner.notes) == ([], [])


def test_without_errands_there_is_no_thread() -> None:
    runner = Errands([])
    runner.start(0.0)
    runner.close()
    assert runner.notes == []


# --- Metrics --------------------------------------------------------------------------------------

TEXT = b"""\
# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 4.2e+07
process_resident_memory_bytes_max 9
workers_bytes{worker="1"} 10
workers_bytes{worker="a } 5 \\" b",pool="x"} 20 1700000000000
workers_bytes{} 0.5\r
odd NaN
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("process_resident_memory_bytes", 4.2e7),
        ("workers_bytes", 30.5),
        ("process_resident_memory_bytes_max", 9),
    ],
)
def test_a_metric_is_the_sum_of_its_samples(name: str, value: float) -> None:
    assert metric_value(TEXT, name) == value


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("resident_memory_bytes", "there is no"), ("odd", "is no number"), ("HELP", "there is no")],
)
def test_a_metric_that_is_not_there_or_no_number_is_told(name: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        metric_value(TEXT, name)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        metric_value(b"m" + text, "m")
    except ValueError:
        pass


def test_what_is_kept_holds_no_secret() -> None:
    text = b'info{token="abc",key="abcdef"} 1\n'
    assert kept(text, ["abc", "abcdef", ""]) == b'info{token="***",key="***"} 1\n'
    assert kept(text, []) == text


def test_what_is_kept_is_at_most_a_mib_of_whole_lines() -> None:
    line = b"m 1234567\n"
    found = kept(line * 200_000, [])
    assert len(found) <= MOST_KEPT
    assert found == line * (MOST_KEPT // len(line))
    assert len(kept(b"x" * (MOST_KEPT + 5), [])) == MOST_KEPT
    assert len(kept(b"secret\n" * 300_000, ["secret"])) <= MOST_KEPT
    assert HIDDEN == b"***"


# --- memory.csv -----------------------------------------------------------------------------------


def test_samples_are_appended_and_read_back(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory.csv")
    assert not (tmp_path / "memory.csv").exists()
    for at_s in (0.0, 1.0004, 2.5):
        memory.add(MemorySample(at_s, 4.2e7 + at_s))
        assert (tmp_path / "memory.csv").read_text().endswith("\n"), "with the kernel at once"
    memory.close()
    assert read_memory(tmp_path / "memory.csv") == (
        MemorySample(0.0, 42_000_000),
        MemorySample(1.0, 42_000_001),
        MemorySample(2.5, 42_000_002),
    )
    assert len(memory.samples) == 3


def test_no_file_is_no_sample_and_a_torn_row_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "memory.csv"
    assert read_memory(path) == ()
    for torn in ("", "elapsed_s,res", "elapsed_s,resident_bytes\n", "elapsed_s,resident_bytes\n1.0,12"):
        path.write_text(torn)
        assert read_memory(path) == ()
    path.write_text("elapsed_s,resident_bytes\n1.0,12\n2.0,3")
    assert read_memory(path) == (MemorySample(1.0, 12),)


@pytest.mark.parametrize(
    "broken", ["a,b\n1,2\n", "elapsed_s,resident_bytes\n1\n2,2\n", "elapsed_s,resident_bytes\nnan,2\n"]
)
def test_a_file_that_is_broken_before_its_end_is_told(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "memory.csv"
    path.write_text(broken)
    with pytest.raises(UsageError, match=r"memory\.csv"):
        read_memory(path)


def test_a_full_disk_is_told_and_the_sample_is_kept() -> None:
    memory = Memory(Path("/dev/full"))
    with pytest.raises(OutputFailed):
        memory.add(MemorySample(1.0, 2.0))
    assert memory.samples == [MemorySample(1.0, 2.0)]
