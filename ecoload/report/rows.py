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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecoload.report.forms import NOTHING, ms, number, plural, share, span, whole

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """One thing that was judged. `kind` is `level`, `threshold` or `persistence`."""

    kind: str
    verdict: str
    of: str
    must_be: str
    was: str
    interval: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the report that is no verdict; `notable` where a reader should stop at it."""

    label: str
    text: str
    notable: bool = False


def judged(result: Tree) -> list[Judged]:
    """Everything that got a verdict, in the order of reading: levels, persistence, thresholds."""
    return [*_levels(result), *_persistence(result), *_thresholds(result)]


def validity(result: Tree) -> tuple[str, Sequence[str]]:
    """`(status, reasons)` of the measurement itself."""
    tree = result.get("validity") or {}
    return tree.get("status", "INVALID"), tree.get("reasons") or ()


def headline(result: Tree) -> str:
    """What the verdict means for a reader, in one sentence."""
    verdict, status = result.get("verdict"), validity(result)[0]
    if status == "INVALID":
        return "The measurement is not valid: its figures say nothing about the target."
    if verdict == "PASS":
        return "Everything that was asked of the target holds."
    if verdict == "FAIL":
        failed = sum(row.verdict == "FAIL" for row in judged(result))
        return f"{plural(failed, 'verdict is', 'verdicts are')} FAIL." if failed else "The run failed."
    return "The measurement cannot tell whether the target passes."


def header(result: Tree) -> list[tuple[str, str]]:
    """The head of every report: protocol, system under test, the run and its conditions."""
    protocol = result.get("protocol") or {}
    lines = [
        ("Protocol", protocol.get("name")),
        ("Assigned app", protocol.get("assigned_app")),
        ("Target version", result.get("target_version") or protocol.get("version")),
        ("Mode", protocol.get("mode")),
        ("Namespace", protocol.get("namespace")),
        ("App", result.get("app")),
        ("Profile", _profile(result)),
        ("Run", result.get("run_id")),
        ("Started", result.get("started_at")),
        ("Duration", span(result.get("duration_s"))),
        ("Seed", result.get("seed")),
        ("Tool", f"ecoload {result.get('tool_version', '')}".strip()),
    ]
    return [(label, str(text)) for label, text in lines if text not in (None, "", NOTHING)]


def facts(result: Tree) -> list[Fact]:
    """What was done, what was not, what went wrong, and how the generator bore it."""
    counts = {key: number(result.get(key)) for key in ("dropped_iterations", "interrupted_iterations")}
    late = number(result.get("late_starts"))
    done = [plural(result.get("iterations"), "iteration", "iterations")]
    done.append(plural(result.get("requests"), "request", "requests"))
    if result.get("vus_max") is not None:
        done.append(f"{plural(result['vus_max'], 'VU', 'VUs')} at most")
    not_done = [
        f"{whole(counts['dropped_iterations'])} dropped",
        f"{whole(counts['interrupted_iterations'])} interrupted",
        plural(late, "late start", "late starts"),
    ]
    lines = [
        Fact("Done", " · ".join(done)),
        Fact("Not done", " · ".join(not_done), bool(any(counts.values()) or late)),
    ]
    lines += [Fact("Not ok", f"{route}: {text}", True) for route, text in not_ok(result)]
    lines += _generator(result)
    if result.get("stop_reason"):
        lines.append(Fact("Ended", f"{result.get('status', '')}: {result['stop_reason']}", True))
    lines += [Fact("Note", str(note)) for note in result.get("notes") or ()]
    return lines


def not_ok(result: Tree) -> Iterator[tuple[str, str]]:
    """`(route, "timeout 3 · reset 1")` for each route where something was not `ok`."""
    for route in result.get("routes") or ():
        outcomes = {k: n for k, n in (route.get("outcomes") or {}).items() if k != "ok" and n}
        if outcomes:
            ordered = sorted(outcomes.items(), key=lambda item: -item[1])
            yield route["route"], " · ".join(f"{name} {whole(n)}" for name, n in ordered)


def level_name(level: str) -> str:
    """`p95_ms` as people say it: `P95`."""
    if level == "error_rate":
        return "errors"
    return level.removesuffix("_ms").replace("_", " ").replace("p", "P", 1)


def _profile(result: Tree) -> str | None:
    profile, scale = result.get("profile"), number(result.get("duration_scale"))
    if profile is None or scale in (None, 1.0):
        return profile
    return f"{profile} (durations × {scale:g})"


def _levels(result: Tree) -> Iterator[Judged]:
    for route in result.get("routes") or ():
        for level in (route.get("slo") or {}).get("levels") or ():
            name, in_ms = level["level"], level["level"].endswith("_ms")
            write = _milliseconds if in_ms else share
            yield Judged(
                "level",
                level["verdict"],
                route["route"],
                f"{level_name(name)} ≤ {_limit(level.get('limit'), in_ms)}",
                write(level.get("value")),
                _interval(level.get("interval"), in_ms),
                level.get("reason") or "",
            )


def _persistence(result: Tree) -> Iterator[Judged]:
    tree = result.get("persistence")
    if tree:
        kept = f"{whole(tree.get('persisted'))} of {whole(tree.get('acknowledged'))} kept"
        lost = number(tree.get("lost"))
        was = kept if lost is None else f"{kept}, {whole(lost)} lost"
        yield Judged(
            "persistence", tree["verdict"], "persistence", "nothing lost", was, "", tree.get("reason") or ""
        )


def _thresholds(result: Tree) -> Iterator[Judged]:
    for tree in result.get("thresholds") or ():
        value = number(tree.get("value"))
        was = NOTHING if value is None else f"{value:,.4g}"
        yield Judged(
            "threshold", tree["verdict"], "threshold", str(tree["source"]), was, "", tree.get("reason") or ""
        )


def _generator(result: Tree) -> Iterator[Fact]:
    tree = result.get("generator") or {}
    parts = []
    if number(tree.get("cpu_share")) is not None:
        parts.append(f"CPU {share(tree['cpu_share'])}")
    if number(tree.get("lag_max_ms")) is not None:
        parts.append(f"loop lag {ms(tree['lag_max_ms'])} ms at most")
    if number(tree.get("late_start_p99_ms")) is not None:
        parts.append(f"start lateness P99 {ms(tree['late_start_p99_ms'])} ms")
    if parts:
        yield Fact("Generator", " · ".join(parts))


def _milliseconds(value: Any) -> str:
    text = ms(value)
    return text if text == NOTHING else f"{text} ms"


def _limit(value: Any, in_ms: bool) -> str:
    figure = number(value)
    if figure is None:
        return NOTHING
    return f"{figure:,.10g} ms" if in_ms else f"{figure * 100:.10g} %"


def _interval(pair: Any, in_ms: bool) -> str:
    if not pair or any(number(end) is None for end in pair):
        return ""
    if in_ms:
        return f"{ms(pair[0])} – {ms(pair[1])} ms"
    return f"{share(pair[0])} – {share(pair[1])}"


