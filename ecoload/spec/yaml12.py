"""YAML 1.2 core, read strictly, with the line of every value.

Rules
-----
- The core schema only: `no`, `on`, `12:30` and dates are strings; only `true` and `false` are booleans.
- Duplicate keys, tags, merge keys (`<<`), keys that are not strings, `.nan`, `.inf`, more than one
  document and recursive aliases are errors; all of them are reported at once.
- A file is at most `MAX_BYTES`, and at most `MAX_NODES` values once its aliases are expanded, so that
  a small file cannot unfold into a huge one.
- What comes out is plain data: dict, list, str, int, float, bool, None. Aliased parts are copies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ecoload.errors import Problem, SpecError

MAX_BYTES = 1_048_576
MAX_NODES = 100_000
MAX_DEPTH = 64

Where = tuple[str | int, ...]
"""The way to a value: keys and indices from the root."""

Event = Any
"""A parser event; pyyaml's own classes say too little about what they hold."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read. `file` is its name for messages; `lines` counts from 1."""

    file: str
    data: Any
    lines: dict[Where, int]

    def line(self, where: Where) -> int:
        """The line of a value; of the nearest thing around it where it is not in the file."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)


def read(path: Path, name: str | None = None) -> Document:
    """Read a file. Raises SpecError with every problem of its form."""
    file = name or str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SpecError([Problem(file, 0, f"cannot be read: {error.strerror}")]) from error
    if len(raw) > MAX_BYTES:
        raise SpecError([Problem(file, 0, f"is larger than {MAX_BYTES} bytes")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SpecError([Problem(file, line, "is not UTF-8")]) from error
    return parse(text, file)


def parse(text: str, file: str) -> Document:
    """Parse a text. Raises SpecError with every problem of its form."""
    composer = _Composer(file)
    try:
        data = composer.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        message = " ".join(part for part in (error.context, error.problem) if part)
        composer.problems.append(Problem(file, line, f"is not YAML: {message}"))
    except yaml.YAMLError as error:
        composer.problems.append(Problem(file, 0, f"is not YAML: {str(error).splitlines()[0]}"))
    except _GiveUp:
        pass
    if composer.problems:
        raise SpecError(list(dict.fromkeys(composer.problems)))
    return Document(file, data, composer.lines)


_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {
    word: value for value in (True, False) for word in (str(value).lower(), str(value), str(value).upper())
}
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCT = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_A_NUMBER = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_MAX_DIGITS = 400


class _GiveUp(Exception):
    """A problem after which reading on makes no sense; it is already noted."""


class _Composer:
    """Builds data from parser events. An alias replays the events of its anchor, so that every
    place has its own copy and its own lines."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.lines: dict[Where, int] = {}
        self._anchors: dict[str, list[Event]] = {}
        self._recording: list[tuple[str, list[Event]]] = []
        self._nodes = 0

    def document(self, events: Iterator[Event]) -> Any:
        data: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._problem(event, "holds more than one document; one file is one document")
                    raise _GiveUp
            elif isinstance(event, yaml.NodeEvent):
                self.lines[()] = _line(event)
                data = self._node(event, events, ())
        return data

    def _problem(self, event: Event, message: str) -> None:
        self.problems.append(Problem(self.file, _line(event), message))

    def _next(self, events: Iterator[Event]) -> Event:
        event = next(events)
        for _, record in self._recording:
            record.append(event)
        return event

    def _node(self, event: Event, events: Iterator[Event], where: Where) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(where) > MAX_DEPTH:
            self._problem(
                event, "unfolds into too many values" if self._nodes > MAX_NODES else "is nested too deep"
            )
            raise _GiveUp
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, where)
        if event.tag is not None:
            self._problem(event, f"tag {event.tag!r} is not allowed; write the plain value")
        anchor = event.anchor
        if anchor is None:
            return self._value(event, events, where)
        record = [event]
        self._anchors.pop(anchor, None)
        self._recording.append((anchor, record))
        value = self._value(event, events, where)
        self._recording.pop()
        self._anchors[anchor] = record
        return value

    def _alias(self, event: Event, where: Where) -> Any:
        if event.anchor in {name for name, _ in self._recording}:
            self._problem(event, f"alias *{event.anchor} contains itself")
            raise _GiveUp
        if event.anchor not in self._anchors:
            self._problem(event, f"alias *{event.anchor} has no anchor before it")
            raise _GiveUp
        replay = iter(self._anchors[event.anchor])
        recording, self._recording = self._recording, []  # the replayed events are already on record
        value = self._replayed(next(replay), replay, where)
        self._recording = recording
        return value

    def _replayed(self, event: Event, events: Iterator[Event], where: Where) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(where) > MAX_DEPTH:
            self._problem(event, "unfolds into too many values")
            raise _GiveUp
        return self._value(event, events, where)

    def _value(self, event: Event, events: Iterator[Event], where: Where) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, where)
        return self._mapping(events, where)

    def _sequence(self, events: Iterator[Event], where: Where) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(events), yaml.SequenceEndEvent):
            place = (*where, len(items))
            self.lines[place] = _line(event)
            items.append(self._node(event, events, place))
        return items

    def _mapping(self, events: Iterator[Event], where: Where) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := self._next(events), yaml.MappingEndEvent):
            key = self._key(event, events, where)
            line = _line(event)
            if key in items:
                first = self.lines[(*where, key)]
                self._problem(event, f"duplicate key {key!r}; it stands first in line {first}")
                self._node(self._next(events), events, (*where, key))
                continue
            self.lines[(*where, key)] = line
            items[key] = self._node(self._next(events), events, (*where, key))
        return items

    def _key(self, event: Event, events: Iterator[Event], where: Where) -> str:
        key = self._node(event, events, (*where, "?"))
        self.lines.pop((*where, "?"), None)
        if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.style is None:
            self._problem(event, "merge keys (<<) are not YAML 1.2; write the keys out")
        elif not isinstance(key, str):
            self._problem(
                event,
                "a key must be a string"
                + (f'; write "{event.value}"' if isinstance(event, yaml.ScalarEvent) else ""),
            )
        return str(key)

    def _scalar(self, event: Event) -> Any:
        text: str = event.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._problem(event, "half a surrogate pair is not a character; write the character itself")
        if event.style is not None:
            return text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if len(text) <= _MAX_DIGITS:
            if _INT.match(text):
                return self._whole(event, int(text))
            if _OCT.match(text) or _HEX.match(text):
                return self._whole(event, int(text, 0))
            if _FLOAT.match(text):
                return self._finite(event, float(text))
        if _NOT_A_NUMBER.match(text):
            self._problem(event, f"{text} is not a number here; use a finite one")
        return text

    def _whole(self, event: Event, number: int) -> int:
        if not -(2**63) <= number < 2**63:
            self._problem(event, f"{event.value} does not fit 64 bits; write it in quotes")
        return number

    def _finite(self, event: Event, number: float) -> float:
        if number in (float("inf"), float("-inf")):
            self._problem(event, f"{event.value} is too large a number")
        return number


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1
