"""Another tool as a child: started, listened to, told to end, ended.

Rules
-----
- It gets the environment that is handed in and nothing else.
- It has a session of its own, so that Ctrl-C is ours to hand on; where we are killed, the kernel kills it
  (Linux). So a command that is gone leaves none behind, unless what is started is a script that starts
  another.
- One that does not end by itself is told to, then killed, and always awaited.
- Of what it says the last lines are kept, each up to a length, secrets replaced.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

from ecoload.engine.hiding import without_secrets

GRACE_S = 15.0
"""From being told to end to being killed: it still writes its summary."""
LOOK_S = 0.2
LINES_KEPT = 400
LONGEST_LINE = 8192

# The child becomes the tool; a kernel that has no such call is not Linux, and there this is left out.
_DIES_WITH_US = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,9);"
    "os.getppid()==int(sys.argv[1]) or sys.exit(1);"
    "os.execv(sys.argv[2],sys.argv[2:])"
)


class Child:
    """The process: a context manager, and it is gone when the block is. `command` begins with a path. `take`
    gets each line of its standard output as it comes, in a thread of its own, and says whether it was for it;
    what was not, and standard error, is kept."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str],
        take: Callable[[str], bool] | None = None,
        longest_line: int | None = None,
    ) -> None:
        self._kept: deque[str] = deque(maxlen=LINES_KEPT)
        self._told_at: float | None = None
        self._take, self._longest = take, longest_line or LONGEST_LINE
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _DIES_WITH_US, str(os.getpid()), *command]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def code(self) -> int:
        code = self._process.returncode
        assert code is not None
        return code

    def follow(self, most_s: float) -> bool:
        """Waits for its end, whoever brings it; False: it had to be ended, since its time was over."""
        deadline, in_time = time.monotonic() + most_s, True
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LOOK_S)
                return in_time
            now = time.monotonic()
            if self._told_at is None and now > deadline:
                in_time = False
                self.stop("its time is over")
            if self._told_at is not None and now > self._told_at + GRACE_S:
                self.abort("its grace is over")

    def stop(self, reason: str) -> None:
        """Tells it to end: it interrupts what is under way and still writes its summary. What is called by
        its name may be a script that waits for it, so all of its session hear it."""
        self._told_at = self._told_at or time.monotonic()
        self._signal(signal.SIGINT)

    def abort(self, reason: str) -> None:
        """Ends it at once, with whatever it started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def lines(self, secrets: Collection[str]) -> tuple[str, ...]:
        """The last lines that it said."""
        # A line that was cut may end with a part of a secret.
        longest = max(map(len, secrets), default=0)
        return tuple(
            without_secrets(line, secrets)[: None if len(line) < LONGEST_LINE else -longest or None]
            for line in self._kept
        )

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            begins = True
            while part := pipe.readline(self._longest):
                if begins and not (self._take is not None and self._take(part)):
                    self._kept.append(part.rstrip()[:LONGEST_LINE])
                begins = part.endswith("\n")

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.abort("we leave")
            self._process.wait()
        # Whatever it started may hold the pipe; it is not waited for.
        self._reader.join(timeout=2)
