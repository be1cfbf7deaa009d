"""A5 through its pages, by a scripted browser, and through its API; with the apps it works with."""

from __future__ import annotations

import itertools
import re
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest

from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import call, eventually, faults, fetch, token

WRITE = "?namespace=perf_test"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(("a1", "a2", "a4", "a5", "a8")) as running:
        yield running


@pytest.fixture(scope="module")
def bearer(sandbox: Sandbox) -> dict[str, str]:
    """The headers of who has a token for all that is asked here."""
    return token(sandbox, "a2 a5 a8")


@pytest.fixture
def a5(sandbox: Sandbox) -> str:
    return sandbox.urls["a5"]


# --- a browser --------------------------------------------------------------------


class Page(HTMLParser):
    """What a person sees of a page: the text of what has an id, the cells of tables, the forms."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.cells: list[str] = []
        self.forms: list[tuple[str, dict[str, str]]] = []
        self._open: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((given["action"], {}))
        elif tag == "input":
            self.forms[-1][1][given["name"]] = given.get("value", "")
        elif tag not in ("meta", "link"):
            self._open.append((tag, given.get("id", "")))
            if tag in ("td", "th"):
                self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag, name in self._open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data
            if tag in ("td", "th"):
                self.cells[-1] += data

    def handle_entityref(self, name: str) -> None:
        raise AssertionError(f"an entity that was not read: {name}")


class Browser(urllib.request.HTTPRedirectHandler):
    """Cookies, forms and redirects, as a browser without scripts has them."""

    def __init__(self, headers: dict[str, str] | None = None) -> None:
        self.jar = CookieJar()
        self.url = ""
        self.status = 0
        self.html = ""
        self.visited: list[str] = []
        self._headers = {"Accept": "text/html,*/*;q=0.8", **(headers or {})}
        self._opener = urllib.request.build_opener(self, urllib.request.HTTPCookieProcessor(self.jar))

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        self.visited.append(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def open(self, url: str, body: bytes | None = None, content_type: str = "") -> Page:
        headers = self._headers | ({"Content-Type": content_type} if content_type else {})
        self.visited.append(url)
        try:
            answer = self._opener.open(urllib.request.Request(url, body, headers), timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.status, self.url, self.html = answer.status, answer.url, answer.read().decode()
            self.headers = answer.headers
        assert "Traceback" not in self.html
        return self.page

    @property
    def page(self) -> Page:
        return Page(self.html)

    def submit(self, action: str, **fields: str) -> Page:
        """Fills a form of the page in and sends it."""
        filled = self._form(action) | fields
        kind = "application/x-www-form-urlencoded"
        return self.open(urljoin(self.url, action), urlencode(filled).encode(), kind)

    def upload(self, name: str, content_type: str, content: bytes) -> Page:
        body, kind = multipart(name, content_type, content, self._form("/documents")["form_token"])
        return self.open(urljoin(self.url, "/documents"), body, kind)

    def cookie(self, name: str) -> Any:
        return next((cookie for cookie in self.jar if cookie.name == name), None)

    def _form(self, action: str) -> dict[str, str]:
        return next(fields for found, fields in self.page.forms if found == action)


def multipart(
    name: str, content_type: str, content: bytes, form_token: str = "", field: str = "document"
) -> tuple[bytes, str]:
    edge = uuid.uuid4().hex
    head = f'--{edge}\r\nContent-Disposition: form-data; name="form_token"\r\n\r\n{form_token}\r\n'
    head += f'--{edge}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
    head += f"Content-Type: {content_type}\r\n\r\n"
    return head.encode() + content + f"\r\n--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


def new_email() -> str:
    return f"student-{next(NUMBERS)}-{uuid.uuid4().hex[:8]}@new.example"


def sign_up(
    a5: str, email: str | None = None, browser: Browser | None = None, name: str = "Ana Test"
) -> Browser:
    """A browser that went from the start to its dashboard."""
    browser, email = browser or Browser(), email or new_email()
    browser.open(f"{a5}/signup")
    browser.submit("/signup", name=name, email=email)
    assert browser.status == 200, browser.html
    browser.submit("/oidc/register", name=name, email=email, password="a good password")
    assert (browser.status, browser.url) == (200, f"{a5}/dashboard"), browser.html
    return browser


def signups(sandbox: Sandbox, bearer: dict[str, str], lineage_id: str) -> list[dict[str, Any]]:
    """The events of a lineage that A2 has."""
    status, found = call(f"{sandbox.urls['a2']}/v1/events?lineage_id={lineage_id}", headers=bearer)
    assert status == 200
    return [event for event in found["events"] if event["kind"] == "signup"]


def in_a8(sandbox: Sandbox, bearer: dict[str, str], lineage_id: str) -> list[str]:
    """The kinds of a lineage's events that A8 shows."""
    url = f"{sandbox.urls['a8']}/api/events?namespace=perf_test&lineage_id={lineage_id}"
    status, found = call(url, headers=bearer)
    assert status == 200
    return [row["kind"] for row in found["rows"]]


# --- signing up ---------------------------------------------------------------------


def test_a_signup_becomes_a_record_and_its_event_reaches_a2_and_a8(
    sandbox: Sandbox, a5: str, bearer: dict[str, str]
) -> None:
    email = new_email()
    texts = sign_up(a5, email, name="Ana <b>Ünal</b>").page.texts
    assert (texts["crm-name"], texts["crm-email"]) == ("Ana <b>Ünal</b>", email)
    status, record = call(f"{a5}/api/crm/{texts['crm-id']}", headers=bearer)
    assert status == 200
    assert record == {
        "crm_id": texts["crm-id"],
        "sub": texts["sub"],
        "name": "Ana <b>Ünal</b>",
        "email": email,
        "lineage_id": texts["lineage-id"],
        "run_id": None,
        "at": record["at"],
    }
    lineage = texts["lineage-id"]
    assert call(f"{a5}/api/crm?lineage_id={lineage}", headers=bearer) == (200, {"records": [record]})
    eventually(lambda: len(signups(sandbox, bearer, lineage)), 1)
    (event,) = signups(sandbox, bearer, lineage)
    assert (event["app"], event["data"]) == ("a5", {"user": record["sub"], "crm_id": record["crm_id"]})
    eventually(lambda: in_a8(sandbox, bearer, lineage), ["signup"])


def test_a_lineage_and_a_run_given_at_the_start_go_through_to_the_end(
    sandbox: Sandbox, a5: str, bearer: dict[str, str]
) -> None:
    given = {"X-Lineage-Id": f"lineage-{uuid.uuid4().hex}", "X-Ecoload-Run": "signup-run"}
    texts = sign_up(a5, browser=Browser(given)).page.texts
    assert texts["lineage-id"] == given["X-Lineage-Id"]
    eventually(lambda: [e["run_id"] for e in signups(sandbox, bearer, texts["lineage-id"])], ["signup-run"])


def test_the_way_to_a1_is_that_of_the_standard(sandbox: Sandbox, a5: str) -> None:
    status, headers, _ = fetch(f"{a5}/login")
    assert status == 303
    way = headers["Location"]
    assert way.startswith(f"{sandbox.urls['a1']}/oidc/auth?")
    for part in (
        "response_type=code",
        "client_id=student-pilot",
        "code_challenge_method=S256",
        "scope=openid",
    ):
        assert part in way
    assert "prompt=" not in way
    browser = Browser()
    browser.open(f"{a5}/signup")
    browser.submit("/signup", name="Ana", email="ana@new.example")
    (asked,) = [url for url in browser.visited if "/oidc/auth?" in url]
    assert "prompt=create" in asked
    assert "login_hint=ana%40new.example" in asked


def test_logging_in_again_makes_no_second_record(sandbox: Sandbox, a5: str, bearer: dict[str, str]) -> None:
    email = new_email()
    browser = sign_up(a5, email)
    first = browser.page.texts
    browser.submit("/logout")
    assert browser.url == f"{a5}/"
    assert browser.cookie("a5_session") is None
    browser.open(f"{a5}/dashboard")
    assert browser.url.startswith(sandbox.urls["a1"])
    browser.submit("/oidc/login", email=email, password="a good password")
    again = browser.page.texts
    assert (again["crm-id"], again["lineage-id"]) == (first["crm-id"], first["lineage-id"])
    eventually(lambda: len(signups(sandbox, bearer, first["lineage-id"])), 1)


def test_a_logout_ends_the_session_itself(a5: str) -> None:
    browser = sign_up(a5)
    session = browser.cookie("a5_session").value
    assert fetch(f"{a5}/dashboard", headers={"Cookie": f"a5_session={session}"})[0] == 200
    browser.submit("/logout")
    assert fetch(f"{a5}/dashboard", headers={"Cookie": f"a5_session={session}"})[0] == 303


def test_a_restart_keeps_sessions_and_records(a5: str, sandbox: Sandbox) -> None:
    browser = sign_up(a5)
    before = browser.page.texts
    sandbox.kill("a5")
    sandbox.start("a5")
    assert browser.open(f"{a5}/dashboard").texts["crm-id"] == before["crm-id"]


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(a5: str) -> None:
    browser = sign_up(a5)
    for name in ("a5_session", "a5_browser"):
        cookie = browser.cookie(name)
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite") == "Lax"


def test_pages_run_no_scripts(a5: str) -> None:
    browser = sign_up(a5)
    for path in ("/", "/dashboard", "/documents"):
        browser.open(a5 + path)
        assert "script-src 'self'" in browser.headers["Content-Security-Policy"]
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", browser.html)


# --- what goes wrong on the way --------------------------------------------------------


def callback_of(browser: Browser) -> str:
    (callback,) = [url for url in browser.visited if "/callback?" in url]
    return callback


def test_a_callback_counts_once(a5: str) -> None:
    browser = sign_up(a5)
    page = browser.open(callback_of(browser))
    assert browser.status == 400
    assert "used before" in page.texts["detail"]


def test_a_sign_in_is_finished_by_the_browser_that_began_it(sandbox: Sandbox, a5: str) -> None:
    mine, theirs = Browser(), Browser()
    for browser in (mine, theirs):
        browser.open(f"{a5}/login")
    (asked,) = [url for url in mine.visited if "/oidc/auth?" in url]
    state = re.search(r"[?&]state=([^&]+)", asked)
    assert state is not None
    theirs.open(f"{a5}/callback?code=x&state={state[1]}")
    assert theirs.status == 400
    assert theirs.cookie("a5_session") is None
    # The attempt cost the one who began nothing.
    mine.submit(
        "/oidc/login", email="student-0003@example.test", password=sandbox.secrets["A1_USER_PASSWORD"]
    )
    assert (mine.status, mine.url) == (200, f"{a5}/dashboard")


def test_a_code_of_another_sign_in_is_refused(sandbox: Sandbox, a5: str) -> None:
    """PKCE: who smuggles its own code into another's sign-in gets nothing."""

    class Stopping(Browser):
        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            if "/callback?" in newurl:
                self.visited.append(newurl)
                return None
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    attacker, victim = Stopping(), Browser()
    attacker.open(f"{a5}/login")
    attacker.submit(
        "/oidc/login", email="student-0004@example.test", password=sandbox.secrets["A1_USER_PASSWORD"]
    )
    code = re.search(r"[?&]code=([^&]+)", callback_of(attacker))
    victim.open(f"{a5}/login")
    state = re.search(r"[?&]state=([^&]+)", victim.visited[-1])
    assert code is not None and state is not None
    answered = {"code": code[1], "state": state[1], "iss": sandbox.urls["a1"]}
    page = victim.open(f"{a5}/callback?{urlencode(answered)}")
    assert victim.status == 400
    assert "A1 did not accept this sign-in" in page.texts["detail"]
    assert victim.cookie("a5_session") is None


@pytest.mark.parametrize(
    ("answered", "detail"),
    [
        ({"error": "access_denied"}, "A1 did not sign you in"),
        ({"code": "x"}, "A1 did not accept this sign-in"),
        ({"code": ""}, "A1 gave no code"),
        ({"code": "x" * 3000}, "A1 gave no code"),
        ({"code": "x", "iss": "http://evil.example"}, "does not come from A1"),
        ({"code": "x", "iss": ""}, "does not come from A1"),
    ],
)
def test_an_answer_of_a1_that_is_none_ends_in_a_page_that_says_so(
    sandbox: Sandbox, a5: str, answered: dict[str, str], detail: str
) -> None:
    browser = Browser()
    browser.open(f"{a5}/login")
    state = re.search(r"[?&]state=([^&]+)", browser.visited[-1])
    assert state is not None
    query = {"state": state[1], "iss": sandbox.urls["a1"]} | answered
    page = browser.open(f"{a5}/callback?{urlencode(query)}")
    assert browser.status == 400
    assert detail in page.texts["detail"]
    assert browser.cookie("a5_session") is None


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=x", "?code=x&state=%ff%00", "?state=a&state=b&code=x"]
)
def test_a_callback_out_of_nowhere_is_a_page_for_browsers_and_a_problem_for_others(
    a5: str, query: str
) -> None:
    browser = Browser()
    browser.open(f"{a5}/callback{query}")
    assert (browser.status, browser.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert call(f"{a5}/callback{query}")[0] == 400


def test_a_form_counts_only_from_a_page_of_this_browser(a5: str) -> None:
    mine, other = sign_up(a5), sign_up(a5)
    stolen = other.page.forms[0][1]["form_token"]
    for action, fields in (("/signup", {"name": "Ana", "email": "a@new.example"}), ("/logout", {})):
        for form_token in ("", "x", "gu\u00e9ss", stolen):
            mine.open(
                f"{a5}{action}",
                urlencode(fields | {"form_token": form_token}).encode(),
                "application/x-www-form-urlencoded",
            )
            assert mine.status == 403
    body, kind = multipart("a.txt", "text/plain", b"text", stolen)
    mine.open(f"{a5}/documents", body, kind)
    assert mine.status == 403
    assert "crm-id" in mine.open(f"{a5}/dashboard").texts


def test_a_signup_that_is_not_right_is_shown_again_with_what_is_wrong(a5: str) -> None:
    browser = Browser()
    browser.open(f"{a5}/signup")
    page = browser.submit("/signup", name='"><script>', email="nobody")
    assert browser.status == 422
    assert "must be an email address" in page.texts["email-wrong"]
    assert "name-wrong" not in page.texts
    assert page.forms[0][1]["name"] == '"><script>'
    assert "<script>" not in browser.html


def test_without_a_record_the_flow_is_seen_to_fail(sandbox: Sandbox, a5: str, bearer: dict[str, str]) -> None:
    email, lineage = new_email(), f"silent-{uuid.uuid4().hex}"
    with faults(sandbox, "a5", crm_silent=1):
        browser = sign_up(a5, email, Browser({"X-Lineage-Id": lineage}))
    assert "crm-id" not in browser.page.texts
    assert "There is no CRM record" in browser.page.texts["no-record"]
    assert call(f"{a5}/api/crm?lineage_id={lineage}", headers=bearer) == (200, {"records": []})
    # What comes after it arrives, so it was not on its way.
    later = sign_up(a5).page.texts["lineage-id"]
    eventually(lambda: len(signups(sandbox, bearer, later)), 1)
    assert signups(sandbox, bearer, lineage) == []


def test_without_a1_nobody_can_sign_in_and_the_page_says_so() -> None:
    with Sandbox(("a5",)) as alone:
        a5 = alone.urls["a5"]
        browser = Browser()
        browser.open(f"{a5}/signup")
        page = browser.submit("/signup", name="Ana", email="ana@new.example")
        assert browser.status == 503
        assert "no identity provider" in page.texts["detail"]
        status, health = call(f"{a5}/healthz")
        assert (status, health["checks"]["absent"]) == (200, ["a1", "a2", "a4", "a8"])
        # There is no identity to trust, so the API is for everybody; and what cannot be sent is kept.
        assert call(f"{a5}/api/telemetry{WRITE}", {"name": "x"})[0] == 202
        assert call(f"{a5}/healthz")[1]["checks"]["outbox_pending"] == 1


# --- documents ---------------------------------------------------------------------------


def upload(a5: str, bearer: dict[str, str], content: bytes = b"An essay", **headers: str) -> dict[str, Any]:
    sent = bearer | {"Content-Type": "text/plain"} | headers
    status, document = call(f"{a5}/api/documents{WRITE}&name=essay.txt", content, sent)
    assert status == 202
    return dict(document)


def outcome(a5: str, bearer: dict[str, str], document_id: str) -> str | None:
    found = call(f"{a5}/api/documents/{document_id}", headers=bearer)[1]["outcome"]
    return str(found) if found else None


def test_a_document_handed_in_by_the_page_gets_an_outcome_that_a8_hears_of(
    sandbox: Sandbox, a5: str, bearer: dict[str, str]
) -> None:
    browser = sign_up(a5)
    browser.open(f"{a5}/documents")
    page = browser.upload("<i>cv &amp; ü.png", "image/png", PNG)
    assert (browser.status, browser.url) == (200, f"{a5}/documents")
    head, (name, status, found, size, document_id, lineage) = page.cells[:6], page.cells[6:]
    assert head[0] == "Name"
    assert (name, size) == ("<i>cv &amp; ü.png", str(len(PNG)))
    if status == "pending":  # a busy machine
        eventually(lambda: outcome(a5, bearer, document_id) is not None, True)
        found = browser.open(f"{a5}/documents").cells[8]
    assert found in ("eligible", "review")
    assert document_id in browser.open(f"{a5}/dashboard").cells
    eventually(lambda: in_a8(sandbox, bearer, lineage), ["document_processed"])


def test_a_document_by_the_api_is_pending_first_and_then_assessed_once(
    sandbox: Sandbox, a5: str, bearer: dict[str, str]
) -> None:
    lineage = f"doc-{uuid.uuid4().hex}"
    document = upload(a5, bearer, **{"X-Lineage-Id": lineage, "X-Ecoload-Run": "docs"})
    assert (document["status"], document["outcome"], document["lineage_id"]) == ("pending", None, lineage)
    assert (document["name"], document["size"], len(document["sha256"])) == ("essay.txt", 8, 64)
    eventually(lambda: outcome(a5, bearer, document["document_id"]) is not None, True)
    _, processed = call(f"{a5}/api/documents/{document['document_id']}", headers=bearer)
    assert (processed["status"], processed["tries"]) == ("processed", 1)
    assert processed["tokens"] > 0
    eventually(lambda: in_a8(sandbox, bearer, lineage), ["document_processed"])
    _, found = call(f"{sandbox.urls['a2']}/v1/events?lineage_id={lineage}", headers=bearer)
    assert [event["data"] for event in found["events"]] == [
        {name: processed[name] for name in ("document_id", "outcome", "tokens")}
    ]
    assert found["events"][0]["run_id"] == "docs"


def test_the_same_document_has_the_same_outcome(a5: str, bearer: dict[str, str]) -> None:
    body, kind = multipart("essay.txt", "text/plain", b"An essay")
    twins = [upload(a5, bearer), call(f"{a5}/api/documents{WRITE}", body, bearer | {"Content-Type": kind})[1]]
    for twin in twins:
        eventually(lambda twin=twin: outcome(a5, bearer, twin["document_id"]) is not None, True)
    assert len({twin["sha256"] for twin in twins}) == 1
    assert len({outcome(a5, bearer, twin["document_id"]) for twin in twins}) == 1


def test_while_a4_is_away_a_document_is_pending_and_then_assessed_once(
    sandbox: Sandbox, a5: str, bearer: dict[str, str]
) -> None:
    browser = sign_up(a5)
    sandbox.kill("a4")
    try:
        browser.open(f"{a5}/documents")
        page = browser.upload("later.txt", "text/plain", b"later")
        assert browser.status == 200
        assert page.cells[7:9] == ["pending", "not yet"]
        assert "still pending" in browser.html
        document_id, lineage = page.cells[10:12]
        sandbox.kill("a5")  # neither does a crash lose it
        sandbox.start("a5")
        assert call(f"{a5}/healthz")[1]["checks"]["documents_pending"] == 1
    finally:
        sandbox.start("a4")
    eventually(lambda: outcome(a5, bearer, document_id) is not None, True, within_s=40)
    eventually(lambda: in_a8(sandbox, bearer, lineage), ["document_processed"])


BAD_DOCUMENTS = [
    ("a.html", "text/html", b"<p>", 415),
    ("a.txt", "text/plain", b"", 422),
    ("a.txt", "text/plain", b"\xff\xfe\x00", 422),
    ("a.pdf", "application/pdf", PNG, 422),
    ("a.png", "image/png", b"%PDF-1.7", 422),
    ("../../a.txt", "text/plain", b"x", 422),
    ("x" * 121, "text/plain", b"x", 422),
    ("a.txt", "text/plain", b"x" * (256 * 1024 + 1), 413),
    ("a.txt", "text/plain", b"x" * 1_000_000, 413),
]


@pytest.mark.parametrize(("name", "kind", "content", "status"), BAD_DOCUMENTS)
def test_what_cannot_be_accepted_is_refused_by_page_and_api(
    a5: str, bearer: dict[str, str], name: str, kind: str, content: bytes, status: int
) -> None:
    browser = sign_up(a5)
    browser.open(f"{a5}/documents")
    browser.upload(name, kind, content)
    assert (browser.status, "<h1>" in browser.html) == (status, True)
    assert browser.open(f"{a5}/documents").cells == []
    body, content_type = multipart(name, kind, content)
    assert call(f"{a5}/api/documents{WRITE}", body, bearer | {"Content-Type": content_type})[0] == status


def test_the_largest_document_is_accepted(a5: str, bearer: dict[str, str]) -> None:
    content = b"x" * 256 * 1024
    assert upload(a5, bearer, content)["size"] == len(content)
    body, kind = multipart("big.txt", "text/plain", content)
    assert call(f"{a5}/api/documents{WRITE}", body, bearer | {"Content-Type": kind})[0] == 202


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "multipart/form-data", 400),
        (b"", "multipart/form-data; boundary=x", 400),
        (b"garbage", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
            400,
        ),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
        (multipart("a", "text/plain", b"x", field="other")[0], None, 422),
        (
            b'--x\r\nContent-Disposition: form-data; name="document"\r\n\r\na\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            422,
        ),
        (b"x", "multipart/form-data; boundary=" + "y" * 200, 400),
        (b"x", "application/json", 415),
        (b"x", "\u00fc", 415),
    ],
)
def test_a_body_that_is_no_form_is_a_problem(
    a5: str, bearer: dict[str, str], body: bytes, kind: str | None, status: int
) -> None:
    if kind is None:
        edge = body[2:].partition(b"\r\n")[0].decode()
        kind = f"multipart/form-data; boundary={edge}"
    found, problem = call(f"{a5}/api/documents{WRITE}", body, bearer | {"Content-Type": kind})
    assert (found, problem["status"]) == (status, status)


def test_two_files_are_one_too_many(a5: str, bearer: dict[str, str]) -> None:
    part = 'Content-Disposition: form-data; name="document"; filename="a"\r\n'
    part += "Content-Type: text/plain\r\n\r\nx\r\n"
    body = f"--x\r\n{part}--x\r\n{part}--x--\r\n".encode()
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert call(f"{a5}/api/documents{WRITE}", body, bearer | kind)[0] == 422


def test_who_is_not_signed_in_uploads_nothing(a5: str) -> None:
    body, kind = multipart("a.txt", "text/plain", b"x")
    assert call(f"{a5}/documents", body, {"Content-Type": kind})[0] == 403


# --- payments ---------------------------------------------------------------------------------


def stripe(
    a5: str,
    bearer: dict[str, str],
    path: str,
    form: dict[str, str] | None = None,
    query: str = WRITE,
    **headers: str,
) -> tuple[int, Any]:
    """One request to the mock provider; with a form it is a POST."""
    if form is None:
        return call(f"{a5}/mock/stripe/v1/{path}", headers=bearer | headers)
    return call(f"{a5}/mock/stripe/v1/{path}{query}", headers=bearer | headers, form=form, method="POST")


def intent_form(customer: str = "cus_test_0001", amount: str = "1999") -> dict[str, str]:
    return {"amount": amount, "currency": "usd", "customer": customer, "metadata[order]": "o-1"}


def figures(a5: str, bearer: dict[str, str], run_id: str) -> tuple[int, int, int]:
    _, found = call(f"{a5}/api/payments/attempts?run_id={run_id}", headers=bearer)
    return found["attempts"], found["refused"], found["charged_cents"]


def test_the_configuration_is_live_with_a_mock_provider_and_public(a5: str) -> None:
    status, config = call(f"{a5}/api/payments/config")
    assert status == 200
    assert (config["mode"], config["livemode"], config["test_customers_only"]) == ("live", True, True)
    assert config["publishable_key"].startswith("pk_live_mock_")


def test_a_test_customers_payment_is_simulated_recorded_and_charges_nothing(
    a5: str, bearer: dict[str, str]
) -> None:
    run = {"X-Ecoload-Run": f"pay-{uuid.uuid4().hex}"}
    status, customer = stripe(
        a5, bearer, "customers", {"name": "Ana", "email": "a@x.example", "metadata[test]": "true"}, **run
    )
    assert (status, customer["object"], customer["livemode"]) == (200, "customer", True)
    assert stripe(a5, bearer, f"customers/{customer['id']}") == (200, customer)
    for amount in ("50", "51", "333", "1999", "99999999"):
        status, intent = stripe(a5, bearer, "payment_intents", intent_form(customer["id"], amount), **run)
        assert (status, intent["amount"], intent["status"]) == (200, int(amount), "requires_confirmation")
        status, confirmed = stripe(a5, bearer, f"payment_intents/{intent['id']}/confirm", {}, **run)
        assert (status, confirmed["status"], confirmed["amount_received"]) == (200, "succeeded", 0)
        assert stripe(a5, bearer, f"payment_intents/{intent['id']}") == (200, confirmed)
    _, attempts = call(f"{a5}/api/payments/attempts?run_id={run['X-Ecoload-Run']}", headers=bearer)
    assert (attempts["attempts"], attempts["refused"], attempts["charged_cents"]) == (5, 0, 0)
    assert [item["amount_cents"] for item in attempts["items"]] == [99999999, 1999, 333, 51, 50]
    assert {item["outcome"] for item in attempts["items"]} == {"blocked_live_mode"}
    _, summary = call(f"{a5}/api/payments/summary?run_id={run['X-Ecoload-Run']}", headers=bearer)
    assert (summary["livemode"], summary["simulated"], summary["charged_cents"]) == (True, 5, 0)


@pytest.mark.parametrize("customer", ["cus_live_0001", "cus_unknown"])
def test_any_other_customer_is_refused_and_the_attempt_recorded(
    a5: str, bearer: dict[str, str], customer: str
) -> None:
    run = {"X-Ecoload-Run": f"refused-{uuid.uuid4().hex}"}
    status, problem = stripe(a5, bearer, "payment_intents", intent_form(customer), **run)
    assert (status, problem["title"]) == (402, "Payment Required")
    assert "decline_code: test_customers_only" in problem["errors"]
    assert figures(a5, bearer, run["X-Ecoload-Run"]) == (1, 1, 0)
    assert stripe(a5, bearer, "customers", {"name": "Real"}, **run)[0] == 402


@pytest.mark.parametrize(
    "amount", ["", "49", "-100", "10.5", "1e3", "100000000", "ten", "\u0661\u0660\u0660"]
)
def test_an_awkward_amount_is_a_problem_and_no_attempt(a5: str, bearer: dict[str, str], amount: str) -> None:
    run = {"X-Ecoload-Run": f"awkward-{uuid.uuid4().hex}"}
    status, problem = stripe(a5, bearer, "payment_intents", intent_form(amount=amount), **run)
    assert status == 422
    assert problem["errors"][0].startswith("amount")
    assert figures(a5, bearer, run["X-Ecoload-Run"]) == (0, 0, 0)


def test_twenty_confirmations_at_once_with_one_key_are_one_attempt(a5: str, bearer: dict[str, str]) -> None:
    run = {"X-Ecoload-Run": f"once-{uuid.uuid4().hex}", "Idempotency-Key": uuid.uuid4().hex}
    _, intent = stripe(a5, bearer, "payment_intents", intent_form())

    def confirm(_: int) -> tuple[int, Any]:
        return stripe(a5, bearer, f"payment_intents/{intent['id']}/confirm", {}, **run)

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(confirm, range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 200
    assert figures(a5, bearer, run["X-Ecoload-Run"]) == (1, 0, 0)
    status, _ = stripe(a5, bearer, f"payment_intents/{intent['id']}/confirm", {})
    assert status == 409


def test_a_key_with_another_request_is_a_conflict(a5: str, bearer: dict[str, str]) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = stripe(a5, bearer, "payment_intents", intent_form(), **key)
    assert stripe(a5, bearer, "payment_intents", intent_form(), **key) == first
    assert stripe(a5, bearer, "payment_intents", intent_form(amount="2000"), **key)[0] == 409
    assert stripe(a5, bearer, "customers", {"metadata[test]": "true"}, **key)[0] == 409


def test_charges_are_listed_page_by_page_newest_first(a5: str, bearer: dict[str, str]) -> None:
    for _ in range(3):
        stripe(a5, bearer, "payment_intents", intent_form("cus_live_0002"))
    status, page = stripe(a5, bearer, "charges?limit=2")
    assert (status, page["object"], page["has_more"], len(page["data"])) == (200, "list", True, 2)
    _, following = stripe(a5, bearer, f"charges?limit=100&starting_after={page['data'][-1]['id']}")
    assert not {charge["id"] for charge in page["data"]} & {charge["id"] for charge in following["data"]}
    assert all(not charge["captured"] for charge in following["data"])


def test_the_record_of_attempts_outlives_a_crash(sandbox: Sandbox, a5: str, bearer: dict[str, str]) -> None:
    run = {"X-Ecoload-Run": f"crash-{uuid.uuid4().hex}"}
    stripe(a5, bearer, "payment_intents", intent_form("cus_live_0001"), **run)
    sandbox.kill("a5")
    sandbox.start("a5")
    assert figures(a5, bearer, run["X-Ecoload-Run"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("customers/cus_none", 404),
        ("customers/%00", 404),
        ("payment_intents/pi_none", 404),
        ("charges?limit=0", 400),
        ("charges?limit=101", 400),
        ("charges?limit=x", 400),
        ("charges?starting_after=ch_none", 404),
        ("refunds", 404),
    ],
)
def test_what_is_not_there_is_a_problem(a5: str, bearer: dict[str, str], path: str, status: int) -> None:
    assert stripe(a5, bearer, path)[0] == status


def test_confirming_takes_nothing_and_finds_what_there_is(a5: str, bearer: dict[str, str]) -> None:
    _, intent = stripe(a5, bearer, "payment_intents", intent_form())
    assert stripe(a5, bearer, f"payment_intents/{intent['id']}/confirm", {"amount": "1"})[0] == 422
    assert stripe(a5, bearer, "payment_intents/pi_none/confirm", {})[0] == 404
    url = f"{a5}/mock/stripe/v1/payment_intents/{intent['id']}/confirm{WRITE}"
    assert call(url, headers=bearer, method="POST")[0] == 200  # a body that is empty needs no type


# --- telemetry -----------------------------------------------------------------------------------


def test_telemetry_is_confirmed_when_a8_shows_it(sandbox: Sandbox, a5: str, bearer: dict[str, str]) -> None:
    run_id = f"telemetry-{uuid.uuid4().hex}"
    status_of_run = f"{a5}/api/telemetry/status?run_id={run_id}"
    assert call(status_of_run, headers=bearer)[1]["confirmed_within_60s"] is None
    sent = [
        call(f"{a5}/api/telemetry{WRITE}", document, bearer | {"X-Ecoload-Run": run_id})
        for document in ({"name": "page_view"}, {"name": "score", "value": 4.5, "state": "CA"})
    ]
    assert [status for status, _ in sent] == [202, 202]
    eventually(lambda: call(status_of_run, headers=bearer)[1]["confirmed"], 2)
    _, found = call(status_of_run, headers=bearer)
    assert (found["sent"], found["watched"], found["confirmed_within_60s"]) == (2, 2, True)
    assert (found["oldest_unconfirmed_s"], found["visible_within_ms"]["max"] < 60_000) == (None, True)
    lineage = sent[1][1]["lineage_id"]
    assert in_a8(sandbox, bearer, lineage) == ["student_telemetry"]
    _, events = call(f"{sandbox.urls['a2']}/v1/events?lineage_id={lineage}", headers=bearer)
    (event,) = events["events"]
    assert (event["event_id"], event["state"]) == (sent[1][1]["event_id"], "CA")
    assert event["data"] == {"name": "score", "value": 4.5}


def test_telemetry_that_a8_does_not_show_is_not_confirmed(
    sandbox: Sandbox, a5: str, bearer: dict[str, str]
) -> None:
    runs = [f"stale-{uuid.uuid4().hex}" for _ in range(2)]
    with faults(sandbox, "a8", stale_telemetry_s=3600):
        call(f"{a5}/api/telemetry{WRITE}", {"name": "x"}, bearer | {"X-Ecoload-Run": runs[0]})
        eventually(lambda: call(f"{a5}/healthz")[1]["checks"]["outbox_pending"], 0)
        stale = f"{a5}/api/telemetry/status?run_id={runs[0]}"
        eventually(lambda: call(stale, headers=bearer)[1]["oldest_unconfirmed_s"] > 3, True)
        found = call(stale, headers=bearer)[1]
        assert (found["sent"], found["confirmed"], found["confirmed_within_60s"]) == (1, 0, None)
    # Seen again, it is confirmed: the watcher had not given it up.
    eventually(lambda: call(stale, headers=bearer)[1]["confirmed"], 1)


def test_telemetry_that_a2_loses_stays_unconfirmed(sandbox: Sandbox, a5: str, bearer: dict[str, str]) -> None:
    run = {"X-Ecoload-Run": f"lost-{uuid.uuid4().hex}"}
    status_of_run = f"{a5}/api/telemetry/status?run_id={run['X-Ecoload-Run']}"
    with faults(sandbox, "a2", lose_events=1):
        call(f"{a5}/api/telemetry{WRITE}", {"name": "x"}, bearer | run)
        eventually(lambda: call(f"{a5}/healthz")[1]["checks"]["outbox_pending"], 0)
    call(f"{a5}/api/telemetry{WRITE}", {"name": "x"}, bearer | run)
    eventually(lambda: call(status_of_run, headers=bearer)[1]["confirmed"], 1)
    assert call(status_of_run, headers=bearer)[1]["sent"] == 2


def test_no_more_than_a_sample_is_watched(a5: str, bearer: dict[str, str]) -> None:
    run = {"X-Ecoload-Run": f"many-{uuid.uuid4().hex}"}
    with ThreadPoolExecutor(8) as threads:
        url = f"{a5}/api/telemetry{WRITE}"
        answers = list(
            threads.map(lambda n: call(url, {"name": "x", "value": n}, bearer | run)[0], range(60))
        )
    assert answers == [202] * 60
    url = f"{a5}/api/telemetry/status?run_id={run['X-Ecoload-Run']}"
    eventually(lambda: call(url, headers=bearer)[1]["oldest_unconfirmed_s"], None)
    found = call(url, headers=bearer)[1]
    assert found["sent"] == 60
    assert found["watched"] == found["confirmed"] > 0


# --- the API as a whole -----------------------------------------------------------------------------

PROTECTED = [
    ("GET", "/api/crm?lineage_id=x"),
    ("GET", "/api/crm/x"),
    ("POST", "/api/documents"),
    ("GET", "/api/documents/x"),
    ("POST", "/api/telemetry"),
    ("GET", "/api/telemetry/status"),
    ("GET", "/api/payments/attempts"),
    ("GET", "/api/payments/summary"),
    ("GET", "/mock/stripe/v1/account"),
    ("POST", "/mock/stripe/v1/customers"),
    ("GET", "/mock/stripe/v1/customers/cus_test_0001"),
    ("POST", "/mock/stripe/v1/payment_intents"),
    ("GET", "/mock/stripe/v1/payment_intents/x"),
    ("POST", "/mock/stripe/v1/payment_intents/x/confirm"),
    ("GET", "/mock/stripe/v1/charges"),
    ("DELETE", "/test-data?namespace=perf_test"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_the_api_wants_a_token_for_this_app(sandbox: Sandbox, a5: str, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer a.b.c"}):
        assert call(a5 + path, headers=headers, method=method)[0] == 401
    assert call(a5 + path, headers=token(sandbox, "a2"), method=method)[0] == 403


@pytest.mark.parametrize("query", ["", "?namespace=production", "?namespace=perf_test&namespace=perf_test"])
def test_a_write_outside_of_the_namespace_is_refused(a5: str, bearer: dict[str, str], query: str) -> None:
    assert call(f"{a5}/api/telemetry{query}", {"name": "x"}, bearer)[0] == 422
    assert call(f"{a5}/api/documents{query}", b"x", bearer | {"Content-Type": "text/plain"})[0] == 422
    assert stripe(a5, bearer, "payment_intents", intent_form(), query)[0] == 422
    assert stripe(a5, bearer, "customers", {"metadata[test]": "true"}, query)[0] == 422


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", f"/api/telemetry{WRITE}", b"", {}, 400),
        ("POST", f"/api/telemetry{WRITE}", b"[]", {}, 422),
        ("POST", f"/api/telemetry{WRITE}", b"{}", {}, 422),
        ("POST", f"/api/telemetry{WRITE}", b'{"name":"x"}', {"Content-Type": "text/html"}, 415),
        ("POST", f"/api/telemetry{WRITE}", b'{"name":"x"}', {"X-Lineage-Id": "a b"}, 422),
        ("POST", f"/api/telemetry{WRITE}", b'{"name":"' + b"x" * 70_000 + b'"}', {}, 413),
        ("POST", f"/mock/stripe/v1/customers{WRITE}", b"{}", {}, 415),
        (
            "POST",
            f"/mock/stripe/v1/customers{WRITE}",
            b"\xff",
            {"Content-Type": "application/x-www-form-urlencoded"},
            400,
        ),
        (
            "POST",
            f"/mock/stripe/v1/payment_intents{WRITE}",
            b"amount=1&amount=2",
            {"Content-Type": "application/x-www-form-urlencoded"},
            422,
        ),
        ("GET", "/api/crm", None, {}, 422),
        ("GET", "/api/crm?lineage_id=a%20b", None, {}, 422),
        ("GET", "/api/crm/none", None, {}, 404),
        ("GET", "/api/documents/%ff", None, {}, 404),
        ("GET", "/api/payments/attempts?run_id=%ff%00", None, {}, 200),
        ("GET", "/api/telemetry/status?run_id=%ff%00", None, {}, 200),
        ("POST", "/signup", b"{}", {}, 415),
        ("POST", "/signup", b"name=x", {"Content-Type": "application/x-www-form-urlencoded"}, 403),
        ("PUT", "/signup", None, {}, 405),
        ("GET", "/nowhere", None, {}, 404),
        ("DELETE", "/test-data", None, {}, 422),
    ],
)
def test_bad_input_is_a_problem(
    a5: str,
    bearer: dict[str, str],
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
) -> None:
    assert call(a5 + path, body, bearer | headers, method)[0] == status


def test_cleaning_up_deletes_one_run_or_all_and_keeps_the_seeds(a5: str, bearer: dict[str, str]) -> None:
    mine, other = ({"X-Ecoload-Run": f"clean-{uuid.uuid4().hex}"} for _ in range(2))
    for run in (mine, other):
        stripe(a5, bearer, "customers", {"metadata[test]": "true"}, **run)
        _, intent = stripe(a5, bearer, "payment_intents", intent_form(), **run)
        stripe(
            a5,
            bearer,
            f"payment_intents/{intent['id']}/confirm",
            {},
            **run,
            **{"Idempotency-Key": "clean" + run["X-Ecoload-Run"]},
        )
        call(f"{a5}/api/telemetry{WRITE}", {"name": "x"}, bearer | run)
        upload(a5, bearer, **run)
    url = f"{a5}/test-data{WRITE}&run_id={mine['X-Ecoload-Run']}"
    status, document = call(url, headers=bearer, method="DELETE")
    assert status == 200
    assert document["deleted"] == {
        "crm": 0,
        "logins": 0,
        "sessions": 0,
        "documents": 1,
        "telemetry": 1,
        "customers": 1,
        "intents": 1,
        "charges": 1,
        "payment_keys": 1,
    }
    assert figures(a5, bearer, mine["X-Ecoload-Run"]) == (0, 0, 0)
    assert figures(a5, bearer, other["X-Ecoload-Run"]) == (1, 0, 0)
    call(f"{a5}/test-data{WRITE}", headers=bearer, method="DELETE")
    assert figures(a5, bearer, other["X-Ecoload-Run"]) == (0, 0, 0)
    assert stripe(a5, bearer, "customers/cus_test_0001")[0] == 200


def test_nothing_went_wrong_inside(sandbox: Sandbox) -> None:
    """Runs last: whatever was sent before, no traceback is in the log."""
    log = (sandbox.state / "a5" / "log").read_text()
    assert "Traceback" not in log, log[-4000:]
