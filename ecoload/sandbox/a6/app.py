"""A6, the provider portal: providers register, go from Lead to Live, and are billed for their contracts.

Rules
-----
- Providers are made up: an address of theirs is in a domain that is reserved for tests and examples.
- The API is strict: a field that is not known is refused, so that a slip in its name is not lost.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiohttp import web

from ecoload.sandbox.a6.billing import AI_MARKUP, FEE_BASIS_POINTS, MOST_CENTS, Bill, bill, is_cents, spoiled
from ecoload.sandbox.a6.contracts import Origin
from ecoload.sandbox.a6.funnel import SCHEMA, STAGES, Funnel, Registration
from ecoload.sandbox.common.behaviour import LogNormal
from ecoload.sandbox.common.emitter import Emitter
from ecoload.sandbox.common.pages import asset_routes, page
from ecoload.sandbox.common.peers import Peers
from ecoload.sandbox.common.problems import (
    NAME_RULE,
    NAMESPACE,
    Problem,
    answer,
    is_name,
    json_object,
    lineage_of,
    query_int,
    run_of,
)
from ecoload.sandbox.common.service import App, Config
from ecoload.sandbox.common.states import STATES
from ecoload.sandbox.common.store import Store

MAX_PAGE = 500
MAX_NAME = 200

_MAX_INT = 2**53
_EMAIL = re.compile(
    r"[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9-]{1,63}\.){0,3}(example\.com|[A-Za-z0-9-]{1,63}\.(test|example))"
)
_READ = LogNormal(6, 15)

Document = dict[str, Any]


class ProviderPortal(App):
    """The app; its state is `a6.db` in its folder."""

    laws: Mapping[str, LogNormal] = {
        "register": LogNormal(30, 70),
        "stage": LogNormal(20, 50),
        "billing": LogNormal(15, 40),
        **dict.fromkeys(("provider", "providers", "contract", "rates", "portal"), _READ),
    }
    protected = frozenset(laws) - {"portal"}
    special_faults = frozenset({"wrong_fee", "float_rounding"})
    needs = ("a2",)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._store = Store(config.folder / "a6.db", SCHEMA)
        self._emitter = Emitter(self._store, config.app, config.internal_token)
        self._funnel = Funnel(self._store, self._emitter)
        self._chance = random.Random(f"{config.seed}/a6/billing")

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/", self._portal, name="portal"),
            web.post("/register", self._register, name="register"),
            web.get("/api/providers", self._providers, name="providers"),
            web.get("/api/providers/{provider_id}", self._provider, name="provider"),
            web.post("/api/providers/{provider_id}/stage", self._stage, name="stage"),
            web.post("/api/billing", self._billing, name="billing"),
            web.get("/api/billing", self._contract, name="contract"),
            web.get("/api/billing/rates", self._rates, name="rates"),
            *asset_routes(),
        ]

    async def checks(self) -> dict[str, Any]:
        return {"outbox_pending": await self._emitter.pending(), "database": "ok"}

    async def connect(self, peers: Peers) -> None:
        self._emitter.start(peers)

    async def close(self) -> None:
        await self._emitter.close()
        await self._store.close()

    async def clean_up(self, run_id: str | None) -> dict[str, int]:
        return await self._funnel.clean_up(run_id)

    # --- providers --------------------------------------------------------------------------------------

    async def _register(self, request: web.Request) -> web.Response:
        key = request.headers.get("Idempotency-Key")
        if key is not None and not is_name(key):
            raise Problem(422, f"Idempotency-Key: must be {NAME_RULE}")
        registration = parse_registration(await json_object(request))
        return answer(
            await self._funnel.register(registration, key, lineage_of(request), run_of(request)), status=201
        )

    async def _stage(self, request: web.Request) -> web.Response:
        to, contract = parse_step(await json_object(request))
        contract = contract and self._billed(contract)
        provider_id = request.match_info["provider_id"]
        return answer(await self._funnel.advance(_asked(provider_id), to, contract, run_of(request)))

    async def _provider(self, request: web.Request) -> web.Response:
        return answer(await self._funnel.provider(_asked(request.match_info["provider_id"])))

    async def _providers(self, request: web.Request) -> web.Response:
        stage = request.query.get("stage")
        if stage is not None and stage not in STAGES:
            raise Problem(400, f"stage must be one of {', '.join(STAGES)}")
        after = query_int(request, "after", 0, _MAX_INT)
        limit = max(1, query_int(request, "limit", 100, MAX_PAGE))
        found = await self._funnel.providers(stage, after, limit + 1)
        shown = found[:limit]
        following = shown[-1]["sequence"] if len(found) > limit else None
        return answer({"providers": shown, "next": following})

    # --- bills ------------------------------------------------------------------------------------------

    async def _billing(self, request: web.Request) -> web.Response:
        contract_id, contract = parse_contract(await json_object(request))
        origin = Origin(lineage_of(request), run_of(request))
        return answer(await self._funnel.bill(contract_id, self._billed(contract), origin))

    def _billed(self, right: Bill) -> Bill:
        """The bill as it is made, faults and all."""
        faults = self.faults
        wrong_fee, rounding = self._happens(faults.wrong_fee), self._happens(faults.float_rounding)
        if not (wrong_fee or rounding):
            return right
        return spoiled(right, wrong_fee=wrong_fee, float_rounding=rounding)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._chance.random() < share

    async def _contract(self, request: web.Request) -> web.Response:
        contract_id = request.query.get("contract_id")
        if not is_name(contract_id):
            raise Problem(422, f"contract_id: must be given, {NAME_RULE}")
        return answer(await self._funnel.contract(str(contract_id)))

    async def _rates(self, request: web.Request) -> web.Response:
        return answer({"fee_basis_points": FEE_BASIS_POINTS, "ai_markup": AI_MARKUP})

    async def _portal(self, request: web.Request) -> web.Response:
        counts = await self._funnel.counts()
        return page(
            "a6_portal.html",
            counts=counts,
            fee_percent=FEE_BASIS_POINTS // 100,
            ai_markup=AI_MARKUP,
            example=bill(100_000, 1_000),
        )


def parse_registration(document: Document) -> Registration:
    """The registration of a JSON object; a Problem with everything that is wrong."""
    wrong = _unknown(document, {"namespace", "provider", "email"})
    provider = document.get("provider")
    if not isinstance(provider, dict):
        provider = {}
        wrong.append("provider: must be an object")
    wrong += [f"provider.{reason}" for reason in _unknown(provider, {"name", "kind", "state"})]
    name, kind, state = provider.get("name"), provider.get("kind"), provider.get("state")
    if not (isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= MAX_NAME):
        wrong.append(f"provider.name: must be a text of 1 to {MAX_NAME} printable characters")
    if kind is not None and not is_name(kind):
        wrong.append(f"provider.kind: must be {NAME_RULE}")
    if state is not None and not (isinstance(state, str) and state in STATES):
        wrong.append("provider.state: must be the two letters of a state")
    email = document.get("email")
    if email is not None and not (isinstance(email, str) and _EMAIL.fullmatch(email)):
        wrong.append("email: must be an address in example.com or under .test or .example")
    _refuse(document, wrong, "the registration is not valid")
    return Registration(str(name), kind, state, email)


def parse_step(document: Document) -> tuple[str, Bill | None]:
    """The stage to go to, and the bill of a contract; a Problem with everything that is wrong."""
    to = document.get("to")
    with_contract = to == "contract"
    wrong = _unknown(document, {"namespace", "to"} | ({"contract"} if with_contract else set()))
    if not (isinstance(to, str) and to in STAGES):
        wrong.append(f"to: must be one of {', '.join(STAGES)}")
    contract = document.get("contract")
    if with_contract and not isinstance(contract, dict):
        wrong.append("contract: must be an object with amount_cents and ai_cost_cents")
        contract = None
    billed = None
    if with_contract and contract is not None:
        wrong += [f"contract.{reason}" for reason in _unknown(contract, {"amount_cents", "ai_cost_cents"})]
        billed, reasons = _figures(contract)
        wrong += [f"contract.{reason}" for reason in reasons]
    _refuse(document, wrong, "the step is not valid")
    return str(to), billed


def parse_contract(document: Document) -> tuple[str, Bill]:
    """The contract to bill; a Problem with everything that is wrong."""
    wrong = _unknown(document, {"namespace", "contract_id", "amount_cents", "ai_cost_cents"})
    contract_id = document.get("contract_id")
    if not is_name(contract_id):
        wrong.append(f"contract_id: must be {NAME_RULE}")
    billed, reasons = _figures(document)
    _refuse(document, wrong + reasons, "the contract is not valid")
    assert billed is not None
    return str(contract_id), billed


def _figures(document: Document) -> tuple[Bill | None, list[str]]:
    wrong = [
        f"{name}: must be whole cents from 0 to {MOST_CENTS}"
        for name in ("amount_cents", "ai_cost_cents")
        if not is_cents(document.get(name))
    ]
    return (None, wrong) if wrong else (bill(document["amount_cents"], document["ai_cost_cents"]), [])


def _unknown(document: Document, known: Collection[str]) -> list[str]:
    return [f"{name[:80]}: no such field" for name in document if name not in known]


def _refuse(document: Document, wrong: list[str], detail: str) -> None:
    if document.get("namespace") != NAMESPACE:
        wrong.insert(0, f"namespace: must be {NAMESPACE}")
    if wrong:
        raise Problem(422, detail, wrong[:20])


def _asked(provider_id: str) -> str:
    if not is_name(provider_id):
        raise Problem(404, "there is no such provider")
    return provider_id
