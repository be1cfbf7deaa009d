"""The comment at the head of a script: what it is, how it is run, and what k6 does otherwise than ecoload.

Rules
-----
- What a plan asks for and k6 does not judge or do is named here, where the load itself is the same.
- No line break of what people wrote leaves the comment.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ecoload.export.k6.guard import Address
from ecoload.plan import Plan
from ecoload.spec.workspace import Workspace

if TYPE_CHECKING:
    from ecoload.export.k6.script import Part

COMMAND = "ecoload export-k6"


def header(
    workspace: Workspace,
    parts: Mapping[str, Part],
    name: str,
    source: str,
    places: Sequence[Address],
    secrets: Sequence[str],
    env: Sequence[str],
) -> str:
    """The comment."""
    return "// x"
