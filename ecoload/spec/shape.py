"""Shapes of files: pydantic models whose errors read like a person wrote them.

Rules
-----
- Models are strict, frozen and know every key; nothing is converted behind the writer's back.
- One broken entry does not hide the others: `EachEntry` and `EachItem` check the entries of a mapping
  or a list one by one, note what is wrong and go on with the good ones.
- A message says where, what was expected and, for a misspelt word, the nearest right one.
- Keys that come from k6 may be written in both spellings (`gracefulStop`, `graceful_stop`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from ecoload.errors import Problem
from ecoload.spec import units
from ecoload.spec.template import nearest
from ecoload.spec.units import shown
from ecoload.spec.yaml12 import Document, Where

SPELLINGS = {
    "startTime": "start_time",
    "gracefulStop": "graceful_stop",
    "gracefulRampDown": "graceful_ramp_down",
    "preAllocatedVUs": "pre_allocated_vus",
    "maxVUs": "max_vus",
    "timeUnit": "time_unit",
    "startVUs": "start_vus",
    "startRate": "start_rate",
    "maxDuration": "max_duration",
}
"""k6's spelling of a key, and ours."""

Shape = TypeVar("Shape", bound="Model")
Loc = tuple[int | str, ...]


@dataclass(slots=True)
class Reading:
    """A file on its way through the checks: what is wrong so far, and where each part stands."""

    document: Document
    problems: list[Problem] = field(default_factory=list)
    broken: set[Where] = field(default_factory=set)
    """Entries that were left out because their shape is wrong."""
    _places: dict[int, Where] = field(default_factory=dict)
    _copies: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._note(self.document.data, ())

    def _note(self, value: Any, where: Where) -> None:
        if isinstance(value, dict | list):
            self._places[id(value)] = where
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                self._note(item, (*where, key))

    def place(self, value: object) -> Where | None:
        """Where a mapping or list of the document stands; None for one that is not of it."""
        return self._places.get(id(value))

    def problem(self, where: Where, message: str) -> None:
        """Note a problem; the way to it stands before the message."""
        prefix = f"{dotted(where)}: " if where else ""
        self.problems.append(
            Problem(self.document.file, self.document.line(_written(self, where)), prefix + message)
        )

    def errors(self, error: ValidationError, where: Where, index: int | None = None) -> None:
        """Note each error of a part that stands at `where`; of a list's only item, its true index."""
        for loc, message, _ in explained(error):
            way = _way(loc)
            if index is not None and way:
                way = (index, *way[1:])
            self.problem((*where, *way), message)

    def model(self, model: type[Shape], where: Where = ()) -> Shape | None:
        """The document as the model, without the parts that are wrong; None where nothing is left."""
        data = self.document.data
        try:
            return model.model_validate(data, context=self)
        except ValidationError as error:
            self.errors(error, where)
            rest = self.salvage(data, [_way(loc) for loc, _, _ in explained(error)])
        try:
            return model.model_validate(rest, context=self) if rest is not None else None
        except ValidationError:
            return None

    def salvage(self, data: Any, wrong: list[Where]) -> dict[str, Any] | None:
        """A mapping without the keys that are wrong, so that the rest can be checked further; None
        where the mapping as a whole is wrong."""
        where = self.place(data)
        self.broken.add(where or ())
        if not isinstance(data, dict) or where is None or not all(wrong):
            return None
        keys = {way[0] for way in wrong}
        rest = {key: item for key, item in data.items() if not {key, SPELLINGS.get(key, key)} & keys}
        self._places[id(rest)] = where
        self._copies.append(rest)
        return rest


def dotted(where: Where) -> str:
    """A way as people write it: `apps.a2.routes.ingest`, `steps[0].check`."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _written(reading: Reading, where: Where) -> Where:
    """The same way with k6's spelling, where that is the one in the file."""
    if where in reading.document.lines or not where:
        return where
    for other, ours in SPELLINGS.items():
        if where[-1] == ours and (*where[:-1], other) in reading.document.lines:
            return (*where[:-1], other)
    return where


class Model(BaseModel):
    """The base of every shape. `where` is the way to the place it was read from."""

    # Most commands read few of the shapes: each is built when it is first used.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, defer_build=True
    )
    _where: Where = PrivateAttr(())

    @property
    def where(self) -> Where:
        return self._where

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if not isinstance(data, dict):
            keys = ", ".join(cls.model_fields)
            raise PydanticCustomError(
                "explained", _plain(f"expected a mapping with {keys}, got {shown(data)}")
            )
        try:
            model = handler(_ours(data, cls))
        except ValidationError as error:
            details = [
                InitErrorDetails(type=PydanticCustomError("explained", _plain(message)), loc=loc, input=given)
                for loc, message, given in explained(error, cls)
            ]
            raise ValidationError.from_exception_data(cls.__name__, details) from None
        if isinstance(info.context, Reading) and (where := info.context.place(data)) is not None:
            model._where = where
        return model


def _ours(data: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, value in data.items():
        ours = SPELLINGS.get(key, key)
        ours = ours if ours in model.model_fields else key
        if ours in renamed or (ours != key and ours in data):
            raise PydanticCustomError(
                "explained", _plain(f"{key} and {ours} are the same key; write one of them")
            )
        renamed[ours] = value
    return renamed


def explained(error: ValidationError, model: type[BaseModel] | None = None) -> list[tuple[Loc, str, Any]]:
    """Each error's place, its message for people, and the input."""
    return [
        (
            found["loc"],
            found["msg"] if found["type"] == "explained" else _message(found, model),
            found["input"],
        )
        for found in error.errors(include_url=False)
    ]


def _way(loc: Loc) -> Where:
    """A place without the marks that pydantic puts between."""
    return tuple(part for part in loc if not str(part).startswith(("<", "[key]")))


def _plain(message: str) -> Any:
    """A message as pydantic takes it: typed as a literal there."""
    return message


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "none_required": "null",
}


def _message(found: Any, model: type[BaseModel] | None) -> str:
    kind, value, context = found["type"], found["input"], found.get("ctx", {})
    last = str(found["loc"][-1]) if found["loc"] else ""
    if kind == "extra_forbidden":
        fields = model.model_fields if model and len(found["loc"]) == 1 else {}
        known = [info.alias or name for name, info in fields.items()]
        return f"unknown key {last!r}{nearest(last, known)}"
    if kind == "missing":
        fields = model.model_fields if model and len(found["loc"]) == 1 else {}
        info = next((info for name, info in fields.items() if (info.alias or name) == last), None)
        what = f": {info.description}" if info and info.description else ""
        return f"is missing{what}"
    if kind == "literal_error" and isinstance(value, str):
        words = [word.strip("' ") for word in context["expected"].replace(" or ", ", ").split(",")]
        return f"unknown word {value!r}{nearest(value, words)}"
    if kind == "literal_error":
        return f"expected {context['expected']}, got {shown(value)}"
    if kind == "value_error":
        return str(context["error"])
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {shown(value)}"
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} does not fit the form {context['pattern']}"
    return f"{found['msg'].replace('Input should', 'should')}, got {shown(value)}"


def _each_entry(value: Any, handler: Callable[[Any], Any], info: ValidationInfo) -> Any:
    """Checks a mapping's entries one by one. What is wrong in one is noted and left out."""
    reading = info.context
    where = reading.place(value) if isinstance(reading, Reading) else None
    if not isinstance(reading, Reading) or where is None or not value or not isinstance(value, dict):
        return handler(value)
    good: dict[str, Any] = {}
    for key, item in value.items():
        good.update(_one(reading, where, key, item, lambda k, v: {k: v}, handler))
    return good


def _each_item(value: Any, handler: Callable[[Any], Any], info: ValidationInfo) -> Any:
    """The same for a list."""
    reading = info.context
    where = reading.place(value) if isinstance(reading, Reading) else None
    if not isinstance(reading, Reading) or where is None or not value or not isinstance(value, list):
        return handler(value)
    items: list[Any] = []
    for index, item in enumerate(value):
        items.extend(_one(reading, where, index, item, lambda _, v: [v], handler))
    return items


def _one(
    reading: Reading,
    where: Where,
    key: Any,
    item: Any,
    alone: Callable[[Any, Any], Any],
    handler: Callable[[Any], Any],
) -> Any:
    """One entry, alone in its container; without its wrong keys where it has some; or nothing."""
    try:
        return handler(alone(key, item))
    except ValidationError as error:
        reading.errors(error, where, index=key if isinstance(key, int) else None)
        reading.broken.add((*where, key))
        rest = reading.salvage(item, [_way(loc)[1:] for loc, _, _ in explained(error)])
    try:
        return handler(alone(key, rest)) if rest is not None else ()
    except ValidationError:
        return ()


EachEntry = WrapValidator(_each_entry)
EachItem = WrapValidator(_each_item)
"""On a mapping or a list: its entries are checked one by one."""


Duration = Annotated[
    int,
    BeforeValidator(units.parse_duration),
    WithJsonSchema(
        {"type": "string", "pattern": units.DURATION_PATTERN, "examples": ["250ms", "90s", "1h30m"]}
    ),
]


def _positive(value: int) -> int:
    if value <= 0:
        raise ValueError("expected a duration above 0s")
    return value


PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Size = Annotated[
    int,
    BeforeValidator(units.parse_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": units.SIZE_PATTERN}]}
    ),
]
Rate = Annotated[
    float,
    BeforeValidator(units.parse_rate),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": units.RATE_PATTERN},
            ]
        }
    ),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
"""A name that can stand in a folder, a tag and a k6 scenario."""
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
VUs = Annotated[int, Field(ge=1, le=1_000_000)]
