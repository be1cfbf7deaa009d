"""Feeders: records for iterations, one JSON object a line.

Rules
-----
- All feeders stand in one file of the workspace (`FILE`); a record says with `"feeder": NAME` whose
  it is, and one that does not say belongs to all.
- Only the file's hash and the number of records go into a plan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ecoload.errors import Problem, SpecError
from ecoload.plan import Feeder

FILE = "tests/perf/config/data.jsonl"


@dataclass(frozen=True, slots=True)
class Data:
    """The file as read: its hash, its records, and the line each of them stands in, from 1."""

    sha256: str
    records: Sequence[dict[str, Any]]
    lines: Sequence[int]

    @property
    def names(self) -> set[str]:
        return {record["feeder"] for record in self.records if "feeder" in record}

    def of(self, name: str) -> list[dict[str, Any]]:
        """The records of a feeder, in the file's order."""
        return [record for record in self.records if record.get("feeder", name) == name]

    def feeder(self, name: str) -> Feeder:
        return Feeder(name, FILE, self.sha256, len(self.of(name)))

    def fields(self, name: str) -> set[str]:
        """The keys that every record of a feeder has."""
        records = self.of(name)
        return set.intersection(*(set(record) for record in records)) if records else set()


def read_data(workspace: Path) -> Data:
    """Read the file of a workspace. Raises SpecError with every bad line."""
    data, problems = read_sound(workspace)
    if problems:
        raise SpecError(problems)
    return data


def read_sound(workspace: Path) -> tuple[Data, list[Problem]]:
    """The records that can be read, and a problem for each line that cannot. Raises SpecError where
    there is no file to read."""
    try:
        raw = (workspace / FILE).read_bytes()
    except OSError as error:
        raise SpecError([Problem(FILE, 0, f"cannot be read: {error.strerror}")]) from error
    problems: list[Problem] = []
    records: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            problems.append(Problem(FILE, number, f"is not JSON: {error}"))
            continue
        if not isinstance(record, dict):
            problems.append(Problem(FILE, number, 'expected a JSON object, such as {"feeder": "events"}'))
        elif not isinstance(record.get("feeder", ""), str):
            problems.append(Problem(FILE, number, "feeder: expected a text"))
        else:
            records[number] = record
    return Data(hashlib.sha256(raw).hexdigest(), tuple(records.values()), tuple(records)), problems
