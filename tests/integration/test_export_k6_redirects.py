"""Where redirects lead in real k6: to an address as Python's urljoin makes it, if ecoload's guard lets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

from ecoload.guard.paths import split_url
from ecoload.guard.rules import RedirectRules
from ecoload.plan import Plan
from ecoload.spec.workspace import load_workspace, make_plan
from tests.integration.k6_lab import Case, evaluate

# --- Addresses ------------------------------------------------------------------------------------

BASES = ["http://a/b/c/d;p?q", "http://a", "http://a/", "http://a/b//c/?q", "https://[::1]:8443/b?x=/y/../z"]
LOCATIONS = [  # RFC 3986, 5.4, and what else servers write
    "g:h", "g", "./g", "g/", "/g", "//g", "?y", "g?y", "#s", "g#s", "g?y#s", ";x", "g;x", "g;x?y#s", "",
    ".", "./", "..", "../", "../g", "../..", "../../", "../../g", "../../../g", "../../../../g", "/./g",
    "/../g", "g.", ".g", "g..", "..g", "./../g", "./g/.", "g/./h", "g/../h", "g;x=1/./y", "g;x=1/../y",
    "g?y/./x", "g?y/../x", "g#s/./x", "g#s/../x", "http:g", "http://g", "HTTP://G/x", "http://g/x/../y",
    "https://g?y", "http:///x", "///x", "//g/x", "//g:81?y#s", "/a//b", "a//b/", "/a//../b", "?", "#", "g?",
    "?y?z", "//", "mailto:x@y", "/a b", "é", "http://u:p@g/x", "http://g:0/", "/%2e%2e/x", "/a\\b",
    "a/..//..", "1:2", "/:",
]  # fmt: skip

# --- Rules ----------------------------------------------------------------------------------------

TARGETS = """
protocol: {name: P, namespace: "perf_test"}
profiles: {once: {executor: per-vu-iterations, vus: 1, iterations: 1}}
guardrails: {deny: [POST /v1/charges, "* /admin/**", "GET /straße/*/x", "put /V2/*"]}
apps:
  shop:
    base_url: http://Shop.example:8001/base
    environment: staging
    writes: perf_test
    routes:
      home: {get: /, effect: none}
      ask: {post: "/ask/{id}", effect: none}
      make: {post: /make, effect: write, namespace: {in: json, at: ns}}
      again: {post: /again, effect: write, namespace: {in: json, at: ns}}
      other: {post: /make/other, effect: write, namespace: {in: header, at: X-Ns}}
      within: {put: "/in/{ns}/{id}", effect: write, namespace: {in: path, at: ns}}
      wipe: {delete: /data, effect: write, namespace: {in: query, at: ns}}
      count: {get: /count, effect: write, namespace: {in: query, at: ns}}
      break: {post: "/{what}/fault", effect: fault}
      v2: {put: "/v2/{id}", effect: none}
      charge: {post: /v1/charges, effect: none}
  gate:
    base_url: https://gate.example
    environment: staging
    writes: perf_test
    routes:
      make: {post: /make, effect: write, namespace: {in: json, at: ns}}
      ask: {post: "/ask/{id}", effect: none}
  inner:
    base_url: https://gate.example/inner
    environment: staging
    routes:
      page: {get: "/page/{id}-x", effect: none}
      fault: {get: /fault, effect: fault}
  twin:
    base_url: https://gate.example/inner
    environment: staging
    writes: perf_test
    routes: {page: {get: "/{any}/1-x", effect: none}, make: {post: /make, effect: none}}
  prod: {base_url: "https://prod.example", routes: {home: {get: /, effect: none}}}
"""
HOSTS = ["http://shop.example:8001/base", "https://gate.example", "https://GATE.example:443/inner"]
OTHERS = [
    "http://gate.example", "https://prod.example", "https://gate.example:8443", "https://elsewhere.example",
    "http://shop.example:8001", "https://gate.example/base", "ftp://gate.example", "https://u@gate.example",
]  # fmt: skip
PATHS = [
    "", "/", "/x", "/ask/1", "/ask/1/2", "/ask/", "/make", "/MAKE", "/make/", "//make", "/m%61ke",
    "/make;x", "/make%5c", "/again", "/make/other", "/in/perf_test/1", "/in/other/1", "/in/perf_test/a%2fb",
    "/data?ns=perf_test", "/data", "/data?ns=perf_test&ns=x", "/data?a=1&ns=perf_test&b",
    "/data?n%73=perf_test", "/data?ns%3Dperf_test", "/data?ns=perf%5Ftest", "/data?ns", "/count",
    "/count?ns=perf_test", "/COUNT?ns=perf_test", "/x/fault", "/ask/fault", "/fault", "/inner/fault",
    "/Inner//fault;a", "/v1/charges", "/V1/Charges/", "/admin", "/admin/a/b", "/Admin;x/y", "/base/admin/x",
    "/stra%C3%9Fe/1/x", "/STRASSE/1/x", "/strasse/1/2/x", "/stra%C5%BFse/1/x", "/v2/1", "/page/1-x",
    "/page/1", "/page/-x", "/a/../b", "/%2e%2e/b", "/..;/b", "/inner", "/inner/page/1-x", "/inner/make",
    "/innermost", "/caf%C3%A9", "/x?y=/../z#f",
]  # fmt: skip
STEPS = [(0, 1, "POST", "/ask/1"), (0, 2, "POST", "/make"), (1, 11, "POST", "/make")]
"""Steps that are redirected: origin, route, method and path."""
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]


def plan(folder: Path) -> Plan:
    (folder / "scenarios").mkdir()
    (folder / "targets.yaml").write_text(TARGETS)
    (folder / "scenarios/shop.yaml").write_text("app: shop\nsteps: [{route: home}]\n")
    return make_plan(load_workspace(folder / "targets.yaml", environ={}), "shop", "once")


def test_a_redirect_leads_where_ecoload_follows_it(tool: Callable[[str], Path], tmp_path: Path) -> None:
    found = plan(tmp_path)
    pairs = [[base, location] for base, location in product(BASES, LOCATIONS)]
    asked: list[Any] = [[0, method, host + path] for method, host, path in product(METHODS, HOSTS, PATHS)]
    asked += [[0, method, host + path] for method, host, path in product(METHODS, OTHERS, ["", "/ask/1"])]
    asked += [
        [n, method, host + path]
        for n, method, host, path in product([1, 2], ["POST", "PUT"], HOSTS[:2], PATHS)
    ]
    joined, led, sent = evaluate(
        tool("k6"),
        tmp_path,
        [
            Case(f"([base, location]) => {JOINED}", pairs, frozenset({"request"})),
            Case(f"([step, method, url]) => {LED}", asked),
            Case(f"([headers, body, status, url]) => {SENT}", [one for one, _ in NEXT]),
        ],
        found,
    )
    expected = [plain(urljoin(base, location)) for base, location in pairs]
    assert differing(pairs, joined, expected) == []
    rules = RedirectRules(found)
    allowed = [rules.allowed(STEPS[step][0], method, url, STEPS[step][1]) for step, method, url in asked]
    assert differing(asked, led, allowed) == []
    assert {None, 0, 1, 2} == set(allowed)
    assert sent == [then for _, then in NEXT]


JOINED = """{
    const place = placeOf(resolved(base, location));
    return place && `${place.scheme}://${place.address}${place.path}${place.query}`;
  }"""
LED = f"""{{
    const [from, , verb, path] = {json.dumps(STEPS)}[step];
    const there = placeOf(url);
    const first = {{ method: verb, url: PLACES[from].url + path }};
    const app = there && leadsTo(first, PLACES[from], method, there);
    return app && PLACES.indexOf(app);
  }}"""

SENT = """{
    const first = { method: "POST", url: `${SHOP}/make`, body, headers };
    const then = redirected(first, first, status, url);
    return then && [then.method, then.url, then.body, Object.keys(then.headers)];
  }"""
HEADERS = {"X-A": 1, "cookie": "a=b", "authorization": "Basic x", "Content-Type": "text/plain"}
SHOP, GATE = "http://shop.example:8001/base", "https://gate.example"
NEXT = [
    ([HEADERS, "b", 302, "x?y"], ["GET", f"{SHOP}/x?y", None, ["X-A", "authorization"]]),
    ([HEADERS, "b", 307, "ask/1"], ["POST", f"{SHOP}/ask/1", "b", ["X-A", "authorization", "Content-Type"]]),
    ([HEADERS, "b", 303, f"{GATE}/x"], ["GET", f"{GATE}/x", None, ["X-A"]]),
    ([HEADERS, "b", 308, f"{GATE}:443/ask/1#f"], ["POST", f"{GATE}/ask/1", "b", ["X-A", "Content-Type"]]),
    ([HEADERS, "b", 307, f"{GATE}/x"], None),
]
"""Requests of a step, each with the one that a redirect asks for."""


def differing(inputs: list[list[Any]], found: list[Any], expected: list[Any]) -> list[Any]:
    return [each for each in zip(inputs, found, expected, strict=True) if each[1] != each[2]]


def plain(url: str) -> str | None:
    """An address without what its spelling leaves open; None where the guard takes it for none."""
    parts = split_url(url)
    if parts is None:
        return None
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    target = urldefrag(f"{parts.path}?{parts.query}" if parts.query else parts.path).url
    return f"{parts.scheme}://{host}:{port}{target}"
