"""Upstreams at the management API: added, listed, changed, deleted (contract §9)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows import _administration as admin
from tests.support import sdk_upstream
from tests.support.gateway import TestGateway, running_gateway, upstream
from tests.support.mcp_upstream import McpUpstream, tool
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

NOBODY = "http://127.0.0.1:1/mcp"


@pytest.fixture
def plain() -> Iterator[tuple[McpUpstream, str]]:
    made = McpUpstream()
    with serving(made.app()) as origin:
        yield made, f"{origin}/mcp"


async def test_an_upstream_that_was_added_can_be_used_at_once(running: TestGateway) -> None:
    """Contract §9: its tools are seen when it is added, by a server that nobody here wrote."""
    with serving(sdk_upstream.build().streamable_http_app()) as origin:
        added = await admin.add(running, "sample", f"{origin}/mcp")
        assert (added["status"], added["client"]["state"]) == ("success", "connected")
        found = {tool["name"]: tool for tool in added["client"]["tools"]}
        assert set(found) == {"whoami", "add"}
        assert found["add"]["description"] == "Add two numbers."
        assert set(found["add"]["parameters"]["properties"]) == {"a", "b"}
        assert len(found["add"]["hash"]) == 64
        assert found["add"]["discovered_at"] == found["add"]["changed_at"]
        assert found["add"]["gone_at"] is None
        answer = await admin.call(running, "sample-add", a=2, b=3)
        assert answer.json()["result"]["structuredContent"] == {"result": 5}


async def test_an_upstream_is_shown_by_the_published_member_names(
    running: TestGateway, plain: tuple[McpUpstream, str]
) -> None:
    """Contract §9."""
    added = await admin.add(running, "Notes", plain[1], tool_execution_timeout=5, client_id="notes-1")
    assert added["mcp_client_id"] == "notes-1"
    (client,) = await admin.clients(running)
    assert client == added["client"]
    config = client["config"]
    assert {name: config[name] for name in ("client_id", "name", "endpoint_slug", "connection_type", "auth_type")} == {
        "client_id": "notes-1", "name": "Notes", "endpoint_slug": "notes", "connection_type": "http",
        "auth_type": "none",
    }  # fmt: skip
    assert config["tools_to_execute"] == ["*"]
    assert config["stdio_config"] == {"command": "", "args": [], "envs": []}
    assert config["tool_execution_timeout"] == 5
    assert client["managed_by"] == "api"


async def test_the_list_can_be_searched_filtered_and_paged(running: TestGateway) -> None:
    """Contract §9: `{clients,count,total_count,limit,offset}`."""
    wanted: dict[str, dict[str, Any]] = {
        "alpha": {},
        "Beta": {"auth_type": "headers", "headers": {"X-Key": "k"}},
        "beta_two": {"disabled": True},
        "gamma": {"disabled": True, "auth_type": "per_user_oauth"},
    }
    for name, members in wanted.items():
        await admin.add(running, name, NOBODY, **members)

    async def names(**query: Any) -> list[str]:
        return [client["config"]["name"] for client in await admin.clients(running, **query)]

    assert await names() == ["Beta", "alpha", "beta_two", "gamma"]
    assert await names(search="BETA") == ["Beta", "beta_two"]
    assert await names(auth_type="headers,per_user_oauth") == ["Beta", "gamma"]
    assert await names(disabled="true") == ["beta_two", "gamma"]
    assert await names(disabled="false", state="disconnected") == ["Beta", "alpha"]
    assert await names(state="disabled") == ["beta_two", "gamma"]
    assert await names(connection_type="sse") == []
    page = (await admin.api(running, "GET", "/api/mcp/clients", limit=2, offset=1)).json()
    assert {name: page[name] for name in page if name != "clients"} == {
        "count": 2, "total_count": 4, "limit": 2, "offset": 1,
    }  # fmt: skip
    assert [client["config"]["name"] for client in page["clients"]] == ["alpha", "beta_two"]
    refused = await admin.api(running, "GET", "/api/mcp/clients", state="healthy")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "state")
    assert "pending_tools" in refused.json()["error"]["message"]


async def test_an_upstream_that_does_not_answer_is_kept_and_says_why(running: TestGateway) -> None:
    """Contract §8: states."""
    added = await admin.add(running, "away", NOBODY)
    assert added["client"]["state"] == "disconnected"
    assert added["client"]["state_reason"] == "away cannot be reached."
    again = await admin.api(running, "POST", f"/api/mcp/client/{added['mcp_client_id']}/reconnect")
    assert again.status_code == 503


@pytest.mark.parametrize("action", ["reconnect", "refresh-tools"])
async def test_an_upstream_is_looked_at_when_an_administrator_asks(
    running: TestGateway, plain: tuple[McpUpstream, str], action: str
) -> None:
    """Contract §9: and what is different is visible."""
    server, url = plain
    added = await admin.add(running, "plain", url)
    running.clock.advance(seconds=60)
    server.tools = [tool("one", "Another description."), tool("two")]
    answer = (await admin.api(running, "POST", f"/api/mcp/client/{added['mcp_client_id']}/{action}")).json()
    assert (answer["status"], answer["tool_count"]) == ("success", 2)
    one, two = answer["client"]["tools"]
    assert one["changed_at"] == two["discovered_at"] > one["discovered_at"]
    assert answer["client"]["tools_hash"] != added["client"]["tools_hash"]
    server.tools = []
    answer = (await admin.api(running, "POST", f"/api/mcp/client/{added['mcp_client_id']}/{action}")).json()
    assert answer["tool_count"] == 0
    assert [tool["gone_at"] is None for tool in answer["client"]["tools"]] == [False, False]


async def test_no_secret_is_ever_returned_and_its_stand_in_keeps_it(running: TestGateway) -> None:
    """Contract §9: a redacted value sent back means keep."""
    server = McpUpstream(required_header=("x-key", "canary-secret"))
    with serving(server.app()) as origin:
        headers = {"X-Key": "canary-secret", "X-Tenant": "first"}
        added = await admin.add(running, "keyed", f"{origin}/mcp", auth_type="headers", headers=headers)
        assert added["client"]["state"] == "connected"
        assert added["client"]["config"]["headers"] == {"X-Key": "<redacted>", "X-Tenant": "<redacted>"}
        shown = added["client"]["config"]["headers"]
        changed = await admin.change(running, added["mcp_client_id"], headers={**shown, "X-Tenant": "second"})
        assert (changed.status_code, changed.json()["client"]["state"]) == (200, "connected")
        assert (server.headers[-1]["x-key"], server.headers[-1]["x-tenant"]) == ("canary-secret", "second")
        listed = await admin.api(running, "GET", "/api/mcp/clients")
        assert "canary-secret" not in listed.text + changed.text
        assert "canary-secret" not in str(await running.rows("upstreams"))


async def test_a_stand_in_for_a_secret_that_was_never_stored_is_refused(running: TestGateway) -> None:
    """Contract §9: it must not become the secret itself."""
    members = {"auth_type": "headers", "headers": {"X-Key": "<redacted>"}}
    body = {"name": "keyed", "connection_string": NOBODY, **members}
    refused = await admin.api(running, "POST", "/api/mcp/client", body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "headers")
    added = await admin.add(running, "keyed", NOBODY, auth_type="headers", headers={"X-Key": "k"})
    refused = await admin.change(running, added["mcp_client_id"], headers={"X-Other": "<redacted>"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "headers.X-Other")


async def test_a_change_leaves_alone_what_it_does_not_name(
    running: TestGateway, plain: tuple[McpUpstream, str]
) -> None:
    """Contract §9."""
    added = await admin.add(running, "plain", plain[1], tool_sync_interval=300)
    changed = await admin.change(running, added["mcp_client_id"], tools_to_execute=[], name="plainer")
    config = changed.json()["client"]["config"]
    assert config == {**added["client"]["config"], "tools_to_execute": [], "name": "plainer", "endpoint_slug": "plain"}
    assert await admin.tools(running) == []


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"connection_type": "sse"}, "connection_type"),
        ({"auth_type": "headers"}, "auth_type"),
        ({"oauth_config_id": "oac_x"}, "oauth_config_id"),
        ({"name": "with-hyphen"}, "name"),
        ({"tool_sync_interval": 5}, "tool_sync_interval"),
        ({"connection_string": "javascript:alert(1)"}, "connection_string"),
        ({"unknown": 1}, "unknown"),
        ({"disabled": "yes"}, "disabled"),
        ({"headers": {"A": 1}}, "headers[...]"),
        ({"oauth_config": {"scopes": "read"}}, "oauth_config.scopes"),
    ],
)
async def test_a_change_that_cannot_be_is_refused_by_the_name_of_the_member(
    running: TestGateway, plain: tuple[McpUpstream, str], members: dict[str, Any], param: str
) -> None:
    """Contract §2: `error.param`; and nothing has changed."""
    added = await admin.add(running, "plain", plain[1])
    refused = await admin.change(running, added["mcp_client_id"], **members)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text
    (client,) = await admin.clients(running)
    assert client["config"] == added["client"]["config"]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "https://ok.example/\r\nX-Injected: 1",
        "https://ok.example/ x",
        "https://user:secret@ok.example/mcp",
        "https://ok.example/mcp#fragment",
        "http://a:$(id)/mcp",
        "http://a:99999/mcp",
        "http://a:0/mcp",
        "http://a\\@b/mcp",
        "http://:80/mcp",
        "http://-/mcp",
        "gopher://127.0.0.1:6379/_",
        "//ok.example/mcp",
        "",
    ],
)
async def test_an_address_that_is_not_a_plain_url_is_refused(running: TestGateway, url: str) -> None:
    """TC-113, TC-131."""
    body = {"name": "bad", "connection_string": url}
    refused = await admin.api(running, "POST", "/api/mcp/client", body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "connection_string"), refused.text
    assert await running.rows("upstreams") == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/mcp",
        "https://localhost/mcp",
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3/mcp",
        "http://[::1]/mcp",
        "http://[::ffff:127.0.0.1]/mcp",
        "http://2130706433/mcp",
        "http://0x7f.1/mcp",
    ],
)
async def test_on_a_public_gateway_an_internal_address_needs_the_operators_leave(
    sqlite_url: str, tmp_path: Path, url: str
) -> None:
    """TC-131: contacting it is not left to whoever has the management API."""
    public = {"public_urls": ["https://mcp.example.com"]}
    async with running_gateway(sqlite_url, tmp_path, server=public) as running:
        body = {"name": "inside", "connection_string": url}
        refused = await running.http.post("https://mcp.example.com/api/mcp/client", json=body, headers=admin.ADMIN)
        assert refused.status_code == 400, refused.text
        assert refused.json()["error"]["param"] == "connection_string"
        assert "client.allowed_networks" in refused.json()["error"]["message"]
        assert await running.rows("upstreams") == []


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"name": "plain"}, "name"),
        ({"endpoint_slug": "plain"}, "endpoint_slug"),
        ({"client_id": "plain-1"}, "client_id"),
    ],
)
async def test_what_another_upstream_has_is_refused_by_name(
    running: TestGateway, members: dict[str, Any], param: str
) -> None:
    """Contract §9: names and addresses are each unique."""
    await admin.add(running, "plain", NOBODY, client_id="plain-1")
    body = {"name": "other", "connection_string": NOBODY, **members}
    refused = await admin.api(running, "POST", "/api/mcp/client", body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (409, param), refused.text
    if param != "client_id":
        other = await admin.add(running, "other", NOBODY)
        refused = await admin.change(running, other["mcp_client_id"], **members)
        assert (refused.status_code, refused.json()["error"]["param"]) == (409, param), refused.text


async def test_a_name_that_keys_use_is_not_changed_and_not_taken(sqlite_url: str, tmp_path: Path) -> None:
    """Ours: a new name must not move access from one upstream to another behind the keys' back."""
    key = {"name": "k", "value": "sk-bf-other-0123456789abcdefghijklmnopqrstuvw"}
    keys = [
        {**key, "mcp_configs": [{"mcp_client_name": name, "tools_to_execute": ["*"]} for name in ("used", "later")]}
    ]
    async with running_gateway(sqlite_url, tmp_path, governance={"virtual_keys": keys}) as running:
        used = await admin.add(running, "used", NOBODY, disabled=True)
        free = await admin.add(running, "free", NOBODY, disabled=True)
        for client_id, name in ((used["mcp_client_id"], "unused"), (free["mcp_client_id"], "later")):
            refused = await admin.change(running, client_id, name=name)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "name")
            assert "mcp_configs" in refused.json()["error"]["message"]
        assert (await admin.change(running, free["mcp_client_id"], name="freer")).status_code == 200


async def test_of_many_that_add_the_same_name_at_once_one_does(database_url: str, tmp_path: Path) -> None:
    """Contract §10: over all replicas."""
    async with (
        running_gateway(database_url, tmp_path) as first,
        running_gateway(database_url, tmp_path) as second,
    ):
        body = {"name": "same", "connection_string": NOBODY, "disabled": True}
        answers = await asyncio.gather(
            *(admin.api((first, second)[turn % 2], "POST", "/api/mcp/client", body) for turn in range(8))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7


async def test_changes_made_at_once_are_all_made(database_url: str, tmp_path: Path) -> None:
    """Ours: no change overwrites another that it did not see."""
    async with (
        running_gateway(database_url, tmp_path) as first,
        running_gateway(database_url, tmp_path) as second,
    ):
        added = await admin.add(first, "busy", NOBODY, disabled=True)
        answers = await asyncio.gather(
            admin.change(first, added["mcp_client_id"], tool_execution_timeout=7),
            admin.change(second, added["mcp_client_id"], tool_sync_interval=77),
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        (client,) = await admin.clients(first)
        assert (client["config"]["tool_execution_timeout"], client["config"]["tool_sync_interval"]) == (7, 77)


async def test_a_change_is_felt_in_every_process_within_a_second(
    database_url: str, tmp_path: Path, plain: tuple[McpUpstream, str]
) -> None:
    """Contract §6."""
    async with (
        running_gateway(database_url, tmp_path) as first,
        running_gateway(database_url, tmp_path) as second,
    ):
        assert await admin.tools(second) == []
        added = await admin.add(first, "plain", plain[1])
        second.clock.advance(seconds=1)
        assert await admin.tools(second) == ["plain-one"]
        await admin.change(first, added["mcp_client_id"], disabled=True)
        second.clock.advance(seconds=1)
        assert await admin.tools(second) == []
        await admin.change(first, added["mcp_client_id"], disabled=False)
        second.clock.advance(seconds=1)
        assert await admin.tools(second) == ["plain-one"]
        await admin.api(first, "DELETE", f"/api/mcp/client/{added['mcp_client_id']}")
        second.clock.advance(seconds=1)
        assert await admin.tools(second) == []


async def test_at_another_address_its_tools_are_seen_at_once_everywhere(
    database_url: str, tmp_path: Path, plain: tuple[McpUpstream, str]
) -> None:
    """Contract §6: nothing that was remembered of the old place is shown for the new one."""
    with serving(McpUpstream(tools=[tool("elsewhere")]).app()) as origin:
        async with (
            running_gateway(database_url, tmp_path) as first,
            running_gateway(database_url, tmp_path) as second,
        ):
            added = await admin.add(first, "plain", plain[1])
            second.clock.advance(seconds=1)
            assert await admin.tools(second) == await admin.tools(first) == ["plain-one"]
            await admin.change(first, added["mcp_client_id"], connection_string=f"{origin}/mcp")
            second.clock.advance(seconds=1)
            assert await admin.tools(second) == await admin.tools(first) == ["plain-elsewhere"]


async def test_one_that_was_changed_no_longer_follows_the_file(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §10: the database wins for what was changed through the API."""
    entry = upstream("filed", NOBODY, disabled=True)
    async with running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [entry]}) as running:
        (client,) = await admin.clients(running)
        assert client["managed_by"] == "file"
        changed = await admin.change(running, client["config"]["client_id"], tool_execution_timeout=9)
        assert changed.json()["client"]["managed_by"] == "api"
    edited = {**entry, "tool_execution_timeout": 11}
    async with running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [edited]}) as running:
        (client,) = await admin.clients(running)
        assert client["config"]["tool_execution_timeout"] == 9


async def test_what_is_not_there_is_said_to_be_not_there(running: TestGateway) -> None:
    """Contract §2: and where to look."""
    for method, path in (
        ("PUT", ""), ("DELETE", ""), ("POST", "/reconnect"), ("POST", "/refresh-tools"), ("POST", "/reauthorize"),
        ("POST", "/initiate-verification"), ("POST", "/reregister"), ("POST", "/complete-oauth"),
    ):  # fmt: skip
        answer = await admin.api(running, method, f"/api/mcp/client/nothing{path}", {} if method == "PUT" else None)
        assert answer.status_code == 404, (method, path, answer.text)
    assert (await admin.api(running, "GET", "/api/oauth/config/nothing/status")).status_code == 404
    assert (await admin.api(running, "DELETE", "/api/oauth/config/nothing")).status_code == 404
