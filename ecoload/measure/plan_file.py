"""Reads plans back into the values that they were written from: `plan.json`, `protocol.json`.

Rules
-----
- The inverse of `plan.to_tree`: the same types, so the same hashes.
- Such a file may come from anywhere: every value in it is of the type that is declared, or it is refused.
- A file of another version is a UsageError, not a guess.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

from ecoload import plan as plan_module
from ecoload.errors import UsageError
from ecoload.plan import Plan
from ecoload.plan.suite import Outline

Made = TypeVar("Made")


def read_plan(path: Path) -> Plan:
    """The plan in a `plan.json`. Raises UsageError when it is not there or is not one."""
    try:
        return read_as(Plan, orjson.loads(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not a plan of this version: {error}") from error


def read_outline(tree: Any) -> Outline:
    """The suite's outline in a `protocol.json`. Raises UsageError where it is none."""
    try:
        return read_as(Outline, tree)
    except ValueError as error:
        raise UsageError(f"not a protocol of this version: {error}") from error


def read_as(cls: type[Made], tree: Any) -> Made:
    """A dataclass of the plan's from the tree that it was written as. Raises ValueError for anything else."""
    try:
        made = _read((cls,), tree)
    except (TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(str(error)) from error
    _check(made, cls, "it")
    assert isinstance(made, cls)
    return made


def _check(value: Any, hint: Any, place: str) -> None:
    """Raises ValueError where a value, or one within it, is not of its declared type."""
    kinds = [kind for kind in _flat((hint,)) if _is_of(value, kind)]
    if not kinds:
        raise ValueError(f"{place} is of another type")
    if dataclasses.is_dataclass(value):
        hints = get_type_hints(type(value))
        for field in dataclasses.fields(value):
            _check(getattr(value, field.name), hints[field.name], field.name)
    elif isinstance(value, tuple):
        _check_items(value, [get_args(kind) for kind in kinds], place)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check(item, get_args(kinds[0])[1], str(key))


def _check_items(value: tuple[Any, ...], kinds: list[tuple[Any, ...]], place: str) -> None:
    """Of a tuple, by the first of its kinds that fits as a whole."""
    problem = f"{place} has not so many parts"
    for items in kinds:
        each = items[:1] * len(value) if items[1:] == (Ellipsis,) else items
        if len(each) == len(value):
            try:
                for item, hint in zip(value, each, strict=True):
                    _check(item, hint, place)
            except ValueError as error:
                problem = str(error)
            else:
                return
    raise ValueError(problem)


def _is_of(value: Any, kind: Any) -> bool:
    origin = get_origin(kind)
    if origin is Literal:
        return value in get_args(kind)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is None or kind is types.NoneType:
        return value is None
    if origin is not None:
        return isinstance(value, origin)
    return kind is Any or type(value) is kind


def _read(hints: tuple[Any, ...], tree: Any) -> Any:
    """`tree` as one of the types in `hints`."""
    kinds = tuple(_flat(hints))
    if isinstance(tree, dict):
        for kind in kinds:
            if get_origin(kind) is Mapping:
                return {key: _read(get_args(kind)[1:], value) for key, value in tree.items()}
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
