"""Every failure ecoload names, with the exit code it ends in.

Rules
-----
- A failure that a person can cause or meet has a class here; its message says what to do.
- Only ``cli/`` exits. Everything else raises, and the error carries its code.
- The codes are those of ``docs/exit-codes.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class EcoloadError(Exception):
    """A named failure. `exit_code` is what the command ends with."""

    exit_code = 70


class UsageError(EcoloadError):
    """The command line asks for something that is not there or makes no sense."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one file. `line` counts from 1; 0 means the file as a whole."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class SpecError(EcoloadError):
    """What people wrote is wrong: every problem at once, in the order of file and line."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line)))
        super().__init__("\n".join(map(str, self.problems)))


class GuardRefused(EcoloadError):
    """A guard said no before anything was sent."""

    exit_code = 7


class TargetLocked(EcoloadError):
    """Another load run is going on against the same target."""

    exit_code = 7


class ApprovalNeeded(EcoloadError):
    """The plan is allowed only with a human's approval. `reasons` says why; `refused` why those that are
    there do not serve."""

    exit_code = 3

    def __init__(self, message: str, reasons: Sequence[str] = (), refused: Sequence[str] = ()) -> None:
        self.reasons = tuple(reasons)
        self.refused = tuple(refused)
        super().__init__(message)


class ToolMissing(EcoloadError):
    """A program that ecoload calls (ssh-keygen, git) is not there, or too old."""

    exit_code = 2


class TokenFailed(EcoloadError):
    """The app that tokens come from gave none, so nothing of the load can be asked."""

    exit_code = 6


class LimitTooLow(EcoloadError):
    """The machine cannot carry the plan (file descriptors, ports); said before anything is sent."""

    exit_code = 2


class SandboxFailed(EcoloadError):
    """The embedded ecosystem did not come up."""

    exit_code = 70


class WorkerFailed(EcoloadError):
    """The load generator's process died or broke by a fault of its own."""

    exit_code = 70


class OutputFailed(EcoloadError):
    """A result could not be written (disk full, no permission)."""

    exit_code = 70
