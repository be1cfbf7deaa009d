"""ecoload: a load engine and performance-protocol runner.

`ecoload.VU` is what a Python scenario is given: `async def iteration(vu: ecoload.VU) -> None`. It is
looked up when it is first asked for, so that the import of the package stays free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecoload.engine.task_driver import ScenarioVU as VU

__version__ = "0.1.0"
__all__ = ["VU", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "VU":
        from ecoload.engine.task_driver import ScenarioVU

        return ScenarioVU
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
