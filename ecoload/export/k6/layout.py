"""Expressions and statements of JavaScript, laid out as prettier lays them out.

Rules
-----
- An expression is a node: a plain Python value is its literal, `Raw` stands as it is. What is printed is a
  document of groups and possible line breaks, as prettier's own (Wadler, *A prettier printer*); the choices
  are prettier's for just these nodes.
- An object of `Obj` stands on several lines unless it is `flat`; then where it does not fit.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from ecoload.export.k6 import js
from ecoload.export.k6.js import WIDTH, Raw

# --- Nodes ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Template:
    """A template literal: texts and expressions."""

    parts: tuple[str | Raw, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """`callee(arguments)`."""

    callee: str
    arguments: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Index:
    """`object[key]`."""

    object: str
    key: Node


@dataclass(frozen=True, slots=True)
class Obj:
    """An object; a name of None spreads its value."""

    items: tuple[tuple[str | None, Node], ...]
    flat: bool = False


@dataclass(frozen=True, slots=True)
class Arr:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """Operands joined by one operator, from left to right."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    operand: Node


Node = None | bool | int | float | str | Raw | Template | Call | Index | Obj | Arr | Binary | Not


def expression(node: Node) -> str:
    """A node on one line, where it holds no object that stands on several."""
    return _print([_node(node)], 0, 1 << 30)


def assignment(keyword: str, name: str, value: Node, indent: int) -> str:
    """`const name = value;`; without a keyword a value for a name that is there."""
    left = f"{keyword} {name}".lstrip()
    return _print([" " * indent, _assigned(left, " =", value), ";"], indent)


def statement(value: Node, indent: int) -> str:
    """An expression as a statement."""
    return _print([" " * indent, _node(value), ";"], indent)


def condition(test: Node, indent: int, keyword: str = "if") -> str:
    """`if (test) {`"""
    inside = _operands(test, in_condition=True) if isinstance(test, Binary) else [_node(test)]
    head = _Group([f"{keyword} (", _Group([_Indent([_SOFT, *inside]), _SOFT]), ") {"])
    return _print([" " * indent, head], indent)


def template(parts: Iterable[str | Raw]) -> str:
    """A template literal as text; nothing in a text ends it or begins an expression."""
    return "`" + "".join(_piece(part) for part in parts) + "`"


def joined(parts: Iterable[str | Raw]) -> Node:
    """Texts and expressions as one text: a template literal, or a string where nothing varies."""
    found: list[str | Raw] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    if any(isinstance(part, Raw) for part in found):
        return Template(tuple(found))
    return "".join(part for part in found if isinstance(part, str))


def number(value: float) -> str:
    """A number as prettier writes it."""
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


# --- From nodes to documents ----------------------------------------------------------------------


def _node(node: Node) -> _Doc:
    match node:
        case Raw():
            return node.text
        case str():
            return js.string(node)
        case None | bool():
            return js.literal(node)
        case int() | float():
            return number(node)
        case Template():
            return template(node.parts)
        case Call():
            return _call(node)
        case Index():
            return _Group([node.object, "[", _Indent([_SOFT, _node(node.key)]), _SOFT, "]"])
        case Not():
            return _Group(["!", _node(node.operand)])
        case Binary():
            first, *others = _operands(node)
            return _Group([first, _Indent(others)])
        case Obj():
            return _object(node)
    return _array(node)


def _call(call: Call) -> _Doc:
    """Arguments side by side; a last object or array hugs the parentheses; else each on its line."""
    if not call.arguments:
        return f"{call.callee}()"
    arguments = [_node(argument) for argument in call.arguments]
    broken = _breaks(arguments)
    apart: list[_Doc] = [
        call.callee, "(", _Indent([_SOFT, *_joined(arguments)]), _IfBroken(","), _SOFT, ")",
    ]  # fmt: skip
    if not _hugs(call.arguments):
        return _Group(apart, broken)
    *before, last = arguments
    if _breaks(before):
        return _Group(apart, True)
    together: list[_Doc] = [call.callee, "(", *_joined([*before, last]), ")"]
    expanded: list[_Doc] = [call.callee, "(", *_joined([*before, _Group([last], True)]), ")"]
    hugging = _Group(together, states=(together, expanded, [_Group(apart, True)]))
    return _Parts([_BREAK, hugging] if broken else [hugging])


def _hugs(arguments: tuple[Node, ...]) -> bool:
    *before, last = arguments
    if not isinstance(last, Obj | Arr) or not last.items:
        return False
    return not before or type(before[-1]) is not type(last)


def _joined(parts: list[_Doc]) -> list[_Doc]:
    joined: list[_Doc] = []
    for index, part in enumerate(parts):
        joined += [",", _LINE, part] if index else [part]
    return joined


def _operands(binary: Binary, *, in_condition: bool = False) -> list[_Doc]:
    """Operands side by side, or one below the other. The second of two breaks by itself."""
    first, *others = [_node(operand) for operand in binary.operands]
    if len(others) == 1 and not (in_condition and binary.operator in ("&&", "||")):
        return [first, " ", _Group([binary.operator, _LINE, *others])]
    parts: list[_Doc] = [first]
    for other in others:
        parts += [f" {binary.operator}", _LINE, other]
    return parts


def _object(obj: Obj) -> _Doc:
    if not obj.items:
        return "{}"
    properties = [_property(name, value) for name, value in obj.items]
    return _Group(["{", _Indent([_LINE, *_joined(properties)]), _IfBroken(","), _LINE, "}"], not obj.flat)


def _property(name: str | None, value: Node) -> _Doc:
    if name is None:
        return _Parts(["...", _node(value)])
    key = js.key(name)
    if isinstance(value, Raw) and value.text == key:
        return key
    return _assigned(key, ":", value, short=_width(key) <= _SHORT_KEY)


_SHORT_KEY = 4
"""Behind a property's name of so few characters prettier breaks no line."""


def _assigned(left: str, operator: str, value: Node, *, short: bool = False) -> _Doc:
    """What stands behind a `:` or `=`, and where its line breaks."""
    right = _Group(_operands(value)) if isinstance(value, Binary) else _node(value)
    if isinstance(value, Binary) or (not short and (isinstance(value, str) or _hardly_breaks(value))):
        return _Group([left, operator, _Group([_Indent([_LINE, right])])])
    if short or isinstance(value, Template | None | bool | int | float):
        return _Group([left, operator, " ", right])
    return _Group([_Fluid(f"{left}{operator}", [right])])


def _hardly_breaks(value: Node) -> bool:
    """True for a call with no argument, or with one so short that a line of its own is not worth it."""
    if not isinstance(value, Call) or len(value.arguments) > 1:
        return False
    match value.arguments:
        case ():
            return True
        case (Raw(text),):
            return text.isidentifier() and len(text) <= _SHORT_ARGUMENT
        case (str(text),):
            return len(js.string(text)) <= _SHORT_ARGUMENT
        case (None | bool() | int() | float(),):
            return True
    return False


_SHORT_ARGUMENT = WIDTH // 4


def _array(array: Arr) -> _Doc:
    if not array.items:
        return "[]"
    items = array.items
    if len(items) > 1 and all(type(item) in (int, float) for item in items):
        words = [number(item) for item in items if isinstance(item, int | float)]
        inside: list[_Doc] = [_Fill([f"{word}," for word in words[:-1]] + words[-1:])]
    else:
        inside = [*_joined([_node(item) for item in items]), _IfBroken(",")]
    table = len(items) > 1 and all(isinstance(item, Obj | Arr) and len(item.items) > 1 for item in items)
    alike = len({type(item) for item in items}) == 1
    return _Group(["[", _Indent([_SOFT, *inside]), _SOFT, "]"], table and alike)


def _piece(part: str | Raw) -> str:
    """A part of a template literal."""
    if isinstance(part, Raw):
        return f"${{{part.text}}}"
    escaped = js.string(part)[1:-1]
    if js.string(part)[0] == '"':
        escaped = escaped.replace('\\"', '"')
    else:
        escaped = escaped.replace("\\'", "'")
    return escaped.replace("`", "\\`").replace("${", "\\${")


# --- Documents ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """A place where a line may break, or (`hard`) must."""

    flat: str
    hard: bool = False


_SOFT, _LINE, _HARD = _Line(""), _Line(" "), _Line("", hard=True)


@dataclass(frozen=True, slots=True)
class _Parts:
    parts: list[_Doc]


@dataclass(frozen=True, slots=True)
class _Indent:
    parts: list[_Doc]


@dataclass(frozen=True, slots=True)
class _IfBroken:
    """Text that stands only where the group around it is broken."""

    text: str


@dataclass(frozen=True, slots=True)
class _Break:
    """Breaks the groups around it."""


_BREAK = _Break()


@dataclass(frozen=True, slots=True)
class _Fill:
    """Words on as few lines as hold them."""

    words: list[str]


@dataclass(frozen=True, slots=True)
class _Group:
    """Flat where it fits, else broken; `states` are other ways to print it, tried in order."""

    parts: list[_Doc]
    broken: bool = False
    states: tuple[list[_Doc], ...] = ()


@dataclass(frozen=True, slots=True)
class _Fluid:
    """`left` and a value: on the next line where not even its beginning fits behind."""

    left: str
    value: list[_Doc]


_Doc = str | _Line | _Parts | _Indent | _IfBroken | _Break | _Fill | _Group | _Fluid
_Todo = list[tuple[int, bool, "_Doc"]]
"""What is still to be printed, the next one last: how far it is indented, and whether its lines break."""
_FLAT, _BROKEN = False, True


def _breaks(parts: Iterable[_Doc]) -> bool:
    """True where parts cannot stand on one line."""
    for part in parts:
        match part:
            case _Break():
                return True
            case _Line(hard=True):
                return True
            case _Group():
                if not part.states and (part.broken or _breaks(part.parts)):
                    return True
            case _Parts() | _Indent():
                if _breaks(part.parts):
                    return True
            case _Fluid():
                if _breaks(part.value):
                    return True
    return False


def _print(doc: list[_Doc], indent: int, width: int = WIDTH) -> str:
    out: list[str] = []
    column = 0
    todo: _Todo = []
    _push(todo, indent, _BROKEN, doc)
    while todo:
        level, mode, part = todo.pop()
        match part:
            case str():
                out.append(part)
                column += _width(part)
            case _Line() if mode is _FLAT and not part.hard:
                out.append(part.flat)
                column += len(part.flat)
            case _Line():
                out.append("\n" + " " * level)
                column = level
            case _Parts():
                _push(todo, level, mode, part.parts)
            case _Indent():
                _push(todo, level + 2, mode, part.parts)
            case _IfBroken() if mode is _BROKEN:
                _push(todo, level, mode, [part.text])
            case _Fill():
                _push(todo, level, mode, _filled(part, level, column, mode, width))
            case _Group():
                _push(todo, level, *_chosen(part, mode, width - column, todo))
            case _Fluid():
                _push(todo, level, mode, _placed(part, mode, width - column, todo))
    return "".join(out)


def _push(todo: _Todo, level: int, mode: bool, parts: list[_Doc]) -> None:
    todo.extend((level, mode, part) for part in reversed(parts))


def _chosen(group: _Group, mode: bool, room: int, rest: _Todo) -> tuple[bool, list[_Doc]]:
    """Whether the lines of a group break, and what it is printed as."""
    broken = not group.states and (group.broken or _breaks(group.parts))
    if mode is _FLAT or (not broken and _fits(group.parts, room, rest)):
        return broken, group.parts
    for state in group.states[1:-1]:
        if _fits(state, room, rest):
            return _FLAT, state
    return _BROKEN, group.states[-1] if group.states else group.parts


def _placed(fluid: _Fluid, mode: bool, room: int, rest: _Todo) -> list[_Doc]:
    behind: list[_Doc] = [fluid.left, " ", *fluid.value]
    if mode is _FLAT or _fits(behind, room, rest, _BROKEN):
        return behind
    return [fluid.left, _Indent([_HARD, *fluid.value])]


def _filled(fill: _Fill, level: int, column: int, mode: bool, width: int) -> list[_Doc]:
    if mode is _FLAT:
        return [" ".join(fill.words)]
    *words, last = fill.words
    lines, room = [""], width - column
    for word in [*words, f"{last},"]:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
            room = width - level
        lines[-1] += f" {word}" if lines[-1] else word
    parts: list[_Doc] = [lines[0]]
    for line in lines[1:]:
        parts += [_HARD, line]
    return parts


def _fits(parts: list[_Doc], room: int, rest: _Todo, mode: bool = _FLAT) -> bool:
    """Whether what comes next fits into a line, up to where that may or must end."""
    todo: list[tuple[bool, _Doc]] = [(mode, part) for part in reversed(parts)]
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
                room -= _width(part)
            case _Line():
                if breaking or part.hard:
                    return True
                room -= len(part.flat)
            case _Parts() | _Indent():
                todo += [(breaking, one) for one in reversed(part.parts)]
            case _IfBroken() if breaking:
                room -= len(part.text)
            case _Fill():
                room -= sum(map(len, part.words)) + len(part.words) - 1
            case _Group():
                breaking = breaking or (not part.states and (part.broken or _breaks(part.parts)))
                inner = part.states[-1] if part.states and breaking else part.parts
                todo += [(breaking, one) for one in reversed(inner)]
            case _Fluid():
                todo += [(breaking, one) for one in reversed([part.left, " ", *part.value])]
    return False


def _width(text: str) -> int:
    """How many columns a text takes, wide characters two and combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
