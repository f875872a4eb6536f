"""DPoP proofs: what each rule of RFC 9449 §4.3 lets through and what not."""

from typing import Any

import jwt
import pytest

from bifrost.http import strict_json
from bifrost.protocol import dpop, jws
from bifrost.protocol.dpop import Proof
from bifrost.protocol.jws import JwsError
from tests.support.clock import FakeClock
from tests.support.dpop import ProofKey

CLOCK = FakeClock()
KEY = ProofKey(CLOCK)
OTHER = ProofKey(CLOCK)
URL = "https://mcp.example.com/mcp"
NOW = CLOCK.now() // 1_000


def checked(proof: str, *, url: str = URL, method: str = "POST", access_token: str = "") -> Proof:
    token = jws.split(proof)
    header, claims = strict_json.loads(token.header), strict_json.loads(token.payload)
    return dpop.checked(token, header, claims, method=method, url=url, now=NOW, access_token=access_token)


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "EdDSA"])
def test_a_good_proof_gives_the_thumbprint_of_its_key(alg: str) -> None:
    """RFC 9449 §§4.2, 6.1, RFC 7638 §3: every algorithm that is advertised."""
    key = ProofKey(CLOCK, alg)
    proof = checked(key.proof(URL, jti="one", nonce="n"))
    assert proof == Proof(jkt=key.jkt, jti="one", issued_at=NOW, nonce="n")
    assert alg in dpop.ALGORITHMS


def test_a_thumbprint_is_the_one_of_the_specification() -> None:
    """RFC 9449 §6.1, figure 10: the key of its examples."""
    key = {
        "kty": "EC",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        "crv": "P-256",
        "use": "sig",
    }
    assert jws.thumbprint(key) == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"header": {"typ": "JWT"}}, "typ"),
        ({"header": {"typ": None}}, "typ"),
        ({"header": {"typ": "at+jwt"}}, "typ"),
        ({"header": {"jwk": None}}, "public key"),
        ({"header": {"jwk": "key"}}, "public key"),
        ({"header": {"jwk": {}}}, "no key"),
        ({"header": {"jwk": {"kty": "EC", "crv": "P-256"}}}, "no key"),
        ({"header": {"jwk": {**KEY.jwk, "crv": "secp256k1"}}}, "no key"),
        ({"header": {"jwk": {**KEY.jwk, "x": KEY.jwk["y"]}}}, "no key"),
        ({"header": {"jwk": KEY.private_jwk}}, "private"),
        ({"header": {"jwk": {"kty": "oct", "k": "AAAA"}}}, "symmetric"),
        ({"header": {"jwk": OTHER.jwk}}, "signature"),
        ({"header": {"jwk": {**KEY.jwk, "alg": "RS256"}}}, "signature"),
        ({"header": {"jwk": {**KEY.jwk, "use": "enc"}}}, "signature"),
        ({"header": {"crit": ["exp"]}}, "critical"),
        ({"htm": "GET"}, "htm"),
        ({"htm": "post"}, "htm"),
        ({"htm": None}, "htm"),
        ({"htu": "https://mcp.example.com/mcp/notes"}, "htu"),
        ({"htu": "http://mcp.example.com/mcp"}, "htu"),
        ({"htu": "https://evil.example/mcp"}, "htu"),
        ({"htu": "https://mcp.example.com@evil.example/mcp"}, "htu"),
        ({"htu": "https://mcp.example.com:8443/mcp"}, "htu"),
        ({"htu": "/mcp"}, "htu"),
        ({"htu": [URL]}, "htu"),
        ({"htu": None}, "htu"),
        ({"iat": NOW - 301}, "iat"),
        ({"iat": NOW + 301}, "iat"),
        ({"iat": None}, "iat"),
        ({"iat": True}, "iat"),
        ({"iat": "now"}, "iat"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "jti"),
        ({"jti": "j" * 513}, "jti"),
        ({"ath": "x"}, "ath"),
        ({"ath": None}, "ath"),
    ],
)
def test_a_proof_that_breaks_one_rule_is_refused(changes: dict[str, Any], why: str) -> None:
    """RFC 9449 §4.3, §11.1 to §11.6, A94: one rule at a time."""
    proof = KEY.proof(URL, **{"token": "bfat_x", **changes})
    with pytest.raises(JwsError, match=why):
        checked(proof, access_token="bfat_x")


@pytest.mark.parametrize("alg", ["HS256", "none"])
def test_a_symmetric_or_missing_signature_proves_nothing(alg: str) -> None:
    """RFC 9449 §4.3, §11.6: asymmetric algorithms only."""
    header = {"typ": "dpop+jwt", "jwk": KEY.jwk}
    secret: Any = "s" * 32 if alg == "HS256" else None
    proof = jwt.encode({"jti": "1", "htm": "POST", "htu": URL, "iat": NOW}, secret, alg, header)
    with pytest.raises(JwsError, match="algorithm"):
        checked(proof)


def test_a_key_that_is_only_named_is_not_looked_for() -> None:
    """RFC 9449 §4.2: the key is in the proof; nothing is fetched, and an id of it means nothing."""
    assert checked(KEY.proof(URL, header={"kid": "x", "jku": "https://evil.example/keys"})).jkt == KEY.jkt
    with pytest.raises(JwsError, match="signature"):
        checked(OTHER.proof(URL, header={"jwk": KEY.jwk, "jku": "https://evil.example/keys"}))


@pytest.mark.parametrize("edge", [-300, 300])
def test_clocks_may_differ_by_minutes(edge: int) -> None:
    """RFC 9449 §11.1: an acceptable window, either way."""
    assert checked(KEY.proof(URL, iat=NOW + edge)).issued_at == NOW + edge
    assert checked(KEY.proof(URL, iat=NOW + edge / 2 + 0.5))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://mcp.example.com/mcp?a=b#c", URL),
        ("HTTPS://MCP.Example.COM:443/mcp", URL),
        ("https://mcp.example.com/m%63p", URL),
        ("http://[::1]:80", "http://[::1]/"),
        ("http://localhost:8080/a%2fb", "http://localhost:8080/a%2Fb"),
    ],
)
def test_addresses_are_compared_as_addresses(written: str, meant: str) -> None:
    """RFC 9449 §4.3, RFC 3986 §§6.2.2, 6.2.3: without query and fragment."""
    assert dpop.normalized(written) == dpop.normalized(meant) is not None


@pytest.mark.parametrize(
    "written", ["https://mcp.example.com/MCP", "https://mcp.example.com/mcp/", "mcp", "", "https://"]
)
def test_what_differs_differs(written: str) -> None:
    """RFC 3986 §6.2.2.1: paths keep their case, and a slash is part of one."""
    assert dpop.normalized(written) != dpop.normalized(URL)


def test_two_addresses_that_are_none_are_not_the_same() -> None:
    """RFC 9449 §4.3: what cannot be compared does not match."""
    with pytest.raises(JwsError, match="htu"):
        checked(KEY.proof("nowhere"), url="https://mcp.example.com/a b")


def test_a_thumbprint_has_one_form() -> None:
    """RFC 9449 §10."""
    assert dpop.is_thumbprint(KEY.jkt)
    for text in ("", KEY.jkt[:-1], f"{KEY.jkt}=", f"{KEY.jkt}\n", "+" * 43):
        assert not dpop.is_thumbprint(text)
