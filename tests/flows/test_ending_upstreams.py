"""Deleting an upstream, or the account that an administrator signed in with: the services are told (RFC 7009)."""

from pathlib import Path

import pytest

from tests.flows import _administration as admin
from tests.flows import _connecting as people
from tests.flows._tokens import opens, signed_in
from tests.support.gateway import ISSUER, VIRTUAL_KEY
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.anyio


async def test_with_an_upstream_everything_goes_that_hangs_on_it(database_url: str, tmp_path: Path) -> None:
    """Contract §9: accounts, registrations, sign-ins, tools; and every token is revoked where it was given."""
    upstream = OAuthUpstream(revokes=True)
    async with admin.gateway(database_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="per_user_oauth")
        await admin.signed_in(running, pending, "admin")
        headers = await people.signed_in_with(running, VIRTUAL_KEY, "ann")
        assert people.text_of(await people.whoami(running, headers)) == "ann"
        deleted = await admin.api(running, "DELETE", f"/api/mcp/client/{pending['mcp_client_id']}")
        assert (deleted.status_code, deleted.json()["status"]) == (200, "success")
        assert sorted(upstream.refresh[form["token"]] for form in upstream.revocations) == ["admin", "ann"]
        for table in (
            "upstreams", "upstream_credentials", "upstream_registrations", "upstream_sign_ins", "upstream_set_ups",
            "upstream_tools",
        ):  # fmt: skip
            assert await running.rows(table) == [], table
        assert await admin.tools(running) == []
        assert (await admin.api(running, "DELETE", f"/api/mcp/client/{pending['mcp_client_id']}")).status_code == 404


async def test_an_account_that_is_taken_away_is_revoked(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: DELETE /api/oauth/config/{id}."""
    upstream = OAuthUpstream(revokes=True)
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        await admin.signed_in(running, pending, "robot")
        await admin.api(running, "DELETE", f"/api/oauth/config/{pending['oauth_config_id']}")
        assert [upstream.refresh[form["token"]] for form in upstream.revocations] == ["robot"]
        assert await running.rows("upstream_credentials") == []


async def test_a_sign_in_that_nobody_completes_is_revoked_when_it_is_cancelled(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: nothing of it is left, here or there."""
    upstream = OAuthUpstream(revokes=True)
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            await admin.sign_in(browser, pending, "robot")
        await admin.api(running, "DELETE", f"/api/oauth/config/{pending['oauth_config_id']}")
        assert len(upstream.revocations) == 1
        assert await running.rows("upstreams") == []


@pytest.mark.parametrize("leaves", ["deleted", "moved"])
async def test_what_was_granted_for_its_address_is_nothing_to_whoever_has_it_next(
    database_url: str, tmp_path: Path, leaves: str
) -> None:
    """Contract §§6, 7: a token is for the endpoint that the person allowed, not for a later one of the same name."""
    upstream = OAuthUpstream()
    async with admin.gateway(database_url, tmp_path, upstream) as running:
        added = await admin.add(running, "notes", upstream.url, auth_type="none")
        _, tokens = await signed_in(running, resource=f"{ISSUER}/mcp/notes")
        _, others = await signed_in(running)
        assert await opens(running, tokens["access_token"], "/mcp/notes") == 200
        path = f"/api/mcp/client/{added['mcp_client_id']}"
        if leaves == "deleted":
            assert (await admin.api(running, "DELETE", path)).status_code == 200
        else:
            assert (await admin.api(running, "PUT", path, {"endpoint_slug": "old"})).status_code == 200
        await admin.add(running, "other", upstream.url, auth_type="none", endpoint_slug="notes")
        assert await opens(running, tokens["access_token"], "/mcp/notes") == 401
        assert await opens(running, others["access_token"]) == 200
