"""Documents of text, groups and possible line breaks, printed as prettier prints its own.

Rules
-----
- Wadler's printer (*A prettier printer*) with prettier's additions: a group stands on one line where it
  fits, up to the first place behind it where a line may end; a group may have several states; a fill takes as
  many words as a line holds.
- What must break breaks the groups around it, but for one that has states of its own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from ecoload.export.k6.js import WIDTH


@dataclass(frozen=True, slots=True)
class Line:
    """A place where a line may break, or (`hard`) must."""

    flat: str
    hard: bool = False


SOFT, LINE, HARD = Line(""), Line(" "), Line("", hard=True)


@dataclass(frozen=True, slots=True)
class Parts:
    parts: list[Doc]


@dataclass(frozen=True, slots=True)
class Indent:
    parts: list[Doc]


@dataclass(frozen=True, slots=True)
class IfBroken:
    """Text that stands only where the group around it is broken."""

    text: str


@dataclass(frozen=True, slots=True)
class Break:
    """Breaks the groups around it."""


BREAK = Break()


@dataclass(frozen=True, slots=True)
class Fill:
    """Words on as few lines as hold them."""

    words: list[str]


@dataclass(frozen=True, slots=True)
class Group:
    """Flat where it fits, else broken; `states` are other ways to print it, tried in order."""

    parts: list[Doc]
    broken: bool = False
    states: tuple[list[Doc], ...] = ()


@dataclass(frozen=True, slots=True)
class Fluid:
    """`left` and a value: on the next line where not even its beginning fits behind."""

    left: str
    value: list[Doc]


Doc = str | Line | Parts | Indent | IfBroken | Break | Fill | Group | Fluid
_Todo = list[tuple[int, bool, "Doc"]]
"""What is still to be printed, the next one last: how far it is indented, and whether its lines break."""
_FLAT, _BROKEN = False, True


def breaks(parts: Iterable[Doc]) -> bool:
    """True where parts cannot stand on one line."""
    for part in parts:
        match part:
            case Break():
                return True
            case Line(hard=True):
                return True
            case Group():
                if not part.states and (part.broken or breaks(part.parts)):
                    return True
            case Parts() | Indent():
                if breaks(part.parts):
                    return True
            case Fluid():
                if breaks(part.value):
                    return True
    return False


def printed(doc: list[Doc], indent: int, width: int = WIDTH) -> str:
    out: list[str] = []
    column = 0
    todo: _Todo = []
    _push(todo, indent, _BROKEN, doc)
    while todo:
        level, mode, part = todo.pop()
        match part:
            case str():
                out.append(part)
                column += width_of(part)
            case Line() if mode is _FLAT and not part.hard:
                out.append(part.flat)
                column += len(part.flat)
            case Line():
                out.append("\n" + " " * level)
                column = level
            case Parts():
                _push(todo, level, mode, part.parts)
            case Indent():
                _push(todo, level + 2, mode, part.parts)
            case IfBroken() if mode is _BROKEN:
                _push(todo, level, mode, [part.text])
            case Fill():
                _push(todo, level, mode, _filled(part, level, column, mode, width))
            case Group():
                _push(todo, level, *_chosen(part, mode, width - column, todo))
            case Fluid():
                _push(todo, level, mode, _placed(part, mode, width - column, todo))
    return "".join(out)


def _push(todo: _Todo, level: int, mode: bool, parts: list[Doc]) -> None:
    todo.extend((level, mode, part) for part in reversed(parts))


def _chosen(group: Group, mode: bool, room: int, rest: _Todo) -> tuple[bool, list[Doc]]:
    """Whether the lines of a group break, and what it is printed as."""
    broken = not group.states and (group.broken or breaks(group.parts))
    if mode is _FLAT or (not broken and _fits(group.parts, room, rest)):
        return broken, group.parts
    for state in group.states[1:-1]:
        if _fits(state, room, rest):
            return _FLAT, state
    return _BROKEN, group.states[-1] if group.states else group.parts


def _placed(fluid: Fluid, mode: bool, room: int, rest: _Todo) -> list[Doc]:
    behind: list[Doc] = [fluid.left, " ", *fluid.value]
    if mode is _FLAT or _fits(behind, room, rest, _BROKEN):
        return behind
    return [fluid.left, Indent([HARD, *fluid.value])]


def _filled(fill: Fill, level: int, column: int, mode: bool, width: int) -> list[Doc]:
    if mode is _FLAT:
        return [" ".join(fill.words)]
    *words, last = fill.words
    lines, room = [""], width - column
    for word in [*words, f"{last},"]:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
            room = width - level
        lines[-1] += f" {word}" if lines[-1] else word
    parts: list[Doc] = [lines[0]]
    for line in lines[1:]:
        parts += [HARD, line]
    return parts


def _fits(parts: list[Doc], room: int, rest: _Todo, mode: bool = _FLAT) -> bool:
    """Whether what comes next fits into a line, up to where that may or must end."""
    todo: list[tuple[bool, Doc]] = [(mode, part) for part in reversed(parts)]
    behind = len(rest)
    while room >= 0:
        if not todo:
            if behind == 0:
                return True
            behind -= 1
            todo.append(rest[behind][1:])
        breaking, part = todo.pop()
        match part:
            case str():
                room -= width_of(part)
            case Line():
                if breaking or part.hard:
                    return True
                room -= len(part.flat)
            case Parts() | Indent():
                todo += [(breaking, one) for one in reversed(part.parts)]
            case IfBroken() if breaking:
                room -= len(part.text)
            case Fill():
                room -= sum(map(len, part.words)) + len(part.words) - 1
            case Group():
                breaking = breaking or (not part.states and (part.broken or breaks(part.parts)))
                inner = part.states[-1] if part.states and breaking else part.parts
                todo += [(breaking, one) for one in reversed(inner)]
            case Fluid():
                todo += [(breaking, one) for one in reversed([part.left, " ", *part.value])]
    return False


def width_of(text: str) -> int:
    """How many columns a text takes, wide characters two and combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
