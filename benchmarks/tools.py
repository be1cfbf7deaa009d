"""Where the foreign tools are, and which version each is."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ECOLOAD = Path(sys.executable).parent / "ecoload"


def find(name: str) -> Path | None:
    """The tool `name`, from `.tools/bin` first; None where it is not there."""
    search = [str(ROOT / ".tools" / "bin"), os.environ.get("PATH", ""), "/usr/sbin"]
    found = shutil.which(name, path=os.pathsep.join(search))
    return Path(found) if found else None


def need(name: str) -> Path:
    """The tool `name`; ends the benchmark with what to do where it is not there."""
    path = find(name)
    if path is None:
        raise SystemExit(f"{name} is not here: make tools")
    return path


def versions() -> dict[str, str]:
    """What was measured, and on what."""
    return {
        "ecoload": _first_line([ECOLOAD, "--version"]).removeprefix("ecoload "),
        "python": platform.python_version(),
        "wrk": _first_line([need("wrk"), "-v"]).split()[1],
        "hey": _debian_version("hey"),
        "k6": _first_line([need("k6"), "version"]).removeprefix("k6 "),
        "nginx": _first_line([need("nginx"), "-v"]).rpartition("/")[2],
        "kernel": platform.release(),
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
    }


def _first_line(command: list[str | Path]) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    return ((done.stdout or done.stderr).splitlines() or ["unknown"])[0].strip()


def _debian_version(package: str) -> str:
    """hey does not tell its version; Debian's package does."""
    if find("dpkg-query") is None:
        return "unknown"
    return _first_line(["dpkg-query", "-W", "-f", "${Version}", package])


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
