"""Proofs: what the target had to say after the load, against what it said.

Rules
-----
- Another answer is a FAIL, null too; a question that could not be asked is INCONCLUSIVE.
- A proof does not rest on the figures: it stands whatever the measurement was.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from ecoload.guard.paths import HOLE, with_holes
from ecoload.measure.asked import ProofAnswer
from ecoload.measure.result import ProofResult, Verdict
from ecoload.plan import Plan, Proof, Scalar


def judge_proofs(plan: Plan, answers: Sequence[ProofAnswer], unasked: str) -> tuple[ProofResult, ...]:
    """Each proof of the plan, in its order; `unasked` says why one has no answer."""
    by_name = {answer.name: answer for answer in answers}
    return tuple(_judged(plan, proof, by_name.get(proof.name), unasked) for proof in plan.proofs)


def _judged(plan: Plan, proof: Proof, answer: ProofAnswer | None, unasked: str) -> ProofResult:
    path = with_holes(proof.probe.path).replace(HOLE, "…")
    question = f"{plan.origins[proof.probe.origin].app}: GET {path} {proof.probe.json}"
    verdict, reason = _verdict(proof, answer, unasked)
    return ProofResult(
        name=proof.name,
        question=question,
        expected=proof.expected,
        found=answer.found if answer else None,
        within_s=proof.within_ns / 1e9,
        took_s=answer.took_s if answer else None,
        verdict=verdict,
        reason=reason,
    )


def _verdict(proof: Proof, answer: ProofAnswer | None, unasked: str) -> tuple[Verdict, str]:
    if answer is None:
        return Verdict.INCONCLUSIVE, unasked
    after = f" after {answer.took_s:.1f} s" if proof.within_ns else ""
    if answer.problem:
        return Verdict.INCONCLUSIVE, f"could not be asked{after}: {answer.problem}"
    if answer.holds:
        return Verdict.PASS, f"is {_written(proof.expected)}{after}"
    reason = f"is {_written(answer.found)}, not {_written(proof.expected)}{after}"
    if answer.cut_short:
        return Verdict.INCONCLUSIVE, f"{reason}, when the run was interrupted"
    return Verdict.FAIL, reason


def _written(value: Scalar) -> str:
    return orjson.dumps(value).decode()
