"""What can be done to somebody's sign-in at an upstream: by other people, by other servers, and by the upstream itself."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from starlette.responses import RedirectResponse

from tests.flows import _connecting as people
from tests.support import oauth
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway, upstream
from tests.support.oauth_upstream import TOOL, OAuthUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

CALLBACK = "/api/oauth/callback"
REDIRECTS = [301, 302, 307, 308]
PLACES = ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server", "/register"]


async def _away(running: TestGateway, browser: httpx2.AsyncClient) -> str:
    """A consent at the upstream's door: where the Connect button leads."""
    flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
    started = await browser.get(await people.connect_link(browser, flow_id))
    assert started.status_code == 302, started.headers.get("location")
    return str(started.headers["location"])


@pytest.mark.parametrize(
    ("change", "status"), [("empty", 403), ("twice", 400), ("code twice", 400), ("iss twice", 400)]
)
async def test_a_callback_that_can_be_read_in_two_ways_is_refused(
    sqlite_url: str, tmp_path: Path, change: str, status: int
) -> None:
    """TC-105, TC-109: nothing is asked upstream, and the person who has the right answer goes on."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        right = await people.at_the_service(await _away(running, browser), "alice")
        query = parse_qs(urlsplit(right).query)
        more = {
            "empty": right.replace(f"state={query['state'][0]}", "state="),
            "twice": f"{right}&state=other",
            "code twice": f"{right}&code=other",
            "iss twice": f"{right}&iss=other",
        }
        assert (await browser.get(more[change])).status_code == status
        assert guarded.token_requests == []
        assert "notice=connected" in (await browser.get(right)).headers["location"]


@pytest.mark.parametrize("iss", ["upper", "https://evil.example"])
async def test_a_refusal_of_another_issuer_is_not_the_services_refusal(
    sqlite_url: str, tmp_path: Path, iss: str
) -> None:
    """TC-109, RFC 9207 §2.4: errors too; its text is not shown, and a difference in case is a difference."""
    guarded = OAuthUpstream(deny=True)
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        away = await _away(running, browser)
        guarded.iss = guarded.origin.upper() if iss == "upper" else iss
        back = await people.at_the_service(away, "alice")
        answer = await browser.get(f"{back}&error_description=Call+0123456789")
        assert "notice=upstream_mixed_up" in answer.headers["location"]
        page = await browser.get(answer.headers["location"])
        assert "0123456789" not in page.text
        assert "did not give access" not in page.text


@pytest.mark.parametrize("resource", ["https://other.example/mcp", "ORIGIN/other", "ORIGIN/mcp/deeper", "", 5])
async def test_metadata_about_another_resource_is_not_followed(
    sqlite_url: str, tmp_path: Path, resource: object
) -> None:
    """TC-110, RFC 9728 §3.3: a token for somebody else's resource must not be fetched in its name."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        guarded.resource = {"resource": resource.replace("ORIGIN", guarded.origin) if isinstance(resource, str) else 5}
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        answer = await browser.get(await people.connect_link(browser, flow_id))
        assert "notice=upstream_sign_in_impossible" in answer.headers["location"]
        assert guarded.registrations == guarded.authorizations == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "data:text/html,<script>alert(1)</script>",
        "a:$(id)",
        "http://remote.example/authorize",
        "https://as.example/authorize\r\nSet-Cookie: a=b",
        "https://user:password@as.example/authorize",
        "https://as.example/authorize#fragment",
        "//as.example/authorize",
        "https://as.example\\@evil.example/",
    ],
)
async def test_no_browser_is_sent_to_an_address_that_is_not_plain_https(
    sqlite_url: str, tmp_path: Path, endpoint: str
) -> None:
    """TC-113, G14: not in a Location, not on a page."""
    guarded = OAuthUpstream(metadata={"authorization_endpoint": endpoint})
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        answer = await browser.get(await people.connect_link(browser, flow_id))
        assert answer.headers["location"].startswith("/oauth/consent/mcps?")
        assert "set-cookie" not in answer.headers
        page = await browser.get(answer.headers["location"])
        for part in (endpoint, "alert(1)", "evil.example", "as.example"):
            assert part not in page.text


async def test_the_words_of_an_error_at_the_callback_are_not_shown(sqlite_url: str, tmp_path: Path) -> None:
    """TC-116, CVE-2025-62800: with a state that is right and with one that is not, our own words only."""
    markup = "<svg onload=alert(1)>"
    words = {"error": markup, "error_description": markup, "error_uri": "javascript:alert(1)"}
    async with (
        people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream(iss=None)) as running,
        running.browser() as browser,
    ):
        state = parse_qs(urlsplit(await _away(running, browser)).query)["state"][0]
        wrong = await browser.get(CALLBACK, params={**words, "state": "guessed"})
        right = await browser.get(CALLBACK, params={**words, "state": state})
        shown = await browser.get(right.headers["location"])
        assert (wrong.status_code, right.status_code, shown.status_code) == (403, 303, 200)
        for page in (wrong, shown):
            assert "alert(1)" not in page.text
            assert "svg onload" not in page.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
        {"Forwarded": "host=evil.example;proto=https"},
        {"X-Original-Url": "https://evil.example/"},
    ],
)
async def test_the_callback_we_give_to_a_service_is_the_configured_one(
    sqlite_url: str, tmp_path: Path, headers: dict[str, str]
) -> None:
    """TC-117: whatever a proxy header says; another Host is refused before anything is asked."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        link = await people.connect_link(browser, flow_id)
        guarded.seen.clear()
        assert (await browser.get(link, headers={"Host": "evil.example"})).status_code == 421
        assert guarded.seen == []
        started = await browser.get(link, headers=headers)
        asked = parse_qs(urlsplit(started.headers["location"]).query)
        assert asked["redirect_uri"] == [f"{ISSUER}{CALLBACK}"]
        assert guarded.registrations[0]["redirect_uris"] == [f"{ISSUER}{CALLBACK}"]


async def test_a_callback_in_parallel_is_used_once(database_url: str, tmp_path: Path) -> None:
    """TC-132: twenty at once are one token request and one row."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded) as running, running.browser() as browser:
        back = await people.at_the_service(await _away(running, browser), "alice")
        answers = await asyncio.gather(*(browser.get(back) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [303] + [403] * 19
        assert len(guarded.token_requests) == 1
        assert len(await running.rows("upstream_credentials")) == 1


async def test_a_key_uses_no_account_of_another_key(sqlite_url: str, tmp_path: Path) -> None:
    """TC-123: two keys of one team share nothing, and a key that is revoked in the middle finishes nothing."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        other = (await people.whoami(running, {"x-bf-vk": people.SECOND_KEY})).json()["result"]
        assert other["_meta"]["mcp_auth_required"]
        assert guarded.calls == []
        async with running.browser() as browser:
            flow_id, csrf = await people.identify(browser, await oauth.register(running.http), people.SECOND_KEY)
            await people.connect(browser, flow_id, "bob")
            await running.gateway.virtual_keys.revoke("vk-two")
            answer = await oauth.press(browser, "submit", flow_id, csrf=csrf)
            assert "error=identity_required" in answer.headers["location"]
            owners = {(row["owner_kind"], row["owner_id"]) for row in await running.rows("upstream_credentials")}
            assert ("vk", "vk-two") not in owners


async def test_a_key_connects_only_what_it_may_use(sqlite_url: str, tmp_path: Path) -> None:
    """TC-123: the other services are hidden, and a link that is put together by hand is refused."""
    guarded, config = OAuthUpstream(), {"mcp_client_name": "guarded", "tools_to_execute": ["*"]}
    keys: list[dict[str, Any]] = [
        {"id": "vk-test", "name": "test", "value": VIRTUAL_KEY, "mcp_configs": [config]},
        {"id": "vk-two", "name": "two", "value": people.SECOND_KEY},
    ]
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded, allow_on_all_virtual_keys=False, keys=keys) as running,
        running.browser() as browser,
    ):
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        allowed = await people.connect_link(browser, flow_id)
        guarded.seen.clear()
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http), people.SECOND_KEY)
        page = await browser.get("/oauth/consent/mcps", params={"flow_id": flow_id})
        assert "upstream/authorize" not in page.text
        upstream_id = parse_qs(urlsplit(allowed).query)["mcp_client_id"][0]
        forged = {"mcp_client_id": upstream_id, "flow_id": flow_id}
        assert (await browser.get("/api/oauth/per-user/upstream/authorize", params=forged)).status_code == 404
        assert guarded.seen == []


async def test_neither_side_ever_sees_the_tokens_of_the_other(sqlite_url: str, tmp_path: Path) -> None:
    """TC-125, G5: our key, code and token are in no request to the service, its tokens in no answer of ours."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        headers = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        sent = {**headers, "Cookie": "canary=1", "X-Forwarded-User": "canary", "Mcp-Session-Id": "canary"}
        answers = [await people.whoami(running, sent)]
        guarded.access.clear()
        answers.append(await people.whoami(running, sent, name="guarded-whoami", arguments={"a": 1}))
        guarded.refresh.clear()
        guarded.access.clear()
        answers.append(await people.whoami(running, sent))
    upstreams = b"".join(guarded.seen)
    for secret in (headers["Authorization"].removeprefix("Bearer "), VIRTUAL_KEY, "canary"):
        assert secret.encode() not in upstreams
    ours = "".join(answer.text + str(answer.headers) for answer in answers)
    assert not [token for token in guarded.issued if token in ours]


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_redirect_on_the_way_to_a_sign_in_is_not_followed(
    sqlite_url: str, tmp_path: Path, path: str, status: int
) -> None:
    """TC-127, R64: metadata and registration are where they are, not where a redirect says."""
    guarded, other = OAuthUpstream(), OAuthUpstream()
    with serving(other.app()) as origin:
        other.origin = origin
        guarded.redirects = {path: RedirectResponse(f"{origin}{path}", status)}
        async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
            flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
            answer = await browser.get(await people.connect_link(browser, flow_id))
            assert origin not in answer.headers["location"]
    assert other.seen == []


@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_redirect_gets_no_code_and_no_token(sqlite_url: str, tmp_path: Path, status: int) -> None:
    """TC-127, R64: neither the token endpoint nor the server itself can have them sent to another address."""
    guarded, other = OAuthUpstream(), OAuthUpstream()
    with serving(other.app()) as origin:
        async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
            back = await people.at_the_service(await _away(running, browser), "alice")
            guarded.redirects = {"/token": RedirectResponse(f"{origin}/token", status)}
            assert "notice=upstream_unavailable" in (await browser.get(back)).headers["location"]
            guarded.redirects = {}
            alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
            guarded.redirects = {"/mcp": RedirectResponse(f"{origin}/mcp", status)}
            refused = (await people.whoami(running, alice)).json()
            assert "guarded" in refused["error"]["message"]
            assert origin not in str(refused)
    assert other.seen == []


async def test_the_schema_of_a_tool_is_passed_on_and_never_followed(sqlite_url: str, tmp_path: Path) -> None:
    """TC-128, CVE-2026-116686: references are not fetched, loops and patterns not run, and the other tools stay.

    T24.
    """
    sink, guarded = OAuthUpstream(), OAuthUpstream()
    with serving(sink.app()) as origin:
        hostile: list[dict[str, Any]] = [
            {"$ref": f"{origin}/schema.json"},
            {"$ref": "file:///etc/passwd"},
            {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
            {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}},
            {"description": "x" * 1_000_000},
        ]
        guarded.tools = [TOOL] + [
            {"name": f"hostile{number}", "inputSchema": {"type": "object", **schema}, "outputSchema": schema}
            for number, schema in enumerate(hostile)
        ]
        async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
            alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            tools = (await running.http.post("/mcp", json=body, headers=alice)).json()["result"]["tools"]
            listed = {tool["name"]: tool for tool in tools}
            assert "guarded-whoami" in listed
            for number, schema in enumerate(hostile):
                assert listed[f"guarded-hostile{number}"]["outputSchema"] == schema
                arguments = {"a": "a" * 50 + "!"}
                answer = await people.whoami(running, alice, name=f"guarded-hostile{number}", arguments=arguments)
                assert people.text_of(answer) == "alice"
    assert sink.seen == []


async def test_another_upstream_gets_nothing_of_this_one(sqlite_url: str, tmp_path: Path) -> None:
    """G12: credentials are found by upstream and owner; two with the same person never mix."""
    one, other = OAuthUpstream(), OAuthUpstream()
    with serving(other.app()) as origin:
        other.origin = origin
        second = upstream("other", other.url, auth_type="per_user_oauth")
        async with people.connected_gateway(sqlite_url, tmp_path, one, others=[second]) as running:
            alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
            answer = await people.whoami(running, alice, name="other-whoami")
            assert answer.json()["result"]["_meta"]["mcp_auth_required"]["service"] == "other"
    assert not [token for token in one.issued for seen in other.seen if token.encode() in seen]
