"""A call that needs an account which is not connected yet, and the link that connects it."""

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.flows import _connecting as people
from tests.flows import _own_headers as own
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway, running_gateway, upstream
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

KEY_HEADER = {"x-bf-vk": VIRTUAL_KEY}
MODERN = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "guarded-whoami"}


def link_in(answer: httpx2.Response) -> str:
    facts: dict[str, Any] = answer.json()["result"]["_meta"]["mcp_auth_required"]
    link = urlsplit(facts["authorize_url"])
    assert f"{link.scheme}://{link.netloc}" == ISSUER, "the link is absolute"
    return f"{link.path}?{link.query}"


async def press(browser: httpx2.AsyncClient, page: httpx2.Response, action: str, **form: str) -> httpx2.Response:
    """Send the form of this page that goes to `action`, as a browser would."""
    found = re.search(rf'<form method="post" action="{action}">(.*?)</form>', page.text, re.DOTALL)
    assert found, page.text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[1]))
    fields = {name: unescape(value) for name, value in hidden.items()}
    return await browser.post(action, data={**fields, **form}, headers={"Origin": ISSUER})


async def prove(browser: httpx2.AsyncClient, link: str, key: str) -> httpx2.Response:
    return await press(browser, await browser.get(link), "/api/oauth/per-user/connect/vk", virtual_key=key)


async def test_the_list_shows_a_service_that_is_not_connected(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: connecting stays possible when a model only sees tools."""
    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        (tool,) = (await running.http.post("/mcp", json=body, headers=KEY_HEADER)).json()["result"]["tools"]
        assert tool["name"] == "guarded-connect_account"
        answer = await people.whoami(running, KEY_HEADER, name=tool["name"])
        assert link_in(answer)


CONNECT = "guarded-connect_account"


@pytest.mark.parametrize(
    ("key_tools", "headers"),
    [
        (["whoami"], {}),
        (["*"], {"x-bf-mcp-include-tools": "guarded-whoami"}),
        (["*"], {"x-bf-mcp-include-tools": "guarded-*"}),
        (["*"], {"x-bf-mcp-include-clients": "guarded"}),
    ],
)
async def test_a_filter_that_leaves_a_service_some_tools_leaves_it_the_one_that_connects(
    sqlite_url: str, tmp_path: Path, key_tools: list[str], headers: dict[str, str]
) -> None:
    """Contract §7: what is shown can be called, and a tool that the filter hides cannot, connected or not."""
    config = {"mcp_client_name": "guarded", "tools_to_execute": key_tools}
    keys = [{"id": "vk-test", "name": "test", "value": VIRTUAL_KEY, "mcp_configs": [config]}]
    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream(), keys=keys) as running:
        sent = {**KEY_HEADER, **headers}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        listed = (await running.http.post("/mcp", json=body, headers=sent)).json()["result"]["tools"]
        assert [tool["name"] for tool in listed] == [CONNECT]
        assert link_in(await people.whoami(running, sent, name=CONNECT))
        hidden = await people.whoami(running, sent, name="guarded-hidden")
        filtered = key_tools == ["whoami"] or headers.get("x-bf-mcp-include-tools") == "guarded-whoami"
        assert ("error" in hidden.json()) == filtered


@pytest.mark.parametrize("headers", [{"x-bf-mcp-include-tools": "other-x"}, {"x-bf-mcp-include-clients": "other"}])
async def test_a_filter_that_leaves_a_service_nothing_hides_the_one_that_connects(
    sqlite_url: str, tmp_path: Path, headers: dict[str, str]
) -> None:
    """Contract §7: a tool that the caller may not use does not exist for them."""
    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running:
        sent = {**KEY_HEADER, **headers}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert (await running.http.post("/mcp", json=body, headers=sent)).json()["result"]["tools"] == []
        refused = await people.whoami(running, sent, name=CONNECT)
        assert refused.json()["error"]["code"] == -32602


async def test_a_client_that_opens_urls_gets_a_request_for_input(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7, R68, 2026-07-28: `input_required` with URL elicitation when the client declared it, text when not.

    V7.
    """
    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running:
        cases: list[tuple[dict[str, Any], str]] = [({"elicitation": {"url": {}}}, "input_required"), ({}, "complete")]
        for capabilities, kind in cases:
            meta = {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": capabilities,
            }
            result = (await people.whoami(running, {**KEY_HEADER, **MODERN}, _meta=meta)).json()["result"]
            assert result["resultType"] == kind
            assert result["_meta"]["mcp_auth_required"]["kind"] == "oauth"
            if kind == "input_required":
                (request,) = result["inputRequests"].values()
                assert request["method"] == "elicitation/create"
                assert request["params"]["mode"] == "url"
                assert request["params"]["url"] == result["_meta"]["mcp_auth_required"]["authorize_url"]


MODERN_META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": {}}, {"elicitation": {"form": {}}}, {"sampling": {}}])
async def test_nothing_is_asked_of_a_client_that_did_not_offer_it(
    sqlite_url: str, tmp_path: Path, capabilities: dict[str, Any]
) -> None:
    """G8, G9: no mode that was not declared, and never a form for something secret; the link comes as text."""
    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running:
        meta = {**MODERN_META, CAPABILITIES: capabilities}
        result = (await people.whoami(running, {**KEY_HEADER, **MODERN}, _meta=meta)).json()["result"]
        assert "inputRequests" not in result
        assert result["isError"] is True
        assert result["_meta"]["mcp_auth_required"]["authorize_url"] in result["content"][0]["text"]


@pytest.mark.parametrize("action", ["decline", "cancel", "accept"])
@pytest.mark.parametrize("state", ["as it was", "tampered", "missing"])
async def test_whatever_the_client_answers_the_account_is_looked_for_again(
    sqlite_url: str, tmp_path: Path, action: str, state: str
) -> None:
    """G10, G11: the state that comes back proves nothing and is believed in nothing; no answer skips the sign-in."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        meta = {**MODERN_META, CAPABILITIES: {"elicitation": {"url": {}}}}
        first = (await people.whoami(running, {**KEY_HEADER, **MODERN}, _meta=meta)).json()["result"]
        states = {"as it was": {"requestState": first["requestState"]}, "tampered": {"requestState": "connected"}}
        answers = {"inputResponses": {name: {"action": action} for name in first["inputRequests"]}}
        again = await people.whoami(running, {**KEY_HEADER, **MODERN}, _meta=meta, **answers, **states.get(state, {}))
        assert again.json()["result"]["resultType"] == "input_required"
        assert guarded.calls == []


async def test_a_link_says_nothing_about_its_person(sqlite_url: str, tmp_path: Path) -> None:
    """G7: no secret, no name, nothing that signs anybody in; two links of one person have nothing in common."""
    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running, running.browser() as browser:
        links = [link_in(await people.whoami(running, KEY_HEADER)) for _ in range(2)]
        for link in links:
            assert re.fullmatch(r"/api/oauth/per-user/upstream/authorize\?session=con_[\w-]{20,}", link)
        assert links[0] != links[1]
        edited = await browser.get(links[0][:-1] + ("A" if links[0][-1] != "A" else "B"))
        assert edited.status_code == 400
        assert "Your services" not in (await browser.get(links[1])).text


async def test_the_key_pasted_again_proves_the_person(database_url: str, tmp_path: Path) -> None:
    """Contract §7: the link opens our page, which asks before any upstream is contacted; then the call works."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded) as running, running.browser() as browser:
        link = link_in(await people.whoami(running, KEY_HEADER))
        asked = await browser.get(link)
        assert "Is this you?" in asked.text
        assert "guarded" not in asked.text, "nothing of the session is shown before the proof"
        proven = await prove(browser, link, VIRTUAL_KEY)
        page = await browser.get(proven.headers["location"])
        assert guarded.authorizations == []
        started = await press(browser, page, "/api/oauth/per-user/connect/start")
        assert started.status_code == 303
        back = await browser.get(await people.at_the_service(started.headers["location"], "alice"))
        assert "The account is connected" in (await browser.get(back.headers["location"])).text
        assert people.text_of(await people.whoami(running, KEY_HEADER)) == "alice"


async def test_whoever_sends_a_virtual_key_connects_where_nobody_signs_in(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: a call's answer leads to a page also in the mode `headers`; the pasted key proves the person."""
    guarded, mode = OAuthUpstream(), {"mcp_server_auth_mode": "headers"}
    with serving(guarded.app()) as guarded.origin:
        configured = {"client_configs": [upstream("guarded", guarded.url, auth_type="per_user_oauth")]}
        gateway = running_gateway(sqlite_url, tmp_path, mcp=configured, governance=people.KEYS, client=mode)
        async with gateway as running, running.browser() as browser:
            proven = await prove(browser, link_in(await people.whoami(running, KEY_HEADER)), VIRTUAL_KEY)
            page = await browser.get(proven.headers["location"])
            started = await press(browser, page, "/api/oauth/per-user/connect/start")
            await browser.get(await people.at_the_service(started.headers["location"], "alice"))
            assert people.text_of(await people.whoami(running, KEY_HEADER)) == "alice"


async def test_a_browser_that_just_gave_consent_is_known(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: the cookie of an earlier consent of the same identity is proof enough."""
    async with (
        people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running,
        running.browser() as browser,
    ):
        flow_id = await oauth.begin(browser, await oauth.register(running.http))
        await oauth.approve(browser, flow_id)
        page = await browser.get(link_in(await people.whoami(running, KEY_HEADER)))
        assert "Your services" in page.text


async def _stranger(running: TestGateway, browser: httpx2.AsyncClient, link: str) -> None:
    flow_id = await oauth.begin(browser, await oauth.register(running.http))
    await oauth.approve(browser, flow_id, people.SECOND_KEY)
    assert "Is this you?" in (await browser.get(link)).text


async def test_a_link_opened_by_somebody_else_goes_nowhere(sqlite_url: str, tmp_path: Path) -> None:
    """G6, TC-107, TC-108: another identity's browser, another key, a stolen form: no upstream is contacted."""
    guarded = OAuthUpstream()
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        running.browser() as owner,
        running.browser() as stranger,
    ):
        link = link_in(await people.whoami(running, KEY_HEADER))
        await _stranger(running, stranger, link)
        wrong = await prove(stranger, link, people.SECOND_KEY)
        assert "error=key_refused" in wrong.headers["location"]
        await prove(owner, link, VIRTUAL_KEY)
        page = await owner.get(link)
        assert (await press(stranger, page, "/api/oauth/per-user/connect/start")).status_code == 403
        assert guarded.authorizations == []


async def test_a_link_is_over_after_a_quarter_of_an_hour(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """TC-108: unknown and expired links look the same."""
    async with (
        people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream(), clock=clock) as running,
        running.browser() as browser,
    ):
        link = link_in(await people.whoami(running, KEY_HEADER))
        clock.advance(seconds=901)
        late = await browser.get(link)
        unknown = await browser.get("/api/oauth/per-user/upstream/authorize", params={"session": "con_unknown"})
        assert (late.status_code, unknown.status_code) == (400, 400)
        assert re.sub(r"evt_[\w-]+", "", late.text) == re.sub(r"evt_[\w-]+", "", unknown.text)


async def _opened(running: TestGateway, version: str, capabilities: dict[str, Any]) -> dict[str, str]:
    """A session of the older era: the headers of its requests."""
    info = {"name": "test", "version": "1"}
    params = {"protocolVersion": version, "capabilities": capabilities, "clientInfo": info}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    answer = await running.http.post("/mcp", json=body, headers=KEY_HEADER)
    session = answer.headers.get("mcp-session-id")
    return KEY_HEADER | {"MCP-Protocol-Version": version} | ({"Mcp-Session-Id": session} if session else {})


@pytest.mark.parametrize(
    ("version", "capabilities", "opens"),
    [
        ("2025-11-25", {"elicitation": {"url": {}}}, True),
        ("2025-11-25", {"elicitation": {"form": {}, "url": {}}}, True),
        ("2025-11-25", {"elicitation": {}}, False),
        ("2025-11-25", {"elicitation": {"url": None}}, False),
        ("2025-11-25", {}, False),
        ("2025-06-18", {"elicitation": {"url": {}}}, False),
    ],
)
async def test_a_client_of_the_older_era_that_opens_urls_gets_an_error_that_names_them(
    sqlite_url: str, tmp_path: Path, version: str, capabilities: dict[str, Any], *, opens: bool
) -> None:
    """V7, contract §7, R68, 2025-11-25: error -32042 with `elicitations`; everybody else gets the text."""
    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running:
        headers = await _opened(running, version, capabilities)
        answer = (await people.whoami(running, headers)).json()
        if not opens:
            assert answer["result"]["isError"] is True
            return
        assert answer["error"]["code"] == -32042
        (asked,) = answer["error"]["data"]["elicitations"]
        facts = answer["error"]["data"]["mcp_auth_required"]
        assert set(asked) == {"mode", "elicitationId", "url", "message"}
        assert (asked["mode"], asked["url"]) == ("url", facts["authorize_url"])
        assert asked["url"].startswith(f"{ISSUER}/api/oauth/per-user/upstream/authorize?session=con_")


async def test_a_result_carries_a_challenge_for_clients_that_read_one(sqlite_url: str, tmp_path: Path) -> None:
    """R68, one hosted client: `_meta["mcp/www_authenticate"]` begins our own sign-in, where services are connected."""
    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running:
        for path, document in (("/mcp", "/mcp"), ("/mcp/guarded", "/mcp/guarded")):
            name = "guarded-whoami" if path == "/mcp" else "whoami"
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {}}}
            answer = await running.http.post(path, json=body, headers=KEY_HEADER)
            (challenge,) = answer.json()["result"]["_meta"]["mcp/www_authenticate"]
            metadata = f'resource_metadata="{ISSUER}/.well-known/oauth-protected-resource{document}"'
            assert challenge.startswith(f"Bearer {metadata}, scope=")
            assert 'error="insufficient_scope"' in challenge
            found = await running.http.get(f"/.well-known/oauth-protected-resource{document}")
            assert found.json()["resource"] == f"{ISSUER}{path}"


async def test_several_missing_services_are_one_link(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7, R67: one link whose page has all of them, and the answer says which."""
    signing, valued = OAuthUpstream(), own.guarded_by_headers()
    with serving(signing.app()) as one, serving(valued.app()) as two:
        signing.origin, valued.origin = one, two
        entries = [upstream("guarded", signing.url, auth_type="per_user_oauth"), own.entry(valued, name="valued")]
        async with (
            running_gateway(sqlite_url, tmp_path, mcp={"client_configs": entries}, governance=people.KEYS) as running,
            running.browser() as browser,
        ):
            for name, member in (("guarded-whoami", "authorize_url"), ("valued-whoami", "submit_url")):
                result = (await people.whoami(running, KEY_HEADER, name=name)).json()["result"]
                facts = result["_meta"]["mcp_auth_required"]
                assert sorted(facts["services"]) == ["guarded", "valued"]
                assert "guarded and valued" in result["content"][0]["text"] or "valued and guarded" in str(result)
                link = urlsplit(facts[member])
                proven = await prove(browser, f"{link.path}?{link.query}", VIRTUAL_KEY)
                page = await browser.get(proven.headers["location"])
                assert "guarded" in page.text
                assert "valued" in page.text
