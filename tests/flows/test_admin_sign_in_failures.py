"""An administrator's sign-in that goes wrong: by accident, too late, twice, or by a hostile service."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bifrost.upstreams.administration import SET_UP_SECONDS
from tests.flows import _administration as admin
from tests.flows import _connecting as people
from tests.support.gateway import running_gateway
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.anyio


async def test_a_service_that_says_no_can_be_asked_again(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: `failed`, with the reason in words; TC-116: never the service's own words."""
    upstream = OAuthUpstream(deny=True)
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            back = await admin.sign_in(browser, pending, "robot")
            page = await browser.get(back.headers["location"])
            assert "The service did not give access." in page.text
            assert "Try again" in page.text
            told = await admin.status(running, pending)
            assert (told["status"], told["reason"]) == ("failed", "The service did not give access.")
            refused = await admin.complete(running, pending)
            assert refused.status_code == 409
            assert refused.json()["error"]["code"] == "oauth_config_not_authorized"
            upstream.deny = False
            started = await admin.start(browser, pending)
            await browser.get(await people.at_the_service(started.headers["location"], "robot"))
        assert (await admin.complete(running, pending)).status_code == 200


async def test_words_of_the_service_are_never_shown(sqlite_url: str, tmp_path: Path) -> None:
    """TC-116."""
    upstream = OAuthUpstream()
    hostile = {"error": "<svg onload=alert(1)>", "error_description": "<script>", "error_uri": "javascript:alert(1)"}
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            await admin.prove(browser, pending)
            started = await admin.start(browser, pending)
            state = started.headers["location"].split("state=")[1].split("&")[0]
            params = {"state": state, "iss": upstream.origin, **hostile}
            back = await browser.get("/api/oauth/callback", params=params)
            page = await browser.get(back.headers["location"])
        told = str(await admin.status(running, pending))
        for text in (page.text, told, str(back.headers)):
            assert not any(word in text for word in hostile.values())


async def test_what_is_not_ready_cannot_be_completed_and_says_what_to_do(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        early = await admin.complete(running, pending)
        assert (early.status_code, "authorize_url" in early.json()["error"]["message"]) == (409, True)
        await admin.signed_in(running, pending)
        late = await admin.complete(running, pending)
        assert (late.status_code, late.json()["error"]["code"]) == (409, "oauth_config_completed")


async def test_of_two_completions_at_once_one_does_it(database_url: str, tmp_path: Path) -> None:
    """Contract §9: over all replicas."""
    upstream = OAuthUpstream()
    async with (
        admin.gateway(database_url, tmp_path, upstream) as first,
        running_gateway(database_url, tmp_path) as second,
    ):
        pending = await admin.add(first, "guarded", upstream.url, auth_type="oauth")
        async with first.browser() as browser:
            await admin.sign_in(browser, pending, "robot")
        answers = await asyncio.gather(*(admin.complete((first, second)[turn % 2], pending) for turn in range(6)))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
        assert people.text_of(await admin.call(first, "guarded-whoami")) == "robot"


async def test_a_completion_and_a_cancellation_at_once_leave_nothing_half_done(
    database_url: str, tmp_path: Path
) -> None:
    """Ours."""
    upstream = OAuthUpstream()
    async with admin.gateway(database_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            await admin.sign_in(browser, pending, "robot")
        cancel = admin.api(running, "DELETE", f"/api/oauth/config/{pending['oauth_config_id']}")
        completed, cancelled = await asyncio.gather(admin.complete(running, pending), cancel)
        assert {completed.status_code, cancelled.status_code} <= {200, 404, 409}
        found = await admin.clients(running)
        assert [client["state"] for client in found] in ([], ["needs_reauth"], ["connected"])
        assert await running.rows("upstream_set_ups") == [] or found
        assert all(row["owner_kind"] == "shared" for row in await running.rows("upstream_credentials"))


async def test_a_sign_in_has_an_end(database_url: str, tmp_path: Path) -> None:
    """Contract §9: `expired`; and nothing is left of it."""
    upstream = OAuthUpstream()
    async with admin.gateway(database_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        running.clock.advance(seconds=SET_UP_SECONDS)
        assert (await admin.status(running, pending))["status"] == "expired"
        assert (await admin.complete(running, pending)).status_code == 410
        async with running.browser() as browser:
            assert (await browser.get(admin.path_of(pending["authorize_url"]))).status_code == 410
        running.clock.advance(seconds=3_600)
        await running.gateway.sweeper.sweep()
        assert await running.rows("upstreams") == []
        assert (await admin.api(running, "GET", pending["status_url"])).status_code == 404


async def test_whoever_begins_again_takes_the_place_of_the_earlier_attempt(sqlite_url: str, tmp_path: Path) -> None:
    """Ours: a name is not taken by a sign-in that nobody finished."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        first = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            await admin.prove(browser, first)
            started = await admin.start(browser, first)
            second = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
            assert second["oauth_config_id"] != first["oauth_config_id"]
            late = await browser.get(await people.at_the_service(started.headers["location"], "robot"))
            assert late.status_code == 403
        assert (await admin.api(running, "GET", first["status_url"])).status_code == 404
        await admin.signed_in(running, second)


async def test_a_callback_of_an_earlier_attempt_does_not_count_for_a_later_one(sqlite_url: str, tmp_path: Path) -> None:
    """TC-105: what an administrator completes is what they have just done."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        await admin.signed_in(running, pending)
        path = f"/api/mcp/client/{pending['mcp_client_id']}/reauthorize"
        first = (await admin.api(running, "POST", path)).json()
        async with running.browser() as browser:
            await admin.prove(browser, first)
            started = await admin.start(browser, first)
            second = (await admin.api(running, "POST", path)).json()
            await browser.get(await people.at_the_service(started.headers["location"], "mallory"))
        assert (await admin.status(running, second))["status"] == "pending"
        assert (await admin.complete(running, second)).status_code == 409
        assert people.text_of(await admin.call(running, "guarded-whoami")) == "robot"


async def test_a_pending_upstream_goes_with_its_cancelled_sign_in(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: DELETE /api/oauth/config/{id}."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            await admin.sign_in(browser, pending, "robot")
        path = f"/api/oauth/config/{pending['oauth_config_id']}"
        assert (await admin.api(running, "DELETE", path)).status_code == 200
        for table in ("upstreams", "upstream_set_ups", "upstream_credentials", "upstream_registrations"):
            assert await running.rows(table) == []
        assert (await admin.complete(running, pending)).status_code == 404


async def test_an_account_that_the_service_does_not_accept_is_not_put_to_use(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: live after its tools were seen with the administrator's account."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            await admin.sign_in(browser, pending, "robot")
        upstream.access.clear()
        refused = await admin.complete(running, pending)
        assert refused.status_code in (409, 503), refused.text
        assert await admin.clients(running) == []


@pytest.mark.parametrize("iss", ["https://evil.example", "own/", None], ids=["another", "with-slash", "missing"])
async def test_an_answer_of_another_server_is_not_used(sqlite_url: str, tmp_path: Path, iss: str | None) -> None:
    """TC-109: RFC 9207, for the administrator's sign-in as well."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            await admin.prove(browser, pending)
            started = await admin.start(browser, pending)
            upstream.metadata = {"authorization_response_iss_parameter_supported": True}
            upstream.iss = f"{upstream.origin}/" if iss == "own/" else iss
            await browser.get(await people.at_the_service(started.headers["location"], "robot"))
        told = await admin.status(running, pending)
        assert told["status"] == "failed"
        assert "another server" in told["reason"]
        assert upstream.token_requests == []


@pytest.mark.parametrize(
    ("metadata", "resource"),
    [
        ({"authorization_endpoint": "javascript:alert(1)"}, {}),
        ({"authorization_endpoint": "file:///etc/passwd"}, {}),
        ({"authorization_endpoint": "data:text/html,x"}, {}),
        ({"authorization_endpoint": "http://remote.example/authorize"}, {}),
        ({"authorization_endpoint": "a:$(id)"}, {}),
        ({"authorization_endpoint": "https://as.example/\r\nX-Injected: 1"}, {}),
        ({"token_endpoint": "file:///etc/passwd"}, {}),
        ({"issuer": "https://evil.example"}, {}),
        ({"code_challenge_methods_supported": ["plain"]}, {}),
        ({"code_challenge_methods_supported": None}, {}),
        ({}, {"resource": "https://elsewhere.example/mcp"}),
        ({}, {"authorization_servers": []}),
    ],
    ids=str,
)
async def test_metadata_that_cannot_be_trusted_sends_the_administrator_nowhere(
    sqlite_url: str, tmp_path: Path, metadata: dict[str, Any], resource: dict[str, Any]
) -> None:
    """TC-110, TC-113, TC-114: the reason is told, the address never leaves as one to go to."""
    upstream = OAuthUpstream(metadata=metadata, resource=resource)
    async with admin.gateway(sqlite_url, tmp_path, upstream) as running:
        pending = await admin.add(running, "guarded", upstream.url, auth_type="oauth")
        async with running.browser() as browser:
            await admin.prove(browser, pending)
            started = await admin.start(browser, pending)
            assert started.status_code == 303
            assert started.headers["location"] == admin.path_of(pending["authorize_url"])
            page = await browser.get(started.headers["location"])
        told = await admin.status(running, pending)
        assert told["status"] == "failed"
        assert told["reason"]
        for text in (page.text, str(told)):
            assert "javascript:" not in text
            assert "file:" not in text
        assert (upstream.registrations, upstream.token_requests) == ([], [])


@pytest.mark.parametrize("mode", ["headers", "both", "oauth"])
async def test_an_administrator_can_sign_in_in_every_mode(sqlite_url: str, tmp_path: Path, mode: str) -> None:
    """Contract §1: mode `headers` switches off our authorization server, not us as a client of others."""
    upstream = OAuthUpstream()
    async with admin.gateway(sqlite_url, tmp_path, upstream, client={"mcp_server_auth_mode": mode}) as running:
        await admin.signed_in(running, await admin.add(running, "guarded", upstream.url, auth_type="oauth"))
        (client,) = await admin.clients(running)
        assert client["state"] == "connected"
