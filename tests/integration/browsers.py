"""Browser flows over a sandbox that a test started: a workspace, the real command, what it leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ecoload.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Path("tests/perf/playwright")
DATA = Path("tests/perf/config/data.jsonl")
APPS = ("a1", "a2", "a4", "a5", "a6", "a7", "a8")


@dataclass(frozen=True, slots=True)
class Lab:
    """A sandbox, and a workspace whose browser flows are carried out on it."""

    sandbox: Sandbox
    folder: Path

    def flow(self, name: str) -> Path:
        return self.folder / "scenarios" / "browser" / f"{name}.yaml"

    def change(self, name: str, **changes: Any) -> None:
        """Changes a flow's file."""
        tree = yaml.safe_load(self.flow(name).read_text())
        self.flow(name).write_text(yaml.safe_dump(tree | changes, sort_keys=False))

    def spec(self, name: str, body: str, **changes: Any) -> None:
        """A flow of our own, of one step."""
        tree = {"about": "a test", "app": "a7", "asks": {"a7": "write", "a8": "read"}, "timeout": "20s",
                "steps": [{"name": "it"}]}  # fmt: skip
        self.flow(name).write_text(yaml.safe_dump(tree | changes))
        uses = [
            name for name in ("expect", "secret", "test", "url") if re.search(rf"\b{name}\(", f"{body} test(")
        ]
        head = f"import {{ {', '.join(uses)} }} from './ecoload';\n"
        text = f"{head}test('{name}', async ({{ page, flow }}) => {{\n{body}\n}});\n"
        self.flow(name).with_name(f"{name}.spec.ts").write_text(text)

    def command(self, *arguments: str, urls: dict[str, str] | None = None) -> list[str]:
        where = self.sandbox.urls | (urls or {})
        return [
            *(sys.executable, "-m", "ecoload", *arguments),
            *(f"--base-url={app}={url}" for app, url in where.items()),
            *("--targets", str(self.folder / "targets.yaml"), "--out", str(self.folder / "runs")),
        ]

    def environ(self, **more: str) -> dict[str, str]:
        return os.environ | self.sandbox.secrets | {"PYTHONPATH": str(ROOT)} | more

    def e2e(
        self, *flows: str, urls: dict[str, str] | None = None, **more: str
    ) -> tuple[int, list[dict[str, Any]]]:
        """The exit code and the results of `ecoload e2e`."""
        command = self.command("e2e", *(f"--flow={name}" for name in flows), "--json", urls=urls)
        done = subprocess.run(
            command, env=self.environ(**more), capture_output=True, text=True, timeout=240, check=False
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["flows"]


def need(tool: Callable[[str], Path]) -> None:
    """Asks for all that a browser flow takes."""
    for name in ("node", "chromium", "ffmpeg"):
        tool(name)
    for project in (PROJECT, Path("tests/browser")):
        if not (ROOT / project / "node_modules" / "@playwright").is_dir():
            tool(f"the modules of {project}")


def lab_in(folder: Path, sandbox: Sandbox) -> Lab:
    """The shipped workspace, its flows short: what is not there is not waited for a minute."""
    shutil.copytree(ROOT / "scenarios", folder / "scenarios")
    shutil.copyfile(ROOT / "targets.yaml", folder / "targets.yaml")
    (folder / DATA).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / DATA, folder / DATA)
    (folder / PROJECT).mkdir(parents=True)
    (folder / PROJECT / "node_modules").symlink_to(ROOT / PROJECT / "node_modules")
    for path in (folder / "scenarios" / "browser").glob("*.yaml"):
        path.write_text(path.read_text().replace("60s", "4s").replace("150s", "40s"))
    return Lab(sandbox, folder)


def verdicts(result: dict[str, Any]) -> dict[str, str]:
    return {proof["name"]: proof["verdict"] for proof in result["proofs"] if "metric" not in proof}


def failed(result: dict[str, Any]) -> list[str]:
    return [name for name, verdict in verdicts(result).items() if verdict == "FAIL"]
