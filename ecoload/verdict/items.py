"""What decides in a run's result (`run.json` as a tree), one by one, so that runs can be laid side by side.

Rules
-----
- Only what decides: stretch levels and levels that the profile merely shows are left out.
- The verdicts are those of the run; nothing is judged anew.
- A run that is worse than all that was judged in it (it did not end by its plan), or in which nothing was
  judged, is an item of its own: it proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ecoload.measure.result import Verdict
from ecoload.verdict.slo import worst
from ecoload.verdict.suite_result import Measured

Tree = Mapping[str, Any]

Key = tuple[str, str, str, str]
"""`(kind, app, of, must_be)`: the same thing in another run has the same key."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One thing that decides, as one run measured it. `level` and `limit` are those of a service level."""

    kind: str
    app: str
    of: str
    must_be: str
    measured: Measured
    level: str = ""
    limit: float | None = None

    @property
    def key(self) -> Key:
        return self.kind, self.app, self.of, self.must_be


def items_of(result: Tree) -> tuple[Judged, ...]:
    """Everything that decides in the result of a run."""
    found = [*_levels(result), *_conditions(result), *_proofs(result), *_drift(result)]
    whole = Verdict(result["verdict"])
    if not found or worst(Verdict(item.measured.verdict) for item in found) is not whole:
        reasons = "; ".join(map(str, result.get("verdict_reasons") or ())) or str(result.get("status"))
        measured = Measured(whole.value, str(result.get("status")), reason=reasons)
        found.append(
            Judged("run", str(result["app"]), "the run", "ends by its plan, measured soundly", measured)
        )
    return tuple(found)


def must_be(level: str, limit: float) -> str:
    """A service level as people say it: `P95 ≤ 150 ms`, `errors ≤ 1 %`, `timeouts ≤ 0`."""
    if level.endswith("_ms"):
        return f"P{level.removesuffix('_ms').removeprefix('p')} ≤ {limit:,.10g} ms"
    if level == "error_rate":
        return f"errors ≤ {limit * 100:.6g} %"
    if level == "p95_drift":
        return f"P95 drift ≤ {limit * 100:.6g} %"
    return f"{level.replace('_', ' ')} ≤ {limit:g}"


def shown(level: str, value: float | None) -> str:
    """A measured figure in the unit of its level; `–` where there is none."""
    if value is None:
        return "–"
    if level.endswith("_ms"):
        return f"{value:,.1f} ms" if value < 1000 else f"{value:,.0f} ms"
    if level in ("error_rate", "p95_drift"):
        return f"{value * 100:.3g} %"
    return f"{value:g}"


def _levels(result: Tree) -> Iterator[Judged]:
    for route in result.get("routes") or ():
        for level in (route.get("slo") or {}).get("levels") or ():
            if level.get("required", True):
                name, limit, value = str(level["level"]), float(level["limit"]), level.get("value")
                measured = Measured(
                    str(level["verdict"]), shown(name, value), value, str(level.get("reason") or "")
                )
                of = str(route["route"]).removeprefix(f"{route['app']}:")
                yield Judged("level", str(route["app"]), of, must_be(name, limit), measured, name, limit)


def _conditions(result: Tree) -> Iterator[Judged]:
    for one in result.get("thresholds") or ():
        kind, source = str(one.get("kind") or "threshold"), str(one["source"])
        words = source if kind == "threshold" else f"never {source}"
        reason = str(one.get("reason") or "")
        measured = Measured(str(one["verdict"]), reason, one.get("value"), reason)
        yield Judged(kind, str(result["app"]), kind.replace("_", " "), words, measured)


def _proofs(result: Tree) -> Iterator[Judged]:
    app = str(result["app"])
    kept = result.get("persistence")
    if kept:
        reason = str(kept.get("reason") or "")
        was = f"{kept.get('persisted')} of {kept.get('acknowledged')} kept"
        measured = Measured(str(kept["verdict"]), was, kept.get("lost"), reason)
        yield Judged("persistence", app, "persistence", "nothing lost", measured)
    for proof in result.get("proofs") or ():
        measured = Measured(
            str(proof["verdict"]), str(proof.get("found")), reason=str(proof.get("reason") or "")
        )
        # The steps of two flows may be called the same.
        of = f"{result['flow']}: {proof['name']}" if result.get("flow") else str(proof["name"])
        yield Judged("proof", app, of, f"is {proof.get('expected')}", measured)


def _drift(result: Tree) -> Iterator[Judged]:
    for one in result.get("drift") or ():
        measured = Measured(
            str(one["verdict"]), str(one.get("reason") or ""), one.get("change"), str(one.get("reason") or "")
        )
        yield Judged("drift", str(result["app"]), str(one["of"]), f"no drift of {one['metric']}", measured)
