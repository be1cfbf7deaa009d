"""Writes the proof of a run's lineage, as a file that can be checked and as a page that can be read.

Rules
-----
- Figures and verdicts are those of the proof; ids of a target are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from ecoload.errors import OutputFailed
from ecoload.measure.reconcile import LineageFound
from ecoload.plan import Plan
from ecoload.report.folder import replace
from ecoload.report.forms import NOTHING, clean, ms, whole
from ecoload.report.markdown import escaped, table
from ecoload.report.tables import stdout
from ecoload.report.terminal import STYLES
from ecoload.verdict.lineage_proof import proof_of

PROOF, PAGE = "lineage_proof.json", "lineage_proof.md"
MOST_IDS = 100
"""Of a list on the page; the file has all of them."""
_AGAINST = ("lost", "duplicated", "late", "never_sent")
_BESIDE = ("ack_unknown", "lost_second", "rejected")

Tree = Mapping[str, Any]


def write_proof(folder: Path, plan: Plan, run_id: str, found: LineageFound) -> dict[str, Any]:
    """Writes `lineage_proof.json` and `lineage_proof.md`, and gives the proof. Raises OutputFailed."""
    tree = proof_of(plan, run_id, found)
    try:
        replace(folder / PAGE, lineage_markdown(tree).encode())
        replace(folder / PROOF, orjson.dumps(tree, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise OutputFailed(f"{error.filename or folder}: {error.strerror}; free some space") from error
    return tree


def lineage_markdown(tree: Tree) -> str:
    """The page of a proof."""
    return "\n".join(_page(tree)).rstrip("\n") + "\n"


def print_proof(tree: Tree, folder: Path, console: Console | None = None) -> None:
    """The verdict, a line for each station, and where the proof lies."""
    console = console or stdout()
    verdict, counts = str(tree["verdict"]), tree["counts"]
    acknowledged = f"{whole(counts['acknowledged'])} acknowledged of {whole(counts['sent'])}"
    said = f"lineage of {clean(tree['run_id'])} · {acknowledged}"
    console.print()
    console.print(
        Text.assemble(" ", (f" {verdict} ", f"bold white on {STYLES.get(verdict, 'default')}"), f"  {said}"),
        soft_wrap=True,
    )
    for station in tree["stations"]:
        style = STYLES.get(station["verdict"], "")
        line = Text.assemble(
            " ", (f"{station['verdict']:<13}", style), f"{clean(station['name'])}: {clean(station['reason'])}"
        )
        console.print(line, soft_wrap=True)
    console.print(Text.assemble(" ", ("Proof     ", "dim"), clean(folder / PROOF)), soft_wrap=True)


def _page(tree: Tree) -> Iterator[str]:
    protocol, counts = tree["protocol"], tree["counts"]
    yield f"# Lineage of {escaped(tree['app'])} · {escaped(tree['profile'])}: {escaped(tree['verdict'])}"
    yield ""
    facts = [
        ("Assigned app", protocol.get("assigned_app")),
        ("Mode", protocol.get("mode")),
        ("Protocol", protocol.get("name")),
        ("Namespace", protocol.get("namespace")),
        ("Run", tree["run_id"]),
        ("Plan (execution hash)", tree["execution_hash"]),
        ("Sent", whole(counts["sent"])),
        ("Acknowledged", whole(counts["acknowledged"])),
        ("Answered otherwise (rejected)", whole(counts["rejected"])),
        ("Without an answer (ack_unknown)", whole(counts["ack_unknown"])),
        ("Merkle root, sent", tree["roots"]["sent"]),
        ("Merkle root, acknowledged", tree["roots"]["acknowledged"]),
    ]
    yield from table(("", ""), [(label, value) for label, value in facts if value])
    yield ""
    if not tree["whole"]:
        yield "The run or its generator was killed: up to its last second is computed from the seed."
        yield ""
    yield from ("## Stations", "")
    head = (
        "Station",
        "Verdict",
        "There",
        "Lost",
        "Duplicated",
        "Late",
        "Never sent",
        "Not acknowledged",
        "P95 ms",
    )
    yield from table(head, [_row(station) for station in tree["stations"]], right=range(2, 9))
    yield ""
    for name in tree["not_asked"]:
        yield f"- {escaped(name)} was not asked: the address of its app is not known."
    for station in tree["stations"]:
        yield f"- {escaped(station['name'])}: {escaped(station['reason'])}"
    yield ""
    for station in tree["stations"]:
        yield from _ids(station)
    yield "An event without an acknowledgement is no loss: the target may have it or not, and both are told."
    yield "`ecoload lineage verify lineage_proof.json` computes every id and both roots again."


def _row(station: Tree) -> tuple[str, ...]:
    held = station["held"]
    if held is None:
        return (station["name"], station["verdict"], *[NOTHING] * 7)
    beside = sum(len(held[name]) for name in _BESIDE)
    lag = held["lag_ms"]
    return (
        station["name"],
        station["verdict"],
        whole(held["present"]),
        *(whole(len(held[name])) for name in _AGAINST),
        whole(beside),
        ms(lag["p95"]) if lag else NOTHING,
    )


def _ids(station: Tree) -> Iterator[str]:
    held = station["held"] or {}
    for name in (*_AGAINST, *_BESIDE):
        listed = held.get(name) or ()
        if listed:
            yield from (f"### {escaped(station['name'])}: {escaped(name)} ({len(listed):,})", "")
            for one in listed[:MOST_IDS]:
                yield f"- {escaped(one if isinstance(one, str) else f'{one[0]}, {one[1]} times')}"
            if len(listed) > MOST_IDS:
                yield f"- and {len(listed) - MOST_IDS:,} more, in `{PROOF}`"
            yield ""
