"""`summary.md`: one run, for a merge request or a mail.

Rules
-----
- The protocol's header stands at its head, the verdict next.
- Every foreign text is cleaned and escaped: nothing of it can be read as Markdown or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ecoload.report import rows
from ecoload.report.forms import clean, ms, rate, share, whole

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$])")


def summary_markdown(result: Mapping[str, Any]) -> str:
    """The summary of a run's result (`run.json` as a tree)."""
    status, reasons = rows.validity(result)
    lines = [f"# {escaped(result.get('app'))} · {escaped(result.get('profile'))}: {escaped(result.get('verdict'))}", ""]
    lines += [f"**{escaped(result.get('verdict'))}**, measurement **{escaped(status)}**. {escaped(rows.headline(result))}", ""]
    lines += [f"- {escaped(reason)}" for reason in [*reasons, *(result.get("verdict_reasons") or ())]]
    lines += ["", *_table(["", ""], [[label, text] for label, text in rows.header(result)]), "", "## Verdicts", ""]
    lines += _table(
        ["Verdict", "Of", "Must be", "Was", "95 % interval"],
        [[row.verdict, row.of, row.must_be, row.was, row.interval] for row in rows.judged(result)],
    )
    lines += ["", "## Routes", "", "Response time in ms, from when a request was due; service time beside it.", ""]
    lines += _table(
        ["Route", "Requests", "Rate/s", "Errors", "P50", "P95", "P99", "Max", "Service P95"],
        [_route(route) for route in result.get("routes") or ()],
    )
    lines += ["", "## What happened", ""]
    lines += [f"- {escaped(fact.label)}: {escaped(fact.text)}" for fact in rows.facts(result)]
    lines += ["", "## Hashes", "", f"- spec: `{clean(result.get('spec_hash'))}`"]
    lines += [f"- execution: `{clean(result.get('execution_hash'))}`", ""]
    return "\n".join(lines)


def escaped(text: Any) -> str:
    """A text that stands for itself in Markdown."""
    return _SPECIAL.sub(r"\\\1", clean(text))


def _route(route: Mapping[str, Any]) -> list[str]:
    response = route["response_ms"]
    return [
        route["route"], whole(route["requests"]), rate(route.get("rps")), share(route.get("error_rate")),
        ms(response["p50"]), ms(response["p95"]), ms(response["p99"]), ms(response["max"]),
        ms(route["service_ms"]["p95"]),
    ]  # fmt: skip


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(map(escaped, row)) + " |" for row in body]
