"""One thing that was found, and how it is told without repeating it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`kind` with its article, `text` as it stands in the value, and what to write in its place."""

    kind: str
    text: str
    safe: str

    def __str__(self) -> str:
        return f"holds {self.kind} ({masked(self.text)}); {self.safe}"


def masked(text: str) -> str:
    """Enough of a text to find it again, and no more. What is found has six characters or more."""
    return f"{text[0]}…{text[-2:]}"


def without_last_groups(text: str, least: int) -> Iterator[str]:
    """The text, then without its last group, its last two, and so on, while `least` characters are left:
    a word or number behind another looks like a group of it."""
    yield text
    for end in range(len(text) - 1, least - 1, -1):
        if text[end] in " -":
            yield text[:end]
