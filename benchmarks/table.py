"""The results as markdown; computes nothing but the verdict on a goal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

GOAL_BY_K6 = 1 / 6
GOAL_BY_WRK = 1.7
GOAL_LATENESS_US = 200.0
GOAL_LATENESS_BY_FLOOR = 2.0
GOAL_KB = 10.0
GOAL_KB_TLS = 60.0


def markdown(results: Mapping[str, Any]) -> str:
    """One section for each case that was measured."""
    writers = {"get": _get, "post": _post, "open": _open, "many": _many, "startup": _startup}
    writers["lineage"] = _lineage
    versions = results["versions"]
    lines = [
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}.",
        f"{results['rounds']} rounds, {results['started_at']}. Median (least to most).",
        "",
    ]
    for case, writer in writers.items():
        if case in results:
            lines += [*writer(results[case]), ""]
    return "\n".join(lines)


def goal(what: str, met: bool) -> str:
    return f"- {what}: **{'met' if met else 'NOT MET'}**"


def _lineage(case: Mapping[str, Any]) -> Iterator[str]:
    seconds, peak = case["seconds"], case["peak_mb"]
    yield f"### {case['events']:,} events reconciled with two stations, one core"
    yield ""
    yield f"{seconds:.1f} s (median), {peak:.0f} MB at most."
    yield ""
    yield goal("under 30 s", seconds < 30)
    yield goal("under 300 MB", peak < 300)


def _get(case: Mapping[str, Any]) -> Iterator[str]:
    yield from _closed("Closed loop, GET with a status check, 50 VUs", case)
    by_k6, by_wrk = case["ratios"]["k6"]["further"], case["ratios"]["wrk"]["further"]
    yield goal(f"CPU at most 1/6 of k6's ({1 / by_k6.median:.2f} times less)", by_k6.median <= GOAL_BY_K6)
    yield goal(f"CPU at most {GOAL_BY_WRK} times wrk's ({by_wrk.median:.2f})", by_wrk.median <= GOAL_BY_WRK)


def _post(case: Mapping[str, Any]) -> Iterator[str]:
    yield from _closed("Closed loop, POST with a templated JSON body, 50 VUs (hey: a fixed body)", case)


def _closed(title: str, case: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    yield "| client | CPU µs, further request | all in | per second | ecoload by it | failed | steal, other |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in case["clients"].items():
        yield _row(
            name,
            row["cpu_us_per_further_request"].text(),
            row["cpu_us_all_in"].text(),
            row["requests_per_s"].text(",.0f"),
            case["ratios"][name]["further"].text(".2f") if name in case["ratios"] else "",
            str(row["failed"]),
            _disturbed(row),
        )
    yield ""


def _open(case: Mapping[str, Any]) -> Iterator[str]:
    ours, theirs, floor = case["ecoload"], case["k6"], case["floor"]
    yield f"### Open model, {case['rate']:,} starts/s"
    yield ""
    yield "| | starts late, p99 µs | response P95 ms | drops | CPU µs per request, all in | steal, other |"
    yield "|---|---|---|---|---|---|"
    yield f"| bare timerfd loop (C) | {floor['p99_us'].text()} | | | | |"
    yield _row("ecoload", ours["p99_us"].text(), *_open_cells(ours))
    yield _row("k6 (service time)", "–", *_open_cells(theirs))
    yield ""
    late, by_floor = ours["p99_us"].median, ours["p99_by_floor"].median
    met = late <= GOAL_LATENESS_US or by_floor <= GOAL_LATENESS_BY_FLOOR
    yield goal(f"lateness p99 ≤ 200 µs, or twice the floor's ({late:.0f} µs, {by_floor:.1f} times)", met)


def _open_cells(side: Mapping[str, Any]) -> tuple[str, ...]:
    cost = side["cpu_us_all_in"].text()
    return side["response_p95_ms"].text(".2f"), str(side["dropped"]), cost, _disturbed(side)


def _many(case: Mapping[str, Any]) -> Iterator[str]:
    ours, theirs = case["ten_thousand"], case["k6"]
    yield "### 10,000 VUs with one second of think time"
    yield ""
    yield "| client | requests/s | response ms | MB (PSS) | KB per further VU | CPU µs per request | failed |"
    yield "|---|---|---|---|---|---|---|"
    yield _row(
        "ecoload",
        ours["rps"].text(",.0f"),
        f"P99 {ours['response_p99_ms'].text()}",
        ours["pss_mb"].text(".0f"),
        case["kb_per_further_vu"].text(),
        ours["cpu_us_all_in"].text(),
        str(ours["failed"]),
    )
    yield _row(
        "k6, one round, ramp-up included",
        f"{theirs['rps']:,.0f}",
        f"P95 {theirs['response_p95_ms']:.1f}",
        f"{theirs['pss_mb']:.0f}",
        f"{theirs['kb_per_further_vu']:.1f}",
        f"{theirs['cpu_us_all_in']:.1f}",
        str(theirs["failed"]),
    )
    yield ""
    plain, tls = case["kb_per_further_vu"].median, case["kb_per_further_vu_tls"].median
    yield goal(f"a further VU costs at most {GOAL_KB:.0f} KB ({plain:.1f})", plain <= GOAL_KB)
    yield goal(f"over TLS at most {GOAL_KB_TLS:.0f} KB ({tls:.1f})", tls <= GOAL_KB_TLS)
    yield goal(f"10,000 VUs stay VALID ({', '.join(ours['validity'])})", ours["validity"] == ["VALID"])


def _disturbed(side: Mapping[str, Any]) -> str:
    steal, others = side["disturbed"]
    return f"{steal:.1%}, {others:.1%}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _startup(case: Mapping[str, Any]) -> Iterator[str]:
    yield "### Start-up"
    yield ""
    for name, figure in case["first_request_ms"].items():
        yield f"- {name}, from exec to the first request: {figure.text('.0f')} ms"
    for option in ("help", "version"):
        yield f"- `ecoload --{option}`: {case[f'{option}_ms'].text('.0f')} ms"
    for process, costs in case["imports_ms"].items():
        dear = ", ".join(f"{name} {cost:.0f}" for name, cost in costs.items())
        yield f"- own time of the imports of {process}, by package, ms: {dear}"
