"""per_user_headers: an administrator gives values of their own, with which the tools are seen and nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest

from bifrost.upstreams.upkeep import SYNC_SECONDS
from tests.flows import _administration as admin
from tests.support.gateway import TestGateway
from tests.support.headers_upstream import HeadersUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

KEYS = {"auth_type": "per_user_headers", "per_user_header_keys": ["X-Api-Key", "X-Tenant"]}
VALUES = {"X-Api-Key": "canary-admin", "X-Tenant": "t"}


@pytest.fixture
def keyed() -> Iterator[HeadersUpstream]:
    upstream = HeadersUpstream(accounts={("canary-admin", "t"): "admin", ("second", "t"): "second"})
    with serving(upstream.app()) as origin:
        upstream.origin = origin
        yield upstream


async def _verify(running: TestGateway, client_id: str, values: dict[str, str]) -> Any:
    return await admin.api(running, "POST", f"/api/mcp/client/{client_id}/verify-headers", {"user_headers": values})


async def test_its_tools_are_seen_with_the_administrators_values_and_no_call_is_made_with_them(
    running: TestGateway, keyed: HeadersUpstream
) -> None:
    """Contract §9: verify-headers."""
    added = await admin.add(running, "keyed", keyed.url, **KEYS)
    assert (added["client"]["state"], added["client"]["tools"]) == ("pending_verification", [])
    verified = await _verify(running, added["mcp_client_id"], VALUES)
    assert (verified.status_code, verified.json()["tool_count"]) == (200, 1)
    assert verified.json()["client"]["state"] == "connected"
    asked = (await admin.call(running, "keyed-whoami")).json()["result"]["_meta"]["mcp_auth_required"]
    assert asked["kind"] == "headers"
    assert "tools/call" not in keyed.methods
    (row,) = await running.rows("upstream_credentials")
    assert (row["owner_kind"], "canary" in str(row)) == ("discovery", False)
    assert "canary" not in (await admin.api(running, "GET", "/api/mcp/clients")).text


async def test_they_can_be_given_at_once_and_then_must_be_right(running: TestGateway, keyed: HeadersUpstream) -> None:
    """Contract §9: `user_headers`; an upstream whose values do not work was not added."""
    body = {"name": "keyed", "connection_string": keyed.url, **KEYS}
    for values in ({"X-Api-Key": "wrong", "X-Tenant": "t"}, {"X-Api-Key": "canary-admin"}, {**VALUES, "X-Other": "x"}):
        refused = await admin.api(running, "POST", "/api/mcp/client", {**body, "user_headers": values})
        assert refused.status_code == 400, refused.text
        assert await running.rows("upstreams") == []
    added = await admin.add(running, "keyed", keyed.url, **KEYS, user_headers=VALUES)
    assert added["client"]["state"] == "connected"


async def test_when_they_are_refused_later_an_administrator_gives_others(
    running: TestGateway, keyed: HeadersUpstream
) -> None:
    """Contract §8: `needs_reauth`, with the reason in words."""
    added = await admin.add(running, "keyed", keyed.url, **KEYS, user_headers=VALUES)
    keyed.accounts.pop(("canary-admin", "t"))
    running.clock.advance(seconds=SYNC_SECONDS)
    await running.gateway.upkeep.once()
    (client,) = await admin.clients(running)
    assert (client["state"], client["state_reason"]) == ("needs_reauth", "The service no longer accepts the values.")
    refused = await admin.api(running, "POST", f"/api/mcp/client/{added['mcp_client_id']}/refresh-tools")
    assert refused.status_code == 409
    verified = await _verify(running, added["mcp_client_id"], {"X-Api-Key": "second", "X-Tenant": "t"})
    assert verified.json()["client"]["state"] == "connected"


async def test_when_other_headers_are_asked_for_the_old_values_are_not_sent(
    running: TestGateway, keyed: HeadersUpstream
) -> None:
    """Contract §8: the schema changed."""
    added = await admin.add(running, "keyed", keyed.url, **KEYS, user_headers=VALUES)
    await admin.change(running, added["mcp_client_id"], per_user_header_keys=["X-Api-Key"])
    keyed.requests.clear()
    running.clock.advance(seconds=SYNC_SECONDS)
    await running.gateway.upkeep.once()
    (client,) = await admin.clients(running)
    assert (client["state"], keyed.requests) == ("needs_reauth", [])
    assert "other headers" in client["state_reason"]


async def test_only_an_upstream_that_asks_for_values_takes_some(running: TestGateway, keyed: HeadersUpstream) -> None:
    """Contract §9: and the error says so."""
    added = await admin.add(running, "plain", keyed.url)
    refused = await _verify(running, added["mcp_client_id"], VALUES)
    assert (refused.status_code, "per_user_headers" in refused.text) == (409, True)
    body = {"name": "other", "connection_string": keyed.url, "user_headers": VALUES}
    refused = await admin.api(running, "POST", "/api/mcp/client", body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "user_headers")
    assert (await _verify(running, "nothing", VALUES)).status_code == 404
