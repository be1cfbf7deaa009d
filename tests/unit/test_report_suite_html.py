"""`ecosystem_perf_summary.html`: one file, no script, and no way out for a text."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser
from typing import Any

import pytest

from ecoload.report.suite_html import suite_html
from tests.unit import suite_samples as samples

RUN, TO_SUITE = "runs/s", "../../../runs/s"
VOID = {"meta"}


class Page(HTMLParser):
    """The elements of a page with the text in each, and whether all of them are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.style = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
        elif data.strip():
            self.texts.append(data.strip())

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.elements if tag == "a"]


def page(result: Any) -> Page:
    tree = result if isinstance(result, dict) else result.to_json()
    return Page(suite_html(tree, RUN, TO_SUITE))


@pytest.mark.parametrize("result", [*samples.every(), samples.hostile(), {}])
def test_it_loads_nothing_and_runs_nothing(result: Any) -> None:
    found = page(result)
    policy = next(attrs["content"] or "" for tag, attrs in found.elements if "http-equiv" in attrs)
    digest = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert policy == (f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
    assert "script" not in found.tags
    for tag, attrs in found.elements:
        assert not {"src", "style", "srcset"} & attrs.keys()
        assert not any(name.startswith("on") for name in attrs)
        assert "href" not in attrs or tag == "a"
    assert found.open == []


def test_the_status_the_score_and_the_matrix_are_there() -> None:
    found = page(samples.not_ready())
    for said in ("NOT_READY", "88.1 → 71.3 (-16.8), grade D", "2 things that the protocol asks for failed."):
        assert said in found.texts
    assert found.texts.count("INCONCLUSIVE") == 2, "the cell, and its phase"
    assert "REHEARSAL" not in found.texts
    assert "REHEARSAL" in page(samples.rehearsal()).texts


def test_each_cell_leads_to_the_report_of_the_run_that_counts() -> None:
    links = page(samples.mitigated()).links
    assert "./../../../runs/s/baseline/a8.warmed/report.html" in links
    assert "./../../../runs/s/baseline/a8/report.html" not in links
    assert links.count("./../../../runs/s/health/all/report.html") == 8
    assert len(links) == 8 * 6 + 1


def test_what_was_not_run_leads_nowhere() -> None:
    assert len(page(samples.halted()).links) == 8


def test_a_folder_that_is_none_of_ours_is_no_link() -> None:
    result = samples.healthy().to_json()
    for folder in ("javascript:alert(1)/x", "../../etc/x", '"><script>/x'):
        result["phases"][1]["cells"][0]["runs"][0]["folder"] = folder
        assert len(page(result).links) == 8 * 6 + 1 - 1


def test_known_issues_failures_waivers_and_uptime_are_there() -> None:
    found = page(samples.awaiting_failures())
    for said in ("A8-PERF-001", "1,085 ms", "31.2 ms", "954 ms", "12 of 8,500 are lost", "99.259 %"):
        assert said in found.texts
    text = " ".join(found.texts)
    assert "Recommended: a caching layer for aggregated dashboard data" in text
    assert "by Grace Hopper until 2026-12-31 (valid): the cache is ordered" in text
    assert f"ecoload suite --resume {RUN} --retest a8" in text
    assert f"ecoload approve {'c0' * 32} --by NAME --reason TEXT --out runs" in text


def test_a_text_that_tries_to_break_out_adds_no_element() -> None:
    plain = samples.awaiting_failures().to_json()
    # The names of all apps are one in the hostile result: the same cells, the same versions.
    attacked, harmless = page(samples.hostile()), page(plain)
    own = set(harmless.tags) | {"a"}
    assert set(attacked.tags) <= own
    assert attacked.open == []
    text = suite_html(samples.hostile(), RUN, TO_SUITE)
    assert not {"\x1b", "\x00", "\u202e"} & set(text)
    assert "javascript:" not in "".join(attacked.links)
