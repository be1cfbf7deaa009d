"""A small server with the part of Toxiproxy's API that a fault needs, and an app behind it with a breaker.

Rules
-----
- `POST /proxies/NAME/toxics` sets a toxic, `DELETE /proxies/NAME/toxics/TOXIC` takes it away; none ends by
  itself.
- The app answers 503 while a toxic is set; its breaker is open as long.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """What was asked so far, and the toxics that are set."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        self.toxics: set[str] = set()


@contextmanager
def toxiproxy() -> Iterator[Proxy]:
    """The server, until the block ends."""
    proxy = Proxy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/breaker":
                self._answer(200, {"state": "open" if proxy.toxics else "closed"})
            else:
                self._answer(503 if proxy.toxics else 200, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            proxy.asked.append(("POST", self.path))
            proxy.toxics.add(body["name"])
            self._answer(200, body)

        def do_DELETE(self) -> None:
            proxy.asked.append(("DELETE", self.path))
            proxy.toxics.discard(self.path.rpartition("/")[2])
            self.send_response(204)
            self.end_headers()

        def _answer(self, status: int, document: object) -> None:
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        # Of five, the default, a sixth connection waits a second for its handshake.
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
