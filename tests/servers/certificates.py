"""Certificates made for one test run, by the openssl command.

`make_certificates(folder)` makes a CA, a server's certificate for 127.0.0.1, ::1 and localhost, a client's,
a server's that is self-signed, one that is expired and one for another name.
"""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SAN = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """`ca` signed `server`, `client`, `expired` and `other_name`; `self_signed` stands alone."""

    ca: Pair
    server: Pair
    client: Pair
    self_signed: Pair
    expired: Pair
    other_name: Pair

    def server_context(self, pair: Pair | None = None, *, want_client: bool = False) -> ssl.SSLContext:
        """A server's context with `pair` (the good one when not given); `want_client` asks callers for a
        certificate that the CA signed, and turns others away."""
        chosen = pair or self.server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chosen.cert, chosen.key)
        if want_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca.cert)
        return context


def make_certificates(folder: Path) -> Certificates:
    """Makes all of them in `folder`; raises FileNotFoundError without openssl."""
    ca = _self_signed(folder, "ca", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
    return Certificates(
        ca=ca,
        server=_signed(folder, "server", ca, _SAN),
        client=_signed(folder, "client", ca, "extendedKeyUsage=clientAuth"),
        self_signed=_self_signed(folder, "self-signed", _SAN),
        expired=_signed(folder, "expired", ca, _SAN, expired=True),
        other_name=_signed(folder, "other-name", ca, "subjectAltName=DNS:other.example"),
    )


def _self_signed(folder: Path, name: str, *extensions: str) -> Pair:
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    more = [part for extension in extensions for part in ("-addext", extension)]
    _openssl("req", "-x509", *_new_key(pair, name), "-days", "2", "-out", str(pair.cert), *more)
    return pair


def _signed(folder: Path, name: str, ca: Pair, extension: str, *, expired: bool = False) -> Pair:
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(f"{extension}\nauthorityKeyIdentifier=keyid\n")
    _openssl("req", "-new", *_new_key(pair, name), "-out", str(request))
    signer = ("-CA", str(ca.cert), "-CAkey", str(ca.key), "-CAcreateserial")
    days = "-1" if expired else "2"
    extra = ("-extfile", str(extensions), "-days", days)
    _openssl("x509", "-req", "-in", str(request), *signer, *extra, "-out", str(pair.cert))
    return pair


def _new_key(pair: Pair, name: str) -> tuple[str, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    return (*curve, "-keyout", str(pair.key), "-subj", f"/CN={name}")


def _openssl(*arguments: str) -> None:
    subprocess.run(("openssl", *arguments), check=True, capture_output=True)
