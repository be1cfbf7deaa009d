"""What a run says on the terminal: the live view while it goes, and its verdicts at the end.

Rules
-----
- The live view goes to standard error, the result to standard output.
- Colour only on a terminal, and never where NO_COLOR is set; a verdict is always a word as well.
- Every foreign text is cleaned and goes in as a rich Text: nothing of it is read as markup.
- It fits 80 columns; reasons are wrapped, figures never cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ecoload.report.forms import clean, ms, rate, share, span, whole
from ecoload.report.live import LineView, PanelView, SilentView, live_console
from ecoload.report.plan_view import print_plan
from ecoload.report.rows import (
    Judged,
    Tree,
    facts,
    has_response_times,
    headline,
    judged,
    reasons,
    route_verdict,
    title,
    validity,
)
from ecoload.report.tables import WIDEST, labelled, plain_table, stdout

__all__ = ["live_view", "print_plan", "print_result"]

STYLES = {
    "PASS": "green",
    "VALID": "green",
    "FAIL": "red",
    "INVALID": "red",
    "INCONCLUSIVE": "yellow",
    "SUSPECT": "yellow",
}
ROOMY = 96
"""From this many columns on there is room for the maximum too."""


def live_view(*, silent: bool = False, console: Console | None = None) -> SilentView | LineView | PanelView:
    """Whoever shows a run while it goes: a panel on a terminal, plain lines elsewhere, or nothing."""
    if silent:
        return SilentView()
    console = console or live_console()
    return PanelView(console) if console.is_terminal and not console.is_dumb_terminal else LineView(console)


def print_result(result: Tree, folder: Path, console: Console | None = None) -> None:
    """The verdicts, the figures of each route, what was not done, and the run's folder last."""
    console = console or stdout()
    width = min(console.width, WIDEST)
    console.print()
    for part in _result(result, width):
        console.print(Padding(part, (0, 0, 1, 1), expand=False), width=width)
    console.print(Text.assemble(" ", ("Report    ", "dim"), clean(folder / "report.html")), soft_wrap=True)
    console.print(Text.assemble(" ", ("Folder    ", "dim"), clean(folder)), soft_wrap=True)


def _result(result: Tree, width: int) -> Iterator[RenderableType]:
    yield _banner(result)
    rows = judged(result)
    if rows:
        yield _verdicts(rows)
    if result.get("routes"):
        yield _routes(result, roomy=width >= ROOMY)
    yield labelled([(f.label, f.text, "yellow" if f.notable else "") for f in facts(result)])


def _banner(result: Tree) -> Table:
    verdict, (status, _) = str(result.get("verdict")), validity(result)
    top = Table.grid(padding=(0, 2))
    top.add_column(no_wrap=True)
    top.add_column()
    run = f"{title(result)} · {span(result.get('duration_s'))}"
    badge = Text(f" {verdict} ", f"bold white on {STYLES[verdict]}" if verdict in STYLES else "bold reverse")
    if STYLES.get(verdict) == "yellow":
        badge.stylize("bold black on yellow")
    told = Text.assemble((clean(run), "bold"), "   measurement ", (status, f"bold {STYLES.get(status, '')}"))
    top.add_row(badge, told)
    top.add_row(Text(), Text(headline(result)))
    for reason in reasons(result):
        top.add_row(Text(), Text.assemble(("• ", "dim"), clean(reason)))
    return top


def _verdicts(rows: list[Judged]) -> Table:
    table = plain_table()
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Of", overflow="fold", min_width=9)
    table.add_column("Must be", overflow="fold", min_width=12)
    table.add_column("Was", overflow="fold")
    table.add_column("95 % interval", no_wrap=True)
    for row in rows:
        verdict = _verdict(row.verdict) if row.required else Text(f"({row.verdict})", "dim")
        style = f"bold {STYLES[row.verdict]}" if row.required and row.verdict == "FAIL" else ""
        table.add_row(
            verdict,
            Text(clean(row.of)),
            Text(clean(row.must_be)),
            Text(clean(row.was), style),
            Text(row.interval, "dim"),
        )
    if not all(row.required for row in rows):
        table.caption = Text("a verdict in brackets is shown and decides nothing", "dim")
        table.caption_justify = "left"
    return table


def _routes(result: Tree, *, roomy: bool) -> Table:
    """Where there is little room, the verdict by route is left to the table of verdicts."""
    table = plain_table()
    longest = max((len(route["route"]) for route in result["routes"]), default=0)
    table.add_column("Route", overflow="fold", min_width=min(max(9, longest), 20))
    percentiles = ("p50", "p95", "p99", "max") if roomy else ("p50", "p95", "p99")
    for name in ("Requests", "Rate/s", "Errors", *map(str.capitalize, percentiles), "Service P95"):
        table.add_column(name, justify="right", no_wrap=name != "Service P95", min_width=min(len(name), 7))
    if roomy:
        table.add_column("Verdict", no_wrap=True)
    kind = "response" if has_response_times(result) else "service"
    for route in result["routes"]:
        shown, service = route.get(f"{kind}_ms") or {}, route.get("service_ms") or {}
        failing = bool(route.get("errors"))
        table.add_row(
            Text(clean(route["route"])),
            whole(route.get("requests")),
            rate(route.get("rps")),
            Text(share(route.get("error_rate")).replace(" ", ""), "red" if failing else ""),
            *(ms(shown.get(key)) for key in percentiles),
            ms(service.get("p95")),
            *([_verdict(route_verdict(route))] if roomy else []),
        )
    since = "from when a request was due" if kind == "response" else "as k6 measures it"
    table.caption = Text(f"{kind} time in ms, {since}; of requests that were ok", "dim")
    table.caption_justify = "left"
    return table


def _verdict(word: str) -> Text:
    return Text(word, f"bold {STYLES.get(word, '')}".strip())
