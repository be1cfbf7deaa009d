"""Conditions on figures: `[ROUTE:] METRIC OPERATOR VALUE [for DURATION] [after DURATION]`.

Rules
-----
- Latencies (`p50 p90 p95 p99 max mean`) carry a unit: `p95 < 300ms`. `error_rate` is a share or a
  percentage: `error_rate > 1%`. `rps` and `dropped_iterations` are plain numbers.
- `for` asks that it hold without a break for so long; `after` that it is not looked at before.
- What does not fit raises ValueError with a message that says what would.
"""

from __future__ import annotations

import re
from typing import Literal, cast, get_args

from ecoload.plan import Condition
from ecoload.spec.template import nearest
from ecoload.spec.units import parse_duration

LATENCIES = ("p50", "p90", "p95", "p99", "max", "mean")
METRICS = (*LATENCIES, "error_rate", "rps", "dropped_iterations")
Operator = Literal["<", "<=", ">", ">=", "==", "!="]
OPERATORS = get_args(Operator)

_FORM = re.compile(
    r"\s*(?:(?P<route>[A-Za-z0-9_-]+)\s*:\s*)?(?P<metric>[A-Za-z0-9_()]+)\s*(?P<operator>[<>=!]+)\s*"
    r"(?P<value>[^\s]+)(?:\s+for\s+(?P<for>\S+))?(?:\s+after\s+(?P<after>\S+))?\s*"
)
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]+)?")


def parse_condition(text: object) -> Condition:
    """A condition as written. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError(
            'expected a condition in quotes, such as "p95 < 300ms" or "ingest: error_rate > 1% for 10s"'
        )
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f'expected a condition such as "p95 < 300ms" or "error_rate > 1% for 10s", got {text!r}'
        )
    metric, operator = match["metric"], match["operator"]
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r} in {text!r}{nearest(metric, METRICS)}")
    if operator not in OPERATORS:
        raise ValueError(f"unknown operator {operator!r} in {text!r}; expected one of: {' '.join(OPERATORS)}")
    return Condition(
        source=" ".join(text.split()),
        metric=metric,
        operator=cast(Operator, operator),
        value=_value(metric, match["value"], text),
        route=match["route"],
        for_ns=parse_duration(match["for"]) if match["for"] else 0,
        after_ns=parse_duration(match["after"]) if match["after"] else 0,
    )


def parse_share(value: object) -> float:
    """A share of 1, written `0.01` or `1%`."""
    number: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str) and value.endswith("%") and _NUMBER.fullmatch(value[:-1].strip()):
        number = float(value[:-1]) / 100
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"expected a share such as 0.01 or 1%, got {value!r}")
    return number


def _value(metric: str, text: str, source: str) -> float:
    if metric in LATENCIES:
        if _NUMBER.fullmatch(text):
            raise ValueError(f"expected a latency with its unit, such as {text}ms, in {source!r}")
        return parse_duration(text) / 1_000_000
    if metric == "error_rate":
        return parse_share(float(text) if _NUMBER.fullmatch(text) else text)
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"expected a plain number for {metric}, got {text!r} in {source!r}")
    return float(text)
