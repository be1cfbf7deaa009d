"""The token that a plan's requests carry: fetched before the load, refreshed while it runs.

Rules
-----
- OAuth 2.0 client credentials (RFC 6749, 4.4). The client proves itself by HTTP Basic, at the address that
  the guard has pinned; its secret is handed in and kept nowhere.
- Without a first token nothing of the load is sent. A refresh that fails is tried again; the token before
  is used meanwhile, and the result says so.
- The thread that refreshes does nothing else: whoever runs the load asks for `fresh` tokens and hands them
  on. Nobody waits for it, so it holds up no exit.
- No message quotes an answer: it may hold the secret or a token.
"""

from __future__ import annotations

import math
import re
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote_plus, urlencode

import orjson

from ecoload.engine.probe import ProbeFailed, exchange
from ecoload.errors import EcoloadError, TokenFailed, UsageError
from ecoload.plan import ClientCredentials, Plan

DEFAULT_LIFE_S = 300.0
"""Of a token whose answer does not say."""
MOST_LIFE_S = 86_400.0
SPARE_S = 5.0
"""A new token is there so long before the old one ends."""
LEAST_PAUSE_S = 1.0
MOST_PAUSE_S = 30.0
"""Between two tries of a refresh that fails."""
ERRORS = frozenset(
    "invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type "
    "invalid_scope".split()
)
"""What an endpoint may call its refusal (RFC 6749, 5.2)."""

_TOKEN = re.compile(r"[!-~]{1,16384}")


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and how long it still holds."""

    value: str = field(repr=False)
    life_s: float

    @property
    def refresh_after_s(self) -> float:
        """When the next one is due: at 80 % of the life and `SPARE_S` before its end."""
        return max(LEAST_PAUSE_S, min(0.8 * self.life_s, self.life_s - SPARE_S))


class Tokens:
    """The token of a run, the first one fetched at once; `keep` refreshes it. Raises what `fetch` does."""

    def __init__(self, fetch: Callable[[], Token]) -> None:
        self._fetch = fetch
        self._token = fetch()
        self._handed_on = self._token.value
        self._all = [self._token.value]
        self._failures, self._reason = 0, ""

    @property
    def current(self) -> str:
        return self._token.value

    @property
    def all(self) -> tuple[str, ...]:
        """Every token so far."""
        return tuple(self._all)

    @property
    def note(self) -> str:
        """What went wrong, or nothing."""
        if not self._failures:
            return ""
        times = "once" if self._failures == 1 else f"{self._failures} times"
        return f"the token could not be refreshed ({times}), and the one before was used: {self._reason}"

    def fresh(self) -> str | None:
        """The token where it is a new one since the last call."""
        current = self.current
        if current == self._handed_on:
            return None
        self._handed_on = current
        return current

    def keep(self, wait: Callable[[float], bool]) -> None:
        """Refreshes the token whenever it is time, until `wait(seconds)` says that the run is over."""
        pause, retry = self._token.refresh_after_s, LEAST_PAUSE_S
        while not wait(pause):
            try:
                token = self._fetch()
            except EcoloadError as error:
                self._failures += 1
                self._reason = str(error)
                pause, retry = retry, min(2 * retry, MOST_PAUSE_S)
            else:
                self._all.append(token.value)
                self._token = token
                pause, retry = self._token.refresh_after_s, LEAST_PAUSE_S


@contextmanager
def tokens_of(plan: Plan, run_id: str, secrets: Mapping[str, str], app: str = "") -> Iterator[Tokens]:
    """The tokens of a plan's app, or of another `app` that it asks, kept fresh in the block; empty ones where
    the plan wants none.

    Raises TokenFailed where there is no first one, UsageError where its secret is not given.
    """
    app = app or plan.app
    auth = plan.auths.get(app)
    if auth is None:
        yield Tokens(lambda: Token("", math.inf))
        return
    secret = secrets.get(auth.secret)
    if not secret:
        raise UsageError(f"secret {auth.secret}: the token of {app} needs it, and it was not given")
    try:
        tokens = Tokens(lambda: _fetch(plan, auth, run_id, secret, app))
    except TokenFailed as error:
        raise TokenFailed(f"there is no token for {app}, so nothing was sent: {error}") from None
    over = threading.Event()
    threading.Thread(target=tokens.keep, args=(over.wait,), name="tokens", daemon=True).start()
    try:
        yield tokens
    finally:
        over.set()


def read_token(body: bytes) -> Token:
    """The token in an endpoint's answer. Raises ValueError with what is wrong with it."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")
    value, kind = document.get("access_token"), document.get("token_type")
    if not (isinstance(value, str) and _TOKEN.fullmatch(value)):
        raise ValueError("has no access_token that can stand in a header")
    if not (isinstance(kind, str) and kind.lower() == "bearer"):
        raise ValueError("has another token_type than Bearer")
    life = document.get("expires_in", DEFAULT_LIFE_S)
    if isinstance(life, bool) or not isinstance(life, int | float) or life <= 0:
        raise ValueError("has an expires_in that is not a positive number")
    return Token(value, min(float(life), MOST_LIFE_S))


def _fetch(plan: Plan, auth: ClientCredentials, run_id: str, secret: str, app: str) -> Token:
    origin = plan.origins[auth.origin]
    target = origin.base_path + auth.path
    # Both are form-encoded within the header (RFC 6749, 2.3.1).
    client = f"{quote_plus(auth.client_id)}:{quote_plus(secret, errors='surrogateescape')}"
    headers = {
        "Authorization": f"Basic {b64encode(client.encode()).decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
    begun = time.monotonic()
    try:
        status, body = exchange(plan, origin, run_id, "POST", target, headers, urlencode(form).encode())
    except ProbeFailed as error:
        raise TokenFailed(f"{error}; is {origin.app} up, and is its address right?") from None
    said = f"{origin.app}: POST {target} answered {status}"
    if status != 200:
        raise TokenFailed(
            f"{said}{_error_of(body)}; auth: of {app} in targets.yaml says who asks ({auth.client_id}), "
            f"for which scope, and with which secret ({auth.secret})"
        )
    try:
        token = read_token(body)
    except ValueError as error:
        raise TokenFailed(f"{said} with what is no token: it {error}") from None
    return Token(token.value, token.life_s - (time.monotonic() - begun))


def _error_of(body: bytes) -> str:
    """The endpoint's word for its refusal, if it is one of the standard's."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    error = document.get("error") if isinstance(document, dict) else None
    return f" ({error})" if isinstance(error, str) and error in ERRORS else ""
