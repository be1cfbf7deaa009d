"""`cross_check.md` and `cross_check.json`: what two tools measured, and whether they agree.

Rules
-----
- The verdict stands first, then every figure with its interval and its tolerance, then where to look.
- How it was judged is said in the report itself: whoever reads it has no other page at hand.
- Every foreign text is cleaned and escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ecoload.errors import OutputFailed
from ecoload.report.folder import replace
from ecoload.report.forms import NOTHING, ms, number, plural, rate, span
from ecoload.report.markdown import escaped, table
from ecoload.report.rows import Tree

NAME = "cross_check"
FIGURES = ("ecoload", "k6", "k6 − ecoload", "95 % interval", "At most")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure for people, each part as it is read."""

    verdict: str
    of: str
    unit: str
    ecoload: str
    k6: str
    difference: str
    interval: str
    tolerance: str
    reason: str

    @property
    def figures(self) -> tuple[str, ...]:
        return self.ecoload, self.k6, self.difference, self.interval, self.tolerance


def write_cross_check(result: Tree, folder: Path, reports: Path) -> tuple[Path, ...]:
    """Writes the result into the cross-check's folder, and the report into that of the reports too. Gives the
    paths, the report first. Raises OutputFailed."""
    text = cross_check_markdown(result, str(folder)).encode()
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    written = {
        reports / f"{NAME}.md": text,
        folder / f"{NAME}.md": text,
        folder / f"{NAME}.json": orjson.dumps(result, option=options),
    }
    try:
        reports.mkdir(parents=True, exist_ok=True)
        for path, content in written.items():
            replace(path, content)
    except OSError as error:
        raise OutputFailed(f"{error.filename or folder}: {error.strerror}; free some space") from error
    return tuple(written)


def cross_check_markdown(result: Tree, folder: str) -> str:
    """The report of a cross-check's result (`cross_check.json` as a tree)."""
    parts = (_head, _where, _figures, _runs, _method)
    lines = [line for part in parts for line in part(result)]
    return "\n".join([*lines, f"Everything it rests on: {escaped(folder)}"]) + "\n"


def rows(result: Tree) -> list[Row]:
    """The figures in their order; those that neither tool told are left out."""
    return [
        _row(figure)
        for figure in result.get("figures") or ()
        if figure.get("ecoload") is not None or figure.get("k6") is not None
    ]


def headline(result: Tree) -> str:
    """The verdict in a sentence."""
    compared = [figure for figure in result.get("figures") or () if figure.get("verdict")]
    what = plural(len(compared), "figure", "figures")
    rounds = plural(result.get("rounds_compared"), "round", "rounds")
    match result.get("verdict"):
        case "AGREE":
            return f"ecoload and k6 measure the same: {what} over {rounds}, each within its tolerance."
        case "DISAGREE":
            apart = sum(figure.get("verdict") == "DISAGREE" for figure in compared)
            return f"ecoload and k6 do not measure the same: {apart} of {what} differ, over {rounds}."
    return f"It cannot be said whether ecoload and k6 measure the same: {what} over {rounds}."


def method(result: Tree) -> Iterator[str]:
    """How it was compared, a sentence a line."""
    within = result.get("tolerances") or {}
    share, counts, flying = (
        f"{(number(within.get(key)) or 0) * 100:g} %"
        for key in ("percentile_share", "count_share", "in_flight_share")
    )
    yield (
        f"percentiles agree within {share} or {within.get('percentile_ms'):g} ms, counts and rates within "
        f"{counts} or {within.get('count'):g}, whichever is larger; shares within "
        f"{_value(within.get('error_rate'), 'share')} percentage points"
    )
    yield (
        "latency is k6's http_req_duration of expected responses, ecoload's service time of ok requests; "
        "percentiles are interpolated as in k6"
    )
    yield (
        "AGREE: the whole interval lies within the tolerance; it is Student's, over the differences of the "
        "rounds"
    )
    yield (
        "DISAGREE: the whole of a wider interval lies outside, one that holds for every figure at once; so "
        f"equal tools are told apart in fewer than {(number(result.get('false_disagree')) or 0) * 100:g} of "
        "100 cross-checks"
    )
    if any(figure.get("figure") == "in flight" for figure in result.get("figures") or ()):
        yield (
            "the plan is closed and not paced, so the rate follows from the latency: the requests in flight "
            f"(rate by mean latency) are compared instead, within {flying}"
        )
    yield (
        "both spoke HTTP/1.1, went to the same address, by the plan's proxy or none, and sent the same "
        "records"
    )
    yield "k6 collected garbage a quarter as often as by itself (GOGC=400), ecoload none under load"


def _row(figure: Tree) -> Row:
    unit, interval = str(figure.get("unit")), figure.get("interval")
    name = str(figure.get("figure"))
    name = name.upper() if name.startswith("p") and name[1:].isdigit() else name
    return Row(
        verdict=str(figure.get("verdict") or NOTHING),
        of=f"{figure.get('route') or ''} {name}".strip(),
        unit={"share": "%"}.get(unit, unit),
        ecoload=_value(figure.get("ecoload"), unit),
        k6=_value(figure.get("k6"), unit),
        difference=_signed(figure.get("difference"), unit),
        interval=f"{_signed(interval[0], unit)} … {_signed(interval[1], unit)}" if interval else NOTHING,
        tolerance=_value(figure.get("tolerance"), unit),
        reason=str(figure.get("reason") or ""),
    )


def _value(value: Any, unit: str) -> str:
    """A figure without its unit; a share in percent."""
    figure = number(value)
    if figure is None:
        return NOTHING
    match unit:
        case "ms":
            return ms(figure)
        case "/s":
            return rate(figure)
        case "share":
            return f"{figure * 100:.2f}"
    return f"{figure:,.0f}" if figure == round(figure) else f"{figure:,.1f}"


def _signed(value: Any, unit: str) -> str:
    figure = number(value)
    if figure is None:
        return NOTHING
    if not figure:
        return "0"
    if unit == "share":
        return f"{figure * 100:+.2f}"
    if not unit:
        return f"{figure:+,.{0 if figure == round(figure) else 1}f}"
    size = abs(figure)
    return f"{figure:+,.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"


def _percent(value: Any) -> str:
    figure = number(value)
    return NOTHING if figure is None else f"{figure * 100:.0f} %"


def _head(result: Tree) -> Iterator[str]:
    verdict, app, profile = (escaped(result.get(key)) for key in ("verdict", "app", "profile"))
    yield f"# {app} · {profile}, cross-check with k6: {verdict}"
    yield ""
    protocol = result.get("protocol") or {}
    body = [
        ("Protocol", protocol.get("name")),
        ("Assigned app", protocol.get("assigned_app")),
        ("Mode", protocol.get("mode")),
        ("Namespace", protocol.get("namespace")),
        ("Started", result.get("started_at")),
        ("Took", span(result.get("duration_s"))),
        ("Rounds", f"{result.get('rounds_compared')} of {result.get('rounds')}, by each tool in turn"),
        ("Model", result.get("model")),
        ("Duration scale", f"{result.get('duration_scale'):g}"),
        ("ecoload", result.get("tool_version")),
        ("k6", result.get("k6_version")),
        ("Spec hash", result.get("spec_hash")),
        ("Execution hash", result.get("execution_hash")),
    ]
    yield from table(("", ""), [(label, text) for label, text in body if text])
    yield ""
    yield f"**{verdict}**. {escaped(headline(result))}"
    yield ""
    yield from (f"- {escaped(reason)}" for reason in result.get("reasons") or ())
    if result.get("reasons"):
        yield ""


def _where(result: Tree) -> Iterator[str]:
    hints = result.get("where_to_look") or ()
    if hints:
        yield from ("## Where to look", "")
        yield from (f"- {escaped(hint)}" for hint in hints)
        yield ""


def _figures(result: Tree) -> Iterator[str]:
    found = rows(result)
    yield from ("## Figures", "")
    if not found:
        yield from ("No round was made by both tools.", "")
        return
    yield "Means over the rounds."
    yield ""
    body = [(row.verdict, row.of, row.unit, *row.figures, row.reason) for row in found]
    yield from table(("Verdict", "Of", "", *FIGURES, "Reason"), body, right=range(3, 8))
    yield ""


def _runs(result: Tree) -> Iterator[str]:
    yield from ("## Runs, in turn", "")
    body = [
        (
            run.get("round"),
            run.get("tool"),
            run.get("run_id"),
            _value(run.get("requests"), ""),
            _value(run.get("iterations"), ""),
            _value(run.get("dropped_iterations"), ""),
            _value(run.get("server_count"), ""),
            _value(run.get("persisted"), ""),
            *(_percent(run.get(key)) for key in ("cpu_share", "others_cpu_share")),
            "; ".join([run.get("validity") or NOTHING, *(run.get("validity_reasons") or ())]),
        )
        for run in result.get("runs") or ()
    ]
    head = ("Round", "Tool", "Run", "Requests", "Iterations", "Dropped", "Server saw", "Persisted")
    yield from table((*head, "CPU", "Others", "Measurement"), body, right=(0, *range(3, 10)))
    yield ""
    yield "CPU is of one core; Others is what other processes used of all cores meanwhile."
    yield ""


def _method(result: Tree) -> Iterator[str]:
    said = method(result) if result.get("figures") else ()
    lines = [*said, *(result.get("notes") or ())]
    if not lines:
        return
    yield from ("## How it was compared", "")
    yield from (f"- {escaped(line)}" for line in lines)
    yield ""
