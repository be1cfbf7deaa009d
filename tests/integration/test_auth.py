"""Tokens, for real: an endpoint that issues them, an app that wants them, and a run between the two."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import pytest

from ecoload.errors import TokenFailed, UsageError
from ecoload.plan import Plan
from ecoload.run import Finished, Request, run_once
from ecoload.sandbox import Sandbox
from ecoload.spec.workspace import load_workspace, make_plan
from tests.integration.driving import Silent, outcomes
from tests.servers.bad import BadServer
from tests.servers.certificates import make_certificates
from tests.servers.recorder import Arrival, Recorder
from tests.servers.thread import closed_port

ROOT = Path(__file__).resolve().parents[2]
SECRET = "canary secret:/+%é-61c2"
CLIENT = "ecoload client"

TARGETS = """
protocol: {namespace: perf_test}
profiles:
  steady: {executor: constant, vus: 2, duration: 2s, pacing: 100ms, graceful_stop: 5s}
  long: {executor: constant, vus: 2, duration: 60s, pacing: 100ms, graceful_stop: 5s}
apps:
  a1:
    base_url: ${A1_URL}
    environment: staging
    tls: {TLS}
    routes: {token: {post: /token, effect: none}}
  a2:
    base_url: ${A2_URL}
    environment: staging
    writes: perf_test
    secrets: {KEY: {env: A2_KEY}}
    auth:
      client_credentials: {token_url: a1:PATH, client_id: CLIENT, client_secret: {secret: KEY}, scope: a2 x}
    routes:
      ingest: {post: /events, effect: write, namespace: {in: query, at: namespace}}
      public: {get: /public, effect: none, auth: none}
    version_from: {get: /healthz, json: $.version}
    request_count: {get: /requests, json: $.count}
    persistence: {route: ingest, count: {get: /count, json: $.count}}
  a3: {base_url: sandbox, routes: {home: {get: /, effect: none}}}
"""
YAML = """
app: a2
steps:
  - {route: ingest, query: {namespace: perf_test}}
  - {route: public}
  - {route: ingest, query: {namespace: perf_test}, headers: {Authorization: Basic own}}
"""
PYTHON = """
async def iteration(vu):
    await vu.request("ingest", query={"namespace": vu.namespace})
    await vu.request("public")
    await vu.request("ingest", query={"namespace": vu.namespace}, headers={"authorization": "Basic own"})
"""


def json_answer(document: Any, status: str = "200 OK") -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Issuer(Recorder):
    """Issues token `canary-token-N` for the Nth request, good for `life_s`. `otherwise` may answer in its
    place: with bytes, or None for no answer at all."""

    def __init__(self, life_s: float = 300, otherwise: Callable[[int, Arrival], Any] | None = None) -> None:
        super().__init__()
        self.life_s, self.otherwise = life_s, otherwise

    def reply(self, arrival: Arrival) -> bytes | None:
        number = len(self.arrivals)
        if self.otherwise is not None and (answer := self.otherwise(number, arrival)) is not NotImplemented:
            return answer  # type: ignore[no-any-return]
        return json_answer(
            {"access_token": f"canary-token-{number}", "token_type": "bearer", "expires_in": self.life_s}
        )


class Target(Recorder):
    """The app: takes events, counts, and tells its version; `leak` is added to what it tells."""

    def __init__(self, leak: bool = False) -> None:
        super().__init__()
        self.leak = leak

    def reply(self, arrival: Arrival) -> bytes | None:
        load = [a for a in self.arrivals if "x-ecoload-probe" not in a.headers]
        count = {"/count": len([a for a in load if a.method == "POST"]), "/requests": len(load)}
        said = {"version": "1.2.3", "count": count.get(arrival.path)}
        if self.leak:
            said = dict.fromkeys(said, arrival.headers.get("authorization", ""))
        return json_answer(said)

    def authorizations(self, path: str) -> list[str | None]:
        return [a.headers.get("authorization") for a in self.arrivals if a.path.partition("?")[0] == path]


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return written(tmp_path)


def written(folder: Path, scenario: str = YAML, path: str = "/token", tls: str = "{}") -> Path:
    (folder / "scenarios").mkdir(exist_ok=True)
    text = TARGETS.replace("PATH", path).replace("CLIENT", CLIENT).replace("{TLS}", tls)
    (folder / "targets.yaml").write_text(text)
    name = "a2.yaml" if scenario is YAML else "a2.py"
    (folder / "scenarios" / name).write_text(scenario)
    return folder


def plan_of(workspace: Path, a1: str, target: Target, profile: str = "steady", **options: Any) -> Plan:
    environ = {"A1_URL": a1, "A2_URL": target.url}
    return make_plan(load_workspace(workspace / "targets.yaml", environ=environ), "a2", profile, **options)


def run(workspace: Path, plan: Plan, view: Silent | None = None) -> Finished:
    return run_once(Request(plan, workspace, workspace / "runs", {"KEY": SECRET}), view or Silent())


def command(workspace: Path, a1: str, target: Target, profile: str = "steady") -> subprocess.Popen[str]:
    """`ecoload run` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ecoload", "run", "a2", "--profile", profile, "--no-progress",
         "--base-url", f"a1={a1}", "--base-url", f"a2={target.url}"],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(ROOT), "A2_KEY": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for(true: Callable[[], object], within_s: float = 30) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


# --- A run that goes well -------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["http1", "aiohttp"])
@pytest.mark.parametrize("scenario", [YAML, PYTHON], ids=["yaml", "python"])
def test_every_request_carries_the_token_of_its_time(
    tmp_path: Path, target: Target, scenario: str, transport: Any
) -> None:
    workspace = written(tmp_path, scenario)
    with Issuer(life_s=1) as issuer:
        finished = run(workspace, plan_of(workspace, issuer.url, target, transport=transport))
    assert set(outcomes(finished)) >= {"ingest", "public"}
    assert all(set(found) == {"ok"} for found in outcomes(finished).values())
    sent = target.authorizations("/events")
    assert sent.count("Basic own") == len(sent) / 2
    used: dict[int, list[int]] = {}
    for arrival in target.arrivals:
        _, is_token, number = arrival.headers.get("authorization", "").partition("Bearer canary-token-")
        if is_token and arrival.path.startswith("/events"):
            used.setdefault(arrival.connection, []).append(int(number))
    assert sum(map(len, used.values())) == len(sent) / 2
    assert all(numbers == sorted(numbers) for numbers in used.values()), "never an older one again"
    assert 1 < len(set().union(*used.values())) <= len(issuer.arrivals)
    assert set(target.authorizations("/public")) == {None}
    assert finished.result.target_version == "1.2.3"
    persistence = finished.result.persistence
    assert persistence is not None
    assert persistence.persisted == persistence.acknowledged == len(sent)
    assert not any("token" in note for note in finished.result.notes)


def test_the_endpoint_is_asked_as_the_standard_says(workspace: Path, target: Target) -> None:
    with Issuer() as issuer:
        finished = run(workspace, plan_of(workspace, f"{issuer.url}/base", target, duration_scale=0.2))
    (asked,) = issuer.arrivals
    assert (asked.method, asked.path) == ("POST", "/base/token")
    scheme, _, encoded = asked.headers["authorization"].partition(" ")
    client, _, secret = base64.b64decode(encoded).decode().partition(":")
    assert (scheme, unquote_plus(client), unquote_plus(secret)) == ("Basic", CLIENT, SECRET)
    assert dict(parse_qsl(asked.body.decode())) == {"grant_type": "client_credentials", "scope": "a2 x"}
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["x-ecoload-probe"] == "1"
    assert asked.headers["x-ecoload-run"] == finished.result.run_id
    assert asked.at_ns < target.arrivals[0].at_ns, "before anything else"


def test_probes_carry_the_token_too(workspace: Path, target: Target) -> None:
    with Issuer() as issuer:
        run(workspace, plan_of(workspace, issuer.url, target, duration_scale=0.2))
    for path in ("/healthz", "/count", "/requests"):
        assert target.authorizations(path) == ["Bearer canary-token-1"]


def test_a_token_of_the_embedded_identity_provider_opens_an_embedded_app(tmp_path: Path) -> None:
    with Sandbox(("a1", "a2", "a8")) as sandbox:
        plan = make_plan(
            load_workspace(ROOT / "targets.yaml", environ={}),
            "a2",
            "smoke",
            duration_scale=0.005,
            base_urls=sandbox.urls,
            embedded=sandbox.urls,
        )
        with pytest.raises(UsageError, match="secret A1_CLIENT_SECRET: the token of a2 needs it"):
            run_once(Request(plan, ROOT, tmp_path), Silent())
        finished = run_once(Request(plan, ROOT, tmp_path, sandbox.secrets), Silent())
        wrong = Request(plan, ROOT, tmp_path, {"A1_CLIENT_SECRET": "wrong"})
        with pytest.raises(TokenFailed, match=r"a1: POST /oidc/token answered 401 \(invalid_client\)"):
            run_once(wrong, Silent())
    assert [set(found) for found in outcomes(finished).values()] == [{"ok"}]
    assert finished.result.persistence is not None
    assert finished.result.persistence.lost == 0


# --- No token -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            json_answer({"error": "invalid_client", "error_description": SECRET}, "401 Unauthorized"),
            "a1: POST /token answered 401 (invalid_client); auth: of a2 in targets.yaml says who asks "
            f"({CLIENT}), for which scope, and with which secret (KEY)",
        ),
        (json_answer({"error": SECRET}, "400 Bad Request"), "a1: POST /token answered 400; auth: of a2"),
        (json_answer([SECRET], f"503 {SECRET.encode().hex()}"), "a1: POST /token answered 503; auth: of a2"),
        (json_answer({}, "302 Found"), "a1: POST /token answered 302; auth: of a2"),
        (json_answer(b"<html>"), "a1: POST /token answered 200 with what is no token: it is not JSON"),
        (
            json_answer({"access_token": "canary-token\r\nX: 1", "token_type": "Bearer"}),
            "it has no access_token that can stand in a header",
        ),
        (b"canary-token-1 canary\r\n\r\n", "a1: POST /token was not answered in HTTP (BadStatusLine)"),
    ],
)
def test_without_a_first_token_nothing_is_sent(
    workspace: Path, target: Target, answer: bytes, expected: str
) -> None:
    with Issuer(otherwise=lambda number, arrival: answer) as issuer, pytest.raises(TokenFailed) as caught:
        run(workspace, plan_of(workspace, issuer.url, target))
    told = str(caught.value)
    assert told.startswith("there is no token for a2, so nothing was sent: ")
    assert expected in told
    assert "canary-token" not in told
    assert SECRET not in told
    assert target.arrivals == []
    assert len(issuer.arrivals) == 1


def test_an_endpoint_that_is_not_there_ends_with_6(workspace: Path, target: Target) -> None:
    child = command(workspace, f"http://127.0.0.1:{closed_port()}", target)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 6, output
    assert "a1: POST /token failed: [Errno 111] Connection refused; is a1 up" in output
    assert target.arrivals == []


def test_an_endpoint_behind_tls_is_verified(tmp_path: Path, target: Target) -> None:
    made = make_certificates(tmp_path)
    with BadServer(tls=made.server_context()) as server:
        for tls, expected in (
            ("{}", "certificate verify failed"),
            (f"{{ca_file: {made.ca.cert.name}}}", "answered 200 with what is no token"),
        ):
            workspace = written(tmp_path, path="/ok", tls=tls)
            with pytest.raises(TokenFailed, match=expected):
                run(workspace, plan_of(workspace, server.url, target))
    assert len(server.asked) == 1
    assert target.arrivals == []


# --- A refresh that fails -------------------------------------------------------------------------


def test_while_a_refresh_fails_the_token_before_is_used_and_the_result_says_so(
    workspace: Path, target: Target
) -> None:
    down = json_answer({"error": SECRET}, "503 Service Unavailable")
    with Issuer(1, lambda number, _: down if number in (2, 3) else NotImplemented) as issuer:
        finished = run(workspace, plan_of(workspace, issuer.url, target, "long", duration_scale=0.1))
    sent = [one for one in target.authorizations("/events") if one != "Basic own"]
    assert len(issuer.arrivals) > 3
    assert "Bearer canary-token-4" in sent
    assert set(sent) & {"Bearer canary-token-2", "Bearer canary-token-3"} == set()
    (note,) = [note for note in finished.result.notes if "token" in note]
    assert note.startswith("the token could not be refreshed (2 times), and the one before was used: a1: ")


# --- Endings --------------------------------------------------------------------------------------


def silent_from(number: int) -> Callable[[int, Arrival], Any]:
    """The endpoint does not answer from its Nth request on."""
    return lambda n, arrival: None if n >= number else NotImplemented


def test_ctrl_c_ends_the_wait_for_the_first_token(workspace: Path, target: Target) -> None:
    with Issuer(otherwise=silent_from(1)) as issuer:
        child = command(workspace, issuer.url, target)
        wait_for(lambda: issuer.arrivals)
        os.kill(child.pid, signal.SIGINT)
        output, _ = child.communicate(timeout=15)
    assert child.returncode == 130, output
    assert "Traceback" not in output
    assert target.arrivals == []


@pytest.mark.parametrize("presses", [0, 1, 2])
def test_a_refresh_that_hangs_holds_up_no_end(workspace: Path, target: Target, presses: int) -> None:
    with Issuer(1, silent_from(2)) as issuer:
        child = command(workspace, issuer.url, target, "long" if presses else "steady")
        wait_for(lambda: len(issuer.arrivals) == 2 and target.authorizations("/events"))
        for _ in range(presses):
            os.kill(child.pid, signal.SIGINT)
        output, _ = child.communicate(timeout=20)
    assert len(issuer.arrivals) == 2, "it still waits for its answer"
    assert "Traceback" not in output
    assert (child.returncode == 130) is bool(presses), output
    assert set(target.authorizations("/events")) == {"Bearer canary-token-1", "Basic own"}


# --- Nobody is told -------------------------------------------------------------------------------


class Listening(Silent):
    """Notes the command lines of this process and its children while a run goes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = b""

    def second(self, interval: Any) -> None:
        super().second(interval)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.lines += path.read_bytes()
            except OSError:
                continue


def test_secret_and_token_stand_in_no_file_no_output_and_no_command_line(workspace: Path) -> None:
    """An endpoint and an app that repeat everything they were told, and refuse now and then."""

    def repeated(number: int, arrival: Arrival) -> Any:
        told = f"{arrival.headers['authorization']} canary-token-1 {SECRET}"
        document = {"error": told, "error_description": told}
        return json_answer(document, "400 Bad") if number % 2 == 0 else NotImplemented

    with Issuer(1, repeated) as issuer, Target(leak=True) as target:
        child = command(workspace, issuer.url, target)
        output, _ = child.communicate(timeout=60)
        assert child.returncode not in (2, 6, 70), output
        assert "the token could not be refreshed" in output
    view = Listening()
    with Issuer(1, repeated) as issuer, Target(leak=True) as target:
        finished = run(workspace, plan_of(workspace, issuer.url, target), view)
    assert b"ecoload.engine.process" in view.lines
    assert finished.result.target_version == ""
    assert any("answered with the token that it was sent" in note for note in finished.result.notes)
    folders = list((workspace / "runs").iterdir())
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(folders) == 2
    assert {path.name for path in files} >= {"plan.json", "run.json", "report.html", "summary.md"}
    everything = output.encode() + view.lines + repr(finished).encode()
    everything += b"".join(path.read_bytes() for path in files)
    encoded = base64.b64encode(SECRET.encode())
    for hidden in (b"canary", b"61c2", encoded[:12], b"Basic Z"):
        assert hidden not in everything
    (plan_file, _) = [path for path in files if path.name == "plan.json"]
    plan = json.loads(plan_file.read_bytes())
    assert [origin["app"] for origin in plan["origins"]] == ["a1", "a2"], "no embedded app was started"
    assert plan["auth"]["secret"] == "KEY"
