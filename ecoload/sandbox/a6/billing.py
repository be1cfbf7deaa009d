"""What the platform bills for a contract: arithmetic in whole cents, and nothing else.

Rules
-----
- The fee is 3 % of the contract, rounded half up to the cent: 17 cents cost 0.51, so 1; 16 cost 0.48, so
  0; 50 cost 1.50, so 2. Half up, because that is what people expect of a bill and can do in their head.
- AI is billed at four times its cost, which is exact.
- Only whole numbers: nothing here is ever a float but in the fault that shows why, and what comes in as one
  is no amount.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FEE_BASIS_POINTS = 300
AI_MARKUP = 4
MOST_CENTS = 10**12
ROUNDING = "half-up"

_WHOLE = 10_000
"""Basis points of the whole."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What one contract comes to."""

    amount_cents: int
    fee_cents: int
    ai_cost_cents: int
    ai_price_cents: int

    @property
    def total_cents(self) -> int:
        """What the platform is owed: its fee and the price of AI. The contract's amount is the provider's."""
        return self.fee_cents + self.ai_price_cents


def bill(amount_cents: int, ai_cost_cents: int) -> Bill:
    """The bill of a contract; both must be `is_cents`."""
    fee_cents = (amount_cents * FEE_BASIS_POINTS + _WHOLE // 2) // _WHOLE
    return Bill(amount_cents, fee_cents, ai_cost_cents, ai_cost_cents * AI_MARKUP)


def spoiled(right: Bill, *, wrong_fee: bool, float_rounding: bool) -> Bill:
    """The same bill as one gets it wrong: with another fee, or reckoned in dollars of binary floats, whose
    cents are cut off."""
    points = 400 if wrong_fee else FEE_BASIS_POINTS
    if float_rounding:
        fee = int(right.amount_cents / 100 * (points / _WHOLE) * 100)
        return Bill(
            right.amount_cents, fee, right.ai_cost_cents, int(right.ai_cost_cents / 100 * AI_MARKUP * 100)
        )
    fee = (right.amount_cents * points + _WHOLE // 2) // _WHOLE
    return Bill(right.amount_cents, fee, right.ai_cost_cents, right.ai_price_cents)


def is_cents(value: Any) -> bool:
    """Whether a value is an amount: a whole number from 0 to `MOST_CENTS`, and no bool."""
    return type(value) is int and 0 <= value <= MOST_CENTS
