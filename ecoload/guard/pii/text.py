"""One text looked through: made plain first, then searched for one kind after the other.

Rules
-----
- Look-alike signs count as what they look like: full-width digits, non-breaking spaces, long dashes,
  invisible characters between digits, `%40`.
- UUIDs and dates are taken out first: their groups of digits are nobody's.
- What one kind has found is taken out before the next is searched, so that nothing is told twice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from ecoload.guard.pii.finding import Finding
from ecoload.guard.pii.numbers import find_cards, find_ibans, find_national_ids
from ecoload.guard.pii.phones import find_phones

_SUSPECT = re.compile(r"@|[0-9](?:[^0-9]{0,6}[0-9]){5}")
"""Every kind has an @ or six digits near one another."""
_INNOCENT = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"  # a UUID, then dates and times
    r"|\d{4}-\d\d-\d\d(?:(?:T\d\d:?| \d\d:)\d\d(?::?\d\d(?:[.,]\d+)?)?(?:Z| ?[+-]\d\d:?\d\d)?)?"
    r"|\d{1,2}([-/. ])\d{1,2}\1(?:19|20)\d\d"
    r")(?![0-9A-Za-z])"
)
_TAKEN_OUT = "\n"
"""What stands where something was taken out: no kind reaches across it."""

_DASHES = "‐‑‒–—―−"
_DOTS = "\u00b7\u2024\u3002\uff61"
_LOOK_ALIKE = str.maketrans(dict.fromkeys(_DASHES, "-") | dict.fromkeys(_DOTS, "."))
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\ufe00-\ufe0f\uffa0]")
"""Letters and marks that show nothing; what only steers the text (Cf) is found by its category."""
_MOST_DECODED = 3
_BLANKS = re.compile(r"[ \t]{2,}|\t")

_DOMAIN = re.compile(r"@((?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63}))", re.I)
_MAILBOX = re.compile(r"[\w.!#$%&'*+/=?^`{|}~\"-]{1,64}\Z")
_NOBODYS_DOMAIN = re.compile(
    r"(?:.*\.)?(?:example|test|invalid|localhost|example\.com|example\.net|example\.org)", re.I
)


def findings(text: str, words: str) -> Iterator[Finding]:
    """What stands in a text of a field whose names have these words (`fields.words_of`)."""
    if "%" in text or not text.isascii():
        text = _plain(text)
    if not _SUSPECT.search(text):
        return
    kinds = _KINDS_OF_DIGITS
    if not text.isdecimal():
        kinds = _KINDS
        text, taken_out = _INNOCENT.subn(_TAKEN_OUT, _BLANKS.sub(" ", text))
        if taken_out and not _SUSPECT.search(text):
            return
    for find in kinds:
        for found in find(text, words):
            yield found
            text = text.replace(found.text, _TAKEN_OUT)


def _plain(text: str) -> str:
    for _ in range(_MOST_DECODED):
        if "%" not in text:
            break
        text = unquote(text)
    text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).translate(_LOOK_ALIKE)
    text = "".join(char for char in text if char.isascii() or unicodedata.category(char) != "Cf")
    return "".join(str(int(char)) if char.isdecimal() else char for char in text)


def _find_addresses(text: str, words: str) -> Iterator[Finding]:
    for domain in _DOMAIN.finditer(text):
        mailbox = _MAILBOX.search(text, max(0, domain.start() - 64), domain.start())
        if mailbox and not _NOBODYS_DOMAIN.fullmatch(domain[1]):
            safe = "use one at example.com, such as student-0001@example.com"
            yield Finding("an e-mail address", mailbox[0] + domain[0], safe)


_Find = Callable[[str, str], Iterator[Finding]]
_KINDS_OF_DIGITS: tuple[_Find, ...] = (find_cards, find_national_ids, find_phones)
_KINDS: tuple[_Find, ...] = (_find_addresses, find_ibans, *_KINDS_OF_DIGITS)
