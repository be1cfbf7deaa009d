"""The server under every benchmark: one nginx worker on the server's core.

Rules
-----
- It answers from memory, logs nothing, never closes a connection and has room for every VU.
- It lives in a folder of its own and is gone when the block ends.
"""

from __future__ import annotations

import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import SERVER_CORE
from benchmarks.tools import need

ANSWER = '{"status":"ok","service":"bench","n":123456}'
CREATED = '{"status":"created"}'

CONFIG = """\
daemon off;
master_process off;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections {files}; use epoll; multi_accept on; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_header_timeout 3600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    server {{
        listen 127.0.0.1:{port} backlog=65535;
        listen 127.0.0.1:{tls_port} ssl backlog=65535;
        location = /health {{ return 200 '{answer}'; }}
        location = /orders {{ return 201 '{created}'; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Where nginx listens; `ca_file` is its own certificate."""

    url: str
    tls_url: str
    ca_file: Path


@contextmanager
def nginx(folder: Path) -> Iterator[Server]:
    """An nginx that lives as long as the block; its files stand in `folder`."""
    port, tls_port = _free_ports(2)
    _certificate(folder)
    files = min(60_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    config = folder / "nginx.conf"
    config.write_text(
        CONFIG.format(
            folder=folder, files=files, port=port, tls_port=tls_port, answer=ANSWER, created=CREATED
        )
    )
    command = ["taskset", "-c", str(SERVER_CORE), need("nginx"), "-p", folder, "-c", config]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield Server(f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}", folder / "cert.pem")
    finally:
        process.terminate()
        process.wait(10)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _certificate(folder: Path) -> None:
    command = [
        *(need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
    ]
    subprocess.run([*map(str, command)], check=True, capture_output=True)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if process.poll() is not None:
            raise RuntimeError(f"nginx ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("nginx does not answer")
