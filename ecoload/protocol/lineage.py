"""The lineage of a run that is over: proved from its folder, or a proof held against its targets again.

Rules
-----
- Only what the run's plan asked is asked again, at the addresses that the command gives in place of the
  plan's, after the guard has agreed.
- A proof says nothing of when an event was acknowledged, so whether one came too late is not judged again.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from ecoload.engine.interrupts import interrupts
from ecoload.engine.lineage import follow_up
from ecoload.engine.tokens import tokens_of
from ecoload.errors import UsageError
from ecoload.measure.ledger import Ledger, read_ledger
from ecoload.measure.plan_file import read_plan
from ecoload.measure.reconcile import LineageFound
from ecoload.measure.strict import read_plain
from ecoload.plan import Plan
from ecoload.report.lineage import write_proof
from ecoload.run import prepare, resolve_secrets
from ecoload.spec.targets import split_url
from ecoload.verdict.lineage import discrepancies
from ecoload.verdict.lineage_proof import ledger_of, verified

MOST_BYTES = 1 << 30
_HELD = ("present", "distinct", "root")


def prove(
    folder: Path, urls: Mapping[str, str], environ: Mapping[str, str], workspace: Path
) -> dict[str, Any]:
    """The proof of a run by its folder, the run cut off or not; it is written there. Raises UsageError where
    the folder follows no lineage, GuardRefused, TokenFailed."""
    plan, ledger = _plan(folder, urls), read_ledger(folder)
    found = _asked(plan, ledger.run_id, ledger, environ, workspace)
    return write_proof(folder, plan, ledger.run_id, found)


def read_proof(path: Path) -> dict[str, Any]:
    """A proof. Raises UsageError where the file is none."""
    try:
        tree = orjson.loads(read_plain(path, MOST_BYTES))
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: it holds no proof")
    return tree


def verify(path: Path) -> list[str]:
    """What of a proof does not hold, offline. Raises UsageError where the file is none."""
    try:
        return verified(read_proof(path))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def verify_against(
    path: Path, urls: Mapping[str, str], environ: Mapping[str, str], workspace: Path
) -> list[str]:
    """What the stations hold otherwise than the proof says. The run's plan lies beside it."""
    tree = read_proof(path)
    folder = path.resolve().parent
    if read_plan(folder / "plan.json").execution_hash != tree["execution_hash"]:
        raise UsageError(f"{path}: the plan that lies beside it is another one's")
    plan = _plan(folder, urls)
    assert plan.lineage is not None, "a proof is of a plan with a lineage"
    stations = tuple(dataclasses.replace(one, within_ns=0) for one in plan.lineage.stations)
    now = dataclasses.replace(plan, lineage=dataclasses.replace(plan.lineage, stations=stations))
    found = _asked(now, str(tree["run_id"]), ledger_of(tree), environ, workspace)
    return list(_differences(tree, found))


def _differences(tree: Mapping[str, Any], found: LineageFound) -> Iterator[str]:
    told = {station["name"]: station["held"] for station in tree["stations"]}
    for one in found.stations:
        name, before = one.station.name, told.get(one.station.name)
        if one.held is None:
            yield f"{name} could not be read: {one.problem}"
            continue
        if before is None:
            yield f"{name}: the proof could not read it; now it holds {one.held.present:,}"
            continue
        for kind, ids in discrepancies(one.held).items():
            if kind == "late":
                continue
            known = {item if isinstance(item, str) else item[0] for item in before[kind]}
            for word, other in (("now", set(ids) - known), ("no longer", known - set(ids))):
                if other:
                    first, *rest = sorted(other)
                    more = f" and {len(rest):,} more" if rest else ""
                    yield f"{name}: {word} {kind.replace('_', ' ')}: {first}{more}"
        for kind in _HELD:
            if getattr(one.held, kind) != before[kind]:
                yield f"{name}: {kind} was {before[kind]}, and is {getattr(one.held, kind)}"


def _plan(folder: Path, urls: Mapping[str, str]) -> Plan:
    """The plan of a run's folder, at other addresses where they are given."""
    plan = read_plan(folder / "plan.json")
    if plan.lineage is None:
        raise UsageError(f"{folder}: its run followed no lineage ({plan.app} declares none, or could not)")
    known = {origin.app for origin in plan.origins}
    if unknown := sorted(set(urls) - known):
        raise UsageError(f"{', '.join(unknown)}: no app of this run; there are {', '.join(sorted(known))}")
    origins = []
    for origin in plan.origins:
        if origin.app in urls:
            scheme, host, port, path = split_url(urls[origin.app])
            there = dataclasses.replace(
                origin, scheme=scheme, host=host, port=port, base_path=path, addresses=(), embedded=False
            )
            origins.append(there)
        else:
            origins.append(origin)
    return prepare(dataclasses.replace(plan, origins=tuple(origins)))


def _asked(
    plan: Plan, run_id: str, ledger: Ledger, environ: Mapping[str, str], workspace: Path
) -> LineageFound:
    secrets = resolve_secrets(plan, environ, workspace)
    with ExitStack() as stack:
        tokens = {app: stack.enter_context(tokens_of(plan, run_id, secrets, app)) for app in plan.auths}
        wait = stack.enter_context(_waiting())
        current = {app: partial(getattr, one, "current") for app, one in tokens.items()}
        return follow_up(plan, run_id, ledger, current, wait)


@contextmanager
def _waiting() -> Iterator[Any]:
    """Waits until somebody presses Ctrl-C."""
    over = threading.Event()

    class Waiting:
        def stop(self, reason: str) -> None:
            over.set()

        abort = stop

    with interrupts() as heard, heard.reach(Waiting()):
        yield over.wait
