"""Which apps are cleaned, in which order, and what is told of their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecoload.errors import GuardRefused, UsageError
from ecoload.protocol.cleanup import MOST_SHOWN, Cleaned, clean, cleanups, described, exit_code, summary
from ecoload.spec.workspace import Workspace
from tests.unit.cleaning import app, load

HOW = {"token_url": "b:/token", "client_id": "me", "client_secret": {"secret": "KEY"}}
AUTH = {"auth": {"client_credentials": HOW}, "secrets": {"KEY": {"env": "PASSWORD"}}}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return load(
        tmp_path,
        a=app(),
        b=app(base_url="http://b.test"),
        c=app(base_url="http://c.test", writes=None),
        d=app(cleanup=None),
        e=app(base_url="sandbox"),
        f=app(base_url="http://f.test:8080", **AUTH),
    )


def test_the_last_app_of_the_file_is_cleaned_first(workspace: Workspace) -> None:
    plans, skipped = cleanups(workspace)
    assert [plan.app for plan in plans] == ["f", "b", "a"]
    assert {app.app: app.reason.split()[0] for app in skipped} == {
        "e": "is",
        "d": "declares",
        "c": "read-only,",
    }


def test_apps_that_are_named_are_asked_in_the_files_order_all_the_same(workspace: Workspace) -> None:
    plans, skipped = cleanups(workspace, ["a", "f"])
    assert ([plan.app for plan in plans], skipped) == (["f", "a"], [])
    assert [str(app) for app in cleanups(workspace, ["c"])[1]] == ["c: read-only, so it is not asked"]
    with pytest.raises(UsageError, match="unknown app 'g'"):
        cleanups(workspace, ["a", "g"])


def test_an_embedded_app_is_asked_where_it_has_an_address_of_its_own(workspace: Workspace) -> None:
    plans, _ = cleanups(workspace, ["e"], {"e": "http://127.0.0.1:9"})
    assert [plan.app for plan in plans] == ["e"]


def test_one_production_app_refuses_all_of_it(tmp_path: Path) -> None:
    workspace = load(tmp_path, a=app(), b=app(base_url="http://b.test", environment="production"))
    with pytest.raises(GuardRefused) as refused:
        cleanups(workspace)
    assert refused.value.exit_code == 7
    assert [plan.app for plan in cleanups(workspace, ["a"])[0]] == ["a"]


def test_a_read_only_app_at_the_same_address_is_not_written_to_under_another_name(tmp_path: Path) -> None:
    with pytest.raises(GuardRefused, match="c, which is at the same address, is read-only"):
        cleanups(load(tmp_path, a=app(), c=app(writes=None)))


def test_a_production_app_that_is_read_only_is_in_nobodys_way(tmp_path: Path) -> None:
    workspace = load(tmp_path, a=app(), b=app(base_url="http://b.test", environment=None, writes=None))
    assert [plan.app for plan in cleanups(workspace)[0]] == ["a"]


def test_tokens_of_a_sandbox_that_is_not_up_are_said_before_anything_is_sent(tmp_path: Path) -> None:
    workspace = load(tmp_path, a=app(**AUTH), b=app(base_url="sandbox"))
    with pytest.raises(UsageError, match="give --base-url b=URL"):
        cleanups(workspace)


def test_a_secret_that_is_not_there_is_said_before_anything_is_sent(workspace: Workspace) -> None:
    plans, _ = cleanups(workspace)
    with pytest.raises(UsageError, match="secret KEY: nothing at env:PASSWORD"):
        next(clean(plans, workspace, {}))


def test_what_would_be_sent_is_told_without_a_secret(tmp_path: Path, workspace: Workspace) -> None:
    plans, _ = cleanups(workspace, ["a", "f"])
    assert [described(plan) for plan in plans] == [
        "f: DELETE http://f.test:8080/test-data?ns=perf_test, a token of b",
        "a: DELETE http://a.test/base/test-data?ns=perf_test",
    ]
    wipe = {"post": "/wipe", "effect": "write", "namespace": {"in": "json", "at": "ns"}}
    keyed = app(wipe, headers={"X-Key": "${secret.K}"}, secrets={"K": {"env": "PASSWORD"}})
    (plan,), _ = cleanups(load(tmp_path, a=keyed))
    assert described(plan) == 'a: POST http://a.test/base/wipe, body {"ns":"perf_test"}, header X-Key'


# --- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([], 0),
        ([200, 204], 0),
        ([200, 500], 99),
        ([None, 200], 99),
        ([302], 99),
        ([None, None], 6),
        ([401], 99),
    ],
)
def test_the_exit_code_follows_from_the_answers(statuses: list[int | None], code: int) -> None:
    assert exit_code([Cleaned("a", status, "") for status in statuses]) == code


@pytest.mark.parametrize(
    ("cleaned", "line"),
    [
        (Cleaned("a", 200, '{"deleted":3}'), 'a: 200 {"deleted":3}'),
        (Cleaned("a", 204, ""), "a: 204"),
        (Cleaned("a", 503, '{"detail":"no"}'), 'a: failed: 503 {"detail":"no"}'),
        (Cleaned("a", None, "refused"), "a: failed: refused"),
    ],
)
def test_an_answer_is_one_line(cleaned: Cleaned, line: str) -> None:
    assert str(cleaned) == line


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda i: st.lists(i) | st.dictionaries(st.text(), i),
)


@given(JSON)
@example({"\x7f\x1b[2J": "\u202e"})
def test_a_summary_is_short_and_printable(document: Any) -> None:
    text = summary(json.dumps(document).encode(), ["hush-hush"])
    assert len(text) <= MOST_SHOWN
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize(
    "document", [{"echo": "Bearer hush"}, {"hush": 1}, [["x", {"deep": "-hush-"}]], "hush", {"n": 12345}]
)
def test_nothing_of_an_answer_that_holds_a_secret_is_shown(document: Any) -> None:
    secret = ["", "hush", "12345"]
    assert summary(json.dumps(document).encode(), secret) == "(not shown: the answer holds a secret)"
    escaped = json.dumps(document).replace("h", "\\u0068").encode()
    assert summary(escaped, secret) == "(not shown: the answer holds a secret)"
    assert summary(json.dumps(document).encode(), ["another"]) == json.dumps(document, separators=(",", ":"))


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"", ""), (b" \n", ""), (b"<html>", "(no JSON)"), (b"\xff", "(no JSON)"), (b"[" * 99_999, "(no JSON)")],
)
def test_what_is_no_json_is_not_shown(body: bytes, text: str) -> None:
    assert summary(body, []) == text
