"""Our client at an upstream's authorization server: forgotten, renewed, and never shown to another server."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.responses import JSONResponse

from tests.flows import _connecting as people
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

SECRET = {"client_id": "known", "client_secret": "a-secret-of-the-house"}


async def test_a_server_that_forgot_us_gets_a_new_registration(database_url: str, tmp_path: Path) -> None:
    """R26: `invalid_client` at a renewal; the person connects again and is not sent off with the dead client."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        guarded.access.clear()
        guarded.refresh_answer = JSONResponse({"error": "invalid_client"}, 401)
        assert (await people.whoami(running, alice)).json()["result"]["isError"] is True
        (row,) = await running.rows("upstream_credentials")
        assert (row["state"], row["reason"]) == ("needs_reauth", "The service no longer knows this gateway.")
        guarded.refresh_answer = None
        again = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert people.text_of(await people.whoami(running, again)) == "alice"
        assert len(guarded.registrations) == 2
        assert guarded.authorizations[-1]["client_id"] == "client-2"


async def test_after_an_attempt_that_led_nowhere_the_next_one_registers_again(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """R26: a server that forgot us shows an error page at its authorization endpoint, and nobody ever comes back."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded, clock=clock) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        clock.advance(seconds=120)
        async with running.browser() as browser, running.browser() as another:
            flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
            link = await people.connect_link(browser, flow_id)
            clients = [_client_id((await browser.get(link)).headers["location"]) for _ in range(4)]
            assert clients == ["client-1"] + ["client-2"] * 3, "once, however often the button is pressed"
            assert "notice=connected" in (await people.connect(browser, flow_id, "alice")).headers["location"]

            clock.advance(seconds=120)
            flow_id, _csrf = await people.identify(another, await oauth.register(running.http))
            await people.connect(another, flow_id, "bob")
            assert len(guarded.registrations) == 2, "another browser uses what works"


def _client_id(url: str) -> str:
    return parse_qs(urlsplit(url).query)["client_id"][0]


async def test_a_configured_secret_stays_with_the_server_it_was_first_used_at(
    database_url: str, tmp_path: Path
) -> None:
    """TC-111, CVE-2026-115563, CVE-2026-104850: an upstream that names another server does not hand our secret over."""
    post = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    guarded, thief = OAuthUpstream(metadata=post), OAuthUpstream(metadata=post)
    async with people.connected_gateway(database_url, tmp_path, guarded, oauth_config=SECRET) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert guarded.token_requests[0]["client_secret"] == SECRET["client_secret"]
        with serving(thief.app()) as origin:
            thief.origin = origin
            guarded.resource = {"authorization_servers": [origin]}
            guarded.access.clear()
            assert people.text_of(await people.whoami(running, alice)) == "alice", "renewed where it came from"
            async with running.browser() as browser:
                flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
                answer = await browser.get(await people.connect_link(browser, flow_id))
                assert "notice=upstream_sign_in_impossible" in answer.headers["location"]
        assert thief.authorizations == thief.token_requests == thief.registrations == []
        guarded.resource = {}
        again = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert people.text_of(await people.whoami(running, again)) == "alice"


async def test_a_secret_is_sent_in_the_way_that_its_server_knows_the_client_by(sqlite_url: str, tmp_path: Path) -> None:
    """R61: both ways are announced and one is accepted; what worked is used again for every renewal."""
    both = {"token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"]}
    guarded = OAuthUpstream(metadata=both, secret=SECRET["client_secret"])
    async with people.connected_gateway(sqlite_url, tmp_path, guarded, oauth_config=SECRET) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        guarded.access.clear()
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        assert ["client_secret" in form for form in guarded.token_requests] == [False, True, True]


async def test_a_registration_of_one_server_is_not_used_at_another(database_url: str, tmp_path: Path) -> None:
    """TC-111, SEP-2352: the upstream moved; the new server gets a client of its own and nothing of the old one."""
    guarded, other = OAuthUpstream(), OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        with serving(other.app()) as origin:
            other.origin = origin
            guarded.resource = {"authorization_servers": [origin]}
            await people.signed_in_with(running, people.SECOND_KEY, "bob")
            assert len(other.registrations) == 1
            (asked,) = other.token_requests
            assert asked["resource"] == guarded.url
            assert asked["code_verifier"] != guarded.token_requests[0]["code_verifier"]


@pytest.mark.parametrize(("configured", "asked"), [((), "read offline_access"), (("read",), "read")])
async def test_a_refresh_token_is_asked_for_where_the_server_offers_it(
    sqlite_url: str, tmp_path: Path, configured: tuple[str, ...], asked: str
) -> None:
    """MCP 2026-07-28, refresh tokens; OpenID Connect §11 wants consent for it. An administrator's list is the list."""
    guarded = OAuthUpstream(
        metadata={"scopes_supported": ["openid", "offline_access"]}, resource={"scopes_supported": ["read"]}
    )
    config = {"scopes": list(configured)}
    async with people.connected_gateway(sqlite_url, tmp_path, guarded, oauth_config=config) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
    (request,) = guarded.authorizations
    assert (request["scope"], request.get("prompt")) == (asked, None if configured else "consent")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "temporarily_unavailable"}),
        (403, "blocked by a firewall"),
        (404, "not found"),
        (307, ""),
        (429, {"error": "invalid_grant"}),
        (502, "bad gateway"),
    ],
)
async def test_an_answer_that_is_no_refusal_costs_nobody_their_sign_in(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, status: int, body: object
) -> None:
    """Contract §8: only a refusal of the token endpoint itself (RFC 6749 §5.2) is definitive."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded, clock=clock) as running:
        monkeypatch.setattr(running.gateway.credentials, "pause", _no_pause)
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        clock.advance(seconds=3_600)
        guarded.refresh_answer = JSONResponse(body, status, headers={"Location": f"{guarded.origin}/elsewhere"})
        refused = (await people.whoami(running, alice)).json()
        assert refused["error"]["message"] == "guarded: its sign-in service does not answer."
        guarded.refresh_answer = None
        assert people.text_of(await people.whoami(running, alice)) == "alice"


@pytest.mark.parametrize(("status", "reason"), [(400, "refused to renew"), (401, "no longer knows this gateway")])
async def test_a_refusal_without_a_word_is_one_all_the_same(
    sqlite_url: str, tmp_path: Path, status: int, reason: str
) -> None:
    """RFC 6749 §5.2 by its statuses: a person is asked to connect again, and not left with an error that stays."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        guarded.access.clear()
        guarded.refresh_answer = JSONResponse("no", status)
        assert (await people.whoami(running, alice)).json()["result"]["isError"] is True
        (row,) = await running.rows("upstream_credentials")
        assert row["state"] == "needs_reauth"
        assert reason in row["reason"]


async def _no_pause(seconds: float) -> None:
    """The attempts follow each other at once."""
