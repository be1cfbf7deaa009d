"""The result of a suite (`suite.json` as a tree) laid out as rows that every form of report shows.

Rules
-----
- Verdicts, scores and figures are read from the result and never formed here. Where one run asked every
  app at once (health), an app shows the worst verdict among its own things that were judged.
- A key that is not there is not an error, so that older results can be shown.
- The texts are not cleaned or escaped here: that is the business of the form they end in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecoload.report.forms import NOTHING, moment, ms, number, plural, share, span, whole
from ecoload.report.suite_names import is_run_folder

Tree = Mapping[str, Any]

FIRST = "first measurement"
_WORST_FIRST = (
    "FAIL", "INCONCLUSIVE", "AWAITING_APPROVAL", "NO_BROWSER", "NOT_RUN", "WAIVED",
    "MITIGATED", "PASS",
)  # fmt: skip
_Name = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Spot:
    """One app in one phase. `folder` is that of the run that counts, empty where there was none."""

    verdict: str
    reasons: tuple[str, ...] = ()
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was judged, phase by phase; None where the phase does not judge it."""

    app: str
    kind: str
    of: str
    must_be: str
    issue: str
    items: tuple[Tree | None, ...]


@dataclass(frozen=True, slots=True)
class Issue:
    """A known issue with its figures in words."""

    id: str
    app: str
    where: str
    limit: str
    cold: str
    warm: str
    state: str
    summary: str
    remedy: str


def headline(result: Tree) -> str:
    """What the status means for a reader, in one sentence."""
    if result.get("halted"):
        return f"The protocol was halted: {result['halted']}"
    if result.get("interrupted"):
        return "The protocol was interrupted before its end."
    failed = len(result.get("failures") or ())
    if failed:
        return f"{plural(failed, 'thing', 'things')} that the protocol asks for failed."
    if result.get("status") == "READY":
        return "Everything that the protocol asks of the ecosystem holds."
    if result.get("rehearsal"):
        return "Nothing failed in this rehearsal."
    return "Nothing failed, but the ecosystem is not READY."


def reasons(result: Tree) -> list[str]:
    """What keeps the status from READY, and why it is a rehearsal, each once."""
    rehearsal = [f"rehearsal: {reason}" for reason in result.get("rehearsal") or ()]
    return list(dict.fromkeys([*(str(one) for one in result.get("conditions") or ()), *rehearsal]))


def header(result: Tree) -> list[tuple[str, str]]:
    """The head of every report: the source's header, the systems under test, the suite itself."""
    return _present(
        [
            *_protocol(result),
            ("Systems under test", " · ".join(f"{app} {_version(result, app)}" for app in apps(result))),
            *_suite(result),
        ]
    )


def app_header(result: Tree, app: str) -> list[tuple[str, str]]:
    """The same for the report of one app."""
    return _present(
        [
            *_protocol(result),
            ("App", app),
            ("Version of the app", _version(result, app)),
            *_suite(result),
        ]
    )


def score(result: Tree) -> str:
    """`81.4 → 93.0 (+11.6), grade B`."""
    found = result.get("readiness") or {}
    before, after, delta = (number(found.get(key)) for key in ("before", "after", "delta"))
    text = NOTHING if after is None else f"{after:.1f}"
    if before is not None:
        text = f"{before:.1f} → {text}"
    if delta is not None:
        text += f" ({delta:+.1f})"
    return f"{text}, grade {found['grade']}" if found.get("grade") else text


def score_before(result: Tree) -> str:
    """What the score before was read from, in words; empty where there is none."""
    found = result.get("readiness") or {}
    if number(found.get("before")) is None:
        return ""
    previous = str(found.get("previous") or FIRST)
    return "this suite's first measurement" if previous == FIRST else previous


def apps(result: Tree) -> list[str]:
    return [str(app) for app in result.get("apps") or ()]


def phases(result: Tree) -> list[Tree]:
    return list(result.get("phases") or ())


def spot(phase: Tree, app: str) -> Spot | None:
    """What became of `app` in `phase`, the worst of its flows where it has several; None where the phase does
    not ask it anything."""
    found = [spot for cell in cells_of(phase, app) if (spot := _spot(cell, app)) is not None]
    if not found:
        return None
    worst = min(found, key=lambda spot: _badness(spot.verdict))
    return Spot(worst.verdict, tuple(reason for spot in found for reason in spot.reasons), worst.folder)


def _spot(cell: Tree, app: str) -> Spot | None:
    verdict, found = str(cell.get("verdict")), [str(reason) for reason in cell.get("reasons") or ()]
    if cell.get("app") != app and (items := cell.get("items")):
        if all(item.get("app") != app for item in items):
            return None
        own = [item for item in items if item.get("app") in (app, cell.get("app"))]
        verdict = min((str(item.get("verdict")) for item in own), key=_badness)
        others = tuple(f"{name} " for name in {str(item.get("app")) for item in items} - {app, "all"})
        found = [] if verdict == "PASS" else [reason for reason in found if not reason.startswith(others)]
    runs = cell.get("runs") or ()
    folder = str(runs[-1].get("folder")) if runs else ""
    return Spot(verdict, tuple(found), folder if is_run_folder(folder) else "")


def cells_of(phase: Tree, app: str) -> list[Tree]:
    """The cells of an app: its own (one for each flow, where it has flows), or that of the run that asks
    every app at once."""
    cells: list[Tree] = list(phase.get("cells") or ())
    own = [cell for cell in cells if cell.get("app") == app]
    return own or [cell for cell in cells if cell.get("app") == "all"]


def called(cell: Tree) -> str:
    """What a cell is called: by its app, and its flow where it is of one."""
    return f"{cell.get('app')} {cell['flow']}" if cell.get("flow") else str(cell.get("app"))


def lines(result: Tree) -> list[Line]:
    """Everything that counts for the score, each thing once, with its verdicts by phase; by app, then in the
    order in which the phases judge them. What a phase judges twice under one name has two lines; a run that
    was not made, or judged nothing, is a thing itself."""
    every = phases(result)
    found: dict[tuple[_Name, int], list[Tree | None]] = {}
    for at, phase in enumerate(every):
        seen: Counter[_Name] = Counter()
        for item in (item for cell in phase.get("cells") or () for item in cell.get("items") or _bare(cell)):
            name = _name(item)
            found.setdefault((name, seen[name]), [None] * len(every))[at] = item
            seen[name] += 1
    order = {app: at for at, app in enumerate(apps(result))}
    listed = [Line(*name, _issue_of(items), tuple(items)) for (name, _), items in found.items()]
    return sorted(listed, key=lambda line: order.get(line.app, len(order)))


def _bare(cell: Tree) -> tuple[Tree, ...]:
    if cell.get("verdict") == "NOT_APPLICABLE":
        return ()
    told = {"was": "; ".join(map(str, cell.get("reasons") or ()))}
    item = {
        "kind": "run",
        "of": cell.get("flow") or "the run",
        "must_be": "is made",
        "first": told,
        "last": told,
    }
    return ({**item, "app": cell.get("app"), "verdict": cell.get("verdict")},)


def parts(result: Tree) -> list[tuple[str, Any, Any]]:
    """`(name, score at first, score at last)` of each part of the score, 0 to 1; None: it judges nothing."""
    found = [
        (str(phase.get("name")), phase.get("score_first"), phase.get("score_last"))
        for phase in phases(result)
    ]
    up = [one.get("verdict") == "PASS" for one in result.get("availability") or ()]
    return [*found, ("availability", sum(up) / len(up), sum(up) / len(up))] if up else found


def thousandths(score: object) -> str:
    return f"{score:.3f}" if isinstance(score, float | int) else NOTHING


def was(item: Tree) -> str:
    """What it was; `first → last` where they differ."""
    first, last = (str((item.get(which) or {}).get("was") or NOTHING) for which in ("first", "last"))
    return last if first == last else f"{first} → {last}"


def judged_as(verdict: Any) -> str:
    """A verdict as people read it: `AWAITING APPROVAL`."""
    return str(verdict).replace("_", " ")


def issues(result: Tree) -> list[Issue]:
    """The known issues, cold and warm side by side."""
    return [
        Issue(
            id=str(one.get("id")),
            app=str(one.get("app")),
            where=f"{one.get('app')} {one.get('route')}",
            limit=_limit(one),
            cold=_figure(one, "cold"),
            warm=_figure(one, "warm"),
            state=str(one.get("state")),
            summary=str(one.get("summary") or ""),
            remedy=str(one.get("remedy") or ""),
        )
        for one in result.get("known_issues") or ()
    ]


def waivers(result: Tree) -> list[tuple[str, str, str, str, str]]:
    """`(issue, by, reason, until, "valid" or "not valid")`."""
    return [
        (
            str(one.get("id")),
            str(waiver.get("by") or NOTHING),
            str(waiver.get("reason") or NOTHING),
            str(waiver.get("until") or NOTHING),
            "valid" if waiver.get("valid") else "not valid",
        )
        for one in result.get("known_issues") or ()
        if (waiver := one.get("waiver"))
    ]


def uptimes(result: Tree) -> list[tuple[str, str, str, str, str, str]]:
    """`(app, uptime, answered, probes, verdict, reason)`."""
    return [
        (
            str(one.get("app")),
            _uptime(one.get("uptime")),
            whole(one.get("answered")),
            whole(one.get("probes")),
            str(one.get("verdict")),
            str(one.get("reason") or ""),
        )
        for one in result.get("availability") or ()
    ]


def approvals(result: Tree) -> list[tuple[str, str, str]]:
    """`(phase, what became of it, why it needs an approval)`."""
    found = result.get("approvals") or {}
    waiting = {str(phase) for phase in found.get("awaiting") or ()}
    given = str(found.get("given") or "")
    rows = []
    for phase, why in (found.get("needed") or {}).items():
        state = "waits" if phase in waiting else f"approved by {given}" if given else "not asked for"
        rows.append((str(phase), state, "; ".join(map(str, why))))
    known = {phase for phase, _, _ in rows}
    return [*rows, *((phase, "waits", "") for phase in sorted(waiting - known))]


def measured(result: Tree) -> list[tuple[str, str]]:
    """What it was that was carried out, for whoever wants to do it again."""
    return _present(
        [
            ("Plan (execution hash)", result.get("execution_hash")),
            ("Files (spec hash)", result.get("spec_hash")),
            ("Seed", result.get("seed")),
            ("Exit code", result.get("exit_code")),
        ]
    )


def _name(item: Tree) -> _Name:
    """What an item has in common with the same thing in another phase."""
    app, kind, of, must_be = (str(item.get(key) or "") for key in ("app", "kind", "of", "must_be"))
    return app, kind, of, must_be


def _issue_of(items: Iterable[Tree | None]) -> str:
    """The known issue that a thing is; one of another phase counts too."""
    return next((str(item["issue"]) for item in items if item and item.get("issue")), "")


def _badness(verdict: str) -> int:
    return _WORST_FIRST.index(verdict) if verdict in _WORST_FIRST else len(_WORST_FIRST)


def _protocol(result: Tree) -> list[tuple[str, Any]]:
    protocol = result.get("protocol") or {}
    return [
        ("Assigned app", protocol.get("assigned_app")),
        ("Mode", protocol.get("mode")),
        ("Protocol", protocol.get("name")),
        ("Protocol version", protocol.get("version")),
        ("Namespace", protocol.get("namespace")),
    ]


def _suite(result: Tree) -> list[tuple[str, Any]]:
    scale = number(result.get("duration_scale"))
    return [
        ("Duration scale", None if scale is None else "1 (as written)" if scale == 1 else f"{scale:g}"),
        ("Suite", result.get("suite_id")),
        ("Started", moment(result.get("started_at") or "")),
        ("Ended", moment(result.get("ended_at") or "")),
        ("Duration", span(result.get("duration_s"))),
        ("Tool", f"ecoload {result.get('tool_version') or ''}".strip()),
    ]


def _present(rows: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(label, str(text)) for label, text in rows if text not in (None, "", NOTHING)]


def _version(result: Tree, app: str) -> str:
    return str((result.get("versions") or {}).get(app) or "version not known")


def _figure(issue: Tree, which: str) -> str:
    value, level = issue.get(which), str(issue.get("level"))
    if number(value) is None:
        return NOTHING
    if level.endswith("_ms"):
        return f"{ms(value)} ms"
    return whole(value) if level in ("timeouts", "failed_checks") else share(value)


def _limit(issue: Tree) -> str:
    figure, level = number(issue.get("limit")), str(issue.get("level"))
    if figure is None:
        return NOTHING
    if level.endswith("_ms"):
        return f"{level.removesuffix('_ms').replace('_', ' ').capitalize()} ≤ {figure:,.10g} ms"
    if level in ("timeouts", "failed_checks"):
        return f"{level.replace('_', ' ')} ≤ {figure:,.10g}"
    return f"{level.replace('_', ' ')} ≤ {figure * 100:.6g} %"


def _uptime(value: Any) -> str:
    """A share as percent to three digits behind the point, never rounded up: 99.9 % is a limit."""
    figure = number(value)
    if figure is None:
        return NOTHING
    return f"{int(figure * 100_000 + 1e-6) / 1000:.3f} %"
