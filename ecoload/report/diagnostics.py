"""`diagnostics.md`: what a person needs who is to find out why a run failed.

Rules
-----
- Drawn from the run's result and the files beside it; a file that is not there is left out and said so.
- The series is shown around the worst second of each route that failed, so that what came before is seen.
- Of the target's metrics only what changed is shown, buckets left out; the whole texts stand beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ecoload.errors import UsageError
from ecoload.measure.series import ALL, read_series
from ecoload.plan.suite import Outline
from ecoload.report.forms import NOTHING, ms, number, share, whole
from ecoload.report.markdown import escaped, slowest_rows, table
from ecoload.report.rows import Tree, facts, judged, not_ok, validity

AROUND_S = 5
MOST_ROUTES = 5
MOST_METRICS = 40

Rows = list[dict[str, str]]


def diagnostics_markdown(result: Tree, folder: Path, outline: Outline) -> str:
    """The page of a run that failed: its result (`run.json` as a tree), its folder, and the outline of the
    suite, which knows the remedies."""
    parts = (
        _head(result),
        _failed(result, outline),
        _outcomes(result),
        slowest_rows(result),
        _series(result, folder),
        _metrics(folder),
        _generator(result),
    )
    return "\n".join(line for part in parts for line in part).rstrip("\n") + "\n"


def _head(result: Tree) -> Iterator[str]:
    yield f"# {escaped(result.get('app'))} · {escaped(result.get('profile'))}: why it failed"
    yield ""
    yield f"Run {escaped(result.get('run_id'))}, measurement {escaped(validity(result)[0])}."
    yield ""


def _failed(result: Tree, outline: Outline) -> Iterator[str]:
    yield from ("## What failed", "")
    rows = [row for row in judged(result) if row.required and row.verdict == "FAIL"]
    if not rows:
        yield from (*(f"- {escaped(reason)}" for reason in result.get("verdict_reasons") or ()), "")
        return
    body = [(row.of, row.must_be, row.was, row.reason, _remedy(result, row.of, outline)) for row in rows]
    yield from table(("Of", "Must be", "Was", "Reason", "Remedy"), body)
    yield ""


def _remedy(result: Tree, route: str, outline: Outline) -> str:
    app = result.get("app")
    for issue in outline.known_issues:
        if (issue.app, issue.route) == (app, route):
            return f"{issue.id}: {issue.remedy}"
    return next((r.text for r in outline.remedies if (r.app, r.route) == (app, route)), NOTHING)


def _outcomes(result: Tree) -> Iterator[str]:
    yield from ("## Outcomes", "")
    found = [f"- {escaped(route)}: {escaped(text)}" for route, text in not_ok(result)]
    yield from (*(found or ["Every request was ok."]), "")


def _series(result: Tree, folder: Path) -> Iterator[str]:
    yield from ("## Around the worst second", "")
    try:
        rows = list(read_series(folder / "series.csv"))
    except UsageError as error:
        yield from (f"Not known: {escaped(error)}", "")
        return
    for route in _failing(result):
        own = [row for row in rows if row["route"] == route]
        if own:
            yield from (f"### {escaped('all routes' if route == ALL else route)}", "")
            yield from _around(own)
            yield ""


def _failing(result: Tree) -> list[str]:
    routes = [
        str(route["route"])
        for route in result.get("routes") or ()
        if (route.get("slo") or {}).get("verdict") == "FAIL"
    ]
    return routes[:MOST_ROUTES] or [ALL]


def _around(rows: Rows) -> Iterator[str]:
    """The seconds around the one with the most errors; without errors, with the highest P95."""
    worst = max(range(len(rows)), key=lambda i: (int(rows[i]["errors"]), number(rows[i]["p95_ms"]) or 0.0))
    body = [
        (
            f"{'→ ' if index == worst else ''}{row['elapsed_s']}",
            whole(row["requests"]),
            whole(row["errors"]),
            *(ms(row[name]) for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms", "service_p95_ms")),
        )
        for index, row in enumerate(rows)
        if abs(index - worst) <= AROUND_S
    ]
    head = ("Second", "Requests", "Errors", "P50", "P95", "P99", "Max", "Service P95")
    yield from table(head, body, right=range(len(head)))


def _metrics(folder: Path) -> Iterator[str]:
    yield from ("## The target's own metrics", "")
    try:
        before, after = (_figures(folder / f"metrics_{when}.txt") for when in ("before", "after"))
    except OSError:
        yield from ("The target shows none, or they could not be read.", "")
        return
    changed = [(name, before.get(name), value) for name, value in after.items() if before.get(name) != value]
    body = [(name, _plain(old), _plain(new), _change(old, new)) for name, old, new in changed]
    yield from table(("Metric", "Before", "After", "Change"), body[:MOST_METRICS], right=(1, 2, 3))
    if len(body) > MOST_METRICS:
        yield from ("", f"And {len(body) - MOST_METRICS} more in `metrics_after.txt`.")
    yield ""


def _figures(file: Path) -> dict[str, float]:
    """The samples of a text in Prometheus' format; what is no number is left out."""
    found = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, rest = line.rpartition(" ")
        if line.startswith("#") or "_bucket{" in line or not name:
            continue
        try:
            found[name] = float(rest)
        except ValueError:
            continue
    return found


def _change(old: float | None, new: float) -> str:
    return NOTHING if old is None else f"{new - old:+,.6g}"


def _plain(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.10g}"


def _generator(result: Tree) -> Iterator[str]:
    yield from ("## The generator", "")
    tree = result.get("generator") or {}
    known: Sequence[tuple[str, str]] = (
        ("CPU of one core", share(tree.get("cpu_share"))),
        ("Loop held up", share(tree.get("lag_share"))),
        ("Longest lag", f"{ms(tree.get('lag_max_ms'))} ms"),
        ("Lateness of starts P99", f"{ms(tree.get('late_start_p99_ms'))} ms"),
    )
    yield from (f"- {label}: {escaped(text)}" for label, text in known)
    yield from (f"- {escaped(fact.label)}: {escaped(fact.text)}" for fact in facts(result) if fact.notable)
    status, reasons = validity(result)
    yield f"- Measurement: {escaped(status)}{''.join(f'; {escaped(reason)}' for reason in reasons)}"
