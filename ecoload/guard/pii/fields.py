"""What the names of fields say: whose number, whose name, whose birth.

Rules
-----
- The words of a path are its keys in lower case, without accents, taken apart at capitals and signs:
  `customer.homePhone` is `_customer_home_phone_`. Patterns are searched in that.
- A field whose last word is a measure (`phone_count`, `mobile_seen_at`) holds no number of a person.
"""

from __future__ import annotations

import re
import unicodedata

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_MEASURE = re.compile(
    r"_(?:at|on|ms|us|ns|seconds|ts|time|timestamp|date|count|total|uuid|hash|version|model|os|type"
    r"|cents|amount|price|cost|rate|duration|size|bytes|seq|sequence)_$"
)
_NAME = re.compile(
    r"_(?:first|last|given|family|middle|maiden|full|legal|birth|sur|fore)_?names?_"
    r"|_(?:fname|lname|vorname|nachname|familienname|prenom|nom|nombre|apellidos?|nome|cognome|sobrenome"
    r"|voornaam|achternaam|fornamn|efternamn|imie|nazwisko|cardholder)_"
    r"|_names?_(?:first|last|given|family|middle|maiden|full|legal)_$"
)
_BARE_NAME = re.compile(r"(?:^|_([a-z0-9]+))_names?_$")
_THINGS = frozenset(
    "app application attribute brand bucket campaign category city class code column company country course "
    "department device display domain event feature feeder field file firm folder group host image item key "
    "league login model module object organisation organization package page parameter path plan plugin "
    "product profile project property provider queue region role route scenario schema scholarship school "
    "screen server service state step store street table tag task team template topic type "
    "variable vendor zone".split()
)
_BIRTH_DATE = re.compile(
    r"_(?:birth_?(?:date|day|dt)|b_?date|date_?(?:of_?)?birth|do_?b|d_o_b|bday|born(?:_(?:on|at|date))?"
    r"|geburts_?(?:datum|tag)|geboren(?:_am)?|naissance|nacimiento|nascita|nascimento|geboorte_?datum|fodelsedatum)_|_birth_$"
)


def words_of(key: str) -> str:
    """A key's words, lower case and joined by `_`."""
    letters = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode()
    return _NO_WORD.sub("_", _CAPITAL.sub("_", letters).lower()).strip("_")


def is_person_name(words: str) -> bool:
    """True where a field of these words holds a person's name, as `name`, `first_name`, `name.last`."""
    if _NAME.search(words):
        return True
    bare = _BARE_NAME.search(words)
    return bare is not None and bare[1] not in _THINGS


def is_birth_date(words: str) -> bool:
    """True where a field of these words holds the day somebody was born, or a part of it."""
    return bool(_BIRTH_DATE.search(words))


def is_measure(words: str) -> bool:
    """True where a field's last word is a time, a count or another measure."""
    return bool(_MEASURE.search(words))


def called(names: str) -> re.Pattern[str]:
    """Finds one of `names` (a pattern) among the words of a field, with or without `number` behind it."""
    return re.compile(rf"_(?:{names})(?:_?(?:numbers?|num|no|nr|nummer))?_?\d*_")
