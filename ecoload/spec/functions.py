"""The pure functions of the `${…}` language, and how a value reads as text.

Rules
-----
- The same for whoever carries a plan out and whoever writes it down for another tool: nothing here knows a
  run, a VU or a clock.
- A digest is bytes; in text and in JSON it stands as hex.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import orjson


def as_text(value: Any) -> str:
    """A value inside a longer text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return str(value)


def json_bytes(value: Any) -> bytes:
    """A value as JSON; bytes (digests) as hex text."""
    return orjson.dumps(value, _json_default)


def _json_default(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else as_text(value).encode()


def _base64url(value: Any) -> str:
    return base64.urlsafe_b64encode(_as_bytes(value)).rstrip(b"=").decode()


PURE: Mapping[str, Callable[..., Any]] = {
    "base64url": _base64url,
    "sha256": lambda x: hashlib.sha256(_as_bytes(x)).digest(),
    "hex": lambda x: _as_bytes(x).hex(),
    "lower": lambda x: as_text(x).lower(),
    "upper": lambda x: as_text(x).upper(),
    "urlencode": lambda x: quote(as_text(x), safe=""),
}
"""The functions that always give the same for the same."""
