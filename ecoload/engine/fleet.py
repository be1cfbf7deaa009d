"""Generator processes, seen from the one that measures.

Rules
-----
- A generator is a child process with three lines to it: the job in, frames out, control both ways.
- It ends when we do: the control socket closes with this process, however it ends.
- Secrets go through the job's pipe, tokens through it and the control socket, neither through an argument
  or the environment.
- Where both share a core, the one that measures gives way: it has a second's time for what the load
  must do within microseconds. (SCHED_BATCH: it does not preempt when it wakes; needs no privilege.)
- A generator that dies without an END frame is `lost`; what it had sent until then is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from ecoload.engine.worker import Job
from ecoload.errors import LimitTooLow
from ecoload.guard.peaks import peak_vus
from ecoload.guard.reach import used_origins
from ecoload.measure.frames import Decoder, Frame
from ecoload.plan import Plan

SPARE_FILES = 64
PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031


class Generator:
    """One generator process. A context manager: it is gone when the block is."""

    def __init__(self, job: Job) -> None:
        raise_file_limit(job.plan)
        ours, theirs = socket.socketpair()
        self._control = ours
        self.process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-m", "ecoload.engine.process", str(theirs.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            bufsize=0,
        )
        theirs.close()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._frames = self.process.stdout.fileno()
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            fcntl.fcntl(self._frames, _F_SETPIPE_SZ, PIPE_BYTES)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(pickle.dumps(job))
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.lost = False
        _give_way(True)

    def frames(self, every_s: float) -> Iterator[tuple[Frame, int, bytes] | None]:
        """Frames as they come; None whenever `every_s` seconds have passed, so that the caller can
        look at a signal. Ends with the END frame, or with the process (`lost` is then True)."""
        decoder = Decoder()
        os.set_blocking(self._frames, False)
        due = time.monotonic() + every_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._frames, selectors.EVENT_READ)
            while True:
                if selector.select(max(0.0, due - time.monotonic())):
                    data = os.read(self._frames, PIPE_BYTES)
                    if not data:
                        self.lost = True
                        return
                    for frame in decoder.feed(data):
                        yield frame
                        if frame[0] is Frame.END:
                            return
                if time.monotonic() >= due:
                    due = time.monotonic() + every_s
                    yield None

    def stop(self, reason: str) -> None:
        """Ends the load gracefully."""
        self._say({"do": "stop", "reason": reason})

    def abort(self, reason: str) -> None:
        """Ends the load at once."""
        self._say({"do": "abort", "reason": reason})

    def set_vus(self, vus: int, load: int = 0) -> None:
        """Holds a closed load at `vus`, whatever its schedule says."""
        self._say({"do": "vus", "vus": vus, "load": load})

    def set_token(self, token: str) -> None:
        """Has the requests from now on carry this token."""
        self._say({"do": "token", "token": token})

    def _say(self, message: dict[str, object]) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _give_way(False)
        self._control.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _give_way(batch: bool) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            policy = os.SCHED_BATCH if batch else os.SCHED_OTHER
            os.sched_setscheduler(0, policy, os.sched_param(0))


def raise_file_limit(plan: Plan) -> None:
    """Makes room for one connection a VU. Raises LimitTooLow where the hard limit does not allow it."""
    wanted = peak_vus(plan) * max(1, len(used_origins(plan))) + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise LimitTooLow(
                f"the plan may hold {wanted} connections open at once, but this process may open at most "
                f"{hard} files; raise the limit (`ulimit -Hn`) or lower the number of VUs"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
