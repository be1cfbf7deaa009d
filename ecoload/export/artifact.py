"""What an export is made of, and what comes out of it.

Rules
-----
- An exporter is a pure function from a `Source` to artifacts: the same source gives the same bytes, with no
  date and no path of a machine in them.
- Paths are relative to the workspace, and stand below `FOLDER`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecoload.spec.workspace import Workspace

FOLDER = "tests/perf"
COMMAND = "ecoload export"


@dataclass(frozen=True, slots=True)
class Source:
    """A workspace, what its targets file and its folder of scenarios are called (relative to it), and the
    records that it has, if any."""

    workspace: Workspace
    targets: str = "targets.yaml"
    scenarios: str = "scenarios"
    records: bytes | None = None

    @property
    def origin(self) -> str:
        """The targets file for a comment: one line, whatever it is called."""
        return self.targets if self.targets.isprintable() else ascii(self.targets)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file to be written. `keep`: it is the user's own once it is there."""

    path: str
    content: bytes
    executable: bool = False
    keep: bool = False
