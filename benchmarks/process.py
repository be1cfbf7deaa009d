"""Runs one client on one core and says what it cost.

Rules
-----
- The cost of a client is the kernel's account (`wait4`) of its process and of every process it
  started; orphans are adopted (`PR_SET_CHILD_SUBREAPER`) and billed too.
- Memory is the proportional set size of all those processes, read once at a given time.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CLIENT_CORE = 0
SERVER_CORE = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHAN_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A client that ended. `steal` is the share of its core that the host took meanwhile (0..1), `others`
    the share that other processes of this machine used. `pss_kb` is the proportional set size of all its
    processes together, where it was asked for."""

    code: int
    stdout: str
    stderr: str
    wall_s: float
    user_s: float
    system_s: float
    steal: float
    others: float
    pss_kb: int | None

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s

    @property
    def disturbed(self) -> tuple[float, float]:
        """`(steal, others)`."""
        return self.steal, self.others


def adopt_orphans() -> None:
    """Processes whose parent ended before them become this one's children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def pin(core: int) -> None:
    """This process, and what it starts from now on, runs on `core` only."""
    os.sched_setaffinity(0, {core})


def run_client(
    command: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
    memory_after_s: float | None = None,
) -> Finished:
    """Runs `command` to its end on the client's core. Raises TimeoutError after killing it when it
    takes longer than `timeout_s`."""
    others = set(_children(os.getpid()))
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        before = _core_seconds(CLIENT_CORE)
        started = time.monotonic()
        # The client is reaped with wait4 below, not through Popen, for its account.
        pid = _spawn(command, env, out.fileno(), err.fileno())
        pss_kb = None
        while True:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                break
            elapsed = time.monotonic() - started
            if memory_after_s is not None and pss_kb is None and elapsed >= memory_after_s:
                pss_kb = _tree_pss_kb(pid)
            if elapsed > timeout_s:
                _kill_tree(pid)
                raise TimeoutError(f"{command[0]} did not end within {timeout_s:.0f} s")
            time.sleep(0.02)
        wall = time.monotonic() - started
        busy, stolen = (b - a for a, b in zip(before, _core_seconds(CLIENT_CORE), strict=True))
        usages = [usage, *_reap_orphans(others)]
        user, system = sum(u.ru_utime for u in usages), sum(u.ru_stime for u in usages)
        out.seek(0)
        err.seek(0)
        return Finished(
            code=os.waitstatus_to_exitcode(status),
            stdout=out.read(),
            stderr=err.read(),
            wall_s=wall,
            user_s=user,
            system_s=system,
            steal=stolen / wall,
            others=max(busy - user - system, 0.0) / wall,
            pss_kb=pss_kb,
        )


def _core_seconds(core: int) -> tuple[float, float]:
    """Seconds that `core` was busy, and that the host took from it, since the machine started."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
            tick = os.sysconf("SC_CLK_TCK")
            return (user + nice + system + irq + softirq) / tick, steal / tick
    raise OSError(f"/proc/stat does not know cpu{core}")


def _spawn(command: Sequence[str | Path], env: Mapping[str, str] | None, out: int, err: int) -> int:
    child = subprocess.Popen(
        ["taskset", "-c", str(CLIENT_CORE), *map(str, command)],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
    )
    child.returncode = 0  # Popen would warn of a child that it did not see end
    return child.pid


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def _tree(pid: int) -> list[int]:
    return [pid, *(below for child in _children(pid) for below in _tree(child))]


def _tree_pss_kb(pid: int) -> int:
    total = 0
    for member in _tree(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def _kill_tree(pid: int) -> None:
    for member in _tree(pid):
        try:
            os.kill(member, 9)
        except ProcessLookupError:
            continue
    os.waitpid(pid, 0)


def _reap_orphans(others: set[int]) -> list[resource.struct_rusage]:
    usages = []
    deadline = time.monotonic() + ORPHAN_PATIENCE_S
    for orphan in set(_children(os.getpid())) - others:
        while True:
            ended, _, usage = os.wait4(orphan, os.WNOHANG)
            if ended:
                usages.append(usage)
                break
            if time.monotonic() > deadline:
                _kill_tree(orphan)
                raise TimeoutError(f"process {orphan} outlived the client that started it")
            time.sleep(0.02)
    return usages
