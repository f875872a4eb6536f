"""Everybody's own accounts: connected during consent, used for their owner alone."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.flows import _connecting as people
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, VIRTUAL_KEY
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.anyio


async def test_two_people_with_two_accounts_never_mix(database_url: str, tmp_path: Path) -> None:
    """G24, contract §8, TC-121, R65, R66, R72: each call carries its owner's token, in the upstream's own log."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        bob = await people.signed_in_with(running, people.SECOND_KEY, "bob")
        for _ in range(10):
            assert people.text_of(await people.whoami(running, alice)) == "alice"
            assert people.text_of(await people.whoami(running, bob)) == "bob"
        assert all(guarded.access[bearer] == account for account, bearer in guarded.calls)
        assert {account for account, _ in guarded.calls} == {"alice", "bob"}


async def test_the_request_to_the_service_is_complete(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8, G12: registered as one client, S256, resource, one fixed callback, single-use state."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        assert await running.rows("upstream_sign_ins") == []
        await people.connect(browser, flow_id, "alice")
        await people.connect(browser, flow_id, "alice")

    first, second = guarded.authorizations
    assert first["redirect_uri"] == second["redirect_uri"] == f"{ISSUER}/api/oauth/callback"
    assert (first["response_type"], first["code_challenge_method"]) == ("code", "S256")
    assert first["resource"] == guarded.url
    assert first["state"] != second["state"]
    assert first["code_challenge"] != second["code_challenge"]
    assert len(guarded.registrations) == 1, "a registration is kept and used again"
    assert guarded.token_requests[0]["resource"] == guarded.url


async def test_the_credential_belongs_to_the_flow_until_the_person_finishes(database_url: str, tmp_path: Path) -> None:
    """TC-122, contract §5, submit: one transaction moves what was connected to the chosen identity."""
    async with (
        people.connected_gateway(database_url, tmp_path, OAuthUpstream()) as running,
        running.browser() as browser,
    ):
        flow_id, csrf = await people.identify(browser, await oauth.register(running.http))
        await people.connect(browser, flow_id, "alice")
        (held,) = await running.rows("upstream_credentials")
        assert (held["owner_kind"], held["owner_id"]) == ("flow", flow_id)
        await oauth.press(browser, "submit", flow_id, csrf=csrf)
        (moved,) = await running.rows("upstream_credentials")
        assert (moved["owner_kind"], moved["owner_id"]) == ("vk", "vk-test")
        assert moved["sealed"] != held["sealed"]


async def test_deny_deletes_what_was_connected(database_url: str, tmp_path: Path) -> None:
    """Contract §5, deny; TC-079."""
    async with (
        people.connected_gateway(database_url, tmp_path, OAuthUpstream()) as running,
        running.browser() as browser,
    ):
        flow_id, csrf = await people.identify(browser, await oauth.register(running.http))
        await people.connect(browser, flow_id, "alice")
        await oauth.press(browser, "deny", flow_id, csrf=csrf)
        assert await running.rows("upstream_credentials") == []


async def test_an_abandoned_flow_leaves_no_credential_behind(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §5: what nobody finished is swept with its flow."""
    async with (
        people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream(), clock=clock) as running,
        running.browser() as browser,
    ):
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        await people.connect(browser, flow_id, "alice")
        clock.advance(seconds=3 * 3_600)
        await running.gateway.sweeper.sweep()
        assert await running.rows("upstream_credentials") == []
        assert await running.rows("upstream_sign_ins") == []


@pytest.mark.parametrize("iss", ["https://evil.example", "OWN/", None])
async def test_an_answer_of_another_issuer_is_not_used(sqlite_url: str, tmp_path: Path, iss: str | None) -> None:
    """RFC 9207 §2.4, TC-109: the code is sent nowhere and the page says what happened."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        started = await browser.get(await people.connect_link(browser, flow_id))
        guarded.iss = iss.replace("OWN", guarded.origin) if iss else None
        back = await browser.get(await people.at_the_service(started.headers["location"], "alice"))
        assert "notice=upstream_mixed_up" in back.headers["location"]
        page = await browser.get(back.headers["location"])
        assert "did not come from the service that was asked" in page.text
    assert guarded.token_requests == []


async def test_another_browser_cannot_finish_a_sign_in(sqlite_url: str, tmp_path: Path) -> None:
    """TC-106, TC-081, R57, CVE-2026-27124: a captured upstream URL is a 403 in the victim's browser; the owner can go on.

    G4.
    """
    guarded = OAuthUpstream()
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        running.browser() as attacker,
        running.browser() as victim,
    ):
        flow_id, _csrf = await people.identify(attacker, await oauth.register(running.http))
        started = await attacker.get(await people.connect_link(attacker, flow_id))
        captured = await people.at_the_service(started.headers["location"], "victim")
        await oauth.begin(victim, await oauth.register(running.http))
        assert (await victim.get(captured)).status_code == 403
        async with running.browser() as bare:
            assert (await bare.get(captured)).status_code == 403
        assert guarded.token_requests == []
        assert await running.rows("upstream_credentials") == []
        assert "notice=connected" in (await attacker.get(captured)).headers["location"]


@pytest.mark.parametrize("change", ["used", "late", "unknown", "missing"])
async def test_a_state_works_once_and_for_ten_minutes(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, change: str
) -> None:
    """G4, TC-105, TC-132: unknown, used, old or missing, it is refused and nothing is asked upstream."""
    guarded = OAuthUpstream()
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded, clock=clock) as running,
        running.browser() as browser,
    ):
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        started = await browser.get(await people.connect_link(browser, flow_id))
        back = await people.at_the_service(started.headers["location"], "alice")
        state = parse_qs(urlsplit(back).query)["state"][0]
        if change == "used":
            await browser.get(back)
        elif change == "late":
            clock.advance(seconds=601)
        else:
            back = back.replace(f"state={state}", "state=guessed" if change == "unknown" else "other=1")
        asked = len(guarded.token_requests)
        assert (await browser.get(back)).status_code == 403
        assert len(guarded.token_requests) == asked


async def test_a_refusal_at_the_service_comes_back_to_our_page(sqlite_url: str, tmp_path: Path) -> None:
    """The person sees what happened, in our own words, and can try again or go on."""
    guarded = OAuthUpstream(deny=True)
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        back = await people.connect(browser, flow_id, "alice")
        page = await browser.get(back.headers["location"])
        assert "The service did not give access" in page.text
        assert "Not connected yet" in page.text


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://other.example"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "file:///etc/passwd"},
        {"token_endpoint": "http://192.0.2.1/token"},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": []},
        {"token_endpoint": None},
    ],
)
async def test_hostile_metadata_never_reaches_the_browser(
    sqlite_url: str, tmp_path: Path, metadata: dict[str, object]
) -> None:
    """G13, TC-110, TC-113, TC-114, R63: no redirect, no registration, an error in our own form."""
    guarded = OAuthUpstream(metadata=metadata)
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        answer = await browser.get(await people.connect_link(browser, flow_id))
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/oauth/consent/mcps?")
        assert guarded.registrations == []
