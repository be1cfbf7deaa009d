"""Flows on disk: every problem at once with its line, and the plan that a flow becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecoload.errors import SpecError, UsageError
from ecoload.guard.rules import check_plan
from ecoload.plan import Case, Eventually, FlowStep, Step
from ecoload.spec.flow_planning import make_flow
from ecoload.spec.workspace import Workspace, load_workspace

ROOT = Path(__file__).parents[2]
TARGETS = """\
protocol: {namespace: perf_test}
profiles:
  p: {executor: constant, vus: 1, duration: 1s}
apps:
  shop:
    base_url: https://shop.example
    environment: staging
    writes: perf_test
    secrets: {KEY: {env: SHOP_KEY}}
    auth: {client_credentials: {token_url: "shop:/token", client_id: me, client_secret: {secret: KEY}}}
    routes:
      order: {post: /orders, effect: write, namespace: {in: json, at: namespace}}
      read: {get: "/orders/{id}", effect: none, auth: none}
  board:
    base_url: ${BOARD_URL}
    environment: staging
    secrets: {KEY: {env: BOARD_KEY}, OTHER: {env: OTHER_KEY}}
    auth: {client_credentials: {token_url: "shop:/token", client_id: me, client_secret: {secret: OTHER}}}
    routes:
      tile: {get: /tile, effect: none}
"""
FLOW = """\
about: An order shows on the board.
app: shop
cases:
  small: {cents: 1}
  large: {cents: 100}
repeat: 2
let: {order: "${uuid()}"}
steps:
  - route: order
    json: {namespace: perf_test, id: "${order}", cents: "${data.cents}"}
    capture: {number: {json: $.number}}
  - name: on the board
    app: board
    route: tile
    query: {number: "${number}"}
    eventually: {within: 60s}
    check: {json: {"$.rows[*].cents": {all: ["${data.cents}"]}}}
"""


def load(root: Path, flow: str = FLOW, targets: str = TARGETS, name: str = "order") -> Workspace:
    (root / "scenarios" / "flows").mkdir(parents=True)
    (root / "targets.yaml").write_text(targets)
    (root / "scenarios" / "flows" / f"{name}.yaml").write_text(flow)
    return load_workspace(root / "targets.yaml", environ={"BOARD_URL": "https://board.example"})


def problems(root: Path, flow: str = FLOW, targets: str = TARGETS, name: str = "order") -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(root, flow, targets, name)
    return [f"{Path(p.file).name}:{p.line}: {p.message}" for p in caught.value.problems]


def test_a_flow_is_one_plan_with_all_its_apps_and_their_tokens(tmp_path: Path) -> None:
    plan = make_flow(load(tmp_path), "order", seed=7)
    check_plan(plan)
    assert (plan.app, plan.profile, plan.seed, plan.loads) == ("shop", "order", 7, ())
    assert plan.flow is not None
    assert plan.flow.steps == (FlowStep("order"), FlowStep("on the board", Eventually(60_000_000_000)))
    assert plan.flow.cases == (Case("small", (("cents", 1),)), Case("large", (("cents", 100),)))
    steps = [step for step in plan.scenarios[0].steps if isinstance(step, Step)]
    assert [(plan.origins[s.origin].app, plan.routes[s.route].name) for s in steps] == [
        ("shop", "order"),
        ("board", "tile"),
    ]
    assert {app: auth.secret for app, auth in plan.auths.items()} == {"shop": "KEY", "board": "OTHER"}
    assert dict(plan.secrets) == {"KEY": "env:SHOP_KEY", "OTHER": "env:OTHER_KEY"}
    assert {r.name: r.bearer for r in plan.routes} == {"order": True, "read": False, "tile": True}


def test_everything_that_is_written_changes_the_hashes(tmp_path: Path) -> None:
    hashes = set()
    for number, change in enumerate(
        (("60s", "50s"), ("repeat: 2", "repeat: 3"), ("cents: 100", "cents: 101"), ("on the board", "there"))
    ):
        plan = make_flow(load(tmp_path / str(number), FLOW.replace(*change)), "order")
        hashes |= {plan.spec_hash, plan.execution_hash}
    plan = make_flow(load(tmp_path / "same"), "order")
    assert len(hashes | {plan.spec_hash, plan.execution_hash}) == 10


def test_every_problem_of_a_flow_is_told_with_its_line(tmp_path: Path) -> None:
    flow = FLOW.replace("{cents: 1}", "{cent: 1}").replace("app: board", "app: bord")
    flow = flow.replace("route: order", "route: oder").replace("${order}", "${ordr}")
    found = problems(tmp_path, flow)
    assert sorted(found) == [
        "order.yaml:10: steps[0].json.id: unknown name 'ordr'; did you mean 'order'?",
        "order.yaml:13: steps[1].app: unknown app 'bord'; did you mean 'board'?",
        "order.yaml:4: cases.small: has no cents, which another case has",
        "order.yaml:5: cases.large: has no cent, which another case has",
        "order.yaml:9: steps[0].route: app 'shop' has no route 'oder'; did you mean 'order'?",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("  - route: order", "  - eventually: {within: 1s}\n    route: order"), "it is sent once"),
        (("    route: tile", "    route: tile\n    think: 1s"), "a step of a flow has no think:"),
        (("    route: tile", "    route: tile\n    redirects: 3"), "a step of a flow has no redirects:"),
        (("name: on the board", "name: order"), "two steps are called 'order'"),
        (("${number}", "${nuber}"), "nuber"),
        (("${data.cents}\"}\n    capture", "${data.euros}\"}\n    capture"), "euros"),
        (("{all: [\"${data.cents}\"]}", "{all: 3}"), "expected a list of all the values"),
        (("repeat: 2", "repeat: 0"), "greater than or equal to 1"),
        (("{within: 60s}", "{within: 0s}"), "within"),
        (("namespace: perf_test, id", "namespace: other, id"), "other"),
        (("${number}", "${secret.KEX}"), "KEX"),
    ],
)  # fmt: skip
def test_what_a_flow_cannot_be_is_said(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in FLOW
    assert said in "\n".join(problems(tmp_path, FLOW.replace(*change)))


def test_a_secret_is_in_reach_of_its_own_app_only(tmp_path: Path) -> None:
    mine = FLOW.replace("    query:", '    headers: {X-Key: "${secret.OTHER}"}\n    query:')
    make_flow(load(tmp_path / "mine", mine), "order")
    theirs = FLOW.replace(
        "    json: {namespace", '    headers: {X-Key: "${secret.OTHER}"}\n    json: {namespace'
    )
    assert "OTHER" in "\n".join(problems(tmp_path / "theirs", theirs))


def test_one_secret_of_two_meanings_is_refused(tmp_path: Path) -> None:
    workspace = load(
        tmp_path, targets=TARGETS.replace("client_secret: {secret: OTHER}", "client_secret: {secret: KEY}")
    )
    with pytest.raises(UsageError, match="the secret KEY of board is another one"):
        make_flow(workspace, "order")


def test_an_app_without_an_address_and_an_unknown_flow_are_named(tmp_path: Path) -> None:
    load(tmp_path)
    workspace = load_workspace(tmp_path / "targets.yaml", environ={})
    with pytest.raises(UsageError, match="the flow order asks board, whose address is not known"):
        make_flow(workspace, "order")
    with pytest.raises(UsageError, match="unknown flow 'ordr'; did you mean 'order'"):
        make_flow(workspace, "ordr")


def test_a_flow_has_a_name_of_its_own_and_a_file_that_is_read(tmp_path: Path) -> None:
    assert "'shop' is an app" in "\n".join(problems(tmp_path / "app", name="shop"))
    assert "is not read" in "\n".join(problems(tmp_path / "name", name="two words"))


def test_a_phase_names_flows_that_are_there(tmp_path: Path) -> None:
    phases = "phases:\n  - {name: backend, flows: [order, ordr, order]}\n"
    found = "\n".join(problems(tmp_path, targets=TARGETS + phases))
    assert "unknown flow 'ordr'; did you mean 'order'?" in found
    assert "'order' stands twice" in found


def test_the_shipped_flows_are_sound() -> None:
    workspace = load_workspace(ROOT / "targets.yaml", environ={})
    assert set(workspace.flows) == {"finance", "payments", "provider_funnel", "telemetry"}
    for name in workspace.flows:
        check_plan(make_flow(workspace, name))
