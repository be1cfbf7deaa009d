"""A7 of the sandbox, the page maker, through its public endpoints: pages, assets, sitemap, call to action."""

from __future__ import annotations

import gzip
import json
import re
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from itertools import count
from typing import Any
from xml.etree import ElementTree

import pytest

from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import call, eventually, faults, fetch, token

ROUTES = ("/", "/browse", "/browse/states", "/browse/majors")
WITH_CTA = (*ROUTES, "/browse/states/TX", "/browse/majors/nursing")
CTA = "find-my-scholarships"
HTML = {"Accept": "text/html,application/xhtml+xml"}
VOID = {"meta", "link", "img", "br", "input"}

_numbers = count()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(("a2", "a7", "a8")) as running:
        yield running


@pytest.fixture
def a7(sandbox: Sandbox) -> str:
    return sandbox.urls["a7"]


@pytest.fixture
def run_id() -> str:
    """A run that no other test uses."""
    return f"run-{next(_numbers)}"


class Page(HTMLParser):
    """What a test asks of a page; fails where an element is not closed or an id stands twice."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.ctas: list[str] = []
        self.inline = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        assert not [name for name in given if name.startswith("on") or name == "style"]
        if tag == "a":
            self.links.append(str(given["href"]))
        if tag == "button" and "data-cta" in given:
            self.ctas.append(str(given["data-cta"]))
        self.loads += [str(given[name]) for name in ("src",) if name in given]
        if tag == "link" and given["rel"] == "stylesheet":
            self.loads.append(str(given["href"]))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            self.inline += data.strip()


def page_of(url: str) -> Page:
    status, headers, content = fetch(url, headers=HTML)
    assert status == 200, url
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    return Page(content.decode())


def act(a7: str, headers: dict[str, str] | None = None, **changes: Any) -> tuple[int, Any]:
    body = {
        "namespace": "perf_test",
        "page": "/browse",
        "cta": "find-my-scholarships",
        "action": "impression",
    }
    return call(f"{a7}/api/cta", body | changes, headers)


# --- pages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*WITH_CTA, "/browse/states/DC"])
def test_a_page_is_whole_and_loads_only_its_own(a7: str, path: str) -> None:
    page = page_of(a7 + path)
    assert page.tags.count("h1") == page.tags.count("main") == page.tags.count("title") == 1
    assert page.inline == ""
    assert page.loads
    for asset in page.loads:
        assert asset.startswith("/assets/")
        assert fetch(a7 + asset)[0] == 200
    links = {link for link in page.links if not link.startswith(("#", "/scholarships/"))}
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda link: fetch(a7 + link, headers=HTML, method="HEAD")[0], links)
        assert dict(zip(links, found, strict=True)) == dict.fromkeys(links, 200)


@pytest.mark.parametrize("path", WITH_CTA)
def test_the_call_to_action_is_on_every_page_to_browse(a7: str, path: str) -> None:
    assert page_of(a7 + path).ctas == [CTA]


def test_all_states_and_majors_have_their_pages(a7: str) -> None:
    states = [link for link in page_of(f"{a7}/browse/states").links if link.startswith("/browse/states/")]
    majors = [link for link in page_of(f"{a7}/browse/majors").links if link.startswith("/browse/majors/")]
    assert len(set(states)) == len(states) == 51
    assert len(set(majors)) == len(majors) >= 60
    for path in (states[0], states[-1], majors[0], majors[-1]):
        listed = [link for link in page_of(a7 + path).links if link.startswith("/scholarships/")]
        assert len(listed) > 90
        assert page_of(a7 + listed[0]).links.count(path) >= 1


@pytest.mark.parametrize("path", ROUTES)
def test_a_page_that_is_known_is_not_sent_again(a7: str, path: str) -> None:
    _, headers, content = fetch(a7 + path)
    assert headers["Cache-Control"] == "no-cache"
    tag = headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        status, again, nothing = fetch(a7 + path, headers={"If-None-Match": known})
        assert (status, again["ETag"], nothing) == (304, tag, b"")
    for unknown in ('"other"', "no tag at all", ""):
        status, _, same = fetch(a7 + path, headers={"If-None-Match": unknown})
        assert (status, same) == (200, content)


@pytest.mark.parametrize("path", [*ROUTES, "/robots.txt", "/assets/style.css", "/nope"])
def test_head_is_get_without_the_body(a7: str, path: str) -> None:
    status, headers, content = fetch(a7 + path, headers=HTML)
    got = fetch(a7 + path, headers=HTML, method="HEAD")
    assert (got[0], got[2]) == (status, b"")
    assert got[1]["Content-Length"] == headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/browse/",
        "/browse/states/ZZ",
        "/browse/states/tx",
        "/browse/majors/alchemy",
        "/scholarships/none",
        "/scholarships/cedar-biology-grant-tx-0001",
        "/scholarships/%FF%00-0001",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
    ],
)
def test_what_is_not_there_is_a_page_for_browsers_and_a_problem_for_others(a7: str, path: str) -> None:
    status, headers, content = fetch(a7 + path, headers=HTML)
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert Page(content.decode()).tags.count("h1") == 1
    assert b"alert(1)" not in content
    assert call(a7 + path)[0] == 404


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("DELETE", "/browse"), ("PUT", "/sitemap.xml"), ("GET", "/api/cta")]
)
def test_a_wrong_method_is_a_problem(a7: str, method: str, path: str) -> None:
    assert call(a7 + path, method=method)[0] in (404, 405)


# --- assets ------------------------------------------------------------------------------------------


def test_assets_have_fingerprints_and_are_kept_for_ever(a7: str) -> None:
    loads = [asset for asset in page_of(f"{a7}/").loads if asset != "/assets/style.css"]
    kinds = {}
    for asset in loads:
        assert re.fullmatch(r"/assets/a7\.[0-9a-f]{16}\.(css|js|svg)", asset)
        status, headers, content = fetch(a7 + asset)
        assert status == 200
        assert content
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
        kinds[asset.rpartition(".")[2]] = headers["Content-Type"].partition(";")[0]
        again = fetch(a7 + asset, headers={"If-None-Match": headers["ETag"]})
        assert (again[0], again[2]) == (304, b"")
    assert kinds == {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@pytest.mark.parametrize("name", ["a7.css", "a7.0000000000000000.css", "..%2fa7.css", "../../../a7.py"])
def test_no_other_asset_is_served(a7: str, name: str) -> None:
    assert call(f"{a7}/assets/{name}")[0] == 404


# --- the sitemap -------------------------------------------------------------------------------------


def test_a_cold_sitemap_is_made_once_for_all_who_wait_and_is_warm_after(run_id: str) -> None:
    with Sandbox(("a7",)) as sandbox:
        a7 = sandbox.urls["a7"]
        headers = {"X-Ecoload-Run": run_id}
        with ThreadPoolExecutor(10) as pool:
            cold = [pool.submit(fetch, f"{a7}/sitemap.xml", headers=headers) for _ in range(10)]
            assert fetch(f"{a7}/browse")[0] == 200
            assert not any(answer.done() for answer in cold)  # a page does not wait for the sitemap
            answers = [answer.result() for answer in cold]
        assert {(status, got["X-Cache"]) for status, got, _ in answers} == {(200, "miss")}
        assert len({content for _, _, content in answers}) == 1
        status, warm, content = fetch(f"{a7}/sitemap.xml")
        assert (status, warm["X-Cache"], content) == (200, "hit", answers[0][2])
        truth = call(f"{a7}/__truth?run_id={run_id}")[1]["by_route"]["sitemap"]
        assert truth["requests"] == 10
        assert truth["model_ms"]["max"] > 500  # drawn by the law of the cold one
        assert truth["latency_ms"]["max"] >= truth["model_ms"]["max"] * 0.99


def test_the_sitemap_says_how_long_it_is_good(a7: str) -> None:
    fetch(f"{a7}/sitemap.xml")
    status, headers, content = fetch(f"{a7}/sitemap.xml")
    assert status == 200
    assert headers["Content-Type"] == "application/xml; charset=utf-8"
    assert headers["Cache-Control"] == "public, max-age=3600"
    assert headers["X-Cache"] == "hit"
    assert 0 <= int(headers["Age"]) < 3600
    assert len(content) > 600_000


def test_every_address_of_the_sitemap_is_under_its_own_base_whatever_host_was_asked(a7: str) -> None:
    _, _, content = fetch(f"{a7}/sitemap.xml", headers={"Host": "evil.example"})
    addresses = [str(row[0].text) for row in ElementTree.fromstring(content)]
    assert len(addresses) >= 5_000
    assert all(address.startswith(f"{a7}/") for address in addresses)
    some = addresses[:: len(addresses) // 40]
    with ThreadPoolExecutor(16) as pool:
        assert {status for status, _, _ in pool.map(lambda one: fetch(one, headers=HTML), some)} == {200}
    _, _, robots = fetch(f"{a7}/robots.txt", headers={"Host": "evil.example"})
    assert f"Sitemap: {a7}/sitemap.xml" in robots.decode().splitlines()


def test_the_sitemap_is_compressed_for_whom_that_is_welcome(a7: str) -> None:
    _, plain_headers, plain = fetch(f"{a7}/sitemap.xml")
    _, headers, content = fetch(f"{a7}/sitemap.xml", headers={"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(content) == plain
    assert "Content-Encoding" not in plain_headers
    assert headers["ETag"] != plain_headers["ETag"]
    assert headers["Vary"] == plain_headers["Vary"] == "Accept-Encoding"


def test_a_sitemap_that_is_known_is_not_sent_again(a7: str) -> None:
    tag = fetch(f"{a7}/sitemap.xml")[1]["ETag"]
    status, headers, content = fetch(f"{a7}/sitemap.xml", headers={"If-None-Match": tag})
    assert (status, headers["ETag"], content) == (304, tag, b"")
    assert headers["Cache-Control"] == "public, max-age=3600"
    _, headers, content = fetch(f"{a7}/sitemap.xml", method="HEAD")
    assert (headers["ETag"], content) == (tag, b"")


def test_the_cold_fault_lets_no_request_warm_the_sitemap() -> None:
    with Sandbox(("a7",)) as sandbox:
        url = f"{sandbox.urls['a7']}/sitemap.xml"
        with faults(sandbox, "a7", sitemap_cold=1):
            _, cold, content = fetch(url)
        assert (cold["X-Cache"], cold["Age"]) == ("miss", "0")
        assert fetch(url)[1]["X-Cache"] == "miss"
        _, warm, same = fetch(url)
        assert (warm["X-Cache"], warm["ETag"], same) == ("hit", cold["ETag"], content)


def test_the_cold_fault_takes_its_share_of_a_warm_sitemap_and_leaves_it_to_the_others(
    a7: str, sandbox: Sandbox, run_id: str
) -> None:
    url, headers = f"{a7}/sitemap.xml", {"X-Ecoload-Run": run_id}
    fetch(url)
    with faults(sandbox, "a7", sitemap_cold=0.5), ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: fetch(url, headers=headers), range(40)))
    assert {(status, got["X-Cache"]) for status, got, _ in answers} == {(200, "miss"), (200, "hit")}
    assert len({content for _, _, content in answers}) == 1
    assert fetch(url)[1]["X-Cache"] == "hit"
    truth = call(f"{a7}/__truth?run_id={run_id}")[1]["by_route"]["sitemap"]
    assert truth["model_ms"]["max"] > 500  # drawn by the law of the cold one


# --- the call to action ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "page", "state"),
    [
        ("impression", "/browse", None),
        ("click", "/", None),
        ("impression", "/browse/states/TX", "TX"),
        ("click", "/browse/majors/nursing", None),
    ],
)
def test_an_action_becomes_an_event_that_can_be_followed(
    sandbox: Sandbox, a7: str, run_id: str, action: str, page: str, state: str | None
) -> None:
    status, told = act(a7, {"X-Ecoload-Run": run_id}, action=action, page=page)
    assert status == 202
    assert told["emitted"] is True
    url = f"{sandbox.urls['a2']}/v1/events/{told['event_id']}"
    eventually(lambda: call(url)[0], 200)
    event = call(url)[1]
    assert (event["kind"], event["app"], event["run_id"]) == (f"cta_{action}", "a7", run_id)
    assert event["lineage_id"] == told["lineage_id"]
    assert event["data"] == {"page": page, "cta": CTA}
    assert event.get("state") == state
    tile = f"{sandbox.urls['a8']}/api/tiles/events?namespace=perf_test&run_id={run_id}"
    eventually(lambda: call(tile)[1]["by_kind"], {f"cta_{action}": 1})


def test_run_and_lineage_are_those_the_body_names(sandbox: Sandbox, a7: str, run_id: str) -> None:
    headers = {"X-Ecoload-Run": "of-the-header", "X-Lineage-Id": "of-the-header"}
    status, told = act(a7, headers, run_id=run_id, lineage_id=f"lineage-{run_id}")
    assert (status, told["lineage_id"]) == (202, f"lineage-{run_id}")
    count_of_run = f"{sandbox.urls['a2']}/v1/events/count?run_id={run_id}"
    eventually(lambda: call(count_of_run)[1]["count"], 1)
    assert act(a7, headers)[1]["lineage_id"] == "of-the-header"


def test_the_silent_fault_takes_impressions_and_emits_nothing(sandbox: Sandbox, a7: str, run_id: str) -> None:
    with faults(sandbox, "a7", cta_silent=1):
        status, told = act(a7, run_id=run_id)
    assert (status, told["emitted"], told["event_id"]) == (202, False, None)
    assert act(a7, run_id=run_id)[1]["emitted"] is True  # what comes later is there: so is what came before
    count_of_run = f"{sandbox.urls['a2']}/v1/events/count?run_id={run_id}"
    eventually(lambda: call(count_of_run)[1]["count"], 1)
    url = f"{a7}/test-data?namespace=perf_test&run_id={run_id}"
    assert call(url, method="DELETE") == (200, {"deleted": {"actions": 2}})
    assert call(url, method="DELETE") == (200, {"deleted": {"actions": 0}})


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": "prod"},
        {"page": "/nope"},
        {"page": "https://elsewhere.example/"},
        {"page": "/scholarships/none"},
        {"action": "hover"},
        {"cta": "<script>"},
        {"run_id": "no run"},
        {"lineage_id": None},
        {"who": "me"},
    ],
)
def test_an_action_that_is_wrong_is_refused(a7: str, changes: dict[str, Any]) -> None:
    status, problem = act(a7, **changes)
    assert status == 422
    assert len(problem["errors"]) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 422),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"a":' * 200 + b"1" + b"}" * 200, 422),
        (json.dumps({"namespace": "perf_test", "cta": "x" * 2048}).encode(), 413),
    ],
)
def test_a_body_that_is_none_or_too_large_is_refused(a7: str, body: bytes, status: int) -> None:
    assert call(f"{a7}/api/cta", body, method="POST")[0] == status


def test_a_form_is_no_action(a7: str) -> None:
    assert call(f"{a7}/api/cta", form={"namespace": "perf_test"})[0] == 415


# --- beside an identity provider, readiness, a kill --------------------------------------------------


def test_pages_are_open_where_there_is_an_identity_and_cleaning_up_is_not() -> None:
    with Sandbox(("a1", "a2", "a7")) as sandbox:
        a7 = sandbox.urls["a7"]
        assert page_of(f"{a7}/browse").ctas
        assert act(a7, run_id="mine")[0] == 202
        url = f"{a7}/test-data?namespace=perf_test&run_id=mine"
        assert call(url, method="DELETE")[0] == 401
        assert call(url, headers=token(sandbox, "a6"), method="DELETE")[0] == 403
        deleted = call(url, headers=token(sandbox, "a7"), method="DELETE")
        assert deleted == (200, {"deleted": {"actions": 1}})


def test_the_call_to_action_leads_to_the_sign_up_of_the_student_pilot_where_there_is_one() -> None:
    with Sandbox(("a5", "a7")) as sandbox:
        content = fetch(f"{sandbox.urls['a7']}/browse")[2].decode()
        action = re.findall(r'<form class="cta" action="([^"]+)"', content)
        assert action == [f"{sandbox.urls['a5']}/signup"]
        assert urllib.parse.urlsplit(action[0]).scheme == "http"


def test_readiness_asks_for_what_it_needs(sandbox: Sandbox, a7: str) -> None:
    status, document = call(f"{a7}/healthz")
    assert status == 200
    assert document["checks"].keys() >= {"database", "outbox_pending", "a2"}


def test_a_kill_loses_and_doubles_no_impression() -> None:
    with Sandbox(("a2", "a7")) as sandbox:
        a2, a7 = sandbox.urls["a2"], sandbox.urls["a7"]
        sandbox.kill("a2")  # so that everything is still pending when A7 is killed
        told = [act(a7, run_id="killed")[1]["event_id"] for _ in range(30)]
        sandbox.kill("a7")
        sandbox.start("a2")
        sandbox.start("a7")
        eventually(lambda: call(f"{a7}/healthz")[1]["checks"]["outbox_pending"], 0)
        events = call(f"{a2}/v1/events?run_id=killed&limit=100")[1]["events"]
        assert sorted(event["event_id"] for event in events) == sorted(told)
