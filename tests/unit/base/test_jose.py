"""Signing and public keys, checked with another implementation."""

import jwt
import pytest
from jwt import PyJWK

from bifrost.base import jose
from bifrost.base.jose import ES256, RS256


@pytest.mark.parametrize("alg", [ES256, RS256])
def test_others_can_check_what_was_signed(alg: str) -> None:
    """RFC 7515 §3, RFC 7517 §4: a signature, and the key as it is published."""
    key = jose.new_private_key(alg)
    token = jose.sign(key, {"alg": alg, "typ": "at+jwt"}, {"sub": "ü", "n": 1})
    public = PyJWK({**jose.public_jwk(key), "alg": alg})
    assert jwt.decode(token, public, algorithms=[alg]) == {"sub": "ü", "n": 1}
    assert jwt.get_unverified_header(token) == {"alg": alg, "typ": "at+jwt"}
    other = PyJWK({**jose.public_jwk(jose.new_private_key(alg)), "alg": alg})
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, other, algorithms=[alg])


@pytest.mark.parametrize("alg", [ES256, RS256])
def test_a_key_comes_back_from_its_bytes(alg: str) -> None:
    """What is sealed is the whole key."""
    key = jose.new_private_key(alg)
    assert jose.public_jwk(jose.private_key(jose.private_bytes(key))) == jose.public_jwk(key)


@pytest.mark.parametrize("raw", [b"", b"no key", b"\x30\x00"])
def test_bytes_that_are_no_key_are_refused(raw: bytes) -> None:
    """A damaged row is an error, never a weaker key."""
    with pytest.raises(ValueError, match=r".*"):
        jose.private_key(raw)


def test_a_thumbprint_is_the_one_of_the_specification() -> None:
    """RFC 7638 §3.1, its own example."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6"
        "qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8aw"
        "apJzKnqDKgw"
    )
    assert jose.thumbprint({"kty": "RSA", "n": modulus, "e": "AQAB"}) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("alg", [ES256, RS256])
def test_no_private_part_is_published(alg: str) -> None:
    """RFC 7517 §9.2."""
    assert not set(jose.public_jwk(jose.new_private_key(alg))) & {"d", "p", "q", "dp", "dq", "qi", "k"}
