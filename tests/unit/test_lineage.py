"""The lineage of events: ids from the seed, the ledger of a run, two sets compared, and a proof that is
checked."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoload.engine.event_ids import LOST_ITERATIONS, id_of
from ecoload.engine.lineage import follow_up, ids_of
from ecoload.engine.probe import ProbeFailed
from ecoload.engine.stations import pages
from ecoload.errors import SpecError
from ecoload.measure.frames import ANSWERED, SENT
from ecoload.measure.ledger import (
    ACK_UNKNOWN,
    ACKNOWLEDGED,
    FILE,
    REJECTED,
    Ledger,
    LedgerWriter,
    Sent,
    read_ledger,
)
from ecoload.measure.merkle import EMPTY, Merkle
from ecoload.measure.outcome import Outcome
from ecoload.measure.reconcile import Sorter, read, reconcile, said_of, written
from ecoload.measure.result import Verdict
from ecoload.plan import Call, Lineage, Plan, ProtocolHeader, Ref, Scenario, Station, Text
from ecoload.report.lineage import lineage_markdown
from ecoload.spec.workspace import load_workspace
from ecoload.verdict.lineage import judge_lineage
from ecoload.verdict.lineage_proof import ledger_of, proof_of, verified
from tests.unit.guard_plans import INGEST, ingest, plan

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
T0 = 5_000_000_000
MS = 1_000_000
UUID = (("event_id", Call("uuid")),)
PATH = Text(("/v1/events?after=", Ref(("cursor",))))


def rows(*values: Sequence[int]) -> bytes:
    return np.array(values, np.int64).tobytes()


def ledger(folder: Path, *frames: tuple[int, bytes], end: bool = True) -> Ledger:
    with LedgerWriter(folder, "run", T0, ZERO) as writer:
        for key, payload in frames:
            writer.add(key, payload)
        if end:
            writer.end()
    return read_ledger(folder)


def sent(*events: tuple[int, int, int], whole: bool = True) -> Ledger:
    """A ledger of `(vu, iteration, state)`."""
    table = np.array(sorted(events), np.int64).reshape(-1, 3)
    at_ms = np.where(table[:, 2] == ACKNOWLEDGED, 1000, 0)
    return Ledger((Sent(0, table[:, 0], table[:, 1], table[:, 2], at_ms),), whole, "run")


def followed(**changes: Any) -> Plan:
    station = Station("a2", 0, PATH, "$.events", "$.id", "$.next", first="0", **changes)
    scenario = Scenario("main", UUID, (ingest(),))
    return plan(scenarios=(scenario,), lineage=Lineage(INGEST, "event_id", (station,)))


# --- ids ----------------------------------------------------------------------------------------------


def test_an_id_follows_from_seed_run_vu_and_iteration_and_from_nothing_else() -> None:
    lets = (
        ("at", Call("now_ms")),
        ("who", Ref(("data", "name"))),
        *UUID,
        ("id", Text(("e-", Ref(("event_id",))))),
    )
    protocol = ProtocolHeader()

    def of(seed: int, run: str) -> Callable[[int, int], str]:
        return id_of(Scenario("s", lets), "id", seed, run, protocol, {})

    ids = [of(1, "run")(vu, n) for vu in range(1, 50) for n in range(50)]
    assert len(set(ids)) == len(ids)
    assert of(1, "run")(3, 4) == of(1, "run")(3, 4)
    assert len({of(1, "run")(3, 4), of(2, "run")(3, 4), of(1, "other")(3, 4)}) == 3
    assert ids[0].startswith("e-")


# --- the ledger ---------------------------------------------------------------------------------------


def test_what_was_answered_decides_what_became_of_what_was_sent(tmp_path: Path) -> None:
    found = ledger(
        tmp_path,
        (SENT, rows((1, 0), (1, 1), (2, 0), (2, 1))),
        (ANSWERED, rows((1, 0, Outcome.OK, T0 + 250 * MS), (2, 0, Outcome.HTTP_ERROR, T0))),
    )
    (one,) = found.sent
    assert list(zip(one.vu, one.iteration, one.state, strict=True)) == [
        (1, 0, ACKNOWLEDGED),
        (1, 1, ACK_UNKNOWN),
        (2, 0, REJECTED),
        (2, 1, ACK_UNKNOWN),
    ]
    assert one.at_ms.tolist() == [ZERO.timestamp() * 1000 + 250, 0, 0, 0]
    assert (found.whole, found.run_id, found.count(), found.count(ACK_UNKNOWN)) == (True, "run", 4, 2)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_ledger_that_was_cut_anywhere_holds_what_came_before(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    ledger(folder, *((SENT, rows((1, n))) for n in range(5)))
    whole = (folder / FILE).read_bytes()
    cut = data.draw(st.integers(90, len(whole) - 1))
    (folder / FILE).write_bytes(whole[:cut])
    found = read_ledger(folder)
    assert not found.whole
    count = found.count()
    assert [one.iteration.tolist() for one in found.sent] == ([list(range(count))] if count else [])


def test_an_answer_whose_sending_is_not_in_the_file_was_sent_all_the_same(tmp_path: Path) -> None:
    found = ledger(tmp_path, (ANSWERED, rows((7, 3, Outcome.OK, T0))), end=False)
    assert (found.count(), found.count(ACKNOWLEDGED)) == (1, 1)


# --- two sets -----------------------------------------------------------------------------------------

IDS = st.text(st.sampled_from("ab\n\t\\é"), min_size=1, max_size=3)


@given(
    st.dictionaries(IDS, st.sampled_from([ACKNOWLEDGED, REJECTED, ACK_UNKNOWN])),
    st.lists(st.tuples(IDS, st.integers(900, 1200))),
    st.frozensets(IDS),
)
@settings(max_examples=150, deadline=None)
def test_two_sets_compared_on_disk_are_what_they_are_in_memory(
    mine: dict[str, int], theirs: list[tuple[str, int]], could_be: frozenset[str]
) -> None:
    ours, held = Sorter(Path(), "a"), Sorter(Path(), "b")
    for identifier, state in mine.items():
        ours.add(identifier, said_of(state, 1000))
    for identifier, at in theirs:
        held.add(identifier, b"%d" % at)
    found = reconcile(ours.lines(), held.lines(), 100, lambda: could_be)
    times = Counter(identifier for identifier, _ in theirs)
    acknowledged = {identifier for identifier, state in mine.items() if state == ACKNOWLEDGED}
    assert set(found.lost) == acknowledged - times.keys()
    assert dict(found.duplicated) == {one: count for one, count in times.items() if count > 1}
    assert set(found.never_sent) == times.keys() - mine.keys() - could_be
    assert set(found.unknown) == (times.keys() - mine.keys()) & could_be
    assert dict(found.unacknowledged) == {
        one: state for one, state in mine.items() if state != ACKNOWLEDGED and one in times
    }
    first = {one: min(at for other, at in theirs if other == one) for one in times}
    assert set(found.late) == {one for one in acknowledged & times.keys() if first[one] > 1100}
    assert (found.present, found.distinct) == (len(theirs), len(times))


def test_what_is_sorted_in_parts_is_sorted_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecoload.measure.reconcile.PART", 7)
    sorter = Sorter(tmp_path, "part")
    ids = [f"{n * 7919 % 1000:03}" for n in range(100)]
    for identifier in ids:
        sorter.add(identifier, b"x")
    assert [read(line[0]) for line in sorter.lines()] == sorted(ids)
    assert len(list(tmp_path.iterdir())) == 14
    assert [read(line[0]) for line in sorter.lines()] == sorted(ids), "again"


@given(st.text(max_size=8))
def test_an_id_comes_back_as_it_was_and_stands_on_one_line(identifier: str) -> None:
    assert read(written(identifier)) == identifier
    assert not set(b"\n\t\r") & set(written(identifier))


# --- Merkle -------------------------------------------------------------------------------------------


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + root_of(leaves[:k]) + root_of(leaves[k:])).digest()


@pytest.mark.parametrize("count", [*range(20), 63, 64, 65, 1000])
def test_a_root_that_is_made_as_ids_come_is_that_of_the_whole_tree(count: int) -> None:
    leaves = [b"%d" % n for n in range(count)]
    tree = Merkle()
    for leaf in leaves:
        tree.add(leaf)
    assert tree.root() == root_of(leaves).hex()
    assert (count == 0) == (tree.root() == EMPTY)


# --- asking a station ---------------------------------------------------------------------------------


class Target:
    """A station whose pages of two are what `items` gives when it is asked."""

    def __init__(self, items: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.items = items
        monkeypatch.setattr("ecoload.engine.stations.get", self.get)

    def get(self, made: Plan, asked: Any, run_id: str, token: str) -> tuple[str, int, bytes]:
        cursor = asked.path.parts[1].parts[0]
        self.asked.append(cursor)
        found, first = self.items(), int(cursor)
        page = found[first : first + 2]
        following = first + 2 if len(found) > first + 2 else None
        return "a2: GET", 200, orjson.dumps({"events": page, "next": following})


class Time:
    def __init__(self) -> None:
        self.now_s = 1.0
        self.over_after = 10**9

    def clock(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        self.over_after -= 1
        return self.over_after < 0


def look(
    made: Plan,
    held: Ledger,
    target: Callable[[], list[dict[str, Any]]],
    patch: pytest.MonkeyPatch,
    time: Time,
) -> tuple[Any, Target]:
    station = Target(target, patch)
    return follow_up(made, "run", held, {}, time.wait, time.clock), station


def test_pages_are_followed_to_the_last_and_the_cursor_stands_where_it_belongs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = followed()
    of = ids_of(made, "run")[0]
    everything = [{"id": of(1, n)} for n in range(5)]
    found, station = look(
        made, sent(*((1, n, ACKNOWLEDGED) for n in range(5))), lambda: everything, monkeypatch, Time()
    )
    assert station.asked == ["0", "2", "4"]
    (proof,) = judge_lineage(found)
    assert (proof.verdict, proof.expected, proof.found) == (Verdict.PASS, 5, 5)


def test_what_is_missing_is_waited_for_as_long_as_it_may_take_and_then_it_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = followed(within_ns=60_000_000_000)
    of = ids_of(made, "run")[0]
    events = sent(*((1, n, ACKNOWLEDGED) for n in range(3)))
    for there, verdict in ((30.0, Verdict.PASS), (62.5, Verdict.FAIL)):
        time = Time()

        def items(there: float = there, time: Time = time) -> list[dict[str, Any]]:
            return [{"id": of(1, n)} for n in range(3 if time.now_s >= there else 2)]

        found, _ = look(made, events, items, monkeypatch, time)
        (proof,) = judge_lineage(found)
        assert proof.verdict is verdict, there
        if verdict is Verdict.FAIL:
            assert proof.reason == f"1 lost: {of(1, 2)}"
            assert time.now_s > 61


def test_a_station_that_goes_round_or_is_no_station_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([{"events": [], "next": 1}, {"events": [], "next": 0}, {"events": [], "next": 1}])
    monkeypatch.setattr(
        "ecoload.engine.stations.get", lambda *_: ("a2: GET", 200, orjson.dumps(next(answers)))
    )
    made = followed()
    assert made.lineage is not None
    (station,) = made.lineage.stations
    with pytest.raises(ProbeFailed, match="its next cursor '1' came before"):
        list(pages(made, station, "run", lambda: "", "0"))
    for answer, said in (
        ({}, "there is nothing at"),
        ({"events": 3}, "is no list"),
        ({"events": [{}]}, "an item has nothing"),
        ({"events": [{"id": 3}]}, "is no text"),
        ({"events": [], "next": [1]}, "is no cursor"),
    ):
        monkeypatch.setattr(
            "ecoload.engine.stations.get", lambda *_, a=answer: ("a2: GET", 200, orjson.dumps(a))
        )
        with pytest.raises(ProbeFailed, match=said):
            list(pages(made, station, "run", lambda: "", "0"))


def test_a_station_that_cannot_be_read_and_one_that_was_cut_short_prove_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, events = followed(within_ns=60_000_000_000), sent((1, 0, ACKNOWLEDGED))
    time = Time()
    time.over_after = 3
    found, _ = look(made, events, list, monkeypatch, time)
    assert judge_lineage(found)[0].verdict is Verdict.INCONCLUSIVE
    assert "interrupted" in judge_lineage(found)[0].reason

    def broken(*_: Any) -> Any:
        raise ProbeFailed("a2: GET failed: connection refused")

    monkeypatch.setattr("ecoload.engine.stations.get", broken)
    found = follow_up(made, "run", events, {}, time.wait, time.clock)
    assert judge_lineage(found)[0].reason == "could not be read: a2: GET failed: connection refused"


# --- the proof ----------------------------------------------------------------------------------------

EVENTS = (
    *((1, n, ACKNOWLEDGED) for n in range(6)),
    (1, 6, REJECTED),
    (1, 7, ACK_UNKNOWN),
    (2, 0, ACK_UNKNOWN),
    (2, 1, ACKNOWLEDGED),
)


def proof(
    monkeypatch: pytest.MonkeyPatch, held: Callable[[Any], list[str]], *, whole: bool = True
) -> dict[str, Any]:
    """The proof of `EVENTS`, of which a station holds what `held` gives; ids by `held`'s argument."""
    made = followed()
    of = ids_of(made, "run")[0]
    found, _ = look(
        made, sent(*EVENTS, whole=whole), lambda: [{"id": one} for one in held(of)], monkeypatch, Time()
    )
    tree: dict[str, Any] = orjson.loads(orjson.dumps(proof_of(made, "run", found)))
    return tree


def good(of: Any) -> list[str]:
    return [of(1, n) for n in range(6)] + [of(2, 1)]


@pytest.mark.parametrize(
    ("held", "verdict", "kind"),
    [
        (good, "PASS", None),
        (lambda of: good(of)[1:], "FAIL", "lost"),
        (lambda of: [*good(of), of(1, 3)], "FAIL", "duplicated"),
        (lambda of: [*good(of), "nobody's"], "FAIL", "never_sent"),
        (lambda of: [*good(of), of(1, 7)], "PASS", "ack_unknown"),
        (lambda of: [*good(of), of(1, 6)], "PASS", "rejected"),
        (lambda of: [*good(of), of(3, 0)], "FAIL", "never_sent"),
    ],
)
def test_a_proof_names_what_tells_against_a_station_and_holds_by_itself(
    monkeypatch: pytest.MonkeyPatch, held: Any, verdict: str, kind: str | None
) -> None:
    tree = proof(monkeypatch, held)
    assert tree["counts"] == {"sent": 10, "acknowledged": 7, "rejected": 1, "ack_unknown": 2}
    assert tree["verdict"] == tree["stations"][0]["verdict"] == verdict
    lists = tree["stations"][0]["held"]
    named = ("lost", "duplicated", "late", "never_sent", "ack_unknown", "lost_second", "rejected")
    assert [name for name in named if lists[name]] == ([kind] if kind else [])
    assert verified(tree) == []
    assert f": {verdict}" in lineage_markdown(tree)


def test_the_ids_of_a_lost_second_are_computed_and_named_for_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def held(of: Any) -> list[str]:
        return [*good(of), of(1, 8), of(1, 7 + LOST_ITERATIONS), "nobody's"]

    tree = proof(monkeypatch, held, whole=False)
    lists = tree["stations"][0]["held"]
    of = ids_of(followed(), "run")[0]
    assert sorted(lists["lost_second"]) == sorted([of(1, 8), of(1, 7 + LOST_ITERATIONS)])
    assert lists["never_sent"] == ["nobody's"]
    assert verified(tree) == []
    tree["whole"] = True
    assert "lost_second: nothing of the run is missing" in "\n".join(verified(tree))


def test_the_events_of_a_proof_are_those_of_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = proof(monkeypatch, good)
    (one,) = ledger_of(tree).sent
    assert list(zip(one.vu.tolist(), one.iteration.tolist(), one.state.tolist(), strict=True)) == list(EVENTS)
    assert len(tree["events"]) == 5, "ranges, not events"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update(seed=2),
        lambda t: t.update(run_id="other"),
        lambda t: t["counts"].update(acknowledged=8),
        lambda t: t["roots"].update(sent="0" * 64),
        lambda t: t["roots"].update(acknowledged=EMPTY),
        lambda t: t["events"][0].__setitem__(4, 4),
        lambda t: t["events"][0].__setitem__(2, "rejected"),
        lambda t: t["events"].pop(),
        lambda t: t.update(verdict="FAIL"),
        lambda t: t["stations"][0].update(verdict="FAIL"),
        lambda t: t["stations"][0]["held"].update(root=EMPTY),
        lambda t: t["stations"][0]["held"].update(present=8),
        lambda t: t["stations"][0]["held"].update(distinct=8),
        lambda t: t["stations"][0]["held"]["lost"].append("x"),
        lambda t: t["stations"][0]["held"]["late"].append("x"),
        lambda t: t["stations"][0]["held"]["never_sent"].append("x"),
        lambda t: t["stations"][0]["held"]["ack_unknown"].append("x"),
        lambda t: t["stations"][0]["held"]["rejected"].append("x"),
        lambda t: t["stations"][0]["held"]["lost_second"].append("x"),
        lambda t: t["stations"][0]["held"]["duplicated"].append(["x", 2]),
    ],
)
def test_whatever_is_changed_in_a_proof_is_found(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    tree = proof(monkeypatch, good)
    changed = copy.deepcopy(tree)
    change(changed)
    assert verified(changed) != []
    assert verified(tree) == []


@pytest.mark.parametrize(
    "change", [{"schema": "x"}, {"events": 3}, {"events": [[0, 1, "x", 0, 1]]}, {"stations": None}]
)
def test_what_is_no_proof_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        verified(proof(monkeypatch, good) | change)


# --- what people write --------------------------------------------------------------------------------

TARGETS = """\
protocol: {namespace: perf_test}
profiles:
  p: {executor: constant, vus: 1, duration: 1s}
apps:
  a2:
    base_url: https://a2.example
    environment: staging
    writes: perf_test
    routes:
      ingest: {post: /v1/events, effect: write, namespace: {in: json, at: namespace}}
      read: {get: /v1/events, effect: none}
    lineage:
      route: ingest
      id: event_id
      stations:
        a2: {get: "/v1/events?after=${cursor}", items: $.events, id: $.id, next: $.next}
        a8: {app: a8, get: "/rows?after=${cursor}", items: $.rows, id: $.id, next: $.next, within: 60s}
  a8:
    base_url: ${A8_URL}
    environment: staging
    routes:
      rows: {get: /rows, effect: none}
"""
SCENARIO = """\
app: a2
let: {event_id: "${uuid()}"}
steps:
  - route: ingest
    json: {namespace: perf_test, id: "${event_id}"}
"""


def write(root: Path, targets: str = TARGETS, scenario: str = SCENARIO, **environ: str) -> Any:
    (root / "scenarios").mkdir(parents=True)
    (root / "targets.yaml").write_text(targets)
    (root / "scenarios" / "a2.yaml").write_text(scenario)
    return load_workspace(root / "targets.yaml", environ=environ)


def test_a_station_whose_address_is_not_known_is_named_as_not_asked(tmp_path: Path) -> None:
    from ecoload.spec.workspace import make_plan

    workspace = write(tmp_path / "with", A8_URL="https://a8.example")
    made = make_plan(workspace, "a2", "p")
    assert made.lineage is not None
    assert ([one.name for one in made.lineage.stations], made.lineage.absent) == (["a2", "a8"], ())
    without = make_plan(write(tmp_path / "without"), "a2", "p")
    assert without.lineage is not None
    assert ([one.name for one in without.lineage.stations], without.lineage.absent) == (["a2"], ("a8",))


@pytest.mark.parametrize(
    ("targets", "scenario", "said"),
    [
        (("id: event_id", "id: event"), ("", ""), "it has no let 'event'; did you mean 'event_id'?"),
        (("", ""), ("${uuid()}", "${now_ms()}"), "cannot be computed again from the seed: it calls now_ms()"),
        (("", ""), ("steps:\n", "steps:\n  - {route: ingest, json: {namespace: perf_test}}\n"), "sent once"),
        (("route: ingest\n", "route: ingst\n"), ("", ""), "unknown route 'ingst'"),
        (("route: ingest\n", "route: read\n"), ("", ""), "does not write"),
        (("app: a8,", "app: a9,"), ("", ""), "unknown app 'a9'"),
        (("/rows?after=${cursor}", "/rows"), ("", ""), "expected ${cursor} once, in the query"),
        (("/rows?after=${cursor}", "/${cursor}"), ("", ""), "expected ${cursor} once, in the query"),
        (("/rows?", "/rows?x=${run.idd}&"), ("", ""), "run.idd"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_said_where_it_stands(
    tmp_path: Path, targets: tuple[str, str], scenario: tuple[str, str], said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        write(tmp_path, TARGETS.replace(*targets), SCENARIO.replace(*scenario))
    assert said in str(caught.value)
