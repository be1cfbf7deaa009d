"""What is asked of the target before and after a load: its version, its counts, the proofs.

Rules
-----
- An answer that is not there is None with its reason, or a note: it never ends a run.
- Each question carries the token of its moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ecoload.engine.probe import ProbeFailed, ask
from ecoload.engine.proofs import answer_to
from ecoload.engine.tokens import Tokens
from ecoload.measure.asked import ProofAnswer
from ecoload.plan import Plan, Probe


class Beside:
    """The questions of one run. `notes` is what a reader should know of them."""

    def __init__(self, plan: Plan, run_id: str, tokens: Tokens) -> None:
        self._plan, self._run_id, self._tokens = plan, run_id, tokens
        self.notes: list[str] = []

    def version(self) -> str:
        """The target's version; empty where it does not tell."""
        probe = self._plan.version_from
        if probe is None:
            return ""
        try:
            found = self._ask(probe)
        except ProbeFailed as error:
            found, reason = None, str(error)
        else:
            reason = f"{probe.json} is null"
        if found is None:
            self.notes.append(f"the target's version is not known: {reason}")
        return "" if found is None else str(found)

    def persisted(self) -> tuple[int | None, str]:
        """How many writes of this run the target holds, or why that is not known."""
        persistence = self._plan.persistence
        return (None, "") if persistence is None else self._count(persistence.count)

    def request_count(self) -> int | None:
        """How many requests of this run the target has seen; None where it does not tell."""
        if self._plan.request_count is None:
            return None
        count, problem = self._count(self._plan.request_count)
        if problem:
            self.notes.append(f"the target's own request count is not known: {problem}")
        return count

    def proofs(self, wait: Callable[[float], bool]) -> tuple[ProofAnswer, ...]:
        """The answer to each proof's question; `wait(seconds)` says that nobody waits any longer."""
        return tuple(
            answer_to(proof, lambda probe=proof.probe: self._ask(probe), time.monotonic, wait)  # type: ignore[misc]
            for proof in self._plan.proofs
        )

    def _ask(self, probe: Probe) -> Any:
        return ask(self._plan, probe, self._run_id, self._tokens.current)

    def _count(self, probe: Probe) -> tuple[int | None, str]:
        try:
            value = self._ask(probe)
        except ProbeFailed as error:
            return None, str(error)
        if isinstance(value, bool) or not isinstance(value, int):
            return None, f"{probe.json} is {value!r}, not a count"
        return value, ""
