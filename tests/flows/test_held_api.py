"""`/api/mcp/sessions`: the credentials held for people, as an administrator sees and ends them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.flows import _connecting as people
from tests.flows import _own_headers as own
from tests.support.clock import FakeClock
from tests.support.gateway import ADMIN_TOKEN, ISSUER, VIRTUAL_KEY, TestGateway, running_gateway, upstream
from tests.support.headers_upstream import HeadersUpstream
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

SESSIONS = "/api/mcp/sessions"
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
MEMBERS = {
    "id", "mcp_client_id", "mcp_client_name", "identity_kind", "identity_id", "identity_name", "kind", "state", "reason",
    "created_at", "updated_at",
}  # fmt: skip


@asynccontextmanager
async def _gateway(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[tuple[TestGateway, OAuthUpstream, HeadersUpstream]]:
    """Two people: the first signed in at `guarded`, the second there and with values at `valued`."""
    signing, valued = OAuthUpstream(revokes=True), own.guarded_by_headers()
    with serving(signing.app()) as one, serving(valued.app()) as two:
        signing.origin, valued.origin = one, two
        entries = [
            upstream("guarded", signing.url, auth_type="per_user_oauth"),
            own.entry(valued, name="valued"),
        ]
        async with running_gateway(
            database_url, tmp_path, clock=clock, mcp={"client_configs": entries}, governance=people.KEYS
        ) as running:
            await people.signed_in_with(running, VIRTUAL_KEY, "alice")
            clock.advance(seconds=1)
            await people.signed_in_with(running, people.SECOND_KEY, "bob")
            clock.advance(seconds=1)
            await _give(running, own.BOB)
            yield running, signing, valued


async def _give(running: TestGateway, given: tuple[str, str]) -> None:
    """The second person gives values on the form of a link."""
    answer = await people.whoami(running, {"x-bf-vk": people.SECOND_KEY}, name="valued-connect_account")
    link = urlsplit(answer.json()["result"]["_meta"]["mcp_auth_required"]["submit_url"])
    async with running.browser() as browser:
        asked = await browser.get(f"{link.path}?{link.query}")
        proven = await own.press(browser, asked, "/api/oauth/per-user/connect/vk", virtual_key=people.SECOND_KEY)
        form = await browser.get(proven.headers["location"])
        assert (
            "notice=connected" in (await own.press(browser, form, own.HEADERS, **own.values(given))).headers["location"]
        )


async def _list(running: TestGateway, **query: Any) -> dict[str, Any]:
    answer = await running.http.get(SESSIONS, params=query, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


async def test_the_list_says_who_has_what_and_nothing_secret(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §9: no token, no header value, not even sealed."""
    async with _gateway(database_url, tmp_path, clock) as (running, signing, _valued):
        found = await _list(running)
        assert (found["count"], found["total_count"], found["limit"], found["offset"]) == (3, 3, 50, 0)
        assert [
            (one["identity_name"], one["mcp_client_name"], one["kind"], one["state"]) for one in found["sessions"]
        ] == [
            ("test", "guarded", "oauth", "active"),
            ("two", "guarded", "oauth", "active"),
            ("two", "valued", "headers", "active"),
        ]
        assert all(set(one) == MEMBERS for one in found["sessions"])
        sealed = [row["sealed"] for row in await running.rows("upstream_credentials")]
        for secret in (*signing.access, *signing.refresh, *own.BOB, *sealed):
            assert secret not in str(found)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"search": "VALUED"}, 1),
        ({"search": "test"}, 1),
        ({"mcp_client": "guarded"}, 2),
        ({"identity_kind": "user"}, 0),
        ({"identity_id": "vk-two"}, 2),
        ({"state": "orphaned"}, 0),
        ({"limit": 2}, 3),
        ({"limit": 1, "offset": 2, "state": "active"}, 3),
    ],
)
async def test_the_list_is_filtered_and_paged(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, query: dict[str, Any], count: int
) -> None:
    """Contract §9: search, filters, limit/offset."""
    async with _gateway(sqlite_url, tmp_path, clock) as (running, *_):
        found = await _list(running, **query)
        assert found["total_count"] == count
        assert found["count"] == len(found["sessions"]) == min(query.get("limit", 50), count - query.get("offset", 0))


@pytest.mark.parametrize(
    "query",
    [
        "state=gone",
        "limit=0",
        "limit=1000",
        "limit=x",
        "offset=-1",
        "identity_kind=flow",
        "unknown=1",
        "limit=1&limit=2",
    ]
    + ["search=" + "x" * 201, "search=%FF", "search=%00"],
)
async def test_a_query_that_means_nothing_is_a_400_that_names_the_parameter(running: TestGateway, query: str) -> None:
    """Contract §2: never a 500."""
    answer = await running.http.get(f"{SESSIONS}?{query}", headers=ADMIN)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == query.partition("=")[0]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", "/cred_x"), ("POST", "/cred_x/reauth")])
@pytest.mark.parametrize("credential", [{}, {"Authorization": "Bearer wrong"}, {"x-bf-vk": VIRTUAL_KEY}])
async def test_nobody_but_an_administrator(
    running: TestGateway, method: str, path: str, credential: dict[str, str]
) -> None:
    """Contract §9, TC-131."""
    assert (await running.http.request(method, SESSIONS + path, headers=credential)).status_code == 401


async def test_a_deleted_credential_is_gone_and_its_service_told(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §9, TC-130."""
    async with _gateway(database_url, tmp_path, clock) as (running, signing, _valued):
        first = (await _list(running))["sessions"][0]["id"]
        assert (await running.http.delete(f"{SESSIONS}/{first}", headers=ADMIN)).status_code == 204
        assert [one["identity_id"] for one in (await _list(running))["sessions"]] == ["vk-two", "vk-two"]
        assert len(signing.revocations) == 1
        again = await running.http.delete(f"{SESSIONS}/{first}", headers=ADMIN)
        assert (again.status_code, again.json()["error"]["code"]) == (404, "credential_not_found")
        assert "mcp_auth_required" in (await people.whoami(running, {"x-bf-vk": VIRTUAL_KEY})).text


@pytest.mark.parametrize("which", [0, 2])
async def test_a_link_to_connect_again_is_for_the_person_alone(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, which: int
) -> None:
    """Contract §§7, 9: it carries no secret, and whoever opens it has to be that identity."""
    async with _gateway(sqlite_url, tmp_path, clock) as (running, *_), running.browser() as browser:
        session = (await _list(running))["sessions"][which]
        answer = await running.http.post(f"{SESSIONS}/{session['id']}/reauth", headers=ADMIN)
        body = answer.json()
        member = "submit_url" if which else "authorize_url"
        assert set(body) == {"kind", "expires_at", member}
        assert body["kind"] == session["kind"]
        assert body[member].startswith(f"{ISSUER}/api/oauth/per-user/upstream/authorize?session=con_")
        link = urlsplit(body[member])
        asked = await browser.get(f"{link.path}?{link.query}")
        assert "Is this you?" in asked.text
        assert session["mcp_client_name"] not in asked.text
        key = people.SECOND_KEY if which else VIRTUAL_KEY
        proven = await own.press(browser, asked, "/api/oauth/per-user/connect/vk", virtual_key=key)
        page = await browser.get(proven.headers["location"])
        assert session["mcp_client_name"] in page.text
        clock.advance(seconds=901)
        assert (await browser.get(f"{link.path}?{link.query}")).status_code == 400


async def test_a_person_without_access_is_asked_for_nothing(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §8: orphaned, in the list with a reason, and no link for it."""
    async with _gateway(sqlite_url, tmp_path, clock) as (running, *_):
        first = (await _list(running))["sessions"][0]["id"]
        await running.gateway.virtual_keys.revoke("vk-test")
        refused = await running.http.post(f"{SESSIONS}/{first}/reauth", headers=ADMIN)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "identity_lost_access")
        (orphan,) = (await _list(running, state="orphaned"))["sessions"]
        assert orphan["id"] == first
        assert "may not use this service" in orphan["reason"]


@pytest.mark.parametrize("credential_id", ["cred_unknown", "..", "%00", "x" * 3_000, "cred_%F0%9F%92%A9", "'--"])
async def test_an_id_of_nothing_is_a_404(running: TestGateway, credential_id: str) -> None:
    """Contract §2."""
    for method, path in (("DELETE", credential_id), ("POST", f"{credential_id}/reauth")):
        answer = await running.http.request(
            method, f"{SESSIONS}/{credential_id if method == 'DELETE' else path}", headers=ADMIN
        )
        assert answer.status_code in (404, 405)
        assert answer.json()["is_bifrost_error"] is True
