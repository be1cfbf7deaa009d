"""A fault that is kept set beside a load, and withdrawn however the load ends; and the breaker that is
watched.

Rules
-----
- The fault is set at its time, and again every third of its time to live for as long as it is wanted; so a
  target ends it by itself when nobody renews it, whatever became of us.
- It is withdrawn when its time is over and, where it may be set, by `close`: once set, there is no end of a
  run that does not withdraw it. A withdrawal that fails is tried again for `PATIENCE_S`.
- The breaker is asked by a thread of its own, so that no other question delays it.
- Clock, waiting and sending are handed in; times are s from the schedule's zero.
"""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ecoload.engine.once import carry_out
from ecoload.engine.probe import ProbeFailed, ask, ask_all
from ecoload.errors import EcoloadError
from ecoload.measure.resiliency import Answers, FaultEvent, ResiliencyFound, Seen
from ecoload.plan import Breaker, Fault, Plan
from ecoload.spec.functions import as_text

PATIENCE_S = 10.0
"""For a withdrawal that fails."""
PAUSE_S = 0.5
TRIES = 3
"""Of a setting that fails, before the fault is given up."""

Send = Callable[[bool], int]
"""Sends the request that sets the fault (True) or withdraws it; its status. Raises ProbeFailed."""
Wait = Callable[[float], bool]
"""Waits so many s; True says that the load is over."""


class FaultKeeper:
    """Keeps one fault. `start` once, at the schedule's zero; `close` in every case."""

    def __init__(self, fault: Fault, send: Send, clock: Callable[[], float] = time.monotonic) -> None:
        self._fault, self._send, self._clock = fault, send, clock
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._zero_s = 0.0
        self._may_be_set = False
        self._lock = threading.Lock()
        self.events: list[FaultEvent] = []

    def start(self, zero_s: float) -> None:
        self._zero_s = zero_s
        self._thread = threading.Thread(
            target=self.run, args=(zero_s, self._over.wait), name="fault", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """The load is over: the fault is withdrawn, if it may be set."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.withdraw(time.sleep)

    def run(self, zero_s: float, wait: Wait) -> None:
        """Sets, renews and withdraws; until the fault's time or the load is over."""
        self._zero_s = zero_s
        fault = self._fault
        if wait(max(0.0, zero_s + fault.at_ns / 1e9 - self._clock())):
            return
        end_s = self._now() + fault.for_ns / 1e9
        if not self._set(wait):
            return
        every_s = fault.ttl_ns / 3e9
        while (left_s := end_s - self._now()) > 0:
            if wait(min(left_s, every_s) if every_s else left_s):
                return
            if every_s and self._now() < end_s:
                self._do(True, "renewed")
        self.withdraw(lambda seconds: wait(seconds) and None)

    def withdraw(self, pause: Callable[[float], object]) -> None:
        """Ends the fault, if it may be set; tried again until it is done or `PATIENCE_S` are over."""
        with self._lock:
            begun = self._clock()
            while self._may_be_set:
                if self._do(False, "withdrawn"):
                    self._may_be_set = False
                elif self._clock() - begun >= PATIENCE_S:
                    return
                else:
                    pause(PAUSE_S)

    def _set(self, wait: Wait) -> bool:
        for _ in range(TRIES):
            # What was sent may have arrived though no answer came.
            self._may_be_set = True
            if self._do(True, "set"):
                return True
            if wait(PAUSE_S):
                break
        return False

    def _do(self, wanted: bool, what: str) -> bool:
        problem, at_s = "", self._now()
        try:
            status = self._send(wanted)
            if not 200 <= status < 300:
                problem = f"answered {status}"
        except (ProbeFailed, EcoloadError) as error:
            problem = str(error)
        # When it was sent: what the breaker does may be seen before the answer is.
        self.events.append(FaultEvent(at_s, what, problem))
        return not problem

    def _now(self) -> float:
        return self._clock() - self._zero_s


class BreakerWatch:
    """Asks for a breaker's state, again and again. `seen` holds the changes, and what could not be asked.
    `ask` gives the state, and after it the mark of its stay where the breaker has one; it raises
    ProbeFailed."""

    def __init__(
        self,
        breaker: Breaker,
        ask: Callable[[], Sequence[object]],
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._breaker, self._ask, self._file, self._clock = breaker, ask, file, clock
        self._words = {breaker.closed: "closed", breaker.open: "open", breaker.half_open: "half_open"}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.seen: list[Seen] = []
        self.polls = 0
        self.longest_s = 0.0
        """The longest time between two answers."""
        self._before = 0.0

    def start(self, zero_s: float) -> None:
        if self._file is not None:
            self._file.write_text("at_s,state,since,problem\n", encoding="utf-8")
        self._thread = threading.Thread(
            target=self.run, args=(zero_s, self._over.wait), name="breaker", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def run(self, zero_s: float, wait: Wait) -> None:
        """Asks until the load is over; what is missed is not made up for."""
        every_s = self._breaker.every_ns / 1e9
        due = zero_s
        while True:
            if wait(max(0.0, due - self._clock())):
                return
            self._look(zero_s)
            due = max(due + every_s, self._clock())

    def _look(self, zero_s: float) -> None:
        state, since, problem = "", "", ""
        asked_s = self._clock() - zero_s
        try:
            found, *marks = self._ask()
            state = self._words.get(found, found) if isinstance(found, str) else ""
            problem = "" if state else "its state is no text"
            since = as_text(marks[0]) if marks and state else ""
        except (ProbeFailed, EcoloadError) as error:
            problem = str(error)
        at_s = self._clock() - zero_s
        self.polls += 1
        if self.polls > 1:
            self.longest_s = max(self.longest_s, at_s - self._before)
        self._before = at_s
        last = self.seen[-1] if self.seen else None
        if last is not None and (last.state, last.since, last.problem) == (state, since, problem):
            self.seen[-1] = replace(last, until_s=asked_s)
        else:
            self.seen.append(Seen(at_s, state, problem, since, asked_s))
            self._write(self.seen[-1])

    def _write(self, one: Seen) -> None:
        if self._file is None:
            return
        row = (f"{one.at_s:.3f}", one.state, one.since, " ".join(one.problem.split()))
        try:
            with self._file.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row)
        except OSError:
            # What was seen is judged all the same; the disk is told of by whatever else is written.
            self._file = None


class FaultBeside:
    """The fault of a plan and the breaker that is watched, beside its load; and the answers of the route
    that the breaker guards. `tokens` gives each app's token of the moment."""

    def __init__(
        self,
        plan: Plan,
        run_id: str,
        secrets: Mapping[str, str],
        tokens: Mapping[str, Callable[[], str]],
        folder: Path,
    ) -> None:
        assert plan.resiliency is not None, "the plan of a fault"
        self._plan, self._run_id, self._tokens = plan, run_id, tokens
        self._what = plan.resiliency
        fault, breaker = self._what.fault, self._what.breaker

        def send(wanted: bool) -> int:
            step = fault.inject if wanted else fault.withdraw
            token = self._token(step.origin)
            return carry_out(plan, step, run_id, secrets, token)[0]

        self._keeper = FaultKeeper(fault, send)
        paths = (breaker.probe.json, breaker.since) if breaker.since else (breaker.probe.json,)

        def look() -> Sequence[object]:
            return ask_all(plan, breaker.probe, paths, run_id, self._token(breaker.probe.origin))

        self._watch = BreakerWatch(breaker, look, folder / "breaker.csv")
        self._answers = Answers()
        self._t0_ns = 0

    def start(self, zero_s: float) -> None:
        self._t0_ns = round(zero_s * 1e9)
        self._watch.start(zero_s)
        self._keeper.start(zero_s)

    def close(self) -> None:
        """Withdraws the fault, if it may be set; then the breaker is watched no longer."""
        self._keeper.close()
        self._watch.close()

    def take(self, route: int, outcome: int, payload: bytes) -> None:
        """Samples of the load."""
        if route == self._what.route:
            self._answers.add(outcome, payload, self._t0_ns)

    def found(self, ended_s: float) -> ResiliencyFound:
        """What was seen, the question about double effects asked last."""
        doubled, problem = None, ""
        if self._what.oracles.double_effects is not None:
            try:
                asked = self._what.oracles.double_effects
                doubled = ask(self._plan, asked, self._run_id, self._token(asked.origin))
            except ProbeFailed as error:
                problem = str(error)
        return ResiliencyFound(
            fault=tuple(self._keeper.events),
            seen=tuple(self._watch.seen),
            polls=self._watch.polls,
            resolution_s=max(self._what.breaker.every_ns / 1e9, self._watch.longest_s),
            answers=self._answers,
            ended_s=ended_s,
            doubled=doubled,
            doubled_problem=problem,
        )

    def _token(self, origin: int) -> str:
        app = self._plan.origins[origin].app
        return self._tokens[app]() if app in self._tokens else ""
