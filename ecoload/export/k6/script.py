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
from ecoload.export.k6.header import header
from ecoload.export.k6.js import CannotExport, Literal, Raw, declaration, key, literal, string
from ecoload.export.k6.pacing import PACED, pacing_of
from ecoload.export.k6.parts import Part, Script
from ecoload.export.k6.refusals import refusals
from ecoload.guard.reach import steps
from ecoload.plan import Plan
from ecoload.spec.units import format_duration
from ecoload.spec.workspace import Workspace

MINUTE_NS = 60_000_000_000
TOKEN_TIMEOUT_NS = 30_000_000_000
STATISTICS = ("avg", "min", "med", "max", "p(90)", "p(95)", "p(99)", "count")


def script_of(workspace: Workspace, plans: Mapping[str, Plan], name: str) -> str:
    """A script of all the loads of plans, by profile, in a file of that name. Raises CannotExport."""
    parts = {profile: Part(plan, tuple(range(len(plan.loads)))) for profile, plan in plans.items()}
    return text_of(Script(name, workspace, parts, ("targets.yaml",)))


def text_of(script: Script) -> str:
    """The text of a script. Raises CannotExport with every reason."""
    return _Assembly(script).text()


class _Assembly:
    """One text in the making; `problems` are why there can be none."""

    def __init__(self, script: Script) -> None:
        self.script, self.parts, self.plan = script, script.parts, script.plan
        self.places = script.places
        self.problems: list[str] = []

    def text(self) -> str:
        for profile, part in self.parts.items():
            self.problems += [f"{profile}: {reason}" for reason in refusals(part)]
        body = [
            *self._constants(),
            *self._records(),
            *(self._profiles() if len(self.parts) > 1 else self._profile()),
            self._setup(),
            *self._functions(),
            summary.HANDLE_SUMMARY,
            *self._helpers(),
        ]
        if self.problems:
            raise CannotExport("\n".join(dict.fromkeys(self.problems)))
        return "\n\n".join([header(self.script), self._imports(body), *body]) + "\n"

    # --- from top to bottom -----------------------------------------------------------------------

    def _imports(self, body: list[str]) -> str:
        return standin.IMPORTS

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
        if self.plan.auth is not None:
            yield tokens.credentials(self.plan, self.plan.auth)

    def _records(self) -> Iterator[str]:
        for name in self.script.feeders:
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
            **_network(self.script),
            **_timeouts(self.script),
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
        for scenario in self.script.scenarios:
            name = _camel(scenario.name)
            yield f"export function run{name}(run) {{\n  paced(() => iterate{name}({run}));\n}}"
            yield standin.iteration(self.plan, scenario, f"iterate{name}")

    def _helpers(self) -> Iterator[str]:
        yield guard.BASE_URL
        yield standin.ERRORS
        if self._pacing():
            yield PACED.text
        yield guard.GUARD
        yield _NEW_RUN_ID
        if self.plan.auth is not None:
            yield tokens.FETCH_TOKEN
            yield tokens.BEARER

    # --- pieces -----------------------------------------------------------------------------------

    def _scenarios(self, part: Part) -> dict[str, Literal]:
        found: dict[str, Literal] = {}
        for index in part.indices:
            load = part.plan.loads[index]
            function = f"run{_camel(part.plan.scenarios[load.scenario].name)}"
            try:
                found[load.name] = executors.scenario_options(part.plan, index, function)
            except CannotExport as error:
                self.problems += [f"{part.plan.profile}: {line}" for line in str(error).splitlines()]
        return found

    def _reasons(self, part: Part) -> list[Literal]:
        return [*guard.reasons(self.script.workspace, part.plan, part.loads)]

    def _pacing(self) -> dict[str, Literal]:
        """Seconds by load, of those loads that are paced."""
        return {
            load.name: pacing
            for part in self.parts.values()
            for load in part.loads
            if (pacing := pacing_of(part.plan).get(load.name)) is not None
        }


def _network(script: Script) -> dict[str, Literal]:
    """Addresses to dial in place of what a name resolves to, and certificates."""
    options: dict[str, Literal] = {}
    origins = {origin.app: origin for origin in script.plan.origins}
    dialled: dict[str, Literal] = {}
    certificates: list[Literal] = []
    for place in script.places:
        there = origins[place.app]
        if there.resolve:
            dialled |= dict.fromkeys((host for host in place.hosts), there.resolve[0])
        if there.client_cert is not None and there.client_key is not None:
            certificate, private_key = opened(there.client_cert), opened(there.client_key)
            certificates.append({"domains": [*place.hosts], "cert": certificate, "key": private_key})
    if dialled:
        options["hosts"] = dialled
    if certificates:
        options["tlsAuth"] = certificates
    return options


def opened(file: str) -> Raw:
    """A file of the workspace, by a path from the folder of the scripts."""
    place = file if file.startswith("/") else f"../../../{file}"
    return Raw(f"open({string(place)})")


def _timeouts(script: Script) -> dict[str, Literal]:
    """How long setup() and teardown() may take, where that is more than the minute that k6 gives them."""
    tokens_ns = TOKEN_TIMEOUT_NS if script.plan.auth is not None else 0
    options: dict[str, Literal] = {}
    for name, part in (("setupTimeout", "setup"), ("teardownTimeout", "teardown")):
        every = [step for scenario in script.scenarios for step in steps(getattr(scenario, part))]
        most = tokens_ns + sum(step.timeout_ns + (step.think.most_ns if step.think else 0) for step in every)
        if every and most > MINUTE_NS:
            options[name] = format_duration(most)
    return options


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
