"""The comment at the head of a script: what it is, how it is run, and what k6 does otherwise than ecoload.

Rules
-----
- What a plan asks for and k6 does not do or judge is named here, where the load itself is the same.
- No line break of what people wrote gets out of the comment.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ecoload.export.k6 import executors
from ecoload.export.k6.js import WIDTH
from ecoload.export.k6.parts import Part, Script
from ecoload.guard.peaks import peak_vus, regular_duration_ns
from ecoload.measure.recorder import route_names
from ecoload.plan import ConstantArrivalRate, Load, Plan, RampingArrivalRate
from ecoload.spec.units import format_duration

COMMAND = "ecoload export-k6"

_LATENCY = (
    "Its latency is http_req_duration of expected responses (service time). ecoload judges response time, "
    "which runs from when a request was due, of steps that ended ok, and calls a percentile of too few "
    "samples INCONCLUSIVE."
)


def header(script: Script) -> str:
    """The comment of a script."""
    return _Head(script).text


class _Head:
    """One header in the making."""

    def __init__(self, script: Script) -> None:
        self.script, self.parts, self.plan = script.name, script.parts, script.plan
        self.places, self.secrets, self.env = script.places, script.secrets, script.env
        self.needed, self.proxy = script.needed, script.proxy
        self.feeders, self.sources = script.feeders, script.sources

    @property
    def text(self) -> str:
        sections = [
            self._what(),
            self._how(),
            self._environment(),
            self._profiles(),
            self._otherwise(),
            self._end(),
        ]
        lines = "\n\n".join("\n".join(section) for section in sections).split("\n")
        return "\n".join(f"// {_plain(line)}".rstrip() for line in lines)

    def _what(self) -> Iterator[str]:
        app, profiles = self.plan.app, list(self.parts)
        shown = profiles[0] if len(profiles) == 1 else "PROFILE"
        yield from _wrapped(f"The load that `ecoload run {app} --profile {shown}` puts on {app}, for k6.")

    def _how(self) -> Iterator[str]:
        if self.needed:
            yield from _wrapped(" ".join(["export", *(f"{name}=…" for name in self.needed)]), "  ", "    ")
        profile = [f"PROFILE={next(iter(self.parts))}"] if len(self.parts) > 1 else []
        yield "  " + " ".join([*profile, "GODEBUG=http2client=0", "k6 run", self.script])

    def _environment(self) -> Iterator[str]:
        if len(self.parts) > 1:
            yield from _row("PROFILE", f"one of {', '.join(self.parts)} [{next(iter(self.parts))}]")
        for place in self.places:
            default = f" [{place.otherwise}]" if place.otherwise else ""
            yield from _row(place.variable, f"the address of {place.app}{default}")
        for name in self.secrets:
            yield from _row(name, "a secret")
        for name in self.env:
            yield from _row(name, "what ${env." + name + "} stands for")
        if self.proxy is not None:
            yield from _row(self.proxy[0], f"the proxy: {self.proxy[1]} in targets.yaml")
        if authorities := sorted({origin.ca_file for origin in self.plan.origins if origin.ca_file}):
            yield from _row("SSL_CERT_FILE", f"certificate authorities: {', '.join(authorities)}")
        yield from _row("DURATION_SCALE", "multiplies durations, stages and grace [1]")
        more = self.plan.approval_over_vus
        yield from _row(
            "ECOLOAD_APPROVED",
            f"the profile's spec_hash, once a human has approved a load of more than {more} VUs, or "
            "another that ecoload would ask about; a reminder only, since k6 verifies no signature",
        )
        yield from _row("ECOLOAD_RUN_ID", "the name of the run, sent with every request [made up]")
        beside = self.script.removesuffix(".js") + ".summary.json"
        yield from _row("ECOLOAD_SUMMARY", f"where the figures go [{beside}]")
        if self.feeders:
            yield from _row("ECOLOAD_DATA", "the records, by a path from this file [../config/data.jsonl]")

    def _profiles(self) -> Iterator[str]:
        for profile, part in self.parts.items():
            for load in part.loads:
                vus = peak_vus(replace(part.plan, loads=(load,)))
                yield from _wrapped(f"{profile}: {_described(load, vus)}", "", "  ")
            yield f"  spec_hash {part.plan.spec_hash}"
            if part.elsewhere:
                beside = (
                    f"The rest of this profile's load is in {' and '.join(part.elsewhere)}; run both at once."
                )
                yield from _wrapped(beside, "  ", "  ")

    def _otherwise(self) -> Iterator[str]:
        yield "k6 does otherwise than ecoload:"
        yield from _wrapped(_LATENCY, "- ", "  ")
        notes = self._by_profile(_notes)
        for note, profiles in notes.items():
            yield from _wrapped(f"{self._where(profiles)}{note}", "- ", "  ")
        for kind, found in (
            ("judged", self._by_profile(lambda part: part.judged.not_judged)),
            ("asked", self._by_profile(lambda part: _not_asked(part.plan))),
        ):
            said = [f"{self._where(profiles)}{what}" for what, profiles in found.items()]
            if said:
                yield from _wrapped(f"Not {kind} here: {'; '.join(said)}.", "- ", "  ")

    def _by_profile(self, told: Callable[[Part], Iterable[str]]) -> dict[str, list[str]]:
        """What is told of some profiles, with their names."""
        found: dict[str, list[str]] = {}
        for profile, part in self.parts.items():
            for what in dict.fromkeys(told(part)):
                found.setdefault(what, []).append(profile)
        return found

    def _where(self, profiles: list[str]) -> str:
        return "" if len(profiles) == len(self.parts) else f"{', '.join(profiles)}: "

    def _end(self) -> Iterator[str]:
        yield from _wrapped(
            f"Generated by `{COMMAND}` from {' and '.join(self.sources)}; the next one writes it anew."
        )


def _described(load: Load, vus: int) -> str:
    executor = load.executor
    said = [load.executor_name]
    if isinstance(executor, ConstantArrivalRate):
        said.append(f"{executor.rate:g} in {format_duration(executor.time_unit_ns)}")
    elif isinstance(executor, RampingArrivalRate):
        most = max(executor.start_rate, *(stage.target for stage in executor.stages))
        said.append(f"up to {most:g} in {format_duration(executor.time_unit_ns)}")
    said += [f"up to {vus} VUs", format_duration(regular_duration_ns(executor))]
    if load.start_time_ns:
        said.append(f"after {format_duration(load.start_time_ns)}")
    if load.pacing_ns:
        said.append(f"an iteration each {format_duration(load.pacing_ns)}")
    return ", ".join(said)


def _notes(part: Part) -> Iterator[str]:
    """What is the same load, and goes on or counts otherwise."""
    for load in part.loads:
        if executors.never_drops(load):
            yield (
                "A start that finds no VU waits in ecoload, and k6 drops it. So all VUs are there from the "
                "start, and dropped_iterations must be 0: then both have sent the same."
            )
        elif isinstance(load.executor, ConstantArrivalRate | RampingArrivalRate):
            yield "In ecoload a dropped iteration is an error of its first route too."
        if load.pacing_ns:
            yield "Pacing is sleep, which iteration_duration holds too."


def _not_asked(plan: Plan) -> Iterator[str]:
    """What ecoload asks the target beside the load."""
    if plan.persistence is not None:
        yield f"whether {route_names(plan)[plan.persistence.route]} kept what it acknowledged"
    for proof in plan.proofs:
        yield f"proof {proof.name}"
    if plan.request_count is not None:
        yield "the target's own count of requests"
    if plan.metrics is not None:
        yield "its metrics"


def _row(name: str, text: str) -> list[str]:
    rest = " " * 20
    if len(name) < 18:
        return _wrapped(text, f"  {name:<18}", rest)
    return [f"  {name}", *_wrapped(text, rest, rest)]


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH - 3, initial_indent=first, subsequent_indent=rest, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _plain(line: str) -> str:
    return line if line.isprintable() else ascii(line)[1:-1]
