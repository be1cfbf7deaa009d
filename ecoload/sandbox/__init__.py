"""The embedded ecosystem: real apps on loopback, each in a process of its own.

Rules
-----
- This is a system under test. It imports nothing of the rest, and only the cli and the tests import it.
- A child lives as long as the pipe to its parent: when the parent is gone, however it went, the
  children end and clean up what was temporary.
- Ports are always chosen by the system. Secrets travel by the pipe, never on a command line.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["APPS", "Sandbox", "SandboxError"]

APPS = ("a2", "a8")
"""The apps that can be started."""

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 3.0


class SandboxError(Exception):
    """The sandbox did not come up; the message says which app and why."""


class Sandbox:
    """The apps, up from entering to leaving the context.

    `urls` has the base URL of each app, `pids` their process ids, `admin_token` what `POST /__faults`
    wants in `X-Sandbox-Admin`, `state` the folder with one folder per app (database and log).
    A `state` that is given stays and is carried on from; otherwise it is temporary and removed.
    Entering raises SandboxError, and then nothing is left running.
    """

    def __init__(self, apps: Sequence[str] = APPS, seed: int = 1, state: Path | None = None) -> None:
        unknown = [app for app in apps if app not in APPS]
        if unknown:
            known = ", ".join(APPS)
            raise SandboxError(f"no such app in the sandbox: {', '.join(unknown)}; there are {known}")
        self.apps = tuple(dict.fromkeys(apps))
        self.seed = seed
        self.urls: dict[str, str] = {}
        self.pids: dict[str, int] = {}
        self.admin_token = secrets.token_urlsafe(24)
        self.state = state or Path()
        self._temporary = state is None
        self._internal_token = secrets.token_urlsafe(24)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            if self._temporary:
                self.state = Path(tempfile.mkdtemp(prefix="ecoload-sandbox-"))
            self.state = self.state.absolute()
            for app in self.apps:
                self._children[app] = child = self._spawn(app)
                self.pids[app] = child.pid
        except OSError as error:
            raise SandboxError(f"the sandbox cannot start: {error}") from error
        for app, child in self._children.items():
            self.urls[app] = f"http://127.0.0.1:{self._port_of(app, child, deadline)}"
        for child in self._children.values():
            with suppress(OSError):
                _send(child, {"peers": self.urls})

    def _spawn(self, app: str) -> subprocess.Popen[bytes]:
        folder = self.state / app
        folder.mkdir(parents=True, exist_ok=True)
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with (folder / "log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "ecoload.sandbox.process", app],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is the parent's to handle: it still reads back at the end
            )
        with suppress(BrokenPipeError):  # a child that died at once is reported when its port is read
            _send(
                child,
                {
                    "app": app,
                    "seed": self.seed,
                    "folder": str(folder),
                    "temporary": self._temporary,
                    "parent": os.getpid(),
                    "admin_token": self.admin_token,
                    "internal_token": self._internal_token,
                },
            )
        return child

    def _port_of(self, app: str, child: subprocess.Popen[bytes], deadline: float) -> int:
        assert child.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([child.stdout], [], [], left)[0]:
                raise SandboxError(f"{app} of the sandbox did not come up in {START_TIMEOUT_S:.0f} s")
            piece = os.read(child.stdout.fileno(), 4096)
            if not piece:
                reason = _tail(self.state / app / "log")
                raise SandboxError(f"{app} of the sandbox ended at its start: {reason}")
            line += piece
        report = json.loads(line)
        if "error" in report:
            raise SandboxError(f"{app} of the sandbox cannot start: {report['error']}")
        return int(report["port"])

    def _stop(self) -> None:
        for child in self._children.values():
            child.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self._children.values():
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        self._children.clear()
        self.pids.clear()
        self.urls.clear()
        if self._temporary and self.state != Path():
            shutil.rmtree(self.state, ignore_errors=True)


def _send(child: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert child.stdin is not None
    child.stdin.write(json.dumps(message).encode() + b"\n")


def _tail(log: Path) -> str:
    """The last line of a log, which is what a person needs of a traceback."""
    with suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "no reason given"
