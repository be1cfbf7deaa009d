"""The shape of a browser flow's file (`scenarios/browser/NAME.yaml`), and the flow that it is.

Rules
-----
- What the browser does stands beside it, in the Playwright spec `NAME.spec.ts`; here stands what must be
  known of it without running it: whom it asks, which steps it has, what must hold.
- An app that is not named in `asks` is not asked; one that is `read` gets no more than GET and HEAD.
- `*.ts` files beside them that are no specs are what specs have in common, and go wherever the specs go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ecoload.plan import BrowserStep, Vitals
from ecoload.spec.phases import Word
from ecoload.spec.scenarios import Identifier
from ecoload.spec.shape import EachItem, Model, Name, PositiveDuration, Reading
from ecoload.spec.template import nearest

if TYPE_CHECKING:
    from ecoload.spec.targets import Targets

SPEC = ".spec.ts"
_SECOND = 1_000_000_000


class VitalsShape(Model):
    """What each page that is measured must reach, at most."""

    lcp_ms: Annotated[float, Field(gt=0)] | None = None
    """Largest contentful paint."""
    cls: Annotated[float, Field(ge=0)] | None = None
    """Cumulative layout shift."""
    inp_ms: Annotated[float, Field(gt=0)] | None = None
    """Interaction to next paint."""
    ttfb_ms: Annotated[float, Field(gt=0)] | None = None
    """Time to the first byte."""


class BrowserStepShape(Model):
    """One step of the spec: `flow.step(NAME, …)`."""

    name: Word
    """what the step is called, in the spec too"""
    within: PositiveDuration | None = None
    """What is waited for must be seen so long after the last step without `within`."""


class BrowserShape(Model):
    """What a browser does with the pages of apps, and what must come of it."""

    about: Word
    """what the flow shows, in a sentence"""
    app: Name
    """the app whose verdict it is"""
    asks: Annotated[dict[Name, Literal["read", "write"]], Field(min_length=1)]
    """every app that the browser asks, and whether it sends more than GET and HEAD there"""
    secrets: Annotated[list[Identifier], Field(default_factory=list)]
    """Secrets of these apps that the spec reads from its environment."""
    timeout: PositiveDuration = 120 * _SECOND
    """How long it may take."""
    vitals: VitalsShape | None = None
    steps: Annotated[list[BrowserStepShape], Field(min_length=1), EachItem]
    """the steps, in order"""

    @model_validator(mode="after")
    def _asks_its_app(self) -> Self:
        if self.app not in self.asks:
            raise ValueError(f"asks: does not name {self.app}, whose flow it is")
        return self


@dataclass(frozen=True, slots=True)
class BrowserSource:
    """A browser flow's file. `secrets` are `(name, reference)`; `files` what is run, by name, its own spec
    and what specs have in common; `written` is what the file says, unresolved."""

    name: str
    about: str
    app: str
    asks: Mapping[str, bool]
    secrets: tuple[tuple[str, str], ...]
    steps: tuple[BrowserStep, ...]
    timeout_ns: int
    vitals: Vitals | None
    files: Mapping[str, bytes]
    written: Any

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """Each file with its SHA-256."""
        return tuple((name, hashlib.sha256(self.files[name]).hexdigest()) for name in sorted(self.files))


def compile_browser(
    name: str, shape: BrowserShape, files: Mapping[str, bytes], targets: Targets, reading: Reading
) -> BrowserSource | None:
    """The flow; problems are noted. `files` are all `*.ts` of its folder."""
    apps = targets.apps
    for app in shape.asks:
        if app not in apps:
            reading.problem(("asks", app), f"unknown app {app!r}{nearest(app, apps)}")
        elif shape.asks[app] == "write" and apps[app].writes is None:
            reading.problem(("asks", app), f"{app} is read-only: it has no `writes:` in targets.yaml")
    spec = f"{name}{SPEC}"
    if spec not in files:
        reading.problem((), f"there is no {spec} beside it")
    names = [step.name for step in shape.steps]
    for index, step in enumerate(shape.steps):
        if step.name in names[:index]:
            reading.problem((*step.where, "name"), f"two steps are called {step.name!r}")
        if step.within is not None and step.within >= shape.timeout:
            reading.problem((*step.where, "within"), "is no shorter than the timeout of the whole flow")
    secrets = _secrets(shape, targets, reading)
    if spec not in files or any(app not in apps for app in shape.asks):
        return None
    return BrowserSource(
        name=name,
        about=shape.about,
        app=shape.app,
        asks={app: how == "write" for app, how in shape.asks.items()},
        secrets=secrets,
        steps=tuple(BrowserStep(step.name, step.within) for step in shape.steps),
        timeout_ns=shape.timeout,
        vitals=Vitals(**shape.vitals.model_dump()) if shape.vitals is not None else None,
        files={file: files[file] for file in sorted(files) if file == spec or not file.endswith(SPEC)},
        written=reading.document.data,
    )


def _secrets(shape: BrowserShape, targets: Targets, reading: Reading) -> tuple[tuple[str, str], ...]:
    """Each secret by its reference, which is the same in every app of the flow that has it."""
    found = []
    known = {app: targets.apps[app].secrets for app in shape.asks if app in targets.apps}
    names: Collection[str] = dict.fromkeys(name for secrets in known.values() for name in secrets)
    for index, name in enumerate(shape.secrets):
        references = {secrets[name].reference for secrets in known.values() if name in secrets}
        if len(references) == 1:
            found.append((name, references.pop()))
        elif not references:
            hint = nearest(name, names)
            reading.problem(("secrets", index), f"no app that is asked has the secret {name!r}{hint}")
        else:
            reading.problem(("secrets", index), f"two apps mean different things by {name!r}; rename one")
    return tuple(sorted(dict(found).items()))


BrowserShape.model_rebuild()
