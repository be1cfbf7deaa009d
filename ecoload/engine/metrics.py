"""The metrics that a target tells of itself, in the text format of Prometheus.

Rules
-----
- One metric is read as the sum of its samples: an app of several processes has one for each.
- What is kept of an answer holds none of the run's secrets, and is at most a MiB.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

MOST_KEPT = 1_048_576
HIDDEN = b"***"

_LABELS = rb'[ \t]*\{(?:[^"}\n]|"(?:[^"\\\n]|\\[^\n])*")*\}[ \t]*'
_VALUE = rb"(\S+)(?:[ \t]+-?[0-9]+)?[ \t]*\r?$"


def metric_value(text: bytes, name: str) -> float:
    """The value of a metric, its samples added up. Raises ValueError where there is none."""
    sample = b"^%b(?:%b|[ \t]+)%b" % (re.escape(name.encode()), _LABELS, _VALUE)
    values = re.findall(sample, text, re.MULTILINE)
    if not values:
        raise ValueError(f"there is no {name}")
    try:
        total = math.fsum(map(float, values))
    except (ValueError, OverflowError):
        total = math.nan
    if not math.isfinite(total):
        raise ValueError(f"{name} is no number")
    return total


def kept(text: bytes, secrets: Iterable[str]) -> bytes:
    """As much of an answer as may be kept: without secrets, whole lines, at most `MOST_KEPT` bytes."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret.encode("utf-8", "surrogateescape"), HIDDEN)
    if len(text) > MOST_KEPT:
        text = text[: text.rfind(b"\n", 0, MOST_KEPT) + 1] or text[:MOST_KEPT]
    return text
