"""What A5 of the sandbox decides without anybody else: uploads, outcomes, telemetry, identities, signups."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ecoload.sandbox.a5.app import wrong_with as wrong_with_signup
from ecoload.sandbox.a5.assessments import MOST_WAIT_S, outcome_of, wait_s
from ecoload.sandbox.a5.crm import Person
from ecoload.sandbox.a5.login import Pending, challenge, person_of
from ecoload.sandbox.a5.telemetry import judged, wrong_with
from ecoload.sandbox.a5.uploads import MAX_BYTES, accept
from ecoload.sandbox.common.problems import Problem

NOW = 1_700_000_000_000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


# --- uploads --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "content", "excerpt"),
    [
        ("text/plain", "Grüße".encode(), "Grüße"),
        ("text/plain; charset=utf-8", b"x" * 1000, "x" * 400),
        ("TEXT/PLAIN", b"x" * MAX_BYTES, "x" * 400),
        ("application/pdf", b"%PDF-1.7\n\x00\xff", ""),
        ("image/png", PNG, ""),
    ],
)
def test_a_document_is_kept_as_digest_size_and_name(declared: str, content: bytes, excerpt: str) -> None:
    upload = accept("Ünï 1.txt", declared, content)
    assert (upload.name, upload.size, upload.excerpt) == ("Ünï 1.txt", len(content), excerpt)
    assert upload.digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("name", "declared", "content", "status"),
    [
        ("a", "text/plain", b"", 422),
        ("a", "text/plain", b"x" * (MAX_BYTES + 1), 413),
        ("a", "text/html", b"<p>", 415),
        ("a", "", b"x", 415),
        ("a", "application/octet-stream", b"x", 415),
        ("a", "text/plain", b"\xff\xfe", 422),
        ("a", "text/plain", b"a\0b", 422),
        ("a", "application/pdf", b"MZ", 422),
        ("a", "image/png", b"%PDF-1.7", 422),
        ("", "text/plain", b"x", 422),
        ("a" * 121, "text/plain", b"x", 422),
        ("../a", "text/plain", b"x", 422),
        ("a\\b", "text/plain", b"x", 422),
        ("a\nb", "text/plain", b"x", 422),
        ("a\udcff", "text/plain", b"x", 422),
    ],
)
def test_what_is_no_acceptable_document_is_a_problem(
    name: str, declared: str, content: bytes, status: int
) -> None:
    with pytest.raises(Problem) as refused:
        accept(name, declared, content)
    assert refused.value.status == status


def test_the_outcome_depends_on_the_document_alone() -> None:
    outcomes = [outcome_of(hashlib.sha256(str(number).encode()).hexdigest()) for number in range(400)]
    assert outcomes == [outcome_of(hashlib.sha256(str(n).encode()).hexdigest()) for n in range(400)]
    assert 250 < outcomes.count("eligible") < 350
    assert outcomes.count("eligible") + outcomes.count("review") == 400


def test_a_document_rests_longer_after_each_failure_but_never_too_long() -> None:
    assert [wait_s(tries) for tries in (1, 2, 3, 4, 5, 6, 1000)] == [1, 2, 4, 8, 16, MOST_WAIT_S, MOST_WAIT_S]


# --- telemetry ----------------------------------------------------------------------


def test_telemetry_that_was_never_sent_is_neither_confirmed_nor_late() -> None:
    assert judged([], NOW) == {
        "watched": 0,
        "confirmed": 0,
        "last_confirmed_ms": None,
        "visible_within_ms": None,
        "oldest_unconfirmed_s": None,
        "confirmed_within_60s": None,
    }


def test_telemetry_that_shows_in_time_is_confirmed_though_more_is_on_its_way() -> None:
    sent = [(NOW - 5000, NOW - 4000), (NOW - 9000, NOW - 6000), (NOW - 8000, NOW - 6000), (NOW - 400, None)]
    assert judged(sent, NOW) == {
        "watched": 4,
        "confirmed": 3,
        "last_confirmed_ms": NOW - 4000,
        "visible_within_ms": {"p50": 2000, "max": 3000},
        "oldest_unconfirmed_s": 0.4,
        "confirmed_within_60s": True,
    }


@pytest.mark.parametrize(
    ("sent", "confirmed"),
    [
        ([(NOW - 60_000, None)], None),
        ([(NOW - 60_001, None)], False),
        ([(NOW - 90_000, NOW - 30_000)], True),
        ([(NOW - 90_000, NOW - 29_999)], False),
        ([(NOW - 90_000, NOW - 89_000), (NOW - 61_000, None)], False),
        ([(NOW - 200_000, NOW - 100_000), (NOW - 2000, NOW - 1000)], False),
    ],
)
def test_telemetry_that_took_more_than_a_minute_is_never_forgotten(
    sent: list[tuple[int, int | None]], confirmed: bool | None
) -> None:
    assert judged(sent, NOW)["confirmed_within_60s"] is confirmed


@pytest.mark.parametrize(
    "document",
    [{"name": "page_view"}, {"name": "x", "value": None}, {"name": "x", "value": 2**53}]
    + [{"name": "x", "value": value} for value in (True, -1.5, "", "y" * 200)]
    + [{"name": "x", "state": "CA"}],
)
def test_good_telemetry_is_taken(document: dict[str, Any]) -> None:
    assert wrong_with(document) == []


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "name"),
        ({"name": 5}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "x", "value": "y" * 201}, "value"),
        ({"name": "x", "value": 2**53 + 1}, "value"),
        ({"name": "x", "value": []}, "value"),
        ({"name": "x", "value": {}}, "value"),
        ({"name": "x", "state": "ca"}, "state"),
        ({"name": "x", "state": "A1"}, "state"),
        ({"name": "x", "state": "CAL"}, "state"),
        ({"name": "x", "state": 1}, "state"),
        ({"name": "x", "more": 1}, "more"),
    ],
)
def test_bad_telemetry_is_named(document: dict[str, Any], named: str) -> None:
    assert [reason.partition(":")[0] for reason in wrong_with(document)] == [named]


# --- identities and signups --------------------------------------------------------------


def test_the_challenge_is_that_of_the_standard() -> None:
    # RFC 7636, appendix B
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def begun(name: str | None = None) -> Pending:
    return Pending("nonce-1", "verifier", name, "lineage", None)


def test_a_person_is_called_what_it_called_itself_here() -> None:
    claims, about = {"sub": "s", "nonce": "nonce-1"}, {"sub": "s", "email": "s@example.test", "name": "At A1"}
    assert person_of(claims, about, begun("Here")) == Person("s", "Here", "s@example.test")
    assert person_of(claims, about, begun()) == Person("s", "At A1", "s@example.test")
    assert person_of(claims, {"sub": "s", "email": "e"}, begun()) == Person("s", "e", "e")


@pytest.mark.parametrize("nonce", [None, "", "nonce-2", "nönce", 5])
def test_an_identity_that_answers_another_sign_in_is_refused(nonce: Any) -> None:
    claims = {"sub": "s"} if nonce is None else {"sub": "s", "nonce": nonce}
    with pytest.raises(Problem, match="another sign-in"):
        person_of(claims, {"sub": "s", "email": "e"}, begun())


@pytest.mark.parametrize(
    ("claims", "about"),
    [
        ({}, {"sub": "s", "email": "e"}),
        ({"sub": ""}, {"sub": "", "email": "e"}),
        ({"sub": 5}, {"sub": 5, "email": "e"}),
        ({"sub": "s"}, {"sub": "other", "email": "e"}),
        ({"sub": "s"}, {"sub": "s"}),
    ],
)
def test_an_identity_that_names_nobody_is_refused(claims: dict[str, Any], about: dict[str, Any]) -> None:
    with pytest.raises(Problem, match="who it is"):
        person_of(claims | {"nonce": "nonce-1"}, about, begun())


@pytest.mark.parametrize(
    ("name", "email", "wrong"),
    [
        ("Ana Ünal", "ana@example.test", set()),
        ("<script>", "a+b@x.example", set()),
        ("", "ana@example.test", {"name"}),
        ("x" * 81, "ana@example.test", {"name"}),
        ("a\tb", "ana@example.test", {"name"}),
        ("Ana", "", {"email"}),
        ("Ana", "ana", {"email"}),
        ("Ana", "a@b@c", {"email"}),
        ("Ana", "a b@example.test", {"email"}),
        ("Ana", "a@" + "x" * 190, {"email"}),
        ("", "", {"name", "email"}),
    ],
)
def test_a_signup_says_which_field_is_wrong(name: str, email: str, wrong: set[str]) -> None:
    assert wrong_with_signup(name, email).keys() == wrong
