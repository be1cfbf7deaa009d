"""The starts of one plan under k6 and under ecoload, as a recording server saw them.

Rules
-----
- An iteration of load L is `GET /L?delay_ms=N`, then `GET /L/end`: the first tells when it started, the
  second that it was not interrupted.
- The script that k6 runs is made of what is exported: scenarios of `executors`, functions of `pacing`.
- Both clocks are set by the load `metronome`, a constant rate: by the median of how late its starts are. So
  only what a tool takes to get going is taken out, and it is the same for all loads of a run.
- Where a VU starts again as soon as it is free, what is compared is how long after: its start n stands at its
  first one + n x the server's delay + the time since its last iteration's end. So a start that was held up
  is late itself and does not make all later ones late.
- Loads begin 20 ms apart: 25 that began at once would only measure how busy a machine is then.
- A machine stands still for a moment now and then, and a start is late that is no schedule's fault. So each
  tool runs a fixed number of rounds: the counts of most of them hold, and a start's time is its median there.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from ecoload.export.k6.executors import SCALED, scenario_options
from ecoload.export.k6.js import Literal, literal
from ecoload.export.k6.pacing import PACED, pacing_of
from ecoload.plan import ConstantArrivalRate, Executor, Load, OpenExecutor, Plan, Route, Scenario
from tests.integration.driving import SECOND, Silent, plan_of, run, step_of
from tests.servers.recorder import Arrival, Recorder

APART_MS = 20.0
"""What the two may differ by."""
STILL_MS = 60.0
"""What a machine that stands still may add to a start that most rounds agree on."""
STAGGER_NS = 20_000_000
METRONOME = ConstantArrivalRate(20, 3 * SECOND + 20_000_000, 10, 10)

FRAME = """\
import exec from "k6/execution";
import http from "k6/http";
import {{ sleep }} from "k6";

const SCALE = Number(__ENV.DURATION_SCALE || 1);
{scaled}
const PACING = {pacing};
const SCENARIOS = {scenarios};
const DELAYS = {delays};
const counts = Object.keys(SCENARIOS).map((name) => `dropped_iterations{{scenario:${{name}}}}`);
export const options = {{
  scenarios: SCENARIOS,
  thresholds: Object.fromEntries(counts.map((name) => [name, ["count>=0"]])),
}};

{paced}

export function main() {{
  paced(() => {{
    const load = exec.scenario.name;
    http.get(`${{__ENV.APP_URL}}/${{load}}?delay_ms=${{DELAYS[load]}}`);
    http.get(`${{__ENV.APP_URL}}/${{load}}/end`);
  }});
}}

export function handleSummary({{ metrics }}) {{
  const count = (name) => metrics[name].values.count;
  return {{
    stdout: JSON.stringify({{
      iterations: count("iterations"),
      requests: count("http_reqs"),
      dropped: counts.map(count),
    }}),
  }};
}}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One load: its executor, how long the server takes, and what else its `Load` says. ecoload runs
    `instead`, where there is one: a schedule that is wrong on purpose."""

    executor: Executor
    delay_ms: float = 0.0
    start_time_ns: int = 0
    graceful_stop_ns: int = SECOND
    pacing_ns: int = 0
    instead: Executor | None = None

    @property
    def waits_for_ends(self) -> bool:
        """Whether a VU's next start is due when its iteration ends."""
        return not isinstance(self.executor, OpenExecutor) and self.delay_ms * 1e6 >= self.pacing_ns


@dataclass(frozen=True, slots=True)
class Figures:
    """One load of one run: its starts in ms from the run's zero, and what became of them."""

    starts: tuple[float, ...]
    finished: int
    dropped: int

    @property
    def counts(self) -> tuple[int, int, int]:
        return len(self.starts), self.finished, self.dropped


@dataclass(frozen=True, slots=True)
class Round:
    """One run: its loads, the iterations and requests that the tool counts, the requests that came."""

    loads: Mapping[str, Figures]
    iterations: int
    requests: int
    arrivals: int

    @property
    def finished(self) -> int:
        return sum(figures.finished for figures in self.loads.values())


def under_ecoload(cases: Mapping[str, Case], folder: Path) -> Round:
    instead = {name: replace(case, executor=case.instead or case.executor) for name, case in cases.items()}
    with Recorder() as server:
        view = Silent()
        result = run(plan_for(server.url, instead), folder, view).result
        dropped = view.intervals[-1].tick.dropped_by_load
        return _round(server, cases, dropped, result.iterations, result.requests)


def under_k6(cases: Mapping[str, Case], folder: Path, k6: Path) -> Round:
    with Recorder() as server:
        script = folder / "schedules.js"
        script.write_text(script_of(plan_for(server.url, cases), cases))
        environment = {**os.environ, "K6_NO_USAGE_REPORT": "true", "APP_URL": server.url}
        command = [str(k6), "run", "--quiet", str(script)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        told = json.loads(done.stdout)
        return _round(server, cases, told["dropped"], told["iterations"], told["requests"])


def plan_for(url: str, cases: Mapping[str, Case]) -> Plan:
    """A plan with a load for each case, after the metronome."""
    routes, scenarios, loads = [], [], []
    for index, (name, case) in enumerate({"metronome": Case(METRONOME), **cases}.items()):
        delay = (("delay_ms", f"{case.delay_ms:g}"),)
        steps = (step_of(2 * index, f"/{name}", query=delay), step_of(2 * index + 1, f"/{name}/end"))
        routes += [Route("app", f"{name}{path}", "GET", f"/{name}{path}", "none") for path in ("", "/end")]
        scenarios.append(Scenario(name, steps=steps))
        start_ns = case.start_time_ns + index * STAGGER_NS
        loads.append(
            Load(name, index, "test", case.executor, start_ns, case.graceful_stop_ns, case.pacing_ns)
        )
    plan = plan_of(url, [step_of(0, "/")])
    return replace(plan, routes=tuple(routes), scenarios=tuple(scenarios), loads=tuple(loads))


def script_of(plan: Plan, cases: Mapping[str, Case]) -> str:
    """A script of the exported pieces in the least of a frame."""
    scenarios: dict[str, Literal] = {
        load.name: scenario_options(plan, index, "main") for index, load in enumerate(plan.loads)
    }
    delays: dict[str, Literal] = {"metronome": 0, **{name: case.delay_ms for name, case in cases.items()}}
    return FRAME.format(
        scaled=SCALED, pacing=literal(pacing_of(plan)), scenarios=literal(scenarios), delays=literal(delays),
        paced=PACED.text,
    )  # fmt: skip


def agreed(rounds: Sequence[Round]) -> dict[str, Figures]:
    """Of each load, the counts that most rounds have, and the median of each start over those rounds."""
    found = {}
    for name in rounds[0].loads:
        figures = [each.loads[name] for each in rounds]
        counts, many = Counter(each.counts for each in figures).most_common(1)[0]
        assert 2 * many > len(rounds), f"{name}: no two rounds agree: {[each.counts for each in figures]}"
        alike = [each.starts for each in figures if each.counts == counts]
        found[name] = Figures(tuple(median(at) for at in zip(*alike, strict=True)), *counts[1:])
    return found


def disagreement(ours: Figures, theirs: Figures) -> str:
    """Why the starts are not the same; empty where they are: as many, as many finished and dropped, and no
    start further apart than 20 ms, but for one in ten (one at least) that a machine held up by no more than
    60 ms."""
    if ours.counts != theirs.counts:
        return f"starts, finished, dropped: {ours.counts}, k6 {theirs.counts}"
    apart = [their - our for our, their in zip(ours.starts, theirs.starts, strict=True)]
    far = [
        f"{at:.0f} ms by {by:+.0f} ms"
        for at, by in zip(ours.starts, apart, strict=True)
        if abs(by) > APART_MS
    ]
    if len(far) > max(1, len(apart) // 10) or max(map(abs, apart)) > STILL_MS:
        return f"{len(far)} of {len(apart)} starts are apart: {', '.join(far)}"
    return ""


def _round(
    server: Recorder, cases: Mapping[str, Case], dropped: Sequence[int], iterations: int, requests: int
) -> Round:
    """The arrivals by load, from the zero that the metronome tells."""
    cases = {"metronome": Case(METRONOME), **cases}
    by_load: dict[str, list[Arrival]] = {name: [] for name in cases}
    for arrival in server.arrivals:
        by_load[arrival.path.strip("/").partition("/")[0].partition("?")[0]].append(arrival)
    ticks = [arrival.at_ns / 1e6 for arrival in by_load["metronome"] if not _is_end(arrival)]
    zero = median(at - number * 1000 / METRONOME.rate for number, at in enumerate(ticks))
    loads = {}
    for (name, case), lost in zip(cases.items(), dropped, strict=True):
        found = by_load[name]
        starts = _starts(found, case.delay_ms if case.waits_for_ends else None)
        loads[name] = Figures(tuple(at - zero for at in sorted(starts)), sum(map(_is_end, found)), lost)
    return Round(loads, iterations, requests, len(server.arrivals))


def _is_end(arrival: Arrival) -> bool:
    return arrival.path.endswith("/end")


def _starts(arrivals: Sequence[Arrival], delay_ms: float | None) -> Iterator[float]:
    """When each start came, in ms; with a delay, those after a VU's first by how long after its last end.
    A VU is its connection."""
    firsts: dict[int, float] = {}
    ends: dict[int, list[float]] = {}
    for arrival in arrivals:
        at, vu = arrival.at_ns / 1e6, arrival.connection
        if _is_end(arrival):
            ends.setdefault(vu, []).append(at)
        elif delay_ms is None or vu not in ends:
            firsts[vu] = at
            yield at
        else:
            yield firsts[vu] + len(ends[vu]) * delay_ms + at - ends[vu][-1]
