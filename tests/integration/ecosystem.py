"""What tests of the sandbox's apps share: calls over its public endpoints, tokens, waiting."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from ecoload.sandbox import Sandbox


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_Stay)


def fetch(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, method: str | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of an answer, whatever it is; redirects are not followed."""
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)
    try:
        with _opener.open(request, timeout=15) as got:
            return got.status, got.headers, got.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def call(
    url: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
    *,
    form: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """Status and JSON of an answer; `body` is bytes, or a document. A 4xx or 5xx must be a problem."""
    kind = "application/json" if form is None else "application/x-www-form-urlencoded"
    if form is not None:
        raw: bytes | None = urllib.parse.urlencode(form).encode()
    else:
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    status, got, content = fetch(url, raw, {"Content-Type": kind, **(headers or {})}, method)
    document = json.loads(content or b"null")
    if status >= 400:
        assert got["Content-Type"] == "application/problem+json", (status, content)
        assert document["status"] == status
        assert "Traceback" not in str(document)
    return status, document


def token(sandbox: Sandbox, scope: str) -> dict[str, str]:
    """The headers of whoever makes the load, with a token of A1 for `scope`."""
    form = {
        "grant_type": "client_credentials",
        "client_id": "ecoload",
        "client_secret": sandbox.secrets["A1_CLIENT_SECRET"],
        "scope": scope,
    }
    status, document = call(f"{sandbox.urls['a1']}/oidc/token", form=form)
    assert status == 200
    return {"Authorization": f"Bearer {document['access_token']}"}


def eventually(figure: Callable[[], Any], expected: Any, within_s: float = 15.0) -> None:
    """Fails when `figure` is not `expected` in time."""
    deadline = time.monotonic() + within_s
    while (found := figure()) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def raw(url: str, sent: bytes) -> bytes:
    """What comes back for bytes that need be no HTTP, to the end of the connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=15) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def metrics(sandbox: Sandbox, app: str) -> dict[str, Metric]:
    """What an app tells Prometheus, by the name of the metric."""
    status, _, content = fetch(f"{sandbox.urls[app]}/metrics")
    assert status == 200
    return {family.name: family for family in text_string_to_metric_families(content.decode())}


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def pss_mb(pid: int) -> float:
    """The memory of a process, its share of what it shares included."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))) / 1024


@contextmanager
def faults(sandbox: Sandbox, app: str, **switches: float) -> Iterator[None]:
    """Faults of an app, switched on for the block."""
    admin = {"X-Sandbox-Admin": sandbox.admin_token}
    url = f"{sandbox.urls[app]}/__faults"
    status, document = call(url, switches, admin)
    assert status == 200, document
    try:
        yield
    finally:
        call(url, {}, admin)
