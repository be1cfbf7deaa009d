"""Where redirects lead in real k6: where Python's urljoin leads, and only where ecoload's guard allows it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import pytest

from ecoload.guard.rules import RedirectRules
from ecoload.plan import NamespaceAt, Origin, Plan, ProtocolHeader, Route
from tests.integration.k6_lab import Case, evaluate

FOLLOWED = [
    "g", "g/", "g/h.i", "b/x", "/base/g", "/base", "/base/", "/base?y", "?y", "g?y", "#s", "g#s", "g?y#s", "",
    ";x", "g;x?y#s", "g.", ".g", "g..", "..g", "...", "g?y/../x", "g?next=%2Fh&u=http://x", "g?y?z", "1:2",
    "%41~!$&'()*+,;=@", "//a/base/g", "http://a/base/g?y", "%C3%A9",
]  # fmt: skip
REFUSED = [
    "g:h", "//g", "//ab/base/g", "//a/basement", "//a", "/", "/g", "/base;x", "//a:81/base", "http:g",
    "http:/base/g", "HTTP://a/base/g", "http://A/base/g", "http://u:p@a/base/g", "http://a@b/base/g",
    "https://a/base/g", "http:///x", "///base/g", "http://a", "mailto:x@y", ".", "./", "./g", "..", "../",
    "../g", "../base/g", "/base/../g", "g/./h", "g/..", "g/../h", "g;x=1/../y", "..;x/g", "..;", ".;x",
    "/base/%2e%2e/g", "%2E/g", "g/.%2e", "..%3bx", "..%3Bx/g", "g%2fh", "g%5Ch", "g\\h", "..\\g", "\\\\g",
    "a//b", "/base//g", "a//", "?", "g?", "g h", " g", "é", "g?é", "g?y z", "g?y\\z", "g%", "g%zz", "g|h",
    'g"h', "{g}", "g[1]", "\u212a", "\u0663", "g\u017f", "g?\x7f", "g\x00", "g\th",
]  # fmt: skip
BASES = [
    "http://a/base/b/c/d;p?q",
    "http://a/base/b",
    "http://a/base/",
    "http://a/base?x=/y/",
    "http://a/base",
]
METHODS = ["GET", "HEAD", "POST", "PUT"]
STATUSES = [301, 302, 303, 307, 308]
AFTER: dict[str, list[str | None]] = {
    "GET": ["GET"] * 5,
    "HEAD": ["HEAD"] * 5,
    "POST": ["GET", "GET", "GET", None, None],
    "PUT": [None, None, "GET", None, None],
}
"""What each method is after each status, where it is followed."""

PLAN = Plan(
    tool_version="test",
    protocol=ProtocolHeader(namespace="ns"),
    app="shop",
    profile="p",
    seed=1,
    duration_scale=1.0,
    origins=(
        Origin("shop", "http", "a", 80, "/base", writes="ns"),
        Origin("top", "http", "b", 80, writes="ns"),
    ),
    routes=(Route("shop", "make", "POST", "/b/g", "write", NamespaceAt("json", "ns")),),
    scenarios=(),
    loads=(),
    deny=("POST /base/**",),
)
HOP = """([app, method, url, status, location]) => {
    const sent = { method, url, body: "b", headers: { Cookie: "a=b", "X-A": "1", "content-type": "t" } };
    const then = hop(app, sent, status, location);
    return then && [then.method, then.url, then.body, Object.keys(then.headers)];
  }"""
"""The request after a redirect of one."""


Hops = Callable[[list[list[Any]]], list[Any]]


@pytest.fixture
def hops(tool: Callable[[str], Path], tmp_path: Path) -> Hops:
    def ask(asked: list[list[Any]]) -> list[Any]:
        return evaluate(tool("k6"), tmp_path, [Case(HOP, asked, frozenset({"request"}))])[0]

    return ask


def test_a_redirect_leads_where_ecoload_follows_it(hops: Hops) -> None:
    asked = [*product(["http://a/base"], BASES, FOLLOWED + REFUSED)]
    asked += product(["http://b"], ["http://b/x/y", "http://b/", "http://b?x"], FOLLOWED + REFUSED)
    rules = RedirectRules(PLAN)
    followed = set()
    found = hops([[app, "GET", base, 302, location] for app, base, location in asked])
    for (app, base, location), then in zip(asked, found, strict=True):
        if then is not None:
            url = urldefrag(urljoin(base, location)).url
            origin = ["http://a/base", "http://b"].index(app)
            assert (then[1], rules.allowed(origin, "GET", url)) == (url, origin), (base, location)
            followed.add((base, location))
    usual = {*product(BASES[:3], FOLLOWED)}
    assert usual <= followed
    assert followed.isdisjoint(product(BASES, REFUSED))


def test_the_method_changes_and_the_body_goes_with_it(hops: Hops) -> None:
    pairs = [*product(METHODS, STATUSES)]
    found = hops([["http://a", method, "http://a/b", status, "g"] for method, status in pairs])
    for (method, status), then in zip(pairs, found, strict=True):
        after = AFTER[method][STATUSES.index(status)]
        same = after == method
        kept = ["X-A", "content-type"] if same else ["X-A"]
        assert then == (after and [after, "http://a/g", "b" if same else None, kept]), (method, status)
