"""What a script has of one profile."""

from __future__ import annotations

from dataclasses import dataclass

from ecoload.export.k6.thresholds import Thresholds, thresholds
from ecoload.plan import Load, Plan, Scenario


@dataclass(frozen=True, slots=True)
class Part:
    """A profile of a script: its plan, and the loads (indices of the plan's) that the script makes."""

    plan: Plan
    indices: tuple[int, ...]

    @property
    def loads(self) -> tuple[Load, ...]:
        return tuple(self.plan.loads[index] for index in self.indices)

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        return tuple(dict.fromkeys(self.plan.scenarios[load.scenario] for load in self.loads))

    @property
    def judged(self) -> Thresholds:
        return thresholds(self.plan, self.loads)
