"""`report.html`: one file, nothing from outside, and no way out for a text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ecoload.report.forms import clean
from ecoload.report.html import embedded, report_html
from tests.unit.report_samples import BREAKOUT, course, failing, hostile, passing, soaked


class Page(HTMLParser):
    """The elements of a page, and the text inside its scripts and its style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, dict[str, str | None], str]] = []
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = (tag, dict(attrs)) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.inside.append((*self._open, data))

    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    def data(self) -> Any:
        return orjson.loads(next(text for _, attrs, text in self.inside if attrs.get("id") == "data"))


def policy(page: Page) -> str:
    return next(attrs["content"] or "" for tag, attrs in page.elements if "http-equiv" in attrs)


def test_a_text_that_tries_to_break_out_adds_no_element() -> None:
    routes = [BREAKOUT]
    plain, attacked = failing(), hostile()
    plain["validity"] = {"status": "SUSPECT", "reasons": ["x"]}
    plain["verdict_reasons"], plain["notes"], plain["slowest"] = ["y"], ["n"], plain["slowest"][:1]
    plain["generator"]["machine"] = {"system": "x"}
    plain["protocol"]["version"] = "1"
    plain["routes"] = [dict(route, route="ingest") for route in plain["routes"]]
    plain["drift"] = soaked()["drift"][:1]
    harmless = Page(report_html(plain, course(10, ["ingest"])))
    page = Page(report_html(attacked, course(10, routes)))
    assert sorted(page.tags()) == sorted(harmless.tags())
    assert list(page.data()["routes"]) == [clean(BREAKOUT)]
    assert "\x1b" not in report_html(attacked)
    assert "\u202e" not in report_html(attacked)


def test_it_loads_nothing_and_runs_only_its_own_script() -> None:
    page = Page(report_html(passing(), course(10)))
    assert policy(page).startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy(page)
    for _, attrs in page.elements:
        assert not {"src", "href", "style", "onclick", "onload"} & attrs.keys()
    for tag, attrs, text in page.inside:
        if attrs.get("type") != "application/json":
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy(page)


def test_the_tables_hold_what_the_charts_show() -> None:
    text = report_html(passing(), course(10))
    for figure in ("P95 ≤ 125 ms", "89.2 ms", "87.1 – 91.4 ms", "12,000 of 12,000 kept, 0 lost"):
        assert figure in text


def test_the_charts_data_can_be_read_back() -> None:
    data = Page(report_html(passing(), course(120), lambda at_s: 100.0)).data()
    assert data["at"][-1] == 120
    assert data["courses"]["*"]["planned"] == [100] * 120
    assert data["routes"]["ingest"]["p95_limit"] == 125
    assert data["routes"]["ingest"]["response"][0] == [50.0, 21.4]


def test_a_run_without_a_course_has_no_charts() -> None:
    assert 'id="latency"' in report_html(passing(), course(2))
    assert 'id="latency"' not in report_html(passing())


def test_an_hour_of_ten_routes_stays_below_250_kilobytes() -> None:
    result = passing()
    names = [f"route_{i}" for i in range(10)]
    result["routes"] = [dict(result["routes"][0], route=name) for name in names]
    text = report_html(result, course(3600, names), lambda at_s: 100.0)
    assert len(text.encode()) < 250_000
    assert re.search(r"Each point stands for \d+ seconds", text)


def test_only_a_thinned_course_says_that_it_is() -> None:
    assert "Each point stands for" not in report_html(passing(), course(120))


def test_an_empty_result_is_still_a_page() -> None:
    assert report_html({}).endswith("</html>\n")


@given(st.text().filter(str.isprintable) | st.sampled_from([BREAKOUT, "<!--", "]]>", "\u2028"]))
def test_embedded_json_reads_back_and_holds_no_markup(text: str) -> None:
    written = embedded([text])
    assert not set("<>&\u2028\u2029") & set(written)
    assert orjson.loads(written) == [text]
