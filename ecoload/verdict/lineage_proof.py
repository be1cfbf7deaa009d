"""The proof of a run's lineage as a file: all that it takes to check it, on any machine, without the run.

Rules
-----
- The ids are not in it, but for those that tell against a station: they follow from the seed, the run and the
  ranges of iterations that are. So the file is small, and every id of it can be computed again.
- What a station held is what was acknowledged but for what is lost, and what is listed as there; its Merkle
  root is over all of it. So no id can be added to a list or taken from it without the roots telling.
- A proof shows what was found. Who made it, it does not: whoever can make one can make another.
"""

from __future__ import annotations

import dataclasses
import heapq
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecoload.engine.event_ids import IdOf, id_of
from ecoload.engine.lineage import sorted_ids
from ecoload.measure.ledger import ACK_UNKNOWN, ACKNOWLEDGED, REJECTED, STATES, Ints, Ledger, Sent
from ecoload.measure.merkle import Merkle
from ecoload.measure.plan_file import read_as
from ecoload.measure.reconcile import Held, LineageFound, StationFound, read, roots, written
from ecoload.measure.result import Verdict, plain
from ecoload.plan import Plan, ProtocolHeader, Scenario, to_tree
from ecoload.verdict.lineage import judge_lineage, verdict_of
from ecoload.verdict.slo import worst

SCHEMA = "ecoload.lineage/1"
Tree = Mapping[str, Any]


def proof_of(plan: Plan, run_id: str, found: LineageFound) -> dict[str, Any]:
    """The tree of `lineage_proof.json`."""
    assert plan.lineage is not None, "the plan of a lineage"
    judged = judge_lineage(found)
    stations = [
        _station(one, proof.verdict, proof.reason) for one, proof in zip(found.stations, judged, strict=True)
    ]
    used = sorted({one.scenario for one in found.ledger.sent})
    tree = {
        "schema": SCHEMA,
        "tool_version": plan.tool_version,
        "app": plan.app,
        "profile": plan.profile,
        "route": plan.routes[plan.lineage.route].name,
        "run_id": run_id,
        "seed": plan.seed,
        "execution_hash": plan.execution_hash,
        "protocol": dataclasses.asdict(plan.protocol),
        "env": dict(plan.env),
        "id": plan.lineage.id,
        "scenarios": {
            str(index): to_tree(Scenario(plan.scenarios[index].name, plan.scenarios[index].lets))
            for index in used
        },
        "whole": found.ledger.whole,
        "counts": _counts(found.ledger),
        "roots": {"sent": found.sent_root, "acknowledged": found.acknowledged_root},
        "events": [list(row) for one in found.ledger.sent for row in _ranges(one)],
        "stations": stations,
        "not_asked": list(plan.lineage.absent),
        "verdict": _whole([proof.verdict for proof in judged]).value,
    }
    return plain(tree)  # type: ignore[no-any-return]


def verified(tree: Tree) -> list[str]:
    """What of a proof does not hold; nothing where all of it does. Raises ValueError where it is no proof."""
    try:
        if tree["schema"] != SCHEMA:
            raise ValueError(f"its schema is {tree['schema']!r}, not {SCHEMA!r}")
        return list(_problems(tree))
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"it is no proof of this version: {error!r}") from error


def ledger_of(tree: Tree) -> Ledger:
    """What a proof says was sent. When it was acknowledged stands in no proof."""
    rows: dict[int, list[tuple[int, int, int, int]]] = {}
    for scenario, vu, state, first, last in tree["events"]:
        if not 0 <= first <= last < 1 << 30 or not 0 <= vu < 1 << 30:
            raise ValueError(f"a range of iterations that cannot be: {first} to {last} of VU {vu}")
        rows.setdefault(int(scenario), []).append((vu, STATES.index(state), first, last))
    return Ledger(
        tuple(_sent(number, ranges) for number, ranges in sorted(rows.items())), bool(tree["whole"])
    )


def ids_in(tree: Tree) -> dict[int, IdOf]:
    """The functions that give a proof's ids, by scenario."""
    protocol = ProtocolHeader(**tree["protocol"])
    return {
        int(index): id_of(
            read_as(Scenario, scenario), tree["id"], tree["seed"], tree["run_id"], protocol, tree["env"]
        )
        for index, scenario in tree["scenarios"].items()
    }


# --- making it ------------------------------------------------------------------------------------


def _counts(ledger: Ledger) -> dict[str, int]:
    return {"sent": ledger.count()} | {name: ledger.count(state) for state, name in enumerate(STATES)}


def _ranges(one: Sent) -> Iterator[tuple[int, int, str, int, int]]:
    """`(scenario, vu, state, first iteration, last)`: runs of iterations that became the same."""
    if not len(one):
        return
    breaks = (np.diff(one.vu) != 0) | (np.diff(one.iteration) != 1) | (np.diff(one.state) != 0)
    begins = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    ends = np.concatenate([begins[1:] - 1, [len(one) - 1]])
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        state = STATES[int(one.state[begin])]
        yield one.scenario, int(one.vu[begin]), state, int(one.iteration[begin]), int(one.iteration[end])


def _station(one: StationFound, verdict: Verdict, reason: str) -> dict[str, Any]:
    held = one.held
    tree: dict[str, Any] = {
        "name": one.station.name,
        "app": one.app,
        "within_s": one.station.within_ns / 1e9,
        "took_s": round(one.took_s, 3),
        "verdict": verdict.value,
        "reason": reason,
        "held": None,
    }
    if held is not None:
        tree["held"] = _held(held)
    return tree


def _held(held: Held) -> dict[str, Any]:
    unknown = [identifier for identifier, state in held.unacknowledged if state == ACK_UNKNOWN]
    rejected = [identifier for identifier, state in held.unacknowledged if state == REJECTED]
    lag = None
    if held.lag.total:
        p50, p95, p99 = (value / 1000 for value in held.lag.percentiles((0.5, 0.95, 0.99)))
        lag = {"p50": p50, "p95": p95, "p99": p99, "max": held.lag.maximum / 1000}
    return {
        "present": held.present,
        "distinct": held.distinct,
        "root": held.root,
        "lost": held.lost,
        "duplicated": [list(one) for one in held.duplicated],
        "late": held.late,
        "never_sent": held.never_sent,
        "ack_unknown": unknown,
        "lost_second": held.unknown,
        "rejected": rejected,
        "lag_ms": lag,
    }


def _whole(verdicts: Sequence[Verdict]) -> Verdict:
    return worst(verdicts) if verdicts else Verdict.INCONCLUSIVE


# --- checking it ----------------------------------------------------------------------------------


def _problems(tree: Tree) -> Iterator[str]:
    ledger, ids = ledger_of(tree), ids_in(tree)
    if missing := sorted({one.scenario for one in ledger.sent} - ids.keys()):
        raise ValueError(f"it has events of scenarios that are not in it: {missing}")
    if _counts(ledger) != tree["counts"]:
        yield f"counts: the ranges come to {_counts(ledger)}"
    with tempfile.TemporaryDirectory(prefix="ecoload-lineage-") as folder:
        sent = sorted_ids(ledger, ids, Path(folder))
        every, acknowledged = roots(sent.lines())
        if tree["roots"] != {"sent": every, "acknowledged": acknowledged}:
            yield "roots: the ids of the ranges have others"
        verdicts = []
        for station in tree["stations"]:
            held, name = station["held"], station["name"]
            if held is not None:
                yield from (f"{name}: {problem}" for problem in _of_station(held, sent.lines(), ledger))
            verdict = Verdict(station["verdict"])
            wanted = verdict_of(tree["counts"]["acknowledged"], None if held is None else _lists(held))
            if verdict is not wanted:
                yield f"{name}: its verdict is {verdict}, and what is listed makes it {wanted}"
            verdicts.append(verdict)
    if Verdict(tree["verdict"]) is not _whole(verdicts):
        yield f"the verdict is {tree['verdict']}, and the stations make it {_whole(verdicts)}"


def _of_station(held: Tree, sent: Iterator[tuple[bytes, bytes]], ledger: Ledger) -> Iterator[str]:
    lost, late = _set(held["lost"]), _set(held["late"])
    there = {ACK_UNKNOWN: _set(held["ack_unknown"]), REJECTED: _set(held["rejected"])}
    extra = _set(held["never_sent"]) | _set(held["lost_second"])
    unused = {"lost": set(lost), "late": set(late), "ack_unknown": set(there[ACK_UNKNOWN])}
    unused["rejected"] = set(there[REJECTED])
    also_sent: list[bytes] = []

    def present() -> Iterator[bytes]:
        for identifier, said in sent:
            state = int(said.partition(b" ")[0])
            if identifier in extra:
                also_sent.append(identifier)
            if state == ACKNOWLEDGED:
                unused["late"].discard(identifier)
                if identifier in lost:
                    unused["lost"].discard(identifier)
                else:
                    yield identifier
            elif identifier in there[state]:
                unused[STATES[state]].discard(identifier)
                yield identifier

    root = Merkle()
    doubled = {written(identifier): int(times) for identifier, times in held["duplicated"]}
    missing = set(doubled)
    for identifier in heapq.merge(present(), sorted(extra)):
        root.add(identifier)
        missing.discard(identifier)
    for name, ids in unused.items():
        if ids:
            yield f"{name}: {_some(ids)} was not sent so"
    if also_sent:
        yield f"never_sent: {_some(set(also_sent))} was sent"
    if missing:
        yield f"duplicated: {_some(missing)} is not there"
    if any(times < 2 for times in doubled.values()):
        yield "duplicated: what is there once is not there twice"
    if held["lost_second"] and ledger.whole:
        yield "lost_second: nothing of the run is missing"
    if (root.count, root.root()) != (held["distinct"], held["root"]):
        yield "root: what is listed as there has another"
    if held["present"] != root.count + sum(times - 1 for times in doubled.values()):
        yield "present: it is not the ids and their copies"


def _lists(held: Tree) -> dict[str, list[str]]:
    return {name: held[name] for name in ("lost", "duplicated", "late", "never_sent")}


def _set(ids: Sequence[str]) -> set[bytes]:
    return {written(identifier) for identifier in ids}


def _some(ids: set[bytes]) -> str:
    first, *rest = sorted(ids)
    return read(first) + (f" and {len(rest):,} more" if rest else "")


def _sent(scenario: int, ranges: list[tuple[int, int, int, int]]) -> Sent:
    columns: list[list[Ints]] = [[], [], []]
    for vu, state, first, last in sorted(ranges, key=lambda one: (one[0], one[2])):
        length = last - first + 1
        columns[0].append(np.full(length, vu, np.int64))
        columns[1].append(np.arange(first, last + 1, dtype=np.int64))
        columns[2].append(np.full(length, state, np.int64))
    vu_column, iteration, states = (np.concatenate(parts) for parts in columns)
    return Sent(scenario, vu_column, iteration, states, np.zeros(len(vu_column), np.int64))
