"""What a script is made of: the loads of each of its profiles, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ecoload.export.k6.guard import Address, addresses
from ecoload.export.k6.steps import secret_variable
from ecoload.export.k6.thresholds import Thresholds, thresholds
from ecoload.guard.reach import steps
from ecoload.plan import ClientCredentials, Load, Plan, Scenario, Step, to_tree
from ecoload.spec.planning import secret_names
from ecoload.spec.workspace import Workspace


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
    def elsewhere(self) -> list[str]:
        """The scripts of the plan's other loads; those that have none are left out."""
        others = (load for index, load in enumerate(self.plan.loads) if index not in self.indices)
        names = (self.plan.scenarios[load.scenario].k6 for load in others)
        return _each(script_name(name, self.plan.profile) for name in names if name is not None)

    @property
    def judged(self) -> Thresholds:
        return thresholds(self.plan, self.loads)


@dataclass(frozen=True, slots=True)
class Script:
    """A script in a file of that name: its parts by profile, and the files that it is made of."""

    name: str
    workspace: Workspace
    parts: Mapping[str, Part]
    sources: tuple[str, ...]

    @property
    def plan(self) -> Plan:
        """One of the plans, for what they have in common: the app, its addresses, secrets and token."""
        return next(iter(self.parts.values())).plan

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        return tuple(dict.fromkeys(s for part in self.parts.values() for s in part.scenarios))

    @property
    def steps(self) -> Iterator[Step]:
        """Every step, setup and teardown included."""
        for scenario in self.scenarios:
            yield from steps(scenario.setup + scenario.steps + scenario.teardown)

    @property
    def auth(self) -> ClientCredentials | None:
        """How its token is got; None where no request carries one."""
        bears = any(
            self.plan.routes[step.route].bearer
            and not any(n.lower() == "authorization" for n, _ in step.headers)
            for step in self.steps
        )
        return self.plan.auth if bears else None

    @property
    def places(self) -> list[Address]:
        """Where its requests go. Raises CannotExport."""
        tokens = {self.auth.origin} if self.auth is not None else set()
        return addresses(self.workspace, self.plan, {step.origin for step in self.steps} | tokens)

    @property
    def secrets(self) -> list[str]:
        """The variables of its secrets."""
        read = {name for scenario in self.scenarios for name in secret_names(to_tree(scenario))}
        read |= {self.auth.secret} if self.auth is not None else set()
        return _each(
            secret_variable(part.plan, name)
            for part in self.parts.values()
            for name, _ in part.plan.secrets
            if name in read
        )

    @property
    def env(self) -> list[str]:
        """The variables that `${env.NAME}` reads."""
        return _each(name for part in self.parts.values() for name, _ in part.plan.env)

    @property
    def proxy(self) -> tuple[str, str] | None:
        """The variable of the proxy that the targets file asks for, and what it says there."""
        written = self.workspace.targets.http.proxy
        home = next(origin for origin in self.plan.origins if origin.app == self.plan.app)
        return None if written is None or home.embedded else (f"{home.scheme.upper()}_PROXY", written)

    @property
    def needed(self) -> list[str]:
        """The variables that must be set."""
        addresses = [place.variable for place in self.places if not place.otherwise]
        return _each([*addresses, *self.secrets, *self.env, *([self.proxy[0]] if self.proxy else [])])

    @property
    def feeders(self) -> list[str]:
        return _each(scenario.feeder for scenario in self.scenarios if scenario.feeder is not None)

    @property
    def reads(self) -> list[str]:
        """The files of the workspace that it opens, the records excepted."""
        bodies = [step.body for step in self.steps if step.body is not None]
        used = {place.app for place in self.places}
        origins = [origin for origin in self.plan.origins if origin.app in used]
        sent = [name for body in bodies for name, _ in body.file_sha256]
        certificates = [(origin.client_cert, origin.client_key) for origin in origins]
        return _each([*sent, *(name for pair in certificates for name in pair if name is not None)])


def script_name(k6: str, profile: str) -> str:
    """The file that a scenario's `k6:` names under a profile."""
    return k6.replace("{profile}", profile)


def _each(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
