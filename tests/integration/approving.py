"""A workspace in git, people with SSH keys, a ledger and a target that records what reaches it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ecoload.guard.asking import Desk, open_desk, record
from ecoload.guard.grants import Signed, new_approval
from ecoload.guard.signing import sign

ROOT = Path(__file__).resolve().parents[2]
HASH = "a" * 64
RUN = ("run", "one", "--profile", "once", "--no-progress")
TARGETS = """
protocol: {{namespace: perf_test}}
profiles:
  once: {{executor: shared-iterations, vus: 1, iterations: 3, max_duration: 5s}}
apps:
  one:
    base_url: {url}
    routes: {{home: {{get: /, effect: none}}}}  # no environment is stated: it is production
"""
SCENARIO = "app: one\nsteps: [{route: home}]\n"


def git(folder: Path, *arguments: str, who: str = "alice") -> str:
    """A git command as somebody."""
    person = (
        "-c",
        f"user.name={who}",
        "-c",
        f"user.email={who}@example.com",
        "-c",
        "init.defaultBranch=main",
    )
    done = subprocess.run(
        ["git", "-C", str(folder), *person, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str = "a change", who: str = "alice") -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message, who=who)


def make_key(folder: Path, name: str) -> Path:
    key = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]
    subprocess.run(command, check=True)
    return key


def signers_line(principals: str, key: Path) -> str:
    return f"{principals} {key.with_suffix('.pub').read_text()}"


@dataclass
class Place:
    """A workspace at `root / "ws"`, committed by alice, whose signers are bob and alice."""

    root: Path
    url: str = "http://127.0.0.1:9"
    keys: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.workspace = self.root / "ws"
        (self.workspace / "scenarios").mkdir(parents=True)
        (self.workspace / "targets.yaml").write_text(TARGETS.format(url=self.url))
        (self.workspace / "scenarios" / "one.yaml").write_text(SCENARIO)
        (self.workspace / ".gitignore").write_text("runs/\n")
        git(self.workspace, "init", "-q")
        commit(self.workspace)
        (self.root / "keys").mkdir()
        self.keys = {name: make_key(self.root / "keys", name) for name in ("alice", "bob", "eve")}
        self.signers = self.root / "allowed_signers"
        lines = (("bob", "bob"), ("alice@example.com", "alice"))
        self.signers.write_text("".join(signers_line(who, self.keys[key]) for who, key in lines))
        self.environ = {
            "HOME": str(self.root / "home"),
            "XDG_STATE_HOME": str(self.root / "state"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "ECOLOAD_ALLOWED_SIGNERS": str(self.signers),
            "ECOLOAD_LEDGER": str(self.root / "ledger"),
            "ECOLOAD_APPROVER_KEY": str(self.keys["bob"]),
        }

    @property
    def files(self) -> list[Path]:
        return [self.workspace / "targets.yaml", self.workspace / "scenarios" / "one.yaml"]

    def desk(self, *, workspace: Path | None = None, **environ: str) -> Desk:
        """The desk of this environment."""
        return open_desk(self.environ | environ, workspace or self.workspace, self.files)

    def signed(
        self, who: str = "bob", key: str | None = None, execution_hash: str = HASH, **terms: Any
    ) -> Signed:
        """An approval by somebody, with their own key or another's."""
        made = new_approval(
            execution_hash,
            who,
            "because",
            datetime.now(UTC),
            terms.pop("expires", timedelta(hours=1)),
            **terms,
        )
        return Signed(made, sign(made.message, str(self.keys[key or who.partition("@")[0]])))

    def approved(self, desk: Desk, **more: Any) -> None:
        record(desk, self.signed(**more))

    def command(
        self, *arguments: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """An ecoload command in the workspace, without a terminal."""
        return subprocess.run(
            [sys.executable, "-m", "ecoload", *arguments],
            cwd=cwd or self.workspace,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | self.environ | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def request_of(folder: Path) -> dict[str, Any]:
    """The one request below a folder of runs."""
    (path,) = folder.glob("runs/*/approval_request.json")
    tree: dict[str, Any] = json.loads(path.read_bytes())
    return tree


RACER = """
import json, os, pathlib, sys, time
from ecoload.errors import ApprovalNeeded
from ecoload.guard.asking import consume, open_desk
environ, workspace, gate, name, execution_hash = json.loads(sys.argv[1])
desk = open_desk(environ, pathlib.Path(workspace), [])
print("ready", flush=True)
while not os.path.exists(gate):
    time.sleep(0.001)
try:
    consume(desk, execution_hash, name)
    print("won")
except ApprovalNeeded as error:
    print("lost:", *error.refused)
"""


def race(environ: Mapping[str, str], workspaces: Sequence[Path], gate: Path) -> list[str]:
    """Processes that all go for a use at the same moment; what each of them says."""
    racers = []
    for number, workspace in enumerate(workspaces):
        told = json.dumps([dict(environ), str(workspace), str(gate), f"r{number}", HASH])
        racers.append(
            subprocess.Popen(
                [sys.executable, "-c", RACER, told],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    gate.touch()
    return [racer.communicate(timeout=60)[0].strip() for racer in racers]
