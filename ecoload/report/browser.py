"""Browser flows (`e2e.json` as a tree): their summary in Markdown, their page, their table on the terminal.

Rules
-----
- Figures and verdicts are read from the result and never formed here.
- Every foreign text is cleaned, and escaped for the form it stands in.
- The page is one file that needs nothing else: its pictures and films stand in it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from ecoload.errors import OutputFailed
from ecoload.measure.browser import METRICS
from ecoload.measure.result import Verdict
from ecoload.plan import Plan
from ecoload.report.folder import replace
from ecoload.report.forms import NOTHING, clean, moment, span
from ecoload.report.live import live_console
from ecoload.report.markdown import escaped, table
from ecoload.report.markup import asset, badge, page, section, terms, text, tone
from ecoload.report.markup import table as html_table
from ecoload.report.tables import WIDEST, plain_table, stdout
from ecoload.report.terminal import STYLES
from ecoload.verdict.browser import NO_BROWSER, label, short, shown
from ecoload.verdict.slo import worst

Tree = Mapping[str, Any]
SCHEMA = "ecoload.e2e_results/1"
PLACE = Path("tests", "perf", "playwright")
"""Where the report of all flows stands, from the workspace on."""
MOST_FILM = 24 << 20
"""Of a film that is shown in a page."""
_HEAD = ("Verdict", "Step", "Took, s", "Seen after, s", "Within", "Reason")


def write_browser_reports(folder: Path, result: Tree) -> None:
    """Writes `summary.md`, `report.html` and `e2e.json`, that last. Raises OutputFailed."""
    try:
        replace(folder / "summary.md", browser_markdown(result).encode())
        replace(folder / "report.html", browser_html([(result, folder)]).encode())
        replace(folder / "e2e.json", _json(result))
    except OSError as error:
        raise OutputFailed(f"{error.filename or folder}: {error.strerror}; free some space") from error


def names_of(app: str) -> tuple[str, str]:
    """What the page and the results of all flows are called."""
    return f"{app}_playwright_report.html", f"{app}_e2e_results.json"


def texts_of(app: str, flows: Sequence[tuple[Tree, Path]]) -> dict[str, bytes]:
    """The page and the results of flows, each with its folder, by their names; `app` is that of the first
    flow that there is, whether or not it is among these."""
    page_name, results_name = names_of(app)
    found = {"schema": SCHEMA, "verdict": overall(flows), "flows": [result for result, _ in flows]}
    return {page_name: browser_html(flows).encode(), results_name: _json(found)}


def overall(flows: Iterable[tuple[Tree, Path]]) -> str:
    """The verdict of several flows."""
    return worst(Verdict(str(result.get("verdict"))) for result, _ in flows).value


def browser_markdown(result: Tree) -> str:
    """The summary of a flow."""
    return "\n".join(_markdown(result)).rstrip("\n") + "\n"


def browser_html(flows: Sequence[tuple[Tree, Path]]) -> str:
    """The page of flows, each with the folder of its evidence."""
    verdict = overall(flows)
    first = flows[0][0]
    title = f"browser · {first.get('flow')}" if len(flows) == 1 else f"{len(flows)} browser flows"
    reasons = "".join(
        f"<li>{text(result.get('flow'))}: {text(reason)}</li>"
        for result, _ in flows
        for reason in result.get("verdict_reasons") or ()
    )
    head = (
        f'<header class="{tone(verdict)}"><div class="wide">\n<p class="kicker">ecoload</p>\n'
        f"<h1>{text(title)}</h1>\n"
        f'<p class="verdict"><strong class="badge {tone(verdict)}">{text(verdict)}</strong></p>\n'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}"
        f"<dl>{terms(_head_facts(first))}</dl>\n</div></header>\n<main>\n"
    )
    body = "".join(_section(result, folder) for result, folder in flows)
    style = f"{asset('page/report.css')}\n{asset('page/browser.css')}"
    return page(f"{clean(title)}: {clean(verdict)}", f"{head}{body}</main>\n", style, media=True)


def print_browser(
    flows: Sequence[tuple[Tree, Path]], report: Path | None, console: Console | None = None
) -> None:
    """The verdict of each flow, a line for each step, and where everything is."""
    console = console or stdout()
    width = min(console.width, WIDEST)
    for result, folder in flows:
        verdict = "NO BROWSER" if result.get("status") == NO_BROWSER else str(result.get("verdict"))
        banner = Text.assemble(
            (f" {verdict} ", f"bold white on {STYLES.get(verdict, 'yellow')}"),
            (f"  browser · {clean(result.get('flow'))} · {span(result.get('duration_s'))}", "bold"),
        )
        console.print()
        parts: list[RenderableType] = [banner, Text(clean(result.get("about")), "dim")]
        parts += [_terminal_steps(result), *_terminal_vitals(result), *_why(result)]
        for part in parts:
            console.print(Padding(part, (0, 0, 1, 1), expand=False), width=width)
        console.print(Text.assemble(" ", ("Evidence  ", "dim"), clean(folder)), soft_wrap=True)
    if report is not None:
        console.print()
        console.print(Text.assemble(" ", ("Report    ", "dim"), clean(report)), soft_wrap=True)


class BrowserLines:
    """Says what the browser does as it does it, on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or live_console()

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None:
        assert plan.browser is not None
        self._say(Text(f"{clean(plan.browser.name)} · {len(plan.browser.steps)} steps", "bold"))

    def event(self, event: Mapping[str, Any]) -> None:
        if event.get("event") != "step_end":
            return
        took = span(_number(event.get("took_ms")) / 1000)
        line = Text.assemble("  ", (clean(event.get("name")), ""), (f"  {took}", "dim"))
        if error := event.get("error"):
            line = Text.assemble(
                "  ", (clean(event.get("name")), "bold"), ("  FAIL  ", "red"), clean(short(error))
            )
        self._say(line)

    def end(self) -> None: ...

    def _say(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


class SilentBrowser:
    """Says nothing."""

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None: ...

    def event(self, event: Mapping[str, Any]) -> None: ...

    def end(self) -> None: ...


# --- what stands in them --------------------------------------------------------------------------


def _json(tree: Any) -> bytes:
    return orjson.dumps(tree, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _steps(result: Tree) -> list[Tree]:
    return [proof for proof in result.get("proofs") or () if "metric" not in proof]


def _rows(result: Tree) -> Iterator[tuple[str, ...]]:
    for proof in _steps(result):
        seen, within = proof.get("seen_ms"), proof.get("within_s")
        yield (
            str(proof.get("verdict")),
            str(proof.get("name")),
            NOTHING if not proof.get("took_ms") else f"{_number(proof['took_ms']) / 1000:.2f}",
            NOTHING if seen is None else f"{_number(seen) / 1000:.2f}",
            NOTHING if within is None else f"{within:g} s",
            str(proof.get("reason") or ""),
        )


def _vital_rows(result: Tree) -> list[tuple[str, list[tuple[str, str]]]]:
    """`(page, [(figure, verdict)])`, a figure for each metric; the verdict is empty where it has no limit."""
    judged = {(p.get("page"), p.get("metric")): str(p.get("verdict")) for p in result.get("proofs") or ()}
    rows = []
    for one in result.get("vitals") or ():
        cells = []
        for metric in METRICS:
            value = one.get(metric)
            figure = NOTHING if value is None else shown(metric, _number(value))
            cells.append((figure, judged.get((one.get("page"), metric), "")))
        rows.append((str(one.get("page")), cells))
    return rows


def _vital_head(result: Tree) -> tuple[str, ...]:
    limits = result.get("limits") or {}
    return (
        "Page",
        *(
            label(m) + ("" if limits.get(m) is None else f" ≤ {shown(m, _number(limits[m]))}")
            for m in METRICS
        ),
    )


def _head_facts(result: Tree) -> list[tuple[str, str]]:
    protocol = result.get("protocol") or {}
    found = [
        ("Assigned app", protocol.get("assigned_app")),
        ("Version", protocol.get("version")),
        ("Mode", protocol.get("mode")),
        ("Protocol", protocol.get("name")),
        ("Namespace", protocol.get("namespace")),
    ]
    return [(name, str(value)) for name, value in found if value]


def _facts(result: Tree) -> list[tuple[str, str]]:
    browser = result.get("browser") or {}
    found = [
        ("App", result.get("app")),
        ("Run", result.get("run_id")),
        ("Started", moment(result.get("started_at") or "")),
        ("Duration", span(result.get("duration_s"))),
        ("Browser", f"{browser.get('name', '')} {browser.get('version', '')}".strip()),
        ("Plan (execution hash)", result.get("execution_hash")),
        *(("Note", note) for note in result.get("notes") or ()),
    ]
    return [(name, str(value)) for name, value in found if value not in (None, "")]


def _markdown(result: Tree) -> Iterator[str]:
    yield f"# browser · {escaped(result.get('flow'))}: {escaped(result.get('verdict'))}"
    yield ""
    yield escaped(result.get("about"))
    yield ""
    yield from table(("", ""), [*_head_facts(result), *_facts(result)])
    yield ""
    reasons = [f"- {escaped(reason)}" for reason in result.get("verdict_reasons") or ()]
    yield from (*reasons, "") if reasons else ()
    yield from ("## Steps", "")
    yield from table(_HEAD, list(_rows(result)))
    yield ""
    yield "Seen after: from the end of the last step without a limit."
    yield ""
    if rows := _vital_rows(result):
        yield from ("## Web vitals", "")
        flat = [(name, *(_told(figure, verdict) for figure, verdict in cells)) for name, cells in rows]
        yield from table(_vital_head(result), flat)
        yield ""
    files = [
        f"- {escaped(one.get('file'))}: {escaped(one.get('kind'))}" for one in result.get("evidence") or ()
    ]
    yield from ("## Evidence", "", *files) if files else ()


def _told(figure: str, verdict: str) -> str:
    return f"{figure} {verdict}" if verdict not in ("", "PASS") else figure


def _section(result: Tree, folder: Path) -> str:
    name = str(result.get("flow"))
    rows = [
        [badge(row[0]), *(text(cell) for cell in row[1:5]), f'<span class="quiet">{text(row[5])}</span>']
        for row in _rows(result)
    ]
    parts = [
        f'<p class="about">{text(result.get("about"))}</p>\n<dl class="facts">{terms(_facts(result))}</dl>\n',
        _sub("Steps", html_table(_HEAD, rows, numbers=(2, 3), label=f"Steps of {text(name)}"))
        if rows
        else "",
        _sub("Web vitals", _html_vitals(result)) if result.get("vitals") else "",
        _sub("What was seen", _pictures(result, folder)),
        _sub("Evidence", _files(result)),
    ]
    verdict = "NO BROWSER" if result.get("status") == NO_BROWSER else str(result.get("verdict"))
    return section(text(name), "".join(parts), badge(verdict))


def _sub(title: str, content: str) -> str:
    return f"<h3>{title}</h3>\n{content}" if content else ""


def _html_vitals(result: Tree) -> str:
    body = [
        [
            text(name),
            *(f'<span class="{tone(verdict) if verdict else ""}">{text(f)}</span>' for f, verdict in cells),
        ]
        for name, cells in _vital_rows(result)
    ]
    label_ = f"Web vitals of {text(result.get('flow'))}"
    head = [text(one) for one in _vital_head(result)]
    note = '<p class="quiet">One load of each page, a key pressed for INP.</p>'
    return html_table(head, body, numbers=(1, 2, 3, 4), label=label_) + note


def _pictures(result: Tree, folder: Path) -> str:
    figures, film = [], ""
    for one in result.get("evidence") or ():
        data = _read(folder / str(one.get("file")))
        if data is None:
            continue
        if one.get("kind") == "screenshot":
            about = text(one.get("about"))
            figures.append(
                f'<figure><img src="data:image/png;base64,{data}" alt="{about}" loading="lazy">'
                f"<figcaption>{about}</figcaption></figure>\n"
            )
        elif one.get("kind") == "video":
            film = (
                f'<figure class="film"><video controls muted src="data:video/webm;base64,{data}"></video>'
                "<figcaption>the whole flow</figcaption></figure>\n"
            )
    return f'<div class="pictures">{"".join(figures)}{film}</div>\n' if figures or film else ""


def _read(path: Path) -> str | None:
    try:
        if path.is_symlink() or path.stat().st_size > MOST_FILM:
            return None
        return base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return None


def _files(result: Tree) -> str:
    files = [one for one in result.get("evidence") or () if one.get("kind") != "screenshot"]
    lines = "".join(
        f"<li><code>{text(one.get('file'))}</code> <span class=quiet>{text(one.get('kind'))}"
        f"{': ' + text(one['about']) if one.get('about') else ''}</span></li>"
        for one in files
    )
    where = f'<p class="quiet">In the run\'s folder, {text(result.get("run_id"))}.</p>'
    return f"<ul>{lines}</ul>{where}" if lines else ""


def _terminal_steps(result: Tree) -> RenderableType:
    shown_ = plain_table()
    for name in ("", "Step", "Took, s", "Seen after, s"):
        shown_.add_column(name, overflow="fold", justify="right" if "," in name else "left")
    for verdict, name, took, seen, *_ in _rows(result):
        shown_.add_row(Text(verdict, STYLES.get(verdict, "")), Text(clean(name)), took, seen)
    return shown_ if _steps(result) else Text("")


def _terminal_vitals(result: Tree) -> Iterator[RenderableType]:
    rows = _vital_rows(result)
    if not rows:
        return
    shown_ = plain_table()
    for index, name in enumerate(_vital_head(result)):
        shown_.add_column(name, overflow="fold", justify="right" if index else "left")
    for name, cells in rows:
        shown_.add_row(
            Text(clean(name)), *(Text(figure, STYLES.get(verdict, "")) for figure, verdict in cells)
        )
    yield shown_


def _why(result: Tree) -> Iterator[Text]:
    for reason in result.get("verdict_reasons") or ():
        yield Text(clean(reason), STYLES.get(str(result.get("verdict")), ""))
    for note in result.get("notes") or ():
        yield Text(clean(note), "dim")
