"""Telephone numbers, as people write them.

Rules
-----
- libphonenumber knows which numbers can be somebody's. It is imported here only, and only for a text of
  the right shape.
- An international spelling (`+49 30 …`, `0049 30 …`) is found anywhere, and so are national ones in groups
  (`030 …`, `(212) …`, `212-…`). Bare digits are found where the field's name says that they are a number
  to call.
- The ranges that regulators keep for fiction pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from ecoload.guard.pii.fields import called, is_measure
from ecoload.guard.pii.finding import Finding, without_last_groups

_PHONE_FIELD = called(
    "[a-z]*phones?|tel|mobile|mobil|movil|cell|cellular|handy|fax|telefax|msisdn|whatsapp|sms"
    "|telefon|telefono|telefone|telefoon|rufnummer|portable|caller|callee|contact_(?:number|no)"
)
_ID_FIELD = re.compile(r"_ids?_$")

_START = r"(?<![0-9A-Za-z_+])(?<![0-9A-Za-z_][-./])"
_END = r"(?![0-9A-WYZa-wyz_]|[-./][0-9])"
"""An x may follow: it begins an extension."""

_DECIMAL = r"(?:[0-9]{1,3}\.[0-9]{1,7}|[0-9]{4,}\.[0-9]+)(?![0-9.])"
"""A signed decimal or coordinate; `+49.30901820` is how registries write a number."""
_ABROAD = rf"(?:\+|00[- ]?(?=[0-9]*[-. ()/]))(?!{_DECIMAL})"
_INTERNATIONAL = re.compile(rf"(?<![0-9A-Za-z_+/=.-]){_ABROAD}\(?[1-9](?:[-. ()/]{{0,3}}[0-9]){{7,15}}{_END}")
_AMERICAN = r"(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])[2-9][0-9]{2}[-. ][0-9]{4}"
_WITH_ZERO = (
    r"(?!0[0-9]{4}-[0-9]{4}(?![-/ ]?[0-9]))"  # a US ZIP code
    r"(?:\(0[1-9][0-9]{0,4}\) ?|0[1-9][0-9]{0,4}[-/ ]{1,2})[0-9]{2,8}(?:[-/ ]{1,2}[0-9]{2,8}){0,3}"
    r"|0[1-9](?:\.[0-9]{2}){4}"
)
_BRACKETS = r"\([1-9][0-9]{1,4}\) ?[0-9]{2,5}(?:[- .][0-9]{2,5}){1,3}"
_NATIONAL = re.compile(
    rf"{_START}(?:(?P<american>{_AMERICAN}){_END}|(?<![0-9] )(?:{_WITH_ZERO}|{_BRACKETS}){_END}(?! [0-9]))"
)
"""Groups that more groups follow or precede are a list of numbers."""
_BARE = re.compile(rf"{_START}(?<![0-9] )\(?[0-9](?:[-. ()/]{{0,3}}[0-9]){{7,15}}{_END}")

_AMERICA = {"US": "1"}
_ZERO_REGIONS = dict.fromkeys("GB DE FR NL BE CH SE IE AU NZ ZA IN JP KR TR".split(), "0")
"""Where a number is dialled with a 0 before it within the country."""
_LAX_REGIONS = {"AT": "0", "FI": "0", "IT": ""}
"""Those that take almost any length are asked only where the field's name says what the number is."""
_PLAIN_REGIONS = _AMERICA | {"RU": "8"} | dict.fromkeys("ES PT PL DK NO CZ GR BR MX CN IN SG TR".split(), "")

_FICTION = re.compile(
    r"(?:\+?1)?[2-9]\d\d55501\d\d"  # North America: 555-0100 to 555-0199
    r"|(?:\+44|0)0?(?:1(?:1[3-8]|21|31|41|51|61)4960|1914980|2079460|2896496|2920180|1632960|7700900"
    r"|8081570|9098790|3069990)\d{3}"  # Ofcom
    r"|(?:\+61|0)0?(?:[2378](?:5550|7010)\d{4}|491(?:570(?:006|15[6-9]|110|313|737)|571(?:266|491|804)"
    r"|572(?:549|665|983)|573(?:770|087)|574(?:118|632)|575(?:254|789)|576(?:398|801)|577(?:426|644)"
    r"|578(?:957|148|888|212)|579(?:760|455)))"  # ACMA
    r"|(?:\+49|0)0?(?:(?:3023125|6990009|4066969|2214710|8999998)\d{3}|(?:17139200|176040690)\d\d)"  # BNetzA
    r"|(?:\+33|0)0?(?:19900|26191|35301|46571|53649|63998)\d{4}"  # Arcep
    r"|(?:\+353|0)0?2091\d{5}"  # ComReg
    r"|(?:\+46|0)0?(?:8465004|3139006|4062804|9803192|7017406)\d\d"  # PTS
)
_SAFE = "use one that is kept for fiction, such as +1 202-555-0100 or +44 20 7946 0000"


def find_phones(text: str, words: str) -> Iterator[Finding]:
    for find in _spellings(words):
        for found in find(text):
            yield Finding("a telephone number", found, _SAFE)
            text = text.replace(found, "\n")


@lru_cache(maxsize=4096)
def _spellings(words: str) -> tuple[Callable[[str], Iterator[str]], ...]:
    """Which spellings a field of these words is searched for."""
    named = _PHONE_FIELD.search(words) and not is_measure(words) and not _ID_FIELD.search(words)
    return (_international, _national, _bare) if named else (_international, _national)


def _international(text: str) -> Iterator[str]:
    for match in _INTERNATIONAL.finditer(text):
        for found in without_last_groups(match[0], least=9):
            number = "+" + _digits(found).removeprefix("00")
            if _FICTION.fullmatch(number):
                break
            if _is_somebodys(number):
                yield found
                break


def _national(text: str) -> Iterator[str]:
    for match in _NATIONAL.finditer(text):
        digits = _digits(match[0])
        regions = _ZERO_REGIONS if digits[0] == "0" else _PLAIN_REGIONS
        if match["american"]:
            regions = _AMERICA
        if 9 <= len(digits) <= 12 and not _FICTION.fullmatch(digits) and _is_dialled(digits, regions):
            yield match[0]


def _bare(text: str) -> Iterator[str]:
    return filter(_is_bare, (match[0] for match in _BARE.finditer(text)))


def _is_bare(found: str) -> bool:
    """True for digits that can be dialled somewhere, or are an international number without its sign."""
    digits = _digits(found)
    if _FICTION.fullmatch(digits):
        return False
    if _is_dialled(digits, _ZERO_REGIONS | _LAX_REGIONS if digits[0] == "0" else _PLAIN_REGIONS):
        return True
    abroad = ["+" + digits.removeprefix(prefix) for prefix in ("00", "011") if digits.startswith(prefix)]
    return any(
        _is_somebodys(number) and not _FICTION.fullmatch(number) for number in abroad or ["+" + digits]
    )


def _is_dialled(digits: str, regions: Mapping[str, str]) -> bool:
    """True where digits, as dialled in one of the regions, can be somebody's there."""
    return any(_can_be_given(region, digits.removeprefix(prefix)) for region, prefix in regions.items())


def _is_somebodys(number: str) -> bool:
    """True where a number in its international form can be somebody's."""
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False


def _can_be_given(region: str, national: str) -> bool:
    # The number is made here: to parse it again for each region takes five times as long.
    from phonenumbers import PhoneNumber, country_code_for_region, is_valid_number

    zero = national.startswith("0")
    return is_valid_number(
        PhoneNumber(country_code_for_region(region), int(national or "0"), italian_leading_zero=zero)
    )


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))
