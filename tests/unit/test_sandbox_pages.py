"""Pages of the sandbox show what they are given as text, and may load and run nothing of elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import DictLoader, UndefinedError

from ecoload.sandbox.common import pages
from ecoload.sandbox.common.pages import FOLDER, POLICY, asset_routes, page

TEMPLATES = sorted(FOLDER.glob("*.html"))
SHOWN = '<p title="{{ text }}">{{ text }}</p><a href="/x?q={{ text | urlencode }}">link</a>'


class Read(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A template of the test's own, in the environment of all."""
    monkeypatch.setattr(pages._templates, "loader", DictLoader({"shown.html": SHOWN}))
    pages._templates.cache.clear()  # type: ignore[union-attr]
    yield
    pages._templates.cache.clear()  # type: ignore[union-attr]


def text_of(response: web.Response) -> str:
    assert isinstance(response.text, str)
    return response.text


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '" onmouseover="alert(1)', "' x='", "{{ 7 * 7 }}", "&lt;", "</p>"]
)
@pytest.mark.usefixtures("shown")
def test_what_a_page_shows_is_text_and_nothing_else(text: str) -> None:
    found = Read(text_of(page("shown.html", text=text)))
    assert [tag for tag, _ in found.tags] == ["p", "a"]
    assert found.tags[0][1] == {"title": text}
    assert found.text == f"{text}link"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"])))
def test_any_text_comes_back_as_it_was(shown: None, text: str) -> None:
    found = Read(text_of(page("shown.html", text=text)))
    assert [(tag, list(attributes)) for tag, attributes in found.tags] == [("p", ["title"]), ("a", ["href"])]
    assert found.tags[0][1]["title"] == text


@pytest.mark.usefixtures("shown")
def test_a_page_that_is_not_given_all_it_shows_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(UndefinedError):
        page("shown.html")


@pytest.mark.usefixtures("shown")
def test_a_page_says_what_it_is_and_what_it_may() -> None:
    response = page("shown.html", 404, text="")
    assert (response.status, response.content_type, response.charset) == (404, "text/html", "utf-8")
    assert response.headers["Content-Security-Policy"] == POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"


def test_the_policy_forbids_everything_inline_elsewhere_and_framed() -> None:
    policy = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in POLICY
    assert not re.search(r"https?://(?!127\.0\.0\.1:)", POLICY)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_no_template_goes_round_the_escaping_or_the_policy(path: Path) -> None:
    template = path.read_text()
    assert not re.search(r"autoescape|Markup|(?<![\"'])\s*\|\s*safe\b", template)  # of a constant it is
    assert not re.search(r"<style|\bstyle\s*=|\son[a-z]+\s*=|javascript:", template, re.IGNORECASE)
    assert not re.search(r"<script(?![^>]*\bsrc=)", template, re.IGNORECASE)
    assert not re.search(r"(?:src|href|action)\s*=\s*[\"']?(?:https?:)?//", template, re.IGNORECASE)
    # An attribute that is not quoted ends at the first blank of what it shows.
    assert not re.search(r"\s[\w-]+=\s*\{\{", template)


def test_all_pages_have_one_frame() -> None:
    assert [path.stem for path in TEMPLATES if "<html" in path.read_text()] == ["base"]


def test_the_base_can_be_used_by_everybody() -> None:
    found = Read((FOLDER / "base.html").read_text())
    tags = [tag for tag, _ in found.tags]
    attributes = dict(reversed(found.tags))
    assert attributes["html"]["lang"] == "en"
    assert {"title", "header", "nav", "main", "footer"} <= set(tags)
    skip = next(given for tag, given in found.tags if tag == "a" and given.get("class") == "skip")
    assert skip["href"] == f"#{attributes['main']['id']}"


def test_the_style_is_served_with_a_tag_and_loads_nothing() -> None:
    (route,) = asset_routes()
    assert (route.method, route.path) == ("GET", "/assets/style.css")
    style = (FOLDER / "style.css").read_text()
    assert not re.search(r"@import|url\(|expression\(", style)
