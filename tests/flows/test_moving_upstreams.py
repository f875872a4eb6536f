"""An upstream that moves, or names another authorization server: what belonged to the old one stays there."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.flows import _administration as admin
from tests.flows import _connecting as people
from tests.support import oauth
from tests.support.gateway import VIRTUAL_KEY, TestGateway
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.anyio

CLIENT = {"client_id": "us", "client_secret": "canary-secret"}


async def _wants_to_connect(running: TestGateway) -> str:
    """Where a person who presses Connect is sent, or the code of why not."""
    async with running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id, _ = await people.identify(browser, client, VIRTUAL_KEY)
        answer = await browser.get(await people.connect_link(browser, flow_id))
        return str(answer.headers["location"])


async def test_a_secret_is_not_used_at_another_authorization_server_that_the_upstream_names_later(
    sqlite_url: str, tmp_path: Path
) -> None:
    """TC-111: not for a person, and not for an administrator, who reads what has changed."""
    upstream, evil = OAuthUpstream(), OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        with admin.guarded(evil):
            pending = await admin.add(running, "guarded", upstream.url, auth_type="per_user_oauth", oauth_config=CLIENT)
            await admin.signed_in(running, pending)
            assert (await _wants_to_connect(running)).startswith(f"{upstream.origin}/authorize?")
            upstream.resource = {"authorization_servers": [evil.origin]}
            assert (await _wants_to_connect(running)).endswith("notice=upstream_sign_in_impossible")
            again = await admin.api(running, "POST", f"/api/mcp/client/{pending['mcp_client_id']}/reauthorize")
            async with running.browser() as browser:
                await admin.prove(browser, again.json())
                started = await admin.start(browser, again.json())
                page = await browser.get(started.headers["location"])
            assert evil.origin in page.text
            told = await admin.status(running, again.json())
            assert told["status"] == "failed"
            assert evil.origin in told["reason"]
            assert [*evil.token_requests, *evil.authorizations, *evil.registrations, *evil.calls] == []


async def test_sending_the_client_again_is_how_an_administrator_agrees(sqlite_url: str, tmp_path: Path) -> None:
    """TC-111: what the error says works."""
    upstream, new = OAuthUpstream(), OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        with admin.guarded(new):
            pending = await admin.add(running, "guarded", upstream.url, auth_type="per_user_oauth", oauth_config=CLIENT)
            await admin.signed_in(running, pending)
            upstream.resource = {"authorization_servers": [new.origin]}
            changed = await admin.change(
                running, pending["mcp_client_id"], oauth_config={"client_id": "us-there", "client_secret": "new-secret"}
            )
            assert changed.json()["client"]["state"] == "needs_reauth"
            again = await admin.api(running, "POST", f"/api/mcp/client/{pending['mcp_client_id']}/reauthorize")
            async with running.browser() as browser:
                await admin.prove(browser, again.json())
                started = await admin.start(browser, again.json())
            assert started.headers["location"].startswith(f"{new.origin}/authorize?")
            assert "client_id=us-there" in started.headers["location"]


@pytest.mark.parametrize("auth_type", ["oauth", "per_user_oauth"])
async def test_at_another_address_no_stored_token_is_ever_sent(
    database_url: str, tmp_path: Path, auth_type: str
) -> None:
    """TC-111: credentials belong to the place that they were given for."""
    upstream, elsewhere = OAuthUpstream(), OAuthUpstream()
    async with admin.gateway(database_url, tmp_path, upstream) as running:
        with admin.guarded(elsewhere):
            pending = await admin.add(running, "guarded", upstream.url, auth_type=auth_type)
            await admin.signed_in(running, pending)
            headers = admin.KEY if auth_type == "oauth" else await people.signed_in_with(running, VIRTUAL_KEY, "ann")
            assert (await people.whoami(running, headers)).status_code == 200
            known = set(upstream.access) | set(upstream.refresh)

            moved = await admin.change(running, pending["mcp_client_id"], connection_string=elsewhere.url)
            assert moved.json()["client"]["state"] == "needs_reauth"
            refused = await people.whoami(running, headers)
            assert elsewhere.calls == []
            assert not known & set(elsewhere.presented)
            if auth_type == "oauth":
                assert refused.json()["error"]["data"]["code"] == "upstream_needs_reauth"
            else:
                assert "mcp_auth_required" in refused.json()["result"]["_meta"]

            if auth_type == "oauth":
                again = await admin.api(running, "POST", f"/api/mcp/client/{pending['mcp_client_id']}/reauthorize")
                await admin.signed_in(running, again.json(), "there")
                assert people.text_of(await people.whoami(running, headers)) == "there"


async def test_a_sign_in_that_was_under_way_when_the_upstream_moved_comes_to_nothing(
    sqlite_url: str, tmp_path: Path
) -> None:
    """TC-111: the callback would bring a token of the old place."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="per_user_oauth")
        await admin.signed_in(running, pending)
        async with running.browser() as browser:
            client = await oauth.register(running.http)
            flow_id, _ = await people.identify(browser, client, VIRTUAL_KEY)
            started = await browser.get(await people.connect_link(browser, flow_id))
            back = await people.at_the_service(started.headers["location"], "ann")
            await admin.change(running, pending["mcp_client_id"], connection_string=f"{upstream.url}?v=2")
            assert (await browser.get(back)).status_code == 403


async def test_registering_anew_ends_every_account_and_gets_another_client(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: reregister, for an authorization server that forgot us."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        await admin.signed_in(running, pending)
        assert len(upstream.registrations) == 1
        again = await admin.api(running, "POST", f"/api/mcp/client/{pending['mcp_client_id']}/reregister")
        assert again.json()["status"] == "pending_oauth"
        (client,) = await admin.clients(running)
        assert client["state"] == "needs_reauth"
        assert (await admin.call(running, "guarded-whoami")).json()["error"]["data"]["code"] == "upstream_needs_reauth"
        await admin.signed_in(running, again.json(), "robot-2")
        assert len(upstream.registrations) == 2
        assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot-2"


async def test_a_client_that_was_registered_by_hand_is_not_registered_anew(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: and the error says what to do instead."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth", oauth_config=CLIENT)
        await admin.signed_in(running, pending)
        refused = await admin.api(running, "POST", f"/api/mcp/client/{pending['mcp_client_id']}/reregister")
        assert refused.status_code == 409
        assert "oauth_config" in refused.json()["error"]["message"]
        (client,) = await admin.clients(running)
        assert client["config"]["oauth_config"]["client_secret"] == "<redacted>"
        assert client["state"] == "connected"
        # nor where it cannot be told, since what was configured does not open
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other, other:
            other.execute("UPDATE upstreams SET sealed_oauth_config = 'broken'")
        refused = await admin.api(running, "POST", f"/api/mcp/client/{pending['mcp_client_id']}/reregister")
        assert (refused.status_code, "Send it again" in refused.json()["error"]["message"]) == (409, True)
