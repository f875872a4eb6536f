"""The discovery documents."""

from bifrost.protocol import metadata, oauth, pkce, scope

ISSUER = "https://gw.example.com"
SERVER = metadata.authorization_server(ISSUER, client_documents=True)


def test_the_issuer_is_the_string_it_was_given() -> None:
    """Contract §1: the same bytes everywhere; RFC 8414 §3.3."""
    assert SERVER["issuer"] == ISSUER
    assert metadata.protected_resource(f"{ISSUER}/mcp", ISSUER, "Name")["authorization_servers"] == [ISSUER]


def test_the_endpoints_are_absolute_and_at_the_published_paths() -> None:
    """Contract §1."""
    assert SERVER["authorization_endpoint"] == f"{ISSUER}/api/oauth/per-user/authorize"
    assert SERVER["token_endpoint"] == f"{ISSUER}/api/oauth/per-user/token"
    assert SERVER["registration_endpoint"] == f"{ISSUER}/api/oauth/per-user/register"


def test_the_authorization_server_offers_what_it_does() -> None:
    """Contract §§3, 4, 5."""
    assert SERVER["code_challenge_methods_supported"] == [pkce.METHOD]
    assert SERVER["response_types_supported"] == ["code"]
    assert SERVER["response_modes_supported"] == ["query"]
    assert SERVER["grant_types_supported"] == list(oauth.GRANT_TYPES)
    assert SERVER["authorization_response_iss_parameter_supported"] is True


def test_none_is_the_first_method_of_authentication() -> None:
    """RFC 8414 §2; some clients read the first entry only."""
    methods = ["none", "client_secret_post", "client_secret_basic", "private_key_jwt"]
    assert SERVER["token_endpoint_auth_methods_supported"] == methods


def test_offline_access_is_a_word_of_the_authorization_server_alone() -> None:
    """Contract §4."""
    assert SERVER["scopes_supported"] == [*scope.SUPPORTED, "offline_access"]
    assert metadata.protected_resource(f"{ISSUER}/mcp", ISSUER, "Name")["scopes_supported"] == list(scope.SUPPORTED)


def test_no_member_is_null_or_empty() -> None:
    """RFC 8414 §3.2: members without a value are left out."""
    for document in (SERVER, metadata.protected_resource(f"{ISSUER}/mcp", ISSUER, "Name")):
        assert all(value not in (None, "", []) for value in document.values())


def test_the_document_of_a_resource_names_that_resource() -> None:
    """RFC 9728 §3.3."""
    document = metadata.protected_resource(f"{ISSUER}/mcp/notes", ISSUER, "Name")
    assert document["resource"] == f"{ISSUER}/mcp/notes"
    assert document["bearer_methods_supported"] == ["header"]


def test_the_well_known_part_is_inserted_before_the_path() -> None:
    """RFC 9728 §3.1."""
    assert metadata.protected_resource_path("/mcp/notes") == "/.well-known/oauth-protected-resource/mcp/notes"
    assert metadata.protected_resource_path("") == "/.well-known/oauth-protected-resource"
