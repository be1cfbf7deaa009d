"""Expressions and statements of JavaScript, laid out as prettier lays them out.

Rules
-----
- An expression is a node: a plain Python value is its literal, `Raw` stands as it is. What is printed is a
  document of groups and possible line breaks, as prettier's own (Wadler, *A prettier printer*); the choices
  are prettier's for just these nodes.
- An object of `Obj` stands on several lines unless it is `flat`; then where it does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecoload.export.k6 import js
from ecoload.export.k6.documents import (
    BREAK,
    LINE,
    SOFT,
    Doc,
    Fill,
    Fluid,
    Group,
    IfBroken,
    Indent,
    Parts,
    breaks,
    printed,
    width_of,
)
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
    return printed([_node(node)], 0, 1 << 30)


def assignment(keyword: str, name: str, value: Node, indent: int) -> str:
    """`const name = value;`; without a keyword a value for a name that is there."""
    left = f"{keyword} {name}".lstrip()
    return printed([" " * indent, _assigned(left, " =", value), ";"], indent)


def statement(value: Node, indent: int) -> str:
    """An expression as a statement."""
    return printed([" " * indent, _node(value), ";"], indent)


def condition(test: Node, indent: int, keyword: str = "if") -> str:
    """`if (test) {`"""
    inside = _operands(test, in_condition=True) if isinstance(test, Binary) else [_node(test)]
    head = Group([f"{keyword} (", Group([Indent([SOFT, *inside]), SOFT]), ") {"])
    return printed([" " * indent, head], indent)


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


def _node(node: Node) -> Doc:
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
            return Group([node.object, "[", Indent([SOFT, _node(node.key)]), SOFT, "]"])
        case Not():
            return Group(["!", _node(node.operand)])
        case Binary():
            first, *others = _operands(node)
            return Group([first, Indent(others)])
        case Obj():
            return _object(node)
    return _array(node)


def _call(call: Call) -> Doc:
    """Arguments side by side; a last object or array hugs the parentheses; else each on its line."""
    if not call.arguments:
        return f"{call.callee}()"
    arguments = [_node(argument) for argument in call.arguments]
    broken = breaks(arguments)
    apart: list[Doc] = [
        call.callee, "(", Indent([SOFT, *_joined(arguments)]), IfBroken(","), SOFT, ")",
    ]  # fmt: skip
    if not _hugs(call.arguments):
        return Group(apart, broken)
    *before, last = arguments
    if breaks(before):
        return Group(apart, True)
    together: list[Doc] = [call.callee, "(", *_joined([*before, last]), ")"]
    expanded: list[Doc] = [call.callee, "(", *_joined([*before, Group([last], True)]), ")"]
    hugging = Group(together, states=(together, expanded, [Group(apart, True)]))
    return Parts([BREAK, hugging] if broken else [hugging])


def _hugs(arguments: tuple[Node, ...]) -> bool:
    *before, last = arguments
    if not isinstance(last, Obj | Arr) or not last.items:
        return False
    return not before or type(before[-1]) is not type(last)


def _joined(parts: list[Doc]) -> list[Doc]:
    joined: list[Doc] = []
    for index, part in enumerate(parts):
        joined += [",", LINE, part] if index else [part]
    return joined


def _operands(binary: Binary, *, in_condition: bool = False) -> list[Doc]:
    """Operands side by side, or one below the other. The second of two breaks by itself."""
    first, *others = [_node(operand) for operand in binary.operands]
    if len(others) == 1 and not (in_condition and binary.operator in ("&&", "||")):
        return [first, " ", Group([binary.operator, LINE, *others])]
    parts: list[Doc] = [first]
    for other in others:
        parts += [f" {binary.operator}", LINE, other]
    return parts


def _object(obj: Obj) -> Doc:
    if not obj.items:
        return "{}"
    properties = [_property(name, value) for name, value in obj.items]
    return Group(["{", Indent([LINE, *_joined(properties)]), IfBroken(","), LINE, "}"], not obj.flat)


def _property(name: str | None, value: Node) -> Doc:
    if name is None:
        return Parts(["...", _node(value)])
    key = js.key(name)
    if isinstance(value, Raw) and value.text == key:
        return key
    return _assigned(key, ":", value, short=width_of(key) <= _SHORT_KEY)


_SHORT_KEY = 4
"""Behind a property's name of so few characters prettier breaks no line."""


def _assigned(left: str, operator: str, value: Node, *, short: bool = False) -> Doc:
    """What stands behind a `:` or `=`, and where its line breaks."""
    right = Group(_operands(value)) if isinstance(value, Binary) else _node(value)
    if isinstance(value, Binary) or (not short and (isinstance(value, str) or _hardly_breaks(value))):
        return Group([left, operator, Group([Indent([LINE, right])])])
    if short or isinstance(value, Template | None | bool | int | float):
        return Group([left, operator, " ", right])
    return Group([Fluid(f"{left}{operator}", [right])])


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


def _array(array: Arr) -> Doc:
    if not array.items:
        return "[]"
    items = array.items
    if len(items) > 1 and all(type(item) in (int, float) for item in items):
        words = [number(item) for item in items if isinstance(item, int | float)]
        inside: list[Doc] = [Fill([f"{word}," for word in words[:-1]] + words[-1:])]
    else:
        inside = [*_joined([_node(item) for item in items]), IfBroken(",")]
    table = len(items) > 1 and all(isinstance(item, Obj | Arr) and len(item.items) > 1 for item in items)
    alike = len({type(item) for item in items}) == 1
    return Group(["[", Indent([SOFT, *inside]), SOFT, "]"], table and alike)


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
