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
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ecoload.export.k6 import executors, guard, summary, tokens
from ecoload.export.k6.header import header
from ecoload.export.k6.helpers import HELPERS, Helper, closure, import_lines
from ecoload.export.k6.js import CannotExport, Code, Literal, Raw, called, declaration, key, literal
from ecoload.export.k6.options import options
from ecoload.export.k6.pacing import PACED, pacing_of
from ecoload.export.k6.parts import Part, Script
from ecoload.export.k6.refusals import refusals
from ecoload.export.k6.steps import check_records, iteration, records_name, setup_steps, teardown_steps
from ecoload.plan import Plan, Scenario


def text_of(script: Script) -> str:
    """The text of a script. Raises CannotExport with every reason."""
    return _Assembly(script).text()


class _Assembly:
    """One text in the making; `problems` are why there can be none."""

    def __init__(self, script: Script) -> None:
        self.script, self.parts, self.plan = script, script.parts, script.plan
        self.places = script.places
        self.functions = _functions(script.scenarios)
        self.needs = {"baseUrl", "guard", "newRunId"}
        self.problems: list[str] = []

    def text(self) -> str:
        for profile, part in self.parts.items():
            self.problems += [f"{profile}: {reason}" for reason in refusals(part)]
        body = [
            *self._constants(),
            *self._records(),
            *(self._profiles() if len(self.parts) > 1 else self._profile()),
            self._setup(),
            *self._iterations(),
            *self._teardown(),
            summary.HANDLE_SUMMARY,
        ]
        if self.problems:
            raise CannotExport("\n".join(dict.fromkeys(self.problems)))
        helpers, imports = closure(self.needs, OWN | HELPERS)
        head = [header(self.script), "\n".join(import_lines(imports))]
        return "\n\n".join([*head, *body, *helpers]) + "\n"

    # --- from top to bottom -----------------------------------------------------------------------

    def _constants(self) -> Iterator[str]:
        profiles = list(self.parts)
        chosen = f"__ENV.PROFILE || {literal(profiles[0])}" if len(profiles) > 1 else literal(profiles[0])
        lines = [
            declaration("SCRIPT", self.script.name),
            declaration("APP", self.plan.app),
            f"const PROFILE = {chosen};",
        ]
        yield "\n".join(lines)
        yield _SCALE
        yield executors.SCALED
        yield "\n".join(place.declaration for place in self.places)
        yield guard.constants(self.plan, self.places, self.script.needed)
        if self.script.auth is not None:
            yield tokens.credentials(self.plan, self.script.auth)

    def _records(self) -> Iterator[str]:
        if self.script.feeders:
            self.needs.add("records")
            yield "\n".join(called(records_name(name), "records", name) for name in self.script.feeders)

    def _profile(self) -> Iterator[str]:
        (part,) = self.parts.values()
        yield _ONLY
        yield "\n".join(
            [
                declaration("SPEC_HASH", part.plan.spec_hash),
                _REASONS,
                declaration("REASONS", self._reasons(part)),
                *self._pacing(),
                declaration("SCENARIOS", self._scenarios(part)),
            ]
        )
        yield declaration("THRESHOLDS", dict(part.judged.items))
        yield self._options()

    def _profiles(self) -> Iterator[str]:
        judged = {profile: dict(part.judged.items) for profile, part in self.parts.items()}
        every = list(judged.values())
        common = max(every, key=every.count)
        if every.count(common) > 1:
            yield f"// What most profiles must reach.\n{declaration('LEVELS', common)}"
        else:
            common = {}
        rows = []
        for profile, part in self.parts.items():
            rows.append(f"  {key(profile)}: {{\n")
            rows.append(_property("specHash", part.plan.spec_hash))
            rows.append(_property("reasons", self._reasons(part)))
            rows.append(f"    scenarios: () => ({literal(self._scenarios(part), indent=4)}),\n")
            rows.append(f"    thresholds: {_over(common, judged[profile])},\n")
            rows.append("  },\n")
        yield "const PROFILES = {\n" + "".join(rows) + "};"
        yield _CHOSEN
        yield "\n".join(
            [
                "const SPEC_HASH = PROFILES[PROFILE].specHash;",
                _REASONS,
                "const REASONS = PROFILES[PROFILE].reasons;",
                "const SCENARIOS = PROFILES[PROFILE].scenarios();",
                "const THRESHOLDS = PROFILES[PROFILE].thresholds;",
                *self._pacing(),
            ]
        )
        yield self._options()

    def _options(self) -> str:
        whole = options(self.script, Raw("SCENARIOS"), Raw("THRESHOLDS"))
        return f"export {declaration('options', whole)}"

    def _setup(self) -> str:
        lines = [
            "  const begun = Date.now();",
            "  guard();",
            "  const run = { id: __ENV.ECOLOAD_RUN_ID || newRunId() };",
        ]
        if self.script.auth is not None:
            lines.append("  run.token = fetchToken(run.id);")
            self.needs.add("fetchToken")
        if once := self._once(setup_steps):
            lines += ["", *once, ""]
        lines += [
            "  run.started = new Date().toISOString();",
            "  run.setupMs = Date.now() - begun;",
            "  return run;",
        ]
        return "\n".join(["export function setup() {", *lines, "}"])

    def _teardown(self) -> Iterator[str]:
        if lines := self._once(teardown_steps):
            yield "\n".join(["export function teardown(run) {", *lines, "}"])

    def _once(self, part: Callable[[Plan, Scenario], Code]) -> list[str]:
        """The statements of each scenario's setup or teardown."""
        found = (self._code(part, self._plan_of(scenario), scenario) for scenario in self.script.scenarios)
        return [text for text in found if text]

    def _iterations(self) -> Iterator[str]:
        for scenario in self.script.scenarios:
            name, plan = self.functions[scenario.name], self._plan_of(scenario)
            call = f"iterate{name}(run)"
            if scenario.name in self._paced:
                call = f"paced(() => {call})"
                self.needs.add("paced")
            yield f"export function run{name}(run) {{\n  {call};\n}}"
            yield self._code(iteration, plan, scenario, f"iterate{name}")
            data = self.script.workspace.data
            if scenario.feeder is not None and data is not None:
                self._code(check_records, plan, scenario, data.of(scenario.feeder))

    def _code(self, write: Callable[..., Code | None], *arguments: Any) -> str:
        """What `write` writes, its needs noted; nothing where it cannot."""
        try:
            code = write(*arguments)
        except CannotExport as error:
            self.problems += str(error).splitlines()
            return ""
        if code is None:
            return ""
        self.needs |= code.needs
        return code.text

    # --- pieces -----------------------------------------------------------------------------------

    def _scenarios(self, part: Part) -> dict[str, Literal]:
        found: dict[str, Literal] = {}
        for index in part.indices:
            load = part.plan.loads[index]
            function = f"run{self.functions[part.plan.scenarios[load.scenario].name]}"
            try:
                found[load.name] = executors.scenario_options(part.plan, index, function)
            except CannotExport as error:
                self.problems += [f"{part.plan.profile}: {line}" for line in str(error).splitlines()]
        return found

    def _plan_of(self, scenario: Scenario) -> Plan:
        """A plan that the scenario is part of."""
        return next(part.plan for part in self.parts.values() if scenario in part.scenarios)

    @property
    def _paced(self) -> set[str]:
        """The scenarios that some load paces."""
        return {
            part.plan.scenarios[load.scenario].name
            for part in self.parts.values()
            for load in part.loads
            if load.pacing_ns
        }

    def _reasons(self, part: Part) -> list[Literal]:
        return [*guard.reasons(self.script.workspace, part.plan, part.loads)]

    def _pacing(self) -> list[str]:
        """Seconds by load, where some load is paced."""
        found: dict[str, Literal] = {
            load.name: pacing
            for part in self.parts.values()
            for load in part.loads
            if (pacing := pacing_of(part.plan).get(load.name)) is not None
        }
        return [_PACING, declaration("PACING", found)] if found else []


def _property(name: str, value: Literal) -> str:
    """A property of an object at the second level."""
    return literal({name: value}, indent=2).split("\n", 1)[1].rpartition("\n")[0] + "\n"


def _over(common: Mapping[str, Literal], judged: Mapping[str, Literal]) -> str:
    """Thresholds at the second level of an object, by `LEVELS` as far as they are the common ones."""
    more = {metric: expressions for metric, expressions in judged.items() if metric not in common}
    if not common or {**common, **more} != judged:
        return literal(judged, indent=4)
    rest = literal(more, indent=4)
    return rest.replace("{", "{\n      ...LEVELS,", 1) if more else "LEVELS"


def _functions(scenarios: Iterable[Scenario]) -> dict[str, str]:
    """What the functions of each scenario are called, behind `run` and `iterate`: A8Filters."""
    found: dict[str, str] = {}
    for scenario in scenarios:
        name = "".join(word[:1].upper() + word[1:] for word in re.split("[-_]", scenario.name))
        while name in found.values():
            name += "2"
        found[scenario.name] = name
    return found


_REASONS = "// Why ecoload would ask for an approval, the number of VUs aside."
_PACING = "// Seconds from one start of an iteration to the next of a VU."

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
// The records of a feeder; one that names none is everybody's.
function records(name) {
  return new SharedArray(name, () =>
    open(__ENV.ECOLOAD_DATA || "../config/data.jsonl")
      .split("\\n")
      .filter((line) => line.trim() !== "")
      .map((line) => JSON.parse(line))
      .filter(({ feeder = name }) => feeder === name),
  );
}"""

_NEW_RUN_ID = """\
// A name for the run, as ecoload gives them.
function newRunId() {
  const at = new Date().toISOString().slice(0, 19).replace(/[-:]/g, "");
  const chance = Math.floor(65536 * Math.random());
  return `${at}-${APP}-${PROFILE}-${chance.toString(16).padStart(4, "0")}`;
}"""

OWN = {
    "paced": Helper(PACED.text, tuple(PACED.needs)),
    "bearer": Helper(tokens.BEARER, ("fetchToken",)),
    "fetchToken": Helper(tokens.FETCH_TOKEN, ("encoding", "http", "json")),
    "guard": Helper(guard.GUARD, ("exec",)),
    "baseUrl": Helper(guard.BASE_URL),
    "newRunId": Helper(_NEW_RUN_ID),
    "records": Helper(_RECORDS, ("SharedArray",)),
}
"""The functions of a script that are about a whole run."""
