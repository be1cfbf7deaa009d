"""What the sage says, and what a token is.

Rules
-----
- A token is a run of at most twelve letters, digits or underscores, or one other character that is no
  space. Spaces count for nothing.
- The same seed and request give the same text. It is about scholarships, whatever was asked.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MAX_WORD = 12

_TOKEN = re.compile(rf"\w{{1,{MAX_WORD}}}|[^\w\s]")
_PIECE = re.compile(rf" ?(?:\w{{1,{MAX_WORD}}}|[^\w\s])")

_OPENINGS = (
    "The strongest match for this student",
    "A good place to start",
    "One award worth a closer look",
    "The best use of the next week",
    "What most committees reward",
    "A likely fit, going by the profile,",
)
_MIDDLES = (
    "is the state grant for first generation students",
    "is a merit award with a short essay",
    "is the engineering fellowship, renewed each year",
    "is a community service scholarship",
    "is a need based grant with an early deadline",
    "is the teaching award, which asks for two references",
)
_ENDINGS = (
    "since the grades clear the requirement with room to spare",
    "and the deadline leaves time for a second draft",
    "although a transcript and one letter are still missing",
    "because few applicants from the region apply",
    "provided that the financial form is filed first",
    "and it can be combined with a smaller local prize",
)
_SENTENCES = (3, 40)


@dataclass(frozen=True, slots=True)
class Completion:
    """A text in pieces, one a token; together they are the text."""

    pieces: tuple[str, ...]
    finish_reason: Literal["stop", "length"]


def count_tokens(text: str) -> int:
    """How many tokens a text has."""
    return len(_TOKEN.findall(text))


def complete(seed: str, most: int, stops: Sequence[str] = ()) -> Completion:
    """The text of `seed`: to its end, or `most` tokens of it, or up to the first of `stops`."""
    whole = _pieces(_text(random.Random(seed)))
    text = "".join(whole[:most])
    ends = [at for at in map(text.find, stops) if at >= 0]
    if ends:
        return Completion(_pieces(text[: min(ends)].rstrip()), "stop")
    return Completion(whole[:most], "length" if len(whole) > most else "stop")


def _pieces(text: str) -> tuple[str, ...]:
    """The tokens of a text of ours, each with the space before it."""
    return tuple(_PIECE.findall(text))


def _text(chance: random.Random) -> str:
    count = chance.randint(*_SENTENCES)
    return " ".join(
        f"{chance.choice(_OPENINGS)} {chance.choice(_MIDDLES)} {chance.choice(_ENDINGS)}."
        for _ in range(count)
    )
