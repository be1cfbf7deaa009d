"""Two transports behind one seam: the same behaviour of a server ends as the same outcome in both."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ecoload.plan import Check, ConstantVUs, Expect, PerVUIterations, Plan, Scenario, Think
from tests.integration.driving import SECOND, Silent, gets, outcomes, plan_of, run, step_of
from tests.servers.bad import BEHAVIOURS, BadServer
from tests.servers.certificates import make_certificates
from tests.servers.latency import Fixed, LatencyServer
from tests.servers.thread import ServerThread, closed_port

TRANSPORTS = ("http1", "aiohttp")
both = pytest.mark.parametrize("transport", TRANSPORTS)

PINNED = {"resolve": ("127.0.0.1",)}
KNOWN_DIFFERENCE = "garbage-after-body"
"""Where bytes that nobody asked for follow an answer at once, aiohttp withholds the answer itself."""


def both_ways(plan: Plan, folder: Path) -> dict[str, dict[str, dict[str, int]]]:
    return {name: outcomes(run(replace(plan, transport=name), folder / name)) for name in TRANSPORTS}


def test_every_behaviour_of_a_bad_server_ends_alike(tmp_path: Path) -> None:
    names = sorted(set(BEHAVIOURS) - {KNOWN_DIFFERENCE, "gzip-bomb"})
    # A pause, so that a connection that was closed is known to be.
    pause = Think(SECOND // 50, SECOND // 50)
    steps = gets([f"/{name}" for name in names], timeout_ns=SECOND // 2, think=pause)
    with BadServer() as server:
        plan = plan_of(server.url, steps)
        found = both_ways(replace(plan, http=replace(plan.http, max_body_bytes=1 << 20)), tmp_path)
    assert found["aiohttp"] == found["http1"]


def test_a_kept_connection_that_dies_under_a_request_is_a_reset_and_nothing_is_sent_twice(
    tmp_path: Path,
) -> None:
    for transport in TRANSPORTS:
        with BadServer() as server:
            steps = gets(["/ok", "/close-before-headers"])
            plan = plan_of(server.url, steps, transport=transport)
            assert outcomes(run(plan, tmp_path / transport)) == {
                "ok": {"ok": 1},
                "close-before-headers": {"reset": 1},
            }
            assert [asked.path for asked in server.asked] == ["/ok", "/close-before-headers"]


class Pieces(ServerThread):
    """Answers each request with the pieces its path names, 20 ms apart, and then closes."""

    HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    ANSWERS: ClassVar[dict[str, tuple[bytes, ...]]] = {
        "whole": (HEAD, b"5\r\nhello\r\n", b"0\r\n\r\n"),
        "bad-chunk": (HEAD, b"5\r\nhello\r\n", b"zz\r\nhello\r\n0\r\n\r\n"),
        "cut-chunk": (HEAD, b"5\r\nhel"),
        "split-head": (b"HTTP/1.", b"1 200 OK\r\nContent-Le", b"ngth: 2\r\n\r\n", b"o", b"k"),
        "bad-head": (b"HTTP/1.1 200 OK\r\nA", b" b\x00c\r\n\r\n"),
    }

    async def listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, self.host, 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError), closing(writer):
            for piece in self.ANSWERS[head.split(b" ")[1].decode().strip("/")]:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)


@both
def test_an_answer_in_pieces_is_judged_as_a_whole(tmp_path: Path, transport: str) -> None:
    pause = Think(SECOND // 20, SECOND // 20)
    with Pieces() as server:
        steps = gets([f"/{name}" for name in Pieces.ANSWERS], timeout_ns=SECOND // 2, think=pause)
        found = outcomes(run(plan_of(server.url, steps, transport=transport), tmp_path))
    assert found == {
        "whole": {"ok": 1},
        "bad-chunk": {"malformed": 1},
        "cut-chunk": {"truncated": 1},
        "split-head": {"ok": 1},
        "bad-head": {"malformed": 1},
    }


@both
def test_what_is_in_flight_when_grace_is_over_is_cancelled(tmp_path: Path, transport: str) -> None:
    with BadServer() as server:
        steps = gets(["/half-then-never"], timeout_ns=30 * SECOND)
        load = {"graceful_stop_ns": SECOND // 10}
        plan = plan_of(server.url, steps, ConstantVUs(3, SECOND), transport=transport, load=load)
        result = run(plan, tmp_path).result
    assert (result.status, result.interrupted_iterations) == ("finished", 3)
    assert dict(result.routes[0].outcomes) == {"cancelled": 3}


@both
def test_what_is_sent_is_what_was_rendered(tmp_path: Path, transport: str) -> None:
    headers = (("X-Mixed-Case", "a  b"), ("Accept", "text/plain"), ("Accept", "text/html"))
    with BadServer() as server:
        steps = [
            step_of(0, "/echo", query=(("q", "a b&c=%2F"), ("empty", "")), headers=headers),
            step_of(1, "/echo2", method="POST"),
        ]
        run(plan_of(server.url, steps, transport=transport), tmp_path)
        asked, empty = server.asked
    assert asked.path == "/echo?q=a%20b%26c%3D%252F&empty="
    assert [name for name, _ in asked.headers] == [
        "host", "user-agent", "x-ecoload-run", "x-mixed-case", "accept", "accept", "traceparent",
    ]  # fmt: skip
    assert asked.header("host") == server.url.removeprefix("http://")
    assert asked.header("x-mixed-case") == "a  b"
    assert empty.header("content-length") == "0"
    assert empty.header("content-type") == ""


@both
def test_a_vu_keeps_one_connection_and_forgets_its_cookies(tmp_path: Path, transport: str) -> None:
    with BadServer() as server:
        steps = gets(["/cookies", "/echo"])
        run(plan_of(server.url, steps, PerVUIterations(1, 3, 60 * SECOND), transport=transport), tmp_path)
        assert server.connections == 1
        cookies = [(asked.path, asked.header("cookie").count("=")) for asked in server.asked]
    assert cookies == [("/cookies", 0), ("/echo", 100)] * 3


@both
def test_a_body_is_given_to_checks_as_it_came(tmp_path: Path, transport: str) -> None:
    check = Check(json=(("$.ok", Expect("eq", True)),))
    paths = ["/gzip", "/deflate", "/bad-gzip", "/short-gzip"]
    with BadServer() as server:
        found = outcomes(run(plan_of(server.url, gets(paths, check=check), transport=transport), tmp_path))
    assert found == {
        "gzip": {"ok": 1},
        "deflate": {"ok": 1},
        "bad-gzip": {"decode": 1},
        "short-gzip": {"decode": 1},
    }


@both
def test_no_listener_is_refused_and_no_address_is_dns(tmp_path: Path, transport: str) -> None:
    refused = plan_of(f"http://127.0.0.1:{closed_port()}", gets(["/"]), transport=transport)
    nowhere = plan_of(f"http://no-such-host-{os.getpid()}.invalid:80", gets(["/"]), transport=transport)
    assert outcomes(run(refused, tmp_path)) == {"root": {"refused": 1}}
    assert outcomes(run(nowhere, tmp_path)) == {"root": {"dns": 1}}


@both
def test_a_connection_that_is_never_made_times_out(tmp_path: Path, transport: str) -> None:
    with full_backlog() as port:
        steps = gets(["/"], timeout_ns=SECOND // 4)
        plan = plan_of(f"http://127.0.0.1:{port}", steps, transport=transport)
        assert outcomes(run(plan, tmp_path)) == {"root": {"timeout": 1}}


@both
def test_certificates_are_verified_and_ours_is_shown(tmp_path: Path, transport: str) -> None:
    made = make_certificates(tmp_path)
    trust = {"ca_file": str(made.ca.cert)}
    ours = trust | {"client_cert": str(made.client.cert), "client_key": str(made.client.key)}
    for context, origin, expected in (
        (made.server_context(), trust, {"ok"}),
        (made.server_context(), {}, {"tls"}),
        (made.server_context(made.expired), trust, {"tls"}),
        (made.server_context(made.other_name), trust, {"tls"}),
        (made.server_context(want_client=True), ours, {"ok"}),
        # The server's alert and its reset race.
        (made.server_context(want_client=True), trust, {"tls", "reset"}),
    ):
        with BadServer(tls=context) as server:
            plan = plan_of(server.url, gets(["/ok"]), origin=origin, transport=transport)
            assert set(outcomes(run(plan, tmp_path))["ok"]) <= expected


@both
def test_a_name_is_reached_at_its_pinned_addresses_in_turn(tmp_path: Path, transport: str) -> None:
    with BadServer() as server:
        origin: dict[str, Any] = {"resolve": ("127.0.0.2", "127.0.0.1")}
        plan = plan_of(
            f"http://shop.example:{server.port}", gets(["/ok"]), PerVUIterations(4, 1, 60 * SECOND),
            origin=origin, transport=transport,
        )  # fmt: skip
        found = outcomes(run(plan, tmp_path))
        hosts = {asked.header("host") for asked in server.asked}
    # Nobody listens at the first address: every other connection is refused, none looks elsewhere.
    assert found == {"ok": {"ok": 2, "refused": 2}}
    assert hosts == {f"shop.example:{server.port}"}


@both
def test_service_time_is_what_the_server_took(tmp_path: Path, transport: str) -> None:
    view = Silent()
    with LatencyServer(Fixed(20)) as server:
        plan = plan_of(server.url, gets(["/"]), ConstantVUs(2, 1 * SECOND), transport=transport)
        (route,) = run(plan, tmp_path, view).result.routes
        truth = server.truth().latencies_ms()
    assert route.requests == len(truth)
    assert min(truth) <= route.service_ms.p50 <= route.response_ms.max
    assert sum(interval.tick.connections_opened for interval in view.intervals[-1:]) <= 2


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose queue of connections is full: further ones get no answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        waiting = []
        for _ in itertools.repeat(None, 4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        try:
            yield port
        finally:
            for sock in waiting:
                sock.close()


def test_counts_are_alike(tmp_path: Path) -> None:
    with BadServer() as server:
        steps = [step_of(0, "/redirect/307/echo"), step_of(1, "/error-500"), step_of(2, "/redirect-loop")]
        counts = both_ways(plan_of(server.url, steps), tmp_path)
        asked = Counter(asked.path for asked in server.asked)
    assert counts["aiohttp"] == counts["http1"]
    assert all(number % 2 == 0 for number in asked.values())


SCENARIO = """
import asyncio

from ecoload import VU

seen = []


async def setup(vu: VU) -> None:
    seen.append((await vu.request("ok")).json())


async def iteration(vu: VU) -> None:
    answer = await vu.request("echo", query={"n": vu.iteration}, check={"json": {"$.method": "GET"}})
    assert seen == [{"ok": True}], seen
    assert answer.json()["path"] == f"/echo?n={vu.iteration}"
    assert (await vu.request("error-500")).outcome == "http_error"
    await asyncio.sleep(0.001)
    await asyncio.gather(vu.request("reset-in-body"), vu.request("gzip"))
"""


@both
def test_a_python_scenario_runs_over_either_transport(tmp_path: Path, transport: str) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "app.py").write_text(SCENARIO)
    with BadServer() as server:
        steps = gets(["/ok", "/echo", "/error-500", "/reset-in-body", "/gzip"])
        plan = plan_of(server.url, steps, PerVUIterations(3, 2, 60 * SECOND), transport=transport)
        plan = replace(plan, scenarios=(Scenario("app", module="scenarios/app.py"),))
        finished = run(plan, tmp_path)
    assert finished.result.status == "finished", finished.result.notes
    assert outcomes(finished) == {
        "echo": {"ok": 6},
        "error-500": {"http_error": 6},
        "reset-in-body": {"reset": 6},
        "gzip": {"ok": 6},
    }


def test_a_python_scenario_that_is_broken_fails_its_run_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "scenarios").mkdir()
    scenario = tmp_path / "scenarios" / "app.py"
    with BadServer() as server:
        plan = plan_of(server.url, gets(["/ok"]), ConstantVUs(2, 30 * SECOND))
        plan = replace(plan, scenarios=(Scenario("app", module="scenarios/app.py"),))
        scenario.write_text("async def iteration(vu):\n    await vu.request('ok')\n    1 / 0\n")
        divided = run(plan, tmp_path).result
        scenario.write_text("iteration = None\n")
        nothing = run(plan, tmp_path).result
    assert (divided.status, nothing.status) == ("failed", "failed")
    assert "ZeroDivisionError" in divided.stop_reason
    assert any("1 / 0" in note for note in divided.notes)
    assert "async def iteration" in nothing.stop_reason


# --- Proxies, which are aiohttp's ---------------------------------------------------------------------


class Proxy(ServerThread):
    """A forward proxy to `target`, whatever is asked for; `asked` keeps the first line of each request.
    With `refusal` it answers that instead."""

    def __init__(self, target: int, refusal: bytes = b"") -> None:
        super().__init__()
        self.target = target
        self.refusal = refusal
        self.asked: list[str] = []

    async def listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, self.host, 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError), closing(writer):
            await self._relay(reader, writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        if self.refusal:
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % self.refusal)
            return
        there, onward = await asyncio.open_connection("127.0.0.1", self.target)
        if head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            method, url, rest = head.split(b" ", 2)
            onward.write(b"%s /%s %s" % (method, url.split(b"/", 3)[3], rest))
        await asyncio.gather(_pump(reader, onward), _pump(there, writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
    sink.close()


def test_a_plain_request_is_given_to_the_proxy_with_its_whole_url(tmp_path: Path) -> None:
    with BadServer() as server, Proxy(server.port) as proxy:
        url = f"http://shop.example:{server.port}"
        plan = plan_of(url, gets(["/echo"]), proxy=proxy.url, origin=PINNED)
        assert outcomes(run(plan, tmp_path)) == {"echo": {"ok": 1}}
        assert proxy.asked == [f"GET {url}/echo HTTP/1.1"]
        assert server.asked[0].header("host") == url.removeprefix("http://")


def test_tls_goes_through_the_proxy_to_the_target_itself(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    origin = PINNED | {"ca_file": str(made.ca.cert)}
    with BadServer(tls=made.server_context()) as server, Proxy(server.port) as proxy:
        plan = plan_of(f"https://localhost:{server.port}", gets(["/ok"]), proxy=proxy.url, origin=origin)
        assert outcomes(run(plan, tmp_path)) == {"ok": {"ok": 1}}
        assert proxy.asked == [f"CONNECT localhost:{server.port} HTTP/1.1"]
        plan = plan_of(f"https://shop.example:{server.port}", gets(["/ok"]), proxy=proxy.url, origin=origin)
        assert outcomes(run(plan, tmp_path)) == {"ok": {"tls": 1}}


@pytest.mark.parametrize("refusal", [b"407 Proxy Authentication Required", b"403 Forbidden"])
def test_a_proxy_that_refuses_is_no_fault_of_the_target(tmp_path: Path, refusal: bytes) -> None:
    schemes = ("https", "http") if refusal.startswith(b"407") else ("https",)
    with Proxy(0, refusal) as proxy:
        for scheme in schemes:
            url = f"{scheme}://shop.example:{proxy.port}"
            plan = plan_of(url, gets(["/ok"]), proxy=proxy.url, origin=PINNED)
            assert outcomes(run(plan, tmp_path)) == {"ok": {"proxy": 1}}


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:{port}", "http://no-such-proxy.invalid:{port}"])
def test_a_proxy_that_is_not_there_is_the_proxys_fault(tmp_path: Path, proxy: str) -> None:
    port = closed_port()
    url = proxy.format(port=port)
    target = f"http://shop.example:{port}"
    plan = plan_of(target, gets(["/ok"]), proxy=url, origin=PINNED)
    assert outcomes(run(plan, tmp_path)) == {"ok": {"proxy": 1}}
