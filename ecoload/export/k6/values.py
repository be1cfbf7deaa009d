"""The `${…}` language as expressions of JavaScript.

Rules
-----
- The same values as in `engine/values.py`; what differs between Python and JavaScript (numbers as text,
  escapes) is made equal by the helpers (`helpers.py`), or it is refused.
- What is known when a script is exported stands in it as a constant.
- A digest is bytes: `sha256` passes it on to `hex` and `base64url`, and it is hex wherever it stands as text.
- Ids are unique, not the same as ecoload's: k6 makes them at random.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ecoload.export.k6 import js, layout
from ecoload.export.k6.js import Raw
from ecoload.export.k6.layout import Arr, Call, Node, Obj, Template
from ecoload.export.k6.sameness import MOST, told_apart
from ecoload.guard.text import path_segment, query_value
from ecoload.plan import Array, Expression, Object, Plan, Ref, StringTemplate, Text, Value
from ecoload.plan import Call as Function
from ecoload.spec.functions import PURE, as_text

Place = Literal["path", "query", "header"]
_ANYWHERE: frozenset[Place] = frozenset({"path", "query", "header"})
_HEADER: frozenset[Place] = frozenset({"header"})
_NOWHERE: frozenset[Place] = frozenset()
_UNKNOWN = object()
_SENDABLE = re.compile(r"[\t\x20-\x7e]*")
"""What Go sends of a header as it is."""


@dataclass(frozen=True, slots=True)
class Said:
    """An expression: its node, what kind of value it has (`any` where only the run tells), the helpers that
    it calls, and where its text can stand as it is. `digested` is what a digest is of."""

    node: Node
    kind: Literal["text", "number", "bytes", "any"]
    needs: frozenset[str] = frozenset()
    fits: frozenset[Place] = _NOWHERE
    digested: Node = None


@dataclass(frozen=True, slots=True)
class Hole:
    """A value that is looked at before it is sent: `check` is the helper that says whether it may."""

    check: str
    node: Node


@dataclass(slots=True)
class Names:
    """What the names of a template are where a function of the script stands. `refuse` is told what k6 cannot
    say; `read_as_text` are the fields of records that stand in texts, `needs` all that is called."""

    plan: Plan
    variables: Mapping[str, str]
    """The environment variable of each secret."""
    refuse: Callable[[str], None]
    local: dict[str, Said] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)
    """The values of those `let` that every iteration has."""
    needs: set[str] = field(default_factory=set)
    read_as_text: set[str] = field(default_factory=set)

    # --- whole values -----------------------------------------------------------------------------

    def value(self, value: Value | Expression) -> Said:
        """A value of any type, as JavaScript holds it."""
        known = self.constant(value)
        if known is not _UNKNOWN:
            return Said(self.literal(known), _kind(known))
        match value:
            case Ref():
                said = self._name(value)
            case Function():
                said = self._function(value)
            case Text():
                said = self.text(value)
            case Object():
                items = tuple((key, self.json(item)) for key, item in value.items)
                said = Said(Obj(items), "any")
            case Array():
                said = Said(Arr(tuple(self.json(item) for item in value.items)), "any")
        self.needs |= said.needs
        return said

    def constant(self, value: Value | Expression) -> Any:
        """What a value is in every request of every run; `_UNKNOWN` where that is not known."""
        match value:
            case Ref(("protocol", name)):
                return getattr(self.plan.protocol, name)
            case Ref((name,)) if name in self.known:
                return self.known[name]
            case Function() if value.function in PURE:
                arguments = [self.constant(argument) for argument in value.arguments]
                return _UNKNOWN if _UNKNOWN in arguments else PURE[value.function](*arguments)
            case Ref() | Function():
                return _UNKNOWN
            case Text():
                parts = [self.constant(part) for part in value.parts]
                return _UNKNOWN if _UNKNOWN in parts else "".join(map(as_text, parts))
            case Object():
                members = {key: self.constant(item) for key, item in value.items}
                return _UNKNOWN if _UNKNOWN in members.values() else members
            case Array():
                items = [self.constant(item) for item in value.items]
                return _UNKNOWN if _UNKNOWN in items else items
        return value

    def literal(self, value: Any) -> Node:
        """A constant as JavaScript holds it; digests as hex."""
        match value:
            case bytes():
                return value.hex()
            case dict():
                return Obj(tuple((key, self.literal(item)) for key, item in value.items()))
            case list():
                return Arr(tuple(self.literal(item) for item in value))
            case bool() | None | str():
                return value
        if abs(value) > MOST:
            self.refuse(f"{value} is beyond 2^53, and JavaScript does not tell it from its neighbours")
        return value  # type: ignore[no-any-return]

    def json(self, value: Value | Expression) -> Node:
        """A value inside of an object or a list; digests as hex."""
        said = self.value(value)
        return self._hex(said) if said.kind == "bytes" else said.node

    def told_apart(self, value: Value | Expression) -> bool:
        """True where `JSON.stringify` of the value is what ecoload writes, as far as it is known."""
        if (known := self.constant(value)) is not _UNKNOWN:
            return told_apart(known)
        match value:
            case Object():
                return told_apart(dict.fromkeys(key for key, _ in value.items)) and all(
                    self.told_apart(item) for _, item in value.items
                )
            case Array():
                return all(map(self.told_apart, value.items))
        return True

    # --- texts ------------------------------------------------------------------------------------

    def text(self, value: Value | Expression) -> Said:
        """A value as text."""
        known = self.constant(value)
        if known is not _UNKNOWN:
            return Said(self._constant_text(known), "text")
        if not isinstance(value, Text):
            return self._as_text(value)
        parts: list[str | Raw] = []
        fits = _ANYWHERE
        for part in value.parts:
            if (known := self.constant(part)) is not _UNKNOWN:
                parts.append(self._constant_text(known))
                fits = _NOWHERE
                continue
            said = self._as_text(part)
            parts += said.node.parts if isinstance(said.node, Template) else [_raw(said.node)]
            fits = fits & said.fits
        return Said(layout.joined(parts), "text", fits=fits)

    def _constant_text(self, value: Any) -> str:
        self.literal(value)
        return as_text(value)

    def _as_text(self, value: Value | Expression) -> Said:
        said = self.value(value)
        match said.kind:
            case "text":
                return said
            case "number":
                return replace(said, node=layout.joined([_raw(said.node)]), kind="text")
            case "bytes":
                return replace(said, node=self._hex(said), kind="text")
        self.note_text(value)
        self.needs.add("text")
        return Said(Call("text", (said.node,)), "text")

    def in_query(self, template: StringTemplate) -> list[str | Raw]:
        """The pieces of a query's value, percent-encoded."""
        return [
            query_value(as_text(part)) if known else self._encoded(part)
            for part, known in self._pieces(template)
        ]

    def in_path(self, template: StringTemplate) -> tuple[list[str | Raw], list[Hole]]:
        """The pieces of a path, and the values in it that may not be fit for one."""
        parts: list[str | Raw] = []
        holes = []
        for piece, known in self._pieces(template, written_as_is=True):
            if isinstance(piece, _Written):
                parts.append(piece.text)
            elif known:
                try:
                    parts.append(path_segment(as_text(piece)))
                except ValueError as error:
                    self.refuse(f"a value must not stand in a path: {error}")
            else:
                said = self.value(piece)
                if "path" not in said.fits:
                    holes.append(Hole("fitsPath", said.node))
                parts.append(self._encoded(piece))
        return parts, holes

    def in_header(self, name: str, template: StringTemplate) -> tuple[Node, list[Hole]]:
        """A header's value, and the values in it that may not be fit for one."""
        holes = []
        for piece, known in self._pieces(template):
            if known:
                if not _SENDABLE.fullmatch(as_text(piece)):
                    self.refuse(
                        f"the header {name} has what is not ASCII, which k6 sends as UTF-8 or not at all"
                    )
                continue
            said = self.value(piece)
            if "header" not in said.fits:
                holes.append(Hole("fitsHeader", said.node))
        self.needs.update(hole.check for hole in holes)
        return self.text(template).node, holes

    def _pieces(self, template: StringTemplate, *, written_as_is: bool = False) -> list[tuple[Any, bool]]:
        """The parts of a text, each with whether it is known."""
        parts = template.parts if isinstance(template, Text) else (template,)
        found: list[tuple[Any, bool]] = []
        for part in parts:
            if isinstance(part, str) and written_as_is:
                found.append((_Written(part), True))
                continue
            known = self.constant(part)
            found.append((part, False) if known is _UNKNOWN else (known, True))
        return found

    def _encoded(self, value: Value | Expression) -> Raw:
        said = self.value(value)
        self.note_text(value)
        if "query" in said.fits:
            return _raw(self._hex(said) if said.kind == "bytes" else said.node)
        self.needs.add("urlencode")
        return _raw(Call("urlencode", (self._hex(said) if said.kind == "bytes" else said.node,)))

    # --- names and functions ----------------------------------------------------------------------

    def _name(self, ref: Ref) -> Said:
        match ref.name:
            case ("run", "id"):
                return Said(Raw("run.id"), "text", fits=_HEADER)
            case ("env", name):
                return Said(_variable(name), "text")
            case ("secret", name):
                return Said(_variable(self.variables[name]), "text")
            case ("data", name):
                return Said(Raw(f"data.{name}"), "any")
            case ("vu",):
                return Said(Raw("exec.vu.idInTest"), "number", frozenset({"exec"}), _ANYWHERE)
            case ("iteration",):
                return Said(Raw("exec.vu.iterationInScenario"), "number", frozenset({"exec"}), _ANYWHERE)
        return self.local[ref.name[0]]

    def _function(self, call: Function) -> Said:
        arguments = call.arguments
        match call.function:
            case "uuid":
                return Said(Call("crypto.randomUUID"), "text", fits=_ANYWHERE)
            case "now_ms":
                return Said(Call("Date.now"), "number", fits=_ANYWHERE)
            case "now_iso":
                return Said(Raw("new Date().toISOString()"), "text", fits=_HEADER)
            case "random_int":
                return self._random("randomInt", "number", arguments)
            case "random_string":
                return self._random("randomString", "text", arguments)
            case "sha256":
                return self._sha256(arguments[0])
            case "hex" | "base64url":
                return self._spelt(call.function, arguments[0])
        said = self.value(arguments[0])
        self.note_text(arguments[0])
        node = self._hex(said) if said.kind == "bytes" else said.node
        fits = _HEADER if call.function == "urlencode" else said.fits
        return Said(Call(call.function, (node,)), "text", frozenset({call.function}), fits)

    def _random(
        self, helper: str, kind: Literal["number", "text"], arguments: tuple[Expression, ...]
    ) -> Said:
        nodes = tuple(self.value(argument).node for argument in arguments)
        return Said(Call(helper, nodes), kind, frozenset({helper}), _ANYWHERE)

    def _sha256(self, of: Expression) -> Said:
        said = self.value(of)
        node = said.node if said.kind == "bytes" else self.text(of).node
        return Said(Call("sha256", (node, "binary")), "bytes", frozenset({"sha256"}), _ANYWHERE, node)

    def _spelt(self, function: str, of: Expression) -> Said:
        said = self.value(of)
        if said.kind != "bytes":
            node, fits = self.text(of).node, _ANYWHERE - {"path"}
        elif function == "hex":
            return Said(self._hex(said), "text", fits=_ANYWHERE)
        elif said.digested is not None:
            return Said(Call("sha256", (said.digested, "base64rawurl")), "text", fits=_ANYWHERE)
        else:
            node, fits = said.node, _ANYWHERE
        if function == "hex":
            return Said(Call("hexEncode", (node,)), "text", frozenset({"hexEncode"}), fits)
        return Said(Call("encoding.b64encode", (node, "rawurl")), "text", frozenset({"encoding"}), fits)

    def _hex(self, said: Said) -> Node:
        """A digest as text."""
        if said.digested is not None:
            self.needs.add("sha256")
            return Call("sha256", (said.digested, "hex"))
        self.needs.add("hexEncode")
        return Call("hexEncode", (said.node,))

    def note_text(self, value: Value | Expression) -> None:
        """A record's field stands in a text."""
        if isinstance(value, Ref) and value.name[0] == "data":
            self.read_as_text.add(value.name[1])


@dataclass(frozen=True, slots=True)
class _Written:
    """What an author wrote of a path: it stands as it is."""

    text: str


def as_known(known: object) -> bool:
    """True where `Names.constant` gave a value."""
    return known is not _UNKNOWN


def _kind(value: Any) -> Literal["text", "number", "bytes", "any"]:
    match value:
        case str():
            return "text"
        case bool() | None | dict() | list():
            return "any"
        case bytes():
            return "text"
    return "number"


def _variable(name: str) -> Raw:
    return Raw(f"__ENV.{name}" if name.isidentifier() and name.isascii() else f"__ENV[{js.string(name)}]")


def _raw(node: Node) -> Raw:
    return node if isinstance(node, Raw) else Raw(layout.expression(node))
