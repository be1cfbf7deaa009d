"""The live view of a run, on standard error: a panel on a terminal, a line now and then elsewhere.

Rules
-----
- Drawn once a second, when the interval comes; nothing is drawn between.
- Standard output is left to the result.
- Names from files are text, never markup.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ecoload.guard.peaks import total_duration_ns
from ecoload.measure.histogram import Histogram, Sparse
from ecoload.measure.interval import Interval
from ecoload.plan import Plan
from ecoload.report.forms import NOTHING, clean, ms, rate, span, whole
from ecoload.report.planned import planned_rate

LINE_EVERY_S = 5
WIDEST = 110
_BARS = "▁▂▃▄▅▆▇█"
_PERCENTILES = (0.5, 0.95, 0.99)


class SilentView:
    """Shows nothing."""

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None: ...

    def second(self, interval: Interval) -> None: ...

    def end(self) -> None: ...


class LineView:
    """One plain line each `LINE_EVERY_S` seconds: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None:
        self._length_s = total_duration_ns(plan, grace=False) / 1e9
        self._next_s = float(LINE_EVERY_S)
        self._totals = _Totals()
        self._print(f"{_title(plan)} · {_target(plan)} · {span(self._length_s)} · run {run_id}")

    def second(self, interval: Interval) -> None:
        self._totals.add(interval)
        elapsed = interval.end_ns / 1e9
        if elapsed < self._next_s - 0.5:
            return
        self._next_s += LINE_EVERY_S
        p50, p95, p99 = _percentiles(interval.response())
        tick = interval.tick
        self._print(
            f"{span(round(elapsed))} of {span(self._length_s)}"
            f"{' · warming up' if interval.warming_up else ''}"
            f" · {rate(_per_second(interval))}/s · P50 {p50} P95 {p95} P99 {p99} ms"
            f" · VUs {whole(tick.vus_active)}/{whole(tick.vus)} · queued {whole(tick.queued)}"
            f" · errors {whole(self._totals.errors)} · dropped {whole(tick.dropped_iterations)}"
        )

    def end(self) -> None: ...

    def _print(self, line: str) -> None:
        self._console.print(Text(clean(line)), soft_wrap=True)


class PanelView:
    """A panel that is drawn anew each second and goes away at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None:
        self._plan, self._run_id = plan, run_id
        self._length_s = total_duration_ns(plan, grace=False) / 1e9
        self._planned = planned_rate(plan)
        self._totals = _Totals()
        self._rates: deque[float] = deque(maxlen=WIDEST)
        self._p95s: deque[float] = deque(maxlen=WIDEST)
        self._live = Live(
            self._panel(None), console=self._console, auto_refresh=False, transient=True, screen=False
        )
        self._live.start(refresh=True)

    def second(self, interval: Interval) -> None:
        self._totals.add(interval)
        self._rates.append(_per_second(interval))
        response = interval.response()
        self._p95s.append(response.percentile(0.95) / 1000 if response.total else 0.0)
        if self._live is not None:
            self._live.update(self._panel(interval), refresh=True)

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _panel(self, interval: Interval | None) -> Panel:
        # Room for `^C^C`, which a terminal echoes behind the last line: a wrap would leave a line behind.
        width = min(self._console.width - 4, WIDEST)
        body: list[Table | Text] = [
            Text(clean(_target(self._plan)), "dim", overflow="ellipsis", no_wrap=True)
        ]
        body.append(self._progress(interval, width - 4))
        if interval is None:
            body.append(Text("\nstarting …", "dim"))
        else:
            body += [Text(), self._latencies(interval, width - 4), Text(), self._counts(interval)]
        return Panel(
            Group(*body),
            title=Text(clean(_title(self._plan)), "bold"),
            title_align="left",
            subtitle=Text(clean(self._run_id), "dim"),
            subtitle_align="right",
            box=box.ROUNDED,
            border_style="dim",
            width=width,
        )

    def _progress(self, interval: Interval | None, width: int) -> Table:
        elapsed = interval.end_ns / 1e9 if interval else 0.0
        left = self._length_s - elapsed
        word = f"{span(round(left))} left" if left >= 0.5 else "ending gracefully"
        if interval is not None and interval.warming_up:
            word = f"warming up · {word}"
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        done = min(elapsed, self._length_s)
        text = Text(f"{span(round(done))} of {span(self._length_s)} · {word}")
        bar = ProgressBar(max(self._length_s, 0.001), done, complete_style="cyan", finished_style="green")
        grid.add_row(bar, text)
        return grid

    def _latencies(self, interval: Interval, width: int) -> Table:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        for _ in _PERCENTILES:
            grid.add_column(justify="right", min_width=7, no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_row(Text("ms"), *(Text(name, "dim") for name in ("P50", "P95", "P99")), Text())
        room = max(8, width - 50)
        p95s = Text.assemble(("P95  ", "dim"), (sparkline(self._p95s, room), "magenta"))
        rates = Text.assemble(("rate ", "dim"), (sparkline(self._rates, room), "cyan"))
        response, service = _percentiles(interval.response()), _percentiles(interval.service())
        grid.add_row("response time", *(Text(text, "bold") for text in response), p95s)
        grid.add_row("service time", *(Text(text) for text in service), rates)
        return grid

    def _counts(self, interval: Interval) -> Table:
        tick, totals = interval.tick, self._totals
        grid = Table.grid(padding=(0, 2))
        for _ in range(4):
            grid.add_column(no_wrap=True, min_width=16)
        planned = "" if self._planned is None else f" of {rate(self._planned(interval.end_ns / 1e9 - 0.5))}"
        starts = max(0, tick.iterations_started - totals.started_before) / max(interval.seconds, 1e-9)
        grid.add_row(
            _count("rate", f"{rate(_per_second(interval))}/s"),
            _count("starts", f"{rate(starts)}{planned}/s"),
            _count("VUs", f"{whole(tick.vus_active)} busy of {whole(tick.vus)}"),
            _count("queued", whole(tick.queued), "yellow" if tick.queued else ""),
        )
        grid.add_row(
            _count("requests", whole(totals.requests)),
            _count("errors", whole(totals.errors), "bold red" if totals.errors else ""),
            _count("dropped", whole(tick.dropped_iterations), "bold red" if tick.dropped_iterations else ""),
            _count("late", whole(tick.late_starts), "yellow" if tick.late_starts else ""),
        )
        return grid


def sparkline(values: Iterable[float], width: int) -> str:
    """The last `width` values as bars from 0 to the greatest of them."""
    last = list(values)[-width:]
    top = max(last, default=0.0)
    if top <= 0:
        return _BARS[0] * len(last)
    return "".join(_BARS[min(7, int(value / top * 7.999))] for value in last)


class _Totals:
    """What the intervals so far add up to. `started_before`: iterations started before the last one."""

    def __init__(self) -> None:
        self.requests = self.errors = self.started_before = self._started = 0

    def add(self, interval: Interval) -> None:
        self.requests += interval.count()
        self.errors += interval.errors()
        self.started_before, self._started = self._started, interval.tick.iterations_started


def _count(label: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{label} ", "dim"), (text, style))


def _per_second(interval: Interval) -> float:
    requests = interval.count() or interval.warm_up_requests
    return requests / interval.seconds if interval.seconds > 0 else 0.0


def _percentiles(histogram: Histogram | Sparse) -> tuple[str, ...]:
    if not histogram.total:
        return (NOTHING,) * len(_PERCENTILES)
    return tuple(ms(us / 1000) for us in histogram.percentiles(_PERCENTILES))


def _title(plan: Plan) -> str:
    return f"{plan.app} · {plan.profile}"


def _target(plan: Plan) -> str:
    origin = next((one for one in plan.origins if one.app == plan.app), plan.origins[0])
    place = f"{origin.scheme}://{origin.authority}"
    namespace = plan.protocol.namespace
    access = f"writes in {origin.writes}" if origin.writes else f"read-only · namespace {namespace}"
    kind = "embedded sandbox" if origin.embedded else origin.environment
    return f"{place} · {kind} · {access}"


def live_console() -> Console:
    """Standard error, with colour where it is a terminal and NO_COLOR is not set."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)
