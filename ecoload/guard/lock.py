"""One load run at a time on one target.

Rules
-----
- A lock is a file for each host and port, held with flock: the kernel releases it when its holder
  ends, however it ends. The file stays; only the lock on it counts.
- The files live in a folder of the user's own (`$XDG_RUNTIME_DIR/ecoload`, else
  `ecoload-UID` among the temporary files), closed to others. So the lock holds between the runs of
  one user on one machine.
- The error names who holds the target. The embedded sandbox belongs to its run and needs no lock.
- A process forked without exec would inherit the lock; generators are started with exec.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from ecoload.errors import GuardRefused, TargetLocked
from ecoload.guard.reach import used_origins
from ecoload.plan import Plan


@contextmanager
def locked(plan: Plan | Iterable[Plan], run_name: str, folder: Path | None = None) -> Iterator[None]:
    """Holds the targets of a plan's loads, or of several plans' that belong together, each once. `run_name`
    is the run's folder, for the message others get; `folder` where the lock files are (default: the user's
    runtime folder).

    Raises TargetLocked where another run holds one of them, GuardRefused where the folder is not the
    user's own.
    """
    plans = [plan] if isinstance(plan, Plan) else plan
    used = (one.origins[index] for one in plans for index in used_origins(one))
    targets = {(origin.host.lower(), origin.port) for origin in used if not origin.embedded}
    if not targets:
        yield
        return
    place = _own(folder or _runtime_folder())
    with ExitStack() as held:
        for host, port in sorted(targets):
            held.enter_context(_hold(place, f"{host}:{port}", run_name))
        yield


@contextmanager
def _hold(folder: Path, target: str, run_name: str) -> Iterator[None]:
    file = os.open(folder / f"{quote(target, safe='')}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TargetLocked(f"{target} is under load from another run: {_holder(file)}") from None
        started = datetime.now(UTC).isoformat(timespec="seconds")
        note = json.dumps({"pid": os.getpid(), "run": run_name, "started": started})
        os.ftruncate(file, 0)
        os.pwrite(file, note.encode(), 0)
        yield
    finally:
        # Closing releases; what the file says means nothing without the lock.
        os.close(file)


def _holder(file: int) -> str:
    try:
        note = json.loads(os.pread(file, 4096, 0))
        return f"{note['run']} (process {note['pid']}, since {note['started']})"
    except (ValueError, KeyError, TypeError):
        # It has the lock and has not written its note yet.
        return "it has only just started"


def _runtime_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime) / "ecoload"
    return Path(tempfile.gettempdir()) / f"ecoload-{os.getuid()}"


def _own(folder: Path) -> Path:
    """The folder, made if need be; refused where it is a link, another's, or open to others."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError as error:
        raise GuardRefused(f"no place for the lock on the target: {error}") from None
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise GuardRefused(
            f"{folder} must be a folder of your own with mode 0700: it holds the targets' locks"
        )
    return folder
