"""The process around one worker.

Rules
-----
- It reads a job from its standard input, writes frames to its standard output, and obeys lines of
  JSON on a control socket: `stop`, `abort`, `vus`, `token`.
- When the control socket or the pipe closes, the one that asked for the load is gone, and the load
  ends at once.
- It waits for nobody: what the pipe does not take at once is offered again.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import socket
import sys
from typing import Any

from ecoload.engine.clock import LoopClock
from ecoload.engine.program import Transport
from ecoload.engine.sampler import Sampler
from ecoload.engine.worker import Job, Worker
from ecoload.errors import EcoloadError
from ecoload.measure.frames import Frame


def main() -> None:
    """The process: `python -m ecoload.engine.process CONTROL_FD`."""
    job: Job = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent, by pipe
    control = socket.socket(fileno=int(sys.argv[1]))
    frames = os.dup(1)
    # A stray print must not tear a frame.
    os.dup2(2, 1)
    # Ctrl-C is the parent's to understand: it asks us to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import uvloop

    uvloop.run(_run(job, control, frames))


async def _run(job: Job, control: socket.socket, frames: int) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    clock = LoopClock(loop, spin=job.plan.pacing_mode == "spin")
    sink = _Pipe(loop, frames)
    try:
        worker = Worker(job, clock, sink, lambda w: _transport(w, loop), done.set)
    except EcoloadError as error:
        Sampler(sink).note(Frame.END, {"status": "failed", "reason": str(error), "stopped_at_ns": 0})
        await sink.drain()
        os._exit(0)
    _listen(loop, control, worker)
    loop.set_exception_handler(lambda _, context: worker.fail(_error_of(context)))
    worker.start()
    await done.wait()
    await sink.drain()
    clock.close()
    # The process is at its end: connections close with it, which is faster than one by one.
    os._exit(0)


def _transport(worker: Worker, loop: asyncio.AbstractEventLoop) -> Transport:
    if worker.plan.transport == "aiohttp" or worker.plan.proxy:
        from ecoload.engine.aiohttp_transport import AiohttpTransport

        return AiohttpTransport(worker.plan, loop, worker.clock, worker.sampler, worker.fail)
    from ecoload.engine.http1 import Http1Transport

    return Http1Transport(worker.plan, loop, worker.clock, worker.sampler, worker.fail)


def _error_of(context: dict[str, Any]) -> BaseException:
    return context.get("exception") or RuntimeError(str(context.get("message")))


def _listen(loop: asyncio.AbstractEventLoop, control: socket.socket, worker: Worker) -> None:
    control.setblocking(False)
    buffer = bytearray()

    def readable() -> None:
        try:
            data = control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(control)
            os._exit(0)  # nobody is left to measure: no further byte may be sent to the target
        buffer.extend(data)
        while (end := buffer.find(b"\n")) >= 0:
            message = json.loads(bytes(buffer[:end]))
            del buffer[: end + 1]
            if message["do"] == "stop":
                worker.stop(message["reason"])
            elif message["do"] == "abort":
                worker.abort(message["reason"])
            elif message["do"] == "token":
                worker.set_token(message["token"])
            else:
                worker.set_vus(message["vus"], message.get("load", 0))

    loop.add_reader(control, readable)


class _Pipe:
    """Frames to a pipe without ever waiting for it: what it does not take is offered again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        self._loop, self._fd = loop, fd
        self._waiting = bytearray()
        self._idle = asyncio.Event()
        self._idle.set()
        os.set_blocking(fd, False)

    def __call__(self, frame: bytes) -> None:
        if self._waiting:
            self._waiting += frame
            return
        try:
            written = os.write(self._fd, frame)
        except BlockingIOError:
            written = 0
        except OSError:
            os._exit(0)  # the reader is gone
        if written < len(frame):
            self._waiting += frame[written:]
            self._idle.clear()
            self._loop.add_writer(self._fd, self._writable)

    async def drain(self) -> None:
        await self._idle.wait()

    def _writable(self) -> None:
        try:
            del self._waiting[: os.write(self._fd, self._waiting)]
        except BlockingIOError:
            return
        except OSError:
            os._exit(0)
        if not self._waiting:
            self._loop.remove_writer(self._fd)
            self._idle.set()


if __name__ == "__main__":
    main()
