"""What became of one request.

Rules
-----
- Exactly one outcome a request; the names are published (``run.json``, ``latency.hlog``).
- `ok` is the population of the latency levels; everything the *target* did otherwise is an error.
- `CANCELLED` and `GUARD_REFUSED` are nobody's error; `PORT_EXHAUSTED` and `FD_EXHAUSTED` are the
  generator's own, make the run INVALID, and are never counted against the target.
"""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """The outcome of a request; `label` is its published name."""

    OK = 0
    HTTP_ERROR = 1
    CHECK_FAILED = 2
    CAPTURE_FAILED = 3
    TIMEOUT = 4
    REFUSED = 5
    RESET = 6
    DNS = 7
    TLS = 8
    PROXY = 9
    TRUNCATED = 10
    MALFORMED = 11
    DECODE = 12
    TOO_LARGE = 13
    REDIRECT_LIMIT = 14
    CANCELLED = 15
    GUARD_REFUSED = 16
    PORT_EXHAUSTED = 17
    FD_EXHAUSTED = 18

    @property
    def label(self) -> str:
        return self.name.lower()

    @property
    def is_error(self) -> bool:
        """True where the outcome counts against the target."""
        return Outcome.OK < self < Outcome.CANCELLED

    @property
    def is_generator(self) -> bool:
        """True where the generator itself failed."""
        return self >= Outcome.PORT_EXHAUSTED

    @property
    def is_counted(self) -> bool:
        """True where the request counts as one the target was asked: `ok` and its errors."""
        return self < Outcome.CANCELLED

    @property
    def is_answered(self) -> bool:
        """True where the target surely gave a whole answer, and so surely saw the request."""
        return self in _ANSWERED

    @property
    def may_have_arrived(self) -> bool:
        """True where the request may have reached the target, answered or not."""
        return self not in _NEVER_SENT


_ANSWERED = frozenset(
    {
        Outcome.OK,
        Outcome.HTTP_ERROR,
        Outcome.CHECK_FAILED,
        Outcome.CAPTURE_FAILED,
        Outcome.REDIRECT_LIMIT,
    }
)
_NEVER_SENT = frozenset(
    {
        Outcome.REFUSED,
        Outcome.DNS,
        Outcome.TLS,
        Outcome.GUARD_REFUSED,
        Outcome.PORT_EXHAUSTED,
        Outcome.FD_EXHAUSTED,
    }
)
