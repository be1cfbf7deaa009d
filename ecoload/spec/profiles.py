"""Profiles: how fast and for how long, as people write it, and as executors of a plan.

Rules
-----
- Five executors of our own (`constant ramp spike soak burst`) and k6's six by k6's names, options
  and defaults. `executor` decides which keys there are.
- A profile is one load, or `loads:`, a list of them side by side.
- An app may narrow a profile: its keys replace the profile's, and the whole is checked again. Where one
  is a single load and the other `loads:`, only what stands beside loads (`BESIDE_LOADS`) is kept of it.
- `duration_scale` scales durations, stages, grace times, `start_time` and `warm_up`; never pacing,
  think time or timeouts. A profile with a `fault:` is not scaled: how long a breaker takes is not either.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from ecoload.errors import UsageError
from ecoload.plan import (
    Arrivals,
    Condition,
    ConstantArrivalRate,
    ConstantVUs,
    Executor,
    OnExhausted,
    PerVUIterations,
    RampingArrivalRate,
    RampingVUs,
    ServiceLevel,
    SharedIterations,
    Stage,
)
from ecoload.spec.conditions import parse_condition, parse_share
from ecoload.spec.shape import Count, Duration, Model, Name, PositiveDuration, VUs
from ecoload.spec.units import MAX_DURATION_NS

GRACE_NS = 30_000_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS

ConditionText = Annotated[
    Condition,
    BeforeValidator(parse_condition),
    WithJsonSchema(
        {"type": "string", "examples": ["p95 < 300ms", "ingest: error_rate > 1% for 10s after 5s"]}
    ),
]
Decides = Annotated[
    list[
        Literal[
            "p50_ms", "p90_ms", "p95_ms", "p99_ms", "error_rate", "timeouts", "failed_checks", "p95_drift"
        ]
    ],
    Field(min_length=1, default_factory=list),
]
Conditions = Annotated[list[ConditionText], Field(default_factory=list)]
Milliseconds = Annotated[float, Field(gt=0)]
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": "^[0-9.]+ ?%$"},
            ]
        }
    ),
]
PositiveRate = Annotated[float, Field(gt=0, le=10_000_000)]
RateOrZero = Annotated[float, Field(ge=0, le=10_000_000)]
_Uniform = Literal["uniform", "poisson"]
_Exhausted = Literal["queue", "drop"]


class Slo(Model):
    """Service levels; a level that is null is not judged."""

    p50_ms: Milliseconds | None = None
    p90_ms: Milliseconds | None = None
    p95_ms: Milliseconds | None = None
    p99_ms: Milliseconds | None = None
    p95_stretch_ms: Milliseconds | None = None
    error_rate: Share | None = None
    timeouts: Count | None = None
    """At most so many requests without an answer in time."""
    failed_checks: Count | None = None
    """At most so many answers that fail a check or lack what is to be captured."""
    p95_drift: Share | None = None
    """How far the P95 of the last third may be from the first third's."""

    def over(self, level: ServiceLevel) -> ServiceLevel:
        """`level` with what stands here put over it."""
        fields = {name: getattr(level, name) for name in type(self).model_fields}
        return ServiceLevel(**fields | {name: getattr(self, name) for name in self.model_fields_set})


class FaultSpan(Model):
    """When the fault that an app declares (`resiliency:`) is injected into it."""

    at: Duration
    """from when on, counted from the load's beginning"""
    for_: Annotated[PositiveDuration, Field(alias="for")]
    """how long"""


class Common(Model):
    """What every profile may say."""

    scenario: Name | None = None
    """The scenario to run; the app's first one where not stated."""
    start_time: Duration = 0
    graceful_stop: Duration = GRACE_NS
    warm_up: Duration = 0
    """Kept out of the figures."""
    thresholds: Conditions
    """Must hold over the whole run."""
    fail_when: Conditions
    abort_when: Conditions
    slo: Slo | None = None
    decides: Decides
    """The service levels that decide; the others are shown only. All decide where not stated."""
    fault: FaultSpan | None = None
    """Inject the fault that the app declares; such a profile is never scaled."""


class Closed(Common):
    pacing: Duration = 0
    """The least time from one start of an iteration to the next of the same VU."""


class Open(Common):
    time_unit: PositiveDuration = SECOND_NS
    arrivals: _Uniform = "uniform"
    on_exhausted: _Exhausted = "drop"

    def _open(self) -> dict[str, Any]:
        return {
            "time_unit_ns": self.time_unit,
            "arrivals": Arrivals(self.arrivals),
            "on_exhausted": OnExhausted(self.on_exhausted),
        }


class Constant(Closed):
    """`vus` VUs for `duration`; `soak` asks for the drift verdict too."""

    executor: Literal["constant", "soak"]
    vus: VUs
    duration: PositiveDuration

    def value(self, scale: float) -> Executor:
        return ConstantVUs(self.vus, scaled(self.duration, scale))


class Ramp(Closed):
    """A straight line of VUs."""

    executor: Literal["ramp"]
    from_: Annotated[Count, Field(alias="from")]
    to: Count
    duration: PositiveDuration
    graceful_ramp_down: Duration = GRACE_NS

    def value(self, scale: float) -> Executor:
        stages = (Stage(scaled(self.duration, scale), float(self.to)),)
        return RampingVUs(self.from_, stages, scaled(self.graceful_ramp_down, scale))


class Spike(Closed):
    """Five stages: at `base`, up, at `peak`, down, at `base`."""

    executor: Literal["spike"]
    base: Count
    peak: VUs
    stages: list[Duration]
    """Five durations: at base, up, at peak, down, at base."""
    graceful_ramp_down: Duration = GRACE_NS

    @model_validator(mode="after")
    def _five(self) -> Self:
        if len(self.stages) != 5:
            raise ValueError(
                f"stages: expected five durations (at base, up, at peak, down, base), got {len(self.stages)}"
            )
        if self.peak <= self.base:
            raise ValueError(f"peak: expected more than base, which is {self.base}, got {self.peak}")
        return self

    def value(self, scale: float) -> Executor:
        targets = (self.base, self.peak, self.peak, self.base, self.base)
        stages = tuple(Stage(scaled(d, scale), float(t)) for d, t in zip(self.stages, targets, strict=True))
        return RampingVUs(self.base, stages, scaled(self.graceful_ramp_down, scale))


class Burst(Open):
    """`rate` starts a second, whatever the target does; a start that finds no VU waits."""

    executor: Literal["burst"]
    rate: PositiveRate
    duration: PositiveDuration
    max_vus: VUs
    on_exhausted: _Exhausted = "queue"

    def value(self, scale: float) -> Executor:
        duration = scaled(self.duration, scale)
        return ConstantArrivalRate(self.rate, duration, self.max_vus, self.max_vus, **self._open())


class VUStage(Model):
    duration: Duration
    target: Count


class RateStage(Model):
    duration: Duration
    target: RateOrZero


class K6ConstantVUs(Closed):
    executor: Literal["constant-vus"]
    vus: VUs = 1
    duration: PositiveDuration

    def value(self, scale: float) -> Executor:
        return ConstantVUs(self.vus, scaled(self.duration, scale))


class K6RampingVUs(Closed):
    executor: Literal["ramping-vus"]
    start_vus: Count = 1
    stages: Annotated[list[VUStage], Field(min_length=1)]
    graceful_ramp_down: Duration = GRACE_NS

    def value(self, scale: float) -> Executor:
        stages = tuple(Stage(scaled(s.duration, scale), float(s.target)) for s in self.stages)
        return RampingVUs(self.start_vus, stages, scaled(self.graceful_ramp_down, scale))


class K6Iterations(Closed):
    executor: Literal["shared-iterations", "per-vu-iterations"]
    vus: VUs = 1
    iterations: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    max_duration: PositiveDuration = 10 * MINUTE_NS

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.executor == "shared-iterations" and self.iterations < self.vus:
            raise ValueError(
                f"iterations: expected at least as many as vus ({self.vus}), got {self.iterations}"
            )
        return self

    def value(self, scale: float) -> Executor:
        kind = SharedIterations if self.executor == "shared-iterations" else PerVUIterations
        return kind(self.vus, self.iterations, scaled(self.max_duration, scale))


class _Allocated(Open):
    pre_allocated_vus: VUs
    max_vus: VUs | None = None
    """As many as are pre-allocated, where not stated."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_vus is not None and self.max_vus < self.pre_allocated_vus:
            raise ValueError(
                f"max_vus: expected at least pre_allocated_vus ({self.pre_allocated_vus}), got {self.max_vus}"
            )
        return self

    def _vus(self) -> tuple[int, int]:
        return self.pre_allocated_vus, self.max_vus or self.pre_allocated_vus


class K6ConstantArrivalRate(_Allocated):
    executor: Literal["constant-arrival-rate"]
    rate: PositiveRate
    duration: PositiveDuration

    def value(self, scale: float) -> Executor:
        return ConstantArrivalRate(self.rate, scaled(self.duration, scale), *self._vus(), **self._open())


class K6RampingArrivalRate(_Allocated):
    executor: Literal["ramping-arrival-rate"]
    start_rate: RateOrZero = 0.0
    stages: Annotated[list[RateStage], Field(min_length=1)]

    def value(self, scale: float) -> Executor:
        stages = tuple(Stage(scaled(s.duration, scale), s.target) for s in self.stages)
        return RampingArrivalRate(self.start_rate, stages, *self._vus(), **self._open())


_BY_NAME: dict[str, type[Model]] = {
    "constant": Constant,
    "ramp": Ramp,
    "spike": Spike,
    "soak": Constant,
    "burst": Burst,
    "constant-vus": K6ConstantVUs,
    "ramping-vus": K6RampingVUs,
    "shared-iterations": K6Iterations,
    "per-vu-iterations": K6Iterations,
    "constant-arrival-rate": K6ConstantArrivalRate,
    "ramping-arrival-rate": K6RampingArrivalRate,
}
EXECUTORS = tuple(_BY_NAME)


def _tag(value: Any) -> str:
    """Which model a profile is; a `<tag>` is not part of the way to a value."""
    if isinstance(value, dict) and "loads" in value:
        return "<loads>"
    name = value.get("executor") if isinstance(value, dict) else getattr(value, "executor", None)
    model = _BY_NAME.get(name) if isinstance(name, str) else None
    return f"<{model.__name__}>" if model else "<unknown>"


class UnknownExecutor(Model):
    """What is left where `executor` names none: says so."""

    executor: Literal[
        "constant", "ramp", "spike", "soak", "burst", "constant-vus", "ramping-vus", "shared-iterations",
        "per-vu-iterations", "constant-arrival-rate", "ramping-arrival-rate",
    ]  # fmt: skip
    """one of constant, ramp, spike, soak, burst, or k6's six"""
    model_config = ConfigDict(extra="ignore")


_Known = (
    Annotated[Constant, Tag("<Constant>")]
    | Annotated[Ramp, Tag("<Ramp>")]
    | Annotated[Spike, Tag("<Spike>")]
    | Annotated[Burst, Tag("<Burst>")]
    | Annotated[K6ConstantVUs, Tag("<K6ConstantVUs>")]
    | Annotated[K6RampingVUs, Tag("<K6RampingVUs>")]
    | Annotated[K6Iterations, Tag("<K6Iterations>")]
    | Annotated[K6ConstantArrivalRate, Tag("<K6ConstantArrivalRate>")]
    | Annotated[K6RampingArrivalRate, Tag("<K6RampingArrivalRate>")]
)
LoadEntry = (
    Constant
    | Ramp
    | Spike
    | Burst
    | K6ConstantVUs
    | K6RampingVUs
    | K6Iterations
    | K6ConstantArrivalRate
    | K6RampingArrivalRate
)


BESIDE_LOADS = frozenset({"warm_up", "thresholds", "fail_when", "abort_when", "slo", "decides", "fault"})
"""Keys of the profile as a whole, in either form."""


class Loads(Model):
    """Several loads side by side."""

    loads: Annotated[
        list[Annotated[_Known | Annotated[UnknownExecutor, Tag("<unknown>")], Discriminator(_tag)]],
        Field(min_length=1),
    ]
    warm_up: Duration = 0
    thresholds: Conditions
    fail_when: Conditions
    abort_when: Conditions
    slo: Slo | None = None
    decides: Decides
    """As in a profile of a single load."""
    fault: FaultSpan | None = None
    """As in a profile of a single load."""

    @model_validator(mode="after")
    def _own_keys(self) -> Self:
        for index, load in enumerate(self.loads):
            if misplaced := sorted(BESIDE_LOADS & load.model_fields_set):
                raise ValueError(
                    f"loads[{index}]: {', '.join(misplaced)} belong to the profile, beside loads:"
                )
        return self


Profile = Annotated[
    _Known | Annotated[Loads, Tag("<loads>")] | Annotated[UnknownExecutor, Tag("<unknown>")],
    Discriminator(_tag),
]
PROFILE: TypeAdapter[Any] = TypeAdapter(Profile)


def entries(profile: Any) -> list[LoadEntry]:
    """The loads of a profile."""
    return [*profile.loads] if isinstance(profile, Loads) else [profile]  # type: ignore[list-item]


def scaled(ns: int, scale: float) -> int:
    """A duration scaled; what lasts stays at least a nanosecond. Raises UsageError for too long a one."""
    if ns * scale > MAX_DURATION_NS:
        raise UsageError(f"the duration scale {scale:g} makes more than 366d of a duration")
    return max(1, round(ns * scale)) if ns else 0
