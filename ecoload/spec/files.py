"""Files of a workspace by their names."""

from __future__ import annotations

from pathlib import PurePath

FLOWS = "flows"
"""The folder of the flows, beside the scenarios."""


BROWSER = "browser"
"""The folder of the browser flows, beside the scenarios."""


def is_inside(name: str) -> bool:
    """Whether a file is named from the workspace on and by no way around: so a copy has a place for it."""
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts
