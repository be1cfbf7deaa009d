"""What a run says on the terminal, while it goes and at its end."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ecoload.measure.recorder import Recorder
from ecoload.plan import ClientCredentials
from ecoload.report.live import LINE_EVERY_S, sparkline
from ecoload.report.terminal import live_view, print_plan, print_result
from tests.unit.measuring import a_plan, second_of
from tests.unit.report_samples import failing, hostile, invalid, passing


def console(width: int = 80, *, terminal: bool = False, **more: Any) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        highlight=False,
        legacy_windows=False,
        **more,
    )


def said(by: Console) -> str:
    assert isinstance(by.file, io.StringIO)
    return by.file.getvalue()


def shown(result: dict[str, Any], width: int = 80, **more: Any) -> str:
    by = console(width, **more)
    print_result(result, Path("runs/r1"), by)
    return said(by)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("result", [passing(), failing(), invalid(), hostile()])
def test_no_line_is_wider_than_the_terminal(result: dict[str, Any], width: int) -> None:
    assert max(map(len, shown(result, width).splitlines())) <= width


@pytest.mark.parametrize(("width", "verdicts"), [(80, 4), (120, 5)], ids=["80", "120"])
def test_verdicts_and_figures_are_never_cut(width: int, verdicts: int) -> None:
    text = shown(invalid(), width)
    assert "…" not in text
    assert text.count("INCONCLUSIVE") == verdicts, "the table of routes says it too where there is room"
    for figure in ("12,000", "21.4", "89.2", "131", "85.7"):
        assert figure in text


def test_the_verdict_comes_first_and_the_folder_last() -> None:
    lines = shown(failing()).split("\n")
    assert lines[1].split()[0] == "FAIL"
    assert lines[-2].split() == ["Folder", "runs/r1"]


def test_the_reasons_of_an_invalid_measurement_stand_beside_its_verdict() -> None:
    text = shown(invalid())
    assert "measurement INVALID" in text
    assert "the rate was off by 23 %" in text


def test_nothing_foreign_is_read_as_markup_or_reaches_the_terminal_as_control() -> None:
    text = shown(hostile(), 200)
    assert "[red]" in text
    assert not {"\x1b", "\x00", "\u202e"} & set(text)


def test_colour_is_for_terminals_and_never_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in shown(passing(), terminal=True, color_system="standard")
    assert "\x1b[" not in shown(passing())
    assert "\x1b[1;37;42m" in shown(passing(), terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert ";42m" not in shown(passing(), terminal=True, color_system="standard")


def test_elsewhere_than_on_a_terminal_a_line_comes_every_few_seconds(tmp_path: Path) -> None:
    by = console(terminal=False)
    view = live_view(console=by)
    run_through(view, tmp_path, 2 * LINE_EVERY_S)
    lines = said(by).splitlines()
    assert len(lines) == 3
    assert "run r1" in lines[0]
    assert "P50 20.0 P95 20.0 P99 20.0 ms" in lines[1]


def test_on_a_terminal_a_panel_shows_the_second_and_goes_away(tmp_path: Path) -> None:
    by = console(100, terminal=True, color_system=None)
    view = live_view(console=by)
    run_through(view, tmp_path, 3)
    for word in ("response time", "service time", "queued", "dropped", "left", "20.0"):
        assert word in said(by)


def test_a_silent_view_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_through(live_view(silent=True), tmp_path, 6)
    assert capsys.readouterr() == ("", "")


def test_a_plan_shows_what_it_would_send_and_its_hash() -> None:
    by = console(120)
    print_plan(a_plan(), by)
    assert a_plan().execution_hash in said(by)


def test_a_sparkline_reaches_from_0_to_the_greatest_of_the_last_values() -> None:
    assert sparkline([9, 0, 1, 2, 4], 4) == "▁▂▄█"
    assert sparkline([0, 0], 5) == "▁▁"
    assert sparkline([], 5) == ""


def run_through(view: Any, folder: Path, seconds: int) -> None:
    """A run of one request of 20 ms in each second, shown by `view`."""
    plan = a_plan()
    recorder = Recorder.for_plan(plan)
    recorder.begin(0)
    view.begin(plan, "r1", folder)
    for second in range(seconds):
        view.second(second_of(recorder, second + 1, [20.0]))
    view.end()


def test_a_plan_says_where_its_tokens_come_from() -> None:
    def told(auth: ClientCredentials | None) -> str:
        by = console(80)
        print_plan(dataclasses.replace(a_plan(), auth=auth), by)
        return said(by)

    app = a_plan().origins[0].app
    auth = ClientCredentials(0, "/oidc/token", "ecoload", "A1_CLIENT_SECRET", "a2")
    assert f"from {app}:/oidc/token as ecoload, for a2" in told(auth)
    assert "Tokens" not in told(None)


def test_a_plan_shows_where_its_names_lead() -> None:
    def told(host: str, *addresses: str) -> str:
        plan, by = a_plan(), console(120)
        changes = {"host": host, "addresses": addresses, "embedded": False}
        origins = (dataclasses.replace(plan.origins[0], **changes), *plan.origins[1:])
        print_plan(dataclasses.replace(plan, origins=origins), by)
        return " ".join(said(by).split())

    assert " at 192.0.2.9, 2001:db8::2 (" in told("shop.example", "192.0.2.9", "2001:db8::2")
    assert " at no known address (" in told("nowhere.example")
    assert " at " not in told("192.0.2.9", "192.0.2.9")


def test_a_plan_shows_only_the_routes_that_its_loads_send_to() -> None:
    plan = a_plan()
    by = console(160)
    unused = dataclasses.replace(plan.routes[0], name="never_asked", path="/never")
    print_plan(dataclasses.replace(plan, routes=(*plan.routes, unused)), by)
    assert "/never" not in said(by)
    assert plan.routes[0].path in said(by)
