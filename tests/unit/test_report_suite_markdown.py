"""The suite in Markdown: what it must say, and that no text in it is read as markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt  # rich brings it

from ecoload.report.suite_markdown import fenced, slo_matrix, slo_verdict, suite_summary
from ecoload.verdict.suite import judge_suite
from tests.unit import suite_samples as samples
from tests.unit.suite_results import facts, one, outline, overview, phase
from tests.unit.suite_samples import NASTY

RUN = "runs/20261125T201500-suite-ab12"
RENDER = MarkdownIt("commonmark").enable("table").render
OWN_TAGS = set("h1 h2 p strong ul li a table thead tbody tr th td pre code".split())


class Rendered(HTMLParser):
    """The tags, the links and the rows of cells of a rendered page."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._cell = False
        self.feed(RENDER(markdown))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self._cell = tag in ("td", "th") or (self._cell and tag not in ("tr",))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data


def tree(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = result.to_json()
    return found


def pages(result: dict[str, Any]) -> list[str]:
    return [suite_summary(result, RUN), slo_matrix(result), slo_verdict(result, result["apps"][-1], RUN)]


@pytest.mark.parametrize("result", samples.every())
def test_every_page_names_the_status_and_repeats_the_sources_header(result: Any) -> None:
    for page in pages(tree(result)):
        first = page.splitlines()[0]
        assert result.status.value in first
        assert ("REHEARSAL" in first) is bool(result.rehearsal)
        rows = {tuple(row) for row in Rendered(page).rows}
        assert {("Assigned app", "A8"), ("Mode", "staging"), ("Namespace", "perf_test")} <= rows
        assert ("Protocol", "Performance Testing v1.0") in rows
        assert ("Duration scale", "1 (as written)" if result.duration_scale == 1 else "0.01") in rows


def test_a_manager_reads_the_score_what_failed_and_what_to_do() -> None:
    page = suite_summary(tree(samples.not_ready()), RUN)
    text = Rendered(page).text
    assert "88.1 → 71.3 (-16.8), grade D" in text
    assert "put a caching layer before the aggregated dashboard data" in text
    assert f"ecoload suite --resume {RUN} --retest a8\n" in page
    assert f"ecoload suite --resume {RUN} --retest a2\n" in page
    order = [
        page.index(f"## {title}")
        for title in ("Readiness score", "What failed", "Known issues", "Uptime", "Phases and apps")
    ]
    assert order == sorted(order)


def test_a_known_issue_shows_cold_and_warm_its_state_and_the_recommendation() -> None:
    rows = Rendered(suite_summary(tree(samples.mitigated()), RUN)).rows
    assert ["A8-PERF-001", "a8 overview", "P95 ≤ 150 ms", "1,085 ms", "31.2 ms", "MITIGATED"] in rows
    assert ["A8-PERF-001", "Grace Hopper", "the cache is ordered", "2026-12-31", "valid"] in rows
    page = suite_summary(tree(samples.mitigated()), RUN)
    assert "recommended: a caching layer for aggregated dashboard data" in page


def test_what_waits_for_an_approval_stands_with_the_exact_command() -> None:
    page = suite_summary(tree(samples.awaiting()), RUN)
    approve = f"ecoload approve {'c0' * 32} --by NAME --reason TEXT --out runs"
    assert f"```sh\n{approve}\necoload suite --resume {RUN}\n```" in page
    assert "ecoload approve" not in suite_summary(tree(samples.healthy()), RUN)
    assert "Ada Lovelace" in suite_summary(tree(samples.healthy()), RUN)


def test_phases_and_apps_stand_in_one_table_with_the_phases_own_verdict_last() -> None:
    rows = Rendered(suite_summary(tree(samples.mitigated()), RUN)).rows
    assert ["App", *samples.PHASES] in rows
    assert ["a8", "PASS", "PASS", "MITIGATED", "PASS", "PASS", "PASS", "–"] in rows
    assert ["the phase", "PASS", "PASS", "MITIGATED", "PASS", "PASS", "PASS", "PASS"] in rows


def test_a_cell_that_is_no_pass_says_why() -> None:
    assert "ramp, a6: billing: 12 samples, 59 are needed" in suite_summary(tree(samples.not_ready()), RUN)


def test_a_suite_in_which_nothing_failed_says_so() -> None:
    assert "Nothing failed." in suite_summary(tree(samples.healthy()), RUN)
    assert "Nothing failed." not in suite_summary(tree(samples.not_ready()), RUN)


@pytest.mark.parametrize("result", samples.every())
def test_every_item_of_the_result_stands_in_the_matrix(result: Any) -> None:
    told = tree(result)
    judged = slo_matrix(told).partition("## Uptime")[0]
    cells = [row for row in Rendered(judged).rows if len(row) == 3 + len(told["phases"])]
    names = [phase["name"] for phase in told["phases"]]
    count = 0
    for name, item in samples.items_of(told):
        rows = [
            row
            for row in cells
            if row[:2] == [item["app"], item["of"]] and row[2].startswith(item["must_be"])
        ]
        verdict = f"{item['verdict'].replace('_', ' ')} "
        figures = [row[3 + names.index(name)] for row in rows]
        assert any(one.startswith(verdict) and item["last"]["was"] in one for one in figures)
        count += 1
    heads = [row for row in cells if row[0] == "App"]
    shown = sum(cell != "–" for row in cells if row not in heads for cell in row[3:])
    without = [cell for one in told["phases"] for cell in one["cells"] if not cell["items"]]
    assert shown == count + len(without)


def test_the_score_can_be_worked_out_by_hand_from_the_matrix() -> None:
    cold, warm = overview("FAIL", 1085.0, tile="PASS"), overview("PASS", 31.0, tile="PASS")
    runs = {
        ("smoke", "a2"): [one("first", None, "smoke/a2", error="no token for a2")],
        ("smoke", "a8"): [one("first", overview("PASS", tile="FAIL"), "smoke/a8")],
        ("baseline", "a8"): [one("first", cold), one("warmed", warm, "baseline/a8.warmed")],
    }
    made = outline(
        phase("smoke", "a2", "a8"), phase("baseline", "a8"), phase("ramp", "a2", "a8"), phase("spike", "a8")
    )
    waits = {"gated": {"spike": ("100 VUs",)}, "awaiting": frozenset({"spike"})}
    result = judge_suite(made, facts(runs, uptime={"a2": (2000, 2000), "a8": (10, 10)}, **waits))
    read = Rendered(slo_matrix(tree(result))).rows
    credit = {"PASS": 1.0, "MITIGATED": 0.5, "WAIVED": 0.5}
    parts = []
    for column, _ in enumerate(made.phases, 3):
        words = [row[column].split()[0] for row in read if len(row) == 7 and row[0] in made.apps]
        parts.append(fmean(credit.get(word, 0.0) for word in words if word != "–"))
    parts.append(fmean(credit.get(row[4], 0.0) for row in read if len(row) == 6 and row[0] in made.apps))
    assert parts == [1 / 3, 0.75, 0.0, 0.0, 0.5]
    assert round(100 * fmean(parts), 1) == result.readiness.after
    assert ["baseline", "0.500", "0.750"] in read
    assert ["availability", "0.500", "0.500"] in read


def test_an_apps_page_has_its_verdicts_first_and_last_and_its_reasons() -> None:
    page = Rendered(slo_verdict(tree(samples.mitigated()), "a8", RUN))
    row = next(row for row in page.rows if row[:2] == ["baseline", "overview"] and "P95" in row[3])
    assert row[2:7] == ["MITIGATED", "P95 ≤ 150 ms", "1,085 ms (FAIL)", "31.2 ms", "A8-PERF-001"]
    assert ["baseline", "warmed", "PASS", "VALID", "15m 00s", "2.4.7", "baseline/a8.warmed"] in page.rows
    assert ["App", "a8"] in page.rows
    assert ["Version of the app", "2.4.7"] in page.rows
    assert "overview P95: 1,085 ms cold, 31.2 ms warm" in page.text


def test_an_apps_page_holds_nothing_of_another_app() -> None:
    page = Rendered(slo_verdict(tree(samples.not_ready()), "a7", RUN))
    assert "A8-PERF-001" not in page.text
    assert "Nothing failed." in page.text
    assert not [row for row in page.rows if "ingest" in row]
    health = [row[1] for row in page.rows if row[0] == "health" and len(row) == 8]
    assert health == ["a7 health", "a7 healthz"]


def test_the_health_of_all_counts_for_every_app() -> None:
    page = Rendered(slo_verdict(tree(samples.halted()), "a3", RUN))
    assert ["health", "–", "FAIL", "a3 health: 413 ms > 150 ms"] in page.rows
    assert any(row[:2] == ["health", "all"] for row in page.rows), "the failure"


def test_no_foreign_text_becomes_markup() -> None:
    for page in pages(samples.hostile()):
        found = Rendered(page)
        assert found.tags <= OWN_TAGS
        assert all(re.fullmatch(r"[a-z0-9_/]+\.md", link) for link in found.links)
        assert not {"\x1b", "\x00", "\u202e", "\r"} & set(page)


def test_a_hostile_text_moves_no_cell_of_a_table() -> None:
    for page in pages(samples.hostile()):
        width = 0
        for line in page.splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            columns = line.replace("\\\\", "").replace("\\|", "").count("|")
            width = width or columns
            assert columns == width


@given(st.text() | st.from_regex(r"`{1,9}\n?.*") | st.just(NASTY))
def test_a_fence_is_closed_by_nothing_that_stands_in_it(text: str) -> None:
    rendered = RENDER("\n".join([*fenced([text]), "after"]))
    assert rendered.count("<pre>") == 1
    assert rendered.endswith("</code></pre>\n<p>after</p>\n")
