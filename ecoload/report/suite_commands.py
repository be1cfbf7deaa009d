"""The commands that go on from where a suite ended, as they are to be copied.

Rules
-----
- One line each, quoted for a shell: whatever a name holds, the command does nothing else.
- `run` is the suite's folder. Where the result says which targets file the command was given (`targets`), the
  commands say it too: reports and secrets are looked for beside it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from ecoload.report.forms import clean
from ecoload.report.suite_rows import Tree, apps, phases


def to_approve(result: Tree, run: str) -> list[str]:
    """The commands that let what waits for an approval go on."""
    if not (result.get("approvals") or {}).get("awaiting"):
        return []
    signed = shlex.quote(clean(result.get("execution_hash")))
    out = shlex.quote(clean(Path(run).parent))
    return [f"ecoload approve {signed} --by NAME --reason TEXT --out {out}", resumed(run, result)]


def to_resume(result: Tree, run: str) -> list[str]:
    """The command that goes on with a suite that was interrupted."""
    return [resumed(run, result)] if result.get("interrupted") else []


def to_retest(result: Tree, run: str) -> list[str]:
    """The commands that measure again what failed, once it is mended."""
    return _retests(result, run, (one.get("app") for one in result.get("failures") or ()))


def to_measure_again(result: Tree, run: str) -> list[str]:
    """The commands that measure again what could not be told; in a rehearsal nothing hangs on it."""
    if result.get("rehearsal"):
        return []
    cells = [cell for phase in phases(result) for cell in phase.get("cells") or ()]
    items = (item for cell in cells for item in cell.get("items") or ())
    return _retests(result, run, (i.get("app") for i in items if i.get("verdict") == "INCONCLUSIVE"))


def resumed(run: str, result: Tree, retest: str = "") -> str:
    """The command that goes on with a suite."""
    command = f"ecoload suite --resume {shlex.quote(clean(run))}"
    for option, value in (("--retest", retest), ("--targets", result.get("targets"))):
        command += f" {option} {shlex.quote(clean(value))}" if value else ""
    return command


def _retests(result: Tree, run: str, names: Iterable[object]) -> list[str]:
    """A retest for each of these apps; `all` is the run that asks every app, and made again for any."""
    known = apps(result)
    every = known[0] if known else ""
    found = dict.fromkeys(str(name) if name in known else every for name in names)
    return [resumed(run, result, app) for app in found]
