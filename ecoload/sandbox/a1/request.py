"""What a client asks of A1's authorization endpoint.

Rules
-----
- Who asks, and where the answer may go, is settled before this: everything that is wrong here is told
  to the client by a redirect.
- PKCE with S256 always: every client of this endpoint is public.
- Nobody is ever signed in already, so that `prompt=none` can only fail, and `prompt=login` is the rule.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from ecoload.sandbox.a1.clients import PERSON_SCOPES
from ecoload.sandbox.a1.oauth import PRINTABLE, OAuthError

MAX_STATE = 512
MAX_HINT = 254
PROMPTS = ("none", "login", "consent", "select_account", "create")
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_NOT_HERE = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """A valid request for a code. `create` asks for a new account (`prompt=create`)."""

    client_id: str
    redirect_uri: str
    scope: str
    challenge: str
    state: str | None = None
    nonce: str | None = None
    create: bool = False
    login_hint: str = ""
    """The address to fill in beforehand."""

    def query(self, *, create: bool) -> str:
        """The same request as a query, for a page to sign in or to register."""
        fields = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            "prompt": "create" if create else None,
            "login_hint": self.login_hint or None,
        }
        return urlencode({name: value for name, value in fields.items() if value is not None})


def parse_auth_request(fields: Mapping[str, str], repeated: Collection[str] = ()) -> AuthRequest:
    """The request of a query's fields. Raises OAuthError, for the client to be told."""
    if repeated:
        raise OAuthError("invalid_request", "a parameter stands there twice")
    for name, error in _NOT_HERE.items():
        if name in fields:
            raise OAuthError(error, f"{name} is not supported")
    for name in ("state", "nonce"):
        if not is_state(fields.get(name, "")):
            raise OAuthError("invalid_request", f"{name}: at most {MAX_STATE} printable ASCII characters")
    _check_response(fields)
    return AuthRequest(
        client_id=fields["client_id"],
        redirect_uri=fields["redirect_uri"],
        scope=_scope(fields.get("scope", "")),
        challenge=_challenge(fields),
        state=fields.get("state"),
        nonce=fields.get("nonce"),
        create="create" in _prompts(fields.get("prompt", "")),
        login_hint=fields.get("login_hint", "")[:MAX_HINT],
    )


def is_state(text: str) -> bool:
    """Whether a `state` (or a nonce) may be sent back as it came."""
    return len(text) <= MAX_STATE and PRINTABLE.fullmatch(text) is not None


def _check_response(fields: Mapping[str, str]) -> None:
    if "response_type" not in fields:
        raise OAuthError("invalid_request", "response_type is missing")
    if fields["response_type"] != "code":
        raise OAuthError("unsupported_response_type", "response_type must be code")
    if fields.get("response_mode", "query") != "query":
        raise OAuthError("invalid_request", "response_mode must be query")


def _scope(asked: str) -> str:
    """The scopes known here; OpenID Connect has the others ignored."""
    names = [name for name in PERSON_SCOPES if name in asked.split(" ")]
    if "openid" not in names:
        raise OAuthError("invalid_scope", "the scope must have openid")
    return " ".join(names)


def _challenge(fields: Mapping[str, str]) -> str:
    if "code_challenge" not in fields:
        raise OAuthError("invalid_request", "PKCE is required: code_challenge is missing")
    if fields.get("code_challenge_method") != "S256":
        raise OAuthError("invalid_request", "PKCE: code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(fields["code_challenge"]):
        raise OAuthError("invalid_request", "PKCE: code_challenge is not a SHA-256 in base64url")
    return fields["code_challenge"]


def _prompts(text: str) -> list[str]:
    names = text.split(" ") if text else []
    if any(name not in PROMPTS for name in names):
        raise OAuthError("invalid_request", f"prompt must be of {', '.join(PROMPTS)}")
    if "none" in names and len(names) > 1:
        raise OAuthError("invalid_request", "prompt: none stands alone")
    if "none" in names:
        raise OAuthError("login_required", "nobody is signed in")
    return names
