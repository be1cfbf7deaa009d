"""What a cross-check says on the terminal: a line for each run while it goes, the figures at the end.

Rules
-----
- As in `terminal.py`: progress to standard error, the result to standard output, a verdict always as a word,
  foreign text cleaned.
- What agrees and says nothing new is left to the report: what is 0 in both, rates beside their counts.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ecoload.measure.cross_check import Tool, ToolRun
from ecoload.report.cross_check import FIGURES, Row, headline, method, rows
from ecoload.report.forms import clean, ms, plural, span
from ecoload.report.live import live_console
from ecoload.report.rows import Tree
from ecoload.report.tables import WIDEST, labelled, plain_table, stdout

STYLES = {"AGREE": "green", "DISAGREE": "red", "INCONCLUSIVE": "yellow"}


class SilentCrossCheckView:
    """Says nothing."""

    def begun(self, tool: Tool, number: int, rounds: int) -> None: ...

    def ended(self, run: ToolRun) -> None: ...


class CrossCheckLineView:
    """A line when a run begins, and one with its figures when it is over."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begun(self, tool: Tool, number: int, rounds: int) -> None:
        self._say(Text(f"round {number} of {rounds}  {tool.value} …", "dim"))

    def ended(self, run: ToolRun) -> None:
        p95s = [route.p95 for route in run.routes if route.p95 is not None]
        doubt = f" · {run.validity}" if run.validity not in (None, "VALID") else ""
        self._say(
            Text(
                f"round {run.round}  {run.tool.value:<8} {span(run.duration_s)} · "
                f"{plural(run.requests, 'request', 'requests')} · "
                f"P95 at most {ms(max(p95s, default=None))} ms{doubt}"
            )
        )

    def _say(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


def cross_check_view(*, silent: bool = False) -> SilentCrossCheckView | CrossCheckLineView:
    """Whoever shows a cross-check while it goes."""
    return SilentCrossCheckView() if silent else CrossCheckLineView(live_console())


def print_cross_check(result: Tree, folder: Path, report: Path, console: Console | None = None) -> None:
    """The verdict, the figures, where to look, how it was compared, and where it is written."""
    console = console or stdout()
    width = min(console.width, WIDEST)
    console.print()
    found = rows(result)
    parts = [_banner(result), *([_figures([row for row in found if _is_told(row)])] if found else [])]
    hints = [("Look at", hint, "yellow") for hint in result.get("where_to_look") or ()]
    said = [("Compared", line, "dim") for line in method(result) if found]
    notes = [("Note", note, "") for note in result.get("notes") or ()]
    for part in (*parts, *(labelled(lines) for lines in (hints, notes, said) if lines)):
        console.print(Padding(part, (0, 0, 1, 1), expand=False), width=width)
    console.print(Text.assemble(" ", ("Report    ", "dim"), clean(report)), soft_wrap=True)
    console.print(Text.assemble(" ", ("Folder    ", "dim"), clean(folder)), soft_wrap=True)


def _banner(result: Tree) -> Table:
    verdict = str(result.get("verdict"))
    top = Table.grid(padding=(0, 2))
    top.add_column(no_wrap=True)
    top.add_column()
    style = STYLES.get(verdict)
    badge = Text(f" {verdict} ", f"bold white on {style}" if style else "bold reverse")
    if style == "yellow":
        badge.stylize("bold black on yellow")
    told = (*(result.get(key) for key in ("app", "profile")), "with k6", span(result.get("duration_s")))
    top.add_row(badge, Text(clean(" · ".join(map(str, told))), "bold"))
    top.add_row(Text(), Text(headline(result)))
    for reason in result.get("reasons") or ():
        top.add_row(Text(), Text.assemble(("• ", "dim"), clean(reason)))
    return top


def _figures(found: list[Row]) -> Table:
    table = plain_table()
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Of", overflow="fold", min_width=10)
    for name in FIGURES:
        table.add_column(name.replace("k6 − ecoload", "Differ by"), justify="right", no_wrap=True)
    for row in found:
        verdict = Text(row.verdict, f"bold {STYLES.get(row.verdict, '')}".strip())
        of = Text.assemble(clean(row.of), (f" {row.unit}", "dim"))
        table.add_row(verdict, of, *(Text(clean(cell)) for cell in row.figures))
    table.caption = Text("means over the rounds; the difference is k6's figure minus ecoload's", "dim")
    table.caption_justify = "left"
    return table


def _is_told(row: Row) -> bool:
    nothing = row.ecoload == row.k6 and row.ecoload in ("0", "0.00")
    return row.verdict != "AGREE" or not (nothing or row.unit == "/s")
