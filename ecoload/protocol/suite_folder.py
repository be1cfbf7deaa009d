"""A suite's folder: where each run stands, and what can be read back from it.

Rules
-----
- The folder is the state. What was carried out is what stands in it, whole: a run counts where its
  `run.json` (of a flow `flow.json`, of a browser flow `e2e.json`) is, written last, or where `error.json`
  says why there is none. Nothing else remembers.
- A run that was cut off (killed, interrupted) is moved aside under another name and kept; a finished one is
  never touched again.
- `PHASE/NAME` (the app's, or the flow's) is a cell's first run, `NAME.retest-N` one after a fix, and
  `….warmed` the same under the remedy of a known issue.
- One process at a time carries it out.
- It holds a copy of what people wrote (`workspace/`), so that a suite can go on from its folder alone.
- It may come from another machine, so nothing in it is believed: it holds plain files only, and each is what
  it should be, or the folder is refused.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ecoload.errors import OutputFailed, TargetLocked, UsageError
from ecoload.guard.ledger import moment
from ecoload.measure.plan_file import read_as, read_outline
from ecoload.measure.result import Status
from ecoload.plan import to_tree
from ecoload.plan.suite import Outline
from ecoload.verdict.cells import OneRun

SCHEMA = "ecoload.protocol/1"
PROTOCOL, SUITE, APPROVAL, REQUEST = "protocol.json", "suite.json", "approval.json", "approval_request.json"
AVAILABILITY, WORKSPACE, DIAGNOSTICS, ERROR = "availability.csv", "workspace", "diagnostics.md", "error.json"
RESULTS = ("run.json", "flow.json", "e2e.json")
"""What a load run, a flow and a browser flow leave when they are over."""
_CUT_OFF = frozenset({Status.INTERRUPTED, Status.KILLED, Status.STOPPED})
_RUN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*)(?:\.retest-(?P<attempt>[0-9]+))?(?P<warmed>\.warmed)?"
)


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What the command asked for, so that a resume asks for the same. `base_urls` has the address of every
    app, or the word `sandbox`; there are no credentials in it. `previous` is the score of an earlier bundle,
    and which."""

    phases: tuple[str, ...]
    apps: tuple[str, ...]
    parallel: int | None
    seed: int
    duration_scale: float
    base_urls: Mapping[str, str]
    transport: str
    pacing: str
    previous: tuple[float, str] | None = None


class SuiteFolder:
    """One suite on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: dict[str, Any] = {}

    @property
    def suite_id(self) -> str:
        return self.path.resolve().name

    def begin(self, outline: Outline, asked: AskedFor, started_at: str, inputs: Mapping[str, Path]) -> None:
        """Makes the folder. `inputs` are the files people wrote, by their path within the workspace."""
        try:
            self.path.mkdir(parents=True)
            for name, source in inputs.items():
                place = self.path / WORKSPACE / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, place)
            tree = {"schema": SCHEMA, "started_at": started_at, "asked": to_tree(asked)}
            self.write(PROTOCOL, tree | {"outline": to_tree(outline)})
        except OSError as error:
            reason = f"{error.filename or self.path}: {error.strerror}"
            raise OutputFailed(f"{reason}; choose another --out") from error

    def read(self) -> tuple[Outline, AskedFor, str]:
        """What was asked, and when it began. Raises UsageError where the folder is no suite's."""
        try:
            tree = orjson.loads((self.path / PROTOCOL).read_bytes())
            started_at = moment(tree["started_at"]).isoformat(timespec="milliseconds")
            return read_outline(tree["outline"]), read_as(AskedFor, tree["asked"]), started_at
        except OSError as error:
            raise UsageError(f"{self.path} is no suite's folder ({PROTOCOL}: {error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self.path / PROTOCOL}: not a protocol of this version: {error}") from error

    def refuse_links(self) -> None:
        """Raises UsageError where something in the folder leads elsewhere, or is no file: what is written
        here would be written there."""
        for place, folders, files in os.walk(self.path):
            for path in (Path(place, name) for name in (*folders, *files)):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise UsageError(f"{path} is a link or no plain file; a suite's folder holds files only")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else carries the suite out for as long as the block lasts; the kernel lets go of it however
        it ends. Raises TargetLocked."""
        with (self.path / PROTOCOL).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TargetLocked(f"{self.path} is being carried out by another process") from None
            yield

    def write(self, name: str, tree: Any) -> None:
        """Writes a JSON file, moved into place whole."""
        place = self.path / name
        fresh = place.with_name(place.name + ".new")
        try:
            fresh.write_bytes(orjson.dumps(tree, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            fresh.replace(place)
        except OSError as error:
            raise OutputFailed(f"{place}: {error.strerror}") from error

    def load(self, name: str) -> Any | None:
        """A JSON file of the folder; None where there is none. Raises UsageError for a broken one."""
        try:
            return orjson.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError) as error:
            raise UsageError(f"{self.path / name}: cannot be read: {error}") from error

    def runs(self) -> dict[tuple[str, str], list[OneRun]]:
        """What was carried out, by `(phase, app)` in the order in which it was made."""
        for kind in (*RESULTS, ERROR):
            for path in sorted(self.path.glob(f"*/*/{kind}")):
                name = str(path.relative_to(self.path))
                if name not in self._read:
                    # What was finished never changes.
                    self._read[name] = self.load(name)
        return runs_among(self._read)

    def place(self, phase: str, app: str, *, attempt: int = 0, warmed: bool = False) -> Path:
        """Where a run is to stand; what was cut off there before is moved aside."""
        name = app + (f".retest-{attempt}" if attempt else "") + (".warmed" if warmed else "")
        folder = self.path / phase / name
        if folder.exists():
            for kind in (*RESULTS, ERROR):
                self._read.pop(f"{phase}/{name}/{kind}", None)
            number = 1
            while (aside := folder.with_name(f"{name}.cut-off-{number}")).exists():
                number += 1
            folder.rename(aside)
        return folder

    def failed(self, folder: Path, message: str) -> None:
        """Notes that a run could not be carried out, and why."""
        folder.mkdir(parents=True, exist_ok=True)
        self.write(f"{folder.relative_to(self.path)}/{ERROR}", {"error": message})


def attempt_of(folder: str) -> int:
    """Which attempt a run's folder (`PHASE/APP.retest-2.warmed`) is of: 0 before any retest."""
    match = _RUN.fullmatch(folder.rpartition("/")[2])
    return int(match["attempt"] or 0) if match else 0


def runs_among(trees: Mapping[str, Any]) -> dict[tuple[str, str], list[OneRun]]:
    """The runs among JSON files by their names (`PHASE/APP/run.json`), of a folder or of a bundle."""
    found: dict[tuple[str, str], list[tuple[tuple[int, bool], OneRun]]] = defaultdict(list)
    for name, tree in trees.items():
        parts = name.split("/")
        match = _RUN.fullmatch(parts[1]) if len(parts) == 3 and parts[0] != WORKSPACE else None
        if match is None or parts[2] not in (*RESULTS, ERROR):
            continue
        if not isinstance(tree, dict):
            raise UsageError(f"{name}: it holds no result")
        if parts[2] in RESULTS and tree.get("status") in _CUT_OFF:
            continue
        attempt, warmed = int(match["attempt"] or 0), match["warmed"] is not None
        kind = "warmed" if warmed else "retest" if attempt else "first"
        result, error_text = (tree, "") if parts[2] in RESULTS else (None, str(tree.get("error")))
        run = OneRun(kind, f"{parts[0]}/{parts[1]}", result, error_text)
        found[parts[0], match["name"]].append(((attempt, warmed), run))
    return {key: [run for _, run in sorted(runs, key=lambda one: one[0])] for key, runs in found.items()}
