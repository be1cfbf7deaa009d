"""The result of one run (`run.json` as a tree) laid out as rows that every form of report shows.

Rules
-----
- A row is what was judged, what it had to be, what it was, and the verdict; the verdict is read from
  the result and never formed here.
- What the result does not hold is left out; a key that is not there is not an error, so that older
  results can be shown.
- The texts are not cleaned or escaped here: that is the business of the form they end in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ecoload.report.forms import NOTHING, change, moment, ms, number, plural, share, span, whole

Tree = Mapping[str, Any]

_SHARES = ("error_rate", "p95_drift")

_MODELS = {
    "open": "open: an iteration is due by the clock, whether or not the target keeps up",
    "closed": "closed: an iteration is due when its VU is free and its pacing is over",
    "mixed": "mixed: some iterations are due by the clock, some when their VU is free",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One thing that was judged. `kind` is `level`, `persistence`, `proof`, `drift`, `threshold`,
    `fail_when` or `abort_when`; one that is not `required` is shown and decides nothing."""

    kind: str
    verdict: str
    of: str
    must_be: str
    was: str
    interval: str = ""
    reason: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the report that is no verdict; `notable` where a reader should stop at it."""

    label: str
    text: str
    notable: bool = False


def judged(result: Tree) -> list[Judged]:
    """Everything that got a verdict, in the order of reading: levels, persistence, proofs, drift,
    conditions."""
    parts = (_levels, _persistence, _proofs, _drift, _conditions)
    return [row for part in parts for row in part(result)]


def validity(result: Tree) -> tuple[str, Sequence[str]]:
    """`(status, reasons)` of the measurement itself."""
    tree = result.get("validity") or {}
    return str(tree.get("status") or "INVALID"), tree.get("reasons") or ()


def headline(result: Tree) -> str:
    """What the verdict means for a reader, in one sentence."""
    verdict, status = result.get("verdict"), validity(result)[0]
    if status == "INVALID":
        return "The measurement is not valid: its figures say nothing about the target."
    if verdict == "PASS":
        return "Everything that was asked of the target holds."
    if verdict == "FAIL":
        rows = [row for row in judged(result) if row.required]
        failed = sum(row.verdict == "FAIL" for row in rows)
        return f"{failed} of {len(rows)} verdicts {'is' if failed == 1 else 'are'} FAIL."
    return "The measurement cannot tell whether the target passes."


def reasons(result: Tree) -> list[str]:
    """Why the verdict is not PASS, each reason once; empty where it is.

    Where the measurement is in doubt, that comes first, and what is undecided only for that is left to
    the rows of `judged`.
    """
    status, found = validity(result)
    own = [str(reason) for reason in result.get("verdict_reasons") or ()]
    if status != "VALID":
        undecided = [row.reason for row in judged(result) if row.verdict == "INCONCLUSIVE" and row.reason]
        own = [one for one in own if not any(one.endswith(reason) for reason in undecided)]
    return list(dict.fromkeys([*(f"{status}: {reason}" for reason in found), *own]))


def header(result: Tree) -> list[tuple[str, str]]:
    """The head of every report: protocol, system under test, the run and its conditions."""
    protocol = result.get("protocol") or {}
    lines = [
        ("Protocol", protocol.get("name")),
        ("Protocol version", protocol.get("version")),
        ("Assigned app", protocol.get("assigned_app")),
        ("Mode", protocol.get("mode")),
        ("Namespace", protocol.get("namespace")),
        ("App", result.get("app")),
        ("Version of the app", result.get("target_version") or "not known"),
        ("Profile", _profile(result)),
        ("Model", result.get("model")),
        ("Run", result.get("run_id")),
        ("Started", moment(result.get("started_at") or "")),
        ("Duration", span(result.get("duration_s"))),
        ("Seed", result.get("seed")),
        ("Tool", tool(result.get("tool_version"))),
    ]
    return [(label, str(text)) for label, text in lines if text not in (None, "", NOTHING)]


def title(result: Tree) -> str:
    """Which run it is: `a2 · baseline`; its id where it says neither."""
    return " · ".join(str(result[key]) for key in ("app", "profile") if result.get(key)) or str(
        result.get("run_id")
    )


def has_response_times(result: Tree) -> bool:
    """Whether any route has one; k6 measures service times only."""
    routes = result.get("routes") or ()
    times = [
        [(route.get(f"{kind}_ms") or {}).get("p50") for route in routes] for kind in ("response", "service")
    ]
    return any(time is not None for time in times[0]) or all(time is None for time in times[1])


def tool(version: Any) -> str:
    """What made the load: `ecoload 0.1.0`, or the name of the tool whose result was imported."""
    return "k6" if version == "k6" else f"ecoload {version or ''}".strip()


def facts(result: Tree) -> list[Fact]:
    """What was done, what was not, what went wrong, and how the generator bore it."""
    lines = [_done(result), _not_done(result)]
    lines += [Fact("Not ok", f"{route}: {text}", True) for route, text in not_ok(result)]
    lines += _generator(result)
    status = result.get("status")
    if status not in (None, "finished"):
        why = result.get("stop_reason")
        lines.append(Fact("Ended", f"{status}: {why}" if why else str(status), True))
    lines += [Fact("Note", str(note)) for note in result.get("notes") or ()]
    return lines


def measured(result: Tree) -> list[tuple[str, str]]:
    """How the figures came about: the model of load, the length, the hashes, the generator's machine."""
    machine = (result.get("generator") or {}).get("machine") or {}
    lines = [
        ("Model of load", _MODELS.get(str(result.get("model")))),
        ("Measured", span(result.get("measured_s"))),
        ("Plan (execution hash)", result.get("execution_hash")),
        ("Files (spec hash)", result.get("spec_hash")),
        *((f"Generator: {name}", text) for name, text in machine.items()),
    ]
    return [(label, str(text)) for label, text in lines if text not in (None, "", NOTHING)]


def not_ok(result: Tree) -> Iterator[tuple[str, str]]:
    """`(route, "timeout 3 · reset 1")` for each route where something was not `ok`."""
    for route in result.get("routes") or ():
        found = {name: n for name, n in (route.get("outcomes") or {}).items() if name != "ok" and n}
        if route.get("unsent"):
            found["never sent"] = route["unsent"]
        if found:
            ordered = sorted(found.items(), key=lambda item: -item[1])
            yield str(route["route"]), " · ".join(f"{name} {whole(n)}" for name, n in ordered)


def route_verdict(route: Tree) -> str:
    """The verdict of a route's service levels; `–` where none is declared."""
    return str((route.get("slo") or {}).get("verdict") or NOTHING)


def level_text(level: str, limit: Any) -> str:
    """What a level asks for: `P95 ≤ 125 ms`, `errors ≤ 1 %`, `timeouts ≤ 0`."""
    figure = number(limit)
    if figure is None:
        shown = NOTHING
    elif level in _SHARES:
        shown = f"{figure * 100:.6g} %"
    else:
        shown = f"{figure:,.10g} ms" if level.endswith("_ms") else f"{figure:,.10g}"
    return f"{_level_name(level)} ≤ {'±' if level == 'p95_drift' else ''}{shown}"


def _level_name(level: str) -> str:
    """`p95_ms` as people say it: `P95`."""
    if level == "error_rate":
        return "errors"
    return level.removesuffix("_ms").replace("_", " ").replace("p", "P", 1)


def _profile(result: Tree) -> str | None:
    profile, scale = result.get("profile"), number(result.get("duration_scale"))
    if profile is None or scale in (None, 1.0):
        return profile
    return f"{profile} (durations × {scale:g})"


def _done(result: Tree) -> Fact:
    parts = [plural(result.get("iterations"), "iteration", "iterations")]
    parts.append(plural(result.get("requests"), "request", "requests"))
    if result.get("vus_max") is not None:
        parts.append(f"{plural(result['vus_max'], 'VU', 'VUs')} at most")
    if result.get("warm_up_requests"):
        parts.append(f"{whole(result['warm_up_requests'])} more in the warm-up")
    return Fact("Done", " · ".join(parts))


def _not_done(result: Tree) -> Fact:
    counts = [
        (result.get("dropped_iterations"), "dropped"),
        (result.get("queued_at_end"), "still queued"),
        (result.get("interrupted_iterations"), "interrupted"),
        (result.get("late_starts"), "started late"),
    ]
    known = [(count, word) for count, word in counts if count is not None]
    text = " · ".join(f"{whole(count)} {word}" for count, word in known)
    return Fact("Not done", text or NOTHING, any(count for count, _ in known))


def _levels(result: Tree) -> Iterator[Judged]:
    for route in result.get("routes") or ():
        for level in (route.get("slo") or {}).get("levels") or ():
            name = str(level["level"])
            yield Judged(
                "level",
                str(level["verdict"]),
                str(route["route"]),
                level_text(name, level.get("limit")),
                _level_value(name, level.get("value")),
                _interval(level.get("interval"), name.endswith("_ms")),
                level.get("reason") or "",
                level.get("required", True),
            )


def _persistence(result: Tree) -> Iterator[Judged]:
    tree = result.get("persistence")
    if tree:
        lost = number(tree.get("lost"))
        was = f"{whole(tree.get('persisted'))} of {whole(tree.get('acknowledged'))} kept"
        was += "" if lost is None else f", {whole(lost)} lost"
        verdict, reason = str(tree["verdict"]), tree.get("reason") or ""
        yield Judged("persistence", verdict, "persistence", "nothing lost", was, reason=reason)


def _proofs(result: Tree) -> Iterator[Judged]:
    for tree in result.get("proofs") or ():
        within, unasked = number(tree.get("within_s")), number(tree.get("took_s")) is None
        must_be = _json(tree.get("expected")) + (f" within {span(within)}" if within else "")
        was = NOTHING if unasked else _json(tree.get("found"))
        reason = f"{tree.get('question')} {tree.get('reason')}"
        yield Judged("proof", str(tree["verdict"]), f"proof {tree['name']}", must_be, was, reason=reason)


def _drift(result: Tree) -> Iterator[Judged]:
    for tree in result.get("drift") or ():
        metric, of, verdict = str(tree["metric"]), str(tree["of"]), str(tree["verdict"])
        first, last = (_DRIFTING[metric][1](tree.get(end)) for end in ("first", "last"))
        was = NOTHING if number(tree.get("last")) is None else f"{first} → {last}"
        yield Judged("drift", verdict, of, _DRIFTING[metric][0], was, reason=tree.get("reason") or "")


def _mib(value: Any) -> str:
    figure = number(value)
    return NOTHING if figure is None else f"{figure / 2**20:,.1f} MiB"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _conditions(result: Tree) -> Iterator[Judged]:
    for tree in result.get("thresholds") or ():
        kind, value = str(tree.get("kind") or "threshold"), number(tree.get("value"))
        watched = kind != "threshold"
        was = ("never so" if watched else NOTHING) if value is None else _measured(str(tree["source"]), value)
        must_be = f"never {tree['source']}" if watched else str(tree["source"])
        yield Judged(kind, str(tree["verdict"]), kind, must_be, was, reason=tree.get("reason") or "")


def _measured(source: str, value: float) -> str:
    if "error_rate" in source:
        return share(value)
    return whole(value) if "dropped" in source or "rps" in source else _milliseconds(value)


def _generator(result: Tree) -> Iterator[Fact]:
    tree = result.get("generator") or {}
    parts = []
    if number(tree.get("cpu_share")) is not None:
        parts.append(f"CPU {share(tree['cpu_share'])} of one core")
    if number(tree.get("lag_max_ms")) is not None:
        parts.append(f"loop lag {ms(tree['lag_max_ms'])} ms at most")
    if number(tree.get("late_start_p99_ms")) is not None:
        parts.append(f"lateness P99 {ms(tree['late_start_p99_ms'])} ms")
    if parts:
        yield Fact("Generator", " · ".join(parts))


def _milliseconds(value: Any) -> str:
    text = ms(value)
    return text if text == NOTHING else f"{text} ms"


def _level_value(level: str, value: Any) -> str:
    if level == "p95_drift":
        return change(value)
    if level in _SHARES:
        return share(value)
    return _milliseconds(value) if level.endswith("_ms") else whole(value)


_DRIFTING: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "p95_ms": ("no drift of P95", _milliseconds),
    "error_rate": ("no drift of errors", share),
    "resident_bytes": ("no drift of memory", _mib),
}


def _interval(pair: Any, in_ms: bool) -> str:
    if not pair or any(number(end) is None for end in pair):
        return ""
    if in_ms:
        return f"{ms(pair[0])} – {ms(pair[1])} ms"
    return f"{share(pair[0])} – {share(pair[1])}"
