"""A small cookie jar for one iteration (RFC 6265, what a session needs).

Rules
-----
- Cookies from one host go back to that host, or to its sub-domains where `Domain` says so and the
  host itself lies in that domain; never from a sub-domain to an unrelated one.
- `Path`, `Secure`, `Max-Age` and `Expires` in the past (deletion) are honoured; a jar lives for one
  iteration, so other expiry is not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit


class _Cookie(NamedTuple):
    value: bytes
    host_only: bool
    secure: bool


class CookieJar:
    """Cookies by (domain, path, name); the latest wins. At most `MOST`, so that no target can fill it."""

    MOST = 300

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, bytes], _Cookie] = {}

    def store(self, url: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Takes the `Set-Cookie` headers of an answer to `url`."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        for name, value in headers:
            if name.lower() == b"set-cookie":
                self._store(host, parts.path, value)

    def header(self, url: str) -> bytes:
        """The value of the `Cookie` header for a request to `url`; empty where none applies."""
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path or "/"
        found = [
            (-len(at), name + b"=" + cookie.value)
            for (domain, at, name), cookie in self._cookies.items()
            if (host == domain or (not cookie.host_only and host.endswith(f".{domain}")))
            and _path_matches(path, at)
            and (not cookie.secure or parts.scheme == "https")
        ]
        return b"; ".join(pair for _, pair in sorted(found, key=lambda item: item[0]))

    def _store(self, host: str, path: str, line: bytes) -> None:
        pair, *rest = line.split(b";")
        name, separator, value = pair.strip().partition(b"=")
        if not separator or not name:
            return
        attributes = {
            key.strip().lower(): setting.strip()
            for key, _, setting in (item.partition(b"=") for item in rest)
        }
        domain = attributes.get(b"domain", b"").decode("latin-1").lstrip(".").lower()
        # An address has no sub-domains.
        above = host.endswith(f".{domain}") and not host.rpartition(".")[2].isdigit()
        if domain and host != domain and not above:
            return
        at = attributes.get(b"path", b"").decode("latin-1")
        if not at.startswith("/"):
            at = path.rpartition("/")[0] or "/"
        key = (domain or host, at, name.strip())
        if _is_over(attributes):
            self._cookies.pop(key, None)
        elif key in self._cookies or len(self._cookies) < self.MOST:
            self._cookies[key] = _Cookie(value.strip(), not domain, b"secure" in attributes)


def _path_matches(path: str, at: str) -> bool:
    return path == at or path.startswith(at if at.endswith("/") else f"{at}/")


def _is_over(attributes: dict[bytes, bytes]) -> bool:
    age = attributes.get(b"max-age", b"")
    if age.removeprefix(b"-").isdigit():
        return age.startswith(b"-") or age.strip(b"0") == b""
    expires = attributes.get(b"expires")
    if expires is None:
        return False
    try:
        return parsedate_to_datetime(expires.decode("latin-1")).timestamp() <= time.time()
    except (ValueError, TypeError):
        return False
