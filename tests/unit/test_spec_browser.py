"""Browser flows on disk: every problem at once with its line, the plan that a flow becomes, what it may
reach, and the project that it is exported as."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import orjson
import pytest

from ecoload.errors import GuardRefused, SpecError, UsageError
from ecoload.export.artifact import Source
from ecoload.export.playwright.files import ECOSYSTEM, SHARED, artifacts, ecosystem_of, project, project_of
from ecoload.guard.approval import reasons_for_approval
from ecoload.guard.reach import used_origins
from ecoload.guard.rules import check_plan
from ecoload.measure.plan_file import read_as
from ecoload.plan import BrowserStep, Plan, Visit, Vitals, to_tree
from ecoload.spec.browser_planning import make_browser
from ecoload.spec.workspace import Workspace, load_workspace

TARGETS = """\
protocol: {namespace: perf_test}
guardrails: {deny: [POST /v1/charges]}
apps:
  shop:
    base_url: https://shop.example/store
    environment: staging
    writes: perf_test
    secrets: {KEY: {env: SHOP_KEY}, SAME: {env: ONE}}
    routes: {home: {get: /, effect: none}}
  board:
    base_url: ${BOARD_URL}
    environment: staging
    secrets: {KEY: {env: SHOP_KEY}, SAME: {env: OTHER}}
    routes: {tile: {get: /tile, effect: none}}
  live:
    base_url: https://live.example
    routes: {home: {get: /, effect: none}}
"""
FLOW = """\
about: Who orders sees it on the board's "tile".
app: shop
asks: {shop: write, board: read}
secrets: [KEY]
timeout: 90s
vitals: {lcp_ms: 2500, cls: 0.1}
steps:
  - {name: ordered}
  - {name: on the board, within: 60s}
"""
SPEC = "import { test } from './ecoload';\n"
ENVIRON = {"BOARD_URL": "http://board.example:8080"}


def load(
    root: Path, flow: str = FLOW, targets: str = TARGETS, files: dict[str, str] | None = None
) -> Workspace:
    folder = root / "scenarios" / "browser"
    folder.mkdir(parents=True)
    (root / "targets.yaml").write_text(targets)
    (folder / "order.yaml").write_text(flow)
    for name, content in ({"order.spec.ts": SPEC} if files is None else files).items():
        (folder / name).write_text(content)
    return load_workspace(root / "targets.yaml", environ=ENVIRON)


def problems(root: Path, **given: str | dict[str, str]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(root, **given)  # type: ignore[arg-type]
    return [f"{Path(p.file).name}:{p.line}: {p.message}" for p in caught.value.problems]


def test_a_flow_becomes_a_plan_that_says_whom_the_browser_asks(tmp_path: Path) -> None:
    plan = make_browser(load(tmp_path), "order")
    assert plan.browser is not None
    assert (plan.app, plan.profile, plan.flow_name, plan.loads) == ("shop", "order", "order", ())
    names = [origin.app for origin in plan.origins]
    assert plan.browser.visits == (Visit(names.index("shop"), True), Visit(names.index("board"), False))
    assert plan.browser.steps == (BrowserStep("ordered"), BrowserStep("on the board", 60_000_000_000))
    assert plan.browser.sources == (("order.spec.ts", hashlib.sha256(SPEC.encode()).hexdigest()),)
    assert plan.browser.vitals == Vitals(lcp_ms=2500.0, cls=0.1)
    assert (plan.browser.timeout_ns, plan.secrets) == (90_000_000_000, (("KEY", "env:SHOP_KEY"),))
    assert used_origins(plan) == {visit.origin for visit in plan.browser.visits}
    assert reasons_for_approval(plan) == ()
    check_plan(plan)
    assert read_as(Plan, orjson.loads(orjson.dumps(to_tree(plan)))) == plan


def test_the_hash_knows_the_spec_and_whatever_specs_have_in_common(tmp_path: Path) -> None:
    plans = [
        make_browser(load(tmp_path / str(number), files=files), "order")
        for number, files in enumerate(
            (
                {"order.spec.ts": SPEC},
                {"order.spec.ts": SPEC + "//\n"},
                {"order.spec.ts": SPEC, "pages.ts": ""},
            )
        )
    ]
    assert len({plan.execution_hash for plan in plans}) == 3
    assert len({plan.spec_hash for plan in plans}) == 3
    assert plans[2].browser is not None
    assert [name for name, _ in plans[2].browser.sources] == ["order.spec.ts", "pages.ts"]


def test_every_problem_comes_at_once_with_its_line(tmp_path: Path) -> None:
    flow = """\
about: x
app: shop
asks: {shop: write, board: write, bord: read}
secrets: [KEE, SAME]
timeout: 30s
steps:
  - {name: a}
  - {name: a, within: 30s}
"""
    assert problems(tmp_path, flow=flow, files={"other.spec.ts": "", "or der.ts": ""}) == [
        "or der.ts:0: its name must be of letters, digits, ., - and _",
        "order.yaml:1: there is no order.spec.ts beside it",
        "order.yaml:3: asks.board: board is read-only: it has no `writes:` in targets.yaml",
        "order.yaml:3: asks.bord: unknown app 'bord'; did you mean 'board'?",
        "order.yaml:4: secrets[0]: no app that is asked has the secret 'KEE'; did you mean 'KEY'?",
        "order.yaml:4: secrets[1]: two apps mean different things by 'SAME'; rename one",
        "order.yaml:8: steps[1].name: two steps are called 'a'",
        "order.yaml:8: steps[1].within: is no shorter than the timeout of the whole flow",
        "other.spec.ts:0: there is no other.yaml beside it, which says whom it asks",
    ]


def test_a_flow_asks_the_app_whose_flow_it_is(tmp_path: Path) -> None:
    found = problems(tmp_path, flow=FLOW.replace("asks: {shop: write, board", "asks: {board"))
    assert any("asks: does not name shop, whose flow it is" in line for line in found)


def test_a_phase_names_flows_that_there_are(tmp_path: Path) -> None:
    targets = TARGETS + "phases:\n  - {name: browser, browser: [ordr, order, order]}\n"
    assert problems(tmp_path, targets=targets) == [
        "targets.yaml:19: phases[0].browser[0]: unknown flow 'ordr'; did you mean 'order'?; it would be "
        "scenarios/browser/NAME.yaml",
        "targets.yaml:19: phases[0].browser[2]: 'order' stands twice",
    ]


def test_an_app_without_an_address_is_no_plan(tmp_path: Path) -> None:
    workspace = dataclasses.replace(load(tmp_path), environ={})
    with pytest.raises(UsageError, match="asks board, whose address is not known"):
        make_browser(workspace, "order")
    with pytest.raises(UsageError, match="unknown browser flow 'ordr'; did you mean 'order'"):
        make_browser(workspace, "ordr")


def test_production_needs_an_approval_and_a_read_only_app_is_never_written_to(tmp_path: Path) -> None:
    flow = FLOW.replace("board: read", "live: read")
    plan = make_browser(load(tmp_path, flow=flow), "order")
    assert reasons_for_approval(plan) == ("live (https://live.example) is production",)
    assert plan.browser is not None
    writes = tuple(dataclasses.replace(visit, writes=True) for visit in plan.browser.visits)
    with pytest.raises(GuardRefused, match="browser: it writes to live, which is read-only"):
        check_plan(dataclasses.replace(plan, browser=dataclasses.replace(plan.browser, visits=writes)))


def test_who_writes_to_an_address_writes_to_every_app_that_is_there(tmp_path: Path) -> None:
    targets = TARGETS.replace("${BOARD_URL}", "https://shop.example")
    with pytest.raises(GuardRefused, match="it writes to shop, and board, which is at the same address, is"):
        check_plan(make_browser(load(tmp_path, targets=targets), "order"))


def test_tls_files_that_a_browser_does_not_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    targets = TARGETS.replace("writes: perf_test\n", "writes: perf_test\n    tls: {ca_file: ca.pem}\n")
    with pytest.raises(UsageError, match="asks shop, whose tls: files a browser does not read"):
        make_browser(load(tmp_path, targets=targets), "order")


def test_the_project_is_the_specs_what_is_shared_and_what_the_files_say(tmp_path: Path) -> None:
    workspace = load(tmp_path, files={"order.spec.ts": SPEC, "pages.ts": "export {};\n"})
    found = project(Source(workspace))
    assert set(found) == {*SHARED, ECOSYSTEM, "order.spec.ts", "pages.ts"}
    assert found["order.spec.ts"] == SPEC.encode()
    assert b"http" not in found["package-lock.json"], "no registry"
    text = found[ECOSYSTEM].decode()
    assert text.startswith(
        "// Written by `ecoload export-playwright` from targets.yaml and scenarios/browser"
    )
    for line in (
        "export type App = 'board' | 'shop';",
        "    board: { variable: 'BOARD_URL', url: '', hosts: ['board.example'] },",
        "    shop: { variable: 'SHOP_URL', url: 'https://shop.example/store', hosts: ['shop.example'] },",
        "  deny: ['POST /v1/charges'],",
        "      about: 'Who orders sees it on the board\\'s \"tile\".',",
        "      apps: { shop: 'write', board: 'read' },",
        "      timeoutMs: 90000,",
        "        { name: 'ordered', withinMs: null },",
        "        { name: 'on the board', withinMs: 60000 },",
    ):
        assert line in text.splitlines()
    assert "SHOP_KEY" not in text
    assert [artifact.path for artifact in artifacts(Source(workspace))] == [
        f"tests/perf/playwright/{name}" for name in found
    ]


def test_what_is_carried_out_has_the_addresses_of_the_plan(tmp_path: Path) -> None:
    text = ecosystem_of(make_browser(load(tmp_path), "order"))
    assert "board: { variable: 'BOARD_URL', url: 'http://board.example:8080', hosts" in text
    assert "order: {" in text


def test_a_text_stays_a_text_in_the_module(tmp_path: Path) -> None:
    flow = FLOW.replace("{name: ordered}", '{name: "\'; throw 1; //${x}\u2028\\\\"}')
    text = ecosystem_of(make_browser(load(tmp_path, flow=flow), "order"))
    assert "{ name: '\\'; throw 1; //${x}\\u2028\\\\', withinMs: null }" in text


@pytest.mark.parametrize("name", ["guard.ts", "Guard.ts", "ecosystem.ts", "playwright.config.ts"])
def test_a_file_with_the_name_of_one_of_the_project_is_refused(tmp_path: Path, name: str) -> None:
    workspace = load(tmp_path, files={"order.spec.ts": SPEC, name: ""})
    with pytest.raises(UsageError, match=f"browser/{name.lower()}: a file of the project is called so"):
        project(Source(workspace))
    with pytest.raises(UsageError, match=f"browser/{name.lower()}: a file of the project is called so"):
        project_of(make_browser(workspace, "order"), {"order.spec.ts": b"", name: b""})


def test_without_browser_flows_there_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "targets.yaml").write_text(TARGETS)
    assert list(artifacts(Source(load_workspace(tmp_path / "targets.yaml", environ=ENVIRON)))) == []
