"""What A1 takes and what it refuses: clients, requests, passwords, grants. Times are arguments."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.a1 import accounts, grants
from ecoload.sandbox.a1.app import discovery
from ecoload.sandbox.a1.clients import LOOPBACK_CALLBACK, Client, Clients, granted_scope
from ecoload.sandbox.a1.grants import CODE_MS, KEPT_MS, REFRESH_MS, SIGN_IN_MS, Grant, Refused
from ecoload.sandbox.a1.oauth import OAuthError, challenge_of
from ecoload.sandbox.a1.request import AuthRequest, parse_auth_request
from ecoload.sandbox.common.tokens import client_secret

INTERNAL = "internal"
VERIFIER = "v" * 64
NOW = 1_800_000_000_000
ASKED = {
    "response_type": "code",
    "client_id": "perf",
    "redirect_uri": LOOPBACK_CALLBACK,
    "scope": "openid email",
    "state": "a state/with=all&of it",
    "nonce": "n-1",
    "code_challenge": challenge_of(VERIFIER),
    "code_challenge_method": "S256",
}
WANTED = parse_auth_request(ASKED)


# --- clients --------------------------------------


def clients() -> Clients:
    known = Clients(INTERNAL)
    known.connect({"a1": "http://127.0.0.1:1", "a5": "http://127.0.0.1:5"})
    return known


def authenticated(authorization: str | None, form: Mapping[str, str]) -> Client:
    async def ask() -> Client:
        return await clients().authenticated(authorization, form)

    return asyncio.run(ask())


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{quote_plus(name)}:{quote_plus(secret)}".encode()).decode()


@pytest.mark.parametrize("app", ["ecoload", "a2", "a3", "a4", "a5", "a6", "a7", "a8"])
def test_a_service_proves_itself_by_its_secret_in_the_header_or_in_the_body(app: str) -> None:
    secret = client_secret(INTERNAL, app)
    assert authenticated(basic(app, secret), {}).client_id == app
    assert authenticated(None, {"client_id": app, "client_secret": secret}).client_id == app


@pytest.mark.parametrize("name", ["perf", "student-pilot"])
def test_a_public_client_only_says_its_name(name: str) -> None:
    assert authenticated(None, {"client_id": name}).client_id == name


@pytest.mark.parametrize(
    ("authorization", "form", "error"),
    [
        (None, {}, "invalid_client"),
        (None, {"client_id": "nobody"}, "invalid_client"),
        (None, {"client_id": "nobody", "client_secret": "x"}, "invalid_client"),
        (None, {"client_id": "ecoload"}, "invalid_client"),
        (None, {"client_id": "ecoload", "client_secret": ""}, "invalid_client"),
        (None, {"client_id": "ecoload", "client_secret": client_secret(INTERNAL, "a2")}, "invalid_client"),
        (None, {"client_id": "perf", "client_secret": ""}, "invalid_client"),
        (basic("ecoload", "wrong"), {}, "invalid_client"),
        (basic("perf", ""), {}, "invalid_client"),
        ("Basic !!!", {}, "invalid_client"),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), {}, "invalid_client"),
        ("Basic " + base64.b64encode(b"no colon").decode(), {}, "invalid_client"),
        ("Bearer token", {}, "invalid_client"),
        ("", {}, "invalid_client"),
        (basic("ecoload", "x"), {"client_secret": "x"}, "invalid_request"),
        (basic("ecoload", "x"), {"client_id": "a2"}, "invalid_request"),
    ],
)
def test_who_does_not_prove_to_be_a_client_is_none(
    authorization: str | None, form: dict[str, str], error: str
) -> None:
    with pytest.raises(OAuthError) as refused:
        authenticated(authorization, form)
    assert refused.value.error == error


def test_a_secret_does_not_show_in_the_text_of_a_client() -> None:
    client = authenticated(None, {"client_id": "a2", "client_secret": client_secret(INTERNAL, "a2")})
    assert client_secret(INTERNAL, "a2") not in repr(client)


def test_whoever_asks_before_the_addresses_are_known_waits() -> None:
    async def ask() -> Client | None:
        known = Clients(INTERNAL)
        asking = asyncio.create_task(known.get("student-pilot"))
        await asyncio.sleep(0)
        assert not asking.done()
        known.connect({"a5": "http://127.0.0.1:5"})
        return await asking

    client = asyncio.run(ask())
    assert client is not None
    assert client.redirects_to("http://127.0.0.1:5/callback")


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("http://127.0.0.1/callback", True),
        ("http://127.0.0.1:8080/callback", True),
        ("http://127.0.0.1:65535/callback", True),
        ("http://127.0.0.1:65536/callback", False),
        ("http://127.0.0.1:/callback", False),
        ("http://127.0.0.1:٨٠/callback", False),
        ("http://127.0.0.1/callback/", False),
        ("http://127.0.0.1/callback?x=1", False),
        ("http://127.0.0.1:80@evil.test/callback", False),
        ("http://127.0.0.1.evil.test/callback", False),
        ("https://127.0.0.1/callback", False),
        ("http://localhost/callback", False),
        ("http://127.0.0.1:80/callback\r\nX: y", False),
        ("", False),
    ],
)
def test_a_loopback_redirect_may_have_any_port_and_nothing_else(uri: str, good: bool) -> None:
    assert Client("perf", (), redirect_uri=LOOPBACK_CALLBACK).redirects_to(uri) is good


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("http://127.0.0.1:5/callback", True),
        ("http://127.0.0.1:6/callback", False),
        ("http://127.0.0.1/callback", False),
    ],
)
def test_a_redirect_with_a_port_has_that_port(uri: str, good: bool) -> None:
    assert Client("x", (), redirect_uri="http://127.0.0.1:5/callback").redirects_to(uri) is good


def test_a_client_without_redirect_has_none() -> None:
    assert not Client("a2", (), "secret").redirects_to("")


def test_a_scope_is_what_was_asked_and_all_when_nothing_was() -> None:
    assert granted_scope("a3 a2 a3", ("a2", "a3")) == "a3 a2"
    assert granted_scope(None, ("a2", "a3")) == granted_scope("", ("a2", "a3")) == "a2 a3"
    for asked in ("a4", "a2 a4", "a2  a3", " "):
        with pytest.raises(OAuthError) as refused:
            granted_scope(asked, ("a2", "a3"))
        assert refused.value.error == "invalid_scope"


# --- the request for a code --------------------------------------


def test_a_good_request_is_read_whole() -> None:
    expected = AuthRequest(
        client_id="perf",
        redirect_uri=LOOPBACK_CALLBACK,
        scope="openid email",
        challenge=challenge_of(VERIFIER),
        state="a state/with=all&of it",
        nonce="n-1",
    )
    assert parse_auth_request(ASKED) == expected


def test_a_request_survives_its_way_through_a_link() -> None:
    for create in (False, True):
        again = parse_auth_request(dict(parse_qsl(WANTED.query(create=create))))
        assert again == replace(WANTED, create=create)
    hinted = replace(WANTED, login_hint="a&b@school.example")
    assert parse_auth_request(dict(parse_qsl(hinted.query(create=False)))) == hinted
    bare = replace(WANTED, state=None, nonce=None)
    assert parse_auth_request(dict(parse_qsl(bare.query(create=False)))) == bare


@pytest.mark.parametrize("prompt", ["", "login", "consent", "login consent select_account"])
def test_prompts_that_mean_to_sign_in_change_nothing(prompt: str) -> None:
    assert parse_auth_request(ASKED | {"prompt": prompt}) == WANTED


def test_prompt_create_asks_for_an_account() -> None:
    assert parse_auth_request(ASKED | {"prompt": "create"}).create


def test_scopes_that_mean_nothing_here_are_left_out() -> None:
    assert parse_auth_request(ASKED | {"scope": "x openid a2 profile"}).scope == "openid profile"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "email"}, "invalid_scope"),
        ({"scope": "OPENID"}, "invalid_scope"),
        ({"state": "x" * 513}, "invalid_request"),
        ({"state": "a\nb"}, "invalid_request"),
        ({"nonce": "x" * 513}, "invalid_request"),
        ({"nonce": "\ud800"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge": "="}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "dance"}, "invalid_request"),
        ({"request": "x"}, "request_not_supported"),
        ({"request_uri": "x"}, "request_uri_not_supported"),
        ({"registration": "x"}, "registration_not_supported"),
    ],
)
def test_a_wrong_request_is_refused_by_its_error(change: dict[str, str | None], error: str) -> None:
    fields = {name: value for name, value in {**ASKED, **change}.items() if value is not None}
    with pytest.raises(OAuthError) as refused:
        parse_auth_request(fields)
    assert refused.value.error == error


def test_a_parameter_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(OAuthError) as refused:
        parse_auth_request(ASKED, {"scope"})
    assert refused.value.error == "invalid_request"


@given(st.dictionaries(st.sampled_from([*ASKED, "prompt", "response_mode"]), st.text(max_size=50)))
def test_whatever_is_asked_is_a_request_or_an_error(fields: dict[str, str]) -> None:
    try:
        wanted = parse_auth_request(ASKED | fields)
    except OAuthError as error:
        assert error.error
    else:
        assert "openid" in wanted.scope


# --- accounts --------------------------------------

PERSON = {"email": "New.Person@Example.TEST ", "name": " New Person ", "password": "correct horse"}


def test_a_registration_is_read_with_its_address_in_lower_case() -> None:
    person, wrong = accounts.parse_registration(PERSON)
    assert wrong == {}
    assert person == accounts.Registration("new.person@example.test", "New Person", "correct horse")
    assert "correct horse" not in repr(person)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "someone@gmail.com"}, "email"),
        ({"email": "someone@example.org"}, "email"),
        ({"email": "someone@notexample.com"}, "email"),
        ({"email": "someone@sub.example.com"}, "email"),
        ({"email": "someone@test"}, "email"),
        ({"email": "someone@example.test.evil.com"}, "email"),
        ({"email": "a@b@example.test"}, "email"),
        ({"email": "<b>@example.test"}, "email"),
        ({"email": "@example.test"}, "email"),
        ({"email": "a@-x.test"}, "email"),
        ({"email": "a@" + "b.c" * 100 + ".test"}, "email"),
        ({"email": ""}, "email"),
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
    ],
)
def test_a_wrong_registration_is_refused_by_its_field(change: dict[str, str], field: str) -> None:
    person, wrong = accounts.parse_registration(PERSON | change)
    assert person is None
    assert list(wrong) == [field]


@pytest.mark.parametrize("domain", ["example.test", "example.com", "a.b.test", "school.example"])
def test_reserved_domains_are_taken(domain: str) -> None:
    assert accounts.parse_registration(PERSON | {"email": f"a@{domain}"})[0] is not None


def test_everything_wrong_with_a_registration_is_said_at_once() -> None:
    assert list(accounts.parse_registration({})[1]) == ["email", "name", "password"]


def test_a_password_matches_itself_only_and_never_an_account_that_is_not_there() -> None:
    async def compare() -> tuple[bytes, list[bool]]:
        passwords = accounts.Passwords()
        kept = await passwords.hashed("right")
        asked: list[tuple[str, bytes | None]] = [
            ("right", kept),
            ("Right", kept),
            ("", kept),
            ("right", None),
        ]
        found = [await passwords.match(password, of) for password, of in asked]
        passwords.close()
        return kept, found

    kept, found = asyncio.run(compare())
    assert found == [True, False, False, False]
    assert b"right" not in kept


def test_seeds_are_two_hundred_and_take_the_password_of_the_last_start(database: sqlite3.Connection) -> None:
    for password in (b"first", b"second"):
        accounts.seed(database, password, NOW)
    rows = database.execute("SELECT sub, email, name, password FROM accounts ORDER BY sub").fetchall()
    assert len(rows) == 200
    assert rows[0] == ("student-0001", "student-0001@example.test", "Student 0001", b"second")
    assert rows[-1][:2] == ("student-0200", "student-0200@example.test")


def test_an_address_has_one_account(database: sqlite3.Connection) -> None:
    accounts.seed(database, b"seeds", NOW)
    person = accounts.Registration("new@example.test", "New", "correct horse")
    assert accounts.add(database, person, b"hash", None, NOW) is not None
    assert accounts.add(database, person, b"hash", None, NOW) is None
    of_a_seed = replace(person, email="student-0001@example.test")
    assert accounts.add(database, of_a_seed, b"hash", None, NOW) is None


# --- grants --------------------------------------


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.executescript(accounts.SCHEMA + grants.SCHEMA)
    yield opened
    opened.close()


def sign_in(database: sqlite3.Connection, code: str = "code", run_id: str | None = None) -> str:
    """A code, as a person who signed in at NOW got it."""
    grants.begin(database, f"sign-in of {code}", "browser", WANTED, run_id, NOW)
    assert grants.finish(database, f"sign-in of {code}", WANTED, "student-0001", code, run_id, NOW)
    return code


def exchange(database: sqlite3.Connection, code: str = "code", **change: Any) -> Grant | Refused:
    asked = {
        "client_id": "perf",
        "redirect_uri": LOOPBACK_CALLBACK,
        "verifier": VERIFIER,
        "refresh_token": "refresh-1",
        "now": NOW + 1000,
    }
    return grants.exchange_code(database, code, **(asked | change))


def refresh(database: sqlite3.Connection, token: str, fresh: str, **change: Any) -> Grant | Refused:
    asked: dict[str, Any] = {"client_id": "perf", "scope": None, "now": NOW + 2000}
    return grants.exchange_refresh(database, token, refresh_token=fresh, **(asked | change))


def refused(found: Grant | Refused, reason: str, error: str = "invalid_grant") -> bool:
    assert isinstance(found, Refused), found
    assert found.error == error
    assert reason in found.description
    return True


def test_a_code_is_good_once_and_carries_what_was_asked(database: sqlite3.Connection) -> None:
    found = exchange(database, sign_in(database))
    assert isinstance(found, Grant)
    assert (found.client_id, found.sub, found.scope) == ("perf", "student-0001", "openid email")
    assert (found.nonce, found.signed_in_at) == ("n-1", NOW)


def test_a_code_that_comes_again_revokes_what_came_of_it(database: sqlite3.Connection) -> None:
    exchange(database, sign_in(database))
    assert refused(exchange(database, refresh_token="other"), "used before")
    assert refused(refresh(database, "refresh-1", "refresh-2"), "revoked")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"client_id": "student-pilot"}, "another client"),
        ({"redirect_uri": "http://127.0.0.1:1/callback"}, "redirect_uri"),
        ({"verifier": "w" * 64}, "code_verifier"),
        ({"verifier": challenge_of(VERIFIER)}, "code_verifier"),
        ({"now": NOW + CODE_MS}, "expired"),
    ],
)
def test_a_code_is_refused_with_a_reason(
    database: sqlite3.Connection, change: dict[str, Any], reason: str
) -> None:
    sign_in(database)
    assert refused(exchange(database, **change), reason)
    assert isinstance(exchange(database), Grant), "what was refused did not use the code up"


def test_a_code_lives_until_its_end(database: sqlite3.Connection) -> None:
    sign_in(database)
    assert isinstance(exchange(database, now=NOW + CODE_MS - 1), Grant)


def test_a_code_that_nobody_issued_is_refused(database: sqlite3.Connection) -> None:
    assert refused(exchange(database, "guessed"), "no such code")


def test_a_refresh_token_is_no_code_and_a_code_no_refresh_token(database: sqlite3.Connection) -> None:
    assert refused(refresh(database, sign_in(database), "x"), "no such refresh token")
    exchange(database)
    assert refused(exchange(database, "refresh-1"), "no such code")


def test_a_refresh_token_is_replaced_by_each_use_and_its_grant_goes_on(database: sqlite3.Connection) -> None:
    first = exchange(database, sign_in(database))
    second = refresh(database, "refresh-1", "refresh-2")
    third = refresh(database, "refresh-2", "refresh-3")
    assert isinstance(first, Grant) and isinstance(second, Grant)
    assert second == third == replace(first, nonce=None)


def test_a_refresh_token_that_comes_again_revokes_its_family(database: sqlite3.Connection) -> None:
    exchange(database, sign_in(database))
    refresh(database, "refresh-1", "refresh-2")
    assert refused(refresh(database, "refresh-1", "stolen"), "used before")
    assert refused(refresh(database, "refresh-2", "refresh-3"), "revoked")
    assert refused(refresh(database, "stolen", "x"), "no such")


def test_another_grant_of_the_same_person_is_not_revoked_with_it(database: sqlite3.Connection) -> None:
    exchange(database, sign_in(database, "one"))
    exchange(database, sign_in(database, "two"), refresh_token="of-two")
    assert refused(exchange(database, "one"), "used before")
    assert isinstance(refresh(database, "of-two", "next"), Grant)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_id": "student-pilot"}, "invalid_grant"),
        ({"now": NOW + 1000 + REFRESH_MS}, "invalid_grant"),
        ({"scope": "openid profile"}, "invalid_scope"),
    ],
)
def test_a_refresh_token_is_refused_and_not_used_up(
    database: sqlite3.Connection, change: dict[str, Any], error: str
) -> None:
    exchange(database, sign_in(database))
    assert refused(refresh(database, "refresh-1", "x", **change), "", error)
    assert isinstance(refresh(database, "refresh-1", "refresh-2"), Grant)


def test_a_refresh_may_ask_for_less_and_later_for_all_again(database: sqlite3.Connection) -> None:
    exchange(database, sign_in(database))
    less = refresh(database, "refresh-1", "refresh-2", scope="openid")
    whole = refresh(database, "refresh-2", "refresh-3")
    assert isinstance(less, Grant) and isinstance(whole, Grant)
    assert (less.scope, whole.scope) == ("openid", "openid email")


def test_a_sign_in_ends_once_and_in_time(database: sqlite3.Connection) -> None:
    for name in ("once", "late"):
        grants.begin(database, name, "browser", WANTED, None, NOW)

    def finish(name: str, now: int) -> bool:
        return grants.finish(database, name, WANTED, "student-0001", f"{name} {now}", None, now)

    assert not finish("never begun", NOW)
    assert not finish("late", NOW + SIGN_IN_MS)
    assert finish("once", NOW + SIGN_IN_MS - 1)
    assert not finish("once", NOW + 1)


def test_no_secret_is_kept_as_it_is(database: sqlite3.Connection) -> None:
    exchange(database, sign_in(database, "the-code"), refresh_token="the-refresh-token")
    grants.begin(database, "the-sign-in", "the-browser", WANTED, None, NOW)
    kept = "\n".join(database.iterdump())
    for secret in ("the-code", "the-refresh-token", "the-sign-in", "the-browser"):
        assert secret not in kept
        assert secret.encode().hex() not in kept.lower()


def rows(database: sqlite3.Connection) -> list[int]:
    tables = ("sign_ins", "grants", "credentials")
    return [database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables]


def test_what_has_expired_is_swept_once_a_late_second_use_is_no_matter(database: sqlite3.Connection) -> None:
    grants.begin(database, "left", "browser", WANTED, None, NOW)
    exchange(database, sign_in(database))
    for now, left in (
        (NOW + CODE_MS + 1, [1, 1, 2]),
        (NOW + SIGN_IN_MS + 1, [0, 1, 2]),
        (NOW + CODE_MS + KEPT_MS + 1, [0, 1, 1]),
        (NOW + 1000 + REFRESH_MS + 1, [0, 1, 1]),
        (NOW + 1000 + REFRESH_MS + KEPT_MS + 1, [0, 0, 0]),
    ):
        grants.sweep(database, now)
        assert rows(database) == left, now - NOW


def test_cleaning_up_takes_one_run_or_all_and_leaves_the_seeds(database: sqlite3.Connection) -> None:
    accounts.seed(database, b"seeds", NOW)
    for run_id in ("r1", "r2", None):
        person = accounts.Registration(f"{run_id}@example.test".lower(), "New", "correct horse")
        accounts.add(database, person, b"hash", run_id, NOW)
        exchange(database, sign_in(database, f"code {run_id}", run_id), refresh_token=f"refresh {run_id}")
        grants.begin(database, f"left {run_id}", "browser", WANTED, run_id, NOW)
    of_one = {"accounts": 1, "grants": 1, "credentials": 2, "sign_ins": 1}
    assert grants.clean_up(database, "unknown") == dict.fromkeys(of_one, 0)
    assert grants.clean_up(database, "r1") == of_one
    assert grants.clean_up(database, None) == {name: 2 * count for name, count in of_one.items()}
    assert database.execute("SELECT COUNT(*) FROM accounts").fetchone() == (200,)


def test_discovery_names_the_issuer_in_every_address() -> None:
    document = discovery("http://127.0.0.1:9")
    addresses = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(addresses) == 4
    assert all(address.startswith("http://127.0.0.1:9/oidc/") for address in addresses)
