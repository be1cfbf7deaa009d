"""Which approvals serve: each rule in both directions. Signatures are a fake's here; real ones stand in
`tests/integration/test_approvals.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.errors import GuardRefused, UsageError
from ecoload.guard.authors import Authors
from ecoload.guard.grants import (
    Approval,
    Grant,
    Signed,
    new_approval,
    read_approval,
    read_grant,
    standing,
    unsigned,
    use_of,
    verify,
)
from ecoload.guard.ledger import Entry
from tests.unit.guard_signing import Signing

HASH, OTHER = "a" * 64, "b" * 64
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOBODY = Authors(True)


def approval(expires: timedelta = 8 * HOUR, by: str = "bob", **more: Any) -> Approval:
    return new_approval(HASH, by, "because", NOW, expires, **more)


def signed(made: Approval, key: str = "bobs") -> Signed:
    return Signed(made, f"{key}:{made.message.hex()}")


def ledger(*parts: Signed | dict[str, Any]) -> list[Entry]:
    """Entries of approvals and uses."""
    trees = [
        {"kind": "approved", "approval": p.approval.to_tree(), "signature": p.signature}
        if isinstance(p, Signed)
        else p
        for p in parts
    ]
    return [Entry(line, str(tree["kind"]), tree) for line, tree in enumerate(trees, start=1)]


def refusals(
    entries: Sequence[Entry],
    now: datetime = NOW,
    signers: Signing | None = None,
    authors: Authors = NOBODY,
    execution_hash: str = HASH,
) -> tuple[str, ...]:
    """Why there is no approval that serves; empty: there is one."""
    found = standing(entries, execution_hash, now, signers or Signing(), authors)
    assert (found.signed is None) or not found.refused
    return () if found.signed is not None else (found.refused or ("none",))


# --- What is signed -------------------------------------------------------------------------------


def test_what_is_signed_is_canonical_and_reads_back_as_it_was() -> None:
    made = approval(uses=3, window=20 * HOUR)
    assert read_approval(made.to_tree()) == made
    assert read_approval(dict(reversed(made.to_tree().items()))).message == made.message
    assert b'"schema":"ecoload.approval/1"' in made.message
    assert (made.uses, made.window_s) == (3, 72_000)


@given(st.sampled_from([f.name for f in dataclasses.fields(Approval)]), st.integers(1, 5))
def test_any_changed_field_changes_what_is_signed(name: str, by: int) -> None:
    made = approval(uses=3)
    value = getattr(made, name)
    other = value + by if isinstance(value, int) else f"{value}{by}"
    assert dataclasses.replace(made, **{name: other}).message != made.message


@pytest.mark.parametrize(
    "changes",
    [
        {"by": ""},
        {"by": " "},
        {"by": "a\nb"},
        {"by": "-x"},
        {"by": "\x1b[2J"},
        {"by": "a" * 201},
        {"reason": ""},
        {"reason": "  "},
        {"reason": "a\0b"},
        {"reason": "right-to-left \u202e"},
        {"execution_hash": "a" * 63},
        {"execution_hash": "A" * 64},
        {"execution_hash": f"{HASH}\n"},
        {"expires": timedelta(0)},
        {"expires": -HOUR},
        {"uses": 0},
        {"window": timedelta(0)},
    ],
)
def test_an_approval_that_makes_no_sense_is_not_made(changes: dict[str, Any]) -> None:
    given_ = {"execution_hash": HASH, "by": "bob", "reason": "because", "expires": HOUR} | changes
    with pytest.raises(UsageError):
        new_approval(
            given_.pop("execution_hash"),
            given_.pop("by"),
            given_.pop("reason"),
            NOW,
            given_.pop("expires"),
            **given_,
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "ecoload.approval/2"},
        {"more": 1},
        {"uses": True},
        {"uses": "1"},
        {"uses": 0},
        {"window_s": 1.5},
        {"window_s": 0},
        {"window_s": 10**18},
        {"issued_at": "0001-01-01T00:00:00+00:00"},
        {"expires_at": "9999-12-31T23:59:59-23:59"},
        {"expires_at": "2026-01-01T12:00:00"},
        {"expires_at": None},
        {"issued_at": "never"},
        {"id": "../x"},
        {"by": None},
        {"execution_hash": 7},
    ],
)
def test_a_document_of_another_shape_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read_approval(approval().to_tree() | changes)
    with pytest.raises(ValueError):
        read_approval(None)


# --- Which serve ----------------------------------------------------------------------------------


def test_an_approval_serves_its_hash_and_no_other() -> None:
    entries = ledger(signed(approval()))
    assert refusals(entries) == ()
    assert refusals(entries, execution_hash=OTHER) == ("none",)


def test_an_approval_serves_until_it_expires() -> None:
    entries = ledger(signed(approval(HOUR)))
    assert refusals(entries, NOW + HOUR - timedelta(milliseconds=1)) == ()
    (reason,) = refusals(entries, NOW + HOUR)
    assert "it expired at 2026-01-01T13:00:00.000+00:00" in reason


def test_an_approval_does_not_serve_before_it_was_given_but_clocks_may_differ_a_little() -> None:
    entries = ledger(signed(approval()))
    assert refusals(entries, NOW - timedelta(minutes=5)) == ()
    (reason,) = refusals(entries, NOW - timedelta(minutes=6))
    assert "it holds only from" in reason


@pytest.mark.parametrize("uses", [1, 3])
def test_an_approval_serves_as_often_as_it_says(uses: int) -> None:
    given_ = signed(approval(uses=uses))
    taken = [use_of(given_.approval, f"r{n}", NOW) for n in range(uses)]
    assert refusals(ledger(given_, *taken[:-1])) == ()
    (reason,) = refusals(ledger(given_, *taken))
    assert f"taken, the last by run r{uses - 1}" in reason


def test_uses_of_another_approval_do_not_count() -> None:
    first, second = signed(approval()), signed(approval())
    assert refusals(ledger(first, second, use_of(first.approval, "r", NOW))) == ()
    assert len(refusals(ledger(first, second, *(use_of(s.approval, "r", NOW) for s in (first, second))))) == 2


def test_an_approval_that_stands_there_twice_is_used_once() -> None:
    given_ = signed(approval())
    assert len(refusals(ledger(given_, use_of(given_.approval, "r", NOW), given_))) == 2


def test_each_window_takes_one_use() -> None:
    given_ = signed(approval(100 * HOUR, uses=3, window=24 * HOUR))
    taken = use_of(given_.approval, "r1", NOW + 23 * HOUR)
    (reason,) = refusals(ledger(given_, taken), NOW + 24 * HOUR - timedelta(milliseconds=1))
    assert "the use of this window is taken, by run r1; the next opens at 2026-01-02T12:00:00+00:00" in reason
    # Windows follow one another from the moment of signing: it is not the time between two uses.
    assert refusals(ledger(given_, taken), NOW + 24 * HOUR) == ()
    more = [
        taken,
        use_of(given_.approval, "r2", NOW + 50 * HOUR),
        use_of(given_.approval, "r3", NOW + 75 * HOUR),
    ]
    (reason,) = refusals(ledger(given_, *more), NOW + 99 * HOUR)
    assert "all of its 3 uses are taken" in reason


def test_what_a_clock_that_is_behind_has_before_the_first_window_is_no_window_more() -> None:
    given_ = signed(approval(100 * HOUR, uses=3, window=24 * HOUR))
    early = use_of(given_.approval, "r1", NOW - timedelta(minutes=1))
    (reason,) = refusals(ledger(given_, early), NOW + HOUR)
    assert "the use of this window is taken, by run r1; the next opens at 2026-01-02T12:00:00+00:00" in reason


@given(st.lists(st.floats(0, 99, allow_nan=False), max_size=12), st.integers(1, 5), st.integers(1, 30))
def test_however_runs_come_no_window_and_no_count_is_exceeded(
    hours: list[float], uses: int, window: int
) -> None:
    given_ = signed(approval(100 * HOUR, uses=uses, window=window * HOUR))
    parts: list[Any] = [given_]
    taken = []
    for at in sorted(hours):
        now = NOW + at * HOUR
        if not refusals(ledger(*parts), now):
            parts.append(use_of(given_.approval, "r", now))
            taken.append(at)
    assert len(taken) <= uses
    windows = [int(round(at * 3_600_000) // (window * 3_600_000)) for at in taken]
    assert len(set(windows)) == len(windows)
    if hours:
        assert taken, "the first one always gets its use"


def test_a_signature_must_be_that_of_the_name_and_of_every_word() -> None:
    made = approval()
    assert refusals(ledger(signed(made))) == ()
    (reason,) = refusals(ledger(signed(made, "eves")))
    assert "nobody knows its key" in reason
    for changes in (
        {"uses": 9},
        {"expires_at": "2099-01-01T00:00:00+00:00"},
        {"by": "eve"},
        {"reason": "other"},
    ):
        edited = Signed(dataclasses.replace(made, **changes), signed(made).signature)
        (reason,) = refusals(ledger(edited))
        assert "does not fit" in reason
    assert "does not fit" in refusals(ledger(Signed(made)))[0], "unsigned is not signed"


def test_the_author_of_the_change_is_not_its_approver() -> None:
    entries = ledger(signed(approval()))
    assert refusals(entries, authors=Authors(True, ("alice", "alice@example.com"))) == ()
    for name in ("bob", "BOB"):
        (reason,) = refusals(entries, authors=Authors(True, ("alice", name)))
        assert "bob is an author of the change" in reason


def test_an_author_does_not_approve_by_another_name_that_the_key_has() -> None:
    entries = ledger(signed(approval()))
    signers = Signing(bobs={"bob", "bob@example.com"})
    assert refusals(entries, signers=signers, authors=Authors(True, ("alice@example.com",))) == ()
    for name in ("bob@example.com", "Bob@Example.com"):
        (reason,) = refusals(entries, signers=signers, authors=Authors(True, (name,)))
        assert f"its key may sign as {name}, an author of the change" in reason


def test_every_approval_that_does_not_serve_has_its_reason() -> None:
    used = signed(approval())
    parts = (signed(approval(HOUR)), used, use_of(used.approval, "r", NOW), signed(approval(), "eves"))
    reasons = refusals(ledger(*parts), NOW + 2 * HOUR)
    assert [
        word for reason in reasons for word in ("expired", "taken", "nobody knows") if word in reason
    ] == [
        "nobody knows",
        "taken",
        "expired",
    ]


def test_one_that_serves_is_found_among_those_that_do_not() -> None:
    good = signed(approval())
    entries = ledger(signed(approval(), "eves"), good, signed(approval(HOUR)))
    found = standing(entries, HASH, NOW + 2 * HOUR, Signing(), NOBODY)
    assert found.signed == good


def test_a_malformed_approval_is_a_reason_and_hides_no_other() -> None:
    good = signed(approval())
    bad = {"kind": "approved", "approval": {"execution_hash": HASH, "by": "\x1b"}, "signature": ""}
    assert "line 1 of the ledger is none" in refusals(ledger(bad))[0]
    assert refusals(ledger(bad, good)) == ()


# --- What a run keeps -----------------------------------------------------------------------------


def grant(run: str = "r1", at: datetime = NOW, **more: Any) -> Grant:
    given_ = signed(approval(**more))
    return Grant(given_, use_of(given_.approval, run, at), author_known=True)


def test_a_kept_grant_holds_on_another_machine_and_after_its_expiry() -> None:
    verify(read_grant(grant(expires=HOUR).to_tree()), HASH, "r1", Signing())


def test_a_grant_reads_back_as_it_was_written() -> None:
    made = grant()
    assert read_grant(made.to_tree()) == made


def test_a_kept_grant_holds_for_its_hash_its_run_and_todays_signers_only() -> None:
    made = grant()
    for refused, execution_hash, run, signers in (
        ("something was changed", OTHER, "r1", Signing()),
        ("it was used by run r1, and this is r2", HASH, "r2", Signing()),
        ("nobody knows its key", HASH, "r1", Signing(bobs={"robert"})),
    ):
        with pytest.raises(GuardRefused, match=refused):
            verify(made, execution_hash, run, signers)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"signed": Signed(approval())}, "its use is that of another approval"),
        ({"signed": signed(approval(), "eves")}, "nobody knows its key"),
        ({"used": use_of(approval(), "r1", NOW)}, "its use is that of another approval"),
    ],
)
def test_a_grant_put_together_of_others_does_not_hold(changes: dict[str, Any], refused: str) -> None:
    with pytest.raises(GuardRefused, match=refused):
        verify(dataclasses.replace(grant(), **changes), HASH, "r1", Signing())


def test_a_use_outside_of_its_approvals_time_does_not_hold() -> None:
    verify(grant(expires=HOUR, at=NOW + HOUR - timedelta(milliseconds=1)), HASH, "r1", Signing())
    for at in (NOW + HOUR, NOW - HOUR):
        with pytest.raises(GuardRefused, match="it was not valid when it was used"):
            verify(grant(expires=HOUR, at=at), HASH, "r1", Signing())


def test_an_unsigned_grant_holds_for_the_embedded_sandbox_only() -> None:
    made = unsigned(HASH, "Robin", "r1", NOW)
    verify(made, HASH, "r1", Signing(), embedded=True)
    with pytest.raises(GuardRefused, match="does not fit"):
        verify(made, HASH, "r1", Signing())
    with pytest.raises(GuardRefused, match="something was changed"):
        verify(made, OTHER, "r1", Signing(), embedded=True)
    with pytest.raises(UsageError):
        unsigned(HASH, "\n", "r1", NOW)


def test_a_wrong_signature_does_not_become_right_in_the_sandbox() -> None:
    with pytest.raises(GuardRefused, match="nobody knows its key"):
        verify(grant(), HASH, "r1", Signing(bobs=set()), embedded=True)


@pytest.mark.parametrize(
    "changes", [{"schema": "x"}, {"approval": None}, {"signature": None}, {"used": {}}, {"used": {"at": "x"}}]
)
def test_a_file_that_is_no_grant_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(GuardRefused, match="is none"):
        read_grant(grant().to_tree() | changes)
    with pytest.raises(GuardRefused, match="is none"):
        read_grant([])


def test_a_note_says_who_and_what_is_not_known() -> None:
    assert "approved by bob: because" in grant().note
    assert "not known" not in grant().note
    assert "the author of the change is not known" in dataclasses.replace(grant(), author_known=False).note
    assert unsigned(HASH, "Robin", "r1", NOW).note == "approved by Robin (unsigned, for the embedded sandbox)"
