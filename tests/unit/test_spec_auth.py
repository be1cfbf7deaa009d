"""Tokens of an app, and which apps a plan reaches: what `auth:` says, and what becomes of it in a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from ecoload.errors import SpecError, UsageError
from ecoload.measure.plan_file import read_plan
from ecoload.plan import ClientCredentials, Plan, canonical_bytes, to_tree
from ecoload.spec.workspace import Workspace, load_workspace, make_plan

TARGETS = """\
profiles:
  steady: {executor: constant, vus: 1, duration: 1s}
apps:
  a1: {base_url: "${A1_URL:-sandbox}", routes: {token: {post: /oidc/token, effect: none}}}
  a2:
    base_url: ${A2_URL:-sandbox}
    secrets: {KEY: {env: A2_KEY}}
    auth:
      client_credentials: {token_url: "a1:/oidc/token", client_id: ecoload, client_secret: {secret: KEY}}
    routes:
      read: {get: /events, effect: none}
      health: {get: /health, effect: none, auth: none}
  a3: {base_url: sandbox, routes: {read: {get: /, effect: none}}}
"""
SCENARIO = "app: a2\nsteps: [{route: read}, {route: health}]\n"
A2 = "http://a2.example"

Write = Callable[..., Workspace]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "a2.yaml").write_text(SCENARIO)
    (tmp_path / "scenarios" / "a3.yaml").write_text("app: a3\nsteps: [{route: read}]\n")

    def load(*changes: tuple[str, str], environ: dict[str, str] | None = None) -> Workspace:
        text = TARGETS
        for before, after in changes:
            assert text.count(before) == 1
            text = text.replace(before, after)
        (tmp_path / "targets.yaml").write_text(text)
        return load_workspace(tmp_path / "targets.yaml", environ=environ or {})

    return load


def plan_of(workspace: Workspace, **urls: str) -> Plan:
    return make_plan(workspace, "a2", "steady", base_urls=urls)


# --- What is written ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ('"a1:/oidc/token"', '"a11:/oidc/token"'),
            "token_url: unknown app 'a11'; did you mean 'a1'?",
        ),
        (('"a1:/oidc/token"', "https://a1.example/token"), "expected APP:/path, such as a1:/oidc/token"),
        (('"a1:/oidc/token"', "/oidc/token"), "expected APP:/path"),
        (('"a1:/oidc/token"', '"a1:token"'), "expected a path that begins with one '/'"),
        (('"a1:/oidc/token"', '"a1:/../token"'), "a path takes no '.' and '..'"),
        (('"a1:/oidc/token"', '"a1:/{tenant}/token"'), "expected a path without placeholders"),
        (('"a1:/oidc/token"', '"a1:/token?x=1"'), "expected a plain path without blanks, '?' or '#'"),
        (
            ("{secret: KEY}", "{secret: KAY}"),
            "client_secret.secret: 'KAY' is not declared under the app's secrets:; did you mean 'KEY'?",
        ),
        (("{secret: KEY}", "hush"), "client_secret: expected {secret: NAME}, the name of one of the"),
        (("{secret: KEY}", "{}"), "client_secret.secret: is missing: the name of one of the app's secrets:"),
        (("client_id: ecoload, ", ""), "client_id: is missing: the name of this client"),
        (("client_id: ecoload", 'client_id: "a\\nb"'), "client_id: 'a\\nb' does not fit the form"),
        (("client_id: ecoload", 'scope: "a  b", client_id: ecoload'), "scope: 'a  b' does not fit the form"),
        (("client_id: ecoload", "scop: a2, client_id: ecoload"), "unknown key 'scop'; did you mean 'scope'?"),
    ],
)
def test_what_is_wrong_in_auth_is_said_at_its_line(
    write: Write, change: tuple[str, str], expected: str
) -> None:
    with pytest.raises(SpecError) as caught:
        write(change)
    (problem,) = caught.value.problems
    assert problem.line in (8, 9)
    assert problem.message.startswith("apps.a2.auth.client_credentials"), problem
    assert expected in problem.message
    assert "hush" not in problem.message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("    routes:\n      read", "    headers: {authorization: x}\n    routes:\n      read"),
            "apps.a2.headers.authorization: the token of auth: stands in this header",
        ),
        (("auth: none", "auth: off"), "apps.a2.routes.health.auth: unknown word 'off'"),
        (
            ("auth:\n      client_credentials:", "auth:\n      password:"),
            "apps.a2.auth.password: unknown key",
        ),
    ],
)
def test_what_does_not_go_with_tokens_is_said(write: Write, change: tuple[str, str], expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        write(change)
    assert expected in str(caught.value)


def test_a_secret_whose_own_declaration_is_wrong_is_told_of_once(write: Write) -> None:
    with pytest.raises(SpecError) as caught:
        write(("{env: A2_KEY}", "{evn: A2_KEY}"))
    assert all(problem.message.startswith("apps.a2.secrets.KEY") for problem in caught.value.problems)


# --- What becomes of it ---------------------------------------------------------------------------


def test_a_plan_says_where_its_tokens_come_from_and_which_routes_carry_them(write: Write) -> None:
    plan = plan_of(write(("client_id: ecoload", "client_id: me, scope: a2 a3")))
    assert plan.auth == ClientCredentials(0, "/oidc/token", "me", "KEY", "a2 a3")
    assert plan.origins[plan.auth.origin].app == "a1"
    assert plan.secrets == (("KEY", "env:A2_KEY"),)
    assert [route.name for route in plan.routes if route.bearer] == ["read"]


def test_the_token_is_the_planned_apps_alone(write: Write) -> None:
    other = make_plan(write(), "a3", "steady")
    assert other.auth is None
    assert not any(route.bearer for route in other.routes)
    assert other.secrets == ()


def test_an_app_may_issue_its_own_tokens(write: Write) -> None:
    plan = plan_of(write(('"a1:/oidc/token"', '"a2:/token"')), a2=A2)
    assert plan.auth is not None
    assert [origin.app for origin in plan.origins] == ["a2"]
    assert plan.auth.origin == 0


def test_both_hashes_cover_auth_and_no_plan_holds_the_secret(write: Write) -> None:
    plain = plan_of(write())
    for change in (
        ("client_id: ecoload", "client_id: me"),
        ("client_id: ecoload", "scope: a2, client_id: ecoload"),
        ('"a1:/oidc/token"', '"a1:/token"'),
        (", auth: none}", "}"),
    ):
        other = plan_of(write(change))
        assert other.execution_hash != plain.execution_hash
        assert other.spec_hash != plain.spec_hash
    told = plan_of(write(environ={"A2_KEY": "hush"}))
    assert told == plain
    assert b"hush" not in canonical_bytes(told)


def test_what_does_not_decide_what_is_sent_is_in_no_execution_hash(write: Write) -> None:
    plan = plan_of(write())
    renamed = dataclasses.replace(
        plan,
        spec_hash="other",
        scenarios=tuple(dataclasses.replace(s, k6="other.js") for s in plan.scenarios),
    )
    assert renamed.execution_hash == plan.execution_hash


def test_a_plan_with_tokens_reads_back_as_itself(write: Write, tmp_path: Path) -> None:
    plan = plan_of(write())
    (tmp_path / "plan.json").write_bytes(orjson.dumps(to_tree(plan)))
    assert read_plan(tmp_path / "plan.json") == plan


# --- Which apps a plan reaches --------------------------------------------------------------------


def reached(plan: Plan) -> list[str]:
    return [origin.app for origin in plan.origins]


def test_an_embedded_app_has_the_whole_embedded_ecosystem_beside_it(write: Write) -> None:
    plan = plan_of(write())
    assert reached(plan) == ["a1", "a2", "a3"]
    assert all(origin.embedded for origin in plan.origins)


def test_an_app_elsewhere_has_of_the_embedded_ones_only_the_one_that_its_tokens_come_from(
    write: Write,
) -> None:
    workspace = write()
    plan = plan_of(workspace, a2=A2)
    assert reached(plan) == ["a1", "a2"]
    assert plan.origins[0].embedded
    # … and once that one is up, still no other.
    again = make_plan(
        workspace, "a2", "steady", base_urls={"a2": A2, "a1": "http://127.0.0.1:9"}, embedded=["a1"]
    )
    assert reached(again) == ["a1", "a2"]
    assert again.execution_hash == plan.execution_hash
    assert reached(make_plan(workspace, "a3", "steady", base_urls={"a3": A2})) == ["a3"]


def test_apps_whose_addresses_are_given_are_there_in_any_case(write: Write) -> None:
    workspace = write(environ={"A2_URL": A2, "A1_URL": "http://a1.example"})
    assert reached(plan_of(workspace)) == ["a1", "a2"]
    assert reached(plan_of(workspace, a3="http://a3.example")) == ["a1", "a2", "a3"]
    # The planned one is embedded, another is not.
    assert reached(make_plan(workspace, "a3", "steady")) == ["a1", "a2", "a3"]


def test_where_tokens_come_from_must_have_an_address(write: Write) -> None:
    workspace = write(("${A1_URL:-sandbox}", "${A1_URL}"))
    with pytest.raises(UsageError, match="the address of a1 needs A1_URL: set it, or give --base-url a1=URL"):
        plan_of(workspace, a2=A2)
    assert reached(make_plan(workspace, "a3", "steady")) == ["a2", "a3"]
