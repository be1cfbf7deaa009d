"""All eight apps together: up, closed to strangers, calm under nonsense, and one lineage from end to end."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from ecoload.sandbox import APPS, Sandbox
from ecoload.sandbox.common.behaviour import COMMON_FAULTS
from ecoload.sandbox.common.clients import client_secret
from ecoload.sandbox.common.service import Config
from ecoload.sandbox.common.tokens import AUDIENCE, Signer
from ecoload.sandbox.process import _app
from tests.integration.ecosystem import alive, call, eventually, faults, fetch, metrics, pss_mb, token
from tests.integration.nasty import (
    BODIES,
    FORM_TOKEN,
    QUERIES,
    SIGN_IN,
    Route,
    Sent,
    methods,
    nasty,
    routes_of,
    send,
    wrong_with,
)

EVERY_SCOPE = " ".join(APPS)
MOST_MB = 350
LANES = 48
"""Requests at a time: what apps do is mostly to let a latency go by."""
MOST_SHOWN = 10

OPEN = {
    "a1": "assets auth discovery jwks login register token userinfo",  # userinfo wants a person's token
    "a2": "internal",
    "a3": "breaker",
    "a4": "models usage",
    "a5": "assets callback dashboard documents_page home login logout payment_config signup signup_page"
    " upload",
    "a6": "assets portal",
    "a7": "asset assets browse cta home major majors missing robots scholarship sitemap state states",
    "a8": "assets home internal internal_cleanup",
}
"""What wants no token of a service, beside the common routes. Anything else does."""
COMMON = {"health", "healthz", "metrics", "truth", "faults", "fault_state"}
BILL = {"amount_cents": 100_000, "ai_cost_cents": 1_000}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def allowed(sandbox: Sandbox) -> dict[str, str]:
    """The headers of who may use every app."""
    return token(sandbox, EVERY_SCOPE)


@pytest.fixture(scope="module")
def routes() -> dict[str, list[Route]]:
    return {app: routes_of(app) for app in APPS}


# --- up and down --------------------------------------


def test_all_eight_come_up_small_and_leave_nothing() -> None:
    with Sandbox() as sandbox:
        assert list(sandbox.urls) == list(sandbox.pids) == list(APPS)
        for app, url in sandbox.urls.items():
            for path in ("/health", "/healthz"):
                status, document = call(url + path)
                assert (status, document["status"], document["app"]) == (200, "ok", app)
        held = {app: pss_mb(pid) for app, pid in sandbox.pids.items()}
        assert sum(held.values()) < MOST_MB, held
        pids, state = list(sandbox.pids.values()), sandbox.state
    assert not any(map(alive, pids))
    assert not state.exists()


def test_nothing_of_a_start_is_an_error(sandbox: Sandbox) -> None:
    for app in APPS:
        log = (sandbox.state / app / "log").read_text()
        assert "Traceback" not in log and " ERROR " not in log, log


def test_an_app_is_not_ready_without_what_it_needs_and_names_it(sandbox: Sandbox) -> None:
    sandbox.kill("a2")
    try:
        for app, url in sandbox.urls.items():
            if app == "a2":
                continue
            status, document = call(f"{url}/healthz")
            assert call(f"{url}/health")[0] == 200
            assert status == (503 if app in ("a5", "a6", "a7") else 200), (app, document)
            if status == 503:
                assert [reason.partition(":")[0] for reason in document["errors"]] == ["a2"]
    finally:
        sandbox.start("a2")
    for url in sandbox.urls.values():
        assert call(f"{url}/healthz")[0] == 200


COMMAND = [sys.executable, "-m", "ecoload", "sandbox"]


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_everything_is_and_ends_cleanly(ended_by: signal.Signals) -> None:
    with subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    ) as command:
        assert command.stdout is not None and command.stderr is not None
        try:
            said = ""
            for line in iter(command.stdout.readline, ""):
                said += line
                if line.startswith("to end it"):
                    break
            urls = dict(re.findall(r"^(a\d)  (http://127\.0\.0\.1:\d+)", said, re.MULTILINE))
            assert list(urls) == list(APPS)
            environment = Path(*re.findall(r"^to reach it  \. (.+)$", said, re.MULTILINE))
            assert environment.stat().st_mode & 0o777 == 0o600
            shell = f". {shlex.quote(str(environment))}; env"
            told = dict(
                line.split("=", 1)
                for line in subprocess.run(
                    ["sh", "-c", shell],
                    capture_output=True,
                    text=True,
                    check=True,
                    env={"PATH": os.environ["PATH"]},
                ).stdout.splitlines()
            )
            assert {app: told[f"{app.upper()}_URL"] for app in APPS} == urls
            form = {"grant_type": "client_credentials", "client_id": "ecoload", "scope": "a2"}
            form["client_secret"] = told["A1_CLIENT_SECRET"]
            assert call(f"{urls['a1']}/oidc/token", form=form)[0] == 200
            admin = {"X-Sandbox-Admin": told["SANDBOX_ADMIN_TOKEN"]}
            assert call(f"{urls['a2']}/__faults", headers=admin)[0] == 200
            assert "A1_USER_PASSWORD" in told
        finally:
            command.send_signal(ended_by)
        assert command.wait(30) == 0
        assert "Traceback" not in command.stderr.read()
    assert not environment.parent.exists()
    for url in urls.values():
        with pytest.raises(OSError):
            fetch(f"{url}/health")


# --- who may --------------------------------------


@pytest.mark.parametrize("app", APPS)
def test_whatever_is_not_meant_to_be_open_wants_a_token(routes: dict[str, list[Route]], app: str) -> None:
    open_routes = {route.name for route in routes[app] if not route.protected}
    assert open_routes == set(OPEN[app].split()) | COMMON


@pytest.mark.parametrize("app", APPS)
def test_a_protected_route_refuses_everybody_but_who_has_a_token_for_it(
    sandbox: Sandbox, routes: dict[str, list[Route]], app: str, tmp_path: Path
) -> None:
    claims = {"aud": AUDIENCE, "sub": "s", "client_id": "s", "scope": app}
    a1 = sandbox.urls["a1"]
    own, foreign = Signer(sandbox.state / "a1" / "key.pem", a1), Signer(tmp_path / "key.pem", a1)
    others = EVERY_SCOPE.replace(app, "").split()
    refused = {
        "none": ({}, 401),
        "expired": (bearer(own.sign(claims, "at+jwt", life_s=-60)), 401),
        "of somebody else": (bearer(foreign.sign(claims, "at+jwt")), 401),
        "of another type": (bearer(own.sign(claims)), 401),
        "for other apps": (token(sandbox, " ".join(others)), 403),
    }

    def refusal(asked: tuple[Route, str]) -> tuple[int, str, str]:
        route, which = asked
        status, got, _ = fetch(sandbox.urls[app] + route.target(), None, refused[which][0], route.method)
        assert got["WWW-Authenticate"].startswith("Bearer"), asked
        assert got["Content-Type"] == "application/problem+json", asked
        return status, which, route.name

    asked = [(route, which) for route in routes[app] if route.protected for which in refused]
    with ThreadPoolExecutor(LANES) as pool:
        found = list(pool.map(refusal, asked))
    assert found == [(refused[which][1], which, route.name) for route, which in asked]


def bearer(issued: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {issued}"}


def test_userinfo_wants_the_token_of_a_person(sandbox: Sandbox, allowed: dict[str, str]) -> None:
    url = f"{sandbox.urls['a1']}/oidc/userinfo"
    assert call(url)[0] == 401
    assert call(url, headers=allowed)[0] == 403


@pytest.mark.parametrize(("app", "path"), [("a2", "events"), ("a8", "telemetry"), ("a8", "cleanup")])
def test_what_apps_tell_each_other_no_token_opens(
    sandbox: Sandbox, allowed: dict[str, str], app: str, path: str
) -> None:
    url = f"{sandbox.urls[app]}/internal/{path}"
    for headers in (allowed, {"X-Sandbox-Internal": sandbox.admin_token}, {}):
        assert call(url, {"events": []}, headers)[0] == 405


# --- nonsense --------------------------------------


def test_every_route_that_takes_a_body_has_one_to_make_nonsense_of(routes: dict[str, list[Route]]) -> None:
    posts = {route.key for app in APPS for route in routes[app] if route.method in ("POST", "PUT", "PATCH")}
    assert posts == set(BODIES)
    assert set(QUERIES) <= {route.key for app in APPS for route in routes[app]}


@pytest.mark.parametrize("app", APPS)
def test_nonsense_gets_its_problem_and_does_no_harm(
    sandbox: Sandbox, routes: dict[str, list[Route]], app: str
) -> None:
    headers = token(sandbox, EVERY_SCOPE) | {"X-Sandbox-Admin": sandbox.admin_token}
    browser, put = BROWSERS[app](sandbox) if app in BROWSERS else ({}, bytes)
    empty = [sent for route in routes[app] for sent in nasty(route, headers | browser)]
    with ThreadPoolExecutor(LANES) as pool:
        bodies = pool.map(put, [sent.body for sent in empty])
        made = [replace(sent, body=body) for sent, body in zip(empty, bodies, strict=True)]
    made += methods(routes[app], headers)
    wrong, statuses = asyncio.run(sweep(sandbox.urls[app], made))
    assert not wrong, f"{len(wrong)} of {len(made)}:\n" + "\n".join(wrong[:MOST_SHOWN])
    assert sum(statuses[status] for status in (400, 404, 405, 415, 422)) > len(made) / 4, statuses
    log = (sandbox.state / app / "log").read_text()
    assert "Traceback" not in log and " ERROR " not in log, log[-2_000:]
    assert alive(sandbox.pids[app])
    assert call(f"{sandbox.urls[app]}/healthz")[0] == 200


def in_a_sign_in(sandbox: Sandbox) -> tuple[dict[str, str], Callable[[bytes], bytes]]:
    """The headers of a browser that A1 knows, and what puts a sign-in of its own into each form."""
    asked = {
        "response_type": "code",
        "client_id": "perf",
        "redirect_uri": "http://127.0.0.1/callback",
        "scope": "openid",
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
    }
    url, headers = f"{sandbox.urls['a1']}/oidc/auth?{urlencode(asked)}", dict[str, str]()

    def put(body: bytes) -> bytes:
        if SIGN_IN.encode() not in body:
            return body
        status, got, page = fetch(url, headers=headers)
        assert status == 200
        if not headers:
            headers["Cookie"] = got["Set-Cookie"].partition(";")[0]
        found = re.search(rb'name="sign_in" value="([A-Za-z0-9_-]{43})"', page)
        assert found is not None
        return body.replace(SIGN_IN.encode(), found[1])

    put(SIGN_IN.encode())
    return headers, put


def signed_in(sandbox: Sandbox) -> tuple[dict[str, str], Callable[[bytes], bytes]]:
    """The headers of a browser that is signed in at A5, and what puts its token into each form."""
    with requests.Session() as browser:
        page = browser.get(f"{sandbox.urls['a5']}/login")
        form = {"email": "student-0001@example.test", "password": sandbox.secrets["A1_USER_PASSWORD"]}
        form["sign_in"] = re.findall(r'name="sign_in" value="([^"]+)"', page.text)[0]
        page = browser.post(f"{sandbox.urls['a1']}/oidc/login", form)
        assert page.url == f"{sandbox.urls['a5']}/dashboard", page.text
        page = browser.get(f"{sandbox.urls['a5']}/documents")
        given = re.findall(r'name="form_token" value="([0-9a-f]{64})"', page.text)[0].encode()
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return {"Cookie": cookies}, lambda body: body.replace(FORM_TOKEN.encode(), given)


BROWSERS = {"a1": in_a_sign_in, "a5": signed_in}


async def sweep(url: str, requests: Iterable[Sent]) -> tuple[list[str], Counter[int]]:
    """Sends them all, some at a time: what was wrong with which answers, and how many had which status."""
    wrong: list[str] = []
    statuses: Counter[int] = Counter()
    waiting = iter(requests)

    async def lane() -> None:
        for sent in waiting:
            found = await send(url, sent)
            statuses[found.status] += 1
            if (reason := wrong_with(sent, found)) is not None:
                wrong.append(f"{sent}\n    {reason}")

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return wrong, statuses


def test_what_was_taken_of_it_reaches_a8_and_holds_nothing_up(
    sandbox: Sandbox, allowed: dict[str, str]
) -> None:
    for app in ("a5", "a6", "a7", "a2"):
        eventually(partial(outbox_pending, sandbox, app), 0, within_s=60)
    status, receipt = call(
        f"{sandbox.urls['a2']}/v1/events",
        {"event_id": "after-nonsense", "namespace": "perf_test", "kind": "lead", "at": 1},
        allowed,
    )
    assert status == 202
    eventually(lambda: len(shown(sandbox, allowed, receipt["lineage_id"])), 1)


def test_nonsense_becomes_no_label(sandbox: Sandbox, routes: dict[str, list[Route]]) -> None:
    for app in APPS:
        known = {route.name for route in routes[app]} | {"unmatched"}
        samples = metrics(sandbox, app)["http_requests"].samples
        assert {sample.labels["route"] for sample in samples} <= known


# --- faults --------------------------------------


@pytest.mark.parametrize("app", APPS)
def test_an_app_has_the_common_faults_and_its_own_and_no_others(
    sandbox: Sandbox, app: str, tmp_path: Path
) -> None:
    special = asyncio.run(special_faults(app, tmp_path))
    admin, url = {"X-Sandbox-Admin": sandbox.admin_token}, f"{sandbox.urls[app]}/__faults"
    state = call(url, headers=admin)[1]
    assert not any(state.values())
    for name in set(state) - {"ends_in_s"}:
        has = name in COMMON_FAULTS | special
        assert call(url, {name: 0.001, "ttl_s": 60}, admin)[0] == (200 if has else 422)
        assert call(url, {name: 0.001}, {"X-Sandbox-Admin": "guess"})[0] == 403
    assert call(url, {}, admin)[0] == 200


async def special_faults(app: str, folder: Path) -> frozenset[str]:
    made = _app(Config(app, 1, folder, "admin", "internal"))
    await made.close()
    return made.special_faults


@pytest.mark.parametrize("app", APPS)
def test_errors_can_be_switched_on_in_every_app_and_spare_its_health(sandbox: Sandbox, app: str) -> None:
    url = sandbox.urls[app]
    with faults(sandbox, app, error_rate=1):
        assert call(f"{url}/nowhere")[0] == 503
        assert call(f"{url}/health")[0] == 200
    assert call(f"{url}/nowhere")[0] == 404


# --- one lineage from end to end --------------------------------------


def outbox_pending(sandbox: Sandbox, app: str) -> int:
    status, document = call(f"{sandbox.urls[app]}/healthz")
    assert status == 200, document
    return int(document["checks"]["outbox_pending"])


def kept(sandbox: Sandbox, headers: Mapping[str, str], lineage_id: str) -> list[dict[str, Any]]:
    """What A2 keeps of a lineage."""
    status, page = call(f"{sandbox.urls['a2']}/v1/events?lineage_id={lineage_id}", headers=headers)
    assert status == 200
    found: list[dict[str, Any]] = page["events"]
    return found


def shown(sandbox: Sandbox, headers: Mapping[str, str], lineage_id: str) -> list[dict[str, Any]]:
    """What A8 shows of a lineage."""
    status, page = call(f"{sandbox.urls['a8']}/api/lineage/{lineage_id}", headers=headers)
    assert status == 200
    rows: list[dict[str, Any]] = page["rows"]
    assert page["total"] == len(rows)
    return rows


def register(
    sandbox: Sandbox, headers: Mapping[str, str], lineage_id: str, run_id: str = "run"
) -> dict[str, Any]:
    status, provider = call(
        f"{sandbox.urls['a6']}/register",
        {"namespace": "perf_test", "provider": {"name": "College", "state": "TX"}},
        {**headers, "X-Lineage-Id": lineage_id, "X-Ecoload-Run": run_id},
    )
    assert (status, provider["lineage_id"]) == (201, lineage_id)
    found: dict[str, Any] = provider
    return found


def press(sandbox: Sandbox, lineage_id: str, action: str = "impression") -> dict[str, Any]:
    body = {"namespace": "perf_test", "page": "/browse", "cta": "find-my-scholarships", "action": action}
    status, pressed = call(f"{sandbox.urls['a7']}/api/cta", body, {"X-Lineage-Id": lineage_id})
    assert (status, pressed["emitted"]) == (202, True)
    found: dict[str, Any] = pressed
    return found


def test_a_provider_is_followed_from_its_registration_to_the_tiles(
    sandbox: Sandbox, allowed: dict[str, str]
) -> None:
    lineage_id = "followed-provider"
    provider = register(sandbox, allowed, lineage_id, run_id="funnel")
    events = [provider["event_id"]]
    stage = f"{sandbox.urls['a6']}/api/providers/{provider['provider_id']}/stage"
    for to, more in (("demo", {}), ("contract", {"contract": BILL}), ("live", {})):
        body = {"namespace": "perf_test", "to": to, **more}
        status, step = call(stage, body, allowed | {"X-Ecoload-Run": "funnel"})
        assert (status, step["stage"], step["lineage_id"]) == (200, to, lineage_id)
        events.append(step["event_id"])
    told = ["lead", "demo", "contract", "contract_billed", "live"]
    eventually(lambda: len(shown(sandbox, allowed, lineage_id)), len(told))
    in_a2, in_a8 = kept(sandbox, allowed, lineage_id), shown(sandbox, allowed, lineage_id)
    assert [event["kind"] for event in in_a2] == told
    assert sorted(row["kind"] for row in in_a8) == sorted(told)
    assert [event["event_id"] for event in in_a2 if event["kind"] != "contract_billed"] == events
    assert {row["event_id"] for row in in_a8} == {event["event_id"] for event in in_a2}
    for found in (*in_a2, *in_a8):
        assert (found["app"], found["namespace"], found["run_id"]) == ("a6", "perf_test", "funnel")
    bill = next(event["data"] for event in in_a2 if event["kind"] == "contract_billed")
    assert (bill["fee_cents"], bill["ai_price_cents"]) == (3_000, 4_000)
    _, tile = call(f"{sandbox.urls['a8']}/api/tiles/finance?run_id=funnel", headers=allowed)
    assert (tile["fee_cents"], tile["ai_price_cents"]) == (3_000, 4_000)


def test_a_call_to_action_is_followed_to_a8(sandbox: Sandbox, allowed: dict[str, str]) -> None:
    lineage_id = "followed-visitor"
    pressed = [press(sandbox, lineage_id, action)["event_id"] for action in ("impression", "click")]
    eventually(lambda: len(shown(sandbox, allowed, lineage_id)), 2)
    in_a2, in_a8 = kept(sandbox, allowed, lineage_id), shown(sandbox, allowed, lineage_id)
    assert [event["event_id"] for event in in_a2] == pressed
    assert {row["event_id"]: row["kind"] for row in in_a8} == dict(
        zip(pressed, ("cta_impression", "cta_click"), strict=True)
    )
    assert {event["app"] for event in in_a2} == {row["app"] for row in in_a8} == {"a7"}


def test_an_event_that_is_lost_on_its_way_is_missed(sandbox: Sandbox, allowed: dict[str, str]) -> None:
    with faults(sandbox, "a8", lose_events=1):
        press(sandbox, "lost-on-its-way")
        eventually(lambda: len(kept(sandbox, allowed, "lost-on-its-way")), 1)
        eventually(partial(outbox_pending, sandbox, "a2"), 0)
    assert shown(sandbox, allowed, "lost-on-its-way") == []
    with faults(sandbox, "a7", cta_silent=1):
        body = {"namespace": "perf_test", "page": "/", "cta": "c", "action": "click"}
        status, pressed = call(f"{sandbox.urls['a7']}/api/cta", body, {"X-Lineage-Id": "never-told"})
        assert (status, pressed["emitted"]) == (202, False)
    eventually(partial(outbox_pending, sandbox, "a7"), 0)
    assert kept(sandbox, allowed, "never-told") == []


def test_what_apps_have_to_tell_outlives_a_dead_a2_and_their_own_death(tmp_path: Path) -> None:
    telling = ("a2", "a6", "a7", "a8")
    with Sandbox(telling, state=tmp_path) as sandbox:
        register(sandbox, {}, "before")
        sandbox.kill("a2")
        for number in range(20):
            register(sandbox, {}, f"dead-{number}")
            press(sandbox, f"dead-{number}")
        for app in ("a6", "a7"):
            sandbox.kill(app)
            sandbox.start(app)
        sandbox.start("a2")
        for app in ("a6", "a7", "a2"):
            eventually(partial(outbox_pending, sandbox, app), 0)
        for number in range(20):
            assert sorted(row["kind"] for row in shown(sandbox, {}, f"dead-{number}")) == [
                "cta_impression",
                "lead",
            ]
        assert len(shown(sandbox, {}, "before")) == 1


@pytest.mark.parametrize("app", ["a2", "a6", "a8"])
def test_a_kill_in_the_middle_of_the_telling_loses_and_doubles_nothing(tmp_path: Path, app: str) -> None:
    """Registrations go on while an app on the way is killed and comes back, twice."""
    taken: list[str] = []

    async def register_all(sandbox: Sandbox, begun: asyncio.Event, killed: asyncio.Event) -> None:
        for number in range(10_000):
            if killed.is_set() and number > 60:
                return
            try:
                provider = await asyncio.to_thread(register, sandbox, {}, f"{app}-{number}-{len(taken)}")
            except OSError:  # a6 itself is dead: what was not acknowledged may or may not be there
                await asyncio.sleep(0.01)
                continue
            taken.append(provider["event_id"])
            if len(taken) >= 20:
                begun.set()

    async def with_kills(sandbox: Sandbox) -> None:
        begun, killed = asyncio.Event(), asyncio.Event()
        registering = [asyncio.create_task(register_all(sandbox, begun, killed)) for _ in range(4)]
        await begun.wait()
        for _ in range(2):
            await asyncio.to_thread(sandbox.kill, app)
            await asyncio.sleep(0.1)
            await asyncio.to_thread(sandbox.start, app)
        killed.set()
        await asyncio.gather(*registering)

    with Sandbox(("a2", "a6", "a8"), state=tmp_path) as sandbox:
        asyncio.run(with_kills(sandbox))
        for telling in ("a6", "a2"):
            eventually(partial(outbox_pending, sandbox, telling), 0)
        in_a2 = pages(sandbox.urls["a2"], "/v1/events?run_id=run&limit=1000", "events")
        in_a8 = pages(sandbox.urls["a8"], "/api/events?run_id=run&limit=200", "rows")
        providers = pages(sandbox.urls["a6"], "/api/providers?limit=500", "providers")
    ids = [event["event_id"] for event in in_a2]
    assert set(taken) <= set(ids)
    assert len(ids) == len(set(ids)) == len(providers)
    assert sorted(row["event_id"] for row in in_a8) == sorted(ids)


def pages(url: str, path: str, name: str) -> list[dict[str, Any]]:
    """Everything of a list that comes in pages."""
    found, after = [], 0
    while after is not None:
        status, page = call(f"{url}{path}&after={after}")
        assert status == 200
        found += page[name]
        after = page["next"]
    return found


# --- secrets --------------------------------------


def test_no_secret_of_the_sandbox_stands_anywhere_but_where_it_is_meant_to(
    sandbox: Sandbox, allowed: dict[str, str]
) -> None:
    register(sandbox, allowed, "secrets")
    press(sandbox, "secrets")
    call(f"{sandbox.urls['a2']}/__faults", {}, {"X-Sandbox-Admin": sandbox.admin_token})
    eventually(lambda: len(shown(sandbox, allowed, "secrets")), 2)
    environment = sandbox.write_environment()
    assert environment.stat().st_mode & 0o777 == 0o600
    internal = sandbox._internal_token
    key = (sandbox.state / "a1" / "key.pem").read_text().splitlines()
    secrets = {
        "internal": internal,
        "bearer": allowed["Authorization"].removeprefix("Bearer "),
        "key": key[2],
        **sandbox.secrets,
        **{app: client_secret(internal, app) for app in APPS},
        "forms": client_secret(internal, "a5 forms"),
    }
    found = [
        (str(file.relative_to(sandbox.state)), name)
        for file in sandbox.state.rglob("*")
        if file.is_file()
        for name, secret in secrets.items()
        if secret.encode() in file.read_bytes()
    ]
    meant = {("sandbox.env", name) for name in sandbox.secrets} | {("a1/key.pem", "key")}
    assert set(found) == meant
    for pid in sandbox.pids.values():
        told = b"".join(Path(f"/proc/{pid}/{file}").read_bytes() for file in ("cmdline", "environ"))
        assert not [name for name, secret in secrets.items() if secret.encode() in told]
    assert (sandbox.state / "a1" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_nobody_is_told_a_secret(sandbox: Sandbox, allowed: dict[str, str]) -> None:
    told = "".join(
        fetch(url + path, headers={**allowed, "X-Sandbox-Admin": sandbox.admin_token})[2].decode()
        for url in sandbox.urls.values()
        for path in ("/", "/health", "/healthz", "/metrics", "/__truth", "/__faults", "/nowhere")
    )
    for secret in (sandbox._internal_token, *sandbox.secrets.values()):
        assert secret not in told
