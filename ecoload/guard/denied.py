"""What is never sent, wherever it is declared: `POST /v1/charges`, `* /admin/**`.

Rules
-----
- Paths are compared segment by segment, without regard to case and to a `/` at the end: servers differ there.
- A value that is only known at run time could be anything, so a path that could become a denied one is
  denied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from ecoload.guard.paths import HOLE


def denied_by(patterns: Sequence[str], method: str, path: str) -> str | None:
    """The pattern that denies a request; None where none does. `path` is without its query; `HOLE` in it
    stands for a value that is not known yet."""
    segments = _segments(unquote(path))
    for pattern in patterns:
        verb, _, place = pattern.partition(" ")
        if verb.upper() in ("*", method.upper()) and _could_be(segments, _segments(place)):
            return pattern
    return None


def _segments(path: str) -> list[str]:
    # Slashes in a row are one to many servers.
    return [segment.lower() for segment in path.split("/") if segment]


def _could_be(segments: list[str], pattern: list[str]) -> bool:
    if pattern and pattern[-1] == "**":
        return len(segments) >= len(pattern) - 1 and _could_be(segments[: len(pattern) - 1], pattern[:-1])
    return len(segments) == len(pattern) and all(map(_fits, segments, pattern))


def _fits(segment: str, pattern: str) -> bool:
    if HOLE in segment and "*" in pattern:
        # Two wildcards: something fits both more often than not.
        return True
    if HOLE in segment:
        return _glob(segment, HOLE).fullmatch(pattern) is not None
    return _glob(pattern, "*").fullmatch(segment) is not None


def _glob(text: str, wildcard: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split(wildcard))), re.DOTALL)
