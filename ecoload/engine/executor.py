"""From a schedule to iterations: who starts when, who goes on, who stops.

Rules
-----
- An executor holds VUs and a schedule, and calls nothing but the clock and its VUs.
- Closed model: the schedule says how many VUs live; each goes on when it is free and its pacing is
  over. Open model: the schedule says when an iteration is due; a VU takes it, or it is queued or
  dropped (`dropped_iterations`, counted, never hidden).
- A paced VU has its first iteration due at a moment of its own (`first_start_ns`), counted from when the
  schedule starts it, not from when we came to it. One that must go before that simply goes.
- A VU that must go finishes its iteration within its grace; then it is interrupted, and its request
  in flight is `cancelled`. A VU raised again within its grace goes on.
- After the regular end nothing starts; a queue that is left counts as dropped.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from ecoload.engine.clock import NEVER, Clock
from ecoload.engine.program import VU
from ecoload.engine.schedule import ClosedSchedule, IterationSchedule, OpenSchedule, first_start_ns
from ecoload.plan import ConstantArrivalRate, Load, OnExhausted, RampingArrivalRate

# What a VU is doing. LEAVING: it finishes its iteration and is then gone.
IDLE, RUNNING, WAITING, LEAVING, GONE = range(5)
LATE_NS = 5_000_000
START_SLICE = 32


class Fleet(Protocol):
    """What executors need of the generator they run in."""

    clock: Clock
    lateness: array[int]

    def new_vu(self, executor: Executor) -> VU: ...

    def interrupt(self, vu: VU) -> None:
        """Ends a VU's iteration now; its request in flight is `cancelled`."""

    def retire(self, vu: VU) -> None:
        """A VU's life is over: closes its connections."""

    def executor_done(self) -> None:
        """An executor has nothing left to do."""


class Executor:
    """What all models share: counting, the regular end, grace, and the very end."""

    def __init__(self, load: Load, fleet: Fleet, t0: int) -> None:
        self.load = load
        self.fleet = fleet
        self.clock = fleet.clock
        self.t0 = t0
        self.vus: dict[VU, None] = {}  # a set that keeps its order
        self.started = 0
        self.iterations = 0
        self.dropped = 0
        self.interrupted = 0
        self.late_starts = 0
        self.active = 0
        self.over = False
        self.finished = False

    @property
    def queued(self) -> int:
        return 0

    def begin(self) -> None:
        """Puts the schedule on the clock."""
        raise NotImplementedError

    def begun(self, vu: VU, due: int) -> None:
        """An iteration begins; `due` is when it should have."""
        self.started += 1
        self.active += 1
        vu.state = RUNNING

    def done(self, vu: VU, waited: bool) -> int:
        """An iteration has ended: the due time of the next, or 0 to wait."""
        self.iterations += 1
        self.active -= 1
        if vu.state == LEAVING or self.over:
            self._gone(vu)
            return 0
        return self._next(vu, waited)

    def stop(self, *, grace_ns: int | None = None) -> None:
        """The regular end, or an earlier one: nothing starts any more, what runs has its grace."""
        if self.over:
            return
        self.over = True
        self._leave_queue()
        for vu in list(self.vus):
            if vu.state in (IDLE, WAITING):
                self._gone(vu)
        grace = self.load.graceful_stop_ns if grace_ns is None else grace_ns
        if self.vus:
            self.clock.at(self.clock.now() + grace, self._out_of_grace)
        self._finish_if_empty()

    def cut_short(self) -> None:
        """Ends the grace of what still runs."""
        self._out_of_grace(0)

    def _next(self, vu: VU, waited: bool) -> int:
        raise NotImplementedError

    def _leave_queue(self) -> None:
        pass

    def _out_of_grace(self, _: int) -> None:
        for vu in list(self.vus):
            self._interrupt(vu)
        self._finish_if_empty()

    def _interrupt(self, vu: VU) -> None:
        if vu.state in (RUNNING, LEAVING):
            self.interrupted += 1
            self.active -= 1
            self.fleet.interrupt(vu)
        self._gone(vu)

    def _gone(self, vu: VU) -> None:
        if vu.state != GONE:
            vu.state = GONE
            del self.vus[vu]
            self.fleet.retire(vu)
            self._finish_if_empty()

    def _finish_if_empty(self) -> None:
        if self.over and not self.vus and not self.finished:
            self.finished = True
            self.fleet.executor_done()

    def _late(self, due: int) -> None:
        """A VU was free, and yet: how late the start is."""
        late = self.clock.now() - due
        self.fleet.lateness.append(late)
        if late > LATE_NS:
            self.late_starts += 1


class _ClosedModel(Executor):
    """What the closed models share: an iteration is due when its VU is free and its pacing is over."""

    def __init__(self, load: Load, fleet: Fleet, t0: int, end_ns: int) -> None:
        super().__init__(load, fleet, t0)
        self._end = t0 + end_ns
        self._pacing_ns = load.pacing_ns
        self._now = fleet.clock.now

    def begun(self, vu: VU, due: int) -> None:
        self.started += 1
        self.active += 1
        vu.state = RUNNING
        if self._pacing_ns:
            self._late(due)
        vu.due = due

    def _first(self, vu: VU, place: int, started: int) -> None:
        """Begins the life of the VU at that place, which is started at `started` or was to be."""
        now = self._now()
        due = now
        if self._pacing_ns:
            due = started + first_start_ns(place, self._pacing_ns, started - self.t0)
        if due <= now:
            vu.resume(due)
        else:
            self._wait(vu, due)

    def _next(self, vu: VU, waited: bool) -> int:
        now = self._now()
        due = vu.due + self._pacing_ns if self._pacing_ns else now
        if due <= now:
            if waited:
                return now
            # An iteration that never waited must not starve the loop.
            due = now
        self._wait(vu, due)
        return 0

    def _wait(self, vu: VU, due: int) -> None:
        vu.due = due
        vu.state = WAITING
        if 0 < self._end - due <= self._pacing_ns:
            # Its last start: the wheel might come to it only after the end, which would have taken it.
            self.clock.at(due, lambda _: vu.resume(None))
        else:
            self.clock.later(due, vu.resume)


class ClosedExecutor(_ClosedModel):
    """`constant`, `ramp`, `spike`, `soak`, `constant-vus`, `ramping-vus`."""

    def __init__(self, load: Load, fleet: Fleet, t0: int, schedule: ClosedSchedule) -> None:
        super().__init__(load, fleet, t0, schedule.end_ns)
        self._steps = iter(schedule.steps)
        self._ramp_down_ns = schedule.graceful_ramp_down_ns
        self._step = next(self._steps, None)
        self.target = 0
        self._staying: list[VU] = []
        self._leaving: dict[VU, int] = {}
        self._starting = False
        self._held: int | None = None
        self._set_at = 0

    def begin(self) -> None:
        if self._step is not None:
            self.clock.at(self.t0 + self._step[0], self._advance)
        self.clock.at(self._end, lambda _: self.stop())

    def set_vus(self, vus: int) -> None:
        """From now on this many, whatever the schedule says (the `Control` seam)."""
        self._held = vus
        if not self.over:
            self._set(vus, self.clock.now())

    def _advance(self, due: int) -> None:
        if self.over or self._step is None:
            return
        _, vus = self._step
        if self._held is None:
            self._set(vus, due)
        self._step = next(self._steps, None)
        if self._step is not None:
            self.clock.at(self.t0 + self._step[0], self._advance)

    def _set(self, vus: int, at: int) -> None:
        self.target, self._set_at = vus, at
        while len(self._staying) > vus:
            self._leave(self._staying.pop())
        while len(self._staying) < vus and self._leaving:
            # Raised again within its grace: the one that left last comes back first.
            vu, _ = self._leaving.popitem()
            vu.state = RUNNING
            self._staying.append(vu)
        if len(self._staying) < vus:
            self._start_some()

    def _start_some(self) -> None:
        # Many at once are started in slices, so that answers are not kept waiting behind connects.
        if self.over:
            return
        for _index in range(min(self.target - len(self._staying), START_SLICE)):
            vu, place = self.fleet.new_vu(self), len(self._staying)
            self.vus[vu] = None
            self._staying.append(vu)
            self._first(vu, place, self._set_at)
        if len(self._staying) < self.target and not self._starting:
            self._starting = True
            self.clock.at(self.clock.now(), self._start_rest)

    def _start_rest(self, _: int) -> None:
        self._starting = False
        self._start_some()

    def _leave(self, vu: VU) -> None:
        if vu.state == RUNNING:
            vu.state = LEAVING
            self._leaving[vu] = deadline = self.clock.now() + self._ramp_down_ns
            # It may come back and leave again meanwhile: only its last leaving counts.
            self.clock.at(
                deadline, lambda _: self._interrupt(vu) if self._leaving.get(vu) == deadline else None
            )
        else:
            self._gone(vu)

    def _gone(self, vu: VU) -> None:
        self._leaving.pop(vu, None)
        super()._gone(vu)


class IterationExecutor(_ClosedModel):
    """`shared-iterations` and `per-vu-iterations`."""

    def __init__(self, load: Load, fleet: Fleet, t0: int, schedule: IterationSchedule) -> None:
        super().__init__(load, fleet, t0, schedule.end_ns)
        self._schedule = schedule
        self._left = schedule.iterations if schedule.shared else 0

    def begin(self) -> None:
        self.clock.at(self.t0, self._start)
        self.clock.at(self._end, lambda _: self.stop())

    def _start(self, due: int) -> None:
        if self.over:
            return
        for _index in range(self._schedule.vus):
            self.vus[self.fleet.new_vu(self)] = None
        for place, vu in enumerate(list(self.vus)):
            if self._take(vu):
                self._first(vu, place, due)
            else:
                self._gone(vu)

    def _take(self, vu: VU) -> bool:
        if not self._schedule.shared:
            return vu.iterations < self._schedule.iterations
        if not self._left:
            return False
        self._left -= 1
        return True

    def _next(self, vu: VU, waited: bool) -> int:
        if not self._take(vu):
            self._gone(vu)
            if not self.vus:
                self.stop()
            return 0
        return super()._next(vu, waited)

    def _leave_queue(self) -> None:
        each = 1 if self._schedule.shared else self._schedule.vus
        self.dropped += each * self._schedule.iterations - self.started


class OpenExecutor(Executor):
    """`burst`, `constant-arrival-rate`, `ramping-arrival-rate`."""

    def __init__(self, load: Load, fleet: Fleet, t0: int, schedule: OpenSchedule) -> None:
        super().__init__(load, fleet, t0)
        executor = load.executor
        assert isinstance(executor, ConstantArrivalRate | RampingArrivalRate)
        self._starts: Iterator[int] = schedule.starts()
        self._end = t0 + schedule.end_ns
        self._idle: list[VU] = []
        self._queue: deque[int] = deque()
        self._allocated = executor.pre_allocated_vus
        self._max_vus = executor.max_vus
        self._queues = executor.on_exhausted is OnExhausted.QUEUE
        self._due = NEVER

    @property
    def queued(self) -> int:
        return len(self._queue)

    def begin(self) -> None:
        for _ in range(self._allocated):
            self._allocate()
        self._due = self.t0 + next(self._starts, NEVER)
        if self._due < NEVER:
            self.clock.at(self._due, self._arrive)
        # A rising rate's last start may be due exactly at the end: it still starts.
        self.clock.at(self._end + 1, lambda _: self.stop())

    def _allocate(self) -> None:
        vu = self.fleet.new_vu(self)
        self.vus[vu] = None
        self._idle.append(vu)

    def _arrive(self, due: int) -> None:
        if self.over:
            return
        if self._idle:
            self._late(due)
            self._idle.pop().resume(due)
        elif self._queues and len(self.vus) < self._max_vus:
            self._late(due)
            self._allocate()
            self._idle.pop().resume(due)
        elif self._queues:
            self._queue.append(due)
        else:
            self.dropped += 1
            if len(self.vus) < self._max_vus:
                self._allocate()
        following = self.t0 + next(self._starts, NEVER)
        if following < NEVER:
            self.clock.at(following, self._arrive)

    def _next(self, vu: VU, waited: bool) -> int:
        if self._queue:
            due = self._queue.popleft()
            if waited:
                return due
            vu.due = due
            vu.state = WAITING
            self.clock.later(self.clock.now(), vu.resume)
            return 0
        vu.state = IDLE
        self._idle.append(vu)
        return 0

    def _leave_queue(self) -> None:
        # A VU that waits for the wheel has taken a start out of the queue.
        self.dropped += len(self._queue) + sum(vu.state == WAITING for vu in self.vus)
        self._queue.clear()
