"""One k6 script: everything that its plans say, in the order in which one reads it.

Rules
-----
- A script holds the loads of one `k6:` name, under each profile that has some. Several profiles stand side
  by side, and `__ENV.PROFILE` picks one.
- What varies stands in constants; the functions below them are the same text in every script that has them.
- Everything that k6 cannot say is told at once (`CannotExport`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ecoload.export.k6 import executors, guard, standin, summary, tokens
from ecoload.export.k6.header import Head
from ecoload.export.k6.js import CannotExport, Literal, Raw, declaration, key, literal
from ecoload.export.k6.part import Part
from ecoload.guard.reach import steps
from ecoload.plan import Load, Plan, Scenario
from ecoload.spec.workspace import Workspace

STATISTICS = ("avg", "min", "med", "max", "p(90)", "p(95)", "p(99)", "count")


def script_of(workspace: Workspace, plans: Mapping[str, Plan], name: str) -> str:
    """A script of all the loads of plans, by profile, in a file of that name. Raises CannotExport."""
    parts = {profile: Part(plan, tuple(range(len(plan.loads)))) for profile, plan in plans.items()}
    return assembled(workspace, parts, name, ("targets.yaml",))


def assembled(workspace: Workspace, parts: Mapping[str, Part], name: str, sources: tuple[str, ...]) -> str:
    """The script of parts, by profile, made of these files. Raises CannotExport with every reason."""
    return _Assembly(workspace, parts, name, sources).text()


class _Assembly:
    """One script in the making."""

    def __init__(
        self, workspace: Workspace, parts: Mapping[str, Part], name: str, sources: tuple[str, ...]
    ) -> None:
        self.workspace, self.parts, self.name, self.sources = workspace, parts, name, sources
        self.plan = next(iter(parts.values())).plan
        self.scenarios = tuple(dict.fromkeys(s for part in parts.values() for s in part.scenarios))
        used = {step.origin for s in self.scenarios for step in steps(s.setup + s.steps + s.teardown)}
        used |= {self.plan.auth.origin} if self.plan.auth is not None else set()
        self.places = guard.addresses(workspace, self.plan, used)
        self.secrets = [guard.variable(self.plan, name) for name, _ in self.plan.secrets]
        self.env = [name for name, _ in self.plan.env]

    def text(self) -> str:
        body = [
            *self._constants(),
            *self._records(),
            *(self._profiles() if len(self.parts) > 1 else self._profile()),
            self._setup(),
            *self._functions(),
            summary.HANDLE_SUMMARY,
            *self._helpers(),
        ]
        head = Head(self.name, self.sources, self.parts, self.places, self.secrets, self.env)
        return "\n\n".join([head.text, self._imports(body), *body]) + "\n"

    # --- from top to bottom -----------------------------------------------------------------------

    def _imports(self, body: list[str]) -> str:
        return standin.IMPORTS

    def _constants(self) -> Iterator[str]:
        profiles = list(self.parts)
        chosen = f"__ENV.PROFILE || {literal(profiles[0])}" if len(profiles) > 1 else literal(profiles[0])
        lines = [
            declaration("SCRIPT", self.name),
            declaration("APP", self.plan.app),
            f"const PROFILE = {chosen};",
        ]
        yield "\n".join(lines)
        yield _SCALE
        yield executors.SCALED
        yield "\n".join(place.declaration for place in self.places)
        yield guard.constants(self.plan, self.places, [*self.secrets, *self.env])
        if self.plan.auth is not None:
            yield tokens.credentials(self.plan, self.plan.auth)

    def _records(self) -> Iterator[str]:
        for name in sorted({s.feeder for s in self.scenarios if s.feeder is not None}):
            yield _RECORDS.replace("$NAME", literal(name)).replace("$CONSTANT", name)

    def _profile(self) -> Iterator[str]:
        (part,) = self.parts.values()
        yield _ONLY
        yield "\n".join(
            [
                declaration("SPEC_HASH", part.plan.spec_hash),
                declaration("REASONS", self._reasons(part)),
                declaration("PACING", self._pacing()),
                declaration("SCENARIOS", self._scenarios(part)),
            ]
        )
        yield self._options(dict(part.judged.items))

    def _profiles(self) -> Iterator[str]:
        judged = {profile: dict(part.judged.items) for profile, part in self.parts.items()}
        common = max(judged.values(), key=list(judged.values()).count)
        yield declaration("LEVELS", common)
        rows = []
        for profile, part in self.parts.items():
            levels: Literal = Raw("LEVELS") if judged[profile] == common else judged[profile]
            rows.append(f"  {key(profile)}: {{\n")
            rows.append(_property("specHash", part.plan.spec_hash))
            rows.append(_property("reasons", self._reasons(part)))
            rows.append(f"    scenarios: () => ({literal(self._scenarios(part), indent=4)}),\n")
            rows.append(_property("thresholds", levels))
            rows.append("  },\n")
        yield "const PROFILES = {\n" + "".join(rows) + "};"
        yield _CHOSEN
        yield "\n".join(
            [
                "const SPEC_HASH = PROFILES[PROFILE].specHash;",
                "const REASONS = PROFILES[PROFILE].reasons;",
                "const SCENARIOS = PROFILES[PROFILE].scenarios();",
                declaration("PACING", self._pacing()),
            ]
        )
        yield self._options(Raw("PROFILES[PROFILE].thresholds"))

    def _options(self, judged: Literal) -> str:
        options: dict[str, Literal] = {
            "userAgent": self.plan.http.user_agent or f"ecoload/{self.plan.tool_version}",
            "scenarios": Raw("SCENARIOS"),
            "thresholds": judged,
            "summaryTrendStats": [*STATISTICS],
        }
        return f"export {declaration('options', options)}"

    def _setup(self) -> str:
        lines = [
            "const begun = Date.now();",
            "guard();",
            "const run = { id: __ENV.ECOLOAD_RUN_ID || newRunId() };",
        ]
        if self.plan.auth is not None:
            lines.append("run.token = fetchToken(run.id);")
        lines.append("run.started = new Date().toISOString();")
        lines.append("run.setupMs = Date.now() - begun;")
        return "\n".join(
            ["export function setup() {", *(f"  {line}" for line in [*lines, "return run;"]), "}"]
        )

    def _functions(self) -> Iterator[str]:
        run = "{ ...run, token: bearer(run) }" if self.plan.auth is not None else "run"
        for scenario in self.scenarios:
            name = _camel(scenario.name)
            yield f"export function run{name}(run) {{\n  paced(() => iterate{name}({run}));\n}}"
            yield standin.iteration(self.plan, scenario, f"iterate{name}")

    def _helpers(self) -> Iterator[str]:
        yield guard.BASE_URL
        yield standin.PACED
        yield guard.GUARD
        yield _NEW_RUN_ID
        if self.plan.auth is not None:
            yield tokens.FETCH_TOKEN
            yield tokens.BEARER

    # --- pieces -----------------------------------------------------------------------------------

    def _scenarios(self, part: Part) -> dict[str, Literal]:
        return {
            part.plan.loads[index].name: executors.scenario_options(
                part.plan, index, f"run{_camel(part.plan.scenarios[part.plan.loads[index].scenario].name)}"
            )
            for index in part.indices
        }

    def _reasons(self, part: Part) -> list[Literal]:
        return [*guard.reasons(self.workspace, part.plan, part.loads)]

    def _pacing(self) -> dict[str, Literal]:
        return {
            load.name: load.pacing_ns / 1e9
            for part in self.parts.values()
            for load in part.loads
            if load.pacing_ns
        }


def _property(name: str, value: Literal) -> str:
    """A property of an object at the second level."""
    return literal({name: value}, indent=2).split("\n", 1)[1].rpartition("\n")[0] + "\n"


def _camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split("[-_]", name))


_SCALE = """\
const SCALE = Number(__ENV.DURATION_SCALE || 1);
if (!(SCALE > 0 && SCALE < Infinity)) {
  throw new Error(
    `DURATION_SCALE: expected a number above 0, got ${__ENV.DURATION_SCALE}`,
  );
}"""

_ONLY = """\
if (__ENV.PROFILE && __ENV.PROFILE !== PROFILE) {
  throw new Error(`PROFILE: this script has ${PROFILE}, not ${__ENV.PROFILE}`);
}"""

_CHOSEN = """\
if (!Object.keys(PROFILES).includes(PROFILE)) {
  const names = Object.keys(PROFILES).join(", ");
  throw new Error(`PROFILE: expected one of ${names}, got ${PROFILE}`);
}"""

_RECORDS = """\
const $CONSTANT = new SharedArray($NAME, () =>
  open(__ENV.ECOLOAD_DATA || "../config/data.jsonl")
    .split("\\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line))
    .filter(({ feeder = $NAME }) => feeder === $NAME),
);"""

_NEW_RUN_ID = """\
// A name for the run, as ecoload gives them.
function newRunId() {
  const at = new Date().toISOString().slice(0, 19).replace(/[-:]/g, "");
  const chance = Math.floor(65536 * Math.random());
  return `${at}-${APP}-${PROFILE}-${chance.toString(16).padStart(4, "0")}`;
}"""
