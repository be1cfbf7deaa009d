"""How a figure is written and how a foreign text is made harmless; the same in every form of report.

Rules
-----
- A figure that is not there reads `–`; it is never shown as 0.
- Times keep three digits, as the histograms they come from do.
- Text that a target, a feeder or a file had a hand in goes through `clean` before it is escaped for
  the form it stands in.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime
from typing import Any

NOTHING = "–"

_SPACES = {"\t": " ", "\n": " ", "\r": " ", "\u2028": " ", "\u2029": " ", "\x85": " "}
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(value: Any) -> str:
    """`value` as one line without control characters, direction overrides or lone surrogates."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_SPACES.get(c, c) for c in text if c in _SPACES or not _is_harmful(c))


def number(value: Any) -> float | None:
    """A finite number, or None where there is none (None, NaN, an empty field of a CSV file)."""
    if value is None or value == "":
        return None
    figure = float(value)
    return figure if math.isfinite(figure) else None


def ms(value: Any) -> str:
    """Milliseconds to three digits, without the unit: `0.42`, `8.21`, `89.2`, `1,085`."""
    figure = number(value)
    if figure is None:
        return NOTHING
    return f"{figure:,.{2 if figure < 9.995 else 1 if figure < 99.95 else 0}f}"


def whole(value: Any) -> str:
    """A count: `12,000`."""
    figure = number(value)
    return NOTHING if figure is None else f"{figure:,.0f}"


def rate(value: Any) -> str:
    """A rate in each second, without the unit: `0.50`, `100.0`, `12,345`."""
    figure = number(value)
    if figure is None:
        return NOTHING
    return f"{figure:,.{2 if figure < 9.995 else 1 if figure < 9_999.5 else 0}f}"


def share(value: Any) -> str:
    """A share of 1 as percent. One that is not 0 never reads as 0: `0 %`, `0.04 %`, `< 0.01 %`."""
    figure = number(value)
    if figure is None:
        return NOTHING
    if figure == 0:
        return "0 %"
    if figure < 0.0001:
        return "< 0.01 %"
    return f"{figure * 100:.{2 if figure < 0.09995 else 1}f} %"


def change(value: Any) -> str:
    """A change as a share of what was before, with its direction: `+3.1 %`, `-12 %`, `+0.0 %`."""
    figure = number(value)
    if figure is None:
        return NOTHING
    return f"{figure * 100:+,.{1 if abs(figure) < 0.09995 else 0}f} %"


def span(seconds: Any) -> str:
    """A length of time: `0.8s`, `42s`, `2m 00s`, `1h 04m 00s`."""
    figure = number(seconds)
    if figure is None:
        return NOTHING
    if 0 < figure < 9.95 and figure != int(figure):
        return f"{figure:.1f}s"
    minutes, rest = divmod(round(figure), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m {rest:02}s"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


def moment(written: Any) -> str:
    """A time of day in ISO 8601 as people read it: `2026-11-23 20:15:00 UTC`; what is none, as it is."""
    try:
        found = datetime.fromisoformat(str(written))
    except ValueError:
        return str(written)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if found.tzinfo else str(written)


def plural(count: Any, one: str, many: str) -> str:
    """`1 request`, `12,000 requests`."""
    return f"{whole(count)} {one if number(count) == 1 else many}"


def _is_harmful(character: str) -> bool:
    return character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Cn")
