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
  const line = (label, color, more = {}) => ({
    label, stroke: tone(color), width: 1.6, points: { show: false }, value: (_, value) => figure(value), ...more,
  });
  const axis = (more = {}) => ({
    stroke: tone("--quiet"), grid: { stroke: tone("--grid"), width: 1 }, ticks: { stroke: tone("--grid"), width: 1 },
    font: "12px system-ui, sans-serif", ...more,
  });
  const ground = (_, low, high) => [0, high > 0 ? high * 1.08 : 1];

  function draw(id, series, columns, more = {}) {
    const place = document.getElementById(id);
    place.replaceChildren();
    const options = {
      width: place.clientWidth, height: 236,
      legend: { live: true },
      cursor: { sync: { key: together.key }, focus: { prox: 24 }, points: { size: 7 } },
      series: [{ label: "at", value: (_, value) => value == null ? "–" : clock(value) }, ...series],
      scales: { x: { time: false }, y: { range: ground } },
      axes: [axis({ values: (_, ticks) => ticks.map(clock) }), axis({ size: 58, values: (_, t) => t.map(figure) })],
      ...more,
    };
    const plot = new uPlot(options, columns, place);
    plots.push(plot);
  }

  function curve(route) {
    const place = document.getElementById("curve");
    const found = data.routes[route];
    if (!found) {
      const note = document.createElement("p");
      note.className = "quiet";
      note.textContent = "Percentiles of routes cannot be added up: choose one route.";
      place.replaceChildren(note);
      return;
    }
    const points = (list) => [list.map(([p]) => 1 / (1 - p / 100)), list.map(([, ms]) => ms)];
    const columns = uPlot.join([points(found.response), points(found.service)]);
    const named = (x) => `P${+(100 - 100 / x).toFixed(3)}`;
    const dots = (color) => ({ points: { show: true, size: 5, fill: tone(color) }, spanGaps: true });
    const ticks = [2, 10, 20, 100, 1000, 10000];
    draw("curve", [line("response", "--c2", dots("--c2")), line("service", "--c4", { ...dots("--c4"), dash: [5, 4] })],
      columns, {
        scales: { x: { time: false, distr: 3, log: 10, range: (_, low, high) => [2, Math.max(high, 100)] },
          y: { range: ground } },
        cursor: { focus: { prox: 24 }, points: { size: 7 } },
        series: [{ label: "at", value: (_, x) => x == null ? "–" : named(x) },
          line("response", "--c2", dots("--c2")), line("service", "--c4", { ...dots("--c4"), dash: [5, 4] })],
        axes: [axis({ splits: (u) => ticks.filter((x) => x <= u.scales.x.max), filter: (_, s) => s,
          values: (_, s) => s.map(named) }), axis({ size: 58, values: (_, t) => t.map(figure) })],
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
      scales: { x: { time: false }, y: { range: ground }, vus: { range: ground } },
      axes: [axis({ values: (_, ticks) => ticks.map(clock) }), axis({ size: 58, values: (_, t) => t.map(figure) }),
        axis({ side: 1, scale: "vus", size: 48, grid: { show: false }, values: (_, t) => t.map(figure) })],
    });
    draw("trouble", [line("errors", "--fail", { width: 2, fill: tone("--fail-ground") }), line("dropped", "--c3"),
      line("queued", "--c4", { dash: [5, 4] })], [data.at, own.errors, run.dropped_iterations, run.queued]);
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
