"""A flow's result (`flow.json` as a tree): its summary in Markdown, its page, its table on the terminal.

Rules
-----
- Figures and verdicts are read from the result and never formed here.
- Every foreign text is cleaned, and escaped for the form it stands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ecoload.errors import OutputFailed
from ecoload.measure.flow import Pass, StepOutcome, StepTaken
from ecoload.plan import Plan
from ecoload.report.folder import replace
from ecoload.report.forms import NOTHING, clean, moment, ms, plural, span
from ecoload.report.live import live_console
from ecoload.report.markdown import escaped, table
from ecoload.report.markup import asset, badge, page, section, terms, text, tone
from ecoload.report.markup import table as html_table
from ecoload.report.tables import WIDEST, plain_table, stdout
from ecoload.report.terminal import STYLES
from ecoload.verdict.flow import told

Tree = Mapping[str, Any]
_HEAD = ("Verdict", "Step", "Asks", "Held", "Seen after, ms", "Within", "Reason")


def write_flow_reports(folder: Path, result: Tree) -> None:
    """Writes `summary.md`, `report.html` and `flow.json`, that last. Raises OutputFailed."""
    try:
        replace(folder / "summary.md", flow_markdown(result).encode())
        replace(folder / "report.html", flow_html(result).encode())
        replace(
            folder / "flow.json", orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
    except OSError as error:
        raise OutputFailed(f"{error.filename or folder}: {error.strerror}; free some space") from error


def flow_markdown(result: Tree) -> str:
    """The summary of a flow."""
    return "\n".join(_markdown(result)).rstrip("\n") + "\n"


def flow_html(result: Tree) -> str:
    """The page of a flow: one file that needs nothing else."""
    verdict = str(result.get("verdict"))
    reasons = "".join(f"<li>{text(reason)}</li>" for reason in result.get("verdict_reasons") or ())
    head = (
        f'<header class="{tone(verdict)}"><div class="wide">\n<p class="kicker">ecoload</p>\n'
        f"<h1>{text(_title(result))}</h1>\n"
        f'<p class="verdict"><strong class="badge {tone(verdict)}">{text(verdict)}</strong></p>\n'
        f'<p class="headline">{text(result.get("about"))}</p>\n'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}"
        f"<dl>{terms(_facts(result))}</dl>\n</div></header>\n<main>\n"
    )
    body = [
        [badge(row[0]), *(text(cell) for cell in row[1:6]), f'<span class="quiet">{text(row[6])}</span>']
        for row in _rows(result)
    ]
    note = (
        '<p class="quiet">Seen after: from the end of the step before to the end of the answer that held. '
        "Each request and the digest of its answer stand in <code>evidence.jsonl</code> beside this page.</p>"
    )
    steps = section("Steps", html_table(_HEAD, body, numbers=(), label="Steps") + note)
    return page(
        f"{clean(_title(result))}: {clean(verdict)}", f"{head}{steps}</main>\n", asset("page/report.css")
    )


def print_flow(result: Tree, folder: Path, console: Console | None = None) -> None:
    """The verdict, a line for each step, and the folder last."""
    console = console or stdout()
    width = min(console.width, WIDEST)
    verdict = str(result.get("verdict"))
    banner = Text.assemble(
        (f" {verdict} ", f"bold white on {STYLES.get(verdict, 'default')}"),
        (f"  {clean(_title(result))} · {span(result.get('duration_s'))}", "bold"),
    )
    console.print()
    about = Text(clean(result.get("about")), "dim")
    parts: list[RenderableType] = [banner, about, _steps(result), *_why(result)]
    for part in parts:
        console.print(Padding(part, (0, 0, 1, 1), expand=False), width=width)
    for label, told_ in (
        ("Evidence", folder / "evidence.jsonl"),
        ("Report", folder / "report.html"),
        ("Folder", folder),
    ):
        console.print(Text.assemble(" ", (f"{label:<10}", "dim"), clean(told_)), soft_wrap=True)


class FlowLines:
    """Says each step that does not hold as it happens, and each pass; on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or live_console()
        self._last = ""

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None:
        assert plan.flow is not None, "the plan of a flow"
        passes = len(plan.flow.cases) * plan.flow.repeat
        self._last = plan.flow.steps[-1].name
        line = f"{clean(plan.flow.name)} · {plural(passes, 'pass', 'passes')} of {len(plan.flow.steps)} steps"
        self._console.print(Text(line, "bold"), soft_wrap=True)

    def step(self, one: Pass, taken: StepTaken) -> None:
        where = f"{one.number + 1:>4} {clean(one.case)}".rstrip()
        if taken.outcome is StepOutcome.FAILED:
            line = Text.assemble(
                f"{where}  ", (clean(taken.name), "bold"), ("  FAIL  ", "red"), clean(told(taken))
            )
            self._console.print(line, soft_wrap=True)
        elif taken.outcome is StepOutcome.HELD and taken.name == self._last:
            self._console.print(Text(f"{where}  holds", "dim"), soft_wrap=True)

    def end(self) -> None: ...


class SilentFlow:
    """Says nothing."""

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None: ...

    def step(self, one: Pass, taken: StepTaken) -> None: ...

    def end(self) -> None: ...


def _title(result: Tree) -> str:
    return f"flow · {result.get('flow')}"


def _markdown(result: Tree) -> Iterator[str]:
    yield f"# {escaped(_title(result))}: {escaped(result.get('verdict'))}"
    yield ""
    yield escaped(result.get("about"))
    yield ""
    yield from table(("", ""), _facts(result))
    yield ""
    reasons = [f"- {escaped(reason)}" for reason in result.get("verdict_reasons") or ()]
    yield from (*reasons, "") if reasons else ()
    yield from ("## Steps", "")
    yield from table(_HEAD, list(_rows(result)))
    yield ""
    yield "Seen after: from the end of the step before to the end of the answer that held."


def _facts(result: Tree) -> list[tuple[str, str]]:
    protocol = result.get("protocol") or {}
    found = [
        ("App", result.get("app")),
        ("Assigned app", protocol.get("assigned_app")),
        ("Mode", protocol.get("mode")),
        ("Protocol", protocol.get("name")),
        ("Namespace", protocol.get("namespace")),
        ("Run", result.get("run_id")),
        ("Started", moment(result.get("started_at") or "")),
        ("Duration", span(result.get("duration_s"))),
        (
            "Passes",
            f"{result.get('passes')} ({', '.join(filter(None, result.get('cases') or ())) or 'no cases'})",
        ),
        ("Plan (execution hash)", result.get("execution_hash")),
        *(("Note", note) for note in result.get("notes") or ()),
    ]
    return [(label, str(value)) for label, value in found if value not in (None, "")]


def _rows(result: Tree) -> Iterator[tuple[str, ...]]:
    for proof in result.get("proofs") or ():
        seen = proof.get("visible_ms")
        after = (
            NOTHING if not seen else f"P50 {ms(seen['p50'])} · P95 {ms(seen['p95'])} · max {ms(seen['max'])}"
        )
        within = NOTHING if proof.get("within_s") is None else f"{proof['within_s']:g} s"
        yield (
            str(proof.get("verdict")),
            str(proof.get("name")),
            f"{proof.get('app')} {proof.get('route')}",
            f"{proof.get('held')} of {proof.get('passes')}",
            after,
            within,
            str(proof.get("reason") or ""),
        )


def _steps(result: Tree) -> Table:
    shown = plain_table()
    for name in ("", "Step", "Asks", "Held", "Seen after, ms"):
        shown.add_column(name, overflow="fold")
    for verdict, name, asks, held, after, *_ in _rows(result):
        shown.add_row(
            Text(verdict, STYLES.get(verdict, "")), Text(clean(name)), Text(clean(asks), "dim"), held, after
        )
    return shown


def _why(result: Tree) -> Iterator[Text]:
    """What did not hold, below the table: it may be long."""
    for verdict, name, *_, reason in _rows(result):
        if reason:
            style = STYLES.get(verdict, "")
            yield Text.assemble((clean(name), f"bold {style}"), ": ", clean(reason))
