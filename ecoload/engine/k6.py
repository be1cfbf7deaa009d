"""k6 as a child: found, looked at, run to its end or ended.

Rules
-----
- It is a child as every other (`child.py`), and gets no configuration of the user's own.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecoload.engine.child import Child
from ecoload.engine.interrupts import Interrupts
from ecoload.errors import ToolMissing, WorkerFailed

LEAST = (1, 0)
TOOLS = Path(".tools", "bin")
"""Where `make tools` puts it, from a workspace on."""
HOW = "`make tools` installs it, and so does https://grafana.com/docs/k6/latest/set-up/install-k6/"
LINES_TOLD = 6
THRESHOLDS_FAILED = 99
_ABORTED = "at least one has abortOnFail enabled"
"""k6 says so when a threshold ended its test; its exit code is that of one that failed at the end."""


class K6Failed(WorkerFailed):
    """k6 did not get through its test; the message has its exit code, what that means, and its last lines."""


MEANINGS = {
    100: "its setup took too long",
    101: "its teardown took too long",
    104: "it does not take the script's options",
    105: "somebody ended it",
    107: "the script threw an exception before or beside the load",
    108: "the script ended the test",
    109: "it broke",
    110: "the script marked the test as failed",
}


@dataclass(frozen=True, slots=True)
class K6:
    """The program, and what it says its version is."""

    path: Path
    version: str


@dataclass(frozen=True, slots=True)
class K6Job:
    """One test: the script and the options (a file of k6's configuration), the folder it runs in, everything
    of its environment, what must not be told, and how long it may take."""

    script: Path
    config: Path
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    secrets: Collection[str] = field(repr=False)
    most_s: float


@dataclass(frozen=True, slots=True)
class K6Ended:
    """How it went. `interrupted`: we ended it, since somebody wanted so; `cpu_s` is its processor time."""

    interrupted: bool
    cpu_s: float
    duration_s: float
    lines: tuple[str, ...]

    @property
    def aborted(self) -> str:
        """What k6 said where a threshold ended its test before the end; empty where none did."""
        return next((line for line in reversed(self.lines) if _ABORTED in line), "")


def find_k6(root: Path, environ: Mapping[str, str]) -> K6:
    """The k6 of the workspace `root` (`make tools`), else the one on the PATH. Raises ToolMissing."""
    on_path = shutil.which("k6", path=environ.get("PATH", os.defpath))
    found = [path for path in (root / TOOLS / "k6", Path(on_path or "")) if path.is_file()]
    too_old = []
    for path in found:
        version = _version(path)
        if _numbers(version) >= LEAST:
            return K6(path.absolute(), version)
        too_old.append(f"{path} is {version or 'none'}")
    if too_old:
        least = ".".join(map(str, LEAST))
        raise ToolMissing(f"k6 {least} or later is needed, and {'; '.join(too_old)}: {HOW}")
    raise ToolMissing(f"k6 is not on the PATH, nor in {root / TOOLS}: {HOW}")


def run_k6(k6: K6, job: K6Job, heard: Interrupts) -> K6Ended:
    """Runs a test to its end; failed thresholds are none of ours. Raises K6Failed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with Child(_command(k6, job), job.folder, job.environment) as child, heard.reach(child):
        in_time = child.follow(job.most_s)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ended = K6Ended(bool(heard.presses), cpu_s, time.monotonic() - begun, child.lines(job.secrets))
    if not ended.interrupted:
        _must_have_succeeded(child.code, job, ended, in_time=in_time)
    return ended


def _command(k6: K6, job: K6Job) -> list[str | Path]:
    return [
        *(k6.path, "run", "--quiet", "--no-color", "--no-usage-report", "--address", ""),
        *("--config", job.config, job.script),
    ]


def _must_have_succeeded(code: int, job: K6Job, ended: K6Ended, *, in_time: bool) -> None:
    if not in_time:
        why = f"k6 was still running after {job.most_s:.0f} s, and was ended"
    elif code in (0, THRESHOLDS_FAILED):
        return
    else:
        meaning = MEANINGS.get(code, "killed" if code < 0 else "see its lines")
        why = f"k6 ended with {code} ({meaning})"
    said = [line for line in ended.lines if line.strip()][-LINES_TOLD:]
    raise K6Failed("\n".join([f"{why}; its last lines:", *(f"  {line}" for line in said)]))


def _version(path: Path) -> str:
    """What `k6 version` says, its first line; empty where it says nothing."""
    try:
        ended = subprocess.run([path, "version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next(iter(ended.stdout.splitlines()), "").removeprefix("k6 ").strip()


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()
