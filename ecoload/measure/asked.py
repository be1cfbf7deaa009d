"""What the target said when it was asked beside a load, before anyone judges it."""

from __future__ import annotations

from dataclasses import dataclass

from ecoload.plan import Scalar

NOT_WARMED = "could not be warmed: "
"""How the note of a run begins whose target did not take its warming: it stood under no remedy."""


@dataclass(frozen=True, slots=True)
class ProofAnswer:
    """The last answer to a proof's question. `found` is as it may be shown; None where `problem` says why
    there is none. `cut_short`: it would have been asked again, and the run was interrupted."""

    name: str
    holds: bool
    found: Scalar
    took_s: float
    problem: str = ""
    cut_short: bool = False
