"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  if (!data.at.length) return;
  const ALL = "*";
  const chooser = document.getElementById("route");
  const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const together = uPlot.sync("seconds");
  let plots = [];

  const figure = (value) => value == null ? "–"
    : value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
  const clock = (seconds) => {
    const whole = Math.round(seconds), hours = Math.floor(whole / 3600);
    const minutes = Math.floor(whole / 60) % 60, rest = whole % 60;
    if (hours) return `${hours}h ${String(minutes).padStart(2, "0")}m${rest ? ` ${rest}s` : ""}`;
    return minutes ? `${minutes}m${rest ? ` ${String(rest).padStart(2, "0")}s` : ""}` : `${rest}s`;
  };
  // A second between two gaps has no line: it gets a dot.
  const alone = (u, index) => {
    const values = u.data[index], found = [];
    values.forEach((value, i) => {
      if (value != null && values[i - 1] == null && values[i + 1] == null) found.push(i);
    });
    return found.length ? found : null;
  };
  const line = (label, color, more = {}) => ({
    label, stroke: tone(color), width: 1.6, value: (_, value) => figure(value),
    points: { show: false, filter: alone, size: 6, fill: tone(color) }, ...more,
  });
  const axis = (more = {}) => ({
    stroke: tone("--quiet"), grid: { stroke: tone("--grid"), width: 1 }, ticks: { stroke: tone("--grid"), width: 1 },
    font: "12px system-ui, sans-serif", ...more,
  });
  const ground = (_, low, high) => [0, high > 0 ? high * 1.08 : 1];

  const spans = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
  const seconds = () => axis({ size: 34, space: 64, incrs: spans, values: (_, ticks) => ticks.map(clock) });
  const counts = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((n) => [n, 2 * n, 5 * n]);
  const time = { time: false, range: (_, low, high) => [low <= 1 ? 0 : low, high] };

  function draw(id, series, columns, { name = clock, ...more } = {}) {
    const place = document.getElementById(id);
    place.replaceChildren();
    const options = {
      width: place.clientWidth, height: 236,
      legend: { live: true, markers: { width: 0, fill: (u, i) => u.series[i].stroke(u, i) } },
      cursor: { sync: { key: together.key }, focus: { prox: 24 }, points: { size: 7 } },
      series: [{ label: "at", value: (_, value) => value == null ? "–" : name(value) }, ...series],
      scales: { x: time, y: { range: ground } },
      axes: [seconds(), axis({ size: 58, values: (_, t) => t.map(figure) })],
      ...more,
    };
    plots.push(new uPlot(options, columns, place));
  }

  // One route: response beside service time. All routes: the response time of each, since percentiles
  // of routes cannot be added up.
  function curve(route) {
    const own = data.routes[route];
    const named = (x) => `P${+(100 - 100 / x).toFixed(3)}`;
    const dots = (color, more) => ({ points: { show: true, size: 6, fill: tone(color) }, spanGaps: true, ...more });
    const colors = ["--c1", "--c2", "--c3", "--c5", "--c4"];
    const lines = own
      ? [["response", own.response, "--c2", {}], ["service", own.service, "--c4", { dash: [5, 4] }]]
      : Object.entries(data.routes).slice(0, colors.length).map(([name, found], i) => [name, found.response, colors[i], {}]);
    const points = (list) => [list.map(([p]) => 1 / (1 - p / 100)), list.map(([, ms]) => ms)];
    const ticks = [2, 10, 20, 100, 1000];
    draw("curve", lines.map(([label, , color, more]) => line(label, color, dots(color, more))),
      uPlot.join(lines.map(([, list]) => points(list))), {
        name: named,
        scales: { x: { time: false, distr: 3, log: 10, range: () => [1.8, 1150] }, y: { range: ground } },
        cursor: { focus: { prox: 24 }, points: { size: 7 } },
        axes: [axis({ size: 34, splits: () => ticks, filter: (_, splits) => splits,
          values: (_, splits) => splits.map(named) }), axis({ size: 58, values: (_, t) => t.map(figure) })],
      });
  }

  function show() {
    plots.forEach((plot) => plot.destroy());
    plots = [];
    const route = chooser.value;
    const run = data.courses[ALL], own = data.courses[route] || run;
    const latency = [line("P50", "--c1"), line("P95", "--c2", { width: 2 }), line("P99", "--c3"),
      line("service P95", "--c4", { dash: [5, 4] })];
    const columns = [data.at, own.p50_ms, own.p95_ms, own.p99_ms, own.service_p95_ms];
    const limit = data.routes[route] && data.routes[route].p95_limit;
    if (limit != null) {
      latency.push(line("P95 level", "--fail", { width: 1.2, dash: [2, 3] }));
      columns.push(data.at.map(() => limit));
    }
    draw("latency", latency, columns);
    const load = [line("requests", "--c1", { width: 2 })], rates = [data.at, own.rps];
    if (route === ALL || !data.courses[route]) {
      load.push(line("started", "--c5"));
      rates.push(run.iterations_started);
    }
    if (run.planned) {
      load.push(line("planned", "--c4", { dash: [5, 4] }));
      rates.push(run.planned);
    }
    load.push(line("VUs", "--c2", { scale: "vus", width: 1.2 }));
    rates.push(run.vus_active);
    draw("load", load, rates, {
      scales: { x: time, y: { range: ground }, vus: { range: ground } },
      axes: [seconds(), axis({ size: 58, values: (_, t) => t.map(figure) }),
        axis({ side: 1, scale: "vus", incrs: counts, size: 48, grid: { show: false }, values: (_, t) => t.map(figure) })],
    });
    draw("trouble", [line("errors", "--fail", { width: 2, fill: tone("--fail-ground") }), line("dropped", "--c3"),
      line("queued", "--c4", { dash: [5, 4] })], [data.at, own.errors, run.dropped_iterations, run.queued], {
      axes: [seconds(), axis({ size: 58, incrs: counts, values: (_, t) => t.map(figure) })],
    });
    curve(route);
  }

  show();
  chooser.addEventListener("change", show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(show, 120);
  });
})();
