"""What is in reach where a template stands, and templates parsed with it.

Rules
-----
- A name is in reach only after it was made: a `let` by those before it, a capture by the steps before.
- `setup` and `teardown` are no iterations: they have no `let`, no record, no `vu`. What `setup` captures
  is in reach everywhere after it.
- Problems are noted at the line of the template; what could not be parsed stands as written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecoload.plan import Array, Object, Route, StringTemplate, Value
from ecoload.spec import template
from ecoload.spec.shape import Reading
from ecoload.spec.targets import App, safe_text
from ecoload.spec.template import Scope, TemplateError
from ecoload.spec.yaml12 import Where


@dataclass(slots=True)
class Home:
    """What a scenario may use: its app, the app's routes, the feeder's fields, the workspace.

    `broken` names routes whose declaration is wrong; they are noted where they stand.
    """

    app_name: str
    app: App
    routes: Mapping[str, Route]
    broken: frozenset[str]
    workspace: Path
    namespace: str
    open: bool = False
    """Part of the app could not be read: what is not declared may yet be."""


def text_template(text: object, scope: Scope) -> StringTemplate:
    """A scalar of a file as a text template. Raises ValueError with all that is wrong."""
    written = _as_text(text)
    try:
        value = template.parse_text(safe_text(written))
    except TemplateError as error:
        raise ValueError(str(error)) from None
    if messages := template.check(value, scope):
        raise ValueError("; ".join(messages))
    return value


@dataclass(slots=True)
class Reach:
    """The names in reach, as a scenario is gone through."""

    home: Home
    data: set[str] | None
    reading: Reading
    scope: Scope = field(init=False)
    kept: set[str] = field(default_factory=set)
    """What `setup` captured."""

    def __post_init__(self) -> None:
        self.scope = self._outside(set())

    def _outside(self, names: set[str]) -> Scope:
        app = self.home.app
        later = {"data": "is a record of an iteration, and this is outside of one"}
        return Scope(
            names=names,
            env=app.env,
            secrets=app.secrets,
            inside=False,
            open=self.home.open or bool(self.reading.broken),
            later=later,
        )

    def enter(self) -> None:
        """From setup into an iteration."""
        self.kept = set(self.scope.names)
        self.scope = dataclasses.replace(
            self.scope, names=set(self.kept), data=self.data, inside=True, later={}
        )

    def leave(self) -> None:
        """Out of the iteration again."""
        self.scope = self._outside(self.kept)

    def make(self, name: str, where: Where) -> None:
        """From here on the name is in reach."""
        if name in template.RESERVED:
            self.reading.problem(where, f"{name!r} is a word of the language; take another name")
        self.scope = dataclasses.replace(self.scope, names={*self.scope.names, name})

    def let(self, name: str, raw: Any) -> tuple[str, Value]:
        where: Where = ("let", name)
        value = self.value(raw, where)
        self.make(name, where)
        return name, value

    def value(self, raw: Any, where: Where) -> Value:
        """Plain data with templates inside, as a Value."""
        if isinstance(raw, dict):
            for key in raw:
                if "${" in key:
                    self.reading.problem((*where, key), "a key takes no template")
            return Object(tuple((key, self.value(item, (*where, key))) for key, item in raw.items()))
        if isinstance(raw, list):
            return Array(tuple(self.value(item, (*where, index)) for index, item in enumerate(raw)))
        if not isinstance(raw, str):
            return raw  # type: ignore[no-any-return]
        try:
            value = template.parse(raw)
        except TemplateError as error:
            self.reading.problem(where, str(error))
            return raw
        for message in template.check(value, self.scope):
            self.reading.problem(where, message)
        return value

    def text(self, raw: object, where: Where, *, safe: bool = True) -> StringTemplate:
        """A text with templates; `safe` refuses CR, LF and NUL that are written in it."""
        written = _as_text(raw)
        try:
            value = template.parse_text(safe_text(written) if safe else written)
        except (TemplateError, ValueError) as error:
            self.reading.problem(where, str(error))
            return written
        for message in template.check(value, self.scope):
            self.reading.problem(where, message)
        return value


def _as_text(raw: object) -> str:
    if isinstance(raw, str):
        return raw
    if raw is None or isinstance(raw, bool):
        return {None: "", True: "true", False: "false"}[raw]
    return str(raw)
