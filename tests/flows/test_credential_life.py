"""What becomes of a person's credential: disconnected, orphaned and back again, moved, forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.authserver.connect import ConnectSession
from bifrost.base.clock import SECOND
from bifrost.identity.models import Identity
from bifrost.storage.connect import SqlConnectStore
from bifrost.upstreams import credential_life
from bifrost.upstreams.accounts import Owner
from bifrost.upstreams.credential_life import HeldQuery
from tests.flows import _connecting as people
from tests.flows import _own_headers as own
from tests.support import oauth
from tests.support.gateway import ISSUER, KEY_ID, VIRTUAL_KEY, TestGateway, running_gateway, upstream
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving, until

pytestmark = pytest.mark.anyio

PROVE, DISCONNECT = "/api/oauth/per-user/connect/vk", "/api/oauth/per-user/connect/disconnect"
ANN, TWO = Owner("vk", "vk-test"), Owner("vk", "vk-two")


async def _states(running: TestGateway) -> dict[str, str]:
    return {row["owner_id"]: row["state"] for row in await running.rows("upstream_credentials")}


def _keys(**changes: Any) -> dict[str, Any]:
    """The first key with these members, the second as it is."""
    first, second = people.KEYS["virtual_keys"]
    return {"virtual_keys": [{**first, **changes}, second]}


@asynccontextmanager
async def _again(
    running: TestGateway, tmp_path: Path, database_url: str, guarded: OAuthUpstream, key: Any = None, **more: Any
) -> AsyncIterator[TestGateway]:
    """Another process on the same database, with another configuration."""
    entry = upstream("guarded", guarded.url, auth_type="per_user_oauth", **more)
    governance = _keys(**(key or {}))
    async with running_gateway(
        database_url, tmp_path, clock=running.clock, mcp={"client_configs": [entry]}, governance=governance
    ) as started:
        yield started


async def _link_page(running: TestGateway, browser: httpx2.AsyncClient, key: str = VIRTUAL_KEY) -> httpx2.Response:
    """The page of a link, for a browser that pasted the key."""
    now = running.clock.now()
    session = ConnectSession(id="con_test", identity=Identity("vk", ANN.id), expires_at=now + 60 * SECOND)
    await SqlConnectStore(running.gateway.database).add_connect_session(session, now)
    asked = await browser.get("/api/oauth/per-user/upstream/authorize", params={"session": session.id})
    proven = await own.press(browser, asked, PROVE, virtual_key=key)
    return await browser.get(proven.headers["location"])


async def test_a_person_disconnects_and_the_service_is_told_once(database_url: str, tmp_path: Path) -> None:
    """TC-130, RFC 7009: the row is gone, the refresh token revoked as our client, the next call asks to connect."""
    guarded = OAuthUpstream(revokes=True)
    async with people.connected_gateway(database_url, tmp_path, guarded) as running, running.browser() as browser:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        bob = await people.signed_in_with(running, people.SECOND_KEY, "bob")
        page = await _link_page(running, browser)
        answer = await own.press(browser, page, DISCONNECT)
        assert "The account is disconnected" in (await browser.get(answer.headers["location"])).text
        assert await _states(running) == {"vk-two": "active"}
        (told,) = [row for row in await running.rows("audit_events") if row["event"] == "upstream_disconnected"]
        assert told["actor"].startswith("vk:")
        (revoked,) = guarded.revocations
        assert (guarded.refresh[revoked["token"]], revoked["token_type_hint"]) == ("alice", "refresh_token")
        assert revoked["client_id"] == "client-1"
        assert (await people.whoami(running, alice)).json()["result"]["isError"] is True
        assert people.text_of(await people.whoami(running, bob)) == "bob"


@pytest.mark.parametrize("how", ["fails", "hangs", "gone", "without"])
async def test_a_service_that_does_not_listen_changes_nothing(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """TC-130: tried once, bounded in time, and never in the way of the deletion."""
    monkeypatch.setattr(credential_life, "REVOCATION_SECONDS", 0.2)
    guarded = OAuthUpstream(revokes=how != "without")
    if how == "gone":
        guarded.metadata = {"revocation_endpoint": "http://127.0.0.1:1/revoke"}
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        guarded.revocation_status = 500 if how == "fails" else 200
        guarded.revocation_seconds = 1.0 if how == "hangs" else 0
        answer = await own.press(browser, await _link_page(running, browser), DISCONNECT)
        assert "notice=disconnected" in answer.headers["location"]
        assert await _states(running) == {}
        assert len(guarded.revocations) == (1 if how in ("fails", "hangs") else 0)


async def test_a_disconnect_that_nobody_waits_for_is_whole(database_url: str, tmp_path: Path) -> None:
    """TC-130, contract §2: the process stops while the service is told; the account is gone and the trail says so."""
    guarded = OAuthUpstream(revokes=True)
    guarded.revocation_seconds = 600
    async with people.connected_gateway(database_url, tmp_path, guarded) as running, running.browser() as browser:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        page = await _link_page(running, browser)
        pressed = asyncio.create_task(own.press(browser, page, DISCONNECT))
        await until(lambda: guarded.revocations)
        pressed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pressed
        assert await _states(running) == {}
        (told,) = [row for row in await running.rows("audit_events") if row["event"] == "upstream_disconnected"]
        assert (told["actor"], told["result"]) == (f"vk:{KEY_ID}", "success")


async def test_on_the_page_of_a_consent_the_newer_account_goes_first(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §5: what was connected in this consent, then what the identity has already."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        await people.connect(browser, flow_id, "bob")
        for left in ({"vk-test"}, set()):
            page = await browser.get("/oauth/consent/mcps", params={"flow_id": flow_id})
            answer = await own.press(browser, page, DISCONNECT)
            assert answer.headers["location"].startswith("/oauth/consent/mcps?")
            assert set(await _states(running)) == left
        page = await browser.get("/oauth/consent/mcps", params={"flow_id": flow_id})
        assert DISCONNECT not in page.text


@pytest.mark.parametrize("wrong", ["origin", "csrf", "browser"])
async def test_nobody_else_disconnects(sqlite_url: str, tmp_path: Path, wrong: str) -> None:
    """Contract §5: CSRF token, exact Origin, and the browser that proved itself."""
    async with (
        people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running,
        running.browser() as browser,
        running.browser() as stranger,
    ):
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        page = await _link_page(running, browser)
        await people.identify(stranger, await oauth.register(running.http), people.SECOND_KEY)
        origin = "https://sibling.example" if wrong == "origin" else ISSUER
        fields = {"csrf": "0" * 64} if wrong == "csrf" else {}
        answer = await own.press(stranger if wrong == "browser" else browser, page, DISCONNECT, origin, **fields)
        assert answer.status_code == 403
        assert await _states(running) == {"vk-test": "active"}


@pytest.mark.parametrize(
    "change",
    [
        {"allow_on_all_virtual_keys": False},
        {"key": {"is_active": False}},
        {"key": {"expires_at": "2001-01-01T00:00:00Z"}},
    ],
)
async def test_a_credential_is_orphaned_with_the_access_and_comes_back_with_it(
    database_url: str, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Contract §8: orphaned when the identity lost access; it comes back by itself, and nothing was asked again."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        seen = len(guarded.calls)
        async with _again(running, tmp_path, database_url, guarded, **change) as changed:
            assert (await _states(changed))["vk-test"] == "orphaned"
            await people.whoami(changed, alice)
            assert len(guarded.calls) == seen
        async with _again(running, tmp_path, database_url, guarded) as back:
            assert await _states(back) == {"vk-test": "active"}
            assert people.text_of(await people.whoami(back, alice)) == "alice"
        assert len(guarded.authorizations) == 1


async def test_what_needed_a_sign_in_before_needs_it_afterwards(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: access that comes back does not heal what the service refused."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        guarded.access.clear()
        guarded.refresh.clear()
        await people.whoami(running, alice)
        assert await _states(running) == {"vk-test": "needs_reauth"}
        async with _again(running, tmp_path, sqlite_url, guarded, allow_on_all_virtual_keys=False) as changed:
            assert await _states(changed) == {"vk-test": "orphaned"}
        async with _again(running, tmp_path, sqlite_url, guarded) as back:
            assert await _states(back) == {"vk-test": "needs_reauth"}


async def test_a_use_needs_no_background_job(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: a row that still says orphaned works for whoever reaches the upstream, and then says active."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        async with running.gateway.database.transaction() as connection:
            await connection.run("UPDATE upstream_credentials SET state = 'orphaned'")
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        assert await _states(running) == {"vk-test": "active"}


async def test_a_list_is_right_without_anybody_having_told_it(sqlite_url: str, tmp_path: Path) -> None:
    """What changed in another process is seen when somebody looks; the filter by state goes by today's state."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await people.signed_in_with(running, people.SECOND_KEY, "bob")
        await running.gateway.virtual_keys.revoke("vk-test")
        life = running.gateway.life
        orphaned, count = await life.page(HeldQuery(state="orphaned"))
        assert ([held.owner for held in orphaned], count) == ([ANN], 1)
        assert [held.owner for held in (await life.page(HeldQuery(state="active")))[0]] == [TWO]
        assert await life.reconcile() == 0


async def test_a_service_that_moved_gets_nothing_that_was_meant_for_the_old_one(
    sqlite_url: str, tmp_path: Path
) -> None:
    """TC-111: a token is for the origin that it was given for; a service that comes back is asked for anew as well."""
    guarded, other = OAuthUpstream(), OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        with serving(other.app()) as origin:
            other.origin = origin
            async with _again(running, tmp_path, sqlite_url, other) as moved:
                other.access.update(guarded.access)
                assert await _states(moved) == {"vk-test": "needs_reauth"}
                assert "mcp_auth_required" in (await people.whoami(moved, alice)).text
                assert other.calls == []
        async with _again(running, tmp_path, sqlite_url, guarded) as back:
            assert await _states(back) == {"vk-test": "needs_reauth"}


async def test_header_values_and_a_sign_in_are_not_taken_for_each_other(sqlite_url: str, tmp_path: Path) -> None:
    """An upstream whose auth_type changes asks everybody anew, in the new way."""
    guarded = own.guarded_by_headers()
    async with own.gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await own.signed_in_with(running, VIRTUAL_KEY, own.ALICE)
        configs = {"client_configs": [upstream("guarded", guarded.url, auth_type="per_user_oauth")]}
        async with running_gateway(
            sqlite_url, tmp_path, clock=running.clock, mcp=configs, governance=people.KEYS
        ) as changed:
            guarded.requests.clear()
            assert (await people.whoami(changed, alice)).json()["result"]["_meta"]["mcp_auth_required"][
                "kind"
            ] == "oauth"
            assert await _states(changed) == {}, "values cannot become a sign-in"
            assert not any("x-api-key" in headers for _, headers in guarded.requests)


async def test_an_owner_or_an_upstream_is_forgotten_with_everything(database_url: str, tmp_path: Path) -> None:
    """For whoever deletes a key or an upstream: nothing stays, every service is told."""
    guarded = OAuthUpstream(revokes=True)
    async with people.connected_gateway(database_url, tmp_path, guarded) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await people.signed_in_with(running, people.SECOND_KEY, "bob")
        life = running.gateway.life
        tell = await life.taken_from(ANN)
        assert await _states(running) == {"vk-two": "active"}
        await tell()
        assert len(guarded.revocations) == 1
        (held,) = (await life.page())[0]
        tell = await life.taken_at(held.upstream_id)
        assert await _states(running) == {}
        await tell()
        assert len(guarded.revocations) == 2
