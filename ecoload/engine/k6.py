"""k6 as a child: found, looked at, run to its end or ended.

Rules
-----
- It gets the environment that is handed in and nothing else, and no configuration of the user's own.
- It has a session of its own, so that Ctrl-C is ours to hand on; where we are killed, the kernel kills it
  (Linux). So a command that is gone leaves no load behind, unless what is called k6 is a script that starts
  it as a child of its own.
- A k6 that does not end by itself is told to, then killed, and always awaited.
- Of what it says the last lines are kept, each up to a length, secrets replaced.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ecoload.engine.hiding import LEAST as LEAST_SECRET
from ecoload.engine.interrupts import Interrupts
from ecoload.errors import ToolMissing, WorkerFailed

LEAST = (1, 0)
TOOLS = Path(".tools", "bin")
"""Where `make tools` puts it, from a workspace on."""
HOW = "`make tools` installs it, and so does https://grafana.com/docs/k6/latest/set-up/install-k6/"
GRACE_S = 15.0
"""From being told to end to being killed: it still writes its summary."""
LOOK_S = 0.2
LINES_KEPT, LINES_TOLD = 400, 6
THRESHOLDS_FAILED = 99
LONGEST_LINE = 8192
_ABORTED = "at least one has abortOnFail enabled"
"""k6 says so when a threshold ended its test; its exit code is that of one that failed at the end."""

# The child becomes k6; a kernel that has no such call is not Linux, and there this is left out.
_DIES_WITH_US = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,9);"
    "os.getppid()==int(sys.argv[1]) or sys.exit(1);"
    "os.execv(sys.argv[2],sys.argv[2:])"
)


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
    with _Child(_command(k6, job), job) as child, heard.reach(child):
        in_time = child.follow(job.most_s)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ended = K6Ended(bool(heard.presses), cpu_s, time.monotonic() - begun, child.lines(job.secrets))
    if not ended.interrupted:
        _must_have_succeeded(child.code, job, ended, in_time=in_time)
    return ended


def hidden(text: str, secrets: Collection[str]) -> str:
    """A text without secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= LEAST_SECRET:
            text = text.replace(secret, "***")
    return text


class _Child:
    """The process: a context manager, and it is gone when the block is."""

    def __init__(self, command: Sequence[str | Path], job: K6Job) -> None:
        self._kept: deque[str] = deque(maxlen=LINES_KEPT)
        self._told_at: float | None = None
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=job.folder,
            env=dict(job.environment),
            start_new_session=True,
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def code(self) -> int:
        code = self._process.returncode
        assert code is not None
        return code

    def follow(self, most_s: float) -> bool:
        """Waits for its end, whoever brings it; False: it had to be ended, since its time was over."""
        deadline, in_time = time.monotonic() + most_s, True
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LOOK_S)
                return in_time
            now = time.monotonic()
            if self._told_at is None and now > deadline:
                in_time = False
                self.stop("its time is over")
            if self._told_at is not None and now > self._told_at + GRACE_S:
                self.abort("its grace is over")

    def stop(self, reason: str) -> None:
        """Tells it to end: it interrupts what is under way and still writes its summary. What is called k6
        may be a script that waits for k6, so all of its session hear it."""
        self._told_at = self._told_at or time.monotonic()
        self._signal(signal.SIGINT)

    def abort(self, reason: str) -> None:
        """Ends it at once, with whatever it started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def lines(self, secrets: Collection[str]) -> tuple[str, ...]:
        """The last lines that it said."""
        # A line that was cut may end with a part of a secret.
        longest = max(map(len, secrets), default=0)
        return tuple(
            hidden(line, secrets) if len(line) < LONGEST_LINE else hidden(line, secrets)[: -longest or None]
            for line in self._kept
        )

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            begins = True
            while part := pipe.readline(LONGEST_LINE):
                if begins:
                    self._kept.append(part.rstrip())
                begins = part.endswith("\n")

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.abort("we leave")
            self._process.wait()
        # Whatever it started may hold the pipe; it is not waited for.
        self._reader.join(timeout=2)


def _command(k6: K6, job: K6Job) -> list[str | Path]:
    command: list[str | Path] = [
        *(k6.path, "run", "--quiet", "--no-color", "--no-usage-report", "--address", ""),
        *("--config", job.config, job.script),
    ]
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _DIES_WITH_US, str(os.getpid()), *command]


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
