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
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ecoload.sandbox.common.clients import LOAD, USERS, client_secret

__all__ = ["APPS", "Sandbox", "SandboxError"]

APPS = {
    "a1": "identity provider (OIDC)",
    "a2": "API and event ingest",
    "a3": "scholarship agent",
    "a4": "scholarship sage (LLM)",
    "a5": "student pilot",
    "a6": "provider portal",
    "a7": "page maker",
    "a8": "command centre, read only",
}
"""The apps that can be started, and what they are."""

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 3.0


class SandboxError(Exception):
    """The sandbox did not come up; the message says which app and why."""


class Sandbox:
    """The apps, up from entering to leaving the context.

    `urls` has the base URL of each app, `pids` their process ids, `admin_token` what `POST /__faults`
    wants in `X-Sandbox-Admin`, `state` the folder with one folder per app (database and log), `secrets`
    what a targets file refers to, by the name of its environment variable.
    A `state` that is given stays and is carried on from; otherwise it is temporary and removed.
    Entering raises SandboxError, and then nothing is left running.
    """

    def __init__(self, apps: Iterable[str] = APPS, seed: int = 1, state: Path | None = None) -> None:
        self.apps = tuple(dict.fromkeys(apps))
        unknown = [app for app in self.apps if app not in APPS]
        if unknown:
            known = ", ".join(APPS)
            raise SandboxError(f"no such app in the sandbox: {', '.join(unknown)}; there are {known}")
        self.seed = seed
        self.urls: dict[str, str] = {}
        self.pids: dict[str, int] = {}
        self.admin_token = secrets.token_urlsafe(24)
        self.state = state or Path()
        self._temporary = state is None
        self._internal_token = secrets.token_urlsafe(24)
        self.secrets = {
            "A1_CLIENT_SECRET": client_secret(self._internal_token, LOAD),
            "A1_USER_PASSWORD": client_secret(self._internal_token, USERS),
            "SANDBOX_ADMIN_TOKEN": self.admin_token,
        }
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
        for app in self.apps:
            self.urls[app] = f"http://127.0.0.1:{self._told(app, deadline)['port']}"
        for app in self.apps:
            self._introduce(app)
        for app in self.apps:
            self._told(app, deadline)

    def write_environment(self) -> Path:
        """Writes what a shell needs to point at this sandbox (addresses and secrets), for its owner only."""
        file = self.state / "sandbox.env"
        file.unlink(missing_ok=True)
        file.touch(0o600)
        addresses = {f"{app.upper()}_URL": url for app, url in self.urls.items()}
        lines = [f"export {name}={value}\n" for name, value in (addresses | self.secrets).items()]
        file.write_text("".join(lines))
        return file

    def kill(self, app: str) -> None:
        """Ends one app as a crash would: SIGKILL."""
        child = self._children[app]
        child.kill()
        child.wait()

    def start(self, app: str) -> None:
        """Starts an app that has ended, at the same address and with the same state. Raises SandboxError."""
        ended = self._children[app]
        if ended.poll() is None:
            raise SandboxError(f"{app} of the sandbox is running")
        _close(ended)
        deadline = time.monotonic() + START_TIMEOUT_S
        self._children[app] = child = self._spawn(app, int(self.urls[app].rpartition(":")[2]))
        self.pids[app] = child.pid
        self._told(app, deadline)
        self._introduce(app)
        self._told(app, deadline)

    def _introduce(self, app: str) -> None:
        with suppress(OSError):  # a child that has died is reported when its answer is read
            _send(self._children[app], {"peers": self.urls})

    def _spawn(self, app: str, port: int = 0) -> subprocess.Popen[bytes]:
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
                    "port": port,
                },
            )
        return child

    def _told(self, app: str, deadline: float) -> dict[str, Any]:
        """The next line of a child. Raises SandboxError."""
        pipe = self._children[app].stdout
        assert pipe is not None
        line = b""
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([pipe], [], [], left)[0]:
                raise SandboxError(f"{app} of the sandbox did not come up in {START_TIMEOUT_S:.0f} s")
            piece = os.read(pipe.fileno(), 4096)
            if not piece:
                reason = _tail(self.state / app / "log")
                raise SandboxError(f"{app} of the sandbox ended at its start: {reason}")
            line += piece
        report: dict[str, Any] = json.loads(line)
        if "error" in report:
            raise SandboxError(f"{app} of the sandbox cannot start: {report['error']}")
        return report

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
            _close(child)
        self._children.clear()
        self.pids.clear()
        self.urls.clear()
        if self._temporary and self.state != Path():
            shutil.rmtree(self.state, ignore_errors=True)


def _send(child: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert child.stdin is not None
    child.stdin.write(json.dumps(message).encode() + b"\n")


def _close(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _tail(log: Path) -> str:
    """The last line of a log, which is what a person needs of a traceback."""
    with suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "no reason given"
