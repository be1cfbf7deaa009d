"""The request that cleans an app: its declared route, the namespace at the declared place, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecoload.engine.once import render
from ecoload.engine.probe import ProbeFailed
from ecoload.errors import GuardRefused, SpecError, UsageError
from ecoload.guard.cleanup import check_cleanup
from ecoload.plan import NamespaceAt, Plan, Step
from ecoload.spec.workspace import load_workspace, make_cleanup
from tests.unit.cleaning import WIPE, app, load


def sent(plan: Plan, secrets: dict[str, str] | None = None, token: str = "") -> bytes:
    """The request without what differs each time."""
    check_cleanup(plan)
    data = render(plan, step_of(plan), "RUN", secrets or {}, token).data
    return b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"traceparent:"))


def step_of(plan: Plan) -> Step:
    (step,) = plan.scenarios[0].steps
    assert isinstance(step, Step)
    return step


# --- what is sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "line", "header", "body"),
    [
        (WIPE, b"DELETE /base/test-data?ns=perf_test", b"", b""),
        (
            {"delete": "/ns/{space}/data", "effect": "write", "namespace": {"in": "path", "at": "space"}},
            b"DELETE /base/ns/perf_test/data",
            b"",
            b"",
        ),
        (
            {"post": "/wipe", "effect": "write", "namespace": {"in": "header", "at": "X-Space"}},
            b"POST /base/wipe",
            b"X-Space: perf_test",
            b"",
        ),
        (
            {"post": "/wipe", "effect": "write", "namespace": {"in": "json", "at": "a.0.ns"}},
            b"POST /base/wipe",
            b"Content-Type: application/json",
            b'{"a":[{"ns":"perf_test"}]}',
        ),
        (
            {"post": "/wipe", "effect": "write", "namespace": {"in": "form", "at": "ns"}},
            b"POST /base/wipe",
            b"Content-Type: application/x-www-form-urlencoded",
            b"ns=perf_test",
        ),
    ],
    ids=["query", "path", "header", "json", "form"],
)
def test_the_namespace_stands_where_the_route_says(
    tmp_path: Path, route: dict[str, Any], line: bytes, header: bytes, body: bytes
) -> None:
    plan = make_cleanup(load(tmp_path, a=app(route)), "a")
    head, _, content = sent(plan).partition(b"\r\n\r\n")
    assert head.startswith(line + b" HTTP/1.1\r\nHost: a.test\r\n")
    assert content == body
    assert header in head.split(b"\r\n") or not header
    assert b"X-Ecoload-Run: RUN\r\nX-Ecoload-Probe: 1" in head


def test_the_apps_headers_go_with_it_and_the_namespace_wins_over_them(tmp_path: Path) -> None:
    headers = {"X-Key": "${secret.KEY}", "X-E": "${env.E}", "x-space": "other", "X-Id": "${uuid()}"}
    route = {"post": "/wipe", "effect": "write", "namespace": {"in": "header", "at": "X-Space"}}
    made = app(route, headers=headers, env=["E"], secrets={"KEY": {"env": "PASSWORD"}, "NO": {"env": "NO"}})
    plan = make_cleanup(load(tmp_path, a=made), "a")
    assert plan.secrets == (("KEY", "env:PASSWORD"),)
    lines = sent(plan, {"KEY": "hush"}).split(b"\r\n")
    assert {b"X-Key: hush", b"X-E: value", b"X-Space: perf_test"} < set(lines)
    assert b"x-space: other" not in lines


def test_it_carries_the_apps_token_unless_the_route_wants_none(tmp_path: Path) -> None:
    how = {"token_url": "b:/token", "client_id": "me", "client_secret": {"secret": "KEY"}, "scope": "a"}
    auth = {"auth": {"client_credentials": how}, "secrets": {"KEY": {"env": "PASSWORD"}}}
    issuer = app(routes={"token": {"post": "/token", "effect": "none"}}, cleanup=None)
    plan = make_cleanup(load(tmp_path, a=app(**auth), b=issuer), "a")
    assert plan.auth is not None
    assert plan.origins[plan.auth.origin].app == "b"
    assert b"Authorization: Bearer TOKEN" in sent(plan, token="TOKEN")
    open_plan = make_cleanup(load(tmp_path, a=app(WIPE | {"auth": "none"}, **auth), b=issuer), "a")
    assert b"Authorization" not in sent(open_plan, token="TOKEN")


def test_a_header_that_cannot_be_sent_is_said(tmp_path: Path) -> None:
    plan = make_cleanup(
        load(tmp_path, a=app(headers={"X-Key": "${secret.K}"}, secrets={"K": {"env": "K"}})), "a"
    )
    with pytest.raises(ProbeFailed, match="a: "):
        render(plan, step_of(plan), "RUN", {"K": "two\r\nlines"}, "")


def test_the_plan_is_one_request_and_nothing_beside_it(tmp_path: Path) -> None:
    probe = {"get": "/v", "json": "$.v"}
    plan = make_cleanup(load(tmp_path, a=app(version_from=probe, request_count=probe)), "a")
    assert (plan.version_from, plan.request_count, plan.persistence) == (None, None, None)
    assert (len(plan.loads), len(plan.scenarios), len(plan.scenarios[0].steps)) == (1, 1, 1)
    assert step_of(plan).redirects == 0


# --- what is refused --------------------------------------------------------------------------------------


def test_a_production_app_is_refused(tmp_path: Path) -> None:
    plan = make_cleanup(load(tmp_path, a=app(environment=None)), "a")
    with pytest.raises(GuardRefused, match=r"cleanup of a: a \(http://a\.test\) is production"):
        check_cleanup(plan)


def test_an_app_with_tokens_of_production_is_refused(tmp_path: Path) -> None:
    how = {"token_url": "b:/token", "client_id": "me", "client_secret": {"secret": "KEY"}}
    auth = {"auth": {"client_credentials": how}, "secrets": {"KEY": {"env": "PASSWORD"}}}
    workspace = load(tmp_path, a=app(**auth), b=app(base_url="http://b.test", environment=None))
    with pytest.raises(GuardRefused, match=r"cleanup of a: b \(http://b\.test\) is production"):
        check_cleanup(make_cleanup(workspace, "a"))


def test_an_app_at_the_address_of_a_production_one_is_refused(tmp_path: Path) -> None:
    workspace = load(tmp_path, a=app(), b=app(base_url="http://A.test/other", environment="production"))
    with pytest.raises(GuardRefused, match=r"b .* is production"):
        check_cleanup(make_cleanup(workspace, "a"))
    workspace = load(tmp_path, a=app(), b=app(base_url="http://a.test:81", environment="production"))
    check_cleanup(make_cleanup(workspace, "a"))


def test_a_read_only_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuardRefused, match="read-only"):
        check_cleanup(make_cleanup(load(tmp_path, a=app(writes=None)), "a"))


def test_an_app_that_declares_none_and_one_that_is_not_there_are_said(tmp_path: Path) -> None:
    workspace = load(tmp_path, a=app(cleanup=None))
    with pytest.raises(UsageError, match="a declares no cleanup:"):
        make_cleanup(workspace, "a")
    with pytest.raises(UsageError, match="unknown app 'b'"):
        make_cleanup(workspace, "b")
    with pytest.raises(UsageError, match="unknown app 'c'"):
        make_cleanup(workspace, "a", base_urls={"c": "http://c.test"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cleanup": "wipee"}, "apps.a.cleanup: unknown route 'wipee'; did you mean 'wipe'?"),
        ({"cleanup": "look"}, "apps.a.cleanup: route 'look' does not write; expected one with effect: write"),
        (
            {"routes": {"wipe": {**WIPE, "delete": "/data/{id}"}}},
            "apps.a.cleanup: /data/{id} needs a value for id, and a cleanup has none",
        ),
    ],
)
def test_a_route_that_cannot_clean_is_said_with_its_place(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, a=app(**changes))
    assert [problem.message for problem in caught.value.problems] == [message]


def test_a_broken_route_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, a=app(routes={"wipe": {"delete": "/test-data", "effect": "write"}}))
    (problem,) = caught.value.problems
    assert problem.message.startswith("apps.a.routes.wipe: a route that writes says where")


def test_the_apps_of_the_shipped_ecosystem_that_keep_test_data_say_how_to_delete_it() -> None:
    workspace = load_workspace(Path(__file__).parents[2] / "targets.yaml", environ={})
    assert [name for name, shape in workspace.targets.apps.items() if shape.cleanup] == [
        "a1",
        "a2",
        "a3",
        "a5",
        "a6",
    ]
    for name in ("a1", "a2", "a3", "a5", "a6"):
        plan = make_cleanup(workspace, name)
        check_cleanup(plan)
        route = plan.routes[step_of(plan).route]
        assert (route.app, route.name, route.namespace) == (
            name,
            "cleanup",
            NamespaceAt("query", "namespace"),
        )
        assert route.bearer, "the sandbox deletes nothing for strangers"
