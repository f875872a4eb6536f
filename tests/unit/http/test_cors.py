"""Cross-origin reads."""

import pytest
from starlette.responses import Response

from bifrost.base.errors import Denied
from bifrost.http.cors import Cors
from tests.unit._requests import request

OURS, FOREIGN = "https://app.example.com", "https://evil.example"
OPEN = Cors()
LISTED = Cors(lambda origin: origin == OURS)


def answered(cors: Cors, origin: str | None) -> Response:
    response = Response()
    cors.allow(request({} if origin is None else {"origin": origin}), response)
    return response


def test_a_public_document_may_be_read_from_everywhere() -> None:
    """Contract §7: CORS on the well-knowns, register, token."""
    assert answered(OPEN, FOREIGN).headers["access-control-allow-origin"] == "*"


def test_what_a_cache_kept_for_a_program_may_be_given_to_a_page() -> None:
    """Fetch §3.2.5: documents are cacheable, and an answer without the header would lock pages out until it expires."""
    assert answered(OPEN, None).headers["access-control-allow-origin"] == "*"


def test_a_listed_origin_may_read_and_caches_keep_origins_apart() -> None:
    """Contract §7; Fetch §3.2.5."""
    headers = answered(LISTED, OURS).headers
    assert headers["access-control-allow-origin"] == OURS
    assert headers["vary"] == "Origin"


@pytest.mark.parametrize("cors", [OPEN, LISTED])
def test_credentials_are_never_allowed(cors: Cors) -> None:
    """Contract §7: cookies never travel across origins."""
    assert "access-control-allow-credentials" not in answered(cors, OURS).headers


@pytest.mark.parametrize("origin", [None, FOREIGN, "null"])
def test_no_other_origin_is_told_anything(origin: str | None) -> None:
    """Contract §7."""
    assert "access-control-allow-origin" not in answered(LISTED, origin).headers


@pytest.mark.parametrize("origin", [FOREIGN, "null", "", OURS + "/", OURS.upper(), f"{OURS}, {FOREIGN}"])
def test_a_foreign_origin_is_refused(origin: str) -> None:
    """Contract §7: 403 before authentication."""
    with pytest.raises(Denied) as caught:
        LISTED.check(request({"origin": origin}))
    assert caught.value.code == "origin_not_allowed"


def test_without_an_origin_or_with_ours_nothing_is_refused() -> None:
    """Contract §7: only an Origin that is present and not allowed is."""
    LISTED.check(request())
    LISTED.check(request({"origin": OURS}))
    OPEN.check(request({"origin": FOREIGN}))


@pytest.mark.parametrize(
    "header",
    ["Authorization", "Content-Type", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Session-Id"]
    + ["Last-Event-ID", "x-bf-vk", "x-api-key", "x-goog-api-key", "api-key", "x-bf-mcp-session-id"]
    + ["x-bf-mcp-include-clients", "x-bf-mcp-include-tools"],
)
def test_a_browser_may_send_every_header_that_the_endpoints_read(header: str) -> None:
    """Contract §7: the forms of a credential, and the filters."""
    allowed = Cors.preflight(request({}), ("POST",)).headers["access-control-allow-headers"].lower().split(", ")
    assert header.lower() in allowed


@pytest.mark.parametrize("header", ["WWW-Authenticate", "Mcp-Session-Id", "X-Request-Id", "Retry-After"])
def test_a_browser_may_read_what_it_needs_to_go_on(header: str) -> None:
    """Contract §7: without the challenge a client in a browser cannot sign in."""
    assert header in answered(OPEN, FOREIGN).headers["access-control-expose-headers"].split(", ")


def test_a_preflight_names_the_methods_and_is_empty() -> None:
    """Fetch §3.2.2."""
    response = Cors.preflight(request({}), ("GET", "POST"))
    assert response.status_code == 204
    assert response.body == b""
    assert response.headers["access-control-allow-methods"] == "GET, POST"
    assert int(response.headers["access-control-max-age"]) > 0
