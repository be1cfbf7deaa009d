"""The `${…}` language: a small closed one, parsed here and evaluated by the engine.

Rules
-----
- Inside `${…}` stands one name, one call of a pure function, or one literal; calls nest. There is no
  attribute access, no arithmetic and no code.
- `$${` is a literal `${`. A value that is one whole `${…}` keeps its type; mixed text is text.
- Parsing knows the form; `check` knows the names that are in reach where a template stands.
- In addresses another, even smaller language holds: `${NAME}` and `${NAME:-default}` read the
  environment and nothing else (`resolve_environment`).
- What is wrong raises TemplateError or comes back as messages; both say what would be right.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecoload.errors import EcoloadError
from ecoload.plan import Array, Call, Expression, Object, Ref, StringTemplate, Text, Value

FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "uuid": (),
    "now_ms": (),
    "now_iso": (),
    "random_int": ("int", "int"),
    "random_string": ("int",),
    "base64url": ("any",),
    "sha256": ("any",),
    "hex": ("any",),
    "lower": ("any",),
    "upper": ("any",),
    "urlencode": ("any",),
}
"""Each function's arguments."""

GROUPS = ("data", "env", "secret", "protocol", "run")
"""Names that have members: `data.kind`, `run.id`."""

RESERVED = frozenset({*GROUPS, "vu", "iteration", "true", "false", "null", *FUNCTIONS})
"""Words that neither a `let` nor a capture may take."""

PROTOCOL_FIELDS = ("name", "assigned_app", "version", "mode", "namespace")
MAX_RANDOM_STRING = 65_536


class TemplateError(EcoloadError):
    """A `${…}` that is not of the language."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Scope:
    """The names in reach where a template stands. `data` is None where there is no feeder; `open`
    means that some names could not be read, so that an unknown one may yet be right."""

    names: Collection[str] = ()
    data: Collection[str] | None = None
    env: Collection[str] = ()
    secrets: Collection[str] = ()
    inside: bool = True
    """Within an iteration: `vu` and `iteration` mean something."""
    open: bool = False
    later: Mapping[str, str] = field(default_factory=dict)
    """Names that exist, but not here: why not."""


def parse(text: str) -> Expression | Text:
    """A text as a template: `str` where constant, the expression itself where it is one whole
    `${…}`, else Text. Raises TemplateError."""
    parts: list[Any] = []
    constant = ""
    position = 0
    while (at := text.find("${", position)) >= 0:
        if at > position and text[at - 1] == "$":
            constant += text[position : at - 1] + "${"
            position = at + 2
            continue
        constant += text[position:at]
        expression, position = _Parser(text, at).hole()
        if isinstance(expression, Ref | Call):
            if constant:
                parts.append(constant)
            parts.append(expression)
            constant = ""
        elif at == 0 and position == len(text):
            return expression
        else:
            constant += _literal_text(expression)
    constant += text[position:]
    if not parts:
        return constant
    if constant:
        parts.append(constant)
    return parts[0] if len(parts) == 1 else Text(tuple(parts))


def parse_text(text: str) -> StringTemplate:
    """A template that stands where only text can (a header, a path)."""
    value = parse(text)
    return value if isinstance(value, str | Ref | Call | Text) else _literal_text(value)


def check(value: Value | Expression, scope: Scope) -> list[str]:
    """What is wrong with the names in a template; empty where all are in reach."""
    wrong = [message for ref in references(value) if (message := _check_name(ref.name, scope))]
    return list(dict.fromkeys(wrong))


def references(value: Value | Expression) -> Iterator[Ref]:
    """Every name in a template, in order."""
    return (one for one in _expressions(value) if isinstance(one, Ref))


def calls(value: Value | Expression) -> Iterator[Call]:
    """Every call in a template, in order."""
    return (one for one in _expressions(value) if isinstance(one, Call))


def _expressions(value: Value | Expression) -> Iterator[Ref | Call]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Call):
        yield value
        for argument in value.arguments:
            yield from _expressions(argument)
    elif isinstance(value, Text):
        for part in value.parts:
            yield from _expressions(part)
    elif isinstance(value, Array):
        for item in value.items:
            yield from _expressions(item)
    elif isinstance(value, Object):
        for _, item in value.items:
            yield from _expressions(item)


def is_constant(value: object) -> bool:
    """True where nothing is left to be filled in."""
    if isinstance(value, Array):
        return all(map(is_constant, value.items))
    if isinstance(value, Object):
        return all(is_constant(item) for _, item in value.items)
    return not isinstance(value, Ref | Call | Text)


def resolve_environment(text: str, environ: Mapping[str, str]) -> str | None:
    """`text` with each `${NAME}` and `${NAME:-default}` replaced; None where a name without a default
    is not set. A name that is set but empty counts as not set. Raises TemplateError."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        found = environ.get(match[1]) or match[2]
        missing = missing or found is None
        return found or ""

    resolved = _VARIABLE.sub(value, text)
    if "${" in _VARIABLE.sub("", text):
        raise TemplateError(f"expected ${{NAME}} or ${{NAME:-default}}, got {text!r}")
    return None if missing else resolved


def variables(text: str) -> list[str]:
    """The environment variables that an address names."""
    return [match[1] for match in _VARIABLE.finditer(text)]


def nearest(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'x'?` where something is near, else what there is to choose from."""
    choices = sorted(set(words))
    if close := difflib.get_close_matches(word, choices, n=1, cutoff=0.6):
        return f"; did you mean {close[0]!r}?"
    if not choices:
        return ""
    more = ", …" if len(choices) > _SHOWN else ""
    return f"; expected one of: {', '.join(choices[:_SHOWN])}{more}"


_SHOWN = 16
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_SPACE = re.compile(r"[ \t]*")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_MAX_NESTING = 16
_MAX_DIGITS = 18


def _literal_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class _Parser:
    """Recursive descent over one hole."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.position = start + 2

    def hole(self) -> tuple[Expression, int]:
        expression = self._expression(0)
        self._expect("}", "to end the ${…}")
        return expression, self.position

    def _fail(self, message: str) -> TemplateError:
        return TemplateError(f"{message} at character {self.position + 1} of {self.text!r}")

    def _skip(self) -> str:
        """Skips blanks; the character that follows, or nothing at the end."""
        self.position = _SPACE.match(self.text, self.position).end()  # type: ignore[union-attr]
        return self.text[self.position : self.position + 1]

    def _expect(self, character: str, why: str) -> None:
        found = self._skip()
        if found != character:
            if found == "." and character == "}":
                raise self._fail(f"there is no attribute access; only {', '.join(GROUPS)} have members;")
            raise self._fail(
                f"expected {character!r} {why}, got {found!r}" if found else f"expected {character!r} {why}"
            )
        self.position += 1

    def _expression(self, depth: int) -> Expression:
        if depth > _MAX_NESTING:
            raise self._fail("calls are nested too deep")
        character = self._skip()
        if character in ("'", '"'):
            return self._string(character)
        if number := _NUMBER.match(self.text, self.position):
            if len(number[0]) > _MAX_DIGITS:
                raise self._fail(f"a number has at most {_MAX_DIGITS} digits")
            self.position = number.end()
            return float(number[0]) if number[1] else int(number[0])
        name = _NAME.match(self.text, self.position)
        if name is None:
            raise self._fail(f"expected a name, a function or a literal, got {character!r}")
        start, self.position = self.position, name.end()
        word = name[0]
        if self._skip() == "(":
            return self._call(word, start, depth)
        if word in _WORDS:
            return _WORDS[word]
        if word in GROUPS:
            return Ref((word, self._member(word)))
        if word in FUNCTIONS:
            raise self._fail(f"{word} is a function: write {_usage(word)};")
        return Ref((word,))

    def _member(self, group: str) -> str:
        if self._skip() != ".":
            raise self._fail(f"expected a member such as {group}.name")
        self.position += 1
        name = _NAME.match(self.text, self.position)
        if name is None:
            raise self._fail(f"expected a name after {group}.")
        self.position = name.end()
        return name[0]

    def _string(self, quote: str) -> str:
        end = self.text.find(quote, self.position + 1)
        if end < 0:
            raise self._fail(f"expected a closing {quote}")
        value = self.text[self.position + 1 : end]
        self.position = end + 1
        return value

    def _call(self, function: str, start: int, depth: int) -> Call:
        self.position += 1
        arguments: list[Expression] = []
        if self._skip() != ")":
            arguments.append(self._expression(depth + 1))
            while self._skip() == ",":
                self.position += 1
                arguments.append(self._expression(depth + 1))
        self._expect(")", f"to end the call of {function}")
        end, self.position = self.position, start
        if function not in FUNCTIONS:
            raise self._fail(f"unknown function {function!r}{nearest(function, FUNCTIONS)}")
        if message := _wrong_arguments(function, arguments):
            raise self._fail(message)
        self.position = end
        return Call(function, tuple(arguments))


def _usage(function: str) -> str:
    names = iter("abc" if len(FUNCTIONS[function]) > 1 else "nx"["any" in FUNCTIONS[function] :])
    return f"{function}({', '.join(next(names) for _ in FUNCTIONS[function])})"


def _wrong_arguments(function: str, arguments: list[Expression]) -> str | None:
    kinds = FUNCTIONS[function]
    if len(arguments) != len(kinds):
        return f"expected {_usage(function)}, got {len(arguments)} arguments"
    for kind, argument in zip(kinds, arguments, strict=True):
        whole = isinstance(argument, int) and not isinstance(argument, bool)
        if kind == "int" and not whole and not isinstance(argument, Ref | Call):
            return f"{_usage(function)} takes whole numbers, got {argument!r}"
    if function == "random_int":
        least, most = arguments
        if isinstance(least, int) and isinstance(most, int) and least > most:
            return f"random_int(a, b) takes the smaller number first, got {least} and {most}"
    length = arguments[0] if function == "random_string" else None
    if isinstance(length, int) and not 1 <= length <= MAX_RANDOM_STRING:
        return f"random_string(n) takes 1 to {MAX_RANDOM_STRING}, got {length}"
    return None


def _check_name(name: tuple[str, ...], scope: Scope) -> str | None:
    head = name[0]
    if len(name) == 1:
        return _check_plain(head, scope)
    member, shown = name[1], ".".join(name)
    if head == "run":
        return None if member == "id" else f"unknown name {shown!r}; did you mean 'run.id'?"
    if head == "protocol":
        known = member in PROTOCOL_FIELDS
        return None if known else f"unknown name {shown!r}{nearest(member, PROTOCOL_FIELDS)}"
    if head == "secret" and head in scope.later:
        return f"{shown!r} {scope.later[head]}"
    if scope.open:
        return None
    if head == "data":
        if scope.data is None:
            return f"{shown!r} {scope.later.get('data', 'needs a feeder: say which with feeder: NAME')}"
        known = member in scope.data
        return (
            None if known else f"not every record of the feeder has {member!r}{nearest(member, scope.data)}"
        )
    declared = scope.env if head == "env" else scope.secrets
    if member in declared:
        return None
    where = "env: [NAMES]" if head == "env" else "secrets:"
    return f"{shown!r} is not declared under the app's {where}{nearest(member, declared)}"


def _check_plain(name: str, scope: Scope) -> str | None:
    if name in ("vu", "iteration"):
        return None if scope.inside else f"{name!r} means nothing outside an iteration"
    if name in scope.names:
        return None
    if name in scope.later:
        return f"{name!r} {scope.later[name]}"
    if scope.open:
        return None
    known = [*scope.names, *(("vu", "iteration") if scope.inside else ())]
    return f"unknown name {name!r}{nearest(name, known)}"
