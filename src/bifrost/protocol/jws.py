"""Signed JSON: verifying a compact JWS with public JWKs (RFC 7515, 7517, 7518). Only asymmetric algorithms.

The algorithm comes from a fixed table and must be one that the key is for; what the header says about keys
(`jwk`, `jku`, `x5u`) is never looked at.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bifrost.base.sealing import SealBrokenError, decode, encode

MIN_RSA_BITS = 2_048
MAX_RSA_BITS = 8_192
MAX_RSA_EXPONENT_BITS = 32
"""65537 is what everybody uses; verifying takes longer with every bit of it."""
MAX_KEYS = 16
MAX_CHARACTERS = 8_192
ES256_BYTES = 32
PARTS = 3
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))

_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}

_KEPT = ("alg", "crv", "e", "kid", "kty", "n", "use", "x", "y")
"""Members that are looked at, all of them texts (RFC 7517 §4, RFC 7518 §6)."""

Jwk = Mapping[str, Any]


class JwsError(Exception):
    """What is wrong with a key set or a signature, in one sentence without its period."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """A compact JWS whose signature nobody has checked yet. The header and payload are still bytes of JSON."""

    header: bytes
    payload: bytes
    signed: bytes
    signature: bytes


def split(token: str) -> Unverified:
    """RFC 7515 §7.1. Raises JwsError."""
    parts = token.split(".")
    if len(token) > MAX_CHARACTERS or len(parts) != PARTS:
        raise JwsError("it is not a signed JWT")
    try:
        header, payload, signature = map(decode, parts)
    except SealBrokenError as error:
        raise JwsError("it is not a signed JWT") from error
    return Unverified(header, payload, f"{parts[0]}.{parts[1]}".encode(), signature)


def check(token: Unverified, header: Mapping[str, Any], keys: Sequence[Jwk]) -> None:
    """Whether one of the keys made the signature. Raises JwsError."""
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _VERIFIERS:
        raise JwsError(f"its algorithm must be one of: {', '.join(ALGORITHMS)}")
    if "crit" in header:
        raise JwsError("it has critical header parameters that are not known here")
    if not any(_made(token, algorithm, key) for key in candidates(header, keys)):
        raise JwsError("no key of the client made its signature")


def candidates(header: Mapping[str, Any], keys: Sequence[Jwk]) -> list[Jwk]:
    """The keys that may have signed: those with the header's `kid` when it names one (RFC 7515 §4.1.4)."""
    kid, algorithm = header.get("kid"), header.get("alg")
    return [
        key
        for key in keys
        if kid in (None, key.get("kid")) and key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm
    ]


def public_keys(jwks: object) -> tuple[Jwk, ...]:
    """The keys of a JWK set that can be used here; others are left out (RFC 7517 §5). Raises JwsError.

    So are members that say nothing here: key sets of strangers are kept, and must not be larger than their keys.
    """
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise JwsError("its key set must be an object with a list of keys")
    if len(keys) > MAX_KEYS:
        raise JwsError(f"its key set has more than {MAX_KEYS} keys")
    if any(_is_secret(key) for key in keys):
        raise JwsError("its key set contains a private or symmetric key")
    kept = [{name: key[name] for name in _KEPT if key.get(name) is not None} for key in keys]
    usable = tuple(key for key in kept if all(isinstance(value, str) for value in key.values()) and _loaded(key))
    if not usable:
        raise JwsError("its key set contains no key that can be used here")
    return usable


def public_key(jwk: object) -> Jwk:
    """A key that stands alone, when it can be used here. Raises JwsError."""
    if not isinstance(jwk, dict):
        raise JwsError("its jwk must be a public key")
    if _is_secret(jwk):
        raise JwsError("its jwk is a private or symmetric key")
    if _loaded(jwk) is None:
        raise JwsError("its jwk is no key that can be used here")
    return jwk


def thumbprint(key: Jwk) -> str:
    """RFC 7638 §3, RFC 8037 §2: SHA-256 of the members that make the key, in lexical order, without blanks."""
    members = {name: key[name] for name in _MEMBERS[key["kty"]]}
    return encode(hashlib.sha256(msgspec.json.encode(members, order="sorted")).digest())


def _is_secret(key: Jwk) -> bool:
    return bool(_PRIVATE & key.keys()) or key.get("kty") == "oct"


def _made(token: Unverified, algorithm: str, key: Jwk) -> bool:
    loaded = _loaded(key)
    try:
        return loaded is not None and _VERIFIERS[algorithm](loaded, token)
    except InvalidSignature:
        return False


def _loaded(key: Jwk) -> Any:
    """The key object, or None for a kind that is not supported or a key that is not whole."""
    try:
        return _LOADERS[(key["kty"], key.get("crv"))](key)
    except (KeyError, TypeError, ValueError, SealBrokenError):
        return None


def _rsa_key(key: Jwk) -> rsa.RSAPublicKey | None:
    modulus, exponent = (int.from_bytes(_bytes(key[name])) for name in ("n", "e"))
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS or exponent.bit_length() > MAX_RSA_EXPONENT_BITS:
        return None
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _p256_key(key: Jwk) -> ec.EllipticCurvePublicKey:
    x, y = (int.from_bytes(_bytes(key[name])) for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _ed25519_key(key: Jwk) -> ed25519.Ed25519PublicKey:
    return ed25519.Ed25519PublicKey.from_public_bytes(_bytes(key["x"]))


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    return decode(value)


def _rs256(key: Any, token: Unverified) -> bool:
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    key.verify(token.signature, token.signed, padding.PKCS1v15(), hashes.SHA256())
    return True


def _ps256(key: Any, token: Unverified) -> bool:
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
    key.verify(token.signature, token.signed, pss, hashes.SHA256())
    return True


def _es256(key: Any, token: Unverified) -> bool:
    """RFC 7518 §3.4: the signature is r and s side by side, 32 bytes each."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or len(token.signature) != 2 * ES256_BYTES:
        return False
    r, s = (int.from_bytes(half) for half in (token.signature[:ES256_BYTES], token.signature[ES256_BYTES:]))
    key.verify(encode_dss_signature(r, s), token.signed, ec.ECDSA(hashes.SHA256()))
    return True


def _eddsa(key: Any, token: Unverified) -> bool:
    if not isinstance(key, ed25519.Ed25519PublicKey):
        return False
    key.verify(token.signature, token.signed)
    return True


_LOADERS: dict[tuple[str, str | None], Callable[[Jwk], Any]] = {
    ("RSA", None): _rsa_key,
    ("EC", "P-256"): _p256_key,
    ("OKP", "Ed25519"): _ed25519_key,
}
_VERIFIERS: dict[str, Callable[[Any, Unverified], bool]] = {
    "ES256": _es256,
    "RS256": _rs256,
    "PS256": _ps256,
    "EdDSA": _eddsa,
    "Ed25519": _eddsa,
}
ALGORITHMS = tuple(_VERIFIERS)
"""What may sign, as `token_endpoint_auth_signing_alg_values_supported` lists it (RFC 8414 §2, RFC 9864)."""
