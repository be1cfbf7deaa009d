"""Suites over a sandbox that a test started: a small workspace, the real command, what it leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ecoload.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
DATA = Path("tests/perf/config/data.jsonl")
WIDE = {"p95_ms": 2000, "p95_stretch_ms": None, "error_rate": 0.01}
"""Levels that a busy machine does not miss: what is tested here is the protocol, not the speed."""

PROFILES = {
    "smoke": {
        "executor": "constant",
        "vus": 2,
        "duration": "1s",
        "pacing": "200ms",
        "decides": ["error_rate"],
    },
    "baseline": {"executor": "constant", "vus": 4, "duration": "2s", "pacing": "100ms"},
    "ramp": {"executor": "ramp", "from": 1, "to": 4, "duration": "1s", "pacing": "100ms"},
}
PHASES = [
    {"name": "health", "health": {"requests": 60, "rate": 100}, "gate": "halt"},
    {"name": "smoke", "profile": "smoke", "gate": "halt", "parallel": 2},
    {"name": "baseline", "profile": "baseline", "gate": "pass"},
    {"name": "ramp", "profile": "ramp"},
]
COLD_MS = 400
"""Between A8's warm overview and its cold one."""

Change = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Suites:
    """A workspace in a folder, and the sandbox that its suites are carried out on."""

    sandbox: Sandbox
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, change: Change = lambda _: None) -> None:
        """The shipped ecosystem with short phases and wide levels, changed by `change`."""
        tree = yaml.safe_load((ROOT / "targets.yaml").read_text())
        tree["profiles"], tree["phases"] = dict(PROFILES), [dict(phase) for phase in PHASES]
        tree["defaults"]["slo"] = dict(WIDE)
        for app in tree["apps"].values():
            app.pop("profiles", None)
            app["max_rps"] = 100_000
            for route in app["routes"].values():
                slo = route.get("slo") or {}
                for level in ("p95_ms", "p95_stretch_ms", "p95_drift"):
                    slo.pop(level, None)
        a8 = tree["apps"]["a8"]
        a8["scenarios"] = ["a8"]
        a8["routes"]["overview"]["slo"] = {"p95_ms": COLD_MS}
        a8["profiles"] = {"baseline": {"vus": 40, "duration": "4s"}}
        change(tree)
        for app in tree["apps"].values():
            # Nobody waits for an app that is left out, nor long for what is lost.
            stations = (app.get("lineage") or {}).get("stations") or {}
            for name, station in list(stations.items()):
                if station.get("app", "a2") not in tree["apps"]:
                    del stations[name]
                elif "within" in station:
                    station["within"] = "2s"
        tree["known_issues"] = [one for one in tree["known_issues"] if one["app"] in tree["apps"]]
        (self.folder / "targets.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        shutil.rmtree(self.folder / "scenarios", ignore_errors=True)
        (self.folder / "scenarios").mkdir()
        for path in (ROOT / "scenarios").iterdir():
            if path.stem.partition("_")[0] in tree["apps"]:
                shutil.copyfile(path, self.folder / "scenarios" / path.name)
        (self.folder / DATA).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / DATA, self.folder / DATA)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command, in the workspace."""
        environ = {**os.environ, **self.sandbox.secrets, **self.environ, "PYTHONPATH": str(ROOT)}
        environ |= {f"{app.upper()}_URL": url for app, url in self.sandbox.urls.items()}
        return subprocess.Popen(
            [sys.executable, "-m", "ecoload", *arguments],
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a command."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    def suite(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit code and result of `ecoload suite`."""
        code, out, err = self.run("suite", "--json", *arguments)
        assert out, err
        tree: dict[str, Any] = json.loads(out)
        assert tree["exit_code"] == code, (tree["exit_code"], code, err)
        return code, tree

    def why(self, tree: dict[str, Any]) -> str:
        """What failed in a suite, with the diagnostics of it: for the message of a test that fails itself."""
        pages = dict.fromkeys(one["diagnostics"] for one in tree["failures"] if one["diagnostics"])
        folder = self.folder / tree["folder"]
        texts = [(folder / page).read_text() for page in pages if (folder / page).exists()]
        return "\n".join([json.dumps(tree["failures"], indent=1), *texts])

    def newest(self) -> Path:
        return max((self.folder / "runs").glob("*-suite-*"))


def verdicts(tree: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What became of each app in each phase."""
    return {
        phase["name"]: {cell["app"]: cell["verdict"] for cell in phase["cells"]} for phase in tree["phases"]
    }


def failures(tree: dict[str, Any]) -> set[tuple[str, str, str]]:
    """`(phase, app, what)` of everything that failed."""
    return {(one["phase"], one["app"], one["of"]) for one in tree["failures"]}


GOOD = {"PASS", "MITIGATED", "INCONCLUSIVE"}
"""What a good cell reads as: on a machine so busy that starts were late, it is INCONCLUSIVE."""
