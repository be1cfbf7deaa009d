"""What a Python scenario is given: the VU it runs as, and the answers to its requests.

Rules
-----
- This is public: `ecoload.VU` is `ScenarioVU`. Names here change only on purpose.
- The scenario reaches nothing but declared routes, and sees nothing of the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from ecoload.engine.answers import Answer
from ecoload.engine.calls import NOTHING, Ask
from ecoload.measure.outcome import Outcome

if TYPE_CHECKING:
    from ecoload.engine.task_driver import TaskVU

TIMEOUT_S = 60.0


class Response:
    """The answer to a request, the last one where redirects were followed.

    `outcome` is the published name of what became of it (`ok`, `http_error`, `timeout`, …), `ok` True
    for the first of them. `status` is 0 where there was no answer. `headers` have lower-case names,
    repeated ones joined by a comma; `body` is decoded.
    """

    __slots__ = ("_raw", "body", "outcome", "status")

    def __init__(self, answer: Answer, outcome: int, body: bytes) -> None:
        self.outcome = Outcome(outcome).label
        self.status = answer.status
        self.body = body
        self._raw = tuple(answer.headers)

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"

    @property
    def headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for raw_name, raw in self._raw:
            name, value = raw_name.decode("latin-1").lower(), raw.decode("latin-1")
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises ValueError where it is none."""
        return orjson.loads(self.body)


class ScenarioVU:
    """What a Python scenario is given: `async def iteration(vu: ecoload.VU) -> None`."""

    __slots__ = ("_vu",)

    def __init__(self, vu: TaskVU) -> None:
        self._vu = vu

    @property
    def number(self) -> int:
        """The VU's number, from 1; 0 in setup and teardown."""
        return self._vu.number

    @property
    def iteration(self) -> int:
        """The VU's iterations before this one."""
        return max(0, self._vu.iterations - 1)

    @property
    def data(self) -> Mapping[str, Any]:
        """The feeder's record of this iteration; empty without a feeder."""
        return self._vu.record

    @property
    def namespace(self) -> str:
        """The namespace that writes stand in (`protocol.namespace` of targets.yaml)."""
        return self._vu.program.namespace

    @property
    def run_id(self) -> str:
        return self._vu.program.run_id

    def uuid(self) -> str:
        """A UUID that follows from seed, run id, VU, iteration and how many were made before."""
        return self._vu.make_uuid()

    async def request(
        self,
        route: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        json: Any = NOTHING,
        form: Mapping[str, Any] | None = None,
        text: str | None = None,
        check: Mapping[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Response:
        """Sends a declared route (`name` of the scenario's own app, or `app.name`) and records it.

        `path` fills the placeholders of the route's path; `check` is as in YAML (`status`, `headers`,
        `json`, `body`). Never raises for the network. Raises UsageError and GuardRefused for what the
        scenario must not ask for.
        """
        given = path or {}, query or {}, headers or {}, json, form, text, check or {}, timeout_s
        return await self._vu.ask(Ask(route, *given))

    async def sleep(self, seconds: float) -> None:
        """Think time: the next request is due when it is over."""
        await self._vu.think(max(0, round(seconds * 1e9)))
