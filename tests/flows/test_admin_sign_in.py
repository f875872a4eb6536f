"""An administrator signs in to an upstream: once for everybody, or only to see its tools (contract §§8, 9)."""

from pathlib import Path

import pytest

from tests.flows import _administration as admin
from tests.flows import _connecting as people
from tests.support.gateway import ADMIN_TOKEN, ISSUER, VIRTUAL_KEY
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.anyio


async def test_an_administrator_signs_in_once_and_everybody_uses_that_account(
    database_url: str, tmp_path: Path
) -> None:
    """Contract §8: auth_type `oauth`; §9: the whole conversation."""
    upstream = OAuthUpstream()
    async with admin.gateway(database_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        assert set(pending) == {
            "status", "message", "oauth_config_id", "authorize_url", "expires_at", "mcp_client_id", "complete_url",
            "status_url", "next_steps",
        }  # fmt: skip
        assert pending["status"] == "pending_oauth"
        assert pending["authorize_url"].startswith(f"{ISSUER}/api/oauth/config/{pending['oauth_config_id']}/")
        assert (upstream.authorizations, upstream.registrations) == ([], []), "nothing there before a person acted"
        assert await admin.clients(running) == []
        assert (await admin.status(running, pending))["status"] == "pending"

        async with running.browser() as browser:
            back = await admin.sign_in(browser, pending, "robot")
            assert back.status_code == 303
            page = await browser.get(back.headers["location"])
        assert "Signed in to" in page.text
        told = await admin.status(running, pending)
        assert (told["status"], told["completed"], told["reason"]) == ("authorized", False, "")
        assert await admin.tools(running) == []

        done = await admin.complete(running, pending)
        assert (done.status_code, done.json()["tool_count"]) == (200, 1)
        told = await admin.status(running, pending)
        assert (told["status"], told["completed"], told["mcp_client_id"]) == (
            "authorized", True, pending["mcp_client_id"],
        )  # fmt: skip
        (client,) = await admin.clients(running)
        assert (client["state"], [tool["name"] for tool in client["tools"]]) == ("connected", ["whoami"])
        assert await admin.tools(running) == ["guarded-whoami"]
        assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot"


async def test_the_administrators_account_is_never_used_for_anybodys_call(database_url: str, tmp_path: Path) -> None:
    """Contract §9: for per_user_oauth the credential is for seeing the tools only."""
    upstream = OAuthUpstream()
    async with admin.gateway(database_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="per_user_oauth")
        await admin.signed_in(running, pending, "admin")
        (client,) = await admin.clients(running)
        assert (client["state"], [tool["name"] for tool in client["tools"]]) == ("connected", ["whoami"])
        asked = (await admin.call(running, "guarded-whoami")).json()
        assert asked["result"]["_meta"]["mcp_auth_required"]["kind"] == "oauth"
        assert upstream.calls == []
        headers = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert people.text_of(await people.whoami(running, headers)) == "alice"
        assert {account for account, _ in upstream.calls} == {"alice"}


async def test_the_page_does_nothing_and_tells_nothing_before_an_administrator_is_proven(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §9, TC-131: a captured authorize_url is of no use."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        path = admin.path_of(pending["authorize_url"])
        async with running.browser() as stranger:
            page = await stranger.get(path)
            assert "guarded" not in page.text
            assert upstream.origin not in page.text
            refused = await admin.prove(stranger, pending, "bfad_not-a-token")
            assert refused.headers["location"].endswith("?error=administrator_required")
            assert "not an administrator" in (await stranger.get(refused.headers["location"])).text
            started = await stranger.post(
                path.replace("/authorize", "/start"),
                data={"csrf": admin.csrf_of(await stranger.get(path))},
                headers={"Origin": ISSUER},
            )
            assert started.status_code == 403
        assert (upstream.authorizations, upstream.registrations) == ([], [])
        assert await running.rows("upstream_sign_ins") == []


async def test_a_browser_in_which_an_administrator_is_signed_in_needs_no_token(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: a session of an administrator."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            login = await browser.post("/api/session/login", json={"token": ADMIN_TOKEN}, headers={"Origin": ISSUER})
            assert login.status_code == 200
            started = await admin.start(browser, pending)
            assert started.headers["location"].startswith(f"{upstream.origin}/authorize?")


@pytest.mark.parametrize("step", ["administrator", "start"])
async def test_the_pages_forms_are_taken_from_our_own_pages_only(sqlite_url: str, tmp_path: Path, step: str) -> None:
    """Contract §5: exact Origin and a token for this sign-in in this browser."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        path = admin.path_of(pending["authorize_url"])
        target = path.replace("/authorize", f"/{step}")
        async with running.browser() as browser:
            await admin.prove(browser, pending)
            csrf = admin.csrf_of(await browser.get(path))
            form = {"csrf": csrf, "token": ADMIN_TOKEN}
            for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
                assert (await browser.post(target, data=form, headers=headers)).status_code == 403
            wrong = await browser.post(target, data={**form, "csrf": "0" * 64}, headers={"Origin": ISSUER})
            assert wrong.status_code == 403
        async with running.browser() as other:
            assert (await other.post(target, data=form, headers={"Origin": ISSUER})).status_code == 403
        assert upstream.authorizations == []


async def test_the_callback_belongs_to_the_administrators_browser(sqlite_url: str, tmp_path: Path) -> None:
    """TC-105: `state` is single-use and bound to the browser."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser, running.browser() as thief:
            await admin.prove(browser, pending)
            started = await admin.start(browser, pending)
            back = await people.at_the_service(started.headers["location"], "robot")
            assert (await thief.get(back)).status_code == 403
            assert upstream.token_requests == []
            assert (await browser.get(back)).status_code == 303
            assert (await browser.get(back)).status_code == 403
            assert len(upstream.token_requests) == 1
