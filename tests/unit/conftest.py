"""What holds for all unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from ecoload.engine import worker


@pytest.fixture(scope="session", autouse=True)
def _no_collections() -> Iterator[None]:
    """A worker collects garbage before its load, for its process is its own. Here hundreds of workers live
    in one process, beside all that pytest holds: nine tenths of the engine's tests went into that."""

    def nothing() -> int:
        return 0

    calls = dict.fromkeys(("collect", "freeze", "unfreeze", "enable", "disable"), nothing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "gc", SimpleNamespace(**calls))
        yield
