"""`summary.md`: one run, for a merge request or a mail.

Rules
-----
- The protocol's header stands at its head, the verdict next.
- Every foreign text is cleaned and escaped: nothing of it can be read as Markdown or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ecoload.report.forms import clean, ms, number, rate, share, whole
from ecoload.report.rows import (
    Tree,
    facts,
    has_response_times,
    header,
    headline,
    judged,
    measured,
    reasons,
    route_verdict,
    title,
    validity,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$@])")
_START = re.compile(r"^(\s*)([-=:]|\d+(?=[.)](?:\s|$)))")
_AUTOLINK = re.compile(r"(?i)\b(https?|ftp|www)(?=[:.])")


def summary_markdown(result: Tree) -> str:
    """The summary of a run's result (`run.json` as a tree)."""
    parts = (_head, _verdicts, _routes, _facts, slowest_rows, _measured)
    return "\n".join(line for part in parts for line in part(result)).rstrip("\n") + "\n"


def escaped(text: Any) -> str:
    """A text that stands for itself in Markdown, in a table too."""
    plain = _SPECIAL.sub(r"\\\1", clean(text))
    plain = _AUTOLINK.sub(lambda hit: hit[1][:-1] + f"&#{ord(hit[1][-1])};", plain)
    return _START.sub(lambda hit: hit[1] + f"&#{ord(hit[2][0])};" + hit[2][1:], plain)


def table(head: Sequence[str], body: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> Iterator[str]:
    """A table whose cells are texts that stand for themselves; columns `right` are aligned there."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "".join(" ---: |" if i in right else " --- |" for i in range(len(head)))
    for row in body:
        yield "| " + " | ".join(map(escaped, row)) + " |"


def _head(result: Tree) -> Iterator[str]:
    verdict, status = escaped(result.get("verdict")), escaped(validity(result)[0])
    yield f"# {escaped(title(result))}: {verdict}"
    yield ""
    yield from table(("", ""), [(label, text) for label, text in header(result)])
    yield ""
    yield f"**{verdict}**, measurement **{status}**. {escaped(headline(result))}"
    yield ""
    found = reasons(result)
    yield from (f"- {escaped(reason)}" for reason in found)
    if found:
        yield ""


def _verdicts(result: Tree) -> Iterator[str]:
    yield from ("## Verdicts", "")
    body = [
        (
            row.verdict if row.required else f"{row.verdict} (not required)",
            row.of,
            row.must_be,
            row.was,
            row.interval,
            row.reason,
        )
        for row in judged(result)
    ]
    if body:
        yield from table(("Verdict", "Of", "Must be", "Was", "95 % interval", "Reason"), body)
    else:
        yield "No service level, threshold or proof is declared."
    yield ""


def _routes(result: Tree) -> Iterator[str]:
    yield from ("## Routes", "")
    kind = "response" if has_response_times(result) else "service"
    since = (
        "response time from when a request was due"
        if kind == "response"
        else "service time, as k6 measures it"
    )
    yield f"Times in ms of requests that were ok; {since}."
    yield ""
    body = []
    for route in result.get("routes") or ():
        shown, service = route.get(f"{kind}_ms") or {}, route.get("service_ms") or {}
        body.append(
            (
                route["route"],
                whole(route.get("requests")),
                rate(route.get("rps")),
                share(route.get("error_rate")),
                *(ms(shown.get(key)) for key in ("p50", "p90", "p95", "p99", "p999", "max")),
                ms(service.get("p95")),
                route_verdict(route),
            )
        )
    head = ("Route", "Requests", "Rate/s", "Errors", "P50", "P90", "P95", "P99", "P99.9", "Max")
    yield from table((*head, "Service P95", "Verdict"), body, right=range(1, 11))
    yield ""


def _facts(result: Tree) -> Iterator[str]:
    yield from ("## What happened", "")
    yield from (f"- {escaped(fact.label)}: {escaped(fact.text)}" for fact in facts(result))
    yield ""


def slowest_rows(result: Tree) -> Iterator[str]:
    """The section of the slowest requests; nothing where none is known."""
    body = [
        (
            one.get("route"),
            one.get("outcome"),
            f"{number(one.get('due_s')) or 0:,.1f} s",
            *(ms(one.get(f"{part}_ms")) for part in ("response", "delay", "sending", "waiting", "receiving")),
        )
        for one in result.get("slowest") or ()
    ]
    if body:
        yield from ("## Slowest requests", "")
        head = ("Route", "Outcome", "Due at", "Response", "Delay", "Sending", "Waiting", "Receiving")
        yield from table(head, body, right=range(2, 8))
        yield ""


def _measured(result: Tree) -> Iterator[str]:
    yield from ("## How it was measured", "")
    yield from (f"- {escaped(label)}: {escaped(text)}" for label, text in measured(result))
