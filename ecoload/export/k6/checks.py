"""Checks and captures of a step as expressions over k6's `answer`.

Rules
-----
- The meaning is that of `engine/answers.py`: the same order, the same operators, and 1 is not true.
- A check has a name that people read, without secrets: what it compares with is told as it was written.
- JSON paths of names and indices, and those with one `[*]` below `each`, are said; others are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from ecoload.export.k6.js import Raw
from ecoload.export.k6.js import string as quoted
from ecoload.export.k6.json_paths import Keys, found, keys, rows_and_members
from ecoload.export.k6.layout import Binary, Call, Index, Node, Not
from ecoload.export.k6.patterns import NotInJavaScript, javascript
from ecoload.export.k6.redirects import STATUSES, follows
from ecoload.export.k6.sameness import same_text
from ecoload.export.k6.values import Names, Said, as_known
from ecoload.plan import Array, Capture, Expect, Object, Ref, Step, Text, Value
from ecoload.plan import Call as Function
from ecoload.spec.functions import as_text

MISSING = Raw("undefined")
_ORDERED = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_PLAINER = "is not to be had in k6: write one of names and indices, such as $.a.b[0]"
_LONGEST = 60


@dataclass(slots=True)
class Judged:
    """What is looked at in an answer: the checks with their names, in their order, and the captured values
    that something reads, each with the name that the scenario has for it."""

    checks: list[tuple[str, Node]]
    captures: list[tuple[str, Node]]
    reads_json: bool = False

    def add(self, name: str, holds: Node) -> None:
        """Checks of one name are one to k6; a second one is told apart."""
        name = re.sub(":(?=:)", ": ", name)  # k6 takes two of them for a group's
        taken = [known for known, _ in self.checks]
        number = 2
        unique = name
        while unique in taken:
            unique, number = f"{name} ({number})", number + 1
        self.checks.append((unique, holds))


def judged(step: Step, names: Names, used: frozenset[str], variables: dict[str, str]) -> Judged:
    """Everything that decides what becomes of a step. `used` are the captures that something reads,
    `variables` what they are called in the script."""
    found = Judged([], [])
    found.add(*_status(step, names))
    check = step.check
    if check.duration_ns is not None:
        most = check.duration_ns / 1_000_000
        took = Binary("<=", (Raw("answer.timings.duration"), most))
        found.add(f"takes at most {most:g} ms", took)
    for header, expect in check.headers:
        found.add(_told(header, expect, names), _on_header(header, expect, names))
    for path, expect in check.json:
        found.reads_json = True
        found.add(_told(path, expect, names), _on_json(path, expect, names))
    for expect in check.body:
        found.add(_told("body", expect, names), _holds(Raw("answer.body"), expect, names))
    for capture in step.captures:
        _capture(capture, found, names, used, variables)
    return found


def canonical(header: str) -> str:
    """A header's name as Go has it."""
    return "-".join(part.capitalize() for part in header.split("-"))


def header_value(header: str) -> Node:
    name = canonical(header)
    return Raw(f"answer.headers.{name}") if name.isidentifier() else Index("answer.headers", name)


# --- Status, headers, JSON ------------------------------------------------------------------------


def _status(step: Step, names: Names) -> tuple[str, Node]:
    statuses = step.check.status
    status = Raw("answer.status")
    tests: tuple[Node, ...]
    if statuses:
        name = f"status is {' or '.join(map(str, statuses))}"
        several = f"[{', '.join(map(str, statuses))}].includes"
        tests = (Binary("===", (status, statuses[0])) if len(statuses) == 1 else Call(several, (status,)),)
    else:
        name = "status is 200 to 399"
        tests = (Binary(">=", (status, 200)), Binary("<", (status, 400)))
    may_redirect = not statuses or not {*STATUSES}.isdisjoint(statuses)
    if may_redirect and step.redirects and not follows(names.plan, step):
        # ecoload would look where it leads.
        names.needs.add("redirected")
        name += ", and no redirect"
        tests += (Not(Call("redirected", (Raw("answer"),))),)
    return name, tests[0] if len(tests) == 1 else Binary("&&", tests)


def _on_header(header: str, expect: Expect, names: Names) -> Node:
    found = header_value(header)
    if expect.operator not in ("eq", "ne", *_ORDERED):
        return _holds(found, expect, names)
    wanted = names.value(expect.operand)
    if isinstance(wanted.node, str) or wanted.kind == "text":
        return _holds(found, expect, names)
    known = as_known(names.constant(expect.operand)) or wanted.kind == "number"
    names.needs.add("parsed" if known else "parsedFor")
    read = Call("parsed", (found,)) if known else Call("parsedFor", (found, wanted.node))
    return _holds(read, expect, names)


def _on_json(path: str, expect: Expect, names: Names) -> Node:
    if expect.operator == "each" and (split := rows_and_members(path)) is not None:
        before, after = split
        names.needs |= {"each", "members"}
        members = Call("members", (_at(before, names), *after))
        return Call("each", (members, _operand(expect, names).node))
    if expect.operator == "all":
        names.refuse("the operator `all` is not to be had in k6: write one check for each value")
        return False
    if (said := keys(path)) is None:
        names.refuse(f"the JSON path {path} {_PLAINER}, or $.a[*].b below each")
        return False
    found = _at(said, names)
    if expect.operator == "exists" and expect.operand is False:
        # Of what is no JSON nothing is missing: it is no answer to the question.
        return Binary("&&", (Binary("!==", (Raw("body"), MISSING)), Binary("===", (found, MISSING))))
    if expect.operator == "each":
        return _equal(found, _operand(expect, names), names)
    return _holds(found, expect, names)


def _at(path: Keys, names: Names) -> Node:
    node = found("body", path)
    if isinstance(node, Call):
        names.needs.add("at")
    return node


# --- Operators ------------------------------------------------------------------------------------


def _holds(found: Node, expect: Expect, names: Names) -> Node:
    """Whether a value is as expected; `undefined` is what is missing."""
    wanted = _operand(expect, names)
    match expect.operator:
        case "eq":
            return _equal(found, wanted, names)
        case "ne":
            equal = _equal(found, wanted, names)
            differs = Binary("!==", equal.operands) if isinstance(equal, Binary) else Not(equal)
            return Binary("&&", (Binary("!==", (found, MISSING)), differs))
        case "exists":
            return Binary("!==" if wanted.node is True else "===", (found, MISSING))
        case "matches":
            names.needs.add("matches")
            return Call("matches", (found, _pattern(as_text(expect.operand), names)))
        case "contains":
            if not same_text(names.constant(expect.operand)):
                names.refuse(f"{wanted.node} is another text in JavaScript; write it in quotes")
            names.note_text(expect.operand)
            names.needs.add("contains")
            return Call("contains", (found, wanted.node))
        case "length":
            return _length(found, expect, wanted, names)
    names.needs.add("compare")
    return Binary(_ORDERED[expect.operator], (Call("compare", (found, wanted.node)), 0))


def _operand(expect: Expect, names: Names) -> Said:
    said = names.value(expect.operand)
    if said.kind == "bytes" or isinstance(names.constant(expect.operand), bytes):
        names.refuse("a digest equals nothing of an answer: compare with hex(…) or base64url(…) of it")
    return said


def _equal(found: Node, wanted: Said, names: Names) -> Binary | Call:
    scalar = isinstance(wanted.node, None | bool | int | float | str)
    if scalar or wanted.kind in ("text", "number"):
        return Binary("===", (found, wanted.node))
    names.needs.add("equal")
    return Call("equal", (found, wanted.node))


def _length(found: Node, expect: Expect, wanted: Said, names: Names) -> Node:
    names.needs.add("sizeOf")
    size = Call("sizeOf", (found,))
    if as_known(names.constant(expect.operand)):
        return Binary("===", (size, wanted.node))
    names.needs.add("same")
    return Call("same", (size, wanted.node))


def _pattern(pattern: str, names: Names, *, capture: bool = False) -> Raw:
    try:
        return Raw(javascript(pattern, capture=capture))
    except NotInJavaScript as error:
        names.refuse(f"the regular expression {pattern!r}: {error}")
        return Raw("/(?:)/u")


# --- Captures -------------------------------------------------------------------------------------


def _capture(
    capture: Capture, found: Judged, names: Names, used: frozenset[str], variables: dict[str, str]
) -> None:
    value, needs = _captured(capture, names)
    found.reads_json = found.reads_json or capture.source == "json"
    node = value
    if capture.name in used:
        if capture.source == "json":
            needs |= {"captured"}
            value = Call("captured", (Raw("answer"), value))
        node = Raw(variables[capture.name])
        found.captures.append((capture.name, value))
    names.needs |= needs
    if capture.source != "status":
        found.add(f"{capture.name} is captured", Binary("!==", (node, MISSING)))


def _captured(capture: Capture, names: Names) -> tuple[Node, set[str]]:
    match capture.source:
        case "status":
            return Raw("answer.status"), set()
        case "json":
            if (said := keys(capture.argument)) is None:
                names.refuse(f"the JSON path {capture.argument} {_PLAINER}")
            return _at(said or [], names), set()
        case "header" if capture.regex is None:
            return header_value(capture.argument), set()
        case "header":
            assert capture.regex is not None
            pattern = _pattern(capture.regex, names, capture=True)
            return Call("match", (header_value(capture.argument), pattern)), {"match"}
    pattern = _pattern(capture.argument, names, capture=True)
    return Call("match", (Raw("answer.body"), pattern)), {"match"}


# --- Names of checks ------------------------------------------------------------------------------


def _told(subject: str, expect: Expect, names: Names) -> str:
    """A check's name: `$.accepted is true`."""
    if expect.operator == "exists":
        return f"{subject} is {'' if expect.operand is True else 'not '}there"
    wanted = _shown(expect.operand, names)
    match expect.operator:
        case "eq":
            return f"{subject} is {wanted}"
        case "ne":
            return f"{subject} is not {wanted}"
        case "each":
            return f"each {subject} is {wanted}"
        case "length":
            return f"{subject} has length {wanted}"
        case "contains" | "matches":
            return f"{subject} {expect.operator} {wanted}"
    return f"{subject} {_ORDERED[expect.operator]} {wanted}"


def _shown(value: Any, names: Names) -> str:
    known = names.constant(value)
    if as_known(known):
        text = known if isinstance(known, str) else orjson.dumps(known, default=bytes.hex).decode()
    else:
        text = _written(value)
    text = "".join(char if char.isprintable() else quoted(char)[1:-1] for char in text)
    return f"{text[: _LONGEST - 1]}…" if len(text) > _LONGEST else text


def _written(value: Value) -> str:
    """A template much as it was written."""
    match value:
        case Ref():
            return ".".join(value.name)
        case Function():
            return f"{value.function}({', '.join(map(_written, value.arguments))})"
        case Text():
            return "".join(
                part if isinstance(part, str) else f"${{{_written(part)}}}" for part in value.parts
            )
        case Object():
            return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in value.items) + "}"
        case Array():
            return f"[{', '.join(map(_written, value.items))}]"
    return as_text(value)
