"""Two runs side by side on the terminal.

Rules
-----
- It shows the tree of `ecoload.compare/1` and works nothing out.
- What decides stands first: the verdict, what keeps the runs apart, then each route's judged figures.
- It fits 80 columns; from `ROOMY` on, the other kind of time stands beside.
- Every foreign text is cleaned and goes in as a rich Text: nothing of it is read as markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ecoload.report.forms import NOTHING, change, clean, ms, number, rate, share, span, whole
from ecoload.report.rows import tool
from ecoload.report.tables import WIDEST, labelled, plain_table, stdout
from ecoload.verdict.comparison import MAY_BE_CHANCE

Tree = Mapping[str, Any]

ROOMY = 100
_WORDS = {
    "REGRESSION": ("regression", "bold red"),
    "IMPROVEMENT": ("improvement", "bold green"),
    "NO_DIFFERENCE": ("no difference", "dim"),
    "INCONCLUSIVE": ("not told", "yellow"),
}
_BADGES = {
    "REGRESSION": "bold white on red",
    "IMPROVEMENT": "bold white on green",
    "NO_DIFFERENCE": "bold white on green",
    "INCONCLUSIVE": "bold black on yellow",
}
_HEADLINES = {
    "REGRESSION": "The second run is worse than the reference.",
    "IMPROVEMENT": "The second run is better than the reference, and worse in nothing that was judged.",
    "NO_DIFFERENCE": "There is no difference that can be told.",
    "INCONCLUSIVE": "Whether the second run is worse cannot be told.",
}
_PERCENTILES = ("p50", "p90", "p95", "p99")


def print_comparison(tree: Tree, console: Console | None = None) -> None:
    """The verdict, the two runs, and the figures of each route."""
    console = console or stdout()
    width = min(console.width, WIDEST)
    console.print()
    for part in _parts(tree, width):
        console.print(Padding(part, (0, 0, 1, 1), expand=False), width=width)


def _parts(tree: Tree, width: int) -> Iterator[RenderableType]:
    yield _banner(tree)
    yield labelled(list(_head(tree)))
    if tree["routes"]:
        yield _figures(tree, roomy=width >= ROOMY)
    yield labelled(list(_whole(tree)))


def _banner(tree: Tree) -> Table:
    verdict, reference = str(tree["verdict"]), tree["reference"]
    top = Table.grid(padding=(0, 2))
    top.add_column(no_wrap=True)
    top.add_column()
    what = " · ".join(filter(None, (reference["app"], reference["profile"]))) or "two runs"
    told = Text.assemble((clean(what), "bold"), f"   tolerance {tree['tolerance'] * 100:g} %")
    top.add_row(Text(f" {verdict.replace('_', ' ')} ", _BADGES[verdict]), told)
    top.add_row(Text(), Text(_HEADLINES[verdict]))
    for reason in tree["reasons"]:
        top.add_row(Text(), Text.assemble(("• ", "dim"), clean(_said(reason))))
    return top


def _head(tree: Tree) -> Iterator[tuple[str, str, str]]:
    for label, side in (("Reference", tree["reference"]), ("Second", tree["compared"])):
        parts = [side["verdict"], side["validity"], span(side["measured_s"]), tool(side["tool_version"])]
        parts += [f"version {side['target_version']}"] if side["target_version"] else []
        yield label, side["folder"], "bold"
        yield label, " · ".join(part for part in parts if part != NOTHING), "dim"
    for warning in tree["warnings"]:
        yield "Warning", warning, "yellow"
    for note in tree["notes"]:
        yield "Note", note, ""


def _figures(tree: Tree, *, roomy: bool) -> Group:
    """A head, and below it each route's name and rows, in columns that are the same for all."""
    judged_on = str(tree["judged_on"])
    other = "service" if roomy and judged_on == "response" else ""
    blocks = [(route["route"], route["figures"]) for route in tree["routes"]]
    if len(blocks) > 1 and any(one["figure"].endswith("_ms") and one["before"] for one in tree["whole"]):
        blocks.append(("all routes", tree["whole"]))
    rows = [(str(name), _rows(figures, judged_on, other)) for name, figures in blocks]
    heads = ["", "Before", "After", "Change", "", "95 % interval", "", *(["Service", ""] if other else [])]
    cells = [[Text(head) for head in heads], *(row for _, block in rows for row in block)]
    widths = [
        max(width, *(cell.cell_len for cell in column))
        for width, column in zip(_WIDTHS, zip(*cells, strict=True), strict=False)
    ]
    parts: list[RenderableType] = [_table(widths, heads, [])]
    for name, block in rows:
        parts += [Text(clean(name), "bold", overflow="fold"), _table(widths, heads, block, show_header=False)]
    return Group(*parts, Text(_caption(tree), "dim"))


_WIDTHS = (7, 7, 7, 8, 6, 16, 13, 13, 6)


def _table(widths: list[int], heads: list[str], body: list[list[Text]], *, show_header: bool = True) -> Table:
    table = plain_table()
    table.show_header = show_header
    for index, (head, width) in enumerate(zip(heads, widths, strict=True)):
        table.add_column(head, justify="left" if index in (0, 6) else "right", min_width=width)
    for row in body:
        table.add_row(*row)
    return table


def _rows(figures: list[Tree], judged_on: str, other: str) -> list[list[Text]]:
    by_name = {one["figure"]: one for one in figures}
    rows = [_row("errors", by_name["error_rate"])]
    if other:
        rows[0] += [Text(), Text()]
    for percentile in _PERCENTILES:
        row = _row(percentile.upper(), by_name[f"{judged_on}_{percentile}_ms"])
        if other:
            beside = by_name[f"{other}_{percentile}_ms"]
            row += [Text(_arrow(ms, beside), "dim"), Text(change(beside["relative"]), "dim")]
        rows.append(row)
    return rows


def _caption(tree: Tree) -> str:
    times = f"{tree['judged_on']} time in ms, of requests that were ok"
    bracketed = any(not one["decides"] for route in tree["routes"] for one in route["figures"])
    return f"{times}; in brackets: decides nothing" if bracketed else times


def _row(name: str, one: Tree) -> list[Text]:
    is_rate = one["figure"] == "error_rate"
    write = _share if is_rate else ms
    difference = number(one["difference"])
    apart = NOTHING if difference is None else _points(difference) if is_rate else _signed_ms(difference)
    word, style = _WORDS.get(str(one["finding"]), ("", ""))
    if one["reason"] == MAY_BE_CHANCE:
        word = "may be chance"
    if word and not one["decides"]:
        word, style = f"({word})", "dim"
    strong = style if one["finding"] in ("REGRESSION", "IMPROVEMENT") else ""
    return [
        Text(f" {name}"),
        Text(write(one["before"])),
        Text(write(one["after"]), strong),
        Text(apart),
        Text("" if is_rate else change(one["relative"])),
        Text(_interval(one["interval"], is_rate), "dim"),
        Text(word, style),
    ]


def _whole(tree: Tree) -> Iterator[tuple[str, str, str]]:
    """Counts and rates, of the whole and of each route."""
    by_name = {one["figure"]: one for one in tree["whole"]}
    drops = by_name["dropped_iterations"]
    counts = [
        f"requests {_arrow(whole, by_name['requests'])}",
        f"rate {_arrow(rate, by_name['rps'])}/s",
        f"errors {_arrow(_share, by_name['error_rate'])}",
        f"iterations {_arrow(whole, by_name['iterations'])}",
        f"dropped {_arrow(whole, drops)}",
        f"VUs {_arrow(whole, by_name['vus_max'])}",
    ]
    notable = (drops["before"] or 0) != (drops["after"] or 0)
    yield "Whole", " · ".join(counts), "yellow" if notable else ""
    for route in tree["routes"]:
        found = {one["figure"]: one for one in route["figures"]}
        text = f"requests {_arrow(whole, found['requests'])} · rate {_arrow(rate, found['rps'])}/s"
        before, after = (verdict or NOTHING for verdict in route["verdicts"])
        text += (
            "" if before == after == NOTHING else f" · {before if before == after else f'{before} → {after}'}"
        )
        yield "Routes", f"{route['route']}: {text}", ""


def _arrow(write: Any, one: Tree) -> str:
    before, after = write(one["before"]), write(one["after"])
    return str(before) if before == after else f"{before} → {after}"


def _share(value: Any) -> str:
    return share(value).replace(" ", "")


def _signed_ms(difference: float) -> str:
    return f"{'-' if difference < 0 else '+'}{ms(abs(difference))}"


def _points(difference: float) -> str:
    return f"{difference * 100:+.2f} pp"


def _interval(pair: Any, is_rate: bool) -> str:
    if not pair:
        return ""
    if is_rate:
        return f"{pair[0] * 100:+.2f} … {_points(pair[1])}"
    return f"{change(pair[0]).removesuffix(' %')} … {change(pair[1])}"


def _said(reason: str) -> str:
    """A figure's name as people say it: `response_p95_ms` is `P95`."""
    for kind in ("response", "service"):
        for percentile in _PERCENTILES:
            reason = reason.replace(f"{kind}_{percentile}_ms", percentile.upper())
    return reason.replace("error_rate", "errors").replace("dropped_iterations", "dropped iterations")
