"""A workspace: the folder with `targets.yaml` and `scenarios/`, read once and checked as a whole.

Rules
-----
- Every problem of every file comes at once, with file and line; nothing is read twice.
- A workspace that loads has no unknown name in it. What depends on the command (which app, which
  profile, which addresses) is said when a plan is made of it (`make_plan`).
- pydantic is imported here only when files are read: it is slow to import.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoload.errors import Problem, SpecError
from ecoload.plan import Scenario
from ecoload.spec import feeders, yaml12
from ecoload.spec.files import BROWSER, FLOWS
from ecoload.spec.planning import make_cleanup, make_plan

if TYPE_CHECKING:
    from ecoload.spec.browser import BrowserShape, BrowserSource
    from ecoload.spec.flows import FlowShape, FlowSource
    from ecoload.spec.reach import Home
    from ecoload.spec.resiliency import ResiliencySource
    from ecoload.spec.scenarios import ScenarioShape
    from ecoload.spec.shape import Reading
    from ecoload.spec.targets import Targets

__all__ = ["ScenarioSource", "Workspace", "json_schema", "load_workspace", "make_cleanup", "make_plan"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
Scan = Callable[[feeders.Data], Sequence[Problem]]


@dataclass(frozen=True, slots=True)
class ScenarioSource:
    """A scenario file: the scenario, its routes counted from its app's first one; `app` is None for a
    Python module, which any app may use. `written` is what it says, unresolved."""

    app: str | None
    scenario: Scenario
    written: Any


@dataclass(frozen=True, slots=True)
class Workspace:
    """What people wrote, checked. `profiles` holds each profile as each app runs it, by
    `(app, profile)`; `written` the content of `targets.yaml`, unresolved."""

    root: Path
    targets: Targets
    profiles: Mapping[tuple[str, str], Any]
    scenarios: Mapping[str, ScenarioSource]
    data: feeders.Data | None
    written: Mapping[str, Any]
    environ: Mapping[str, str]
    flows: Mapping[str, FlowSource] = field(default_factory=dict)
    resiliencies: Mapping[str, ResiliencySource] = field(default_factory=dict)
    browser: Mapping[str, BrowserSource] = field(default_factory=dict)

    @property
    def apps(self) -> tuple[str, ...]:
        return tuple(self.targets.apps)

    @property
    def profile_names(self) -> tuple[str, ...]:
        return tuple(self.targets.profiles)

    def profiles_of(self, app: str) -> tuple[str, ...]:
        """The profiles that an app can run: those with a fault only where it declares one."""
        names = self.profile_names
        return (
            names
            if app in self.resiliencies
            else tuple(name for name in names if self.profiles[app, name].fault is None)
        )

    def scenarios_of(self, app: str) -> tuple[str, ...]:
        """The scenarios of an app; a profile runs the first unless it names another."""
        return _default_scenarios(app, self.targets, self.scenarios)


def load_workspace(
    targets: Path,
    scenarios: Path | None = None,
    environ: Mapping[str, str] | None = None,
    scan: Scan | None = None,
) -> Workspace:
    """Read `targets.yaml` and the scenarios beside it. Raises SpecError with every problem.

    `scan` looks at the feeders' records; what it finds is told with the other problems. A caller that
    will send them hands in the guard's, which this room may not import.
    """
    environ = os.environ if environ is None else environ
    return _Loading(targets, scenarios or targets.parent / "scenarios", environ, scan).load()


def json_schema() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each kind of file, by its name: `targets`, `scenario`, `flow` and
    `browser`."""
    from ecoload.spec.schema import published

    return published()


class _Loading:
    """One load: collects problems until everything was looked at."""

    def __init__(self, targets: Path, scenarios: Path, environ: Mapping[str, str], scan: Scan | None) -> None:
        self.targets_path = targets
        self.scenarios_path = scenarios
        self.root = targets.parent
        self.environ = environ
        self.scan = scan
        self.problems: list[Problem] = []
        self.shapes: dict[str, tuple[Reading, ScenarioShape | None]] = {}
        self.flow_shapes: dict[str, tuple[Reading, FlowShape | None]] = {}
        self.browser_shapes: dict[str, tuple[Reading, BrowserShape | None]] = {}
        self.browser_files: dict[str, bytes] = {}
        self.modules: dict[str, tuple[Path, bytes]] = {}
        self.unreadable: set[str] = set()
        self.unreadable_flows: set[str] = set()
        self.unreadable_browser: set[str] = set()

    def load(self) -> Workspace:
        from ecoload.spec.event_names import check_event_names
        from ecoload.spec.phase_references import check_phases
        from ecoload.spec.references import check_references
        from ecoload.spec.resiliency import compile_resiliencies
        from ecoload.spec.targets import Targets

        reading = self._read(self.targets_path)
        targets = reading.model(Targets) if reading else None
        self._read_scenarios()
        data = self._read_data()
        profiles: Mapping[tuple[str, str], Any] = {}
        if reading is not None and targets is not None:
            profiles = check_references(targets, reading, self._owners(), self.environ)
            flow_names = {*self.flow_shapes, *self.unreadable_flows}
            check_phases(targets, reading, flow_names, {*self.browser_shapes, *self.unreadable_browser})
        sources = self._compile(targets, reading, data)
        flows = self._compile_flows(targets, reading)
        browser = self._compile_browser(targets)
        resiliencies = {}
        if targets is not None and reading is not None:
            check_event_names(targets, reading, sources)
            homes = {name: self._home(name, targets, reading) for name in targets.apps}
            resiliencies = compile_resiliencies(targets, homes, reading)
        read = [found for found, _ in _all_of(self.shapes, self.flow_shapes, self.browser_shapes)]
        readings = [*([reading] if reading else []), *read]
        problems = [*self.problems, *(problem for found in readings for problem in found.problems)]
        if problems or targets is None or reading is None:
            raise SpecError(list(dict.fromkeys(problems)))
        return Workspace(
            self.root,
            targets,
            profiles,
            sources,
            data,
            reading.document.data,
            dict(self.environ),
            flows,
            resiliencies,
            browser,
        )

    # --- reading ----------------------------------------------------------------------------------

    def _read(self, path: Path) -> Reading | None:
        from ecoload.spec.shape import Reading

        try:
            return Reading(yaml12.read(path))
        except SpecError as error:
            self.problems += error.problems
            return None

    def _read_scenarios(self) -> None:
        from ecoload.spec.scenarios import ScenarioShape

        if not self.scenarios_path.is_dir():
            return
        for path in sorted(self.scenarios_path.iterdir()):
            name = path.stem
            if path.suffix == ".yml":
                self.problems.append(Problem(str(path), 0, f"is not read; name it {name}.yaml"))
            elif path.suffix == ".py" and not name.startswith("_"):
                self.modules[name] = (path, path.read_bytes())
            elif path.suffix == ".yaml":
                reading = self._read(path)
                if reading is None:
                    self.unreadable.add(name)
                else:
                    self.shapes[name] = (reading, reading.model(ScenarioShape))
        for name in sorted({*self.shapes, *self.unreadable} & set(self.modules)):
            message = f"there is a {name}.yaml too; a scenario is one of them"
            self.problems.append(Problem(str(self.modules[name][0]), 0, message))

        for path in sorted((self.scenarios_path / FLOWS).glob("*.y*ml")):
            self._read_flow(path)
        for path in sorted((self.scenarios_path / BROWSER).glob("*")):
            if path.suffix == ".ts":
                self.browser_files[path.name] = path.read_bytes()
            elif path.suffix in (".yaml", ".yml"):
                self._read_browser(path)
        for name in sorted(self.browser_files):
            self._check_browser_file(name)

    def _read_flow(self, path: Path) -> None:
        from ecoload.spec.flows import FlowShape

        if (reading := self._named(path, self.unreadable_flows)) is not None:
            self.flow_shapes[path.stem] = (reading, reading.model(FlowShape))

    def _read_browser(self, path: Path) -> None:
        from ecoload.spec.browser import BrowserShape

        if (reading := self._named(path, self.unreadable_browser)) is not None:
            self.browser_shapes[path.stem] = (reading, reading.model(BrowserShape))

    def _named(self, path: Path, unreadable: set[str]) -> Reading | None:
        """A flow's file, where its name is one and it is YAML."""
        if path.suffix != ".yaml" or not NAME.fullmatch(path.stem):
            message = "is not read; a flow is NAME.yaml, its name of letters, digits, - and _"
            self.problems.append(Problem(str(path), 0, message))
            return None
        if (reading := self._read(path)) is None:
            unreadable.add(path.stem)
        return reading

    def _check_browser_file(self, name: str) -> None:
        from ecoload.spec.browser import SPEC

        path = str(self.scenarios_path / BROWSER / name)
        flow = name.removesuffix(SPEC)
        if not name.isascii() or not name.replace(".", "").replace("_", "").replace("-", "").isalnum():
            self.problems.append(Problem(path, 0, "its name must be of letters, digits, ., - and _"))
        elif name.endswith(SPEC) and flow not in {*self.browser_shapes, *self.unreadable_browser}:
            self.problems.append(
                Problem(path, 0, f"there is no {flow}.yaml beside it, which says whom it asks")
            )

    def _read_data(self) -> feeders.Data | None:
        wanted = any(shape is not None and shape.feeder is not None for _, shape in self.shapes.values())
        if not wanted and not (self.root / feeders.FILE).exists():
            return None
        try:
            data, unsound = feeders.read_sound(self.root)
        except SpecError as error:
            self._tell(error.problems)
            return None
        self._tell(unsound)
        if self.scan is not None:
            self._tell(self.scan(data))
        return None if unsound else data

    def _tell(self, problems: Sequence[Problem]) -> None:
        """Problems of a file that is named from the workspace's root."""
        self.problems += [Problem(str(self.root / p.file), p.line, p.message) for p in problems]

    def _owners(self) -> dict[str, str | None]:
        """Each scenario's app; None where it may be any."""
        owners: dict[str, str | None] = dict.fromkeys({*self.modules, *self.unreadable})
        return owners | {name: shape.app if shape else None for name, (_, shape) in self.shapes.items()}

    # --- compiling --------------------------------------------------------------------------------

    def _compile(
        self, targets: Targets | None, reading: Reading | None, data: feeders.Data | None
    ) -> dict[str, ScenarioSource]:
        sources = {}
        for name, (path, content) in self.modules.items():
            sha256 = hashlib.sha256(content).hexdigest()
            module = os.path.relpath(path, self.root)
            sources[name] = ScenarioSource(None, Scenario(name, module=module, module_sha256=sha256), sha256)
        if targets is None or reading is None:
            return sources
        for name, (own, shape) in self.shapes.items():
            if shape is not None and (scenario := self._scenario(name, shape, own, targets, reading, data)):
                sources[name] = ScenarioSource(shape.app, scenario, own.document.data)
        return sources

    def _compile_flows(self, targets: Targets | None, reading: Reading | None) -> dict[str, FlowSource]:
        from ecoload.spec.flows import compile_flow

        if targets is None or reading is None:
            return {}
        homes = {name: self._home(name, targets, reading) for name in targets.apps}
        flows = {}
        for name, (own, shape) in self.flow_shapes.items():
            if shape is not None and (flow := compile_flow(name, shape, homes, targets, own)) is not None:
                flows[name] = flow
        return flows

    def _compile_browser(self, targets: Targets | None) -> dict[str, BrowserSource]:
        from ecoload.spec.browser import compile_browser

        found = {}
        for name, (own, shape) in self.browser_shapes.items():
            if targets is None or shape is None:
                continue
            if (source := compile_browser(name, shape, self.browser_files, targets, own)) is not None:
                found[name] = source
        return found

    def _home(self, name: str, targets: Targets, reading: Reading) -> Home:
        from ecoload.spec.reach import Home
        from ecoload.spec.references import broken_names, declared_routes

        app = targets.apps[name]
        return Home(
            app_name=name,
            app=app,
            routes=declared_routes(name, app),
            broken=broken_names(reading, ("apps", name, "routes")),
            workspace=self.root,
            namespace=targets.protocol.namespace,
            open=name in broken_names(reading, ("apps",)),
        )

    def _scenario(
        self,
        name: str,
        shape: ScenarioShape,
        own: Reading,
        targets: Targets,
        reading: Reading,
        data: feeders.Data | None,
    ) -> Scenario | None:
        from ecoload.spec.compile import compile_scenario
        from ecoload.spec.references import broken_names
        from ecoload.spec.template import nearest

        broken = broken_names(reading, ("apps",))
        if shape.app not in targets.apps:
            if shape.app not in broken and ("apps",) not in reading.broken:
                own.problem(("app",), f"unknown app {shape.app!r}{nearest(shape.app, targets.apps)}")
            return None
        home = self._home(shape.app, targets, reading)
        return compile_scenario(name, shape, home, self._fields(shape, own, data), own)

    def _fields(self, shape: ScenarioShape, own: Reading, data: feeders.Data | None) -> set[str] | None:
        from ecoload.spec.template import nearest

        if shape.feeder is None:
            return None
        if data is None:
            own.broken.add(("feeder",))
            return None
        if not data.of(shape.feeder):
            message = (
                f"{feeders.FILE} has no records of feeder {shape.feeder!r}{nearest(shape.feeder, data.names)}"
            )
            own.problem(("feeder",), message)
            own.broken.add(("feeder",))
        return data.fields(shape.feeder)


def _all_of(*kinds: Mapping[str, tuple[Reading, Any]]) -> list[tuple[Reading, Any]]:
    return [one for kind in kinds for one in kind.values()]


def _default_scenarios(app: str, targets: Targets, scenarios: Mapping[str, object]) -> tuple[str, ...]:
    listed = targets.apps[app].scenarios
    if listed is not None:
        return tuple(listed)
    return (app,) if app in scenarios else ()
