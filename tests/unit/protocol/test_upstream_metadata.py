"""Discovery as a client: where documents are looked for, and what in them counts."""

from typing import Any

import pytest

from bifrost.protocol import upstream_metadata as discovery
from bifrost.protocol.upstream_metadata import MetadataError

UPSTREAM = "https://notes.example/team/mcp"
ISSUER = "https://as.example"
RESOURCE = {"resource": UPSTREAM, "authorization_servers": [ISSUER], "scopes_supported": ["a", "b"]}
SERVER = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "code_challenge_methods_supported": ["plain", "S256"],
}


@pytest.mark.parametrize(
    ("challenges", "parameters"),
    [
        ([], {}),
        (["Basic realm=x"], {}),
        (["Bearer"], {}),
        (['Bearer realm="a, b", scope="x y"'], {"realm": "a, b", "scope": "x y"}),
        (["bearer error=invalid_token"], {"error": "invalid_token"}),
        (['Basic realm="x", Bearer resource_metadata="https://a/b"'], {"resource_metadata": "https://a/b"}),
        (["Basic x", 'BEARER Scope = "x"'], {"scope": "x"}),
        (["NotBearer scope=x"], {}),
    ],
)
def test_the_bearer_challenge_is_found_among_others(challenges: list[str], parameters: dict[str, str]) -> None:
    """RFC 9110 §11.2, RFC 9728 §5.1."""
    assert discovery.bearer_parameters(challenges) == parameters


def test_a_challenge_that_is_one_endless_word_is_read_at_once() -> None:
    """TC-211: any upstream can send it. In the square of its length it takes hours, and nothing else goes on meanwhile."""
    assert discovery.bearer_parameters([f"Bearer {'a' * 1_000_000}"]) == {}


@pytest.mark.parametrize(
    ("upstream", "urls"),
    [
        (
            UPSTREAM,
            [
                "https://notes.example/.well-known/oauth-protected-resource/team/mcp",
                "https://notes.example/.well-known/oauth-protected-resource",
            ],
        ),
        ("https://notes.example/", ["https://notes.example/.well-known/oauth-protected-resource"]),
        ("https://notes.example?x=1", ["https://notes.example/.well-known/oauth-protected-resource"]),
    ],
)
def test_a_resource_is_looked_for_by_its_path_and_then_at_the_root(upstream: str, urls: list[str]) -> None:
    """RFC 9728 §3.1."""
    assert discovery.protected_resource_urls(upstream) == urls


def test_an_issuer_with_a_path_is_looked_for_in_three_places() -> None:
    """RFC 8414 §3.1, OpenID Connect Discovery §4; the order is MCP's."""
    assert discovery.authorization_server_urls("https://as.example/tenant") == [
        "https://as.example/.well-known/oauth-authorization-server/tenant",
        "https://as.example/.well-known/openid-configuration/tenant",
        "https://as.example/tenant/.well-known/openid-configuration",
    ]
    assert discovery.authorization_server_urls(ISSUER) == [
        "https://as.example/.well-known/oauth-authorization-server",
        "https://as.example/.well-known/openid-configuration",
    ]


@pytest.mark.parametrize(
    "resource", [UPSTREAM, "https://notes.example", "https://notes.example/team/", "https://NOTES.example"]
)
def test_a_document_is_about_the_upstream_or_what_contains_it(resource: str) -> None:
    """RFC 9728 §3.3."""
    read = discovery.read_protected_resource({**RESOURCE, "resource": resource}, UPSTREAM)
    assert (read.resource, read.authorization_servers, read.scopes_supported) == (resource, (ISSUER,), ("a", "b"))


@pytest.mark.parametrize(
    "changes",
    [
        {"resource": "https://evil.example/team/mcp"},
        {"resource": "https://notes.example.evil.example"},
        {"resource": "https://notes.example/te"},
        {"resource": "https://notes.example/team/mcp/more"},
        {"resource": "http://notes.example/team/mcp"},
        {"resource": "notes"},
        {"resource": None},
        {"resource": [UPSTREAM]},
        {"authorization_servers": []},
        {"authorization_servers": None},
        {"authorization_servers": ISSUER},
    ],
)
def test_a_document_about_another_resource_or_without_a_server_is_refused(changes: dict[str, Any]) -> None:
    """RFC 9728 §3.3: otherwise a token for one resource could be fetched for another."""
    with pytest.raises(MetadataError):
        discovery.read_protected_resource({**RESOURCE, **changes}, UPSTREAM)


def test_what_the_server_says_of_itself_is_read() -> None:
    """RFC 8414 §2; what is not said has the default of the specification."""
    read = discovery.read_authorization_server(SERVER, ISSUER)
    assert (read.authorization_endpoint, read.token_endpoint) == (f"{ISSUER}/authorize", f"{ISSUER}/token")
    assert read.registration_endpoint is None
    assert read.token_endpoint_auth_methods == ("client_secret_basic",)
    assert not read.iss_in_responses
    assert not read.client_id_metadata_documents


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"token_endpoint": ""},
        {"token_endpoint": 5},
        {"require_pushed_authorization_requests": True},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": None},
        {"code_challenge_methods_supported": "S256"},
    ],
)
def test_another_issuer_a_missing_endpoint_or_no_pkce_is_refused(changes: dict[str, Any]) -> None:
    """Contract §8: issuer equality, byte for byte; S256 required."""
    with pytest.raises(MetadataError):
        discovery.read_authorization_server({**SERVER, **changes}, ISSUER)


@pytest.mark.parametrize("document", [None, [], "x", 5, {}])
def test_a_document_of_another_kind_is_refused(document: Any) -> None:
    """It comes from a stranger."""
    with pytest.raises(MetadataError):
        discovery.read_protected_resource(document, UPSTREAM)
    with pytest.raises(MetadataError):
        discovery.read_authorization_server(document, ISSUER)


def test_only_a_true_true_switches_something_on() -> None:
    """RFC 9207 §3."""
    read = discovery.read_authorization_server(
        {**SERVER, "authorization_response_iss_parameter_supported": "yes", "client_id_metadata_document_supported": 1},
        ISSUER,
    )
    assert not read.iss_in_responses
    assert not read.client_id_metadata_documents


@pytest.mark.parametrize(("required", "read"), [(True, f"{ISSUER}/par"), (False, None), ("true", None)])
def test_requests_are_pushed_where_the_server_insists(required: object, read: str | None) -> None:
    """RFC 9126 §5: a server that merely accepts pushed requests is asked in the plain way."""
    pushed = {"pushed_authorization_request_endpoint": f"{ISSUER}/par"}
    document = {**SERVER, **pushed, "require_pushed_authorization_requests": required}
    server = discovery.read_authorization_server(document, ISSUER)
    assert server.pushed_authorization_endpoint == read
    assert (f"{ISSUER}/par" in server.endpoints) is bool(read)


def test_without_any_metadata_the_endpoints_stand_at_the_origin() -> None:
    """MCP 2025-03-26, authorization."""
    server = discovery.default_server(UPSTREAM)
    assert (server.issuer, server.token_endpoint) == ("https://notes.example", "https://notes.example/token")
    assert discovery.origin_of(UPSTREAM) == "https://notes.example"


@pytest.mark.parametrize("url", ["", "notes", "ftp://a", "https://", "https://a#x"])
def test_an_address_that_is_none_is_said_to_be_none(url: str) -> None:
    """In words for the administrator."""
    with pytest.raises(MetadataError):
        discovery.origin_of(url)


@pytest.mark.parametrize("member", ["authorization_endpoint", "token_endpoint"])
def test_a_member_without_end_is_as_good_as_none(member: str) -> None:
    """House: what a stranger writes may come to stand in a URL, or in a sentence for an administrator."""
    with pytest.raises(MetadataError, match="lacks an endpoint"):
        discovery.read_authorization_server({**SERVER, member: f"{ISSUER}/{'a' * 2_048}"}, ISSUER)


def test_an_issuer_without_end_names_no_server() -> None:
    """As above; the error does not repeat it."""
    endless = {**RESOURCE, "authorization_servers": [f"https://{'a' * 2_048}.example"]}
    with pytest.raises(MetadataError, match="names no authorization server"):
        discovery.read_protected_resource(endless, UPSTREAM)
