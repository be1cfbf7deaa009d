"""TLS of a target: verified by default, with its own CA or a client certificate where the plan says.

Rules
-----
- There is no way to turn verification off: a staging CA goes into `tls.ca_file`.
- ALPN offers HTTP/1.1 only, so that the server and we mean the same protocol.
"""

from __future__ import annotations

import ssl

from ecoload.errors import UsageError
from ecoload.plan import Origin


def client_context(origin: Origin) -> ssl.SSLContext:
    """The context for connections to an origin. Raises UsageError where its files cannot be read."""
    try:
        context = ssl.create_default_context(cafile=origin.ca_file)
        if origin.client_cert:
            context.load_cert_chain(origin.client_cert, origin.client_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{origin.app}: the TLS files cannot be used ({error}); "
            "ca_file, client_cert and client_key must be PEM files that belong together"
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context
