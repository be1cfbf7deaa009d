"""The shape of a scenario file: what one iteration does.

Rules
-----
- A step names a declared route and fills in what varies; the route says method and path.
- Values are templates; they are kept as written here and parsed where names are known (`compile`).
- `choose:` takes one of several branches each time, by weight.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from ecoload.plan import Think
from ecoload.spec.shape import Duration, EachItem, Model, Name, PositiveDuration
from ecoload.spec.targets import HeaderName, JsonPath, Template
from ecoload.spec.units import shown

AnyValue = Annotated[Any, WithJsonSchema({})]


def _scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise ValueError(f"expected one value, got {shown(value)}")
    return value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _pair(value: Any) -> Any:
    return value if isinstance(value, list) else [value, value]


def _hops(value: Any) -> Any:
    return 0 if value == "none" else value


Scalar = Annotated[
    Any, AfterValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})
]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
Status = Annotated[int, Field(ge=100, le=599)]


class CheckShape(Model):
    """What an answer must be."""

    status: Annotated[
        list[Status],
        BeforeValidator(_listed, json_schema_input_type=int | list[int]),
        Field(default_factory=list),
    ]
    """One status, or a list of those that are right; 200-399 where not stated."""
    headers: Annotated[dict[HeaderName, AnyValue], Field(default_factory=dict)]
    json_: Annotated[dict[JsonPath, AnyValue], Field(alias="json", default_factory=dict)]
    body: BodyExpect | None = None
    duration: PositiveDuration | None = None


class BodyExpect(Model):
    """What the body, as text, must be."""

    contains: AnyValue = None
    matches: str | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("expected contains: or matches:")
        return self


class CaptureShape(Model):
    """Takes one value from an answer."""

    json_: Annotated[JsonPath | None, Field(alias="json")] = None
    header: Annotated[str, Field(min_length=1)] | None = None
    regex: str | None = None
    """Over the body, or over the header's value: group 1, or the whole match where there is none."""
    status: Literal[True] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1 and self.model_fields_set != {"header", "regex"}:
            raise ValueError(
                "expected one of json:, header:, regex: and status: true; only header: and regex: go together"
            )
        return self


class PartShape(Model):
    """One part of a multipart body: a value, or a file of the workspace."""

    value: Template | None = None
    file: Annotated[str, Field(min_length=1)] | None = None
    filename: Template | None = None
    content_type: Template | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.value is None) == (self.file is None):
            raise ValueError("expected one of value: and file:")
        if '"' in (self.filename or Path(self.file or "").name):
            raise ValueError("a file name takes no quotes")
        return self


def _part_tag(value: Any) -> str:
    return "<part>" if isinstance(value, dict | PartShape) else "<value>"


class StepShape(Model):
    """One request."""

    route: Name
    """the name of one of the app's routes"""
    path: Annotated[dict[Identifier, Scalar], Field(default_factory=dict)]
    """Values for the placeholders of the route's path."""
    query: Annotated[dict[str, Scalar], Field(default_factory=dict)]
    headers: Annotated[dict[HeaderName, Scalar], Field(default_factory=dict)]
    json_: Annotated[AnyValue, Field(alias="json")] = None
    form: dict[str, Scalar] | None = None
    multipart: (
        dict[
            str,
            Annotated[
                Annotated[PartShape, Tag("<part>")] | Annotated[Scalar, Tag("<value>")],
                Discriminator(_part_tag),
            ],
        ]
        | None
    ) = None
    text: str | None = None
    file: Annotated[str, Field(min_length=1)] | None = None
    check: Annotated[CheckShape, Field(default_factory=CheckShape)]
    capture: Annotated[dict[Identifier, CaptureShape], Field(default_factory=dict)]
    think: (
        Annotated[
            list[Duration],
            Field(min_length=2, max_length=2),
            BeforeValidator(_pair, json_schema_input_type=str | list[str]),
        ]
        | None
    ) = None
    """A pause after the step, or its least and most."""
    timeout: PositiveDuration = 60_000_000_000
    redirects: Annotated[
        int, Field(ge=0, le=50), BeforeValidator(_hops, json_schema_input_type=int | Literal["none"])
    ] = 10

    @property
    def body_kind(self) -> str | None:
        """`json`, `form`, `multipart`, `text` or `file`; None without a body."""
        kinds = [name.rstrip("_") for name in ("json_", *_BODIES) if name in self.model_fields_set]
        return kinds[0] if kinds else None

    @property
    def thinks(self) -> Think | None:
        return None if self.think is None else Think(*self.think)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        kinds = [name.rstrip("_") for name in ("json_", *_BODIES) if name in self.model_fields_set]
        if len(kinds) > 1:
            raise ValueError(f"a request has one body; got {' and '.join(kinds)}")
        if self.think is not None and self.think[0] > self.think[1]:
            raise ValueError("think: expected [least, most]")
        return self


_BODIES = ("form", "multipart", "text", "file")


class BranchShape(Model):
    weight: Annotated[float, Field(gt=0)]
    """how often this branch is taken, against the others"""
    steps: Annotated[list[AnyStep], Field(min_length=1), EachItem]
    """what is done then"""


class ChooseShape(Model):
    """One of the branches, by weight."""

    choose: Annotated[list[BranchShape], Field(min_length=1), EachItem]


def _step_tag(value: Any) -> str:
    chosen = "choose" in value if isinstance(value, dict) else isinstance(value, ChooseShape)
    return "<choose>" if chosen else "<step>"


AnyStep = Annotated[
    Annotated[StepShape, Tag("<step>")] | Annotated[ChooseShape, Tag("<choose>")], Discriminator(_step_tag)
]
Steps = Annotated[list[AnyStep], EachItem, Field(default_factory=list)]


def _script_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.js", name.replace("{profile}", "profile")):
        raise ValueError(
            f"expected a plain file name such as a2_{{profile}}.js, where {{profile}} is all that varies, "
            f"got {name!r}"
        )
    return name


class ScenarioShape(Model):
    """What one iteration of an app's scenario does."""

    app: Name
    """the app that this scenario loads"""
    k6: Annotated[str, Field(max_length=100), AfterValidator(_script_name)] | None = None
    """The name of its k6 script; {profile} stands for the profile."""
    feeder: Name | None = None
    """Records for the iterations: those of tests/perf/config/data.jsonl with this name."""
    let: Annotated[dict[Identifier, AnyValue], Field(default_factory=dict)]
    """Values made once an iteration, in order."""
    setup: Steps
    steps: Annotated[list[AnyStep], Field(min_length=1), EachItem]
    """what an iteration does, in order"""
    teardown: Steps


for _shape in (CheckShape, StepShape, BranchShape, ChooseShape, ScenarioShape):
    _shape.model_rebuild()
