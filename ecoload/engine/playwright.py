"""Playwright as a child: found, looked at, run to its end or ended.

Rules
-----
- A flow is run in a folder of its own, which nobody else reads and which goes afterwards: what Playwright
  writes holds cookies and tokens. What may be kept of it is taken by `browser_evidence.py`.
- The folder of a command that was killed is removed by the next one.
- Its modules are those that `npm ci` put into the workspace's project. Nothing is fetched.
- What is missing is a NoBrowser, and says how to get it; it is no failure of a target.
- It tells what happens as it happens, a line of JSON for each thing (`progress.ts`). So what was seen before
  a kill is known.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecoload.engine.child import Child
from ecoload.engine.interrupts import Interrupts
from ecoload.errors import ToolMissing

PROJECT = Path("tests", "perf", "playwright")
"""Where `npm ci` is run, from a workspace on."""
CLI = Path("node_modules", "@playwright", "test", "cli.js")
LEAST_NODE = 20
_PREFIX = "ecoload-browser-"
LONGEST_EVENT = 1 << 20
AFTER_S = 30.0
"""From a flow's own time-out, which Playwright keeps, to its end being brought about."""
LOOK_S = 60.0
NOT_STARTED = re.compile(r"browserType\.launch|Executable doesn't exist|Host system is missing dependencies")
_TAKEN_ALONG = (
    *("PATH", "HOME", "LANG", "TZ", "TMPDIR"),
    *("CHROMIUM", "PLAYWRIGHT_BROWSERS_PATH", "XDG_CACHE_HOME"),
)
_TOOLS = (
    "`make tools` installs what is missing, and so do `npm ci` in {} and `apt-get install chromium ffmpeg`"
)


class NoBrowser(ToolMissing):
    """There is no Node.js, no Playwright or no browser here; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class BrowserFound:
    """What there is: Node's path, the folder of the modules, the browser's program, whether it can be
    filmed."""

    node: Path
    modules: Path
    executable: str
    video: bool


@dataclass(slots=True)
class BrowserTold:
    """What Playwright told: its events in order, whether it ended in time, whether somebody ended it, its
    exit code, and the last lines that were no events."""

    events: list[dict[str, Any]] = field(default_factory=list)
    in_time: bool = True
    interrupted: bool = False
    code: int = 0
    lines: tuple[str, ...] = ()


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder of our own that goes after the block; those of commands that were killed go before it."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), _held(left):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name, _held(Path(name)):
        yield Path(name)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Nobody else takes the folder for one that was left; the kernel lets go however the block ends. Raises
    OSError where somebody holds it, or it is not ours."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_uid != os.geteuid():
            raise PermissionError(f"{folder} is another's")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def lay_out(folder: Path, files: Mapping[str, bytes], modules: Path) -> None:
    """Makes the project in an empty folder."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "node_modules").symlink_to(modules, target_is_directory=True)


def find_modules(root: Path) -> tuple[Path, Path]:
    """Node and the modules of the workspace's project. Raises NoBrowser."""
    place = (root / PROJECT).resolve()
    how = _TOOLS.format(place)
    node = shutil.which("node")
    if node is None:
        raise NoBrowser(f"there is no node on the PATH; {how}")
    version = _said([node, "--version"], root)
    major = re.match(r"v(\d+)\.", version)
    if major is None or int(major[1]) < LEAST_NODE:
        raise NoBrowser(f"node {LEAST_NODE} or later is needed, and {node} is {version or 'no node'}")
    if not (place / CLI).is_file():
        raise NoBrowser(f"there is no Playwright in {place / 'node_modules'}; {how}")
    return Path(node), place / "node_modules"


def find_browser(node: Path, modules: Path, folder: Path) -> BrowserFound:
    """The browser that the project in `folder` would start. Raises NoBrowser."""
    said = _said([str(node), "browser.mjs"], folder)
    try:
        found = json.loads(said)
    except json.JSONDecodeError:
        found = {}
    if not found.get("executable"):
        raise NoBrowser(f"there is no Chromium here; {_TOOLS.format(modules.parent)}")
    return BrowserFound(node, modules, str(found["executable"]), bool(found["video"]))


def run_playwright(
    found: BrowserFound,
    folder: Path,
    spec: str,
    environment: Mapping[str, str],
    most_s: float,
    heard: Interrupts,
    tell: Callable[[dict[str, Any]], None],
) -> BrowserTold:
    """Runs one spec to its end; `tell` gets each event as it comes."""
    told, lock = BrowserTold(), threading.Lock()

    def take(line: str) -> bool:
        event = _event(line)
        if event is None:
            return False
        with lock:
            told.events.append(event)
        tell(event)
        return True

    command: list[str | Path] = [
        found.node,
        found.modules.parent / CLI,
        "test",
        "--config",
        "playwright.config.ts",
        spec,
    ]
    with Child(command, folder, environment, take, LONGEST_EVENT) as child, heard.reach(child):
        told.in_time = child.follow(most_s + AFTER_S)
    told.interrupted, told.code = bool(heard.presses), child.code
    told.lines = child.lines(())
    return told


def environment_of(environ: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """What Playwright and its browser get of an environment, and what we add."""
    taken = {name: environ[name] for name in _TAKEN_ALONG if environ.get(name)}
    return taken | {"CI": "1", "NO_COLOR": "1", "FORCE_COLOR": "0"} | dict(own)


def _event(line: str) -> dict[str, Any] | None:
    if not line.startswith('{"event":'):
        return None
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _said(command: list[str], folder: Path) -> str:
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env=environment_of(os.environ, {}),
            capture_output=True,
            text=True,
            timeout=LOOK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip()
