"""What the parts of A1 share: OAuth's errors, and secrets that are handed out once.

Rules
-----
- A secret that goes out (code, refresh token, sign-in) is kept only as its SHA-256: it has 256 random
  bits, so that no salt or slow hash would add anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time

PRINTABLE = re.compile(r"[\x20-\x7e]*")
"""What RFC 6749 allows in `state`, codes, tokens and secrets."""


class OAuthError(Exception):
    """An error by its code of RFC 6749 or OpenID Connect, and a sentence for people."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def new_secret() -> str:
    """256 random bits, in 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """How a secret that was handed out is kept."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def same(given: str, expected: str) -> bool:
    """Whether two texts are the same, in constant time."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def base64url(raw: bytes) -> str:
    """Base64url without padding, as PKCE and JOSE write it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def challenge_of(verifier: str) -> str:
    """The PKCE S256 challenge of a verifier."""
    return base64url(hashlib.sha256(verifier.encode(errors="surrogateescape")).digest())


def now_ms() -> int:
    """The time, in whole ms since 1970."""
    return time.time_ns() // 1_000_000
