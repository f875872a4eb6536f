"""Who did what: an administrator reads it afterwards (contract §9, TC-178)."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from bifrost.storage.audit import SqlAuditStore
from bifrost.storage.database import StorageUnavailable
from tests.flows import _connecting as people
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ADMIN_TOKEN, ISSUER, KEY_ID, VIRTUAL_KEY, TestGateway, running_gateway
from tests.support.oauth_upstream import OAuthUpstream
from tools import docs

pytestmark = pytest.mark.anyio

AUDIT, KEYS = "/api/audit", "/api/governance/virtual-keys"
ME = "administrator:configured"


@pytest.fixture
async def admin(running: TestGateway) -> AsyncIterator[httpx2.AsyncClient]:
    async with running.administrator() as client:
        yield client


async def _events(admin: httpx2.AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    answer = await admin.get(AUDIT, params=wanted)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    # the key that every gateway of these tests is configured with
    return [event for event in found if event["actor"] != "configuration"]


async def _one(admin: httpx2.AsyncClient, event: str) -> dict[str, Any]:
    (found,) = await _events(admin, event=event)
    return found


async def test_a_change_through_the_api_says_who_what_whence_and_in_which_request(
    admin: httpx2.AsyncClient,
) -> None:
    """TC-178: who, what, target, address, result, UTC, and the id by which the log is found."""
    answer = await admin.post(KEYS, json={"name": "ann", "description": "a secret thought"})
    found = await _one(admin, "virtual_key_create")
    assert found.pop("id").startswith("aud_")
    assert found["details"].pop("members") == "name,description", "those that were sent, and no others"
    assert found == {
        "at": "2027-01-15T08:00:00Z",
        "event": "virtual_key_create",
        "actor": ME,
        "target": answer.json()["id"],
        "result": "success",
        "client_address": "203.0.113.7",
        "event_id": answer.headers["x-request-id"],
        "details": {},
    }


async def test_an_upstream_that_was_added_is_the_target(admin: httpx2.AsyncClient) -> None:
    """TC-178: what was made, also where the answer calls its id otherwise."""
    sent = {"name": "notes", "connection_string": "http://127.0.0.1:1/mcp"}
    answer = await admin.post("/api/mcp/client", json=sent)
    found = await _one(admin, "mcp_client_add")
    assert found["target"] == answer.json()["mcp_client_id"] != ""
    assert found["details"] == {"members": "connection_string,name"}


async def test_nothing_that_was_sent_or_shown_is_in_the_trail(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """Ours: names of members, never what is in them."""
    made = (await admin.post(KEYS, json={"name": "ann", "description": "a secret thought"})).json()
    rotated = (await admin.post(f"{KEYS}/{made['id']}/rotate")).json()
    await admin.post("/api/session/login", json={"token": ADMIN_TOKEN})
    kept = str(await running.rows("audit_events"))
    for secret in (made["value"], rotated["value"], "a secret thought", ADMIN_TOKEN):
        assert secret not in kept


async def test_every_change_is_an_event_and_no_reading_is(admin: httpx2.AsyncClient) -> None:
    """TC-178: one event each."""
    made = (await admin.post(KEYS, json={"name": "ann"})).json()
    address = f"{KEYS}/{made['id']}"
    await admin.get(KEYS)
    await admin.put(address, json={"is_active": False})
    await admin.post(f"{address}/rotate")
    await admin.delete(address)
    names = [event["event"] for event in await _events(admin)]
    assert names == ["virtual_key_delete", "virtual_key_rotate", "virtual_key_change", "virtual_key_create"]
    assert {event["target"] for event in await _events(admin)} == {made["id"]}
    assert (await _one(admin, "virtual_key_change"))["details"] == {"members": "is_active"}


async def test_a_change_that_was_refused_is_an_event_too(admin: httpx2.AsyncClient) -> None:
    """TC-178: the result."""
    await admin.post(KEYS, json={"name": "test"})
    await admin.delete(f"{KEYS}/unknown")
    deleted, created = await _events(admin, result="failure")
    assert (deleted["target"], deleted["details"]["code"]) == ("unknown", "virtual_key_not_found")
    assert (created["event"], created["details"]["code"]) == ("virtual_key_create", "virtual_key_taken")


async def test_administrators_signing_in_and_failing_to(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """TC-178; the trail does not grow with every guess."""
    await running.http.post("/api/session/login", json={"token": ADMIN_TOKEN})
    async with running.browser() as browser:
        await browser.post("/api/session/login", json={"token": ADMIN_TOKEN})
        await browser.post("/api/session/logout", headers={"Origin": ISSUER})
    assert [event["actor"] for event in await _events(admin, event="administrator_signed_in")] == [ME, ME]
    assert (await _one(admin, "session_logout"))["actor"] == ME
    for number in range(30):
        await running.http.get(AUDIT, headers={"Authorization": f"Bearer wrong-{number}"})
    async with _made(running) as made:
        refused = await _events(made, event="administrator_refused")
    assert len(refused) == 10
    assert {(event["actor"], event["result"]) for event in refused} == {("anonymous", "failure")}


@asynccontextmanager
async def _made(running: TestGateway) -> AsyncIterator[httpx2.AsyncClient]:
    """An administrator whom the lock does not keep out."""
    _, value = await running.gateway.admin_tokens.create("operations")
    async with running.administrator() as client:
        client.headers["Authorization"] = f"Bearer {value}"
        yield client


async def test_the_set_up_is_an_event(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """TC-178: who became administrator, and from where."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock, admin_token="") as running, _made(running) as admin:
        link = await running.gateway.set_up.new_link()
        await running.http.post("/setup", data={"link": link}, headers={"Origin": ISSUER})
        found = await _one(admin, "administrator_set_up")
    assert found["actor"] == f"administrator:{found['target']}"


async def test_consent_and_its_ends(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """TC-178: given, denied, and revoked by the client."""
    async with running.browser() as browser:
        client, tokens = await oauth.signed_in(running.http, browser)
        flow_id, csrf = await people.identify(browser, client)
        await oauth.press(browser, "deny", flow_id, csrf=csrf)
    await running.http.post(
        "/api/oauth/per-user/revoke", data={"client_id": client.client_id, "token": tokens["refresh_token"]}
    )
    given = await _one(admin, "consent_given")
    assert given["actor"] == f"vk:{KEY_ID}"
    assert given["details"] == {"client": "Test client", "scope": "mcp:read mcp:write"}
    denied = await _one(admin, "consent_denied")
    assert (denied["target"], denied["actor"]) == (flow_id, f"vk:{KEY_ID}")
    revoked = await _one(admin, "grant_revoked")
    assert revoked["target"] == given["target"]
    assert revoked["actor"].startswith("client:")
    assert await _events(admin, target=given["target"]) == [revoked, given]


async def test_a_replayed_code_is_an_event(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """TC-178: what shows that something leaked."""
    async with running.browser() as browser:
        client, code = await oauth.authorized(running.http, browser)
    await client.redeem(code)
    await client.redeem(code)
    assert (await _one(admin, "authorization_code_replayed"))["result"] == "failure"


async def test_a_refresh_token_that_comes_again_is_an_event(
    running: TestGateway, admin: httpx2.AsyncClient, clock: FakeClock
) -> None:
    """TC-178, contract §6: answered once more, presented by another client, and at last the end of the grant."""
    async with running.browser() as browser:
        client, tokens = await oauth.signed_in(running.http, browser)
    thief = await oauth.register(running.http, client_name="Thief")
    await thief.refresh(tokens["refresh_token"])
    other = await _one(admin, "refresh_token_of_another")
    assert (other["result"], other["details"]) == ("failure", {"whose": "another_client", "times": "1"})
    pair = (await client.refresh(tokens["refresh_token"])).json()
    assert (await client.refresh(tokens["refresh_token"])).json() == pair
    again = await _one(admin, "refresh_token_replayed")
    assert again["target"] == other["target"]
    assert (again["result"], again["actor"]) == ("success", f"client:{client.client_id}"[:500])
    await client.refresh(pair["refresh_token"])
    clock.advance(seconds=30)
    for _ in range(3):
        await client.refresh(tokens["refresh_token"])
    reused = await _one(admin, "refresh_token_reused")
    assert (reused["target"], reused["result"]) == (other["target"], "failure")
    told = str(await _events(admin))
    for secret in (tokens["refresh_token"], pair["refresh_token"], pair["access_token"]):
        assert secret not in told


async def test_who_hammers_does_not_fill_the_trail(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """TC-178, contract §6: nobody can shorten it, so of what comes again and again the first and the tenth are told."""
    async with running.browser() as browser:
        client, tokens = await oauth.signed_in(running.http, browser)
    for number in range(12):
        thief = await oauth.register(running.http, client_name=f"Thief {number}")
        await thief.refresh(tokens["refresh_token"])
    for _ in range(25):
        assert (await client.refresh(tokens["refresh_token"])).status_code == 200
    for event in ("refresh_token_of_another", "refresh_token_replayed"):
        assert [row["details"]["times"] for row in await _events(admin, event=event)] == ["10", "1"]


async def test_whoever_is_nobody_yet_writes_nothing_by_saying_no(
    running: TestGateway, admin: httpx2.AsyncClient
) -> None:
    """TC-178: anybody can begin sign-ins and deny them."""
    async with running.browser() as browser:
        client = await oauth.register(running.http)
        answer = await oauth.press(browser, "deny", await oauth.begin(browser, client))
    assert oauth.response_of(answer)["error"] == "access_denied"
    assert await _events(admin, event="consent_denied") == []


async def test_guessing_at_a_code_or_a_key_is_an_event(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """TC-178, TC-030, TC-163: told once, when the last guess is taken; not for whoever mistyped."""
    async with running.browser() as browser:
        client, code = await oauth.authorized(running.http, browser)
        for _ in range(4):
            await client.redeem(code, code_verifier="x" * 43)
        assert await _events(admin, event="authorization_code_guessed") == []
        for _ in range(3):
            await client.redeem(code, code_verifier="x" * 43)
        assert (await _one(admin, "authorization_code_guessed"))["result"] == "failure"
        flow_id = await oauth.begin(browser, client)
        for _ in range(8):
            await oauth.press(browser, "vk", flow_id, virtual_key="sk-bf-wrong")
    told = await _events(admin, event="virtual_keys_guessed")
    assert sorted(event["details"]["by"] for event in told) == ["address", "flow"]
    assert {(event["target"], event["client_address"]) for event in told} == {(flow_id, "203.0.113.7")}


async def test_connecting_an_account_is_an_event(sqlite_url: str, tmp_path: Path) -> None:
    """TC-178: whose, and at which service; and so is a sign-in there that came to nothing."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.administrator() as admin:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        connected = await _one(admin, "upstream_connected")
        assert connected["result"] == "success"
        guarded.deny = True
        async with running.browser() as browser:
            flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
            await people.connect(browser, flow_id, "alice")
        assert (await _one(admin, "upstream_sign_in_failed"))["result"] == "failure"
        assert not [token for token in guarded.issued if token in str(await _events(admin))]


async def test_a_token_that_is_given_back_is_told_once(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """TC-178: a client that revokes the same token again and again changes nothing, and so fills nothing."""
    async with running.browser() as browser:
        client, tokens = await oauth.signed_in(running.http, browser)
    for name in ("access_token", "refresh_token"):
        for _ in range(3):
            await running.http.post(
                "/api/oauth/per-user/revoke", data={"client_id": client.client_id, "token": tokens[name]}
            )
    grant = (await _one(admin, "grant_revoked"))["target"]
    assert (await _one(admin, "access_token_revoked"))["target"] == grant


async def test_the_trail_is_filtered_by_time_and_paged(admin: httpx2.AsyncClient, clock: FakeClock) -> None:
    """Contract §9."""
    for name in ("a", "b", "c"):
        await admin.post(KEYS, json={"name": name})
        clock.advance(seconds=60)
    span = {"since": "2027-01-15T08:01:00Z", "until": "2027-01-15T10:02:00+02:00"}
    assert [event["at"] for event in await _events(admin, **span)] == ["2027-01-15T08:01:00Z"]
    page = (await admin.get(AUDIT, params={"actor": ME, "limit": 1, "offset": 1})).json()
    assert (page["count"], page["total_count"], page["limit"], page["offset"]) == (1, 3, 1, 1)
    assert page["events"][0]["at"] == "2027-01-15T08:01:00Z"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": "2027-01-15T08:00:00"}, "until"),
        ({"result": "maybe"}, "result"),
        ({"limit": "1000"}, "limit"),
        ({"actr": "x"}, "actr"),
        ({"event": "x" * 501}, "event"),
    ],
    ids=str,
)
async def test_a_bad_filter_is_named(admin: httpx2.AsyncClient, query: dict[str, str], param: str) -> None:
    """Contract §2: `error.param`."""
    answer = await admin.get(AUDIT, params=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


async def test_a_name_that_no_event_has_is_answered_with_the_names_that_there_are(admin: httpx2.AsyncClient) -> None:
    """Ours: an empty list would say that it has never been; the same names are in docs/audit-events.md."""
    refused = (await admin.get(AUDIT, params={"event": "consent_givn"})).json()["error"]["message"]
    assert refused.startswith("There is no event named consent_givn; there are ")
    listed = set(refused.partition("there are ")[2].rstrip(".").split(", "))
    assert listed == set(re.findall(r"^\| `(\w+)` \|", docs.audit_events(), re.MULTILINE))
    for event in ("consent_given", "virtual_key_rotate", "mcp_client_add"):
        assert (await admin.get(AUDIT, params={"event": event})).status_code == 200


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_times_at_the_ends_of_the_calendar_are_no_fault(admin: httpx2.AsyncClient, time: str) -> None:
    """Ours: never a 500."""
    assert (await admin.get(AUDIT, params={"since": time, "until": time})).status_code == 200


async def test_a_trail_that_cannot_be_written_is_told_to_the_log(
    running: TestGateway, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours: what has happened is answered as it is."""

    async def unavailable(*_: object) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(SqlAuditStore, "add_rows", unavailable)
    with capture_logs() as logs:
        answer = await admin.post(KEYS, json={"name": "ann"})
    assert answer.status_code == 201
    (line,) = [line for line in logs if line["event"] == "audit_not_written"]
    assert line["targets"] == [answer.json()["id"]]


async def test_long_names_are_cut(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """Ours: a client may choose any name, and an address any text."""
    await admin.delete(f"{KEYS}/{'x' * 2_000}")
    assert (await _one(admin, "virtual_key_delete"))["target"] == "x" * 500
