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

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import orjson

from ecoload.report import rows
from ecoload.report.courses import Courses, courses
from ecoload.report.forms import NOTHING, clean, ms, number, rate, share, whole

TITLES = {"PASS": "pass", "VALID": "pass", "FAIL": "fail", "INVALID": "fail"}
_NINES = (("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0), ("p999", 99.9))


def report_html(
    result: rows.Tree,
    seconds: Iterable[Mapping[str, str]] = (),
    planned: Callable[[float], float] | None = None,
) -> str:
    """The page of a run: its result (`run.json` as a tree), the rows of its series, and the planned
    starts a second at a time, where the plan has an arrival rate."""
    found = courses(seconds, planned)
    style = _asset("vendor/uPlot.min.css") + _asset("page/report.css")
    script = _asset("vendor/uPlot.iife.min.js") + "\n" + _asset("page/report.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    title = f"{clean(result.get('app'))} · {clean(result.get('profile'))}: {clean(result.get('verdict'))}"
    body = "".join(
        (_head(result), _verdicts(result), _charts(result, found), _routes(result), _facts(result),
         _slowest(result), _details(result))
    )  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}"
        f'<script type="application/json" id="data">{embedded(_data(result, found))}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def embedded(value: Any) -> str:
    """JSON that can stand inside a script element: none of its characters can end or begin one."""
    text = orjson.dumps(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _head(result: rows.Tree) -> str:
    verdict, (status, _) = str(result.get("verdict")), rows.validity(result)
    reasons = "".join(f"<li>{_text(reason)}</li>" for reason in rows.reasons(result))
    terms = "".join(
        f"<div><dt>{_text(label)}</dt><dd>{_text(text)}</dd></div>" for label, text in rows.header(result)
    )
    return (
        f'<header class="{_tone(verdict)}"><div class="wide">\n<p class="kicker">ecoload</p>\n'
        f"<h1>{_text(result.get('app'))} <span>·</span> {_text(result.get('profile'))}</h1>\n"
        f'<p class="verdict"><strong class="badge {_tone(verdict)}">{_text(verdict)}</strong>'
        f'<span class="validity">measurement <b class="{_tone(status)}">{_text(status)}</b></span></p>\n'
        f'<p class="headline">{_text(rows.headline(result))}</p>\n'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}<dl>{terms}</dl>\n</div></header>\n<main>\n"
    )


def _verdicts(result: rows.Tree) -> str:
    body = [
        [
            _badge(row.verdict, row.required),
            f"{_text(row.of)}",
            _text(row.must_be) + ("" if row.required else ' <small class="quiet">not required</small>'),
            f"{_text(row.was)}",
            _text(row.interval or NOTHING),
            f'<span class="quiet">{_text(row.reason)}</span>',
        ]
        for row in rows.judged(result)
    ]
    if not body:
        return _section("Verdicts", "<p>No service level, threshold or proof is declared.</p>")
    head = ("Verdict", "Of", "Must be", "Was", "95 % interval", "Reason")
    return _section("Verdicts", _table(head, body, numbers=(4,), label="Verdicts"))


def _charts(result: rows.Tree, found: Courses) -> str:
    if not found.at_s:
        return ""
    routes = [str(route["route"]) for route in result.get("routes") or ()]
    options = '<option value="*">all routes</option>' if len(routes) != 1 else ""
    options += "".join(f'<option value="{_text(name)}">{_text(name)}</option>' for name in routes)
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
    return _section("Course", f'{script_off}<div class="charts">{figures}</div>{hint}{thinned}', chooser)


def _routes(result: rows.Tree) -> str:
    body = []
    for route in result.get("routes") or ():
        response, service = route.get("response_ms") or {}, route.get("service_ms") or {}
        errors = _text(share(route.get("error_rate")))
        body.append(
            [
                f"{_text(route['route'])}",
                whole(route.get("requests")),
                rate(route.get("rps")),
                f'<b class="fail">{errors}</b>' if route.get("errors") else errors,
                *(ms(response.get(key)) for key in ("p50", "p90", "p95", "p99", "p999", "max", "mean")),
                ms(service.get("p50")),
                ms(service.get("p95")),
                ms(service.get("p99")),
                _badge(rows.route_verdict(route)),
            ]
        )
    head = ("Route", "Requests", "Rate/s", "Errors", "P50", "P90", "P95", "P99", "P99.9", "Max", "Mean",
            "Service P50", "P95", "P99", "Verdict")  # fmt: skip
    note = (
        '<p class="quiet">Times in ms of requests that were ok. Response time runs from when a request was '
        "due, connecting and waiting for a VU included; service time is sending, waiting and receiving.</p>"
    )
    return _section("Routes", _table(head, body, numbers=range(1, 14), label="Routes") + note)


def _facts(result: rows.Tree) -> str:
    items = "".join(
        f"<div{' class=notable' if fact.notable else ''}><dt>{_text(fact.label)}</dt>"
        f"<dd>{_text(fact.text)}</dd></div>"
        for fact in rows.facts(result)
    )
    return _section("What happened", f'<dl class="facts">{items}</dl>')


def _slowest(result: rows.Tree) -> str:
    body = [
        [
            _text(one.get("route")),
            _text(one.get("outcome")),
            f"{number(one.get('due_s')) or 0:,.1f} s",
            *(ms(one.get(f"{part}_ms")) for part in ("response", "delay", "sending", "waiting", "receiving")),
        ]
        for one in result.get("slowest") or ()
    ]
    if not body:
        return ""
    head = ("Route", "Outcome", "Due at", "Response", "Delay", "Sending", "Waiting", "Receiving")
    note = '<p class="quiet">Times in ms. Delay: from when it was due to its first byte sent.</p>'
    return _section(
        "Slowest requests", _table(head, body, numbers=range(2, 8), label="Slowest requests") + note
    )


def _details(result: rows.Tree) -> str:
    items = "".join(
        f"<div><dt>{_text(label)}</dt><dd>{_text(text)}</dd></div>" for label, text in rows.measured(result)
    )
    return _section("How it was measured", f'<dl class="facts">{items}</dl>') + "</main>\n"


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


def _section(title: str, content: str, aside: str = "") -> str:
    key = title.lower().replace(" ", "-")
    return (
        f'<section aria-labelledby="{key}"><div class="title"><h2 id="{key}">{title}</h2>{aside}</div>\n'
        f"{content}</section>\n"
    )


def _table(head: Sequence[str], body: Sequence[Sequence[str]], *, numbers: Iterable[int], label: str) -> str:
    """A table of cells that are HTML already. The first cell of a row is its header."""
    right = set(numbers)
    cells = "".join(
        f'<th scope="col"{" class=number" if i in right else ""}>{name}</th>' for i, name in enumerate(head)
    )
    lines = "".join(
        "<tr>"
        + f'<th scope="row">{row[0]}</th>'
        + "".join(
            f"<td{' class=number' if i in right else ''}>{cell}</td>" for i, cell in enumerate(row[1:], 1)
        )
        + "</tr>\n"
        for row in body
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><thead><tr>{cells}</tr>'
        f"</thead>\n<tbody>{lines}</tbody></table></div>\n"
    )


def _badge(verdict: str, required: bool = True) -> str:
    if verdict == NOTHING:
        return '<span class="badge none">no level</span>'
    return f'<span class="badge {_tone(verdict) if required else "none"}">{_text(verdict)}</span>'


def _tone(word: str) -> str:
    return TITLES.get(word, "open")


def _text(value: Any) -> str:
    return escape(clean(value))


def _asset(path: str) -> str:
    return files("ecoload.report").joinpath(path).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
