"""Virtual keys through the management API (contract §9), and how it is felt at /mcp."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import KEY_ID, VIRTUAL_KEY, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

KEYS = "/api/governance/virtual-keys"
NOTES = {"mcp_client_name": "notes", "tools_to_execute": ["read"]}
"""What a key may use of an upstream."""


@pytest.fixture
async def running(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    """A gateway with the upstream that the keys here name."""
    mcp = {"client_configs": [upstream("notes", "http://127.0.0.1:1/mcp", disabled=True)]}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp=mcp) as started:
        yield started


@pytest.fixture
async def admin(running: TestGateway) -> AsyncIterator[httpx2.AsyncClient]:
    async with running.administrator() as client:
        yield client


async def _made(admin: httpx2.AsyncClient, **members: Any) -> dict[str, Any]:
    answer = await admin.post(KEYS, json={"name": "ann", **members})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def _at_mcp(running: TestGateway, value: str) -> int:
    """What a list of the tools with this key is answered with."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"x-bf-vk": value, "Accept": "application/json, text/event-stream"}
    return (await running.http.post("/mcp", json=body, headers=headers)).status_code


async def _signed_in(running: TestGateway) -> str:
    """A token of somebody who signed in with the key of the configuration."""
    async with running.browser() as browser:
        _, tokens = await oauth.signed_in(running.http, browser)
    return str(tokens["access_token"])


async def test_a_key_is_made_and_its_value_is_shown_once(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """Contract §9."""
    made = await _made(admin, description="for Ann", mcp_configs=[NOTES], expires_at="2030-01-01T02:00:00+02:00")
    value = made["value"]
    assert value.startswith("sk-bf-")
    assert len(value) >= 33
    assert await _at_mcp(running, value) == 200
    shown = (await admin.get(f"{KEYS}/{made['id']}")).json()
    assert shown == made | {"value": f"{value[:10]}…"}
    assert shown["expires_at"] == "2030-01-01T00:00:00Z"
    assert shown["mcp_configs"] == [NOTES]
    assert value not in (await admin.get(KEYS)).text


async def test_a_value_may_be_brought_along(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """Ours: keys that people have already; as strong as every other."""
    value = "sk-bf-" + "z" * 40
    assert (await _made(admin, value=value))["value"] == value
    assert await _at_mcp(running, value) == 200
    for weak in ("sk-bf-short", "abc", "sk-bf-" + " " * 40):
        answer = await admin.post(KEYS, json={"name": "bob", "value": weak})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "value")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\u202eevil"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": ["a"]}, "name"),
        ({"name": "a", "is_active": "yes"}, "is_active"),
        ({"name": "a", "is_active": None}, "is_active"),
        ({"name": "a", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "a", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"name": "a", "expires_at": "0001-01-01T00:00:00+10:00"}, "expires_at"),
        ({"name": "a", "expires_at": "9999-12-31T23:59:59-10:00"}, "expires_at"),
        ({"name": "a", "expires_at": 1_900_000_000}, "expires_at"),
        ({"name": "a", "mcp_configs": {}}, "mcp_configs"),
        ({"name": "a", "mcp_configs": [{}]}, "mcp_configs[0].mcp_client_name"),
        ({"name": "a", "mcp_configs": [{**NOTES, "tool": 1}]}, "mcp_configs[0].tool"),
        ({"name": "a", "mcp_configs": [NOTES, NOTES]}, "mcp_configs"),
        ({"name": "a", "mcp_configs": [NOTES, {"mcp_client_name": "notess"}]}, "mcp_configs"),
        ({"name": "a", "description": "x" * 1_001}, "description"),
        ({"name": "a", "mcp_config": []}, "mcp_config"),
        ({"name": "a", "id": "chosen"}, "id"),
    ],
    ids=str,
)
async def test_a_bad_member_is_named(
    running: TestGateway, admin: httpx2.AsyncClient, body: dict[str, Any], param: str
) -> None:
    """Contract §2: `error.param`; nothing is written."""
    answer = await admin.post(KEYS, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert len(await running.rows("virtual_keys")) == 1


async def test_two_keys_never_have_one_name_or_value(admin: httpx2.AsyncClient) -> None:
    """Ours: 409, and the message does not repeat a value."""
    made = await _made(admin)
    for body in ({"name": "ann"}, {"name": "bob", "value": VIRTUAL_KEY}, {"name": "bob", "value": made["value"]}):
        answer = await admin.post(KEYS, json=body)
        assert answer.status_code == 409
        assert "sk-bf" not in answer.text


async def test_keys_are_searched_and_paged(admin: httpx2.AsyncClient) -> None:
    """Contract §9: `{…,count,total_count,limit,offset}`, by name."""
    for number in range(5):
        await _made(admin, name=f"Team {number}", description="100%_sure" if number == 3 else "")
    page = (await admin.get(KEYS, params={"search": "team", "limit": 2, "offset": 1})).json()
    assert [key["name"] for key in page["virtual_keys"]] == ["Team 1", "Team 2"]
    assert (page["count"], page["total_count"], page["limit"], page["offset"]) == (2, 5, 2, 1)
    for search, names in (("%_s", ["Team 3"]), ("%", ["Team 3"]), ("nobody", []), ("'; --", []), ("!", [])):
        found = (await admin.get(KEYS, params={"search": search})).json()
        assert [key["name"] for key in found["virtual_keys"]] == names
    assert (await admin.get(KEYS)).json()["total_count"] == 6
    assert (await admin.get(KEYS, params={"limit": "0"})).json()["error"]["param"] == "limit"
    assert (await admin.get(KEYS, params={"serach": "x"})).json()["error"]["param"] == "serach"


async def test_only_what_is_sent_is_changed(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """Contract §9."""
    made = await _made(admin, description="for Ann", mcp_configs=[NOTES], expires_at="2030-01-01T00:00:00Z")
    address = f"{KEYS}/{made['id']}"
    kept = made | {"value": made["value"][:10] + "…"}
    steps: list[dict[str, Any]] = [
        {"name": "Ann B."},
        {"description": ""},
        {"is_active": False},
        {"mcp_configs": []},
        {"expires_at": None},
        {"expires_at": "2031-01-01T00:00:00.25Z"},
        {},
    ]
    for changes in steps:
        answer = await admin.put(address, json=changes)
        kept |= changes
        if kept["expires_at"]:
            kept["expires_at"] = kept["expires_at"].replace(".25Z", ".250Z")
        assert answer.json() == kept
    assert await _at_mcp(running, made["value"]) == 403


async def test_what_was_read_may_be_sent_back(admin: httpx2.AsyncClient) -> None:
    """Contract §9: a redacted value sent back means "keep"."""
    made = await _made(admin, mcp_configs=[NOTES])
    address = f"{KEYS}/{made['id']}"
    shown = (await admin.get(address)).json()
    assert (await admin.put(address, json=shown)).json() == shown


async def test_a_name_that_no_upstream_has_is_refused_but_for_one_that_the_key_has_already(
    running: TestGateway, admin: httpx2.AsyncClient
) -> None:
    """Ours: a slip of the pen is seen at once; what was read may be sent back when its upstream is gone (contract §9)."""
    made = await _made(admin, mcp_configs=[NOTES])
    address, more = f"{KEYS}/{made['id']}", [NOTES, {"mcp_client_name": "notess"}, {"mcp_client_name": "tickets"}]
    refused = (await admin.put(address, json={"mcp_configs": more})).json()["error"]
    assert (refused["code"], refused["param"]) == ("mcp_client_unknown", "mcp_configs")
    assert refused["message"] == "There is no MCP client named notess, tickets."
    (notes,) = await running.rows("upstreams")
    assert (await admin.delete(f"/api/mcp/client/{notes['id']}")).status_code < 300
    kept = (await admin.put(address, json={"mcp_configs": [NOTES], "description": "changed"})).json()
    assert (kept["mcp_configs"], kept["description"]) == ([NOTES], "changed")
    assert (await admin.post(KEYS, json={"name": "bob", "mcp_configs": [NOTES]})).status_code == 400


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"value": "sk-bf-" + "q" * 40}, 400, "value"),
        ({"value": ""}, 400, "value"),
        ({"id": "another"}, 400, "id"),
        ({"name": None}, 400, "name"),
        ({"name": "test"}, 409, "name"),
        ({"is_active": None}, 400, "is_active"),
        ({"mcp_configs": None}, 400, "mcp_configs"),
        ({"nam": "x"}, 400, "nam"),
    ],
    ids=str,
)
async def test_a_change_that_cannot_be_is_refused(
    admin: httpx2.AsyncClient, changes: dict[str, Any], status: int, param: str
) -> None:
    """Ours: and changes nothing."""
    made = await _made(admin)
    answer = await admin.put(f"{KEYS}/{made['id']}", json={"description": "changed", **changes})
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert (await admin.get(f"{KEYS}/{made['id']}")).json()["description"] == ""


async def test_a_deactivated_key_is_refused_at_the_next_request(
    running: TestGateway, admin: httpx2.AsyncClient
) -> None:
    """Contract §6: felt at /mcp."""
    assert await _at_mcp(running, VIRTUAL_KEY) == 200
    await admin.put(f"{KEYS}/{KEY_ID}", json={"is_active": False})
    assert await _at_mcp(running, VIRTUAL_KEY) == 403
    await admin.put(f"{KEYS}/{KEY_ID}", json={"is_active": True})
    assert await _at_mcp(running, VIRTUAL_KEY) == 200


async def test_rotating_gives_a_new_value_and_keeps_what_hangs_on_the_key(
    running: TestGateway, admin: httpx2.AsyncClient
) -> None:
    """Contract §9: id, grants and credentials stay; the old value ends at once."""
    access_token = await _signed_in(running)
    answer = await admin.post(f"{KEYS}/{KEY_ID}/rotate")
    assert answer.status_code == 200
    value = answer.json()["value"]
    assert (answer.json()["id"], value != VIRTUAL_KEY, value.startswith("sk-bf-")) == (KEY_ID, True, True)
    assert await _at_mcp(running, VIRTUAL_KEY) == 401
    assert await _at_mcp(running, value) == 200
    assert await _token_works(running, access_token)
    assert value not in (await admin.get(f"{KEYS}/{KEY_ID}")).text


async def test_of_parallel_rotations_the_last_value_works_alone(
    running: TestGateway, admin: httpx2.AsyncClient
) -> None:
    """Ours: every other value is retired."""
    answers = await asyncio.gather(*(admin.post(f"{KEYS}/{KEY_ID}/rotate") for _ in range(5)))
    statuses = [await _at_mcp(running, answer.json()["value"]) for answer in answers]
    assert sorted(statuses) == [200] + [401] * 4
    assert len(await running.rows("retired_key_values")) == 5


async def _token_works(running: TestGateway, token: str) -> bool:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    return (await running.http.post("/mcp", json=body, headers=headers)).status_code == 200


async def test_deleting_a_key_takes_everything_with_it(running: TestGateway, admin: httpx2.AsyncClient) -> None:
    """TC-147, TC-191, contract §6: sessions made with it end at once."""
    access_token = await _signed_in(running)
    assert await _token_works(running, access_token)
    answer = await admin.delete(f"{KEYS}/{KEY_ID}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not await _token_works(running, access_token)
    assert await _at_mcp(running, VIRTUAL_KEY) == 401
    for table in ("virtual_keys", "grants", "authorization_codes", "access_tokens", "refresh_tokens"):
        assert await running.rows(table) == [], table
    assert {flow["identity_id"] for flow in await running.rows("pending_flows")} == {None}


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/rotate")], ids=str)
@pytest.mark.parametrize("key_id", ["unknown", "x" * 2_000, "%E2%98%83", "a'--"])
async def test_an_unknown_key_is_404(admin: httpx2.AsyncClient, method: str, suffix: str, key_id: str) -> None:
    """Contract §2."""
    answer = await admin.request(method, f"{KEYS}/{key_id}{suffix}", json={} if method == "PUT" else None)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "virtual_key_not_found"


async def test_a_deleted_key_is_deleted_once(admin: httpx2.AsyncClient) -> None:
    """Ours: of parallel deletions one wins."""
    made = await _made(admin)
    answers = await asyncio.gather(*(admin.delete(f"{KEYS}/{made['id']}") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]


async def test_what_the_api_changed_the_file_does_not_change_back(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §10: the database wins over the file."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as first, first.administrator() as admin:
        await admin.put(f"{KEYS}/{KEY_ID}", json={"name": "renamed", "is_active": False})
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as second, second.administrator() as admin:
        (key,) = (await admin.get(KEYS)).json()["virtual_keys"]
    assert (key["id"], key["name"], key["is_active"]) == (KEY_ID, "renamed", False)


@pytest.mark.parametrize("action", ["delete", "rotate", "rename and rotate", "rotate and delete"])
async def test_a_value_that_was_deleted_or_rotated_away_does_not_come_back_from_the_file(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, action: str
) -> None:
    """Contract §10: somebody deleted or rotated the key because it leaked."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as first, first.administrator() as admin:
        if "rename" in action:
            await admin.put(f"{KEYS}/{KEY_ID}", json={"name": "renamed"})
        if "rotate" in action:
            await admin.post(f"{KEYS}/{KEY_ID}/rotate")
        if "delete" in action:
            await admin.delete(f"{KEYS}/{KEY_ID}")
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as second:
        assert await _at_mcp(second, VIRTUAL_KEY) == 401
        async with second.administrator() as admin:
            answer = await admin.post(KEYS, json={"name": "back", "value": VIRTUAL_KEY})
        assert answer.status_code == 409


async def test_a_deleted_key_comes_back_with_a_new_value_in_the_file_and_inherits_nothing(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §10: the file creates what does not exist yet."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as first, first.administrator() as admin:
        access_token = await _signed_in(first)
        await admin.delete(f"{KEYS}/{KEY_ID}")
    value = "sk-bf-" + "n" * 40
    governance = {"virtual_keys": [{"id": KEY_ID, "name": "test", "value": value}]}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, governance=governance) as second:
        assert await _at_mcp(second, value) == 200
        assert not await _token_works(second, access_token)
