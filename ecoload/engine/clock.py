"""Time as an argument: when it is, and who is called when.

Rules
-----
- Times are absolute nanoseconds of CLOCK_MONOTONIC; nothing here knows a duration.
- Two ways to wait: `at` is exact (arrivals, events; a heap), `later` is cheap and late by up to
  1 ms (think time and pacing of many VUs; a wheel of 2^20 ns slots).
- One timerfd armed with the next absolute due time wakes the loop: libuv's own timers are whole
  milliseconds. It is never read; arming it again clears it.
- A burst of due calls is cut after 64, so that answers are not kept waiting behind starts.
- `next_due` is public so that whoever holds the loop anyway (an answer came in) can look and `fire`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from typing import Any, Protocol

SLOT_BITS = 20
NEVER = 1 << 62
BURST = 64

Call = Callable[[Any], object]


class Clock(Protocol):
    """Monotonic nanoseconds, and calls at absolute times."""

    next_due: int

    def now(self) -> int: ...

    def at(self, due: int, call: Call) -> None:
        """Calls `call(due)` at `due`, exactly."""

    def later(self, due: int, call: Call) -> None:
        """Calls `call(None)` at `due` or up to a slot after it."""

    def fire(self) -> None:
        """Carries out what is due now."""


class Agenda:
    """The bookkeeping every clock shares: what is due when. Subclasses say when it is and how to be
    woken (`_arm`)."""

    def __init__(self) -> None:
        self.next_due = NEVER
        self._exact: list[tuple[int, int, Call]] = []
        self._sequence = 0
        self._wheel: dict[int, list[Call]] = {}
        self._slots: list[int] = []

    def now(self) -> int:
        raise NotImplementedError

    def _arm(self, due: int) -> None:
        raise NotImplementedError

    def at(self, due: int, call: Call) -> None:
        self._sequence += 1
        heappush(self._exact, (due, self._sequence, call))
        if due < self.next_due:
            self.next_due = due
            self._arm(due)

    def later(self, due: int, call: Call) -> None:
        slot = (due >> SLOT_BITS) + 1
        bucket = self._wheel.get(slot)
        if bucket is not None:
            bucket.append(call)
            return
        self._wheel[slot] = [call]
        heappush(self._slots, slot)
        due = slot << SLOT_BITS
        if due < self.next_due:
            self.next_due = due
            self._arm(due)

    def fire(self) -> None:
        # While calls run, `next_due` is 0 so that none of them arms the timer; it is armed once.
        self.next_due = 0
        exact, slots = self._exact, self._slots
        left = BURST
        try:
            while exact and left and exact[0][0] <= self.now():
                due, _, call = heappop(exact)
                left -= 1
                call(due)
            current = self.now() >> SLOT_BITS
            while slots and slots[0] <= current:
                for call in self._wheel.pop(heappop(slots)):
                    with suppress(StopIteration):  # a VU whose life ended while it slept
                        call(None)
        finally:
            due = exact[0][0] if exact else NEVER
            if slots and slots[0] << SLOT_BITS < due:
                due = slots[0] << SLOT_BITS
            self.next_due = due
            self._arm(due)


class LoopClock(Agenda):
    """The real clock on a running event loop. `spin` keeps a whole core busy for starts that are
    late by microseconds instead of tens of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, spin: bool = False) -> None:
        super().__init__()
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._timer: _TimerFd | None = None
        self._closed = False
        if spin:
            loop.call_soon(self._spin)
        elif sys.platform == "linux":
            self._timer = _TimerFd()
            loop.add_reader(self._timer.fd, self.fire)
        self._spinning = spin

    now = staticmethod(time.monotonic_ns)

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._loop.remove_reader(self._timer.fd)
            self._timer.close()
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self, due: int) -> None:
        if self._timer is not None:
            self._timer.arm(due)
        elif not self._spinning:
            if self._handle is not None:
                self._handle.cancel()
            wait = max(0, due - time.monotonic_ns()) / 1e9
            self._handle = self._loop.call_later(wait, self.fire) if due != NEVER else None

    def _spin(self) -> None:
        if self._closed:
            return
        if self.next_due <= time.monotonic_ns():
            self.fire()
        self._loop.call_soon(self._spin)


class _ITimerSpec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class _TimerFd:
    """timerfd_create(2) and timerfd_settime(2) through ctypes: the `os` module has them from 3.13."""

    _ABSOLUTE = 1

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._spec = _ITimerSpec()
        self._reference = ctypes.byref(self._spec)
        self._settime = libc.timerfd_settime

    def arm(self, due: int) -> None:
        """Fires once at `due`; `NEVER` disarms."""
        spec = self._spec
        spec.value_s, spec.value_ns = divmod(due, 1_000_000_000) if due != NEVER else (0, 0)
        self._settime(self.fd, self._ABSOLUTE, self._reference, None)

    def close(self) -> None:
        os.close(self.fd)
