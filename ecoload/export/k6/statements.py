"""Writes the steps of one function: what is declared where, in which order, and what ends the iteration.

Rules
-----
- `data`, the `let`s, then step after step. A variable is declared where it is first set; before the steps
  only what several of them set, or a branch.
- What nothing reads is not made: a capture is then checked only.
- A step with captures that fails ends the iteration, as in `engine/program.py`; so does one that was not
  sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ecoload.export.k6 import layout
from ecoload.export.k6.checks import Judged, judged
from ecoload.export.k6.js import WIDTH, CannotExport, Raw
from ecoload.export.k6.layout import Binary, Call, Node, Not, Obj
from ecoload.export.k6.naming import (
    Identifiers,
    base_url_name,
    records_name,
    secret_variable,
    setup_member,
)
from ecoload.export.k6.requests import SETUP, TEARDOWN, Sent, request
from ecoload.export.k6.values import Names, Said, as_known
from ecoload.guard.reach import steps as all_steps
from ecoload.measure.recorder import route_names
from ecoload.plan import Body, Capture, Choose, Part, Plan, Scenario, Step, Think
from ecoload.spec.template import references

Steps = tuple[Step | Choose, ...]
Section = Literal["steps", "setup", "teardown"]


@dataclass(slots=True)
class Writer:
    """Writes one function. Problems are noted with their place, and raised together at the end."""

    plan: Plan
    scenario: Scenario
    section: Section
    names: Names = field(init=False)
    fields: set[str] = field(default_factory=set)
    """The fields of the records that are read."""
    _identifiers: Identifiers = field(init=False)
    _variables: dict[str, str] = field(default_factory=dict)
    """What the scenario's names are called in the script."""
    _declared: set[str] = field(default_factory=set)
    _used: frozenset[str] = frozenset()
    """The scenario's names that something reads."""
    _lines: list[str] = field(default_factory=list)
    _problems: list[str] = field(default_factory=list)
    _place: str = ""
    _number: int = 0

    def __post_init__(self) -> None:
        secrets = {name: secret_variable(self.plan, name) for name, _ in self.plan.secrets}
        self.names = Names(self.plan, secrets, self._refuse)
        taken = [base_url_name(origin.app) for origin in self.plan.origins]
        if self.scenario.feeder is not None:
            taken.append(records_name(self.scenario.feeder))
        self._identifiers = Identifiers(taken)

    def whole(self) -> list[str]:
        """Every statement of the function. Raises CannotExport."""
        self._place = f"scenario {self.scenario.name}"
        if self.scenario.module is not None:
            raise CannotExport(
                f"{self._place}: {self.scenario.module} is Python, which k6 does not run; write its steps in "
                f"scenarios/{self.scenario.name}.yaml, or leave it to ecoload"
            )
        self._look_over()
        self._begin()
        self._steps(self._own, self._indent, True)
        self._end()
        if self._problems:
            raise CannotExport("\n".join(dict.fromkeys(self._problems)))
        while not self._lines[0]:
            self._lines.pop(0)
        return self._lines

    @property
    def _own(self) -> Steps:
        steps: Steps = getattr(self.scenario, self.section)
        return steps

    @property
    def _indent(self) -> int:
        return 2 if self.section == "steps" else 4

    @property
    def _captures(self) -> list[Capture]:
        """Those that something reads."""
        return [c for step in all_steps(self._own) for c in step.captures if c.name in self._used]

    def _refuse(self, reason: str) -> None:
        self._problems.append(f"{self._place}: {reason}")

    def _write(self, text: str) -> None:
        self._lines += text.split("\n")

    # --- names ------------------------------------------------------------------------------------

    def _look_over(self) -> None:
        """What is read, and what it is called."""
        flat = list(all_steps(self._own))
        refs = [ref for step in flat for value in _values(step) for ref in references(value)]
        lets = self.scenario.lets if self.section == "steps" else ()
        for name, value in reversed(lets):
            if (name,) in {ref.name for ref in refs}:
                refs += references(value)
        self.fields = {ref.name[1] for ref in refs if ref.name[0] == "data"}
        captured = [capture.name for step in flat for capture in step.captures]
        read = {ref.name[0] for ref in refs if len(ref.name) == 1}
        self._used = frozenset(read | set(captured) if self.section == "setup" else read)
        for name in dict.fromkeys([*(name for name, _ in lets), *captured]):
            if name in self._used:
                self._variables[name] = self._identifiers.take(name)
        if self.section != "setup":
            self._from_setup({*captured, *(name for name, _ in lets)})

    def _from_setup(self, made: set[str]) -> None:
        """What setup captured is read from `run`."""
        captures = [c for step in all_steps(self.scenario.setup) for c in step.captures]
        for name in dict.fromkeys(capture.name for capture in captures):
            if name in made:
                self._refuse(f"{name} is captured in setup, and made again later; rename one of them")
            where = Raw(f"run.{setup_member(self.scenario)}.{name}")
            self.names.local[name] = _captured(name, captures, where)

    # --- the beginning and the end ----------------------------------------------------------------

    def _begin(self) -> None:
        if self.fields:
            self._record()
        if self.section == "steps":
            self._lets()
        flat = list(all_steps(self._own))
        if len(flat) > 1 and not isinstance(self._own[0], Step):
            self._declare("answer")
        reading = [step for step in flat if _reads_json(step)]
        outside = [step for step in self._own if isinstance(step, Step) and _reads_json(step)]
        if len(reading) > 1 and (not outside or reading[0] is not outside[0]):
            self._declare("body")
        captured = [capture.name for capture in self._captures]
        at_top = {c.name for step in self._own if isinstance(step, Step) for c in step.captures}
        for name in dict.fromkeys(captured):
            if captured.count(name) > 1 or name not in at_top:
                self._declare(self._variables[name])
        self._lines.append("")

    def _record(self) -> None:
        """The iteration's record."""
        self.names.needs.add("exec")
        records = records_name(self.scenario.feeder or "")
        turn = f"exec.scenario.iterationInTest % {records}.length"
        line = layout.assignment("const", "data", Raw(f"{records}[{turn}]"), self._indent)
        if len(line) > WIDTH:
            name = self._identifiers.take("turn")
            of = Binary("%", (Raw("exec.scenario.iterationInTest"), Raw(f"{records}.length")))
            self._write(layout.assignment("const", name, of, self._indent))
            line = layout.assignment("const", "data", Raw(f"{records}[{name}]"), self._indent)
        self._write(line)

    def _lets(self) -> None:
        captures = self._captures
        for name, value in self.scenario.lets:
            if name not in self._used:
                continue
            again = any(capture.name == name for capture in captures)
            known = self.names.constant(value)
            if as_known(known) and not again:
                self.names.literal(known)
                self.names.known[name] = known
                continue
            said = self.names.value(value)
            if not self.names.told_apart(value):
                self._refuse(f"let {name} has 1.0 or keys of digits in it, which k6 would send otherwise")
            if again and said.kind == "bytes":
                self._refuse(f"{name} is a digest, and captured again; rename one of them")
            variable = self._variables[name]
            self._write(layout.assignment("let" if again else "const", variable, said.node, self._indent))
            self._declared.add(variable)
            self.names.local[name] = (
                Said(Raw(variable), "any") if again else Said(Raw(variable), said.kind, fits=said.fits)
            )

    def _declare(self, variable: str) -> None:
        if variable not in self._declared:
            self._lines.append(f"{' ' * self._indent}let {variable};")
            self._declared.add(variable)

    def _end(self) -> None:
        names = dict.fromkeys(capture.name for capture in self._captures)
        if self.section == "setup" and names:
            kept = Obj(tuple((name, Raw(self._variables[name])) for name in names))
            self._write("\n" + layout.assignment("", f"run.{setup_member(self.scenario)}", kept, 4))

    # --- steps ------------------------------------------------------------------------------------

    def _steps(self, steps: Steps, indent: int, last: bool) -> None:
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
        if not branches:
            self._steps(final.steps, indent, last)
            return
        pad = " " * indent
        total = sum(branch.weight for branch in choose.branches)
        chance = self._identifiers.take("chance")
        of = "Math.random()" if total == 1 else f"Math.random() * {layout.number(total)}"
        self._write(layout.assignment("const", chance, Raw(of), indent))
        limit = 0.0
        for index, branch in enumerate(branches):
            limit += branch.weight
            word = "} else if" if index else "if"
            self._lines.append(f"{pad}{word} ({chance} < {layout.number(limit)}) {{")
            self._steps(branch.steps, indent + 2, last)
        self._lines.append(f"{pad}}} else {{")
        self._steps(final.steps, indent + 2, last)
        self._lines.append(f"{pad}}}")

    def _step(self, step: Step, indent: int, last: bool) -> None:
        route = route_names(self.plan)[step.route]
        self._number += 1
        kind = {"steps": "step", "setup": "setup step", "teardown": "teardown step"}[self.section]
        self._place = f"scenario {self.scenario.name}, {kind} {self._number} ({route})"
        self._send(step, route, indent)
        found = judged(step, self.names, self._used, self._variables)
        if found.reads_json:
            self.names.needs.add("json")
            self._assign("body", Call("json", (Raw("answer"),)), indent)
        for name, value in found.captures:
            self._assign(self._variables[name], value, indent)
        for capture in step.captures:
            if capture.name in self._used:
                where = Raw(self._variables[capture.name])
                self.names.local[capture.name] = self._local(capture.name, where)
        self._judge(step, route, found, indent, last)
        if step.think is not None and self.section == "steps":
            self.names.needs.add("sleep")
            self._write(layout.statement(Call("sleep", (Raw(_pause(step.think)),)), indent))

    def _local(self, name: str, where: Raw) -> Said:
        if self.section == "steps" and name in dict(self.scenario.lets):
            return Said(where, "any")
        return _captured(name, self._captures, where)

    def _send(self, step: Step, route: str, indent: int) -> None:
        tag = {"steps": route, "setup": SETUP, "teardown": TEARDOWN}[self.section]
        name = self._identifiers.take("query")
        sent = request(self.plan, step, self.names, tag, name)
        if sent.query is None:
            self._identifiers.give_back(name)
        else:
            self._write(layout.assignment("const", name, sent.query, indent))
        self._look_before(sent, route, indent)
        self._assign("answer", sent.call, indent)

    def _look_before(self, sent: Sent, route: str, indent: int) -> None:
        for wrong, where in sent.refusals:
            self._write(layout.condition(wrong, indent))
            if self.section == "steps":
                self.names.needs.add("refused")
                self._write(layout.statement(Call("refused", (route, where)), indent + 2))
                self._lines.append(f"{' ' * indent}  return;")
            else:
                reason = f"{route} was not sent: a value must not stand in {where}"
                self._write(layout.statement(Call("throw new Error", (reason,)), indent + 2))
            self._lines.append(f"{' ' * indent}}}")

    def _assign(self, variable: str, value: Node, indent: int) -> None:
        """Declares a variable where it is first set, unless something before did."""
        if variable in self._declared:
            self._write(layout.assignment("", variable, value, indent))
            return
        steps = list(all_steps(self._own))
        again = {"answer": len(steps), "body": sum(map(_reads_json, steps))}.get(variable, 1) > 1
        self._write(layout.assignment("let" if again else "const", variable, value, indent))
        self._declared.add(variable)

    def _judge(self, step: Step, route: str, found: Judged, indent: int, last: bool) -> None:
        arguments: tuple[Node, ...] = (route, Raw("answer"), Obj(tuple(found.checks)))
        helper = "passed" if self.section == "steps" else "demand"
        self.names.needs.add(helper)
        call = Call(helper, arguments)
        goes_on = not step.captures or self.section != "steps" or (last and step.think is None)
        if goes_on:
            self._write(layout.statement(call, indent))
            return
        self._write(layout.condition(Not(call), indent))
        self._lines += [" " * indent + "  return;", " " * indent + "}"]


# --- Pieces ---------------------------------------------------------------------------------------


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


def _captured(name: str, captures: list[Capture], where: Raw) -> Said:
    """A captured value: what kind it has follows from where it can come from."""
    sources = {capture.source for capture in captures if capture.name == name}
    if sources == {"status"}:
        return Said(where, "number", fits=frozenset({"path", "query", "header"}))
    return Said(where, "text" if sources <= {"header", "regex"} else "any")


def _pause(think: Think) -> str:
    """Think time in seconds."""
    start = layout.number(think.least_ns / 1e9)
    if think.least_ns == think.most_ns:
        return start
    spread = f"Math.random() * {layout.number((think.most_ns - think.least_ns) / 1e9)}"
    return f"{start} + {spread}" if think.least_ns else spread
