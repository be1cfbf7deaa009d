"""The steps of a scenario as code of a k6 script.

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

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ecoload.export.k6.js import CannotExport, Code
from ecoload.export.k6.naming import base_url_name, records_name, secret_variable
from ecoload.export.k6.requests import SETUP, TEARDOWN
from ecoload.export.k6.sameness import same_numbers, same_text
from ecoload.export.k6.statements import Writer
from ecoload.plan import Plan, Scenario

__all__ = [
    "SETUP", "TEARDOWN", "base_url_name", "check_records", "iteration", "records_name", "secret_variable",
    "setup_steps", "teardown_steps",
]  # fmt: skip


def iteration(plan: Plan, scenario: Scenario, function_name: str) -> Code:
    """`function NAME(run) {…}`: one iteration. Raises CannotExport."""
    writer = Writer(plan, scenario, "steps")
    lines = [f"function {function_name}(run) {{", *writer.whole(), "}"]
    return Code("\n".join(lines), frozenset(writer.names.needs))


def setup_steps(plan: Plan, scenario: Scenario) -> Code:
    """The statements of a setup, in a block of their own; they read `run`, and put what was captured into
    `run.setup_SCENARIO`. Empty where there is none. Raises CannotExport."""
    return _once(plan, scenario, "setup")


def teardown_steps(plan: Plan, scenario: Scenario) -> Code:
    """The statements of a teardown, in a block of their own. Empty where there is none.
    Raises CannotExport."""
    return _once(plan, scenario, "teardown")


def check_records(plan: Plan, scenario: Scenario, records: Sequence[Mapping[str, Any]]) -> None:
    """Raises CannotExport where a record of the scenario's feeder holds what k6 would send otherwise: a
    number beyond 2^53, or in a text one that JavaScript spells otherwise (1.0)."""
    writer = Writer(plan, scenario, "steps")
    writer.whole()
    problems = []
    for name in sorted(writer.fields):
        sound = same_text if name in writer.names.read_as_text else same_numbers
        for number, record in enumerate(records, 1):
            if name in record and not sound(record[name]):
                problems.append(
                    f"feeder {scenario.feeder}, record {number}: {name} is {record[name]!r}, which k6 would "
                    "send otherwise; write it in quotes, or as JavaScript spells it"
                )
                break
    if problems:
        raise CannotExport("\n".join(problems))


def _once(plan: Plan, scenario: Scenario, section: Literal["setup", "teardown"]) -> Code:
    if not getattr(scenario, section):
        return Code("")
    writer = Writer(plan, scenario, section)
    return Code("\n".join(["  {", *writer.whole(), "  }"]), frozenset(writer.names.needs))
