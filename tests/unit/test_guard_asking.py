"""The way from a plan to its grant: the ledger, the terminal, the request."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ecoload.errors import ApprovalNeeded, GuardRefused, OutputFailed
from ecoload.guard.asking import (
    Asked,
    Desk,
    asked_of,
    consume,
    find_request,
    keep,
    kept,
    permit,
    record,
    resumed,
)
from ecoload.guard.authors import UNKNOWN, Authors, files_of
from ecoload.guard.grants import Signed, new_approval
from ecoload.guard.ledger import Decide, Entry
from ecoload.plan import Body, BodyKind, ClientCredentials, ConstantVUs, Feeder, Scenario
from tests.unit.guard_plans import A2, A8, HOME, LIVE, S, ingest, load, plan, tile
from tests.unit.guard_signing import Signing

HASH = "a" * 64
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ASKED = Asked(HASH, "a2 · spike", ("it can reach 100 VUs",), {"app": "a2", "peak_vus": 100})


class Memory:
    """A ledger in memory."""

    name = "memory"

    def __init__(self) -> None:
        self.trees: list[dict[str, Any]] = []

    def entries(self) -> tuple[Entry, ...]:
        return tuple(Entry(line, tree["kind"], tree) for line, tree in enumerate(self.trees, start=1))

    def append(self, decide: Decide) -> Entry:
        self.trees.append(dict(decide(self.entries())))
        return self.entries()[-1]

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries()]


class Known(Signing):
    source = "signers"


ALICE = Authors(True, ("alice",))


def desk(authors: Authors = ALICE) -> Desk:
    return Desk(Memory(), Known(), lambda: authors, lambda: NOW)  # type: ignore[arg-type]


def given_by(key: str = "bobs", by: str = "bob", execution_hash: str = HASH) -> Signed:
    made = new_approval(execution_hash, by, "because", NOW, timedelta(hours=1))
    return Signed(made, f"{key}:{made.message.hex()}")


def request_in(folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((folder / "approval_request.json").read_bytes())
    return tree


# --- What is asked --------------------------------------------------------------------------------


def test_what_is_asked_of_a_plan_tells_where_it_leads_and_no_secret() -> None:
    live = dataclasses.replace(LIVE, addresses=("192.0.2.1",))
    made = plan(
        tile(route=HOME, origin=2, path="/"),
        origins=(A2, A8, live),
        loads=(load(ConstantVUs(61, S)),),
        secrets=(("KEY", "env:KEY"),),
        auth=ClientCredentials(1, "/token", "me", "KEY"),
    )
    asked = asked_of(made)
    assert asked.execution_hash == made.execution_hash
    assert len(asked.reasons) == 2
    assert asked.details["peak_vus"] == 61
    assert asked.details["origins"] == [
        {"app": "a8", "url": "http://a8.example:8080", "environment": "staging", "addresses": []},
        {
            "app": "live",
            "url": "https://live.example",
            "environment": "production",
            "addresses": ["192.0.2.1"],
        },
    ]
    assert not asked.embedded
    assert "KEY" not in repr(asked)


def test_only_a_plan_that_reaches_the_embedded_sandbox_alone_is_the_sandboxs() -> None:
    own = [dataclasses.replace(o, embedded=True) for o in (A2, A8, LIVE)]
    assert asked_of(plan(origins=tuple(own))).embedded
    forwarded = dataclasses.replace(A8, host="127.0.0.1", addresses=("127.0.0.1",))
    assert not asked_of(plan(origins=(own[0], forwarded, own[2]))).embedded


def test_the_files_of_a_plan_are_those_it_reads() -> None:
    step = ingest(body=Body(BodyKind.FILE, "a.bin", "x/y", (("a.bin", "0"),)))
    scenarios = (Scenario("one", setup=(step,)), Scenario("two", module="scenarios/two.py"))
    made = plan(scenarios=scenarios, feeders=(Feeder("f", "data.jsonl", "0", 1),))
    assert set(files_of(made)) == {"data.jsonl", "a.bin", "scenarios/two.py"}


# --- From the ledger ------------------------------------------------------------------------------


def test_an_approval_in_the_ledger_is_used_once(tmp_path: Path) -> None:
    at = desk()
    record(at, given_by())
    grant = permit(ASKED, "r1", tmp_path, at, again="again")
    assert (grant.signed.approval.by, grant.used["run"], grant.author_known) == ("bob", "r1", True)
    assert at.ledger.kinds == ["approved", "used"]  # type: ignore[attr-defined]
    with pytest.raises(ApprovalNeeded, match="taken, the last by run r1") as caught:
        permit(ASKED, "r2", tmp_path, at, again="again")
    assert caught.value.exit_code == 3
    assert at.ledger.kinds == ["approved", "used"]  # type: ignore[attr-defined]


def test_an_approval_of_another_hash_is_none(tmp_path: Path) -> None:
    at = desk()
    record(at, given_by(execution_hash="b" * 64))
    with pytest.raises(ApprovalNeeded):
        permit(ASKED, "r1", tmp_path, at, again="again")
    assert request_in(tmp_path)["refused"] == []


def test_an_approval_that_would_not_serve_is_not_recorded() -> None:
    for at, signed, reason in (
        (desk(), given_by("eves"), "nobody knows its key"),
        (desk(Authors(True, ("Bob",))), given_by(), "author"),
    ):
        with pytest.raises(ApprovalNeeded) as caught:
            record(at, signed)
        assert reason in caught.value.refused[0]
        assert at.ledger.entries() == ()
    record(desk(UNKNOWN), given_by())


def test_authors_that_are_not_known_are_allowed_and_said_so() -> None:
    at = desk(UNKNOWN)
    record(at, given_by())
    assert not consume(at, HASH, "r1").author_known


def test_the_authors_are_asked_for_only_where_there_is_an_approval() -> None:
    def never() -> Authors:
        raise AssertionError("nobody needs to know")

    at = dataclasses.replace(desk(), authors=never)
    with pytest.raises(ApprovalNeeded):
        consume(at, HASH, "r1")


# --- The request ----------------------------------------------------------------------------------


def test_without_an_approval_a_request_says_everything(tmp_path: Path) -> None:
    folder = tmp_path / "out of it" / "r1"
    folder.mkdir(parents=True)
    with pytest.raises(ApprovalNeeded) as caught:
        permit(ASKED, "r1", folder, desk(), again="ecoload run a2 --profile spike")
    request = request_in(folder)
    assert request == {
        "schema": "ecoload.approval_request/1",
        "execution_hash": HASH,
        "title": "a2 · spike",
        "app": "a2",
        "peak_vus": 100,
        "reasons": ["it can reach 100 VUs"],
        "refused": [],
        "authors": ["alice"],
        "approve": f"ecoload approve {HASH} --by NAME --reason TEXT --out '{folder.parent}'",
        "again": "ecoload run a2 --profile spike",
    }
    message = str(caught.value)
    for part in (
        HASH,
        "100 VUs",
        str(folder / "approval_request.json"),
        request["approve"],
        request["again"],
    ):
        assert part in message
    assert "--approve-as" not in message
    assert caught.value.reasons == ASKED.reasons


def test_without_signers_the_request_says_what_to_set(tmp_path: Path) -> None:
    from ecoload.guard.signing import Signers

    at = dataclasses.replace(desk(), signers=Signers("", b""))

    def never(*_: Any) -> Signed:
        raise AssertionError("nobody could check the answer")

    with pytest.raises(ApprovalNeeded, match="set ECOLOAD_ALLOWED_SIGNERS"):
        permit(ASKED, "r1", tmp_path, at, again="again", ask=never)
    assert "no signers are named" in request_in(tmp_path)["refused"][0]
    own, word = dataclasses.replace(ASKED, embedded=True), Signed(given_by(by="Robin").approval)
    assert permit(own, "r1", tmp_path, at, again="again", ask=lambda *_: word)


def test_many_old_approvals_are_told_in_short(tmp_path: Path) -> None:
    at = desk()
    for _ in range(9):
        record(at, given_by())
        consume(at, HASH, "r")
    with pytest.raises(ApprovalNeeded):
        permit(ASKED, "r1", tmp_path, at, again="again")
    refused = request_in(tmp_path)["refused"]
    assert len(refused) == 6
    assert refused[-1] == "and 4 older ones"


def test_the_newest_request_of_a_hash_is_found(tmp_path: Path) -> None:
    assert find_request(tmp_path, HASH) is None
    other = dataclasses.replace(ASKED, execution_hash="b" * 64)
    for name, asked in (("r1", ASKED), ("r2", other)):
        (tmp_path / name).mkdir()
        with pytest.raises(ApprovalNeeded):
            permit(asked, name, tmp_path / name, desk(), again="again")
    (tmp_path / "r3").mkdir()
    (tmp_path / "r3" / "approval_request.json").write_text("[")
    found = find_request(tmp_path, HASH)
    assert found is not None
    assert found[0] == tmp_path / "r1" / "approval_request.json"
    assert found[1]["execution_hash"] == HASH
    assert find_request(tmp_path, "c" * 64) is None


def test_a_request_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="cannot be written"):
        permit(ASKED, "r1", tmp_path / "gone", desk(), again="again")


# --- The terminal ---------------------------------------------------------------------------------


def test_who_is_asked_signs_and_the_run_goes_on(tmp_path: Path) -> None:
    at, told = desk(), []

    def ask(asked: Asked, refused: tuple[str, ...]) -> Signed:
        told.append((asked, refused))
        return given_by()

    assert permit(ASKED, "r1", tmp_path, at, again="again", ask=ask).signed.approval.by == "bob"
    assert told == [(ASKED, ())]
    assert at.ledger.kinds == ["approved", "used"]  # type: ignore[attr-defined]
    permit(ASKED, "r2", tmp_path, at, again="again", ask=ask)
    assert "taken" in told[1][1][0]


def test_nobody_is_asked_where_an_approval_serves(tmp_path: Path) -> None:
    at = desk()
    record(at, given_by())

    def never(*_: Any) -> Signed:
        raise AssertionError("it is approved")

    permit(ASKED, "r1", tmp_path, at, again="again", ask=never)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, None), (given_by("eves"), "nobody knows its key"), (given_by(by="eve"), "nobody knows its key")],
)
def test_an_answer_that_does_not_serve_leaves_a_request(
    tmp_path: Path, answer: Signed | None, reason: str | None
) -> None:
    at = desk()
    with pytest.raises(ApprovalNeeded):
        permit(ASKED, "r1", tmp_path, at, again="again", ask=lambda *_: answer)
    refused = request_in(tmp_path)["refused"]
    assert (reason in refused[0]) if reason else refused == []
    assert at.ledger.entries() == ()


def test_a_word_is_enough_for_the_embedded_sandbox_and_for_nothing_else(tmp_path: Path) -> None:
    at = desk()
    word = Signed(given_by(by="Robin").approval)
    own = dataclasses.replace(ASKED, embedded=True)
    grant = permit(own, "r1", tmp_path, at, again="again", ask=lambda *_: word)
    assert (grant.signed.approval.by, grant.signed.signature) == ("Robin", "")
    assert at.ledger.entries() == ()
    with pytest.raises(ApprovalNeeded):
        permit(ASKED, "r1", tmp_path, at, again="again", ask=lambda *_: word)
    with pytest.raises(ApprovalNeeded, match="--approve-as NAME is enough"):
        permit(own, "r1", tmp_path, at, again="again")


# --- What is kept ---------------------------------------------------------------------------------


def test_a_grant_is_kept_in_the_runs_folder(tmp_path: Path) -> None:
    at = desk()
    record(at, given_by())
    grant = consume(at, HASH, "r1")
    keep(grant, tmp_path)
    assert kept(tmp_path) == grant


def test_a_folder_without_a_grant_or_with_half_of_one_is_refused(tmp_path: Path) -> None:
    for content in (None, b"{", b"{}"):
        if content is not None:
            (tmp_path / "approval.json").write_bytes(content)
        with pytest.raises(GuardRefused):
            kept(tmp_path)


# --- From the folder of a suite that goes on ------------------------------------------------------


def test_a_kept_grant_whose_use_is_in_the_ledger_needs_no_other(tmp_path: Path) -> None:
    at = desk()
    record(at, given_by())
    grant = permit(ASKED, "suite", tmp_path, at, again="again")
    assert resumed(at, grant, "suite") == grant
    assert at.ledger.kinds == ["approved", "used"]  # type: ignore[attr-defined]


def test_a_kept_grant_with_a_use_that_no_ledger_knows_gets_none_that_is_taken(tmp_path: Path) -> None:
    at = desk()
    record(at, given_by())
    grant = permit(ASKED, "suite", tmp_path, at, again="again")
    # The use is not signed: whoever holds the approval can write another run into it.
    forged = dataclasses.replace(grant, used=dict(grant.used) | {"run": "another"})
    with pytest.raises(GuardRefused, match=r"knows no use of it by another, .*taken, the last by run suite"):
        resumed(at, forged, "another")
    assert at.ledger.kinds == ["approved", "used"]  # type: ignore[attr-defined]


def test_a_ledger_that_knows_nothing_of_a_kept_grant_takes_it_and_one_use(tmp_path: Path) -> None:
    at, elsewhere = desk(), desk()
    record(at, given_by())
    grant = permit(ASKED, "suite", tmp_path, at, again="again")
    again = resumed(elsewhere, grant, "suite")
    assert (again.signed, again.used["run"]) == (grant.signed, "suite")
    assert elsewhere.ledger.kinds == ["approved", "used"]  # type: ignore[attr-defined]
    assert resumed(elsewhere, again, "suite") == again
    with pytest.raises(GuardRefused, match="knows no use of it by another"):
        resumed(elsewhere, again, "another")


def test_an_approval_that_would_not_serve_does_not_come_into_another_ledger(tmp_path: Path) -> None:
    at, elsewhere = desk(), desk(Authors(True, ("bob",)))
    record(at, given_by())
    grant = permit(ASKED, "suite", tmp_path, at, again="again")
    with pytest.raises(GuardRefused, match="bob is an author of the change"):
        resumed(elsewhere, grant, "suite")
    assert elsewhere.ledger.kinds == []  # type: ignore[attr-defined]
