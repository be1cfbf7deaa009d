"""Tokens of A1: what the key signs a stranger can verify, and everything else is refused with its reason."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.common.tokens import (
    AUDIENCE,
    REFETCH_S,
    ScopeMissing,
    Signer,
    TokenRefused,
    Verifier,
    client_secret,
    verified,
)

ISSUER = "http://127.0.0.1:1"
GOOD: dict[str, Any] = {"aud": AUDIENCE, "sub": "ecoload", "scope": "a2 a3"}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a1") / "key.pem"


@pytest.fixture(scope="module")
def signer(key_file: Path) -> Signer:
    return Signer(key_file, ISSUER)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Somebody else, who says the same of themselves."""
    return Signer(tmp_path_factory.mktemp("other") / "key.pem", ISSUER)


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, claims, signature = token.split(".")
    return json.loads(from_base64url(header)), json.loads(from_base64url(claims)), from_base64url(signature)


def unsigned(header: Any, claims: Any) -> str:
    """The part of a token that a signature is made over."""
    return f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(claims).encode())}"


def access_token(signer: Signer, **claims: Any) -> str:
    return signer.sign(GOOD | claims, typ="at+jwt")


class Published:
    """The keys that A1 publishes, and how often they were fetched."""

    def __init__(self, *signers: Signer) -> None:
        self.signers = signers
        self.fetches = 0
        self.now_s = 1_000.0

    async def __call__(self) -> dict[str, Any]:
        self.fetches += 1
        return {"keys": [key for signer in self.signers for key in signer.jwks()["keys"]]}

    def verifier(self) -> Verifier:
        return Verifier(ISSUER, self, lambda: self.now_s)


def claims_of(token: str, signer: Signer, **wanted: Any) -> dict[str, Any]:
    return asyncio.run(Published(signer).verifier().claims(token, **wanted))


# --- what is signed --------------------------------------


def public_key(jwk: dict[str, Any]) -> rsa.RSAPublicKey:
    exponent, modulus = (int.from_bytes(from_base64url(jwk[name]), "big") for name in ("e", "n"))
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def test_a_stranger_verifies_a_token_with_the_published_key_alone(signer: Signer) -> None:
    token = access_token(signer)
    header, _, signature = parts_of(token)
    (jwk,) = signer.jwks()["keys"]
    assert header == {"alg": "RS256", "typ": "at+jwt", "kid": jwk["kid"]}
    signed = token.rpartition(".")[0].encode()
    public_key(jwk).verify(signature, signed, padding.PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        public_key(jwk).verify(signature, signed + b"x", padding.PKCS1v15(), SHA256())


def test_the_key_id_is_the_thumbprint_that_rfc_7638_has(signer: Signer) -> None:
    (jwk,) = signer.jwks()["keys"]
    canonical = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
    assert jwk["kid"] == base64url(hashlib.sha256(canonical.encode()).digest())


def test_what_is_published_is_public(signer: Signer) -> None:
    (jwk,) = signer.jwks()["keys"]
    assert set(jwk) == {"kty", "n", "e", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["use"], jwk["alg"]) == ("RSA", "sig", "RS256")


def test_a_token_says_who_issued_it_when_and_until_when_and_is_like_no_other(signer: Signer) -> None:
    before = int(time.time())
    _, one, _ = parts_of(signer.sign(GOOD, life_s=120))
    _, other, _ = parts_of(signer.sign(GOOD))
    assert {name: one[name] for name in GOOD} == GOOD
    assert one["iss"] == ISSUER
    assert before <= one["iat"] <= time.time()
    assert (one["exp"] - one["iat"], other["exp"] - other["iat"]) == (120, 300)
    assert one["jti"] != other["jti"]


def test_the_key_is_kept_for_its_owner_only_and_taken_up_again(signer: Signer, key_file: Path) -> None:
    assert key_file.stat().st_mode & 0o777 == 0o600
    kept = load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(kept, rsa.RSAPrivateKey)
    assert kept.key_size == 2048
    again = Signer(key_file, ISSUER)
    assert again.jwks() == signer.jwks()
    assert claims_of(access_token(again), signer)["sub"] == "ecoload"


# --- what is refused --------------------------------------


def test_a_good_token_gives_its_claims(signer: Signer) -> None:
    assert claims_of(access_token(signer), signer, scope="a3").items() >= GOOD.items()
    assert claims_of(access_token(signer, aud=["other", AUDIENCE]), signer)["sub"] == "ecoload"
    assert claims_of(signer.sign(GOOD, typ="AT+JWT"), signer)["sub"] == "ecoload"


def tampered(signer: Signer, position: int) -> str:
    parts = access_token(signer).split(".")
    middle = len(parts[position]) // 2
    swapped = "A" if parts[position][middle] != "A" else "B"
    parts[position] = parts[position][:middle] + swapped + parts[position][middle + 1 :]
    return ".".join(parts)


def with_public_key_as_secret(signer: Signer) -> str:
    """The classic: HS256, keyed by what everybody knows."""
    (jwk,) = signer.jwks()["keys"]
    pem = public_key(jwk).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _, claims, _ = parts_of(access_token(signer))
    signed = unsigned({"alg": "HS256", "typ": "at+jwt", "kid": jwk["kid"]}, claims)
    return f"{signed}.{base64url(hmac.new(pem, signed.encode(), hashlib.sha256).digest())}"


def without_algorithm(signer: Signer) -> str:
    header, claims, _ = parts_of(access_token(signer))
    return unsigned(header | {"alg": "none"}, claims) + "."


def with_header(signer: Signer, **change: Any) -> str:
    header, claims, signature = parts_of(access_token(signer))
    return f"{unsigned(header | change, claims)}.{base64url(signature)}"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda signer: signer.sign(GOOD, typ="at+jwt", life_s=-1), "expired_token"),
        (lambda signer: access_token(signer, exp=None), "missing_claim (exp)"),
        (lambda signer: access_token(signer, exp="never"), "invalid_claim (exp)"),
        (lambda signer: access_token(signer, iat=time.time() + 60), "invalid_claim (iat)"),
        (lambda signer: access_token(signer, nbf=time.time() + 60), "invalid_claim (nbf)"),
        (lambda signer: access_token(signer, iss="http://127.0.0.1:2"), "invalid_claim (iss)"),
        (lambda signer: access_token(signer, iss=f"{ISSUER}/"), "invalid_claim (iss)"),
        (lambda signer: access_token(signer, iss=None), "missing_claim (iss)"),
        (lambda signer: access_token(signer, aud="a5"), "invalid_claim (aud)"),
        (lambda signer: access_token(signer, aud=["a5", "other"]), "invalid_claim (aud)"),
        (lambda signer: access_token(signer, aud={AUDIENCE: 1}), "invalid_claim (aud)"),
        (lambda signer: access_token(signer, aud=None), "missing_claim (aud)"),
        (lambda signer: signer.sign(GOOD), "not of type at+jwt"),
        (lambda signer: signer.sign(GOOD, typ=""), "not of type at+jwt"),
        (without_algorithm, "unsupported_algorithm"),
        (with_public_key_as_secret, "unsupported_algorithm"),
        (lambda signer: with_header(signer, alg="PS256"), "unsupported_algorithm"),
        (lambda signer: with_header(signer, crit=["exp"]), "crit"),
        (lambda signer: with_header(signer, kid="nobody"), "invalid_key_id"),
        (lambda signer: with_header(signer, jku="http://127.0.0.1:2/keys"), "bad_signature"),
        (lambda signer: tampered(signer, 1), "bad_signature"),
        (lambda signer: tampered(signer, 2), "bad_signature"),
        (lambda signer: access_token(signer).rpartition(".")[0] + ".", "bad_signature"),
        (lambda signer: access_token(signer) + ".x", "decode_error"),
        (lambda signer: "", "decode_error"),
        (lambda signer: "\udcff.é.x", "cannot be read"),
        (lambda signer: unsigned("alg", {}) + ".x", "cannot be read"),
        (lambda signer: unsigned(["alg"], {}) + ".x", "cannot be read"),
    ],
)
def test_a_token_is_refused_with_its_reason(
    signer: Signer, make: Callable[[Signer], str], reason: str
) -> None:
    with pytest.raises(TokenRefused) as refused:
        claims_of(make(signer), signer)
    assert reason in str(refused.value)
    assert not isinstance(refused.value, ScopeMissing)


def test_a_token_of_somebody_else_is_refused_even_under_the_right_key_id(
    signer: Signer, stranger: Signer
) -> None:
    with pytest.raises(TokenRefused, match="invalid_key_id"):
        claims_of(access_token(stranger), signer)
    header, claims, _ = parts_of(access_token(stranger))
    header["kid"] = signer.jwks()["keys"][0]["kid"]
    forged = f"{unsigned(header, claims)}.{access_token(stranger).rpartition('.')[2]}"
    with pytest.raises(TokenRefused, match="bad_signature"):
        claims_of(forged, signer)


@pytest.mark.parametrize("scope", ["a4", "a", "a2 a3", "A2", ""])
def test_a_scope_that_is_missing_is_a_refusal_of_its_own(signer: Signer, scope: str) -> None:
    with pytest.raises(ScopeMissing):
        claims_of(access_token(signer), signer, scope=scope)


@pytest.mark.parametrize("given", [None, 5, ["a2"], {"a2": 1}, ""])
def test_a_scope_that_is_no_text_is_none(signer: Signer, given: Any) -> None:
    with pytest.raises(ScopeMissing):
        claims_of(access_token(signer, scope=given), signer, scope="a2")


def test_a_token_ends_when_it_says_so_to_the_second_that_clocks_are_rounded_by(signer: Signer) -> None:
    token = access_token(signer)
    _, claims, _ = parts_of(token)

    def at(now_s: int) -> None:
        verified(token, signer.keys, issuer=ISSUER, audience=AUDIENCE, now_s=now_s)

    at(claims["exp"])
    for beyond in (claims["exp"] + 1, claims["iat"] - 2):
        with pytest.raises(TokenRefused):
            at(beyond)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
header_names = st.sampled_from("alg typ kid crit b64 jwk jku x5c x5t zip enc cty".split())
claim_names = st.sampled_from("iss aud exp iat nbf sub jti scope client_id".split())


@given(
    json_values | st.dictionaries(header_names, json_values | st.sampled_from(["RS256", "none", "at+jwt"])),
    json_values,
    st.text(max_size=20),
)
def test_whatever_calls_itself_a_token_is_refused(
    signer: Signer, header: Any, claims: Any, signature: str
) -> None:
    for token in (signature, f"{unsigned(header, claims)}.{signature}"):
        with pytest.raises(TokenRefused):
            claims_of(token, signer)


@given(st.dictionaries(claim_names, json_values, min_size=1, max_size=2))
def test_whatever_was_signed_is_claims_or_a_refusal(signer: Signer, change: dict[str, Any]) -> None:
    token = access_token(signer, **change)
    try:
        found = claims_of(token, signer, scope="a2")
    except TokenRefused:
        return
    assert (found["iss"], "a2" in str(found["scope"]).split()) == (ISSUER, True)
    assert found["aud"] == AUDIENCE or AUDIENCE in found["aud"]


# --- fetching the keys --------------------------------------


def test_the_keys_are_fetched_once_for_many_tokens(signer: Signer) -> None:
    published = Published(signer)
    verifier = published.verifier()

    async def verify() -> None:
        for _ in range(3):
            await verifier.claims(access_token(signer))
            published.now_s += 3600

    asyncio.run(verify())
    assert published.fetches == 1


def test_a_new_key_of_a1_is_known_as_soon_as_a_token_of_it_comes(signer: Signer, stranger: Signer) -> None:
    published = Published(signer)
    verifier = published.verifier()

    async def verify() -> None:
        await verifier.claims(access_token(signer))
        published.signers = (signer, stranger)
        published.now_s += REFETCH_S
        await verifier.claims(access_token(stranger))
        await verifier.claims(access_token(signer))

    asyncio.run(verify())
    assert published.fetches == 2


def test_forged_tokens_do_not_become_requests_to_a1(signer: Signer, stranger: Signer) -> None:
    published = Published(signer)
    verifier = published.verifier()
    forged = access_token(stranger)

    async def verify(times: int) -> None:
        for _ in range(times):
            with pytest.raises(TokenRefused, match="invalid_key_id"):
                await verifier.claims(forged)

    asyncio.run(verify(20))
    assert published.fetches == 1
    published.now_s += REFETCH_S - 0.001
    asyncio.run(verify(20))
    assert published.fetches == 1
    published.now_s += 0.001
    asyncio.run(verify(20))
    assert published.fetches == 2


def test_what_no_key_could_help_fetches_nothing_again(signer: Signer) -> None:
    published = Published(signer)
    verifier = published.verifier()

    async def verify() -> None:
        for token in ("", "x.y.z", unsigned(["alg"], {}) + ".x", tampered(signer, 2)):
            published.now_s += REFETCH_S
            with pytest.raises(TokenRefused):
                await verifier.claims(token)

    asyncio.run(verify())
    assert published.fetches == 1


def test_while_the_keys_cannot_be_had_nobody_is_let_in(signer: Signer) -> None:
    async def fetch() -> dict[str, Any]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(Verifier(ISSUER, fetch).claims(access_token(signer)))


# --- secrets of clients --------------------------------------


def test_a_clients_secret_follows_from_what_both_sides_know_and_from_nothing_else() -> None:
    assert client_secret("token", "a5") == client_secret("token", "a5")
    assert len({client_secret(token, app) for token in ("t", "u") for app in ("a5", "a6")}) == 4
    assert "token" not in client_secret("token", "a5")
