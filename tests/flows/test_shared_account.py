"""auth_type `oauth`: one account for everybody, kept fresh, and who can help when it stops working (contract §8)."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bifrost.upstreams.oauth.refresh import AHEAD_MILLISECONDS
from tests.flows import _administration as admin
from tests.flows import _connecting as people
from tests.support.clock import FakeClock
from tests.support.gateway import running_gateway
from tests.support.gateway import upstream as entry
from tests.support.mcp_upstream import McpUpstream
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio


async def test_the_account_is_renewed_ahead_of_its_end(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §8: the same machinery as for people's own accounts."""
    upstream = OAuthUpstream(lifetime=3_600)
    async with admin.gateway(database_url, tmp_path, upstream, clock=clock) as running:
        await admin.signed_in(running, await admin.add(running, "guarded", upstream.url, auth_type="oauth"))
        clock.advance(seconds=3_600 - AHEAD_MILLISECONDS / 1_000 / 2)
        assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot"
        assert upstream.refreshes == 1
        assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot"
        assert upstream.refreshes == 1


async def test_when_it_is_refused_for_good_callers_learn_who_can_help_and_get_no_link(
    database_url: str, tmp_path: Path
) -> None:
    """Contract §8: `needs_reauth`, with the reason in words for administrators; the other services go on."""
    upstream = OAuthUpstream(lifetime=3_600)
    with serving(McpUpstream().app()) as other:
        async with admin.gateway(database_url, tmp_path, upstream) as running:
            pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
            await admin.add(running, "other", f"{other}/mcp")
            await admin.signed_in(running, pending)
            upstream.access.clear()
            upstream.refresh.clear()
            with capture_logs() as logs:
                for _ in range(3):
                    answer = await admin.call(running, "guarded-whoami")
                    running.clock.advance(seconds=2)
            error = answer.json()["error"]
            assert error["data"]["code"] == "upstream_needs_reauth"
            assert "administrator" in error["message"]
            assert "http" not in error["message"]
            assert await admin.tools(running) == ["other-one"]
            states = [client["state"] for client in await admin.clients(running, search="guarded")]
            assert states == ["needs_reauth"]
            (client,) = await admin.clients(running, search="guarded")
            assert client["state_reason"] == "The service no longer accepts the sign-in."
            assert [line["state"] for line in logs if line["event"] == "upstream_state"] == ["needs_reauth"]

            refused = await admin.api(running, "POST", f"/api/mcp/client/{pending['mcp_client_id']}/refresh-tools")
            assert refused.status_code == 409
            assert "reauthorize" in refused.json()["error"]["message"]
            again = await admin.api(running, "POST", f"/api/mcp/client/{pending['mcp_client_id']}/reauthorize")
            await admin.signed_in(running, again.json(), "robot-2")
            assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot-2"
            (client,) = await admin.clients(running, search="guarded")
            assert (client["state"], client["state_reason"]) == ("connected", "")


async def test_an_outage_of_the_sign_in_service_is_not_the_end(database_url: str, tmp_path: Path) -> None:
    """Contract §8: transient failure retries."""
    upstream = OAuthUpstream(lifetime=3_600)
    async with admin.gateway(database_url, tmp_path, upstream) as running:
        await admin.signed_in(running, await admin.add(running, "guarded", upstream.url, auth_type="oauth"))
        upstream.refresh_status = 503
        running.clock.advance(seconds=3_590)
        running.gateway.credentials.pause = _at_once
        assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot"
        upstream.refresh_status = 200
        running.clock.advance(seconds=60)
        assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot"


async def test_one_callers_call_does_not_take_everybodys_account_away(sqlite_url: str, tmp_path: Path) -> None:
    """RFC 6750 §3.1: step-up is for the administrator; the account stays as it is for everything else."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        await admin.signed_in(running, await admin.add(running, "guarded", upstream.url, auth_type="oauth"))
        upstream.wants = "files:write"
        error = (await admin.call(running, "guarded-whoami")).json()["error"]
        assert "oauth_config.scopes" in error["message"]
        upstream.wants = ""
        assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot"
        (client,) = await admin.clients(running)
        assert client["state"] == "connected"


async def test_one_that_the_file_declares_waits_for_its_administrator(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: initiate-verification, for what was declared without a sign-in."""
    upstream = OAuthUpstream()
    with admin.guarded(upstream):
        declared = entry("guarded", upstream.url, auth_type="oauth")
        async with running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [declared]}) as running:
            (client,) = await admin.clients(running)
            assert client["state"] == "pending_verification"
            path = f"/api/mcp/client/{client['config']['client_id']}"
            refused = await admin.api(running, "POST", f"{path}/reauthorize")
            assert (refused.status_code, "initiate-verification" in refused.text) == (409, True)
            assert (await admin.api(running, "POST", f"{path}/refresh-tools")).status_code == 409
            error = (await admin.call(running, "guarded-whoami")).json()["error"]
            assert error["data"]["code"] == "upstream_needs_reauth"
            pending = (await admin.api(running, "POST", f"{path}/initiate-verification")).json()
            assert pending["oauth_config_id"] == client["config"]["oauth_config_id"]
            await admin.signed_in(running, pending)
            assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot"
            refused = await admin.api(running, "POST", f"{path}/initiate-verification")
            assert (refused.status_code, "reauthorize" in refused.text) == (409, True)
            (client,) = await admin.clients(running)
            assert (client["state"], client["managed_by"]) == ("connected", "file")


async def test_the_account_can_be_taken_away(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: DELETE /api/oauth/config/{id}."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        await admin.signed_in(running, pending)
        path = f"/api/oauth/config/{pending['oauth_config_id']}"
        assert (await admin.api(running, "DELETE", path)).status_code == 200
        assert await running.rows("upstream_credentials") == []
        assert (await admin.call(running, "guarded-whoami")).json()["error"]["data"]["code"] == "upstream_needs_reauth"
        (client,) = await admin.clients(running)
        assert (client["state"], client["state_reason"]) == ("needs_reauth", "An administrator took the account away.")
        told = (await admin.api(running, "GET", f"{path}/status")).json()
        assert (told["status"], told["completed"]) == ("failed", False)


async def _at_once(_seconds: float) -> None:
    """No waiting between attempts."""
