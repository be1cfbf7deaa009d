"""The commands that go on from where a suite ended, as they are to be copied.

Rules
-----
- One line each, quoted for a shell: whatever a name holds, the command does nothing else.
- `run` is the suite's folder.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from ecoload.report.forms import clean
from ecoload.report.suite_rows import Tree, apps


def to_approve(result: Tree, run: str) -> list[str]:
    """The commands that let what waits for an approval go on."""
    if not (result.get("approvals") or {}).get("awaiting"):
        return []
    signed = shlex.quote(clean(result.get("execution_hash")))
    out = shlex.quote(clean(Path(run).parent))
    return [f"ecoload approve {signed} --by NAME --reason TEXT --out {out}", resumed(run)]


def to_retest(result: Tree, run: str) -> list[str]:
    """The commands that measure again what failed, once it is mended."""
    known = set(apps(result))
    failed = dict.fromkeys(str(one.get("app")) for one in result.get("failures") or ())
    return [resumed(run, app if app in known else "") for app in failed]


def resumed(run: str, retest: str = "") -> str:
    """The command that goes on with a suite."""
    command = f"ecoload suite --resume {shlex.quote(clean(run))}"
    return f"{command} --retest {shlex.quote(clean(retest))}" if retest else command
