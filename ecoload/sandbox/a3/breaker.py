"""A circuit breaker: calls to an app that keeps failing are refused at once, until it answers again.

Rules
-----
- Pure: the time is what the clock says, in whole ms since 1970, never backwards; nothing here waits.
- Closed opens on `in_a_row` failures one after the other, or when `share` of the last `calls` failed;
  what is older than `window_ms` is forgotten. Open becomes half-open when `open_ms` are over, whether
  anybody looks or not. Half-open lets one probe through at a time; `successes` of them close it, the
  first failure opens it again.
- An outcome counts only in the stretch of a state in which its call was let through: a straggler says
  nothing about now. Every ticket must be settled or given back, or a probe would be out for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["closed", "open", "half_open"]

MAX_TRANSITIONS = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """When a breaker changes its state."""

    in_a_row: int = 5
    calls: int = 20
    share: float = 0.5
    window_ms: int = 30_000
    open_ms: int = 5_000
    successes: int = 2


class Breaker:
    """Ask `admit` before a call, and tell `settle` how it ended."""

    def __init__(self, clock: Callable[[], int], limits: Limits | None = None) -> None:
        self._clock = clock
        self._limits = limits or Limits()
        self._state: State = "closed"
        self._since_ms = clock()
        self._tickets = 0
        self._oldest_ticket = 1
        self._outcomes: deque[tuple[int, bool]] = deque(maxlen=self._limits.calls)
        self._probe: int | None = None
        self._successes = 0
        self._opened = 0
        self._refused = 0
        self._transitions: deque[dict[str, Any]] = deque(maxlen=MAX_TRANSITIONS)
        self.never_opens = self.never_closes = False
        """Faults of the breaker itself: failures that are not counted, probes that are taken for failed."""

    def admit(self) -> int | None:
        """A ticket for one call, or None: the call must not be made."""
        state = self.state
        if state == "open" or self._probe is not None:
            self._refused += 1
            return None
        self._tickets += 1
        if state == "half_open":
            self._probe = self._tickets
        return self._tickets

    def settle(self, ticket: int, failure: str | None = None) -> None:
        """The call of `ticket` has ended: well, or with a `failure`."""
        state = self.state
        if ticket < self._oldest_ticket:
            return
        self._probe = None
        if state == "half_open":
            if self.never_closes:
                failure = failure or "whatever it was"
            if failure is not None:
                self._enter("open", self._clock(), f"the probe failed: {failure}")
                return
            self._successes += 1
            if self._successes >= self._limits.successes:
                self._enter("closed", self._clock(), f"{self._successes} probes went well")
            return
        if self.never_opens:
            failure = None
        self._outcomes.append((self._clock(), failure is not None))
        if failure is not None and (reason := self._too_much()):
            self._enter("open", self._clock(), f"{reason}; the last: {failure}")

    def give_back(self, ticket: int) -> None:
        """The call of `ticket` says nothing about the app. Harmless once it is settled."""
        if ticket == self._probe:
            self._probe = None

    @property
    def state(self) -> State:
        """The state now."""
        if self._state == "open" and self._clock() >= self._until_ms:
            self._enter("half_open", self._until_ms, "time to try again")
        return self._state

    @property
    def retry_after_ms(self) -> int:
        """How long a refused call should wait; 0 when none is refused by rule."""
        return self._until_ms - self._clock() if self.state == "open" else 0

    def document(self) -> dict[str, Any]:
        """All there is to know: times in ms since 1970, `failures` among the calls remembered."""
        state = self.state
        return {
            "state": state,
            "since_ms": self._since_ms,
            "failures": sum(failed for _, failed in self._remembered()),
            "opened_count": self._opened,
            "calls_refused": self._refused,
            "next_attempt_ms": self._until_ms if state == "open" else None,
            "transitions": list(self._transitions),
        }

    @property
    def _until_ms(self) -> int:
        return self._since_ms + self._limits.open_ms

    def _too_much(self) -> str:
        """Why it is time to open, or nothing."""
        failures = [failed for _, failed in self._remembered()]
        if len(failures) >= self._limits.in_a_row and all(failures[-self._limits.in_a_row :]):
            return f"{self._limits.in_a_row} failures in a row"
        if len(failures) == self._limits.calls and sum(failures) >= self._limits.share * len(failures):
            return f"{sum(failures)} of the last {len(failures)} calls failed"
        return ""

    def _remembered(self) -> deque[tuple[int, bool]]:
        oldest_ms = self._clock() - self._limits.window_ms
        while self._outcomes and self._outcomes[0][0] < oldest_ms:
            self._outcomes.popleft()
        return self._outcomes

    def _enter(self, state: State, at_ms: int, reason: str) -> None:
        self._transitions.append({"at": at_ms, "from": self._state, "to": state, "reason": reason})
        self._state, self._since_ms = state, at_ms
        self._oldest_ticket = self._tickets + 1
        self._probe = None
        self._successes = 0
        if state == "open":
            self._opened += 1
        elif state == "closed":
            self._outcomes.clear()
