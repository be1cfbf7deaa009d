"""Numbers with check digits: payment cards, IBANs, and the numbers that states give to people.

Rules
-----
- python-stdnum knows the check digits. It is imported here only, and only for a text of the right shape.
- A card of 13 digits, or of 17 to 19, is found in groups or by its field's name: EANs and 64-bit ids are
  as long. In the field of a measure (`fields.is_measure`) a card is found in groups only.
- A number stands alone: it is no piece of a word and no piece of a longer row of groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from importlib import import_module

from ecoload.guard.pii.fields import called, is_measure
from ecoload.guard.pii.finding import Finding, without_last_groups
from ecoload.guard.pii.states import EVERY_STATE, STATES, State

# --- Cards ----------------------------------------------------------------------------------------

_DIGITS = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9][-.])[0-9]{3,}(?:([ .-])[0-9]+(?:\1[0-9]+)*)?(?![0-9A-Za-z]|[-.][0-9])"
)
_CARD_FIELD = called("(?:(?:credit|debit|payment|bank)_)?cards?|cc|ccn|pan")
_ISSUERS = tuple(
    (re.compile(prefix), frozenset(lengths))
    for prefix, lengths in (
        ("4", (13, 16, 19)),  # Visa
        ("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
        ("3[47]", (15,)),  # American Express
        ("6011|64[4-9]|65", (16, 17, 18, 19)),  # Discover
        ("30[0-5]|3095|36|38|39", (14, 16)),  # Diners Club
        ("35(?:2[89]|[3-8])", (16, 17, 18, 19)),  # JCB
        ("62|81", (16, 17, 18, 19)),  # UnionPay
        ("5018|5020|5038|5893|6304|6759|676[1-3]", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
        ("60|508|82|220[0-4]|9792", (16,)),  # RuPay, Mir, Troy
    )
)
_SURE_LENGTHS = frozenset((14, 15, 16))
_TEST_CARDS = frozenset(
    "4242424242424242 4111111111111111 4012888888881881 4222222222222 4000056655665556 5555555555554444 "
    "5105105105105100 5200828282828210 2223003122003222 378282246310005 371449635398431 378734493671000 "
    "6011111111111117 6011000990139424 6011981111111113 30569309025904 38520000023237 3056930009020004 "
    "36227206271667 3530111333300000 3566002020360505 6555900000604105 6200000000000005 6200000000000047 "
    "6205500000000000004 5019717010103742 6331101999990016".split()
)
_TEST_PREFIX = "400000"
"""Stripe's test cards that end in a wanted way (declined, disputed, of a country) begin with this."""


def find_cards(text: str, words: str) -> Iterator[Finding]:
    lengths = _lengths_when_bare(words)
    for match in _DIGITS.finditer(text):
        if len(match[0]) < 13:
            continue
        for digits, found in _rows(match[0], match[1]):
            if (digits != found or len(digits) in lengths) and _is_card(digits):
                safe = "use a published test number, such as 4242 4242 4242 4242"
                yield Finding("a payment card's number", found, safe)


def _rows(found: str, sign: str | None) -> Iterator[tuple[str, str]]:
    """The rows of 13 to 19 digits that groups can form, each with its text. Groups joined by dashes or
    dots are one number; those between blanks may be several."""
    groups = found.split(sign) if sign else [found]
    if sign != " ":
        digits = "".join(groups)
        if len(digits) <= 19 and _are_groups(groups, sign):
            yield digits, found
        return
    for first in range(len(groups)):
        digits = ""
        for last, group in enumerate(groups[first : first + 7], first + 1):
            digits += group
            if len(digits) > 19:
                break
            if len(digits) >= 13 and _are_groups(groups[first:last], sign):
                yield digits, " ".join(groups[first:last])


def _are_groups(row: list[str], sign: str | None) -> bool:
    """True where the groups may be a card's: three digits or more but for the last. Dots stand between
    groups of four, else every decimal were a candidate."""
    if sign == ".":
        return all(len(group) == 4 for group in row[:-1]) and len(row[-1]) <= 4
    return all(len(group) >= 3 for group in row[:-1])


@lru_cache(maxsize=4096)
def _lengths_when_bare(words: str) -> frozenset[int]:
    """How many digits in a row may be a card in a field of these words."""
    if is_measure(words):
        return frozenset()
    return frozenset(range(13, 20)) if _CARD_FIELD.search(words) else _SURE_LENGTHS


def _is_card(digits: str) -> bool:
    if digits in _TEST_CARDS or digits.startswith(_TEST_PREFIX):
        return False
    issued = any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in _ISSUERS)
    return issued and _checker("luhn")(digits)


# --- IBANs ----------------------------------------------------------------------------------------

_IBAN = re.compile(
    r"(?<![0-9A-Za-z])(?=([A-Z]{2}[0-9]{2}(?:[ -]?[0-9A-Z]{4}){2,7}(?:[ -]?[0-9A-Z]{1,3})?)(?![0-9A-Za-z]))",
    re.I,
)


def find_ibans(text: str, words: str) -> Iterator[Finding]:
    for match in _IBAN.finditer(text):
        found = next(filter(_is_iban, without_last_groups(match[1], least=15)), None)
        if found is not None:
            safe = f"give it the check digits 00, which no account has: {found[:2]}00…"
            yield Finding("an IBAN", found, safe)


def _is_iban(text: str) -> bool:
    # Not by the list of a country's banks: banks come and go.
    return _checker("iban")(text, check_country=False)


# --- What states give -----------------------------------------------------------------------------


def _alone(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """Finds the pattern where it is no piece of a word, and of no longer row of groups."""
    return re.compile(rf"(?<![0-9A-Za-z_])(?<![0-9][-./])(?:{pattern})(?![0-9A-Za-z_]|[-./][0-9])", flags)


_SPELLED = _alone("|".join(f"(?P<s{at}>{state.spelled})" for at, state in enumerate(STATES) if state.spelled))
_EVERY_STATE = called(EVERY_STATE)
_NAMED = tuple(called(state.named) for state in STATES)


def find_national_ids(text: str, words: str) -> Iterator[Finding]:
    matches = [(STATES[int(str(match.lastgroup)[1:])], match[0]) for match in _SPELLED.finditer(text)]
    for index in _states_named(words):
        matches += [(STATES[index], match[0]) for match in _bare(index).finditer(text)]
    told: set[str] = set()
    for state, found in matches:
        if found not in told and _is_given(state, found):
            told.add(found)
            yield Finding(state.kind, found, state.safe)


@lru_cache(maxsize=4096)
def _states_named(words: str) -> list[int]:
    """The states whose number a field of these words may hold: every one where no country has the
    name for itself."""
    if is_measure(words):
        return []
    named = [index for index, pattern in enumerate(_NAMED) if pattern.search(words)]
    if not named and _EVERY_STATE.search(words):
        return list(range(len(STATES)))
    return named


@cache
def _bare(index: int) -> re.Pattern[str]:
    return _alone(STATES[index].bare, re.I)


def _is_given(state: State, found: str) -> bool:
    if not state.checkers:
        return True
    forms = (found, re.sub("[-./ ]", "", found))
    return any(_checker(name)(form) for name in state.checkers for form in forms)


@cache
def _checker(name: str) -> Callable[..., bool]:
    """`is_valid` of one of python-stdnum's modules."""
    is_valid: Callable[..., bool] = import_module(f"stdnum.{name}").is_valid

    def check(number: str, **options: bool) -> bool:
        try:
            return is_valid(number, **options)
        except (LookupError, ValueError):  # of a place or a day that is in none of its tables
            return False

    return check
