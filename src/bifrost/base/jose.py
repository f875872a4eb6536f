"""Signing with ES256 and RS256, and keys as others see them (RFC 7515, 7517, 7638)."""

import hashlib
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from bifrost.base.sealing import encode

ES256, RS256 = "ES256", "RS256"
RSA_BITS = 2_048
_COORDINATE_BYTES = 32
_PUBLIC_EXPONENT = 65_537

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_private_key(alg: str) -> PrivateKey:
    if alg == ES256:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(_PUBLIC_EXPONENT, RSA_BITS)


def private_bytes(key: PrivateKey) -> bytes:
    """PKCS #8, DER, not encrypted: to be sealed by whoever keeps it."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def private_key(raw: bytes) -> PrivateKey:
    """Raises ValueError."""
    key = serialization.load_der_private_key(raw, None)
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise ValueError("neither an EC nor an RSA key")  # noqa: TRY004 - as the loader refuses whatever is no key
    return key


def public_jwk(key: PrivateKey) -> dict[str, str]:
    """The members that make the key, and no others (RFC 7638 §3.2)."""
    public = key.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        numbers = public.public_numbers()
        return {"crv": "P-256", "kty": "EC", "x": _fixed(numbers.x), "y": _fixed(numbers.y)}
    rsa_numbers = public.public_numbers()
    return {"e": _unsigned(rsa_numbers.e), "kty": "RSA", "n": _unsigned(rsa_numbers.n)}


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638 §3: SHA-256 of the members in lexical order, without blanks."""
    return encode(hashlib.sha256(msgspec.json.encode(jwk, order="sorted")).digest())


def sign(key: PrivateKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A JWS in compact form; `header` names the algorithm of the key (RFC 7515 §7.1)."""
    signed = f"{encode(msgspec.json.encode(header))}.{encode(msgspec.json.encode(claims))}"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
    else:
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{encode(signature)}"


def _fixed(number: int) -> str:
    return encode(number.to_bytes(_COORDINATE_BYTES, "big"))


def _unsigned(number: int) -> str:
    return encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))
