"""`suite.json` against the schema that is published of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from ecoload.verdict import suite_result
from ecoload.verdict.suite_result import SuiteResult
from tests.unit import suite_samples
from tests.unit.schemas import problems, published

SCHEMA = published("suite.schema.json")


def tree_of(result: SuiteResult) -> dict[str, Any]:
    tree: dict[str, Any] = orjson.loads(orjson.dumps(result.to_json()))
    return tree


@pytest.mark.parametrize("result", suite_samples.every(), ids=lambda result: result.status)
def test_what_is_published_fits_the_published_schema(result: SuiteResult) -> None:
    tree = tree_of(result)
    assert problems(SCHEMA, tree, "suite") == []
    assert tree["schema"] == "ecoload.suite/1"


def test_the_schema_refuses_what_is_not_a_result() -> None:
    tree = tree_of(suite_samples.mitigated())
    assert problems(SCHEMA, tree | {"another": 1}, "suite")
    assert problems(SCHEMA, tree | {"status": "PERHAPS"}, "suite")
    assert problems(SCHEMA, tree | {"seed": "many"}, "suite")
    assert problems(SCHEMA, {key: value for key, value in tree.items() if key != "readiness"}, "suite")
    tree["phases"][0]["cells"][0]["items"][0]["last"]["verdict"] = None
    assert problems(SCHEMA, tree, "suite")


def test_the_schema_names_every_key_and_no_other() -> None:
    kinds = dataclasses_of(suite_result)
    assert {*SCHEMA["$defs"], "SuiteResult"} == set(kinds)
    for name, kind in kinds.items():
        fields = [field.name for field in dataclasses.fields(kind)]
        schema = SCHEMA["$defs"].get(name, SCHEMA)
        assert [key for key in schema["properties"] if key != "schema"] == fields
        assert [key for key in schema["required"] if key != "schema"] == fields


def dataclasses_of(module: Any) -> dict[str, Any]:
    """The dataclasses of a module, those that it imports included, by name."""
    return {name: kind for name, kind in vars(module).items() if dataclasses.is_dataclass(kind)}
