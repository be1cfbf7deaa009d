"""What every test may lean on.

Rules
-----
- A test that needs a tool that is not Python's asks `tool("nginx")` for it. Where it is missing the
  test is skipped and says how to get it; with `CI=true` it fails instead.
- Hypothesis has no deadline: speed is never asserted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
TOOL_FOLDERS = (ROOT / ".tools" / "bin", ROOT / ".tools")

settings.register_profile("ecoload", deadline=None)
settings.load_profile("ecoload")


def find_tool(name: str) -> Path | None:
    """A foreign tool by the name of its command, or of its file in `.tools` (`HdrHistogram-2.2.2.jar`):
    `.tools` first, then the PATH and the places of system commands. None where it is not there."""
    for folder in TOOL_FOLDERS:
        if (folder / name).is_file():
            return folder / name
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    return Path(found) if found else None


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """`tool("k6")` is the path of that tool; without it the test is skipped (in CI: fails)."""

    def find(name: str) -> Path:
        path = find_tool(name)
        if path is None:
            message = f"{name} is not here; `make tools` installs it, or prints how to"
            if os.environ.get("CI") == "true":
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
        return path

    return find
