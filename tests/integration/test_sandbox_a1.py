"""A1 through its public endpoints, by a client that no one here wrote (Authlib), and by what it refuses."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwt
from joserfc.jwk import KeySet

from ecoload.sandbox import Sandbox
from ecoload.sandbox.common.tokens import Signer
from tests.integration.ecosystem import call, fetch, token

CALLBACK = "http://127.0.0.1/callback"
VERIFIER = "v" * 64
EMAIL = "student-0007@example.test"
HIDDEN = re.compile(r'name="sign_in" value="([A-Za-z0-9_-]{43})"')
ASKED = {
    "response_type": "code",
    "client_id": "perf",
    "redirect_uri": CALLBACK,
    "scope": "openid email profile",
    "state": "state-1",
    "nonce": "nonce-1",
    "code_challenge": create_s256_code_challenge(VERIFIER),
    "code_challenge_method": "S256",
}
Answer = tuple[int, Mapping[str, str], bytes]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(apps=("a1",)) as running:
        yield running


@pytest.fixture
def a1(sandbox: Sandbox) -> str:
    return sandbox.urls["a1"]


@pytest.fixture
def password(sandbox: Sandbox) -> str:
    return sandbox.secrets["A1_USER_PASSWORD"]


# --- steps of the flow --------------------------------------


@dataclass(frozen=True)
class Begun:
    """A sign-in under way: the id in the form, the cookie of the browser."""

    sign_in: str
    cookie: dict[str, str]


def ask(a1: str, headers: Mapping[str, str] | None = None, **change: str | None) -> Answer:
    fields = {name: value for name, value in {**ASKED, **change}.items() if value is not None}
    return fetch(f"{a1}/oidc/auth?{urlencode(fields)}", headers=headers)


def begin(a1: str, headers: Mapping[str, str] | None = None, **change: str | None) -> Begun:
    status, got, body = ask(a1, headers, **change)
    assert status == 200, body
    cookie = SimpleCookie(got["Set-Cookie"])
    found = HIDDEN.search(body.decode())
    assert found is not None
    return Begun(found[1], {"Cookie": f"a1_browser={cookie['a1_browser'].value}"})


def post(url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return fetch(url, urlencode(form).encode(), {**kind, **(headers or {})})


def sign_in(a1: str, begun: Begun, password: str, email: str = EMAIL) -> Answer:
    form = {"sign_in": begun.sign_in, "email": email, "password": password}
    return post(f"{a1}/oidc/login", form, begun.cookie)


def register(a1: str, begun: Begun, **fields: str) -> Answer:
    form = {"sign_in": begun.sign_in, "name": "New", "password": "correct horse", **fields}
    return post(f"{a1}/oidc/register", form, begun.cookie)


def returned(answer: Answer) -> dict[str, str]:
    """What stands in the query that the browser is sent back with."""
    status, got, _ = answer
    assert status in (302, 303)
    assert got["Location"].startswith(f"{CALLBACK}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(got["Location"]).query).items()}


def new_code(a1: str, password: str) -> str:
    return returned(sign_in(a1, begin(a1), password))["code"]


def exchange(a1: str, code: str, **change: str | None) -> tuple[int, dict[str, Any]]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "client_id": "perf",
        "code_verifier": VERIFIER,
    }
    return ask_token(a1, {**form, **change})


def refresh(a1: str, refresh_token: str, **change: str | None) -> tuple[int, dict[str, Any]]:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": "perf"}
    return ask_token(a1, {**form, **change})


def ask_token(
    a1: str, form: Mapping[str, str | None], headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    sent = {name: value for name, value in form.items() if value is not None}
    status, got, body = post(f"{a1}/oidc/token", sent, headers)
    assert got["Content-Type"] == "application/json"
    assert got["Cache-Control"] == "no-store"
    document = json.loads(body)
    if status != 200:
        assert set(document) == {"error", "error_description"}
        assert (status == 401) == (document["error"] == "invalid_client") == ("WWW-Authenticate" in got)
    return status, document


def userinfo(a1: str, access_token: str) -> tuple[int, Any]:
    return call(f"{a1}/oidc/userinfo", headers={"Authorization": f"Bearer {access_token}"})


class Form(HTMLParser):
    """The form of a page: where it goes, its fields, and which of its inputs have a label."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lang = ""
        self.action = ""
        self.inputs: dict[str, dict[str, str]] = {}
        self.labelled: set[str] = set()
        self.alerts = 0
        self.headings = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.alerts += found.get("role") == "alert"
        self.headings += tag == "h1"
        if tag == "html":
            self.lang = found["lang"]
        elif tag == "form":
            self.action = found["action"]
        elif tag == "label":
            self.labelled.add(found["for"])
        elif tag == "input":
            self.inputs[found["name"]] = found


# --- by a foreign client --------------------------------------


def metadata(a1: str) -> OpenIDProviderMetadata:
    status, document = call(f"{a1}/.well-known/openid-configuration")
    assert status == 200
    found = OpenIDProviderMetadata(document)
    found.validate()
    assert found["issuer"] == a1
    return found


def checked_id_token(
    found: Mapping[str, Any], tokens: Mapping[str, Any], nonce: str | None
) -> dict[str, Any]:
    """The claims of the ID token, by Authlib's rules and the published keys."""
    _, keys = call(found["jwks_uri"])
    decoded = jwt.decode(tokens["id_token"], KeySet.import_key_set(keys), algorithms=["RS256"])
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        options={
            "iss": {"essential": True, "value": found["issuer"]},
            "aud": {"essential": True, "value": "perf"},
        },
        params={"client_id": "perf", "nonce": nonce, "access_token": tokens["access_token"], "max_age": 60},
    )
    claims.validate(leeway=1)
    assert "at_hash" in claims
    return dict(claims)


def test_a_foreign_client_gets_in_by_discovery_alone_refreshes_and_is_told_who(
    a1: str, password: str
) -> None:
    found = metadata(a1)
    redirect_uri = "http://127.0.0.1:49152/callback"
    with OAuth2Session(
        "perf", scope="openid email profile", redirect_uri=redirect_uri, code_challenge_method="S256"
    ) as session:
        url, state = session.create_authorization_url(
            found["authorization_endpoint"], nonce="of-authlib", code_verifier=VERIFIER
        )
        page = session.get(url, withhold_token=True)
        form = Form(page.text)
        filled = {name: field.get("value", "") for name, field in form.inputs.items()}
        filled |= {"email": EMAIL, "password": password}
        back = session.post(a1 + form.action, data=filled, withhold_token=True, allow_redirects=False)
        assert back.status_code == 303
        location = back.headers["Location"]
        assert parse_qs(urlsplit(location).query)["iss"] == [a1]

        tokens = session.fetch_token(
            found["token_endpoint"], authorization_response=location, state=state, code_verifier=VERIFIER
        )
        claims = checked_id_token(found, tokens, "of-authlib")
        assert claims["sub"] == "student-0007"
        told = session.get(found["userinfo_endpoint"]).json()
        assert told == {
            "sub": "student-0007",
            "email": EMAIL,
            "email_verified": True,
            "name": "Student 0007",
        }

        again = session.refresh_token(found["token_endpoint"])
        assert again["refresh_token"] != tokens["refresh_token"]
        assert again["access_token"] != tokens["access_token"]
        assert checked_id_token(found, again, None)["auth_time"] == claims["auth_time"]
        assert session.get(found["userinfo_endpoint"]).json() == told


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_foreign_service_gets_a_token_in_its_own_name(sandbox: Sandbox, a1: str, method: str) -> None:
    found = metadata(a1)
    secret = sandbox.secrets["A1_CLIENT_SECRET"]
    with OAuth2Session("ecoload", secret, scope="a2 a3", token_endpoint_auth_method=method) as session:
        tokens = session.fetch_token(found["token_endpoint"], grant_type="client_credentials")
    assert (tokens["token_type"], tokens["scope"], tokens["expires_in"]) == ("Bearer", "a2 a3", 300)
    assert "refresh_token" not in tokens and "id_token" not in tokens
    _, keys = call(found["jwks_uri"])
    decoded = jwt.decode(tokens["access_token"], KeySet.import_key_set(keys), algorithms=["RS256"])
    assert decoded.header["typ"] == "at+jwt"
    expected = {"iss": a1, "aud": "ecosystem", "sub": "ecoload", "client_id": "ecoload", "scope": "a2 a3"}
    assert {name: decoded.claims[name] for name in expected} == expected
    assert decoded.claims["exp"] - decoded.claims["iat"] == 300


def test_a_foreign_client_hears_a_refusal_as_oauth_has_it(a1: str) -> None:
    with (
        OAuth2Session("ecoload", "wrong") as session,
        pytest.raises(OAuthError, match="invalid_client"),
    ):
        session.fetch_token(f"{a1}/oidc/token", grant_type="client_credentials")


def test_the_published_keys_are_public(a1: str) -> None:
    _, document = call(f"{a1}/oidc/jwks")
    assert [(key["kty"], key["use"], key["alg"]) for key in document["keys"]] == [("RSA", "sig", "RS256")]
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(document["keys"][0])


# --- the authorization endpoint --------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": "ecoload"},
        {"client_id": "a5"},
        {"redirect_uri": None},
        {"redirect_uri": "http://evil.test/callback"},
        {"redirect_uri": "http://127.0.0.1:80@evil.test/callback"},
        {"redirect_uri": CALLBACK + "/more"},
    ],
)
def test_what_is_wrong_with_client_or_redirect_is_a_page_and_no_redirect(
    a1: str, change: dict[str, str | None]
) -> None:
    status, got, body = ask(a1, **change, response_type="nonsense")
    assert status == 400
    assert got["Content-Type"].startswith("text/html")
    assert "Location" not in got
    assert b'role="alert"' in body


def test_a_client_or_redirect_that_stands_there_twice_is_a_page_too(a1: str) -> None:
    for twice in ({"client_id": "perf"}, {"redirect_uri": CALLBACK}):
        status, got, _ = fetch(f"{a1}/oidc/auth?{urlencode(ASKED)}&{urlencode(twice)}")
        assert (status, "Location" in got) == (400, False)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "email"}, "invalid_scope"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_any_other_error_is_told_to_the_client(a1: str, change: dict[str, str | None], error: str) -> None:
    told = returned(ask(a1, **change))
    assert (told["error"], told["state"], told["iss"]) == (error, "state-1", a1)


def test_a_parameter_that_stands_there_twice_is_told_to_the_client(a1: str) -> None:
    told = returned(fetch(f"{a1}/oidc/auth?{urlencode(ASKED)}&state=other"))
    assert told["error"] == "invalid_request"
    assert "state" not in told


def test_the_request_may_come_by_post(a1: str, password: str) -> None:
    status, _, body = post(f"{a1}/oidc/auth", ASKED)
    assert status == 200
    assert HIDDEN.search(body.decode())


@pytest.mark.parametrize(
    ("prompt", "action", "autocomplete"),
    [
        (None, "/oidc/login", {"email": "username", "password": "current-password"}),
        (
            "create",
            "/oidc/register",
            {"email": "username", "password": "new-password", "name": "name"},
        ),
    ],
)
def test_the_pages_can_be_used_by_anybody_and_embedded_by_nobody(
    a1: str, prompt: str | None, action: str, autocomplete: dict[str, str]
) -> None:
    _, got, body = ask(a1, prompt=prompt)
    form = Form(body.decode())
    assert (form.lang, form.action, form.headings, form.alerts) == ("en", action, 1, 0)
    assert {name: form.inputs[name]["autocomplete"] for name in autocomplete} == autocomplete
    assert {form.inputs[name]["id"] for name in autocomplete} == form.labelled
    assert got["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in got["Content-Security-Policy"]
    cookie = SimpleCookie(got["Set-Cookie"])["a1_browser"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/oidc")


def test_what_people_type_comes_back_escaped(a1: str, password: str) -> None:
    _, _, body = sign_in(a1, begin(a1), "wrong", email='"><script>alert(1)</script>')
    assert b"<script" not in body
    _, _, body = register(a1, begin(a1), email="<b>", name="<script>")
    assert b"<script" not in body and b"<b>" not in body


# --- the forms --------------------------------------


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.test", "", "'; DROP TABLE accounts; --"])
def test_a_wrong_password_and_an_unknown_account_get_the_same_page(a1: str, email: str) -> None:
    begun = begin(a1)
    status, got, body = sign_in(a1, begun, "wrong", email)
    assert (status, "Location" in got) == (403, False)
    form = Form(body.decode())
    assert form.alerts == 1
    assert "value" not in form.inputs["password"]
    assert "The email address or the password is not right." in body.decode()


def test_after_a_wrong_password_the_right_one_still_signs_in(a1: str, password: str) -> None:
    begun = begin(a1)
    sign_in(a1, begun, "wrong")
    told = returned(sign_in(a1, begun, password, EMAIL.upper()))
    assert told["state"] == "state-1"


def test_a_sign_in_is_good_once(a1: str, password: str) -> None:
    begun = begin(a1)
    assert sign_in(a1, begun, password)[0] == 303
    assert sign_in(a1, begun, password)[0] == 400


def test_of_many_posts_of_one_form_at_once_one_signs_in(a1: str, password: str) -> None:
    begun = begin(a1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: sign_in(a1, begun, password)[0], range(8)))
    assert sorted(answers) == [303] + [400] * 7


def test_a_form_counts_only_in_the_browser_that_began_it(a1: str, password: str) -> None:
    begun, other = begin(a1), begin(a1)
    for cookie in ({}, other.cookie, {"Cookie": "a1_browser=x"}, {"Cookie": 'a1_browser="\\'}):
        status, got, _ = sign_in(a1, Begun(begun.sign_in, cookie), password)
        assert (status, "Location" in got) == (400, False)
    assert sign_in(a1, begun, password)[0] == 303


def test_two_tabs_of_one_browser_both_sign_in(a1: str, password: str) -> None:
    first = begin(a1)
    second = begin(a1, first.cookie)
    assert second.cookie == first.cookie
    assert sign_in(a1, first, password)[0] == sign_in(a1, second, password)[0] == 303


@pytest.mark.parametrize("prompt", ["login", "create"])
def test_the_address_a_client_hints_at_is_filled_in_and_escaped(a1: str, prompt: str) -> None:
    for hint, shown in (("new@school.example", "new@school.example"), ('"><b>', "&#34;&gt;&lt;b&gt;")):
        _, _, page = ask(a1, prompt=prompt, login_hint=hint)
        assert f'value="{shown}"' in page.decode()


def test_a_new_account_is_signed_in_at_once_and_again_later(a1: str) -> None:
    email = "new.student@school.example"
    told = returned(register(a1, begin(a1, prompt="create"), email=email, name="New student"))
    _, tokens = exchange(a1, told["code"])
    _, person = userinfo(a1, tokens["access_token"])
    assert (person["email"], person["name"]) == (email, "New student")
    _, later = exchange(a1, returned(sign_in(a1, begin(a1), "correct horse", email))["code"])
    assert userinfo(a1, later["access_token"])[1] == person


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"email": "someone@gmail.com"}, 422, "no real addresses"),
        ({"email": "new@example.test", "password": "short"}, 422, "8 to 128"),
        ({"email": "new@example.test", "name": ""}, 422, "1 to 80"),
        ({"email": EMAIL}, 409, "already"),
    ],
)
def test_a_registration_is_refused_with_a_reason(
    a1: str, fields: dict[str, str], status: int, reason: str
) -> None:
    begun = begin(a1, prompt="create")
    found, got, body = register(a1, begun, **fields)
    assert (found, "Location" in got) == (status, False)
    assert reason in body.decode()
    assert Form(body.decode()).alerts == 1
    assert register(a1, begun, email=f"after-{status}-{len(reason)}@example.test")[0] == 303


def test_of_many_registrations_of_one_address_one_is_kept(a1: str) -> None:
    forms = [begin(a1, prompt="create") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda begun: register(a1, begun, email="same@example.test")[0], forms))
    assert sorted(answers) == [303] + [409] * 7


# --- the token endpoint --------------------------------------


def test_a_code_that_comes_again_revokes_all_that_came_of_it(a1: str, password: str) -> None:
    code = new_code(a1, password)
    _, tokens = exchange(a1, code)
    assert userinfo(a1, tokens["access_token"])[0] == 200
    status, document = exchange(a1, code)
    assert (status, document["error"]) == (400, "invalid_grant")
    assert userinfo(a1, tokens["access_token"])[0] == 401
    assert refresh(a1, tokens["refresh_token"])[1]["error"] == "invalid_grant"


def test_of_many_exchanges_of_one_code_at_once_one_is_answered(a1: str, password: str) -> None:
    code = new_code(a1, password)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: exchange(a1, code)[0], range(8)))
    assert sorted(answers) == [200] + [400] * 7


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_id": "ecoload"}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client"),
        ({"redirect_uri": "http://127.0.0.1:8080/callback"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"code": "x"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ASKED["code_challenge"]}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"code_verifier": None}, "invalid_request"),
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unauthorized_client"),
    ],
)
def test_an_exchange_is_refused_by_its_error(
    a1: str, password: str, change: dict[str, str | None], error: str
) -> None:
    code = new_code(a1, password)
    assert exchange(a1, **({"code": code} | change))[1].get("error") == error
    assert exchange(a1, code)[0] == 200, "what was refused did not use the code up"


def test_a_code_of_another_client_is_refused(sandbox: Sandbox, a1: str, password: str) -> None:
    code = new_code(a1, password)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    service = {"client_id": "ecoload", "client_secret": sandbox.secrets["A1_CLIENT_SECRET"]}
    status, document = ask_token(a1, form | service | {"code_verifier": VERIFIER})
    assert (status, document["error"]) == (400, "unauthorized_client")
    _change(sandbox, "UPDATE grants SET client_id = 'student-pilot'")
    assert "another client" in exchange(a1, code)[1]["error_description"]


def test_an_expired_code_is_refused(sandbox: Sandbox, a1: str, password: str) -> None:
    code = new_code(a1, password)
    _change(sandbox, "UPDATE credentials SET expires_at = 1 + expires_at - 60000 WHERE NOT used")
    assert "expired" in exchange(a1, code)[1]["error_description"]


def test_an_expired_sign_in_is_over(sandbox: Sandbox, a1: str, password: str) -> None:
    begun = begin(a1)
    _change(sandbox, "UPDATE sign_ins SET expires_at = 0")
    assert sign_in(a1, begun, password)[0] == 400


def test_a_refresh_token_that_comes_again_revokes_its_family(a1: str, password: str) -> None:
    _, first = exchange(a1, new_code(a1, password))
    status, second = refresh(a1, first["refresh_token"])
    assert status == 200
    assert refresh(a1, first["refresh_token"])[1]["error"] == "invalid_grant"
    assert refresh(a1, second["refresh_token"])[1]["error"] == "invalid_grant"
    assert userinfo(a1, second["access_token"])[0] == 401


def test_a_refresh_may_ask_for_less_and_not_for_more(a1: str, password: str) -> None:
    _, first = exchange(a1, new_code(a1, password))
    assert refresh(a1, first["refresh_token"], scope="openid a2")[1]["error"] == "invalid_scope"
    _, second = refresh(a1, first["refresh_token"], scope="openid")
    assert second["scope"] == "openid"
    assert userinfo(a1, second["access_token"]) == (200, {"sub": "student-0007"})


def test_a_service_gets_no_scope_that_it_may_not_have(sandbox: Sandbox, a1: str) -> None:
    secret = sandbox.secrets["A1_CLIENT_SECRET"]
    form = {"grant_type": "client_credentials", "client_id": "ecoload", "client_secret": secret}
    assert ask_token(a1, form)[1]["scope"].split(" ")[0] == "a1"
    for scope in ("openid", "a9", "a2 root"):
        assert ask_token(a1, form | {"scope": scope})[1]["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"grant_type": "client_credentials"}', "application/json"),
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"code=%00", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(100)), "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_is_no_form_is_an_invalid_request(a1: str, body: bytes, kind: str) -> None:
    status, got, content = fetch(f"{a1}/oidc/token", body, {"Content-Type": kind})
    assert (status, json.loads(content)["error"]) == (400, "invalid_request")
    assert got["Cache-Control"] == "no-store"


# --- userinfo --------------------------------------


def test_userinfo_trusts_only_a_persons_access_token_of_this_a1(
    sandbox: Sandbox, a1: str, password: str, tmp_path: Any
) -> None:
    _, tokens = exchange(a1, new_code(a1, password))
    own = Signer(sandbox.state / "a1" / "key.pem", a1)
    foreign = Signer(tmp_path / "key.pem", a1)
    elsewhere = Signer(sandbox.state / "a1" / "key.pem", "http://127.0.0.1:1")
    claims = {"sub": "student-0007", "aud": "ecosystem", "scope": "openid", "grant": "x"}
    head, _, signature = tokens["access_token"].rpartition(".")
    for refused in (
        "",
        "x",
        "a.b.c",
        "ü",
        f"{head}.{signature[::-1]}",
        tokens["id_token"],
        tokens["refresh_token"],
        own.sign(claims, "at+jwt", life_s=-60),
        own.sign(claims | {"aud": "perf"}, "at+jwt"),
        own.sign(claims, "at+jwt"),
        own.sign(claims | {"grant": ["x"]}, "JWT"),
        foreign.sign(claims, "at+jwt"),
        elsewhere.sign(claims, "at+jwt"),
    ):
        status, got, _ = fetch(f"{a1}/oidc/userinfo", headers={"Authorization": f"Bearer {refused}"})
        assert (status, got["Content-Type"]) == (401, "application/problem+json"), refused
        assert got["WWW-Authenticate"].startswith("Bearer")
    assert fetch(f"{a1}/oidc/userinfo")[0] == 401
    assert call(f"{a1}/oidc/userinfo", headers=token(sandbox, "a1"))[0] == 403
    assert userinfo(a1, tokens["access_token"])[0] == 200


# --- its life --------------------------------------


def test_cleaning_up_a_run_takes_its_accounts_and_grants_and_no_others(sandbox: Sandbox, a1: str) -> None:
    people = {}
    for run_id in ("run-a", "run-b"):
        begun = begin(a1, {"X-Ecoload-Run": run_id}, prompt="create")
        begun.cookie["X-Ecoload-Run"] = run_id
        _, tokens = exchange(a1, returned(register(a1, begun, email=f"{run_id}@example.test"))["code"])
        people[run_id] = tokens
    url, headers = f"{a1}/test-data?namespace=perf_test&run_id=run-a", token(sandbox, "a1")
    assert call(url, method="DELETE")[0] == 401
    assert call(url, headers=token(sandbox, "a2"), method="DELETE")[0] == 403
    deleted = {"credentials": 2, "grants": 1, "sign_ins": 0, "accounts": 1}
    assert call(url, headers=headers, method="DELETE") == (200, {"deleted": deleted})
    assert userinfo(a1, people["run-a"]["access_token"])[0] == 401
    assert refresh(a1, people["run-a"]["refresh_token"])[0] == 400
    assert sign_in(a1, begin(a1), "correct horse", "run-a@example.test")[0] == 403
    assert userinfo(a1, people["run-b"]["access_token"])[0] == 200


def test_a_crash_loses_no_account_no_grant_and_no_key(a1: str, sandbox: Sandbox, password: str) -> None:
    told = returned(register(a1, begin(a1), email="before.crash@example.test"))
    _, tokens = exchange(a1, told["code"])
    _, keys = call(f"{a1}/oidc/jwks")
    used = new_code(a1, password)
    exchange(a1, used)
    sandbox.kill("a1")
    sandbox.start("a1")
    assert call(f"{a1}/oidc/jwks") == (200, keys)
    assert userinfo(a1, tokens["access_token"])[1]["email"] == "before.crash@example.test"
    assert refresh(a1, tokens["refresh_token"])[0] == 200
    assert exchange(a1, used)[1]["error"] == "invalid_grant"
    assert sign_in(a1, begin(a1), password)[0] == 303


def test_a_kept_state_has_its_accounts_and_key_the_next_time(tmp_path: Any) -> None:
    with Sandbox(apps=("a1",), state=tmp_path / "state") as first:
        a1 = first.urls["a1"]
        told = returned(register(a1, begin(a1), email="kept@example.test"))
        _, tokens = exchange(a1, told["code"])
        _, keys = call(f"{a1}/oidc/jwks")
        old_password = first.secrets["A1_USER_PASSWORD"]
    with Sandbox(apps=("a1",), state=tmp_path / "state") as second:
        a1 = second.urls["a1"]
        assert call(f"{a1}/oidc/jwks") == (200, keys)
        assert sign_in(a1, begin(a1), "correct horse", "kept@example.test")[0] == 303
        assert sign_in(a1, begin(a1), second.secrets["A1_USER_PASSWORD"])[0] == 303
        assert sign_in(a1, begin(a1), old_password)[0] == 403, "secrets are those of a start"
        assert refresh(a1, tokens["refresh_token"])[0] == 200
    assert (tmp_path / "state" / "a1" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_nothing_secret_is_logged_or_kept_as_it_is(tmp_path: Any) -> None:
    with Sandbox(apps=("a1",), state=tmp_path / "state") as running:
        a1, password = running.urls["a1"], running.secrets["A1_USER_PASSWORD"]
        begun = begin(a1)
        sign_in(a1, begun, "a-wrong-password")
        code = returned(sign_in(a1, begun, password))["code"]
        _, tokens = exchange(a1, code)
        exchange(a1, code)
        userinfo(a1, tokens["access_token"] + "x")
        secrets = [begun.sign_in, "a-wrong-password", password, code]
        secrets += [tokens["access_token"], tokens["refresh_token"], running.secrets["A1_CLIENT_SECRET"]]
    for path in (tmp_path / "state" / "a1").iterdir():
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path.name


def test_every_route_has_the_latency_of_its_law(a1: str, password: str) -> None:
    run = {"X-Ecoload-Run": "laws"}
    begun = begin(a1, run)
    begun.cookie.update(run)
    code = returned(sign_in(a1, begun, password))["code"]
    register(a1, Begun("", begun.cookie), email="a@example.test")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    _, tokens = ask_token(a1, form | {"client_id": "perf", "code_verifier": VERIFIER}, run)
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    for path in ("/oidc/userinfo", "/oidc/jwks", "/.well-known/openid-configuration"):
        assert call(a1 + path, headers=run | bearer)[0] == 200
    _, truth = call(f"{a1}/__truth?run_id=laws")
    routes = truth["by_route"]
    assert set(routes) == {"auth", "login", "register", "token", "userinfo", "jwks", "discovery"}
    for name, found in routes.items():
        assert 0 < found["model_ms"]["max"] <= found["latency_ms"]["max"], name


def test_bad_input_is_never_an_error_inside_the_app(a1: str, password: str) -> None:
    junk = ["%", "%ff", "%00", "a=b", "client_id=perf&redirect_uri=%", "client_id[]=perf", "=" * 4000]
    for query in junk:
        assert 400 <= fetch(f"{a1}/oidc/auth?{query}")[0] < 500
    for path in ("login", "register", "token", "auth"):
        for body in (b"", b"%", b"sign_in=%00", b"\xff", b"email=" + b"x" * 60_000, b"x" * 70_000, b"{}"):
            for kind in ("application/x-www-form-urlencoded", "application/json", "multipart/form-data", "x"):
                status, _, content = fetch(f"{a1}/oidc/{path}", body, {"Content-Type": kind})
                assert 400 <= status < 500, (path, body[:20], kind)
                assert b"Traceback" not in content
        if path != "auth":
            assert call(f"{a1}/oidc/{path}")[0] == 405
    begun = begin(a1)
    assert sign_in(a1, begun, "x" * 50_000)[0] == 403
    assert fetch(f"{a1}/healthz")[0] == 200


def _change(sandbox: Sandbox, sql: str) -> None:
    """What would otherwise take its time is done in the database."""
    database = sqlite3.connect(sandbox.state / "a1" / "a1.db", timeout=10)
    with database:
        database.execute(sql)
    database.close()
