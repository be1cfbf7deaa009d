"""How the generator's own seconds add up to what its validity is judged by."""

from __future__ import annotations

from ecoload.measure.generator import GeneratorWatch
from ecoload.measure.histogram import Histogram
from ecoload.measure.interval import Tick

SECOND = 1_000_000_000


def watch(shares: list[float], warm_up_s: int = 0) -> GeneratorWatch:
    """A generator that used these shares of its core, a second each, after a first one nobody knows."""
    found = GeneratorWatch()
    last = Tick(at_ns=0)
    for number, share in enumerate([0.1, *shares], start=1):
        cpu_ns = last.cpu_ns + int(share * SECOND)
        tick = Tick(at_ns=number * SECOND, cpu_ns=cpu_ns, lag_max_ns=int(share * 1_000_000))
        found.add_second(last, tick, 0, warming_up=number <= warm_up_s)
        last = tick
    return found


def test_seconds_above_90_percent_of_a_core_are_counted() -> None:
    figures = watch([0.5, 0.95, 1.0]).figures(Histogram(), 4.0)
    assert (figures.seconds, figures.hot_seconds) == (3, 2)


def test_a_hot_start_inside_the_warm_up_says_nothing_about_the_figures() -> None:
    figures = watch([1.0, 1.0, 0.5, 0.5], warm_up_s=3).figures(Histogram(), 2.0)
    assert (figures.seconds, figures.hot_seconds) == (2, 0)
    assert figures.cpu_share == 0.5
    assert figures.lag_max_ns == 500_000


def test_the_share_of_time_the_loop_was_held_up_is_of_the_measured_time() -> None:
    assert watch([1.0, 1.0], warm_up_s=2).figures(Histogram(), 1.0).lag_share == 0.001
