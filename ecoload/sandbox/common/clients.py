"""The clients of A1 and their secrets, which both sides derive from what the sandbox told them."""

from __future__ import annotations

import hashlib
import hmac

LOAD = "ecoload"
"""Whoever makes the load."""
USERS = "students"
"""The synthetic people; they share one password."""


def client_secret(internal_token: str, client_id: str) -> str:
    """The secret of a client, which A1 and the client derive alike."""
    return hmac.new(internal_token.encode(), client_id.encode(), hashlib.sha256).hexdigest()
