"""Tokens of A1: RS256, signed with one kept key, verified by its JWKS.

Rules
-----
- This is the only module that knows the JOSE library.
- A token is refused with a reason, whatever is wrong with it: signature, algorithm, type, issuer,
  audience, time, scope. Only RS256 is ever accepted.
- Keys are fetched again for an unknown key id, but at most once in `REFETCH_S`: a forged token must
  not become a request to A1 each time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import ClaimError, JoseError
from joserfc.jwk import KeySet, RSAKey
from joserfc.jws import extract_compact

from ecoload.sandbox.common.clients import client_secret

__all__ = ["AUDIENCE", "ScopeMissing", "Signer", "TokenRefused", "Verifier", "client_secret", "verified"]

AUDIENCE = "ecosystem"
ALGORITHM = "RS256"
KEY_BITS = 2048
REFETCH_S = 5.0
LEEWAY_S = 1
"""Clocks are the same; seconds are rounded."""

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)
"""What the library lets through when a header is JSON, but no object."""


class TokenRefused(Exception):
    """The token is not to be trusted; the message says why, and holds nothing of it."""


class ScopeMissing(TokenRefused):
    """The token is genuine, but not for this."""


class Signer:
    """Signs with the key in `key_file`, which is made at the first start. `issuer` is A1's address."""

    def __init__(self, key_file: Path, issuer: str = "") -> None:
        self.issuer = issuer
        if key_file.exists():
            self._key = RSAKey.import_key(key_file.read_bytes())
        else:
            self._key = RSAKey.generate_key(KEY_BITS)
            key_file.touch(0o600, exist_ok=False)
            key_file.write_bytes(self._key.as_pem(private=True))
        self._kid = self._key.thumbprint()
        self.keys = KeySet([self._public()])

    def sign(self, claims: dict[str, Any], typ: str = "JWT", life_s: int = 300) -> str:
        """A token of `claims` with iss, iat, exp and jti put to them."""
        now = int(time.time())
        whole = {"iss": self.issuer, "iat": now, "exp": now + life_s, "jti": secrets.token_urlsafe(12)}
        header = {"alg": ALGORITHM, "typ": typ, "kid": self._kid}
        return jwt.encode(header, whole | claims, self._key, algorithms=[ALGORITHM])

    def jwks(self) -> dict[str, Any]:
        """The public keys, as a JWK Set."""
        return dict(self.keys.as_dict(private=False))

    def _public(self) -> RSAKey:
        public = self._key.as_dict(private=False)
        return RSAKey.import_key(public | {"kid": self._kid, "use": "sig", "alg": ALGORITHM})


def verified(
    token: str, keys: KeySet, *, issuer: str, audience: str, typ: str | None = None, now_s: int | None = None
) -> dict[str, Any]:
    """The claims of a good token. Raises TokenRefused."""
    try:
        found = jwt.decode(token, keys, algorithms=[ALGORITHM])
        if typ is not None and str(found.header.get("typ", "")).lower() != typ.lower():
            raise TokenRefused(f"the token is not of type {typ}")
        jwt.JWTClaimsRegistry(
            now=int(time.time()) if now_s is None else now_s,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            iat={"essential": True},
        ).validate(found.claims)
    except ClaimError as error:
        raise TokenRefused(f"the token is refused: {error.error} ({error.claim})") from None
    except JoseError as error:
        raise TokenRefused(f"the token is refused: {error.error}") from None
    except _UNREADABLE:
        raise TokenRefused("the token cannot be read") from None
    return dict(found.claims)


class Verifier:
    """Verifies what A1 at `issuer` issued. `fetch` gets its JWKS, and may raise."""

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[], Awaitable[dict[str, Any]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_s = -REFETCH_S

    async def claims(
        self, token: str, *, audience: str = AUDIENCE, scope: str | None = None, typ: str = "at+jwt"
    ) -> dict[str, Any]:
        """The claims of a good token. Raises TokenRefused, ScopeMissing, or what `fetch` raises."""
        keys = await self.keys()
        if not self._known(token, keys):
            keys = await self.keys(again=True)
        found = verified(token, keys, issuer=self._issuer, audience=audience, typ=typ)
        if scope is not None and scope not in str(found.get("scope", "")).split():
            raise ScopeMissing(f"the token lacks the scope {scope}")
        return found

    async def keys(self, *, again: bool = False) -> KeySet:
        """A1's keys, as fetched before, or now."""
        now_s = self._clock()
        if self._keys is None or (again and now_s - self._fetched_s >= REFETCH_S):
            self._fetched_s = now_s
            self._keys = KeySet.import_key_set(await self._fetch())  # type: ignore[arg-type]  # a JWK Set
        return self._keys

    @staticmethod
    def _known(token: str, keys: KeySet) -> bool:
        try:
            kid = extract_compact(token.encode()).headers().get("kid")
        except (JoseError, *_UNREADABLE):
            return True  # refetching would not help; `verified` says what is wrong
        return any(key.kid == kid for key in keys.keys)
