"""A load's schedule as a scenario of k6's `options.scenarios`.

Rules
-----
- Each option of the executor is stated, so that no default of k6 decides; `startTime` where it is not 0.
- Durations go through `scaled(seconds)` of the script, with the least that k6 takes where there is one:
  `scaled(900, 1)`. Rates, VUs and time units are never scaled.
- k6 takes rates as whole numbers only: 0.5 a second is 1 in `2s`, and the targets of a load share one time
  unit. A rate is the decimal that was written.
- A load that queues has all its VUs from the start. As long as k6 drops nothing, both mean the same:
  `never_drops` says that a threshold has to hold it to that.
- What k6 cannot say of a load is refused, all of it at once, by load and stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import lcm

from ecoload.export.k6.js import CannotExport, Literal, Raw
from ecoload.plan import (
    Arrivals,
    ConstantArrivalRate,
    ConstantVUs,
    Load,
    OnExhausted,
    OpenExecutor,
    PerVUIterations,
    Plan,
    RampingArrivalRate,
    RampingVUs,
    SharedIterations,
    Stage,
)
from ecoload.spec.units import format_duration

LEAST_DURATION_NS = 1_000_000_000
"""k6 takes no shorter `duration` or `maxDuration`; stages, grace and start times may be of any length."""

_SECOND = 1_000_000_000
_LONGEST_NS = 2**63 - 1

SCALED = """\
// A duration of the plan, in seconds, as k6 takes it: in milliseconds.
const scaled = (seconds, least = 0) => {
  if (seconds * SCALE < least) {
    throw new Error(
      `DURATION_SCALE=${SCALE} is too small: k6 takes at least ${least} s where ` +
        `the plan has ${seconds} s. Set it to ${least}/${seconds} or more.`,
    );
  }
  return seconds * SCALE * 1000;
};"""
"""The function that the options' durations call. It stands below `SCALE`."""


def scenario_options(plan: Plan, load: int, exec_name: str) -> dict[str, Literal]:
    """The k6 scenario of the plan's load with that index, which calls the script's function `exec_name`.
    Raises CannotExport with every reason why k6 cannot say it."""
    part = plan.loads[load]
    if reasons := _reasons(part):
        raise CannotExport("\n".join(reasons))
    start = {"startTime": seconds(part.start_time_ns)} if part.start_time_ns else {}
    return {
        "executor": _executor(part),
        "exec": exec_name,
        **start,
        **_schedule(part),
        "gracefulStop": seconds(part.graceful_stop_ns),
    }


def never_drops(load: Load) -> bool:
    """Whether ecoload queues where k6 drops: the script then needs the threshold
    `dropped_iterations{scenario:NAME}: ["count==0"]`."""
    executor = load.executor
    return isinstance(executor, OpenExecutor) and executor.on_exhausted is OnExhausted.QUEUE


def seconds(ns: int, least: int | None = None) -> Raw:
    """The expression of a duration in a script: `scaled(2.5)`, or `scaled(900, 1)` with a least one."""
    return Raw(f"scaled({_decimal(ns)})" if least is None else f"scaled({_decimal(ns)}, {_decimal(least)})")


def _decimal(ns: int) -> str:
    whole, rest = divmod(ns, _SECOND)
    return f"{whole}.{rest:09d}".rstrip("0") if rest else str(whole)


def _executor(load: Load) -> str:
    match load.executor:
        case ConstantVUs():
            return "constant-vus"
        case RampingVUs():
            return "ramping-vus"
        case SharedIterations():
            return "shared-iterations"
        case PerVUIterations():
            return "per-vu-iterations"
        case ConstantArrivalRate():
            return "constant-arrival-rate"
        case RampingArrivalRate():
            return "ramping-arrival-rate"


def _schedule(load: Load) -> dict[str, Literal]:
    executor = load.executor
    match executor:
        case ConstantVUs():
            return {"vus": executor.vus, "duration": seconds(executor.duration_ns, LEAST_DURATION_NS)}
        case RampingVUs():
            return {
                "startVUs": executor.start_vus,
                "stages": _stages(executor.stages, [int(stage.target) for stage in executor.stages]),
                "gracefulRampDown": seconds(executor.graceful_ramp_down_ns),
            }
        case SharedIterations() | PerVUIterations():
            return {
                "vus": executor.vus,
                "iterations": executor.iterations,
                "maxDuration": seconds(executor.max_duration_ns, LEAST_DURATION_NS),
            }
        case ConstantArrivalRate():
            (rate,), unit_ns = _whole([executor.rate], executor.time_unit_ns)
            return {
                "rate": rate,
                "timeUnit": format_duration(unit_ns),
                "duration": seconds(executor.duration_ns, LEAST_DURATION_NS),
                **_vus(load, executor),
            }
        case RampingArrivalRate():
            (rate, *targets), unit_ns = _whole(_rates(executor), executor.time_unit_ns)
            return {
                "startRate": rate,
                "timeUnit": format_duration(unit_ns),
                "stages": _stages(executor.stages, targets),
                **_vus(load, executor),
            }


def _stages(stages: Iterable[Stage], targets: Iterable[int]) -> list[Literal]:
    return [
        {"duration": seconds(stage.duration_ns), "target": target}
        for stage, target in zip(stages, targets, strict=True)
    ]


def _vus(load: Load, executor: OpenExecutor) -> dict[str, Literal]:
    at_once = executor.max_vus if never_drops(load) else executor.pre_allocated_vus
    return {"preAllocatedVUs": at_once, "maxVUs": executor.max_vus}


def _rates(executor: RampingArrivalRate) -> list[float]:
    return [executor.start_rate, *(stage.target for stage in executor.stages)]


def _whole(rates: list[float], unit_ns: int) -> tuple[list[int], int]:
    """The same rates as whole numbers in a longer time unit, the shortest in which all of them are."""
    decimals = [Fraction(str(rate)) for rate in rates]
    times = lcm(*(decimal.denominator for decimal in decimals))
    return [int(decimal * times) for decimal in decimals], unit_ns * times


def _reasons(load: Load) -> list[str]:
    executor, where = load.executor, f"load {load.name}"
    reasons = []
    match executor:
        case ConstantVUs() | ConstantArrivalRate():
            reasons += _too_short(where, "duration", executor.duration_ns)
        case SharedIterations() | PerVUIterations():
            reasons += _too_short(where, "max_duration", executor.max_duration_ns)
        case RampingVUs():
            reasons += _no_vus(where, executor)
        case RampingArrivalRate():
            pass
    if isinstance(executor, OpenExecutor):
        reasons += _no_rate(where, executor)
    return reasons


def _too_short(where: str, option: str, ns: int) -> list[str]:
    if ns >= LEAST_DURATION_NS:
        return []
    least = format_duration(LEAST_DURATION_NS)
    return [f"{where}: k6 takes a {option} of at least {least}, not {format_duration(ns)}; lengthen it"]


def _no_vus(where: str, executor: RampingVUs) -> list[str]:
    reasons = [
        f"{where}, stage {number}: k6 knows whole VUs only, and this is {stage.target:g}; round it"
        for number, stage in enumerate(executor.stages, 1)
        if stage.target % 1
    ]
    if not executor.start_vus and not any(stage.target for stage in executor.stages):
        reasons.append(f"{where}: k6 takes no ramp that stays at 0 VUs; give it a start or a target above 0")
    return reasons


def _no_rate(where: str, executor: OpenExecutor) -> list[str]:
    reasons = []
    if executor.arrivals is Arrivals.POISSON:
        reasons.append(f"{where}: k6 knows evenly spaced arrivals only; take `arrivals: uniform`")
    rates = [executor.rate] if isinstance(executor, ConstantArrivalRate) else _rates(executor)
    whole, unit_ns = _whole(rates, executor.time_unit_ns)
    if max([unit_ns, *whole]) > _LONGEST_NS:
        written = ", ".join(f"{rate:g}" for rate in rates)
        reasons.append(
            f"{where}: k6 takes whole rates only, and no time unit that it can hold makes them of {written} "
            f"in {format_duration(executor.time_unit_ns)}; write rates with fewer decimals"
        )
    return reasons
