"""One value, kept for a while.

Rules
-----
- The clock is an argument: whoever holds the clock decides when a value is too old.
- A value is good for less than its time to live; at that age it is gone, and its memory with it.
- It makes no value: who misses makes one and puts it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cached(Generic[T]):
    __slots__ = ("_clock", "_held", "_ttl_s")

    def __init__(self, ttl_s: float, clock: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._held: tuple[T, float] | None = None

    def get(self) -> T | None:
        held = self._fresh()
        return None if held is None else held[0]

    def put(self, value: T) -> None:
        self._held = (value, self._clock())

    def age_s(self) -> float | None:
        """How old the value is; None when there is none."""
        held = self._fresh()
        return None if held is None else self._clock() - held[1]

    def clear(self) -> None:
        self._held = None

    def _fresh(self) -> tuple[T, float] | None:
        if self._held is not None and self._clock() - self._held[1] >= self._ttl_s:
            self._held = None
        return self._held
