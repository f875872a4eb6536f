"""The authorization response."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

from bifrost.authserver import redirect
from tests.unit.authserver.test_browser import FLOW

ISSUER = "https://gw.example.com"


def parameters(uri: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(uri).query, keep_blank_values=True))


@pytest.mark.parametrize("state", ["s", "a b&c=d#e", "ü", "%20", "x" * 2_000])
def test_success_carries_code_state_and_issuer(state: str) -> None:
    """Contract §5; OAuth 2.1 §4.1.2; RFC 9207 §2."""
    flow = replace(FLOW, state=state)
    assert parameters(redirect.success(flow, "bfac_x", ISSUER)) == {"code": "bfac_x", "state": state, "iss": ISSUER}


def test_denial_carries_the_error_state_and_issuer_and_no_code() -> None:
    """Contract §5."""
    flow = replace(FLOW, state="s")
    assert parameters(redirect.denied(flow, ISSUER)) == {"error": "access_denied", "state": "s", "iss": ISSUER}


def test_without_a_state_none_is_made_up() -> None:
    """RFC 6749 §4.1.2: required if it was present."""
    assert "state" not in redirect.success(FLOW, "bfac_x", ISSUER)
    assert "state" not in redirect.denied(FLOW, ISSUER)


@pytest.mark.parametrize("uri", ["https://a.example/cb?x=%2F&x=2", "com.example.app:/cb", "cursor://host/cb?"])
def test_the_answer_begins_with_the_registered_uri_byte_for_byte(uri: str) -> None:
    """Contract §5."""
    assert redirect.success(replace(FLOW, redirect_uri=uri), "bfac_x", ISSUER).startswith(uri)
