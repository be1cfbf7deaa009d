"""A5, the student pilot: pages to sign up and to upload documents, and payments that charge nobody.

Rules
-----
- Pages are for browsers and work without scripts; what they need of a person is in a session. The API
  (`/api/…`, `/mock/stripe/…`) is for who has a token of A1, and its writes say their namespace in the query.
- Everything that is acknowledged is committed, together with the event that tells of it.
"""

from __future__ import annotations

import random
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from ecoload.sandbox.a5 import assessments as a5_assessments
from ecoload.sandbox.a5 import crm as a5_crm
from ecoload.sandbox.a5 import login as a5_login
from ecoload.sandbox.a5 import mock_provider as payments
from ecoload.sandbox.a5 import telemetry as a5_telemetry
from ecoload.sandbox.a5.assessments import Assessments
from ecoload.sandbox.a5.browser import (
    BROWSER_COOKIE,
    BROWSER_LIFE_S,
    Forms,
    browser_of,
    for_browsers,
    remember,
    see_other,
    wants_html,
)
from ecoload.sandbox.a5.crm import Crm, Person
from ecoload.sandbox.a5.documents import Documents
from ecoload.sandbox.a5.login import Login
from ecoload.sandbox.a5.payments import Payments
from ecoload.sandbox.a5.stripe import CONFIG
from ecoload.sandbox.a5.telemetry import Telemetry
from ecoload.sandbox.a5.uploads import FIELD, MAX_BYTES, TYPES, read_form
from ecoload.sandbox.common.behaviour import LogNormal
from ecoload.sandbox.common.clients import client_secret
from ecoload.sandbox.common.emitter import EMITTER_SCHEMA, Emitter
from ecoload.sandbox.common.pages import asset_routes, page
from ecoload.sandbox.common.peers import Peers
from ecoload.sandbox.common.problems import Problem, form_body
from ecoload.sandbox.common.service import App, Config
from ecoload.sandbox.common.store import Store

PATIENCE_S = 3.0
"""How long a person waits for the assessment of a document before the page says that it is pending."""

_SCHEMA = "".join(
    (
        EMITTER_SCHEMA,
        a5_crm.SCHEMA,
        a5_login.SCHEMA,
        a5_assessments.SCHEMA,
        a5_telemetry.SCHEMA,
        payments.SCHEMA,
    )
)
_PAGE, _READ, _WRITE = LogNormal(15, 40), LogNormal(6, 15), LogNormal(20, 50)
_PAGES = ("home", "signup_page", "signup", "login", "callback", "dashboard", "documents_page", "logout")
_READS = (
    "crm",
    "crm_record",
    "document",
    "telemetry_status",
    "payment_attempts",
    "payment_summary",
    "stripe_account",
    "stripe_customer",
    "stripe_intent",
    "stripe_charges",
)
_WRITES = ("document_upload", "stripe_new_customer", "stripe_new_intent", "stripe_confirm")

_TEST_DATA = {
    **dict.fromkeys(("crm", "logins", "sessions", "documents", "telemetry"), "1"),
    **dict.fromkeys(("intents", "charges", "payment_keys"), "1"),
    "customers": "seeded = 0",
}
"""Tables with what came by requests, and which of their rows that are."""

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_MAX_NAME = 80


class StudentPilot(App):
    """The app; its state is `a5.db` in its folder."""

    laws: Mapping[str, LogNormal] = {
        **dict.fromkeys(_PAGES, _PAGE),
        **dict.fromkeys((*_READS, "payment_config"), _READ),
        **dict.fromkeys((*_WRITES, "upload"), _WRITE),
        "telemetry": LogNormal(10, 25),
    }
    protected = frozenset((*_READS, *_WRITES, "telemetry"))
    special_faults = frozenset({"crm_silent"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._store = Store(config.folder / "a5.db", _SCHEMA)
        self._emitter = Emitter(self._store, config.app, config.internal_token)
        self._forms = Forms(client_secret(config.internal_token, "a5 forms"))
        self._crm = Crm(self._store, self._emitter)
        self._silence = random.Random(f"{config.seed}/a5/crm")
        self._login = Login(self._store, self._crm, self._emitter, self._silent)
        self._assessments = Assessments(self._store, self._emitter)
        self._documents = Documents(self._store, self._assessments)
        self._telemetry = Telemetry(self._store, self._emitter)
        self._payments = Payments(self._store)
        self._absent: list[str] = []

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/", for_browsers(self._home), name="home"),
            web.get("/signup", for_browsers(self._signup_page), name="signup_page"),
            web.post("/signup", for_browsers(self._signup), name="signup"),
            web.get("/login", for_browsers(self._login.begin), name="login"),
            web.get("/callback", for_browsers(self._login.finish), name="callback"),
            web.get("/dashboard", for_browsers(self._dashboard), name="dashboard"),
            web.get("/documents", for_browsers(self._documents_page), name="documents_page"),
            web.post("/documents", for_browsers(self._upload), name="upload"),
            web.post("/logout", for_browsers(self._logout), name="logout"),
            *asset_routes(),
            *self._crm.routes(),
            *self._documents.routes(),
            *self._telemetry.routes(),
            *self._payments.routes(),
        ]

    async def checks(self) -> dict[str, Any]:
        return {
            "database": "ok",
            "outbox_pending": await self._emitter.pending(),
            "documents_pending": await self._assessments.pending(),
            "absent": self._absent,
        }

    async def connect(self, peers: Peers) -> None:
        self.needs = tuple(app for app in ("a1", "a2") if app in peers.urls)
        self._absent = [app for app in ("a1", "a2", "a4", "a8") if app not in peers.urls]
        await self._store.write(lambda database: payments.seed(database, time.time_ns() // 1_000_000))
        self._login.start(peers)
        self._emitter.start(peers)
        self._assessments.start(peers)
        self._telemetry.start(peers)

    async def close(self) -> None:
        await self._telemetry.close()
        await self._assessments.close()
        await self._emitter.close()
        await self._store.close()

    async def clean_up(self, run_id: str | None) -> dict[str, int] | None:
        deleted: dict[str, int] = await self._store.write(lambda database: _forget(database, run_id))
        return deleted

    def _silent(self) -> bool:
        return self._silence.random() < self.faults.crm_silent

    # --- pages ------------------------------------------------------------------------------------------

    async def _home(self, request: web.Request) -> web.Response:
        return page("a5_home.html", here="/", person=await self._login.who(request))

    async def _signup_page(self, request: web.Request) -> web.Response:
        person = await self._login.who(request)
        if person is not None:
            return see_other("/dashboard")
        return self._signup_form(request, 200, "", "", {})

    async def _signup(self, request: web.Request) -> web.Response:
        form = await form_body(request)
        self._forms.check(request, form)
        name, email = form.get("name", "").strip(), form.get("email", "").strip()
        wrong = wrong_with(name, email)
        if not wrong:
            return await self._login.begin(request, name, email)
        if not wants_html(request):
            raise Problem(422, "the signup is not valid", [f"{field}: {why}" for field, why in wrong.items()])
        return self._signup_form(request, 422, name, email, wrong)

    async def _dashboard(self, request: web.Request) -> web.Response:
        person = await self._login.who(request)
        if person is None:
            return see_other("/login")
        records = await self._crm.find("sub", person.sub)
        return self._with_form(
            request,
            "a5_dashboard.html",
            here="/dashboard",
            person=person,
            record=records[0] if records else None,
            documents=await self._documents.of(person.sub),
            billing=CONFIG | await self._payments.summary(None),
        )

    async def _documents_page(self, request: web.Request) -> web.Response:
        person = await self._login.who(request)
        if person is None:
            return see_other("/login")
        return self._with_form(
            request,
            "a5_documents.html",
            here="/documents",
            person=person,
            documents=await self._documents.of(person.sub),
            field=FIELD,
            types=TYPES,
            most_kib=MAX_BYTES // 1024,
        )

    async def _upload(self, request: web.Request) -> web.Response:
        person = await self._person(request)
        upload, fields = await read_form(request)
        self._forms.check(request, fields)
        if upload is None:
            raise Problem(422, "choose a document first")
        document_id = await self._documents.keep(request, upload, person.sub)
        await self._assessments.settled(document_id, PATIENCE_S)
        return see_other("/documents")

    async def _logout(self, request: web.Request) -> web.Response:
        self._forms.check(request, await form_body(request))
        return await self._login.end(request)

    async def _person(self, request: web.Request) -> Person:
        person = await self._login.who(request)
        if person is None:
            raise Problem(403, "nobody is signed in in this browser; sign in and try again")
        return person

    def _signup_form(
        self, request: web.Request, status: int, name: str, email: str, wrong: dict[str, str]
    ) -> web.Response:
        given = {"name": name[:_MAX_NAME], "email": email[:254]}
        return self._with_form(
            request, "a5_signup.html", status, here="/signup", person=None, given=given, wrong=wrong
        )

    def _with_form(
        self, request: web.Request, template: str, status: int = 200, **values: Any
    ) -> web.Response:
        """A page with a form in it, and the cookie that its token belongs to."""
        browser = browser_of(request)
        response = page(template, status, form_token=self._forms.token(browser), **values)
        remember(response, BROWSER_COOKIE, browser, BROWSER_LIFE_S)
        return response


def wrong_with(name: str, email: str) -> dict[str, str]:
    """What is wrong with a signup, by field."""
    wrong = {}
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        wrong["name"] = f"must be 1 to {_MAX_NAME} characters"
    if not _EMAIL.fullmatch(email) or not email.isprintable():
        wrong["email"] = "must be an email address"
    return wrong


def _forget(database: sqlite3.Connection, run_id: str | None) -> dict[str, int]:
    which, arguments = ("1", ()) if run_id is None else ("run_id = ?", (run_id,))
    return {
        table: database.execute(f"DELETE FROM {table} WHERE {rows} AND {which}", arguments).rowcount
        for table, rows in _TEST_DATA.items()
    }
