"""`handleSummary` of a script: the figures as JSON (schema `ecoload.k6/1`), and a short table of them.

Rules
-----
- The JSON has exactly the fields of `measure/k6_summary.py`. What k6 has no sample of is null, never 0.
- A route is one that a threshold asks for: `http_reqs{name:ROUTE}`. They come in the order of `THRESHOLDS`,
  which is the plan's; k6 puts the thresholds of the options in another.
- The token that `setup()` returned goes nowhere.
"""

from __future__ import annotations

HANDLE_SUMMARY = """\
export function handleSummary(data) {
  if (!data.setup_data) {
    return {}; // setup() refused, and k6 has said why
  }
  const summary = summaryOf(data);
  const own = SCRIPT.replace(/\\.js$/, ".summary.json");
  const file = __ENV.ECOLOAD_SUMMARY || own;
  return {
    stdout: table(summary, file),
    [file]: `${JSON.stringify(summary, null, 2)}\\n`,
  };
}

// The figures in the form that `ecoload import k6-summary` reads.
function summaryOf({ metrics, setup_data: run, state }) {
  const seconds = (state.testRunDurationMs - run.setupMs) / 1000;
  const names = Object.keys(THRESHOLDS);
  const routes = names
    .map((metric) => /^http_reqs\\{name:([^,}]+)\\}$/.exec(metric))
    .filter((found) => found !== null)
    .map(([, route]) => routeOf(metrics, route, seconds));
  const thresholds = names.flatMap((metric) =>
    Object.entries(metrics[metric]?.thresholds ?? {})
      .filter(([expression]) => !expression.endsWith(">=0"))
      .map(([expression, { ok }]) => ({ metric, expression, ok })),
  );
  return {
    schema: "ecoload.k6/1",
    script: SCRIPT,
    app: APP,
    profile: PROFILE,
    spec_hash: SPEC_HASH,
    run_id: run.id,
    started_at: run.started,
    duration_s: seconds,
    duration_scale: SCALE,
    requests: routes.reduce((sum, { requests }) => sum + requests, 0),
    iterations: metrics.iterations?.values.count ?? 0,
    dropped_iterations: metrics.dropped_iterations?.values.count ?? 0,
    vus_max: metrics.vus_max?.values.max ?? 0,
    checks_passed: metrics.checks?.values.passes ?? 0,
    checks_failed: metrics.checks?.values.fails ?? 0,
    routes,
    thresholds,
  };
}

function routeOf(metrics, route, seconds) {
  const requests = metrics[`http_reqs{name:${route}}`].values.count;
  const errors = metrics[`errors{name:${route}}`].values;
  const latency =
    metrics[`http_req_duration{name:${route},expected_response:true}`].values;
  const ms = (statistic) => (latency.count > 0 ? latency[statistic] : null);
  return {
    route,
    requests,
    errors: errors.passes,
    error_rate: errors.passes + errors.fails > 0 ? errors.rate : null,
    rps: requests / seconds,
    timeouts: metrics[`timeouts{name:${route}}`]?.values.count ?? null,
    service_ms: {
      p50: ms("med"),
      p90: ms("p(90)"),
      p95: ms("p(95)"),
      p99: ms("p(99)"),
      max: ms("max"),
      mean: ms("avg"),
    },
  };
}

function table(summary, file) {
  const row = (name, ...cells) =>
    name.padEnd(24) + cells.map((cell) => `${cell}`.padStart(10)).join("");
  const ms = (value) => (value === null ? "-" : value.toFixed(1));
  const failed = summary.thresholds.filter(({ ok }) => !ok);
  return [
    `${summary.app} ${summary.profile}, run ${summary.run_id}: ` +
      `${summary.iterations} iterations in ${summary.duration_s.toFixed(1)} s, ` +
      `${summary.dropped_iterations} dropped`,
    row("route", "requests", "errors", "p50 ms", "p95 ms", "p99 ms"),
    ...summary.routes.map(({ route, requests, errors, service_ms: of }) =>
      row(route, requests, errors, ms(of.p50), ms(of.p95), ms(of.p99)),
    ),
    ...failed.map(({ metric, expression }) => `FAIL ${metric} ${expression}`),
    `${failed.length === 0 ? "all thresholds hold" : `${failed.length} thresholds failed`}; ${file}`,
    "",
  ].join("\\n");
}"""
