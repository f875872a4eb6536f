"""Bearer challenges."""

import re

import pytest

from bifrost.protocol import bearer

DOCUMENT = "https://gw.example.com/.well-known/oauth-protected-resource/mcp"


def test_without_credentials_the_challenge_says_where_to_begin_and_names_no_error() -> None:
    """Contract §7."""
    challenge = bearer.challenge(metadata_url=DOCUMENT, scope="mcp:read mcp:write")
    assert challenge == f'Bearer resource_metadata="{DOCUMENT}", scope="mcp:read mcp:write"'


def test_with_a_bad_token_the_challenge_also_names_the_error() -> None:
    """Contract §7; RFC 6750 §3."""
    challenge = bearer.challenge(metadata_url=DOCUMENT, scope="mcp:read", error="invalid_token", description="Expired.")
    assert challenge.endswith('scope="mcp:read", error="invalid_token", error_description="Expired."')


def test_without_an_authorization_server_there_is_no_document_to_point_to() -> None:
    """Contract §1: mode `headers`."""
    assert bearer.challenge(metadata_url=None, scope="mcp:read") == 'Bearer scope="mcp:read"'


@pytest.mark.parametrize("text", ['a"b', "a\\b", 'a\\"b', '", error="invalid_token', '"'])
def test_no_value_can_end_its_own_quotation(text: str) -> None:
    """RFC 9110 §5.6.4: a client that reads the parameters sees exactly the ones that were meant."""
    challenge = bearer.challenge(metadata_url=DOCUMENT, scope="mcp:read", error="e", description=text)
    assert re.fullmatch(r'Bearer (?:[a-z_]+="[^"\\]*"(?:, |$)){4}', challenge)
