"""Pacing, which k6 does not know, as functions of a script.

Rules
-----
- The starts are those of `docs/executors.md`: a VU's first iteration at the moment of its place, the next
  ones `pacing` apart, by the clock and not from the last one's end, so that nothing drifts.
- k6 tells a VU neither its place nor when it must go. Both follow from the scenario's own options, as k6
  works them out. VUs that start together share their places by the numbers of their first iterations, which
  are unique over the instances of a distributed test too.
- k6 gives a VU a new `__ENV` each time that it starts it: so one that was parked and raised again is told
  from one that goes on.
- k6 counts an iteration when its function returns. So one that has done its work returns where k6 starts no
  other and does not interrupt it yet. A VU that must go before its first moment asks nothing; k6 counts it.
"""

from __future__ import annotations

from ecoload.export.k6.js import Code, Literal
from ecoload.plan import Plan

PACED = Code(
    """\
// Pacing: the least time from one start of an iteration to the next of a VU.
// k6 knows none, so an iteration waits until it is due, and then until shortly
// before the next one is.
let pace = {}; // this VU since k6 started it: when it is due, when it must go

function paced(iterate) {
  const scenario = SCENARIOS[exec.scenario.name];
  const pacing = PACING[exec.scenario.name] * 1000;
  if (!pacing) {
    iterate();
    return;
  }
  const now = () => Date.now() - exec.scenario.startTime;
  const sleepUntil = (moment) => sleep(Math.max(0, moment - now()) / 1000);
  if (pace.env !== __ENV) {
    pace = { env: __ENV, ...firstPace(scenario, pacing, now()) };
  } else if (pace.gone < now()) {
    pace = { ...pace, ...leaving(scenario, pace.place, now()) };
  }
  if (pace.due >= pace.gone) {
    sleepUntil(pace.gone + 300); // too late for this VU: it asks nothing
    return;
  }
  sleepUntil(pace.due);
  try {
    iterate();
  } finally {
    pace.due = Math.max(pace.due + pacing, now());
  }
  const next = pace.due - Math.min(100, pacing / 2);
  sleepUntil(pace.due < pace.gone ? next : pace.last);
}

// A VU that k6 has just started: its place among the scenario's, and when its
// first iteration is due. The golden ratio spreads any number of VUs nearly
// evenly over the pacing.
function firstPace(scenario, pacing, now) {
  const changes = vusOverTime(scenario);
  let [since, first, many] = [0, 0, 1];
  changes.forEach(([at, vus], index) => {
    const before = index > 0 ? changes[index - 1][1] : 0;
    if (at <= now + 1 && vus > before) {
      [since, first, many] = [at, before, vus - before];
    }
  });
  const place = first + (exec.scenario.iterationInTest % many);
  const moment = pacing * ((place * 0.6180339887498949) % 1);
  const wait = (((moment - since) % pacing) + pacing) % pacing;
  return { place, due: since + wait, ...leaving(scenario, place, since) };
}

// When the VU at a place must go, and when its last iteration has to end: where
// k6 starts no other, or where its grace is too short for that, just before.
function leaving(scenario, place, now) {
  const changes = vusOverTime(scenario);
  const [end] = changes[changes.length - 1];
  const takesIt = ([at, vus]) => at > now && vus <= place;
  const [gone] = changes.find(takesIt) || [end];
  const { gracefulStop, gracefulRampDown } = scenario;
  const down = gone < end ? gone + gracefulRampDown : Infinity;
  const killed = Math.min(down, end + gracefulStop);
  return { gone, last: killed > gone + 200 ? gone + 100 : gone - 100 };
}

// How many VUs a scenario has from when on: [ms from its start, VUs].
function vusOverTime({ startVUs, stages, vus, duration, maxDuration }) {
  const line = stages || [{ duration: duration || maxDuration, target: vus }];
  let [end, level] = [0, stages ? startVUs : vus];
  const changes = [[0, level]];
  for (const stage of line) {
    const many = Math.abs(stage.target - level);
    const up = Math.sign(stage.target - level);
    // One VU after the other; a stage of no length is a jump.
    for (let n = stage.duration > 0 ? 1 : many || 1; n <= many; n += 1) {
      changes.push([end + (stage.duration * n) / many, level + up * n]);
    }
    end += stage.duration;
    level = stage.target;
  }
  return [...changes, [end, 0]];
}""",
    frozenset({"exec", "sleep"}),
)
"""`paced(iterate)`: runs `iterate()` as its scenario's pacing has it, at once where it has none. It reads two
constants: `SCENARIOS`, the object given to k6 as `options.scenarios` (in VUs, k6 puts its own in that place),
and `PACING`, each paced scenario's pacing in seconds."""


def pacing_of(plan: Plan) -> dict[str, Literal]:
    """What `PACING` holds: seconds by scenario, of those loads that have one."""
    return {load.name: _seconds(load.pacing_ns) for load in plan.loads if load.pacing_ns}


def _seconds(ns: int) -> Literal:
    whole, rest = divmod(ns, 1_000_000_000)
    return ns / 1_000_000_000 if rest else whole
