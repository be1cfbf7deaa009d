"""What the pages are about: the states, the majors, and thousands of made-up scholarships.

Rules
-----
- A scholarship is a function of the seed and its number: nothing is kept, and the same seed has the
  same scholarships. Its address ends in its number, so that finding it costs the same however many
  there are.
- Numbers go round the states, and one step on through the majors with each round: whose number it is
  needs no search.
- An amount is in whole cents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from ecoload.sandbox.common.states import STATES

EACH = 2
"""How many scholarships there are for each state and major."""

MAJORS = {
    name.lower().replace(" ", "-"): name
    for name in (
        "Accounting", "Aerospace Engineering", "Agriculture", "Anthropology", "Architecture", "Art History",
        "Astronomy", "Biochemistry", "Biology", "Biomedical Engineering", "Business Administration",
        "Chemical Engineering", "Chemistry", "Civil Engineering", "Communications", "Computer Engineering",
        "Computer Science", "Construction Management", "Criminal Justice", "Cybersecurity", "Data Science",
        "Dental Hygiene", "Early Education", "Ecology", "Economics", "Electrical Engineering", "English",
        "Environmental Science", "Film Studies", "Finance", "Geography", "Graphic Design", "History",
        "Hospitality Management", "Information Systems", "International Relations", "Journalism",
        "Linguistics", "Marine Biology", "Marketing", "Mathematics", "Mechanical Engineering", "Music",
        "Neuroscience", "Nursing", "Pharmacy", "Philosophy", "Physics", "Political Science", "Psychology",
        "Public Health", "Public Policy", "Social Work", "Sociology", "Spanish", "Special Education",
        "Statistics", "Theater", "Urban Planning", "Veterinary Science",
    )
}  # fmt: skip
"""Names by slug, in the order of the alphabet."""

_FIRST = (
    "Bright", "Bluebird", "Cedar", "Compass", "Copper", "Evergreen", "First Light", "Foothill", "Golden Gate",
    "Granite", "Harbor", "Heron", "Horizon", "Juniper", "Keystone", "Lantern", "Lighthouse", "Meadow",
    "Milestone", "North Star", "Open Door", "Prairie", "River Bend", "Summit", "Sunrise", "Tall Pine",
    "Trailhead", "Wildflower",
)  # fmt: skip
_LAST = ("Award", "Bursary", "Fellowship", "Fund", "Grant", "Prize", "Scholarship", "Stipend")
_AWARDS = tuple(100 * dollars for dollars in (500, 750, 1000, 1500, 2000, 2500, 4000, 5000, 7500, 10000))
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_FIRST_DAY = date(2025, 1, 1)
_DAYS = 365

_CODES = tuple(STATES)
_SLUGS = tuple(MAJORS)

SCHOLARSHIPS = EACH * len(_CODES) * len(_SLUGS)
"""How many there are; their numbers begin at 0."""


@dataclass(frozen=True, slots=True)
class Scholarship:
    """One scholarship; `state` and `major` are keys of `STATES` and `MAJORS`."""

    slug: str
    name: str
    state: str
    major: str
    award_cents: int
    deadline: date
    updated: date

    @property
    def award(self) -> str:
        """The amount, as people read it."""
        return f"${self.award_cents // 100:,}"

    @property
    def apply_by(self) -> str:
        """The deadline, which is the same each year."""
        return f"{self.deadline.day} {_MONTHS[self.deadline.month - 1]}"


class Catalogue:
    """The scholarships of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def scholarship(self, number: int) -> Scholarship:
        """The scholarship of a number below `SCHOLARSHIPS`."""
        state = _CODES[number % len(_CODES)]
        major = _SLUGS[number // len(_CODES) % len(_SLUGS)]
        digest = hashlib.blake2b(f"{self._seed}/scholarship/{number}".encode(), digest_size=8).digest()
        left = int.from_bytes(digest)
        left, first = divmod(left, len(_FIRST))
        left, last = divmod(left, len(_LAST))
        left, award = divmod(left, len(_AWARDS))
        left, deadline = divmod(left, _DAYS)
        updated = left % _DAYS
        name = f"{_FIRST[first]} {MAJORS[major]} {_LAST[last]}"
        return Scholarship(
            slug=f"{name.lower().replace(' ', '-')}-{state.lower()}-{number:04d}",
            name=name,
            state=state,
            major=major,
            award_cents=_AWARDS[award],
            deadline=_FIRST_DAY + timedelta(deadline),
            updated=_FIRST_DAY + timedelta(updated),
        )

    def find(self, slug: str) -> Scholarship | None:
        """The scholarship of an address; None when there is none of exactly this one."""
        number = slug.rpartition("-")[2]
        if not (number.isascii() and number.isdigit() and len(number) == 4 and int(number) < SCHOLARSHIPS):
            return None
        found = self.scholarship(int(number))
        return found if found.slug == slug else None

    def of_state(self, code: str) -> list[Scholarship]:
        """Those of a state, in the order of their numbers."""
        return self._all(range(_CODES.index(code), SCHOLARSHIPS, len(_CODES)))

    def of_major(self, slug: str) -> list[Scholarship]:
        """Those of a major, in the order of their numbers."""
        states, begin = len(_CODES), _SLUGS.index(slug) * len(_CODES)
        rounds = range(begin, SCHOLARSHIPS, states * len(_SLUGS))
        return self._all(number for first in rounds for number in range(first, first + states))

    def _all(self, numbers: Iterable[int]) -> list[Scholarship]:
        return [self.scholarship(number) for number in numbers]
