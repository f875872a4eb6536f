"""Virtual MCPs through the management API (contract §9)."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flows._administration import add, api, change
from tests.flows._hostile_upstream import HostileUpstream, hostile
from tests.flows._mcp import KEY, names, refusal, with_upstreams
from tests.flows._virtual_mcps import VIRTUAL_MCPS, changed, holding, made
from tests.support.gateway import ISSUER, KEY_ID, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio


@pytest.fixture
def one() -> Iterator[HostileUpstream]:
    with hostile() as server:
        yield server


@pytest.fixture
async def gateway(one: HostileUpstream, database_url: str, tmp_path: Path) -> AsyncIterator[TestGateway]:
    """Two upstreams, of one server."""
    entries = (upstream("one", one.url), upstream("two", one.url))
    async with with_upstreams(database_url, tmp_path, *entries) as running:
        yield running


def _error(answer: httpx2.Response, status: int) -> tuple[str, str]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    return error["code"], error["param"]


async def test_a_virtual_mcp_is_made_listed_changed_and_deleted(gateway: TestGateway) -> None:
    """Contract §9."""
    first = await made(gateway, "Work", holding("one", two=["read"]), description="What work needs")
    assert first["endpoint_slug"] == "work"
    assert first["mcp_url"] == f"{ISSUER}/mcp/work"
    assert first["mcp_configs"] == [
        {"mcp_client_name": "one", "tools_to_execute": ["*"]},
        {"mcp_client_name": "two", "tools_to_execute": ["read"]},
    ]
    assert await names(gateway.http, path="/mcp/work") == ["one-read", "one-write", "two-read"]
    second = await made(gateway, "play", holding("two"), endpoint_slug="fun")
    page = (await api(gateway, "GET", VIRTUAL_MCPS, limit=1, offset=1)).json()
    assert page == {"virtual_mcps": [second], "count": 1, "total_count": 2, "limit": 1, "offset": 1}
    found = (await api(gateway, "GET", VIRTUAL_MCPS, search="NEEDS")).json()
    assert found["virtual_mcps"] == [first]
    one_of_them = f"{VIRTUAL_MCPS}/{first['id']}"
    assert (await api(gateway, "PUT", one_of_them, first)).json()["mcp_configs"] == first["mcp_configs"]
    after = await changed(gateway, first, name="Job", mcp_configs=holding(one=["read"]))
    assert (after["name"], after["endpoint_slug"]) == ("Job", "work")
    assert (await api(gateway, "GET", one_of_them)).json() == after
    assert (await api(gateway, "DELETE", one_of_them)).status_code == 204
    assert _error(await api(gateway, "GET", one_of_them), 404) == ("virtual_mcp_not_found", "id")
    assert _error(await api(gateway, "DELETE", one_of_them), 404) == ("virtual_mcp_not_found", "id")
    assert (await api(gateway, "GET", VIRTUAL_MCPS)).json()["total_count"] == 1


WRONG: dict[str, tuple[dict[str, Any], int, tuple[str, str]]] = {
    "no name": ({"name": None}, 400, ("invalid_request", "name")),
    "blank": ({"name": " "}, 400, ("invalid_request", "name")),
    "nothing in it": ({"mcp_configs": []}, 400, ("virtual_mcp_invalid", "mcp_configs")),
    "unknown upstream": ({"mcp_configs": holding("three")}, 400, ("virtual_mcp_invalid", "mcp_configs")),
    "named twice": ({"mcp_configs": holding("one", "one")}, 400, ("virtual_mcp_invalid", "mcp_configs")),
    "slug": ({"endpoint_slug": "A b"}, 400, ("virtual_mcp_invalid", "endpoint_slug")),
    "no slug in the name": ({"name": "two words"}, 400, ("virtual_mcp_invalid", "endpoint_slug")),
    "unknown member": ({"tools": []}, 400, ("invalid_request", "tools")),
    "an upstream's address": ({"endpoint_slug": "two"}, 409, ("virtual_mcp_taken", "endpoint_slug")),
    "another's address": ({"endpoint_slug": "there"}, 409, ("virtual_mcp_taken", "endpoint_slug")),
    "another's name": ({"name": "There", "endpoint_slug": "new"}, 409, ("virtual_mcp_taken", "name")),
}


@pytest.mark.parametrize(("members", "status", "error"), WRONG.values(), ids=WRONG)
async def test_what_cannot_be_is_refused_by_the_member_that_is_wrong(
    gateway: TestGateway, members: dict[str, Any], status: int, error: tuple[str, str]
) -> None:
    """Contract §2 and §9, for a new one and for a change."""
    await made(gateway, "There", holding("one"))
    good = {"name": "good", "endpoint_slug": "good", "mcp_configs": holding("one")}
    if members.get("name") == "two words":
        del good["endpoint_slug"]
    wrong = {**good, **members}
    assert _error(await api(gateway, "POST", VIRTUAL_MCPS, wrong), status) == error
    other = await made(gateway, "other", holding("one"))
    if "endpoint_slug" in good:
        answer = await api(gateway, "PUT", f"{VIRTUAL_MCPS}/{other['id']}", members)
        assert _error(answer, status) == error
    assert (await api(gateway, "GET", f"{VIRTUAL_MCPS}/{other['id']}")).json() == other


async def test_an_upstream_cannot_take_the_address_of_a_virtual_mcp(gateway: TestGateway, one: HostileUpstream) -> None:
    """Contract §1: an address is one endpoint."""
    await made(gateway, "work", holding("one"))
    body = {"name": "work", "connection_string": one.url}
    assert _error(await api(gateway, "POST", "/api/mcp/client", body), 409) == ("mcp_client_taken", "endpoint_slug")
    three = await add(gateway, "three", one.url)
    moved = await change(gateway, three["mcp_client_id"], endpoint_slug="work")
    assert _error(moved, 409) == ("mcp_client_taken", "endpoint_slug")


async def test_an_upstream_keeps_its_name_while_a_virtual_mcp_names_it(
    gateway: TestGateway, one: HostileUpstream
) -> None:
    """Contract §9: a new name would put another upstream into it."""
    three = await add(gateway, "three", one.url)
    await made(gateway, "work", holding("three"))
    renamed = await change(gateway, three["mcp_client_id"], name="four")
    assert _error(renamed, 400) == ("upstream_invalid", "name")


async def test_an_attached_key_reaches_nothing_else_and_keeps_the_virtual_mcp_alive(gateway: TestGateway) -> None:
    """Contract §7 and §9."""
    work = await made(gateway, "work", holding(one=["read"]))
    play = await made(gateway, "play", holding("two"))
    attachment = f"{VIRTUAL_MCPS}/{{}}/virtual-keys/{KEY_ID}"
    answer = await api(gateway, "POST", attachment.format(work["id"]))
    assert answer.json() == work | {"virtual_keys": [{"id": KEY_ID, "name": "test"}], "updated_at": work["updated_at"]}
    assert await names(gateway.http) == ["one-read"]
    assert await names(gateway.http, path="/mcp/one") == ["read"]
    assert await names(gateway.http, path="/mcp/play") == []
    await api(gateway, "POST", attachment.format(play["id"]))
    assert await names(gateway.http) == ["one-read", "two-read", "two-write"]
    shown = (await api(gateway, "GET", f"/api/governance/virtual-keys/{KEY_ID}")).json()
    assert shown["virtual_mcps"] == ["work", "play"]
    one_of_them = f"{VIRTUAL_MCPS}/{work['id']}"
    assert _error(await api(gateway, "DELETE", one_of_them), 409)[0] == "virtual_mcp_attached"
    assert _error(await api(gateway, "PUT", one_of_them, {"name": "job"}), 409)[0] == "virtual_mcp_attached"
    await changed(gateway, work, disabled=True)
    assert await names(gateway.http) == ["two-read", "two-write"]
    for virtual_mcp in (work, play):
        assert (await api(gateway, "DELETE", attachment.format(virtual_mcp["id"]))).json()["virtual_keys"] == []
    assert len(await names(gateway.http)) == 4
    assert (await api(gateway, "DELETE", one_of_them)).status_code == 204


async def test_a_key_may_name_what_it_is_confined_to_itself(gateway: TestGateway) -> None:
    """Contract §9: one that is not there would confine it to nothing, so it is an error."""
    await made(gateway, "work", holding(one=["read"]))
    key = f"/api/governance/virtual-keys/{KEY_ID}"
    assert (await api(gateway, "PUT", key, {"virtual_mcps": ["work"]})).json()["virtual_mcps"] == ["work"]
    assert await names(gateway.http) == ["one-read"]
    unknown = await api(gateway, "PUT", key, {"virtual_mcps": ["work", "gone"]})
    assert _error(unknown, 404) == ("virtual_mcp_not_found", "virtual_mcps")
    body = {"name": "new", "virtual_mcps": ["gone"]}
    assert _error(await api(gateway, "POST", "/api/governance/virtual-keys", body), 404)[0] == "virtual_mcp_not_found"
    assert (await api(gateway, "PUT", key, {"virtual_mcps": []})).json()["virtual_mcps"] == []
    assert len(await names(gateway.http)) == 4


@pytest.mark.parametrize(("path", "error"), [("vmcp_9/virtual-keys/vk-test", "id"), ("{}/virtual-keys/vk-9", "vk_id")])
async def test_only_what_exists_is_attached(gateway: TestGateway, path: str, error: str) -> None:
    """Contract §2."""
    work = await made(gateway, "work", holding("one"))
    for method in ("POST", "DELETE"):
        assert _error(await api(gateway, method, f"{VIRTUAL_MCPS}/{path.format(work['id'])}"), 404)[1] == error


async def test_nobody_but_an_administrator_gets_in_and_every_change_is_in_the_audit_trail(
    gateway: TestGateway,
) -> None:
    """Contract §9."""
    assert (await gateway.http.get(VIRTUAL_MCPS, headers=KEY)).status_code == 401
    work = await made(gateway, "work", holding("one"))
    await changed(gateway, work, description="new")
    await api(gateway, "POST", f"{VIRTUAL_MCPS}/{work['id']}/virtual-keys/{KEY_ID}")
    await api(gateway, "DELETE", f"{VIRTUAL_MCPS}/{work['id']}")
    await api(gateway, "DELETE", f"{VIRTUAL_MCPS}/{work['id']}/virtual-keys/{KEY_ID}")
    await api(gateway, "DELETE", f"{VIRTUAL_MCPS}/{work['id']}")
    told = (await api(gateway, "GET", "/api/audit", limit=6)).json()["events"]
    assert [(one["event"], one["target"], one["result"]) for one in reversed(told)] == [
        ("virtual_mcp_create", work["id"], "success"),
        ("virtual_mcp_change", work["id"], "success"),
        ("virtual_mcp_attach", f"{work['id']},{KEY_ID}", "success"),
        ("virtual_mcp_delete", work["id"], "failure"),
        ("virtual_mcp_detach", f"{work['id']},{KEY_ID}", "success"),
        ("virtual_mcp_delete", work["id"], "success"),
    ]


async def test_the_configuration_file_makes_them_and_the_api_wins(
    one: HostileUpstream, database_url: str, tmp_path: Path
) -> None:
    """Contract §10."""
    entries = [upstream("one", one.url), upstream("two", one.url)]

    def sections(**virtual_mcp: Any) -> dict[str, Any]:
        entry = {"name": "work", "mcp_configs": holding("one"), **virtual_mcp}
        return {"mcp": {"client_configs": entries, "virtual_mcps": [entry]}}

    async with running_gateway(database_url, tmp_path, **sections()) as running:
        assert await names(running.http, path="/mcp/work") == ["read", "write"]
    async with running_gateway(database_url, tmp_path, **sections(mcp_configs=holding("two", one=["read"]))) as running:
        assert await names(running.http, path="/mcp/work") == ["one-read", "two-read", "two-write"]
        [work] = (await api(running, "GET", VIRTUAL_MCPS)).json()["virtual_mcps"]
        await changed(running, work, endpoint_slug="job")
    async with running_gateway(database_url, tmp_path, **sections(description="edited")) as running:
        assert await names(running.http, path="/mcp/job") == ["one-read", "two-read", "two-write"]
        assert refusal(await running.http.post("/mcp/work", json={}, headers=KEY), 404) == "unknown_endpoint"
