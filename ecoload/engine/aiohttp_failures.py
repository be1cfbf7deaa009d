"""What aiohttp and the system raise, as the outcomes that name it.

Rules
-----
- Every failure of the network has its outcome; an error that is none of the network's has none, and is
  our own.
- What the generator itself lacks (ports, file descriptors) comes first: it is never the target's fault.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from ecoload.measure.outcome import Outcome

_NETWORK = (aiohttp.ClientError, HttpProcessingError, OSError)
_GENERATOR = {
    errno.EADDRNOTAVAIL: Outcome.PORT_EXHAUSTED,
    errno.EMFILE: Outcome.FD_EXHAUSTED,
    errno.ENFILE: Outcome.FD_EXHAUSTED,
}


def outcome_of(error: Exception, *, https: bool, proxied: bool) -> Outcome | None:
    """The outcome that names a failure; None where it is an error of our own."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in _GENERATOR:
            return _GENERATOR[cause.errno]
    first = next((cause for cause in chain if isinstance(cause, _NETWORK)), None)
    if first is None:
        return None
    if isinstance(first, TimeoutError):
        return Outcome.TIMEOUT
    if isinstance(first, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return Outcome.PROXY
    if isinstance(first, aiohttp.ClientConnectorDNSError):
        return Outcome.PROXY if proxied else Outcome.DNS
    if any(isinstance(cause, ssl.SSLError | ssl.CertificateError) for cause in chain):
        return Outcome.TLS
    if isinstance(first, aiohttp.ClientConnectorError):
        if not isinstance(first.os_error, ConnectionResetError):
            return Outcome.REFUSED
        return Outcome.TLS if https else Outcome.RESET
    return _after_connecting(chain)


async def only_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A middleware that keeps aiohttp from sending a request again when a kept connection dies."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Failed from error


class _Failed(aiohttp.ClientError):
    """Carries a failure past aiohttp's retry."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The failure and what caused it, without our own wrapper."""
    seen: BaseException | None = error
    while seen is not None:
        if not isinstance(seen, _Failed):
            yield seen
        seen = seen.__cause__ or seen.__context__


def _after_connecting(chain: list[BaseException]) -> Outcome:
    for cause in chain:
        if isinstance(cause, LineTooLong) or "Too many headers" in str(cause):
            return Outcome.TOO_LARGE
    for cause in chain:
        if isinstance(cause, aiohttp.ClientPayloadError):
            # A body that ended too early; its text says where that was a reset.
            return Outcome.RESET if "ConnectionResetError" in str(cause) else Outcome.TRUNCATED
        if isinstance(cause, HttpProcessingError | aiohttp.ClientResponseError):
            return Outcome.MALFORMED
        if isinstance(cause, aiohttp.ServerDisconnectedError):
            # It carries the head of an answer where one had begun, and a text where none had.
            return Outcome.RESET if isinstance(cause.message, str) else Outcome.TRUNCATED
    return Outcome.RESET
