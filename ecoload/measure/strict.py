"""Values of a JSON tree that anybody may have written, by the types they must have.

Rules
-----
- Every problem is noted with its place, none raised: a reader sees all of them at once, one for each place.
- What is wrong becomes None or something empty, so that reading goes on; nobody uses it, since there is a
  problem.
- A number is finite and never negative, and small enough to be one of a load test. A bool is no number.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import stat
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from ecoload.errors import UsageError

MOST_COUNT = 2**53
MOST_NUMBER = 1e15
LONGEST_TEXT = 4096
_SHOWN = 60
_RATE = "_rate"


class Strict:
    """A reader of one tree. `problems` are `place: what is wrong`; with `more` a mapping may hold other keys
    than those asked for."""

    def __init__(self, *, more: bool = False) -> None:
        self._found: dict[str, str] = {}
        self._more = more

    @property
    def problems(self) -> list[str]:
        return [f"{place}: {message}" for place, message in self._found.items()]

    def wrong(self, place: str, message: str) -> None:
        self._found.setdefault(place, message)

    def mapping(self, value: Any, place: str) -> dict[str, Any]:
        """An object; an empty one where there is another thing."""
        if isinstance(value, dict):
            return value
        self.wrong(place, f"expected an object, got {_shown(value)}")
        return {}

    def listed(self, value: Any, place: str) -> list[Any]:
        """A list; an empty one where there is another thing."""
        if isinstance(value, list):
            return value
        self.wrong(place, f"expected a list, got {_shown(value)}")
        return []

    def number(self, value: Any, place: str, most: float = MOST_NUMBER) -> float | None:
        """A number from 0 to `most`."""
        if type(value) not in (int, float) or not math.isfinite(value):
            self.wrong(place, f"expected a number, got {_shown(value)}")
        elif not 0 <= value <= most:
            self.wrong(place, f"{value:g} is not within 0 … {most:g}")
        else:
            return float(value)
        return None

    def count(self, value: Any, place: str) -> int | None:
        """A whole number, also where it is written as `12.0`."""
        found = self.number(value, place, MOST_COUNT)
        if found is not None and not found.is_integer():
            self.wrong(place, f"{found:g} is no whole number")
        return None if found is None else int(found)

    def text(self, value: Any, place: str) -> str:
        if not isinstance(value, str):
            self.wrong(place, f"expected a text, got {_shown(value)}")
            return ""
        if len(value) > LONGEST_TEXT:
            self.wrong(place, f"a text of {len(value):,} characters, at most {LONGEST_TEXT:,} are read")
        return value

    def flag(self, value: Any, place: str) -> bool:
        if not isinstance(value, bool):
            self.wrong(place, f"expected true or false, got {_shown(value)}")
        return value is True

    def of(self, hint: Any, value: Any, place: str) -> Any:
        """A value of the type `hint`: a dataclass, a tuple of one type, int, float, str, bool, or one of
        these or None. Keys with a default may be missing; a key that is not known is a problem."""
        if get_origin(hint) in (Union, types.UnionType):
            kinds = [kind for kind in get_args(hint) if kind is not types.NoneType]
            return None if value is None else self.of(kinds[0], value, place)
        if dataclasses.is_dataclass(hint):
            return self._dataclass(hint, value, place)
        if get_origin(hint) is tuple:
            items = enumerate(self.listed(value, place))
            return tuple(self.of(get_args(hint)[0], one, f"{place}[{index}]") for index, one in items)
        if hint is float:
            return self.number(value, place, 1.0 if place.endswith(_RATE) else MOST_NUMBER)
        return {int: self.count, str: self.text, bool: self.flag}[hint](value, place)

    def _dataclass(self, cls: Any, value: Any, place: str) -> Any:
        tree, hints = self.mapping(value, place), _hints(cls)
        made = {}
        for field in dataclasses.fields(cls):
            within = f"{place}.{field.name}" if place else field.name
            if field.name in tree:
                made[field.name] = self.of(hints[field.name], tree[field.name], within)
            elif field.default is not dataclasses.MISSING:
                made[field.name] = field.default
            else:
                if isinstance(value, dict):
                    self.wrong(within, "is missing")
                made[field.name] = _nothing(hints[field.name])
        for key in () if self._more else sorted(tree.keys() - hints.keys()):
            self.wrong(f"{place}.{_shown(key)}" if place else _shown(key), "is no key of this")
        return cls(**made)


_hints = functools.cache(get_type_hints)


def _nothing(hint: Any) -> Any:
    return "" if hint is str else () if get_origin(hint) is tuple else None


def read_plain(path: Path, most: int) -> bytes:
    """The content of a plain file of at most `most` bytes. Raises UsageError for anything else: a pipe or a
    device would never end."""
    try:
        check_plain(path, most)
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(content) > most:
        raise UsageError(f"{path}: more than {most:,} bytes")
    return content


def check_plain(path: Path, most: int) -> None:
    """Raises UsageError where a file is no plain one, or larger than that; OSError where it is not there."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path}: not a plain file")
    if found.st_size > most:
        raise UsageError(f"{path}: {found.st_size:,} bytes; at most {most:,} are read")


def rising(values: Sequence[float | None]) -> bool:
    """Whether none of those that are there is less than one before it."""
    there = [value for value in values if value is not None]
    return all(a <= b for a, b in itertools.pairwise(there))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
