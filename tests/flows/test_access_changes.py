"""What a change through the management API, or of a key at the command line, means for accounts at upstreams."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.authserver.connect import ConnectSession
from bifrost.base.clock import SECOND
from bifrost.identity.models import Identity
from bifrost.storage.connect import SqlConnectStore
from bifrost.upstreams import credential_life
from tests.flows import _administration as admin
from tests.flows import _connecting as people
from tests.flows import _own_headers as own
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.anyio

KEY = "/api/governance/virtual-keys/vk-test"
PROVE, START = "/api/oauth/per-user/connect/vk", "/api/oauth/per-user/connect/start"
ALL = {"mcp_client_name": "guarded", "tools_to_execute": ["*"]}
NONE = {"mcp_client_name": "guarded", "tools_to_execute": []}


async def _states(running: TestGateway) -> dict[str, str]:
    """As they are written: nobody asked for a list, which would judge them first."""
    return {row["owner_id"]: row["state"] for row in await running.rows("upstream_credentials")}


async def _upstream_id(running: TestGateway) -> str:
    (row,) = await running.rows("upstreams")
    return str(row["id"])


def _refused(answer: httpx2.Response) -> bool:
    """Whether the upstream is hidden, or the key is refused as a whole."""
    return answer.status_code in (401, 403) or "error" in answer.json()


@pytest.mark.parametrize(
    ("lost", "back"),
    [
        ({"is_active": False}, {"is_active": True}),
        ({"expires_at": "2001-01-01T00:00:00Z"}, {"expires_at": None}),
        ({"mcp_configs": [NONE]}, {"mcp_configs": [ALL]}),
        ({"mcp_configs": []}, {"mcp_configs": [ALL]}),
    ],
    ids=["inactive", "expired", "no-tools", "not-named"],
)
async def test_a_change_of_a_key_is_a_change_of_its_accounts(
    database_url: str, tmp_path: Path, lost: dict[str, Any], back: dict[str, Any]
) -> None:
    """Contract §8: orphaned with the access and active again with it, at the change itself; others are untouched."""
    keys = [{**key, "mcp_configs": [ALL]} for key in people.KEYS["virtual_keys"]]
    guarded = OAuthUpstream()
    async with people.connected_gateway(
        database_url, tmp_path, guarded, keys=keys, allow_on_all_virtual_keys=False
    ) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await people.signed_in_with(running, people.SECOND_KEY, "bob")
        for members, state in ((lost, "orphaned"), (back, "active")):
            answer = await admin.api(running, "PUT", KEY, members)
            assert answer.status_code == 200, answer.text
            assert await _states(running) == {"vk-test": state, "vk-two": "active"}
            assert _refused(await people.whoami(running, alice)) is (state == "orphaned")
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        assert len(guarded.authorizations) == 2, "nobody had to connect again"


async def test_a_change_of_an_upstream_is_a_change_of_everybodys_accounts_there(
    database_url: str, tmp_path: Path
) -> None:
    """Contract §8: orphaned and active with the access; asked for anew, for good, when it moves."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await people.signed_in_with(running, people.SECOND_KEY, "bob")
        upstream_id = await _upstream_id(running)
        for members, state in (
            ({"allow_on_all_virtual_keys": False}, "orphaned"),
            ({"allow_on_all_virtual_keys": True}, "active"),
            ({"connection_string": "http://localhost:1/mcp"}, "needs_reauth"),
            ({"allow_on_all_virtual_keys": False}, "orphaned"),
            ({"allow_on_all_virtual_keys": True}, "needs_reauth"),
        ):
            assert (await admin.change(running, upstream_id, **members)).status_code == 200
            assert await _states(running) == {"vk-test": state, "vk-two": state}, members


async def test_with_a_key_everything_goes_that_hangs_on_it(database_url: str, tmp_path: Path) -> None:
    """Contract §9: grants, tokens, accounts, links, consents; and each token is revoked where it was given (RFC 7009)."""
    guarded = OAuthUpstream(revokes=True)
    async with people.connected_gateway(database_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        bob = await people.signed_in_with(running, people.SECOND_KEY, "bob")
        assert (await admin.api(running, "DELETE", KEY)).status_code == 204
        assert [guarded.refresh[form["token"]] for form in guarded.revocations] == ["alice"]
        assert await _states(running) == {"vk-two": "active"}
        for table, column in (
            ("grants", "identity_id"),
            ("remembered_consents", "identity_id"),
            ("known_browsers", "identity_id"),
            ("connect_sessions", "identity_id"),
            ("virtual_keys", "id"),
        ):
            assert "vk-test" not in {row[column] for row in await running.rows(table)}, table
        assert (await people.whoami(running, alice)).status_code == 401
        assert people.text_of(await people.whoami(running, bob)) == "bob"
        assert (await admin.api(running, "DELETE", KEY)).status_code == 404


async def test_a_key_is_gone_before_a_service_is_told_that_does_not_listen(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-130: revocation at a service is tried, and is never in the way of what happens here."""
    monkeypatch.setattr(credential_life, "ALL_REVOCATIONS_SECONDS", 0.2)
    guarded = OAuthUpstream(revokes=True)
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        guarded.revocation_seconds = 1.0
        assert (await admin.api(running, "DELETE", KEY)).status_code == 204
        assert await _states(running) == {}
        assert [row["id"] for row in await running.rows("virtual_keys")] == ["vk-two"]


async def test_a_key_that_is_deleted_while_its_person_is_at_the_service_gets_no_account(
    database_url: str, tmp_path: Path
) -> None:
    """Contract §9: nothing may come to hang on a key that is gone; what the service gave is revoked."""
    guarded = OAuthUpstream(revokes=True)
    async with people.connected_gateway(database_url, tmp_path, guarded) as running, running.browser() as browser:
        back = await _at_the_service(running, browser)
        assert (await admin.api(running, "DELETE", KEY)).status_code == 204
        answer = await browser.get(back)
        assert "notice=upstream_sign_in_refused" in answer.headers["location"]
        assert await _states(running) == {}
        assert [guarded.refresh[form["token"]] for form in guarded.revocations] == ["alice"]


async def test_a_consent_that_was_denied_meanwhile_gets_no_account(database_url: str, tmp_path: Path) -> None:
    """Contract §5: Deny deletes what was connected, and what comes back from a service afterwards is not kept."""
    guarded = OAuthUpstream(revokes=True)
    async with people.connected_gateway(database_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, csrf = await people.identify(browser, await oauth.register(running.http))
        started = await browser.get(await people.connect_link(browser, flow_id))
        back = await people.at_the_service(started.headers["location"], "alice")
        await oauth.press(browser, "deny", flow_id, csrf=csrf)
        await browser.get(back)
        assert await running.rows("upstream_credentials") == []
        assert len(guarded.revocations) == 1


async def test_what_a_consent_connected_is_revoked_when_it_is_denied(database_url: str, tmp_path: Path) -> None:
    """Contract §5, RFC 7009: deleted here, and over there."""
    guarded = OAuthUpstream(revokes=True)
    async with people.connected_gateway(database_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, csrf = await people.identify(browser, await oauth.register(running.http))
        await people.connect(browser, flow_id, "alice")
        answer = await oauth.press(browser, "deny", flow_id, csrf=csrf)
        assert "error=access_denied" in answer.headers["location"]
        assert await running.rows("upstream_credentials") == []
        assert [guarded.refresh[form["token"]] for form in guarded.revocations] == ["alice"]


async def test_what_a_consent_connected_ends_with_its_time(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """TC-130: a window that was closed leaves no token behind, neither here nor, as far as it goes, over there."""
    guarded = OAuthUpstream(revokes=True)
    async with (
        people.connected_gateway(database_url, tmp_path, guarded, clock=clock) as running,
        running.browser() as browser,
    ):
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        await people.connect(browser, flow_id, "alice")
        clock.advance(seconds=899)
        await running.gateway.sweeper.sweep()
        assert len(await running.rows("upstream_credentials")) == 1
        clock.advance(seconds=1)
        await running.gateway.sweeper.sweep()
        assert await running.rows("upstream_credentials") == []
        assert [guarded.refresh[form["token"]] for form in guarded.revocations] == ["alice"]


async def test_what_an_administrator_did_not_complete_ends_with_its_time(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """As above: a sign-in of an administrator has a quarter of an hour to be completed."""
    guarded = OAuthUpstream(revokes=True)
    async with admin.gateway(sqlite_url, tmp_path, guarded, clock=clock) as running:
        pending = await admin.add(running, "guarded", guarded.url, auth_type="oauth")
        async with running.browser() as browser:
            await admin.sign_in(browser, pending, "robot")
        await running.gateway.sweeper.sweep()
        assert len(await running.rows("upstream_credentials")) == 1
        clock.advance(seconds=900)
        await running.gateway.sweeper.sweep()
        assert await running.rows("upstream_credentials") == []
        assert len(guarded.revocations) == 1


async def test_a_sign_in_leaves_nothing_sealed_behind(database_url: str, tmp_path: Path) -> None:
    """TC-130: the verifier and our client's secret are needed once, at the callback."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert await running.rows("upstream_sign_ins") == []


async def test_an_anonymous_session_ends_with_its_last_grant(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §9: nobody can come back to it, so nothing is held for it; its service is told."""
    guarded = OAuthUpstream(revokes=True)
    async with people.connected_gateway(database_url, tmp_path, guarded, clock=clock) as running:
        await _anonymous(running, "ann")
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await running.gateway.sweeper.sweep()
        assert len(await _states(running)) == 2
        (grant,) = [row for row in await running.rows("grants") if row["identity_kind"] == "session"]
        assert (await admin.api(running, "DELETE", f"/api/oauth2/sessions/{grant['id']}")).status_code in (200, 204)
        clock.advance(seconds=60)
        await running.gateway.sweeper.sweep()
        assert await _states(running) == {"vk-test": "active"}
        assert [guarded.refresh[form["token"]] for form in guarded.revocations] == ["ann"]


async def _at_the_service(running: TestGateway, browser: httpx2.AsyncClient) -> str:
    """Somebody with a link of the first key is at the service: the way back."""
    now = running.clock.now()
    session = ConnectSession(id="con_test", identity=Identity("vk", "vk-test"), expires_at=now + 60 * SECOND)
    await SqlConnectStore(running.gateway.database).add_connect_session(session, now)
    asked = await browser.get("/api/oauth/per-user/upstream/authorize", params={"session": session.id})
    proven = await own.press(browser, asked, PROVE, virtual_key=VIRTUAL_KEY)
    started = await own.press(browser, await browser.get(proven.headers["location"]), START)
    return await people.at_the_service(started.headers["location"], "alice")


async def _anonymous(running: TestGateway, account: str) -> None:
    async with running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id = await oauth.begin(browser, client)
        csrf = await oauth.csrf_of(browser, flow_id)
        await oauth.press(browser, "skip", flow_id, csrf=csrf)
        await people.connect(browser, flow_id, account)
        code = oauth.response_of(await oauth.press(browser, "submit", flow_id, csrf=csrf))["code"]
        await client.redeem(code)
