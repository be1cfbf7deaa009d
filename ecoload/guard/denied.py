"""What is never sent, wherever it is declared: `POST /v1/charges`, `* /admin/**`.

Rules
-----
- Servers read one path in many ways, and what one of them takes for a denied path is denied: regardless of
  case, of the form of a letter, of percent-encoding, of slashes in a row, at the end or lying backwards, and
  of what a `;` begins in a segment.
- A HEAD is answered by who answers a GET, so it is denied with it.
- A value that is only known at run time could be anything, so a path that could become a denied one is
  denied.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import unquote

from ecoload.guard.paths import HOLE, any_value
from ecoload.plan import Route


def denied_by(patterns: Sequence[str], method: str, path: str) -> str | None:
    """The pattern that denies a request; None where none does. `path` is without its query; `HOLE` in it
    stands for a value that is not known yet."""
    readings = _readings(unquote(path))
    for pattern in patterns:
        verb, _, place = pattern.partition(" ")
        if _is_verb(verb.upper(), method.upper()):
            for segments in _readings(unquote(place)):
                if any(_could_be(reading, segments) for reading in readings):
                    return pattern
    return None


def could_be(method: str, path: str, route: Route, base_path: str = "") -> bool:
    """Whether some server may take a request for one of a declared route, below a base path."""
    return denied_by([f"{route.method} {base_path}{any_value(route.path)}"], method, path) is not None


def _is_verb(verb: str, method: str) -> bool:
    return verb in ("*", method) or (verb, method) == ("GET", "HEAD")


def _readings(path: str) -> list[list[str]]:
    """The segments of a path, as it is written and without what a `;` begins."""
    folded = unicodedata.normalize("NFKC", path.replace("\\", "/")).casefold()
    written = [segment for segment in folded.split("/") if segment]
    plain = [name for segment in written if (name := segment.partition(";")[0])]
    return [written] if plain == written else [written, plain]


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
