"""Runs k6 on scripts: with the environment that is given and nothing else of ours."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ecoload.sandbox import Sandbox


@dataclass(frozen=True)
class Ran:
    """How k6 ended, what it said, and its summary where it wrote one."""

    code: int
    said: str
    summary: dict[str, Any] | None

    @property
    def requests(self) -> dict[str, int]:
        assert self.summary is not None, self.said
        return {route["route"]: route["requests"] for route in self.summary["routes"]}


class Running:
    """k6 on a script, going on; `end` waits for it."""

    def __init__(
        self, k6: Path, script: Path, folder: Path, environment: Mapping[str, str], *options: str
    ) -> None:
        self._summary = folder / f"{script.stem}-{os.urandom(4).hex()}.json"
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "K6_NO_USAGE_REPORT": "true",
            "ECOLOAD_SUMMARY": str(self._summary),
        }
        # Without an address k6 serves no API, which several at a time would contend for.
        command = [str(k6), "run", "--quiet", "--address", "", *options, str(script)]
        self._process = subprocess.Popen(
            command, env=own | dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def end(self) -> Ran:
        try:
            said, _ = self._process.communicate(timeout=60)
        finally:
            self._process.kill()
        summary = json.loads(self._summary.read_text()) if self._summary.exists() else None
        return Ran(self._process.returncode, said, summary)


def environment_of(sandbox: Sandbox) -> dict[str, str]:
    """What a script needs to go to a sandbox."""
    addresses = {f"{app.upper()}_URL": url for app, url in sandbox.urls.items()}
    return {**addresses, **sandbox.secrets}


class Recorder:
    """A target that keeps every request as (path, headers), and answers what it is told to: a list of
    (status, document) by path, the last one again and again; where nothing is told, 200 and {}."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.url = ""
        self._lock = threading.Lock()

    def at(self, path: str) -> list[dict[str, str]]:
        """The headers of the requests to a path."""
        return [headers for asked, headers in self.requests if asked.partition("?")[0] == path]

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        with self._lock:
            self.requests.append((path, headers))
            told = self.answers.get(path.partition("?")[0], [(200, {})])
            status, document = told.pop(0) if len(told) > 1 else told[0]
        return status, json.dumps(document).encode()


@contextmanager
def recorder() -> Iterator[Recorder]:
    """A recorder on loopback, for the block."""
    record = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = record.answer(self.path, {k.lower(): v for k, v in self.headers.items()})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # that many VUs connect at once

    with Server(("127.0.0.1", 0), Handler) as server:
        record.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield record
        finally:
            server.shutdown()
            thread.join()
