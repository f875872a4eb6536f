"""Well-known authorization servers: with its profile each one works, and without it it would not."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bifrost.upstreams.oauth import profiles
from tests.flows import _connecting as people
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway
from tests.support.provider import Provider

pytestmark = pytest.mark.anyio

SECRET = {"client_id": "us", "client_secret": "canary-secret"}


@dataclass(frozen=True)
class Case:
    """The habits of a provider, and what an administrator has to configure with it."""

    habits: dict[str, Any]
    oauth_config: dict[str, Any] = field(default_factory=dict)


CASES = {
    "google": Case({"needs_for_renewal": (("access_type", "offline"), ("prompt", "consent")), "slash": "/"}),
    "microsoft-entra": Case(
        {
            "refuses_resource": True,
            "needs_scope_for_renewal": "offline_access",
            "silent_about_pkce": True,
            "minimum": ("api.read",),
        }
    ),
    "atlassian": Case(
        {
            "needs": (("audience", "api.atlassian.com"), ("prompt", "consent")),
            "needs_scope_for_renewal": "offline_access",
            "minimum": ("read:jira",),
        }
    ),
    "github": Case({"errors_with_200": True, "refusal": "bad_refresh_token"}),
    "slack": Case({"separator": ",", "token_type": "user", "minimum": ("chat:write", "users:read")}),
    "auth0": Case({"needs": (("audience", "URL"),), "needs_scope_for_renewal": "offline_access", "minimum": ("a",)}),
    "okta": Case({"needs_scope_for_renewal": "offline_access", "minimum": ("a",)}),
    "ibm-iam": Case(
        {"basic_only": True, "metadata": {"token_endpoint_auth_methods_supported": ["client_secret_post"]}}, SECRET
    ),
    "notion": Case(
        {
            "needs": (("owner", "user"),),
            "basic_only": True,
            "metadata": {"token_endpoint_auth_methods_supported": ["client_secret_post"]},
        },
        SECRET,
    ),
    "notion-mcp": Case({"lifetime": None}),
}


def _provider(case: Case) -> Provider:
    return Provider(**case.habits)


async def _lives(running: TestGateway, provider: Provider, clock: FakeClock) -> bool:
    """A person connects, calls, and calls again after the token has expired: whether all of it works."""
    provider.needs = tuple((name, provider.url if value == "URL" else value) for name, value in provider.needs)
    async with running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id, csrf = await people.identify(browser, client)
        started = await browser.get(await people.connect_link(browser, flow_id))
        if started.status_code != 302:
            return False
        back = await browser.get(await people.at_the_service(started.headers["location"], "alice"))
        if "notice=connected" not in back.headers["location"]:
            return False
        code = oauth.response_of(await oauth.press(browser, "submit", flow_id, csrf=csrf))["code"]
        headers = {"Authorization": f"Bearer {(await client.redeem(code)).json()['access_token']}"}
    if people.text_of(await people.whoami(running, headers)) != "alice":
        return False
    clock.advance(seconds=3_600)
    renewed = people.text_of(await people.whoami(running, headers)) == "alice"
    return renewed and provider.refreshes == 1


def _here(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The real profile, for an emulator that stands on loopback."""
    (profile,) = [one for one in profiles.PROFILES if one.name == name]
    monkeypatch.setattr(profiles, "PROFILES", (replace(profile, hosts=("127.0.0.1",)),))


def test_every_profile_has_an_emulator_and_a_reason() -> None:
    """R61: reviewed data."""
    assert {profile.name for profile in profiles.PROFILES} == set(CASES)
    assert all(profile.reason.endswith(".") and len(profile.reason) > 20 for profile in profiles.PROFILES)
    hosts = [host for profile in profiles.PROFILES for host in profile.hosts]
    assert len(hosts) == len(set(hosts))


@pytest.mark.parametrize("name", CASES)
async def test_with_its_profile_a_provider_works(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """R60, R61: sign-in, call, renewal."""
    _here(monkeypatch, name)
    provider = _provider(CASES[name])
    async with people.connected_gateway(
        sqlite_url, tmp_path, provider, clock=clock, oauth_config=CASES[name].oauth_config
    ) as running:
        assert await _lives(running, provider, clock)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("github", "notion-mcp")])
async def test_without_its_profile_it_would_not(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The emulator insists: a profile that did nothing would be seen."""
    monkeypatch.setattr(profiles, "PROFILES", ())
    provider = _provider(CASES[name])
    async with people.connected_gateway(
        sqlite_url, tmp_path, provider, clock=clock, oauth_config=CASES[name].oauth_config
    ) as running:
        assert not await _lives(running, provider, clock)


async def test_a_token_that_does_not_say_when_it_ends_is_renewed_in_time(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R61, notion-mcp: known to last an hour; without that knowledge it is used until it is refused."""
    for known in (True, False):
        if known:
            _here(monkeypatch, "notion-mcp")
        else:
            monkeypatch.setattr(profiles, "PROFILES", ())
        provider = Provider(lifetime=None)
        directory = tmp_path / str(known)
        directory.mkdir()
        async with people.connected_gateway(f"{sqlite_url}.{known}", directory, provider, clock=clock) as running:
            alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
            clock.advance(seconds=3_600)
            assert people.text_of(await people.whoami(running, alice)) == "alice"
            assert provider.refreshes == (1 if known else 0)


@pytest.mark.parametrize(
    "said",
    [
        ("github", "bad_refresh_token", "The service no longer accepts the sign-in."),
        ("github", "incorrect_client_credentials", "The service no longer knows this gateway."),
        ("slack", "invalid_refresh_token", "The service no longer accepts the sign-in."),
        ("okta", "something_of_its_own", "The service refused to renew the sign-in."),
    ],
)
async def test_an_error_with_status_200_is_an_error(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, said: tuple[str, str, str]
) -> None:
    """R61: an answer of 200 that says error is never taken for a token."""
    name, refusal, reason = said
    _here(monkeypatch, name)
    provider = Provider(errors_with_200=True, refusal=refusal)
    async with people.connected_gateway(sqlite_url, tmp_path, provider, clock=clock) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        provider.refresh.clear()
        clock.advance(seconds=3_600)
        assert (await people.whoami(running, alice)).json()["result"]["isError"] is True
        (row,) = await running.rows("upstream_credentials")
        assert (row["state"], row["reason"]) == ("needs_reauth", reason)
        kept = await running.rows("upstream_registrations")
        assert len(kept) == (0 if "knows this gateway" in reason else 1), "registered again next time"


@pytest.mark.parametrize("habit", ["form_encoded", "expiry_as_text"])
async def test_habits_that_many_have_need_no_profile(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, habit: str
) -> None:
    """R61: answers in a form, numbers as texts."""
    provider = Provider(form_encoded=habit == "form_encoded", expiry_as_text=habit == "expiry_as_text")
    async with people.connected_gateway(sqlite_url, tmp_path, provider, clock=clock) as running:
        assert await _lives(running, provider, clock)


@pytest.mark.parametrize(
    ("issuer", "name"),
    [
        ("https://accounts.google.com", "google"),
        ("https://ACCOUNTS.google.com/", "google"),
        ("https://login.microsoftonline.com/8a1b/v2.0", "microsoft-entra"),
        ("https://tenant.eu.auth0.com/", "auth0"),
        ("https://accounts.google.com.evil.example", ""),
        ("https://evil.example/accounts.google.com", ""),
        ("https://user@evil.example", ""),
        ("https://evilauth0.com", ""),
        ("https://auth0.com", ""),
        ("https://as.example", ""),
        ("", ""),
    ],
)
def test_a_profile_is_found_by_the_host_and_nothing_else(issuer: str, name: str) -> None:
    """A server that only looks like a known one is treated like anybody."""
    assert profiles.of(issuer).name == name
