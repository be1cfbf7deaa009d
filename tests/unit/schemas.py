"""Whether a value fits a published schema: the part of JSON Schema that ours use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

FOLDER = Path(__file__).parents[2] / "docs" / "schema"
_KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def published(name: str) -> dict[str, Any]:
    """A schema of docs/schema/."""
    schema: dict[str, Any] = orjson.loads((FOLDER / name).read_bytes())
    return schema


def problems(schema: dict[str, Any], value: Any, place: str, root: dict[str, Any] | None = None) -> list[str]:
    """What of `value` does not fit `schema`; `root` holds its definitions, where it is a part of one."""
    root = root or schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in schema:
        tried = [problems(one, value, place, root) for one in schema["anyOf"]]
        return [] if [] in tried else tried[0]
    if "const" in schema:
        return [] if value == schema["const"] else [f"{place}: {value!r} is not {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{place}: {value!r} is none of {schema['enum']}"]
    named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, _KINDS[name]) for name in named) or (
        isinstance(value, bool) and "boolean" not in named
    ):
        return [f"{place}: {value!r} is not {named}"]
    found: list[str] = []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{place}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        other = schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in known:
                found += problems(known[name], item, f"{place}.{name}", root)
            elif other is False:
                found.append(f"{place}.{name} is not known")
            elif isinstance(other, dict):
                found += problems(other, item, f"{place}.{name}", root)
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += problems(schema["items"], item, f"{place}[{index}]", root)
    return found
