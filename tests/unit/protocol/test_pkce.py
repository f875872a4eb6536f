"""Proof Key for Code Exchange."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.protocol import pkce

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
ALLOWED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def test_the_example_of_the_rfc_verifies() -> None:
    """RFC 7636 appendix B."""
    assert pkce.is_challenge(CHALLENGE)
    assert pkce.verifies(VERIFIER, CHALLENGE)


def test_the_method_is_s256() -> None:
    """Contract §4; OAuth 2.1 §7.5.2: plain is not offered."""
    assert pkce.METHOD == "S256"
    assert not pkce.verifies(VERIFIER, VERIFIER)


@given(st.text(ALLOWED, min_size=43, max_size=128))
def test_every_verifier_of_the_grammar_verifies_its_own_challenge(verifier: str) -> None:
    """RFC 7636 §4.1, §4.6."""
    assert pkce.is_challenge(_challenge(verifier))
    assert pkce.verifies(verifier, _challenge(verifier))


@given(st.text(ALLOWED, min_size=43, max_size=128), st.text(ALLOWED, min_size=43, max_size=128))
def test_no_other_verifier_verifies(verifier: str, other: str) -> None:
    """RFC 7636 §4.6."""
    assert pkce.verifies(other, _challenge(verifier)) == (verifier == other)


@pytest.mark.parametrize(
    "verifier",
    ["", "a" * 42, "a" * 129, "a" * 42 + "=", "a" * 42 + "+", "a" * 42 + "/", "a" * 42 + " ", "a" * 43 + "\n"]
    + ["ü" * 43, "a" * 42 + "\x00", "٣" * 43],
)
def test_a_verifier_outside_the_grammar_never_verifies(verifier: str) -> None:
    """RFC 7636 §4.1: 43 to 128 unreserved characters."""
    assert not pkce.verifies(verifier, _challenge(verifier))


@pytest.mark.parametrize(
    "challenge",
    ["", CHALLENGE[:-1], CHALLENGE + "A", CHALLENGE + "=", CHALLENGE[:-1] + "=", CHALLENGE[:-1] + "+"]
    + [CHALLENGE[:-1] + "/", CHALLENGE[:-1] + ".", CHALLENGE[:-1] + "~", CHALLENGE[:-1] + " ", CHALLENGE + "\n"]
    + [" " + CHALLENGE, "ü" * 43, "٣" * 43, "a" * 64],
)
def test_a_challenge_is_43_characters_of_base64url(challenge: str) -> None:
    """Contract §4: anything else is refused at the authorization endpoint."""
    assert not pkce.is_challenge(challenge)


@pytest.mark.parametrize("last", "BCDFGHJKLNOPRSTVWXZabdefhijlmnpqrtuvxyz1235679-_")
def test_a_challenge_stands_for_32_bytes_exactly(last: str) -> None:
    """Contract §4: the last character carries four bits, so only every fourth letter can be one."""
    assert not pkce.is_challenge(CHALLENGE[:-1] + last)


@given(st.binary(min_size=32, max_size=32))
def test_the_base64url_of_any_32_bytes_is_a_challenge(raw: bytes) -> None:
    """Contract §4."""
    assert pkce.is_challenge(base64.urlsafe_b64encode(raw).rstrip(b"=").decode())
