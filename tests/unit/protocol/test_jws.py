"""Signed JSON: which signatures are believed."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bifrost.protocol import jws
from bifrost.protocol.jws import JwsError

CLAIMS = {"iss": "client", "sub": "client"}
RSA = rsa.generate_private_key(65_537, 2_048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
ALGORITHMS: dict[str, Any] = {"RS256": RSA, "PS256": RSA, "ES256": EC, "EdDSA": ED}


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    makers = (
        (rsa.RSAPrivateKey, jwt.algorithms.RSAAlgorithm),
        (ec.EllipticCurvePrivateKey, jwt.algorithms.ECAlgorithm),
        (ed25519.Ed25519PrivateKey, jwt.algorithms.OKPAlgorithm),
    )
    maker: Any = next(made for kind, made in makers if isinstance(key, kind))
    return {**maker.to_jwk(key.public_key(), as_dict=True), **members}


def believed(token: str, *keys: dict[str, Any]) -> None:
    parts = jws.split(token)
    jws.check(parts, json.loads(parts.header), keys)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_of_the_clients_key_is_believed(algorithm: str) -> None:
    """RFC 7515 §5.2, RFC 7518 §3; made by another library than the one that reads."""
    key = ALGORITHMS[algorithm]
    token = jwt.encode(CLAIMS, key, algorithm)
    believed(token, jwk(key))
    assert json.loads(jws.split(token).payload) == CLAIMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_over_other_bytes_is_not(algorithm: str) -> None:
    """RFC 7515 §5.2."""
    key = ALGORITHMS[algorithm]
    head, _, signature = jwt.encode(CLAIMS, key, algorithm).split(".")
    other = jwt.encode({**CLAIMS, "sub": "other"}, key, algorithm).split(".")[1]
    with pytest.raises(JwsError):
        believed(f"{head}.{other}.{signature}", jwk(key))


def test_the_key_of_somebody_else_is_not_believed() -> None:
    """RFC 7523 §3."""
    with pytest.raises(JwsError):
        believed(jwt.encode(CLAIMS, EC, "ES256"), jwk(ec.generate_private_key(ec.SECP256R1())), jwk(RSA))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384", "", None, 7])
def test_only_listed_algorithms_are_believed(algorithm: Any) -> None:
    """RFC 8725 §3.1: neither none, nor a public key taken for a shared secret."""
    token = jws.split(jwt.encode(CLAIMS, "s" * 32, "HS256"))
    with pytest.raises(JwsError, match="algorithm"):
        jws.check(token, {"alg": algorithm}, [jwk(EC)])


def test_a_key_is_used_for_its_own_algorithm_only() -> None:
    """RFC 8725 §3.1, RFC 7517 §4.4."""
    token = jwt.encode(CLAIMS, RSA, "RS256")
    for members in ({"alg": "PS256"}, {"use": "enc"}, {"kid": "other"}):
        with pytest.raises(JwsError):
            believed(jwt.encode(CLAIMS, RSA, "RS256", headers={"kid": "mine"}), jwk(RSA, **members))
    believed(token, jwk(RSA, alg="RS256", use="sig", kid="any"))


def test_a_key_in_the_header_is_not_looked_at() -> None:
    """RFC 8725 §3.10: jwk, jku and x5u of the header are the attacker's."""
    own = ec.generate_private_key(ec.SECP256R1())
    headers = {"jwk": jwk(own), "jku": "https://evil.example/"}
    with pytest.raises(JwsError):
        believed(jwt.encode(CLAIMS, own, "ES256", headers=headers), jwk(EC))


def test_critical_headers_are_not_ignored() -> None:
    """RFC 7515 §4.1.11."""
    token = jws.split(jwt.encode(CLAIMS, EC, "ES256"))
    with pytest.raises(JwsError, match="critical"):
        jws.check(token, {"alg": "ES256", "crit": ["b64"], "b64": False}, [jwk(EC)])


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c.d", "ä.b.c", "a=.b.c", "A" * 9_000 + ".b.c"])
def test_what_is_no_jws_is_refused(token: str) -> None:
    """RFC 7515 §7.1."""
    with pytest.raises(JwsError):
        believed(token, jwk(EC))


def test_the_usable_keys_of_a_set_are_kept() -> None:
    """RFC 7517 §5: a key of an unknown kind is no error."""
    unknown = {"kty": "PQC", "x": "AA"}
    small = jwk(rsa.generate_private_key(65_537, 1_024))  # noqa: S505 - too small on purpose
    assert jws.public_keys({"keys": [unknown, small, jwk(EC)]}) == (jwk(EC),)


def test_nothing_but_what_makes_a_key_is_kept_of_it() -> None:
    """Ours: sets of strangers stay in memory, and a small text can be read into very much of it."""
    key = jwk(EC, kid="one", use="sig", alg="ES256")
    more: dict[str, Any] = {"x5c": ["AA"], "key_ops": ["verify"], "n": None, "anything": [[]] * 20_000}
    assert jws.public_keys({"keys": [key | more, key | {"kid": [[]]}]}) == (key,)


def test_a_key_that_is_slow_to_verify_with_is_not_used() -> None:
    """RFC 7518 §6.3.1: anybody may publish keys, and every bit of an exponent costs us time."""
    good = {name: jwk(RSA)[name] for name in ("kty", "n", "e")}
    assert jws.public_keys({"keys": [{**good, "e": good["n"]}, good]}) == (good,)


@pytest.mark.parametrize(
    "keys",
    [
        None,
        [],
        {},
        {"keys": None},
        {"keys": []},
        {"keys": [7]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": 7, "y": 7}]},
        {"keys": [{"kty": ["EC"], "crv": "P-256"}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
        {"keys": [{"kty": "oct", "k": "AAAA"}]},
        {"keys": [{**jwk(EC), "d": "AA"}]},
        {"keys": [jwk(EC)] * 17},
    ],
)
def test_a_key_set_that_is_of_no_use_is_refused(keys: Any) -> None:
    """A73, RFC 7517 §5: also one that gives a private key away."""
    with pytest.raises(JwsError):
        jws.public_keys(keys)
