"""A virtual MCP as clients see it: an endpoint, an audience and a filter of its own, in both eras (contract §7)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.flows._administration import api
from tests.flows._hostile_upstream import HostileUpstream, hostile
from tests.flows._mcp import ERAS, KEY, ask, call, challenge, key, names, refusal, result_of, rpc_error, with_upstreams
from tests.flows._tokens import opens, signed_in
from tests.flows._virtual_mcps import VIRTUAL_MCPS, changed, holding, made
from tests.support import oauth
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

INCLUDE_TOOLS = "x-bf-mcp-include-tools"
FELT_SECONDS = 1.0
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


@pytest.fixture
def one() -> Iterator[HostileUpstream]:
    with hostile() as server:
        yield server


@pytest.fixture
def two() -> Iterator[HostileUpstream]:
    with hostile(era="legacy") as server:
        yield server


@pytest.fixture
async def gateway(
    one: HostileUpstream, two: HostileUpstream, sqlite_url: str, tmp_path: Path
) -> AsyncIterator[TestGateway]:
    entries = (upstream("one", one.url), upstream("two", two.url))
    async with with_upstreams(sqlite_url, tmp_path, *entries) as running:
        yield running


@pytest.mark.parametrize("era", ERAS)
async def test_of_several_upstreams_the_names_carry_a_prefix_and_of_one_they_do_not(
    gateway: TestGateway, era: str
) -> None:
    """Contract §7, names; in both eras of clients, with an upstream of each."""
    await made(gateway, "both", holding("two", one=["write"]))
    await made(gateway, "single", holding(two=["read"]))
    assert await names(gateway.http, era=era, path="/mcp/both") == ["one-write", "two-read", "two-write"]
    assert await names(gateway.http, era=era, path="/mcp/single") == ["read"]
    for path, name in (("/mcp/both", "one-write"), ("/mcp/both", "two-read"), ("/mcp/single", "read")):
        assert result_of(await call(gateway.http, name, era=era, path=path))["content"][0]["text"] == "done"
    status = 400 if era == "modern" else 200
    for path, name in (("/mcp/both", "one-read"), ("/mcp/both", "write"), ("/mcp/single", "write")):
        refused = rpc_error(await call(gateway.http, name, era=era, path=path), status)
        assert refused == {"code": -32602, "message": f"Unknown tool: {name}"}


@pytest.mark.parametrize("era", ERAS)
async def test_it_never_gives_what_the_other_filters_take(
    one: HostileUpstream, two: HostileUpstream, sqlite_url: str, tmp_path: Path, era: str
) -> None:
    """Contract §7: upstream ∩ request headers ∩ mcp_configs ∩ bundle."""
    entries = (
        upstream("one", one.url, allow_on_all_virtual_keys=False),
        upstream("two", two.url, tools_to_execute=["read"]),
        upstream("off", two.url, disabled=True),
    )
    governance = {"virtual_keys": [key(mcp_configs=[{"mcp_client_name": "one", "tools_to_execute": ["write"]}])]}
    async with with_upstreams(sqlite_url, tmp_path, *entries, governance=governance) as running:
        await made(running, "all", holding("one", "two", "off"))
        await made(running, "dark", holding("off"))
        assert await names(running.http, era=era, path="/mcp/all") == ["one-write", "two-read"]
        narrowed = {**KEY, INCLUDE_TOOLS: "two-*"}
        assert await names(running.http, era=era, path="/mcp/all", headers=narrowed) == ["two-read"]
        assert await names(running.http, era=era, path="/mcp/dark") == []


async def test_it_has_metadata_a_challenge_and_an_audience_of_its_own(gateway: TestGateway) -> None:
    """Contract §1 and §7, R73: a token for one endpoint opens no other, pairwise."""
    await made(gateway, "work", holding("one", "two"))
    await made(gateway, "play", holding("two"))
    paths = ("/mcp", "/mcp/work", "/mcp/play", "/mcp/two")
    for path in paths:
        document = (await gateway.http.get(f"/.well-known/oauth-protected-resource{path}")).json()
        assert document["resource"] == f"{ISSUER}{path}"
        unauthenticated = await ask(gateway.http, "tools/list", path=path, headers={})
        assert unauthenticated.status_code == 401
        assert unauthenticated.headers["www-authenticate"] == challenge(path)
        _, tokens = await signed_in(gateway, resource=f"{ISSUER}{path}")
        token = tokens["access_token"]
        assert [await opens(gateway, token, other) for other in paths] == [
            200 if other == path else 401 for other in paths
        ]
    assert (await gateway.http.get("/.well-known/oauth-authorization-server/mcp/work")).status_code == 200
    assert (await gateway.http.get("/.well-known/oauth-protected-resource/mcp/gone")).status_code == 404


async def test_the_consent_shows_only_the_services_in_it(gateway: TestGateway) -> None:
    """Contract §5: the services of the endpoint that is asked for."""
    await made(gateway, "work", holding("two"))
    async with gateway.browser() as browser:
        client = await oauth.register(gateway.http)
        flow_id = await oauth.begin(browser, client, resource=f"{ISSUER}/mcp/work")
        await oauth.press(browser, "vk", flow_id, virtual_key=VIRTUAL_KEY)
        page = (await browser.get("/oauth/consent/mcps", params={"flow_id": flow_id})).text
    assert ">two<" in page
    assert ">one<" not in page


async def test_a_change_is_felt_by_every_process_within_a_second(
    one: HostileUpstream, two: HostileUpstream, database_url: str, tmp_path: Path
) -> None:
    """Contract §6: what was taken out, switched off or deleted is gone everywhere."""
    sections: dict[str, Any] = {"mcp": {"client_configs": [upstream("one", one.url), upstream("two", two.url)]}}
    async with AsyncExitStack() as stack:
        here, there = [
            await stack.enter_async_context(running_gateway(database_url, tmp_path, **sections)) for _ in range(2)
        ]

        async def sees(expected: list[str] | None) -> None:
            """At the other process, and what it cannot list it cannot call."""
            deadline = asyncio.get_running_loop().time() + FELT_SECONDS
            while await _seen(there) != expected:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.02)

        work = await made(here, "work", holding("one", "two"))
        await sees(["one-read", "one-write", "two-read", "two-write"])
        await changed(here, work, mcp_configs=holding(one=["read"]))
        await sees(["read"])
        await changed(here, work, disabled=True)
        await sees(None)
        await changed(here, work, disabled=False)
        await sees(["read"])
        await api(here, "DELETE", f"{VIRTUAL_MCPS}/{work['id']}")
        await sees(None)


async def _seen(running: TestGateway) -> list[str] | None:
    answer = await ask(running.http, "tools/list", path="/mcp/work")
    if answer.status_code == 404:
        assert refusal(answer, 404) == "unknown_endpoint"
        return None
    return [tool["name"] for tool in result_of(answer)["tools"]]


async def test_a_token_for_one_that_was_deleted_does_not_open_the_next_at_its_address(gateway: TestGateway) -> None:
    """RFC 8707 §2: people allowed the one that they were shown."""
    first = await made(gateway, "work", holding(one=["read"]))
    client, tokens = await signed_in(gateway, resource=f"{ISSUER}/mcp/work")
    _, others = await signed_in(gateway)
    assert await opens(gateway, tokens["access_token"], "/mcp/work") == 200
    await api(gateway, "DELETE", f"{VIRTUAL_MCPS}/{first['id']}")
    assert await opens(gateway, tokens["access_token"], "/mcp/work") == 404
    await made(gateway, "work", holding("one", "two"))
    assert await opens(gateway, tokens["access_token"], "/mcp/work") == 401
    assert (await client.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert await opens(gateway, others["access_token"]) == 200


async def test_a_session_of_one_endpoint_is_none_at_another(gateway: TestGateway) -> None:
    """Contract §7: sessions belong to the endpoint where they were begun."""
    for name in ("work", "play"):
        await made(gateway, name, holding("one"))
    greeting = await ask(gateway.http, "initialize", INITIALIZE, path="/mcp/work")
    session = {**KEY, "Mcp-Session-Id": greeting.headers["mcp-session-id"]}
    assert await names(gateway.http, path="/mcp/work", headers=session) == ["read", "write"]
    assert (await ask(gateway.http, "tools/list", path="/mcp/play", headers=session)).status_code == 404


async def test_a_call_beyond_the_scope_is_challenged_for_this_endpoint(gateway: TestGateway) -> None:
    """Contract §6, scopes: the challenge of a refused call names this endpoint."""
    await made(gateway, "work", holding("one"))
    _, tokens = await signed_in(gateway, resource=f"{ISSUER}/mcp/work", scope="mcp:read")
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    result_of(await call(gateway.http, "read", path="/mcp/work", headers=bearer))
    refused = await call(gateway.http, "write", path="/mcp/work", headers=bearer)
    assert refused.status_code == 403
    assert f"{ISSUER}/.well-known/oauth-protected-resource/mcp/work" in refused.headers["www-authenticate"]
