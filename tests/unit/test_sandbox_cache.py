"""The sandbox's cache of one value, under a clock that the test holds."""

from __future__ import annotations

import gc
import weakref

from ecoload.sandbox.common.cache import Cached


class Hand:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_there_before_something_was_put() -> None:
    cached: Cached[str] = Cached(60.0, Hand())
    assert cached.get() is None
    assert cached.age_s() is None


def test_a_value_is_there_until_its_time_is_over() -> None:
    clock = Hand()
    cached: Cached[str] = Cached(3600.0, clock)
    cached.put("sitemap")
    clock.now += 3599.5
    assert cached.get() == "sitemap"
    assert cached.age_s() == 3599.5
    clock.now += 0.5
    assert cached.get() is None
    assert cached.age_s() is None


def test_putting_again_starts_the_time_again() -> None:
    clock = Hand()
    cached: Cached[str] = Cached(10.0, clock)
    cached.put("first")
    clock.now += 9.0
    cached.put("second")
    clock.now += 9.0
    assert cached.get() == "second"
    assert cached.age_s() == 9.0


def test_reading_does_not_make_it_last_longer() -> None:
    clock = Hand()
    cached: Cached[str] = Cached(10.0, clock)
    cached.put("value")
    for _ in range(9):
        clock.now += 1.0
        assert cached.get() == "value"
    clock.now += 1.0
    assert cached.get() is None


def test_what_was_cleared_is_gone_at_once() -> None:
    cached: Cached[str] = Cached(10.0, Hand())
    cached.put("value")
    cached.clear()
    assert cached.get() is None
    assert cached.age_s() is None


def test_an_empty_value_is_a_value() -> None:
    cached: Cached[bytes] = Cached(10.0, Hand())
    cached.put(b"")
    assert cached.get() == b""
    assert cached.age_s() == 0.0


def test_what_is_too_old_is_let_go() -> None:
    class Large:
        pass

    clock = Hand()
    cached: Cached[Large] = Cached(10.0, clock)
    value = Large()
    kept = weakref.ref(value)
    cached.put(value)
    del value
    clock.now += 10.0
    assert cached.get() is None
    gc.collect()
    assert kept() is None
