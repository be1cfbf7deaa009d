"""Durations, sizes and rates as people write them.

Rules
-----
- A duration always carries its unit: `250ms`, `90s`, `2m`, `1h30m`; larger units stand first, each
  once. It becomes whole nanoseconds.
- A size is a number of bytes or a text with a unit: `64KiB`, `32MiB`, `10MB`.
- A rate is a number a second, or a text: `200/s`, `600/m`.
- What does not fit raises ValueError with a message that says what would.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_DURATION_NS = 366 * 86_400_000_000_000
"""A year: anything longer is a slip."""

_NS = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}
_BYTES = {
    "B": 1,
    "kB": 1_000,
    "KB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "KiB": 1_024,
    "MiB": 1_048_576,
    "GiB": 1_073_741_824,
}
_PER_SECOND = {"s": 1, "m": 60, "h": 3_600}
_PIECE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|d|h|m|s)")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKMG]i?B|B)")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?/ ?(s|m|h)")

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|us|µs|ns|d|h|m|s))+$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?([kKMG]i?B|B)$"
RATE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?/ ?(s|m|h)$"


def parse_duration(value: object) -> int:
    """Nanoseconds of a duration such as `90s`, `2m`, `1h30m` or `250ms`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"expected a duration with its unit, such as {value}s or {value}ms, got {value}")
    if not isinstance(value, str):
        raise ValueError(f"expected a duration such as 90s, 2m or 1h30m, got {shown(value)}")
    text = value.strip()
    position, total, least = 0, Fraction(0), None
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is None:
            break
        unit = _NS[piece[2]]
        if least is not None and unit >= least:
            raise ValueError(f"expected larger units before smaller ones, each once, got {value!r}")
        least, position = unit, piece.end()
        total += Fraction(piece[1]) * unit
    if not text or position < len(text):
        raise ValueError(f"expected a duration such as 90s, 2m, 1h30m or 250ms, got {value!r}")
    if total > MAX_DURATION_NS:
        raise ValueError(f"expected at most 366d, got {value!r}")
    return round(total)


def format_duration(ns: int) -> str:
    """The shortest text that `parse_duration` reads back as the same number: `1h30m`, `250ms`."""
    if ns == 0:
        return "0s"
    pieces = []
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        count, ns = divmod(ns, _NS[unit])
        if count:
            pieces.append(f"{count}{unit}")
    return "".join(pieces)


def parse_size(value: object) -> int:
    """Bytes of a size such as `65536`, `64KiB` or `10MB`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2] not in _BYTES:
        raise ValueError(f"expected a size in bytes or such as 64KiB or 10MB, got {shown(value)}")
    return round(Fraction(match[1]) * _BYTES[match[2]])


def parse_rate(value: object) -> float:
    """Events a second of a rate such as `200`, `200/s` or `600/m`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        rate = float(value)
    else:
        match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"expected a rate a second such as 200, or 200/s or 600/m, got {shown(value)}")
        rate = float(Fraction(match[1]) / _PER_SECOND[match[2]])
    if not 0 < rate < float("inf"):
        raise ValueError(f"expected a rate above 0, got {shown(value)}")
    return rate


def shown(value: object, limit: int = 60) -> str:
    """A value for a message: as people write it, and short."""
    names = {True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return "null" if value is None else names[value]
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
