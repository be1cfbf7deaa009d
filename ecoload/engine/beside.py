"""What is asked of the target beside a load: version, counts, metrics and proofs; and its warming.

Rules
-----
- An answer that is not there is None with its reason, or a note: it never ends a run.
- Each question carries the token of its moment. What is answered with one of the run's secrets, or with one
  of its tokens, is no answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import orjson

from ecoload.engine.errands import Errand, Errands
from ecoload.engine.hiding import holds_secret
from ecoload.engine.metrics import kept, metric_value
from ecoload.engine.probe import ProbeFailed, ask, get
from ecoload.engine.proofs import MOST_SHOWN, answer_to
from ecoload.engine.tokens import Tokens
from ecoload.guard.paths import HOLE, with_holes
from ecoload.guard.peaks import total_duration_ns
from ecoload.measure.asked import NOT_WARMED, ProofAnswer
from ecoload.measure.memory import MemorySample
from ecoload.plan import Metrics, Plan, Probe, Warm

LEAST_MEMORY_S = 1.0
MEMORY_SAMPLES = 120
"""Resident memory is read so often over a planned load, and at most every `LEAST_MEMORY_S`."""


class Beside:
    """The questions of one run. `notes` is what a reader should know of them."""

    def __init__(self, plan: Plan, run_id: str, tokens: Tokens, secrets: Collection[str] = ()) -> None:
        self._plan, self._run_id, self._tokens, self._secrets = plan, run_id, tokens, secrets
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
        return "" if found is None else _short(found)

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
            answer_to(proof, partial(self._ask, proof.probe), time.monotonic, wait)
            for proof in self._plan.proofs
        )

    def metrics(self) -> bytes | None:
        """The target's metrics as they may be kept; None where it does not tell them."""
        if self._plan.metrics is None:
            return None
        try:
            return kept(self._metrics(self._plan.metrics), self._hidden)
        except ProbeFailed as error:
            self.notes.append(f"the target's metrics could not be read: {error}")
            return None

    def warm(self) -> None:
        """Warms the target, where the plan says so."""
        for warm in self._plan.warm:
            try:
                self._warm(warm)
            except ProbeFailed as error:
                self.notes.append(f"{NOT_WARMED}{error}")

    def errands(self, memory: Callable[[MemorySample], None]) -> Errands:
        """What is asked again and again while the load runs; `memory` takes the samples."""
        plan = self._plan
        found: list[Errand] = []
        if plan.metrics is not None and plan.metrics.resident_memory is not None:
            every_s = max(LEAST_MEMORY_S, total_duration_ns(plan, grace=False) / 1e9 / MEMORY_SAMPLES)
            resident = partial(self._resident, plan.metrics, plan.metrics.resident_memory)
            found.append(
                Errand(
                    "the target's memory could not be followed", 0.0, every_s, resident,
                    lambda at_s, value: memory(MemorySample(at_s, value)),
                )
            )  # fmt: skip
        for warm in plan.warm:
            if warm.every_ns:
                every_s, again = warm.every_ns / 1e9, partial(self._warm, warm)
                found.append(Errand("could not be warmed again", every_s, every_s, again, lambda _, __: None))
        return Errands(found)

    def _metrics(self, metrics: Metrics) -> bytes:
        said, status, body = get(self._plan, metrics, self._run_id, self._tokens.current)
        if status != 200:
            raise ProbeFailed(f"{said} answered {status}")
        return body

    def _resident(self, metrics: Metrics, name: str) -> float:
        try:
            return metric_value(self._metrics(metrics), name)
        except ValueError as error:
            raise ProbeFailed(str(error)) from None

    def _warm(self, warm: Warm) -> None:
        said, status, _ = get(self._plan, warm, self._run_id, self._tokens.current)
        if not 200 <= status < 300:
            raise ProbeFailed(f"{said} answered {status}")

    def _ask(self, probe: Probe) -> Any:
        found = ask(self._plan, probe, self._run_id, self._tokens.current)
        if holds_secret(found, self._hidden):
            app, path = self._plan.origins[probe.origin].app, with_holes(probe.path).replace(HOLE, "…")
            raise ProbeFailed(f"{app}: GET {path} answered with a secret that it was sent")
        return found

    @property
    def _hidden(self) -> set[str]:
        return {*self._secrets, *self._tokens.all}

    def _count(self, probe: Probe) -> tuple[int | None, str]:
        try:
            value = self._ask(probe)
        except ProbeFailed as error:
            return None, str(error)
        if isinstance(value, bool) or not isinstance(value, int):
            return None, f"{probe.json} is {_short(value)}, not a count"
        return value, ""


def _short(found: Any) -> str:
    """What is said of an answer."""
    return (found if isinstance(found, str) else orjson.dumps(found).decode())[:MOST_SHOWN]
