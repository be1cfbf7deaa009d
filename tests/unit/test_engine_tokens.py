"""Tokens: what an endpoint may answer, when the next one is due, and what a refresh that fails does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ecoload.engine.tokens import Token, Tokens, read_token, tokens_of
from ecoload.errors import TokenFailed, UsageError
from ecoload.plan import ClientCredentials
from tests.unit.guard_plans import plan

GOOD = {"access_token": "a.b-c_~+/=", "token_type": "Bearer", "expires_in": 300}


def answer(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in (GOOD | changes).items() if v is not ...}).encode()


# --- Answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (answer(), Token("a.b-c_~+/=", 300)),
        (answer(token_type="bearer"), Token("a.b-c_~+/=", 300)),
        (answer(token_type="BEARER", scope="a2", more=[1]), Token("a.b-c_~+/=", 300)),
        (answer(expires_in=...), Token("a.b-c_~+/=", 300)),
        (answer(expires_in=0.5), Token("a.b-c_~+/=", 0.5)),
        (answer(expires_in=10**30), Token("a.b-c_~+/=", 86_400)),
        (answer(access_token="x" * 16_384), Token("x" * 16_384, 300)),
    ],
)
def test_a_token_is_read_with_its_life(body: bytes, token: Token) -> None:
    assert read_token(body) == token


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"", "is not JSON"),
        (b"<html>", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"{}", "has no access_token"),
        (answer(access_token=...), "has no access_token"),
        *[
            (answer(access_token=value), "has no access_token that can stand in a header")
            for value in (None, 5, "", "a b", " a", "a\r\nX: 1", "a\n", "a\0", "é", "a\x7f", "x" * 16_385)
        ],
        *[
            (answer(token_type=value), "has another token_type than Bearer")
            for value in (..., None, "", "mac", "Bearer ", 1)
        ],
        *[
            (answer(expires_in=value), "has an expires_in that is not a positive number")
            for value in (0, -1, None, True, "300", [])
        ],
    ],
)
def test_an_answer_that_is_no_token_is_named_and_not_repeated(body: bytes, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        read_token(body)
    assert "a.b-c" not in str(caught.value)


def test_a_token_is_not_shown() -> None:
    assert "hush" not in repr(Token("hush", 300))


# --- When the next one is due ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("life_s", "after_s"),
    [
        (3600, 2880),
        (300, 240),
        (25, 20),
        (20, 15),
        (10, 5),
        (6.5, 1.5),
        (5, 1),
        (0.1, 1),
        (-3, 1),
    ],
)
def test_the_next_one_is_due_at_four_fifths_and_five_seconds_before_the_end(
    life_s: float, after_s: float
) -> None:
    assert Token("x", life_s).refresh_after_s == pytest.approx(after_s)


# --- Keeping it fresh -----------------------------------------------------------------------------


def fetches(*results: str | Exception, life_s: float = 300) -> Callable[[], Token]:
    """Gives these, one a call."""
    left = iter(results)

    def fetch() -> Token:
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return Token(result, life_s)

    return fetch


class Waits:
    """Takes note of each pause and looks at the tokens after it; over when there is nothing left."""

    def __init__(self, tokens: Tokens, rounds: int) -> None:
        self.tokens, self.rounds = tokens, rounds
        self.pauses: list[float] = []
        self.seen: list[str | None] = []

    def __call__(self, pause_s: float) -> bool:
        self.pauses.append(pause_s)
        self.seen.append(self.tokens.fresh())
        return len(self.pauses) > self.rounds


def kept(results: Iterable[str | Exception], life_s: float = 300) -> Waits:
    given = list(results)
    tokens = Tokens(fetches(*given, life_s=life_s))
    waits = Waits(tokens, len(given) - 1)
    tokens.keep(waits)
    return waits


def test_each_token_is_refreshed_in_its_time_and_handed_on_once() -> None:
    waits = kept(["one", "two", "two", "three"])
    assert waits.pauses == [240, 240, 240, 240]
    assert waits.seen == [None, "two", None, "three"]
    assert waits.tokens.fresh() is None
    assert waits.tokens.current == "three"
    assert waits.tokens.all == ("one", "two", "two", "three")
    assert waits.tokens.note == ""


def test_a_refresh_that_fails_is_tried_again_ever_more_rarely_and_the_old_token_stays() -> None:
    down = TokenFailed("a1 is down")
    waits = kept(["one", *[down] * 7, "two", down, "three"])
    assert waits.pauses == [240, 1, 2, 4, 8, 16, 30, 30, 240, 1, 240]
    assert waits.seen == [None] * 8 + ["two", None, "three"]
    assert waits.tokens.note == (
        "the token could not be refreshed (8 times), and the one before was used: a1 is down"
    )


def test_a_single_failure_is_noted_too() -> None:
    waits = kept(["one", UsageError("the TLS files cannot be used")])
    assert waits.tokens.current == "one"
    assert waits.tokens.note == (
        "the token could not be refreshed (once), and the one before was used: the TLS files cannot be used"
    )


def test_what_is_no_failure_of_the_endpoint_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        kept(["one", ZeroDivisionError()])


def test_without_a_first_token_there_are_none() -> None:
    with pytest.raises(TokenFailed, match="a1 is down"):
        Tokens(fetches(TokenFailed("a1 is down")))


# --- Of a plan ------------------------------------------------------------------------------------


def test_a_plan_without_auth_has_no_token_and_asks_nobody() -> None:
    with tokens_of(plan(), "run-1", {}) as tokens:
        assert (tokens.current, tokens.fresh(), tokens.note) == ("", None, "")
    assert Token("", math.inf).refresh_after_s == math.inf


@pytest.mark.parametrize("secrets", [{}, {"KEY": ""}, {"OTHER": "x"}])
def test_a_secret_that_is_not_given_is_told_by_its_name(secrets: dict[str, str]) -> None:
    auth = ClientCredentials(1, "/token", "me", "KEY")
    with pytest.raises(UsageError, match="secret KEY: the token of a2 needs it"):
        tokens_of(plan(auth=auth), "run-1", secrets).__enter__()


def test_an_endpoint_without_an_address_gives_no_token() -> None:
    auth = ClientCredentials(1, "/token", "me", "KEY")
    with pytest.raises(TokenFailed) as caught:
        tokens_of(plan(auth=auth), "run-1", {"KEY": "hush"}).__enter__()
    assert str(caught.value) == (
        "there is no token for a2, so nothing was sent: a8: the name a8.example has no address; "
        "is a8 up, and is its address right?"
    )
    assert caught.value.exit_code == 6
