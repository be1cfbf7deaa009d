"""The arithmetic of a bill, against exact fractions and decimals as an independent truth."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecoload.sandbox.a6.billing import MOST_CENTS, bill, is_cents, spoiled

cents = st.integers(0, MOST_CENTS)


@pytest.mark.parametrize(
    ("amount", "fee"),
    [
        (0, 0),
        (1, 0),  # 0.03
        (16, 0),  # 0.48
        (17, 1),  # 0.51
        (33, 1),  # 0.99
        (49, 1),  # 1.47
        (50, 2),  # 1.50: the half goes up
        (150, 5),  # 4.50: up too, where half to even would stay at 4
        (83, 2),  # 2.49
        (100_000, 3_000),
        (MOST_CENTS - 1, 30_000_000_000),
        (MOST_CENTS, 30_000_000_000),
    ],
)
def test_the_fee_of_awkward_amounts(amount: int, fee: int) -> None:
    assert bill(amount, 0).fee_cents == fee


def test_the_reference_contract() -> None:
    got = bill(100_000, 1_000)
    assert (got.fee_cents, got.ai_price_cents, got.total_cents) == (3_000, 4_000, 7_000)


@given(cents)
@example(50)
@example(MOST_CENTS)
def test_the_fee_is_three_percent_rounded_half_up(amount: int) -> None:
    with localcontext(prec=40):
        exact = Decimal(amount) * 3 / 100
        assert bill(amount, 0).fee_cents == exact.quantize(Decimal(1), ROUND_HALF_UP)
    assert bill(amount, 0).fee_cents == floor(Fraction(amount * 3, 100) + Fraction(1, 2))


@given(cents)
def test_the_fee_is_never_off_by_more_than_half_a_cent(amount: int) -> None:
    assert abs(bill(amount, 0).fee_cents - Fraction(3, 100) * amount) <= Fraction(1, 2)


@given(cents, cents)
def test_a_larger_contract_never_has_a_smaller_fee(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert bill(small, 0).fee_cents <= bill(large, 0).fee_cents


@given(cents, cents)
def test_every_figure_is_a_whole_number_and_the_markup_is_exact(amount: int, ai_cost: int) -> None:
    got = bill(amount, ai_cost)
    figures = (got.amount_cents, got.fee_cents, got.ai_cost_cents, got.ai_price_cents, got.total_cents)
    assert {type(figure) for figure in figures} == {int}
    assert got.ai_price_cents == ai_cost + ai_cost + ai_cost + ai_cost
    assert got.total_cents == got.fee_cents + got.ai_price_cents
    assert (got.amount_cents, got.ai_cost_cents) == (amount, ai_cost)


def test_a_wrong_fee_is_wrong_for_the_contract_that_everybody_looks_at() -> None:
    wrong = spoiled(bill(100_000, 1_000), wrong_fee=True, float_rounding=False)
    assert (wrong.fee_cents, wrong.ai_price_cents) == (4_000, 4_000)


def test_floats_are_right_for_the_contract_that_everybody_looks_at_and_a_cent_short_for_others() -> None:
    def off(amount: int, ai_cost: int) -> tuple[int, int]:
        right = bill(amount, ai_cost)
        wrong = spoiled(right, wrong_fee=False, float_rounding=True)
        return wrong.fee_cents - right.fee_cents, wrong.ai_price_cents - right.ai_price_cents

    assert off(100_000, 1_000) == (0, 0)
    assert off(150, 29) == (-1, -1)
    assert off(123_456_789, 1_999) == (-1, -1)


@given(cents)
def test_every_whole_number_within_bounds_is_an_amount(amount: int) -> None:
    assert is_cents(amount)


@pytest.mark.parametrize(
    "value", [-1, MOST_CENTS + 1, 1.0, 0.5, True, False, "100", None, [100], float("nan"), Decimal(1)]
)
def test_nothing_else_is_an_amount(value: Any) -> None:
    assert not is_cents(value)
