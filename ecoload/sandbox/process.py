"""One app of the sandbox as a process: `python -m ecoload.sandbox.process APP`.

Rules
-----
- The pipe on stdin carries two JSON objects, a line each: the configuration, then the addresses of all
  apps. Its end, SIGTERM, or the parent's death ends the process.
- The pipe on stdout carries a line for each: `{"port": N}`, then `{"ready": true}`; or `{"error": "..."}`.
- One process per state folder: a lock says so, and dies with its holder.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import importlib
import json
import logging
import os
import resource
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import uvloop
from aiohttp import web

from ecoload.sandbox.common.service import App, Config, ProblemHandler, Service

APPS = {
    "a1": "a1.app:IdentityProvider",
    "a2": "a2.app:Ingest",
    "a3": "a3.app:Agent",
    "a4": "a4.app:Sage",
    "a5": "a5.app:StudentPilot",
    "a6": "a6.app:ProviderPortal",
    "a7": "a7.app:PageMaker",
    "a8": "a8.app:CommandCentre",
}
"""Where each app is; imported only by its own process."""

BACKLOG = 4096
KEEPALIVE_S = 3600.0  # an idle VU's connection is not the server's to close
LOCK_PATIENCE_S = 3.0  # a process killed a moment ago may still hold its folder


def main(app: str) -> int:
    """Serve `app` until told to end; 0, or 1 when it could not start."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    _raise_file_limit()
    return uvloop.run(_run(app))


async def _run(name: str) -> int:
    loop = asyncio.get_running_loop()
    pipe = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(pipe), sys.stdin)
    line = await pipe.readline()
    if not line:
        return 1
    told: dict[str, Any] = json.loads(line)
    config = Config(
        app=name,
        seed=told["seed"],
        folder=Path(told["folder"]),
        admin_token=told["admin_token"],
        internal_token=told["internal_token"],
    )
    end = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, end.set)
    try:
        with _locked(config.folder / "lock"):
            await _serve(config, pipe, end, told["parent"], told["port"])
    except (OSError, sqlite3.Error) as error:
        _report({"error": str(error)})
        return 1
    finally:
        # The pipe can be seen to end before the parent is seen to be gone; while it lives, it is open.
        if told["temporary"] and (pipe.at_eof() or os.getppid() != told["parent"]):
            shutil.rmtree(config.folder, ignore_errors=True)
            with suppress(OSError):  # the last one out removes the workspace
                config.folder.parent.rmdir()
    return 0


async def _serve(
    config: Config, pipe: asyncio.StreamReader, end: asyncio.Event, parent: int, port: int
) -> None:
    loop = asyncio.get_running_loop()
    service = Service(_app(config), config)
    runner = web.AppRunner(service.web, shutdown_timeout=0.5)
    try:
        await runner.setup()
        manager = runner.server
        assert manager is not None
        listening = await loop.create_server(
            lambda: ProblemHandler(
                manager,
                loop=loop,
                keepalive_timeout=KEEPALIVE_S,
                auto_decompress=False,  # a few bytes do not become many; what is compressed is no JSON
            ),
            "127.0.0.1",
            port,
            backlog=BACKLOG,
            reuse_address=True,  # a restart comes back to its address at once
        )
        gc.collect()
        gc.freeze()  # what is there for good is not walked again in the middle of a measurement
        _report({"port": listening.sockets[0].getsockname()[1]})
        watchers = (
            asyncio.create_task(_follow(pipe, service, end)),
            asyncio.create_task(_watch_parent(parent, end)),
        )
        await end.wait()
        listening.close()
        for watcher in watchers:
            watcher.cancel()
    finally:
        await runner.cleanup()
        await service.close()


def _app(config: Config) -> App:
    module, _, name = APPS[config.app].partition(":")
    app: App = getattr(importlib.import_module(f"ecoload.sandbox.{module}"), name)(config)
    return app


async def _follow(pipe: asyncio.StreamReader, service: Service, end: asyncio.Event) -> None:
    while line := await pipe.readline():
        try:
            await service.connect(json.loads(line)["peers"])
        except Exception as error:
            _report({"error": str(error)})
            raise
        _report({"ready": True})
    end.set()


async def _watch_parent(parent: int, end: asyncio.Event) -> None:
    """The pipe can outlive the parent in a process the parent forked; then this notices."""
    while os.getppid() == parent:
        await asyncio.sleep(1.0)
    end.set()


def _locked(path: Path) -> IO[bytes]:
    lock = path.open("wb")
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise OSError(f"another sandbox is using {path.parent}") from None
            time.sleep(0.05)


def _report(message: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
