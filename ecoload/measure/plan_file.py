"""Reads plans back into the values that they were written from: `plan.json`, `protocol.json`.

Rules
-----
- The inverse of `plan.to_tree`: the same types, so the same hashes.
- A file of another version is a UsageError, not a guess.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson

from ecoload import plan as plan_module
from ecoload.errors import UsageError
from ecoload.plan import Plan
from ecoload.plan.suite import Outline


def read_plan(path: Path) -> Plan:
    """The plan in a `plan.json`. Raises UsageError when it is not there or is not one."""
    try:
        plan = _read((Plan,), orjson.loads(path.read_bytes()))
        if not isinstance(plan, Plan):
            raise ValueError("it holds something else")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (orjson.JSONDecodeError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path}: not a plan of this version: {error}") from error
    return plan


def read_outline(tree: Any) -> Outline:
    """The suite's outline in a `protocol.json`. Raises UsageError where it is none."""
    try:
        outline = _read((Outline,), tree)
        if not isinstance(outline, Outline):
            raise ValueError("it holds something else")
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise UsageError(f"not a protocol of this version: {error}") from error
    return outline


def _read(hints: tuple[Any, ...], tree: Any) -> Any:
    """`tree` as one of the types in `hints`."""
    kinds = tuple(_flat(hints))
    if isinstance(tree, dict):
        return _dataclass(kinds, dict(tree))
    if isinstance(tree, list):
        return tuple(_read(_item_hints(kinds, i), item) for i, item in enumerate(tree))
    if isinstance(tree, str):
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Enum):
                return kind(tree)
    return tree


def _dataclass(kinds: tuple[Any, ...], tree: dict[str, Any]) -> Any:
    tagged = tree.pop("type", None)
    cls: Any
    if tagged is not None:
        cls = getattr(plan_module, tagged)
        if not dataclasses.is_dataclass(cls):
            raise ValueError(f"{tagged} is no part of a plan")
    else:
        fitting = [kind for kind in kinds if dataclasses.is_dataclass(kind) and _names(kind) >= set(tree)]
        if not fitting:
            raise ValueError(f"nothing here has the keys {', '.join(sorted(tree))}")
        cls = fitting[0]
    hints = get_type_hints(cls)
    return cls(**{name: _read((hints[name],), value) for name, value in tree.items()})


def _names(cls: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def _flat(hints: tuple[Any, ...]) -> Iterator[Any]:
    for hint in hints:
        if get_origin(hint) in (Union, types.UnionType):
            yield from _flat(get_args(hint))
        else:
            yield hint


def _item_hints(kinds: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    found = []
    for kind in kinds:
        items = get_args(kind) if get_origin(kind) is tuple else ()
        if len(items) == 2 and items[1] is Ellipsis:
            found.append(items[0])
        elif index < len(items):
            found.append(items[index])
    return tuple(found)
