"""TLS of a target: verified by default, with its own CA or a client certificate where the plan says.

Rules
-----
- There is no way to turn verification off: a staging CA goes into `tls.ca_file`.
- The certificates are those that were planned: their hashes are checked when they are read.
- ALPN offers HTTP/1.1 only, so that the server and we mean the same protocol.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from ecoload.errors import UsageError
from ecoload.plan import Origin


def client_context(origin: Origin) -> ssl.SSLContext:
    """The context for connections to an origin. Raises UsageError where its files cannot be used."""
    try:
        context = ssl.create_default_context(cafile=_file(origin, origin.ca_file))
        if origin.client_cert is not None:
            cert, key = _file(origin, origin.client_cert), _file(origin, origin.client_key)
            context.load_cert_chain(str(cert), key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{origin.app}: the TLS files cannot be used ({error}); "
            "ca_file, client_cert and client_key must be PEM files that belong together"
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _file(origin: Origin, name: str | None) -> Path | None:
    """A file of the origin's, once it is known to be the plan's. Raises UsageError, OSError."""
    if name is None:
        return None
    path, planned = Path(origin.tls_root) / name, dict(origin.tls_sha256).get(name)
    if planned is not None and hashlib.sha256(path.read_bytes()).hexdigest() != planned:
        raise UsageError(f"{origin.app}: {name} has changed since the plan was made; make the plan again")
    return path
