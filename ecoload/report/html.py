"""`report.html`: one file that needs nothing else, not even a network.

Rules
-----
- Every table is in the page as it is written; only the charts need its script.
- The page may load nothing: its policy is `default-src 'none'`, and its own script and style are
  admitted by their hashes.
- Foreign text is cleaned and escaped; the charts' data stand in a script element that is not run, in
  which no `<`, `>` or `&` occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from ecoload.report import rows
from ecoload.report.courses import Courses, courses
from ecoload.report.forms import NOTHING, clean, ms, number, rate, share, whole
from ecoload.report.markup import asset, badge, page, section, table, terms, text, tone

_NINES = (("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0), ("p999", 99.9))


def report_html(
    result: rows.Tree,
    seconds: Iterable[Mapping[str, str]] = (),
    planned: Callable[[float], float] | None = None,
) -> str:
    """The page of a run: its result (`run.json` as a tree), the rows of its series, and the planned
    starts a second at a time, where the plan has an arrival rate."""
    found = courses(seconds, planned)
    style = asset("vendor/uPlot.min.css") + asset("page/report.css")
    script = asset("vendor/uPlot.iife.min.js") + "\n" + asset("page/report.js")
    title = f"{clean(rows.title(result))}: {clean(result.get('verdict'))}"
    body = "".join(
        (_head(result), _verdicts(result), _charts(result, found), _routes(result), _facts(result),
         _slowest(result), _details(result))
    )  # fmt: skip
    data = f'<script type="application/json" id="data">{embedded(_data(result, found))}</script>\n'
    return page(title, body + data, style, script)


def embedded(value: Any) -> str:
    """JSON that can stand inside a script element: none of its characters can end or begin one."""
    text = orjson.dumps(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _head(result: rows.Tree) -> str:
    verdict, (status, _) = str(result.get("verdict")), rows.validity(result)
    reasons = "".join(f"<li>{text(reason)}</li>" for reason in rows.reasons(result))
    listed = f"<ul>{reasons}</ul>" if reasons else ""
    return (
        f'<header class="{tone(verdict)}"><div class="wide">\n<p class="kicker">ecoload</p>\n'
        f"<h1>{text(rows.title(result)).replace('·', '<span>·</span>')}</h1>\n"
        f'<p class="verdict"><strong class="badge {tone(verdict)}">{text(verdict)}</strong>'
        f'<span class="validity">measurement <b class="{tone(status)}">{text(status)}</b></span></p>\n'
        f'<p class="headline">{text(rows.headline(result))}</p>\n'
        f"{listed}<dl>{terms(rows.header(result))}</dl>\n</div></header>\n<main>\n"
    )


def _verdicts(result: rows.Tree) -> str:
    body = [
        [
            badge(row.verdict, row.required),
            f"{text(row.of)}",
            text(row.must_be) + ("" if row.required else ' <small class="quiet">not required</small>'),
            f"{text(row.was)}",
            text(row.interval or NOTHING),
            f'<span class="quiet">{text(row.reason)}</span>',
        ]
        for row in rows.judged(result)
    ]
    if not body:
        return section("Verdicts", "<p>No service level, threshold or proof is declared.</p>")
    head = ("Verdict", "Of", "Must be", "Was", "95 % interval", "Reason")
    return section("Verdicts", table(head, body, numbers=(4,), label="Verdicts"))


def _charts(result: rows.Tree, found: Courses) -> str:
    if not found.at_s:
        return ""
    routes = [str(route["route"]) for route in result.get("routes") or ()]
    options = '<option value="*">all routes</option>' if len(routes) != 1 else ""
    options += "".join(f'<option value="{text(name)}">{text(name)}</option>' for name in routes)
    chooser = f'<label class="chooser">Route <select id="route">{options}</select></label>'
    thinned = (
        f'<p class="quiet">Each point stands for {found.thinned} seconds: the highest figure measured in '
        "them, for a rate the lowest.</p>"
        if found.thinned > 1
        else ""
    )
    figures = "".join(
        f"<figure><figcaption><b>{title}</b> <span>{note}</span></figcaption>"
        f'<div class="chart" id="{key}" role="img" aria-label="{title}: {note}"></div></figure>'
        for key, title, note in (
            ("latency", "Response time", "ms, each second, from when a request was due"),
            ("load", "Load", "a second: planned and started iterations, requests; VUs on the right"),
            ("trouble", "Errors", "each second; dropped and queued iterations beside"),
            ("curve", "Percentiles", "ms, response and service time, by nines"),
        )
    )
    hint = '<p class="quiet">Drag over a chart to look closer, double-click to see all again.</p>'
    script_off = "<noscript><p>The charts need JavaScript; the tables do not.</p></noscript>"
    return section("Course", f'{script_off}<div class="charts">{figures}</div>{hint}{thinned}', chooser)


def _routes(result: rows.Tree) -> str:
    body = []
    for route in result.get("routes") or ():
        response, service = route.get("response_ms") or {}, route.get("service_ms") or {}
        errors = text(share(route.get("error_rate")))
        body.append(
            [
                f"{text(route['route'])}",
                whole(route.get("requests")),
                rate(route.get("rps")),
                f'<b class="fail">{errors}</b>' if route.get("errors") else errors,
                *(ms(response.get(key)) for key in ("p50", "p90", "p95", "p99", "p999", "max", "mean")),
                ms(service.get("p50")),
                ms(service.get("p95")),
                ms(service.get("p99")),
                badge(rows.route_verdict(route)),
            ]
        )
    head = ("Route", "Requests", "Rate/s", "Errors", "P50", "P90", "P95", "P99", "P99.9", "Max", "Mean",
            "Service P50", "P95", "P99", "Verdict")  # fmt: skip
    note = (
        '<p class="quiet">Times in ms of requests that were ok. Response time runs from when a request was '
        "due, connecting and waiting for a VU included; service time is sending, waiting and receiving.</p>"
    )
    return section("Routes", table(head, body, numbers=range(1, 14), label="Routes") + note)


def _facts(result: rows.Tree) -> str:
    items = "".join(
        f"<div{' class=notable' if fact.notable else ''}><dt>{text(fact.label)}</dt>"
        f"<dd>{text(fact.text)}</dd></div>"
        for fact in rows.facts(result)
    )
    return section("What happened", f'<dl class="facts">{items}</dl>')


def _slowest(result: rows.Tree) -> str:
    body = [
        [
            text(one.get("route")),
            text(one.get("outcome")),
            f"{number(one.get('due_s')) or 0:,.1f} s",
            *(ms(one.get(f"{part}_ms")) for part in ("response", "delay", "sending", "waiting", "receiving")),
        ]
        for one in result.get("slowest") or ()
    ]
    if not body:
        return ""
    head = ("Route", "Outcome", "Due at", "Response", "Delay", "Sending", "Waiting", "Receiving")
    note = '<p class="quiet">Times in ms. Delay: from when it was due to its first byte sent.</p>'
    return section(
        "Slowest requests", table(head, body, numbers=range(2, 8), label="Slowest requests") + note
    )


def _details(result: rows.Tree) -> str:
    items = terms(rows.measured(result))
    return section("How it was measured", f'<dl class="facts">{items}</dl>') + "</main>\n"


def _data(result: rows.Tree, found: Courses) -> dict[str, Any]:
    routes = {}
    for route in result.get("routes") or ():
        levels = (route.get("slo") or {}).get("levels") or ()
        routes[clean(route["route"])] = {
            "response": _curve(route.get("response_ms") or {}),
            "service": _curve(route.get("service_ms") or {}),
            "p95_limit": next((one["limit"] for one in levels if one["level"] == "p95_ms"), None),
        }
    columns = {clean(route): found.columns[route] for route in found.columns}
    return {"at": found.at_s, "courses": columns, "routes": routes}


def _curve(latency: Mapping[str, Any]) -> list[list[float]]:
    """The published percentiles as points `[percentile, ms]`."""
    return [[share, value] for key, share in _NINES if (value := number(latency.get(key))) is not None]
