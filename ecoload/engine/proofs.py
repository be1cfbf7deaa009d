"""Asking a proof's question until its answer is the expected one, or its time is over.

Rules
-----
- The last answer counts: a question that cannot be asked is asked again as one with another answer is.
- Clock and asking are handed in; `wait(seconds)` says that nobody waits any longer.
- What is kept of an answer can be shown: a scalar, or the beginning of anything else as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from ecoload.engine.probe import ProbeFailed
from ecoload.measure.asked import ProofAnswer
from ecoload.plan import Proof, Scalar

EVERY_S = 0.5
MOST_SHOWN = 200


def answer_to(
    proof: Proof, ask: Callable[[], Any], clock: Callable[[], float], wait: Callable[[float], bool]
) -> ProofAnswer:
    """The answer that decides. `ask` raises ProbeFailed; `clock` is in s."""
    begun = clock()
    while True:
        found, problem = None, ""
        try:
            found = ask()
        except ProbeFailed as failed:
            problem = str(failed)
        took_s = clock() - begun
        holds = not problem and proof.holds(found)
        left_s = proof.within_ns / 1e9 - took_s
        more = not holds and left_s > 0
        if not more or wait(min(EVERY_S, left_s)):
            return ProofAnswer(proof.name, holds, _shown(found), round(took_s, 3), problem, cut_short=more)


def _shown(found: Any) -> Scalar:
    if found is None or isinstance(found, bool | int | float):
        return found
    return (found if isinstance(found, str) else orjson.dumps(found).decode())[:MOST_SHOWN]
