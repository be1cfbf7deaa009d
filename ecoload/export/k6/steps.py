"""The steps of a scenario as statements of a k6 script.

Rules
-----
- One request is one call of `http` and one `passed` that judges the answer: a reader sees what is sent where.
- What k6 cannot send, judge or capture exactly is refused, each step by its place, all at once
  (`CannotExport`).
- A value that must not stand in a path or a header is looked at before; the step is then not sent, which is
  an error of its route, and the iteration ends, as in ecoload.
- No redirect is followed: nothing would look at where it leads. A step whose answer leads elsewhere fails.
- Setup and teardown stand in no route's figures; a step of theirs that does not succeed ends the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ecoload.export.k6 import layout
from ecoload.export.k6.bodies import body, form
from ecoload.export.k6.checks import Judged, judged
from ecoload.export.k6.helpers import HELPERS, MODULES
from ecoload.export.k6.js import WIDTH, CannotExport, Code, Raw
from ecoload.export.k6.layout import Binary, Call, Node, Not, Obj, Template
from ecoload.export.k6.values import Hole, Names, Said, as_known, same_numbers, same_text
from ecoload.guard.namespace import namespace_value
from ecoload.guard.reach import steps as all_steps
from ecoload.guard.text import query_value
from ecoload.measure.recorder import route_names
from ecoload.plan import Body, Choose, Part, Plan, Scenario, Step
from ecoload.spec.template import references

SETUP, TEARDOWN = "(setup)", "(teardown)"
"""The names that the requests of setup and teardown stand under; no route has such a one."""

_VERBS = {
    "GET": "get",
    "HEAD": "head",
    "POST": "post",
    "PUT": "put",
    "PATCH": "patch",
    "DELETE": "del",
    "OPTIONS": "options",
}
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/\[\]-]|%[0-9A-Fa-f]{2})*")
"""What Go sends of a path as it is written."""
_WIDE = 74
_RESERVED = frozenset(
    """
    answer arguments await body break case catch class const continue data debugger default delete do else
    enum eval export extends false finally for function if implements import in instanceof interface let new
    null package private protected public return run static super switch this throw true try typeof
    undefined var void while with yield Array Date Infinity JSON Math NaN Number Object Set String
    Uint8Array console crypto globalThis open options setup teardown __ENV __ITER __VU bearer codePoint
    errors failedChecks timeouts token utf8 FILES TIMEOUTS
    """.split()
) | {*HELPERS, *MODULES}  # fmt: skip
"""What no value of a scenario is called in a script: words of JavaScript, and what functions here lean on."""

_CONSTANTS = frozenset(
    "APP APPS APPROVAL_OVER_VUS FILES LEVELS LOOPBACK NEEDED OAUTH_ERRORS PACING PROFILE PROFILES REASONS "
    "SCALE SCENARIOS SCRIPT SPEC_HASH THRESHOLDS TIMEOUTS TOKEN".split()
)
"""The constants of scripts, which no app's can be."""
_FUNCTIONS = frozenset(
    "baseUrl fetchToken firstPace guard handleSummary hostOf leaving mostVUs newRunId pace paced routeOf "
    "scaled summaryOf table vusOverTime".split()
)
"""The functions of a whole script, which no feeder's records can be."""


def iteration(plan: Plan, scenario: Scenario, function_name: str) -> Code:
    """`function NAME(run) {…}`: one iteration. Raises CannotExport."""
    writer = _Writer(plan, scenario, "iteration")
    lines = writer.whole(scenario.steps)
    return writer.code([f"function {function_name}(run) {{", *lines, "}"])


def setup_steps(plan: Plan, scenario: Scenario) -> Code:
    """The statements of a setup, in a block of their own; they read `run`, and put what was captured into
    `run.setup_SCENARIO`. Empty where there is none. Raises CannotExport."""
    return _once(plan, scenario, scenario.setup, "setup")


def teardown_steps(plan: Plan, scenario: Scenario) -> Code:
    """The statements of a teardown, in a block of their own. Empty where there is none.
    Raises CannotExport."""
    return _once(plan, scenario, scenario.teardown, "teardown")


def check_records(plan: Plan, scenario: Scenario, records: Sequence[Mapping[str, Any]]) -> None:
    """Raises CannotExport where a record of the scenario's feeder holds what k6 would send otherwise: a
    number beyond 2^53, or in a text one that JavaScript spells otherwise (1.0)."""
    writer = _Writer(plan, scenario, "iteration")
    writer.whole(scenario.steps)
    problems = []
    for name in sorted(writer.fields):
        in_text = name in writer.names.read_as_text
        sound: Callable[[Any], bool] = same_text if in_text else same_numbers
        for number, record in enumerate(records, 1):
            if name in record and not (sound(record[name]) and same_numbers(record[name])):
                problems.append(
                    f"feeder {scenario.feeder}, record {number}: {name} is {record[name]!r}, which k6 would "
                    "send otherwise; write it in quotes, or as JavaScript spells it"
                )
                break
    if problems:
        raise CannotExport("\n".join(problems))


def records_name(feeder: str) -> str:
    """What the records of a feeder are called in a script."""
    name = feeder.replace("-", "_")
    return f"_{name}" if name[0].isdigit() or name in _RESERVED | _FUNCTIONS | _CONSTANTS else name


def base_url_name(app: str) -> str:
    """The constant of a script that holds an app's address: A2."""
    name = app.upper().replace("-", "_")
    return f"APP_{name}" if name[0].isdigit() or name in _CONSTANTS else name


def secret_variable(plan: Plan, secret: str) -> str:
    """The environment variable of a secret: that of its reference, or its own name for a file's."""
    kind, _, name = dict(plan.secrets)[secret].partition(":")
    return name if kind == "env" else secret


def _once(
    plan: Plan, scenario: Scenario, steps: tuple[Step | Choose, ...], part: Literal["setup", "teardown"]
) -> Code:
    if not steps:
        return Code("")
    writer = _Writer(plan, scenario, part)
    lines = writer.whole(steps)
    return writer.code(["  {", *lines, "  }"])


# --- A function -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Writer:
    """Writes one function. Problems are noted with their place, and raised together at the end."""

    plan: Plan
    scenario: Scenario
    part: Literal["iteration", "setup", "teardown"]
    names: Names = field(init=False)
    variables: dict[str, str] = field(default_factory=dict)
    """What the scenario's names are called in the script."""
    fields: set[str] = field(default_factory=set)
    """The fields of the records that are read."""
    _lines: list[str] = field(default_factory=list)
    _problems: list[str] = field(default_factory=list)
    _place: str = ""
    _number: int = 0
    _declared: set[str] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)
    _used: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        variables = {name: secret_variable(self.plan, name) for name, _ in self.plan.secrets}
        self.names = Names(self.plan, variables, self._refuse)
        self._taken = {*_RESERVED, *(base_url_name(origin.app) for origin in self.plan.origins)}
        if self.scenario.feeder is not None:
            self._taken.add(records_name(self.scenario.feeder))

    def code(self, lines: list[str]) -> Code:
        if self._problems:
            raise CannotExport("\n".join(dict.fromkeys(self._problems)))
        return Code("\n".join(lines), frozenset(self.names.needs))

    def whole(self, steps: tuple[Step | Choose, ...]) -> list[str]:
        """Every statement of the function."""
        self._place = f"scenario {self.scenario.name}"
        if self.scenario.module is not None:
            self._refuse(
                f"{self.scenario.module} is Python, which k6 does not run; write its steps in scenarios/"
                f"{self.scenario.name}.yaml, or leave it to ecoload"
            )
            return []
        self._look_over(steps)
        self._begin(steps)
        self._steps(steps, 2 if self.part == "iteration" else 4, True)
        self._end()
        while self._lines and not self._lines[0]:
            self._lines.pop(0)
        return self._lines

    @property
    def _own(self) -> tuple[Step | Choose, ...]:
        return {
            "iteration": self.scenario.steps,
            "setup": self.scenario.setup,
            "teardown": self.scenario.teardown,
        }[self.part]

    def _refuse(self, reason: str) -> None:
        self._problems.append(f"{self._place}: {reason}")

    def _write(self, text: str) -> None:
        self._lines += text.split("\n")

    # --- names ------------------------------------------------------------------------------------

    def _look_over(self, steps: tuple[Step | Choose, ...]) -> None:
        """What is used, and what is captured where: that decides what is declared, and how."""
        flat = list(all_steps(steps))
        refs = [ref for step in flat for value in _values(step) for ref in references(value)]
        used = {ref.name[0] for ref in refs if len(ref.name) == 1}
        lets = self.scenario.lets if self.part == "iteration" else ()
        for name, value in reversed(lets):
            if name in used:
                inner = list(references(value))
                refs += inner
                used |= {ref.name[0] for ref in inner if len(ref.name) == 1}
        self.fields = {ref.name[1] for ref in refs if ref.name[0] == "data"}
        captured = [capture.name for step in flat for capture in step.captures]
        if self.part == "setup":
            used |= set(captured)
        self._used = frozenset(used)
        for name in [*(name for name, _ in lets), *captured]:
            if name in used and name not in self.variables:
                self.variables[name] = self._variable(name)
        self._from_setup(captured, [name for name, _ in lets])

    def _from_setup(self, captured: list[str], lets: list[str]) -> None:
        """What setup captured is read from `run`."""
        if self.part == "setup":
            return
        for step in all_steps(self.scenario.setup):
            for capture in step.captures:
                if capture.name in (*captured, *lets):
                    self._refuse(
                        f"{capture.name} is captured in setup and made again in the iteration; rename one"
                    )
                where = Raw(f"run.{_setup_member(self.scenario)}.{capture.name}")
                self.names.local[capture.name] = _captured(capture.source, where)

    def _variable(self, name: str) -> str:
        """A name of its own: `key`, else `key2`, `key3` …"""
        unique, number = name, 2
        while unique in self._taken:
            unique, number = f"{name}{number}", number + 1
        self._taken.add(unique)
        return unique

    # --- the beginning and the end ----------------------------------------------------------------

    def _begin(self, steps: tuple[Step | Choose, ...]) -> None:
        indent = 2 if self.part == "iteration" else 4
        pad = " " * indent
        if self.fields:
            self.names.needs.add("exec")
            records = records_name(self.scenario.feeder or "")
            key = Raw(f"exec.scenario.iterationInTest % {records}.length")
            turn = layout.assignment("const", "data", Raw(f"{records}[{key.text}]"), indent)
            if len(turn) > WIDTH:
                self._write(layout.assignment("const", "turn", key, indent))
                turn = layout.assignment("const", "data", Raw(f"{records}[turn]"), indent)
            self._write(turn)
        captured = [c.name for step in all_steps(steps) for c in step.captures if c.name in self._used]
        if self.part == "iteration":
            self._lets(captured, indent)
        flat = list(all_steps(steps))
        first = steps[0] if steps else None
        if len(flat) > 1 and not isinstance(first, Step):
            self._declare("answer", pad)
        reading = [step for step in flat if _reads_json(step)]
        outside = [step for step in steps if isinstance(step, Step) and _reads_json(step)]
        if len(reading) > 1 and (not outside or reading[0] is not outside[0]):
            self._declare("body", pad)
        at_top = [c.name for step in steps if isinstance(step, Step) for c in step.captures]
        for name in dict.fromkeys(captured):
            known = self.variables[name] in self._declared
            if not known and (captured.count(name) > 1 or name not in at_top):
                self._declare(self.variables[name], pad)
        self._lines.append("")

    def _lets(self, captured: list[str], indent: int) -> None:
        for name, value in self.scenario.lets:
            if name not in self._used:
                continue
            known = self.names.constant(value)
            if as_known(known) and name not in captured and not isinstance(known, dict | list | bytes):
                self.names.literal(known)
                self.names.known[name] = known
                continue
            said = self.names.value(value)
            self._write(
                layout.assignment(
                    "let" if name in captured else "const", self.variables[name], said.node, indent
                )
            )
            self._declared.add(self.variables[name])
            self.names.local[name] = Said(Raw(self.variables[name]), said.kind, fits=said.fits)

    def _declare(self, variable: str, pad: str) -> None:
        self._lines.append(f"{pad}let {variable};")
        self._declared.add(variable)

    def _end(self) -> None:
        if self.part != "setup":
            return
        captured = dict.fromkeys(c.name for step in all_steps(self.scenario.setup) for c in step.captures)
        if captured:
            kept = Obj(tuple((name, Raw(self.variables[name])) for name in captured))
            self._write("\n" + layout.assignment("", f"run.{_setup_member(self.scenario)}", kept, 4))

    # --- steps ------------------------------------------------------------------------------------

    def _steps(self, steps: tuple[Step | Choose, ...], indent: int, last: bool) -> None:
        for index, step in enumerate(steps):
            if self._lines and self._lines[-1] and not self._lines[-1].endswith("{"):
                self._lines.append("")
            ends = last and index == len(steps) - 1
            if isinstance(step, Choose):
                self._choose(step, indent, ends)
            else:
                self._step(step, indent, ends)

    def _choose(self, choose: Choose, indent: int, last: bool) -> None:
        *branches, final = choose.branches
        pad = " " * indent
        if not branches:
            self._steps(final.steps, indent, last)
            return
        total = sum(branch.weight for branch in choose.branches)
        chance = self._variable("chance")
        of = f"Math.random() * {layout.number(total)}" if total != 1 else "Math.random()"
        self._write(layout.assignment("const", chance, Raw(of), indent))
        so_far = 0.0
        for index, branch in enumerate(branches):
            so_far += branch.weight
            limit = layout.number(so_far)
            self._lines.append(f"{pad}{'} else if' if index else 'if'} ({chance} < {limit}) {{")
            self._steps(branch.steps, indent + 2, last)
        self._lines.append(f"{pad}}} else {{")
        self._steps(final.steps, indent + 2, last)
        self._lines.append(f"{pad}}}")
        self._taken.discard(chance)

    def _step(self, step: Step, indent: int, last: bool) -> None:
        self._enter(step)
        holes: list[Hole] = []
        url = self._url(step, holes, indent)
        sent = body(step.body, self.names) if step.body is not None else None
        params = self._params(step, holes)
        self._guard(step, holes, indent)
        self._assign("answer", _request(step.method, url, sent, params), indent)
        self.names.needs.add("http")
        found = judged(step, self.names, self._used, self.variables)
        if found.reads_json:
            self.names.needs.add("json")
            self._assign("body", Call("json", (Raw("answer"),)), indent)
        for name, value in found.captures:
            self._assign(self.variables[name], value, indent)
        self._judge(step, found, indent, last)
        for capture in step.captures:
            if capture.name in self._used:
                where = Raw(self.variables[capture.name])
                self.names.local[capture.name] = _captured(capture.source, where)
        if step.think is not None and self.part == "iteration":
            self.names.needs.add("sleep")
            self._write(layout.statement(Call("sleep", (Raw(_pause(step)),)), indent))

    def _enter(self, step: Step) -> None:
        self._number += 1
        kind = "step" if self.part == "iteration" else f"{self.part} step"
        self._place = f"scenario {self.scenario.name}, {kind} {self._number} ({self._route(step)})"

    def _route(self, step: Step) -> str:
        return route_names(self.plan)[step.route]

    def _assign(self, variable: str, value: Node, indent: int) -> None:
        """Declares a variable where it is first set, unless something before did."""
        if variable in self._declared:
            self._write(layout.assignment("", variable, value, indent))
            return
        steps = list(all_steps(self._own))
        again = {"answer": len(steps) > 1, "body": sum(map(_reads_json, steps)) > 1}.get(variable, False)
        self._write(layout.assignment("let" if again else "const", variable, value, indent))
        self._declared.add(variable)

    def _url(self, step: Step, holes: list[Hole], indent: int) -> Node:
        origin = self.plan.origins[step.origin]
        path, found = self.names.in_path(step.path)
        holes += found
        for part in path:
            if isinstance(part, str) and not _PATH.fullmatch(part):
                self._refuse(f"its path has what k6 would escape: {part!r}; write it percent-encoded")
        base: list[str | Raw] = [Raw(base_url_name(origin.app)), *path]
        if not step.query:
            return layout.joined(base)
        query: list[str | Raw] = []
        for index, (name, value) in enumerate(step.query):
            pieces = self.names.in_query(value)
            query += ["&" if index else "?", f"{query_value(name)}=", *pieces]
        url = layout.joined([*base, *query])
        if len(layout.expression(url)) + indent <= _WIDE or len(step.query) == 1:
            return url
        fields = form(step.query, self.names)
        if not isinstance(fields, Call):
            return url
        name = self._variable("query")
        self._write(layout.assignment("const", name, fields, indent))
        return layout.joined([*base, "?", Raw(name)])

    def _params(self, step: Step, holes: list[Hole]) -> Obj:
        tag = {"iteration": self._route(step), "setup": SETUP, "teardown": TEARDOWN}[self.part]
        items: list[tuple[str | None, Node]] = [("tags", Obj((("name", tag),), flat=True))]
        items.append(("headers", self._headers(step, holes)))
        if step.check.status:
            items.append(
                ("responseCallback", Call("http.expectedStatuses", tuple(dict.fromkeys(step.check.status))))
            )
        items.append(("redirects", 0))
        if step.timeout_ns != 60_000_000_000:
            items.append(("timeout", _duration(step.timeout_ns)))
        return Obj(tuple(items))

    def _headers(self, step: Step, holes: list[Hole]) -> Node:
        self.names.needs.add("tracing")
        tracing = Call("tracing", (Raw("run"),))
        written = {name.lower() for name, _ in step.headers}
        for name in sorted(written & {"traceparent", "trailer"}):
            self._refuse(
                f"the header {name} is set by k6 or its script, and a step's own would not stand beside it"
            )
        own: list[tuple[str | None, Node]] = []
        if self.plan.routes[step.route].bearer and "authorization" not in written:
            self.names.needs.add("bearer")
            own.append(("Authorization", Template(("Bearer ", Raw("bearer(run)")))))
        if step.body is not None and "content-type" not in written:
            node, _ = self.names.in_header("Content-Type", step.body.content_type)
            own.append(("Content-Type", node))
        for name, value in step.headers:
            node, found = self.names.in_header(name, value)
            holes += found
            own.append((name, node))
        return Obj(((None, tracing), *own)) if own else tracing

    def _guard(self, step: Step, holes: list[Hole], indent: int) -> None:
        """Looks at the values that must not stand everywhere, and at the namespace of a write."""
        for check, where in (("fitsPath", "its path"), ("fitsHeader", "a header")):
            tests = tuple(
                dict.fromkeys(Not(Call(check, (hole.node,))) for hole in holes if hole.check == check)
            )
            if tests:
                self.names.needs.add(check)
                self._unless(step, tests[0] if len(tests) == 1 else Binary("||", tests), where, indent)
        route, writes = self.plan.routes[step.route], self.plan.origins[step.origin].writes
        if route.effect != "write" or route.namespace is None:
            return
        value = namespace_value(step, route)
        known = self.names.constant(value)
        if as_known(known):
            if known != writes:
                self._refuse(f"it would leave the namespace {writes!r}")
            return
        differs = Binary("!==", (self.names.value(value).node, writes))
        self._unless(step, differs, "another namespace", indent)

    def _unless(self, step: Step, wrong: Node, where: str, indent: int) -> None:
        pad = " " * indent
        self._write(layout.condition(wrong, indent))
        if self.part == "iteration":
            self.names.needs.add("refused")
            self._write(layout.statement(Call("refused", (self._route(step), where)), indent + 2))
            self._lines.append(f"{pad}  return;")
        else:
            reason = f"{self._route(step)} was not sent: a value must not stand in {where}"
            self._write(layout.statement(Call("throw new Error", (reason,)), indent + 2))
        self._lines.append(f"{pad}}}")

    def _judge(self, step: Step, found: Judged, indent: int, last: bool) -> None:
        checks = Obj(tuple(found.checks))
        arguments: tuple[Node, ...] = (self._route(step), Raw("answer"), checks)
        if self.part != "iteration":
            self.names.needs.add("demand")
            self._write(layout.statement(Call("demand", arguments), indent))
            return
        self.names.needs.add("passed")
        passed = Call("passed", arguments)
        if not step.captures or (last and step.think is None):
            self._write(layout.statement(passed, indent))
            return
        self._write(layout.condition(Not(passed), indent))
        self._lines += [" " * indent + "  return;", " " * indent + "}"]


# --- Pieces ---------------------------------------------------------------------------------------


def _request(method: str, url: Node, sent: Node, params: Obj) -> Call:
    verb = _VERBS.get(method)
    if verb in ("get", "head") and sent is None:
        return Call(f"http.{verb}", (url, params))
    if verb is None or verb in ("get", "head"):
        return Call("http.request", (method, url, sent, params))
    return Call(f"http.{verb}", (url, sent, params))


def _values(step: Step) -> Iterator[Any]:
    """Every template of a step."""
    yield step.path
    yield from (value for _, value in (*step.query, *step.headers))
    if isinstance(step.body, Body):
        content: Any = step.body.content
        if isinstance(content, tuple):
            yield from (item.value if isinstance(item, Part) else item[1] for item in content)
        else:
            yield content
    check = step.check
    yield from (expect.operand for _, expect in (*check.headers, *check.json))
    yield from (expect.operand for expect in check.body)


def _reads_json(step: Step) -> bool:
    return bool(step.check.json) or any(capture.source == "json" for capture in step.captures)


def _captured(source: str, where: Raw) -> Said:
    match source:
        case "json":
            return Said(where, "any")
        case "status":
            return Said(where, "number", fits=frozenset({"path", "query", "header"}))
    return Said(where, "text")


def _setup_member(scenario: Scenario) -> str:
    return f"setup_{re.sub(r'[^A-Za-z0-9]', '_', scenario.name)}"


def _pause(step: Step) -> str:
    """Think time in seconds."""
    assert step.think is not None
    least, most = step.think.least_ns, step.think.most_ns
    start = layout.number(least / 1e9)
    if least == most:
        return start
    spread = f"Math.random() * {layout.number((most - least) / 1e9)}"
    return f"{start} + {spread}" if least else spread


def _duration(ns: int) -> str:
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if ns % size == 0:
            return f"{ns // size}{unit}"
    return f"{ns}ns"
