"""The discovery documents: at every address where a client may look, the same, and true."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.flows._authorization import assert_error_body, assert_error_page
from tests.flows._raw import HOST, PERSON, PROGRAM, ask, everything
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

RESOURCE = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


def operation_of(document: str) -> str:
    return "oauth_protected_resource" if "protected-resource" in document else "oauth_authorization_server"


DOCUMENTS = (RESOURCE, SERVER, OPENID)
ENDPOINTS = ("", "/", "/mcp", "/mcp/", "/mcp/notes", "/mcp/notes/")
HOSTS = (HOST, "127.0.0.1:8080", "[::1]:8080")
NOTES = {"client_configs": [upstream("notes", "http://127.0.0.1:9/mcp")]}


@pytest.fixture
async def with_notes(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    """A gateway with the endpoints /mcp and /mcp/notes; nothing listens behind the second."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp=NOTES) as started:
        yield started


@pytest.fixture
async def https(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    """The same under two public URLs, the issuer first."""
    server = {"public_urls": ["https://gw.example.com", "https://alt.example.com"]}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp=NOTES, server=server) as started:
        yield started


async def _document(running: TestGateway, path: str, host: str = HOST) -> dict[str, Any]:
    answer = await ask(running, path, host=host)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    # RFC 8414 §3.2 and RFC 9728 §3.2: members without a value are left out
    assert not [name for name, value in document.items() if value in (None, [], "")]
    return document


@pytest.mark.parametrize("suffix", ENDPOINTS)
@pytest.mark.parametrize("host", HOSTS)
async def test_the_resource_is_the_address_that_was_asked_for(with_notes: TestGateway, host: str, suffix: str) -> None:
    """RS1, RS3, RS18, contract §1, RFC 9728 §3.3, R35, R48: clients compare it with what was typed, byte for byte."""
    assert await _document(with_notes, RESOURCE + suffix, host) == {
        "resource": f"http://{host}{suffix}",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["mcp:read", "mcp:write"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256", "RS256", "PS256", "EdDSA", "Ed25519"],
        "resource_name": "Bifrost MCP gateway",
    }


@pytest.mark.parametrize("document", [SERVER, OPENID])
@pytest.mark.parametrize("suffix", ENDPOINTS)
async def test_the_server_metadata_is_one_document_at_every_address(
    with_notes: TestGateway, document: str, suffix: str
) -> None:
    """A1, contract §1: the issuer is one stored string, whatever the host, the path or the alias."""
    reference = await _document(with_notes, SERVER)
    assert reference["issuer"] == ISSUER
    for host in HOSTS:
        assert await _document(with_notes, document + suffix, host) == reference


async def test_the_server_metadata_says_what_a_client_needs(running: TestGateway) -> None:
    """TC-158, R21, R32, contract §§1, 3, 4 and RFC 8414 §2: the endpoints of the contract, S256 only, iss in every response.

    A2, A6, A7, A8, A9, A10, X1, X4.
    """
    document = await _document(running, SERVER)
    assert document["authorization_endpoint"] == f"{ISSUER}/api/oauth/per-user/authorize"
    assert document["token_endpoint"] == f"{ISSUER}/api/oauth/per-user/token"
    assert document["registration_endpoint"] == f"{ISSUER}/api/oauth/per-user/register"
    assert document["response_types_supported"] == ["code"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert set(document["grant_types_supported"]) == {"authorization_code", "refresh_token"}
    methods = document["token_endpoint_auth_methods_supported"]
    assert methods[0] == "none", "some clients use their document only when they see it"
    assert set(methods) == {"none", "client_secret_post", "client_secret_basic", "private_key_jwt"}
    algorithms = set(document["token_endpoint_auth_signing_alg_values_supported"])
    assert algorithms >= {"ES256", "RS256"}
    assert "none" not in algorithms
    assert [] not in document.values()
    assert document["client_id_metadata_document_supported"] is True
    assert set(document["scopes_supported"]) == {"mcp:read", "mcp:write", "offline_access"}
    assert document.get("response_modes_supported", ["query"]) == ["query"]


@pytest.mark.parametrize("suffix", ENDPOINTS)
async def test_offline_access_is_a_word_for_the_authorization_server_alone(
    with_notes: TestGateway, suffix: str
) -> None:
    """A65, RS14, TC-158, contract §4: listed in the server's metadata, never in a resource's."""
    assert "offline_access" in (await _document(with_notes, SERVER + suffix))["scopes_supported"]
    assert "offline_access" not in json.dumps(await _document(with_notes, RESOURCE + suffix))


async def test_every_endpoint_that_is_advertised_answers(running: TestGateway) -> None:
    """A13, TC-158, contract §1: only true statements; an empty request is understood and refused, not lost."""
    document = await _document(running, SERVER)
    addresses = {name: url for name, url in document.items() if name.endswith(("_endpoint", "jwks_uri"))}
    others = {"revocation_endpoint", "introspection_endpoint", "pushed_authorization_request_endpoint", "jwks_uri"}
    assert addresses.keys() == {"authorization_endpoint", "token_endpoint", "registration_endpoint", *others}
    for name, url in addresses.items():
        assert url.startswith(f"{ISSUER}/"), name
        method = "GET" if name in ("authorization_endpoint", "jwks_uri") else "POST"
        answer = await ask(running, urlsplit(url).path, method=method, headers=[PROGRAM])
        assert answer.status_code in ((200,) if name == "jwks_uri" else (400, 401, 415)), name


async def test_every_method_that_is_advertised_can_be_registered(running: TestGateway) -> None:
    """A7, contract §3: authentication methods and grants; keys come from a document or from an administrator."""
    document = await _document(running, SERVER)
    for method in document["token_endpoint_auth_methods_supported"]:
        if method == "private_key_jwt":
            continue
        client = await oauth.register(running.http, token_endpoint_auth_method=method)
        assert client.registration["token_endpoint_auth_method"] == method
        assert ("client_secret" in client.registration) == (method != "none")
    client = await oauth.register(running.http, grant_types=document["grant_types_supported"])
    assert client.registration["grant_types"] == document["grant_types_supported"]


async def test_every_scope_that_is_advertised_can_be_asked_for(running: TestGateway) -> None:
    """Contract §4, R47."""
    client = await oauth.register(running.http)
    for scope in (await _document(running, SERVER))["scopes_supported"]:
        async with running.browser() as browser:
            await oauth.begin(browser, client, scope=scope)


async def test_the_openid_alias_promises_nothing_of_openid(running: TestGateway) -> None:
    """Contract §1: it carries only true statements, and there are no id tokens here."""
    document = await _document(running, OPENID)
    untrue = {"userinfo_endpoint", "end_session_endpoint", "id_token_signing_alg_values_supported", "claims_supported"}
    assert not untrue & document.keys()
    assert "openid" not in document["scopes_supported"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp/notes", "/mcp/notes/"])
async def test_a_client_finds_its_way_from_the_challenge(with_notes: TestGateway, path: str, host: str) -> None:
    """RS2, contract §7, RFC 9728 §5.1, R35: challenge → resource metadata → issuer → server metadata, all equal."""
    bad = [("authorization", "Bearer bfat_unknown"), ("content-type", "application/json")]
    answer = await ask(
        with_notes, path, method="POST", host=host, headers=bad, body=b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    )
    assert answer.status_code == 401
    challenge = re.search(r'resource_metadata="([^"]+)"', answer.headers["www-authenticate"])
    assert challenge
    url = urlsplit(challenge[1])
    document = await _document(with_notes, url.path, url.netloc)
    assert document["resource"] == f"http://{host}{path}"
    issuer = urlsplit(document["authorization_servers"][0])
    assert (await _document(with_notes, SERVER, issuer.netloc))["issuer"] == document["authorization_servers"][0]


async def test_an_https_issuer_is_the_same_under_every_public_url(https: TestGateway) -> None:
    """A3, A11, contract §1: the first public URL is the issuer; the resource is the one that was asked for."""
    for host in ("gw.example.com", "alt.example.com", "GW.example.com", "gw.example.com:443"):
        server = await _document(https, SERVER, host)
        assert server["issuer"] == "https://gw.example.com"
        assert all(
            url.startswith("https://gw.example.com/") for name, url in server.items() if name.endswith("_endpoint")
        )
        resource = await _document(https, RESOURCE + "/mcp/notes", host)
        ours = "https://alt.example.com" if host.startswith("alt") else "https://gw.example.com"
        assert resource["resource"] == f"{ours}/mcp/notes"
        assert resource["authorization_servers"] == ["https://gw.example.com"]


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_forged_headers_do_not_reach_the_documents(running: TestGateway, document: str) -> None:
    """TC-117, contract §1: absolute URLs are built from configuration, never from a request."""
    forged = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.test;proto=https"),
        ("x-forwarded-prefix", "/evil"),
    ]
    plain = await ask(running, document + "/mcp")
    answer = await ask(running, document + "/mcp", headers=forged)
    assert answer.content == plain.content
    assert b"https" not in answer.content
    misdirected = await ask(running, document, headers=[PROGRAM], host="evil.test")
    assert_error_body(misdirected, status=421, code="misdirected_request", param="", operation=operation_of(document))


UNKNOWN = [
    "/mcp/unknown",
    "/mcp/unknown/",
    "/mcp/NOTES",
    "/MCP",
    "/mcp//",
    "//",
    "/mcp/notes/tools",
    "/mcp/../mcp",
    "/mcp/notes\n",
    "/mcp/é",
    "/mcp?x",
    "/mcp#x",
    "/other",
    "/api",
    "x",
    "mcp",
    ".evil.test",
    "@evil.test/mcp",
    ":8080",
    ":443",
    ":443/mcp",
    ":80/mcp",
]


@pytest.mark.parametrize("suffix", UNKNOWN)
@pytest.mark.parametrize("document", DOCUMENTS)
async def test_where_no_endpoint_is_there_is_no_document(https: TestGateway, document: str, suffix: str) -> None:
    """Contract §§1 and 2: 404, as JSON for a program and as a page for a person; nothing is made up."""
    host = "gw.example.com"
    program = await ask(https, document + suffix, headers=[PROGRAM], host=host)
    operation = program.json().get("extra_fields", {}).get("request_type", "")
    assert_error_body(program, status=404, code="not_found", param="", operation=operation)
    person = await ask(https, document + suffix, headers=[PERSON], host=host)
    assert_error_page(person, status=404)


@pytest.mark.parametrize("suffix", ["", "/mcp"])
@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_document_can_be_asked_for_in_any_harmless_way(
    running: TestGateway, document: str, suffix: str
) -> None:
    """RFC 8414 §3.1: GET; HEAD is the same without a body; what the query or Accept say does not matter."""
    get = await ask(running, document + suffix)
    head = await ask(running, document + suffix, method="HEAD")
    assert head.status_code == 200
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers[name] == get.headers[name]
    for accept in (PROGRAM, PERSON, ("accept", "text/event-stream")):
        answer = await ask(running, document + suffix, b"resource=x&v=%ff", headers=[accept])
        assert (answer.status_code, answer.content) == (200, get.content)


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_page_of_any_origin_may_read_a_document(running: TestGateway, document: str) -> None:
    """Contract §7: CORS on well-knowns, the preflight with the MCP header that clients send."""
    origin = ("origin", "https://inspector.test")
    asked = [
        origin,
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "mcp-protocol-version"),
    ]
    for suffix in ("", "/mcp", "/mcp/unknown"):
        preflight = await ask(running, document + suffix, method="OPTIONS", headers=asked)
        assert preflight.status_code in (200, 204)
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert "GET" in preflight.headers["access-control-allow-methods"]
        assert "mcp-protocol-version" in preflight.headers["access-control-allow-headers"].lower()
        answer = await ask(running, document + suffix, headers=[origin])
        assert answer.status_code == (404 if suffix == "/mcp/unknown" else 200)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        without = await ask(running, document + suffix)
        assert without.headers["access-control-allow-origin"] == "*", "it may be cached, and given to a page"
        assert "vary" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_document_cannot_be_written(running: TestGateway, document: str, method: str) -> None:
    """Contract §2: 405 with Allow."""
    before = await everything(running)
    answer = await ask(running, document + "/mcp", method=method, headers=[PROGRAM])
    assert {word.strip() for word in answer.headers["allow"].split(",")} >= {"GET", "HEAD"}
    assert_error_body(answer, status=405, code="method_not_allowed", param="", operation=operation_of(document))
    assert await everything(running) == before


async def test_a_document_is_not_personal(running: TestGateway) -> None:
    """Contract §1: public, the same for everybody, with or without a credential."""
    for document in DOCUMENTS:
        plain = await ask(running, document)
        answer = await ask(running, document, headers=[("authorization", "Bearer x"), ("cookie", "a=b")])
        assert answer.content == plain.content
        assert "set-cookie" not in answer.headers
        assert "www-authenticate" not in answer.headers
