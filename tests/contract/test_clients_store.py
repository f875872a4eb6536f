"""The clients' store: what an administrator decides holds for a consent that is finished at the same moment."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bifrost.authserver.models import Approval, Client, ClientChange, ClientRecord, Grant, RememberedConsent
from bifrost.base.ids import hash_secret
from bifrost.protocol import oauth
from bifrost.storage.clients import SqlClientStore
from bifrost.storage.database import Database
from tests.contract._stores import KEY, NOW, audit_row, code_of, flow, grant, grants_store, opened, rows, together

pytestmark = pytest.mark.anyio

CLIENT_ID = "n8n"
WIDE = "mcp:read mcp:write"
ROUNDS = 8


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
async def other(database: Database, database_url: str) -> AsyncIterator[Database]:
    """As another process has it; made after the first one has migrated."""
    async with opened(database_url) as made:
        yield made


def _client(**changes: Any) -> Client:
    usual = Client(
        client_id=CLIENT_ID,
        client_name="n8n",
        redirect_uris=("https://n8n.example/cb",),
        grant_types=oauth.GRANT_TYPES,
        token_endpoint_auth_method=oauth.NONE,
        origin="preregistered",
    )
    return replace(usual, **changes)


async def _registered(database: Database, row_id: str = "client_1") -> None:
    record = ClientRecord(id=row_id, client=_client(), created_at=NOW, updated_at=NOW)
    assert await SqlClientStore(database).add_client(record, "")


async def _submitted(database: Database, client: Client, number: int = 1) -> Grant | None:
    """A person asked for everything, and is just now pressing the button."""
    store = grants_store(database)
    pending = flow(client_id=client.client_id, scope=WIDE)
    await store.add_pending_flow(pending)
    await store.choose_identity(pending.id, KEY, NOW)
    given = grant(client_id=client.client_id, scope=WIDE)
    consent = RememberedConsent(
        identity=KEY,
        client_id=client.client_id,
        scope=WIDE,
        resources=(given.resource,),
        redirect_hosts=("n8n.example",),
        keys_hash="",
    )
    approval = Approval(
        client=ClientRecord(client=client),
        consent=consent,
        person_hash=hash_secret(f"person {number}"),
        proof="",
        row=audit_row(target=given.id),
    )
    return await store.submit_flow(pending.id, given, code_of(given), NOW, approval=approval)


@pytest.mark.parametrize("origin", ["preregistered", "self_registered"])
async def test_a_limit_holds_for_a_consent_that_was_asked_for_before_it(database: Database, origin: str) -> None:
    """Contract §3: grant, code and what is remembered are cut down in the transaction that writes them."""
    await _registered(database)
    await SqlClientStore(database).change_client("client_1", ClientChange(scope_limit="mcp:read"), NOW)
    written = await _submitted(database, _client(origin=origin))
    assert written is not None
    assert written.scope == "mcp:read"
    for table in ("grants", "authorization_codes", "remembered_consents"):
        assert [row["scope"] for row in await rows(database, table)] == ["mcp:read"], table
    assert [json.loads(row["details"])["scope"] for row in await rows(database, "audit_events")] == ["mcp:read"]


async def test_no_grant_outruns_a_limit_that_is_set_at_the_same_moment(database: Database, other: Database) -> None:
    """Contract §3, two processes: whichever comes first, no grant that stands is wider than the limit."""
    await _registered(database)
    for number in range(ROUNDS):
        await SqlClientStore(other).change_client("client_1", ClientChange(scope_limit=""), NOW)
        await together(
            [
                _submitted(database, _client(), number),
                SqlClientStore(other).change_client("client_1", ClientChange(scope_limit="mcp:read"), NOW),
                _submitted(database, _client(), number + ROUNDS),
            ]
        )
        standing = [row["scope"] for row in await rows(database, "grants") if row["revoked_at"] is None]
        assert WIDE not in standing


async def test_a_deleted_client_does_not_come_back_with_a_consent(database: Database) -> None:
    """Contract §3: its row is the administrator's, and a consent that was under way ends without a grant."""
    await _registered(database)
    await SqlClientStore(database).remove_client("client_1", NOW)
    assert await _submitted(database, _client()) is None
    for table in ("oauth_clients", "grants", "remembered_consents", "known_browsers"):
        assert await rows(database, table) == [], table


async def test_no_grant_is_left_of_a_client_that_is_deleted_at_the_same_moment(
    database: Database, other: Database
) -> None:
    """Contract §3, two processes: whichever comes first."""
    for number in range(ROUNDS):
        await _registered(database, f"client_{number}")
        await together(
            [
                _submitted(database, _client(), number),
                SqlClientStore(other).remove_client(f"client_{number}", NOW),
                _submitted(other, _client(), number + ROUNDS),
            ]
        )
        assert await rows(database, "oauth_clients") == []
        assert all(row["revoked_at"] for row in await rows(database, "grants"))
        assert await rows(database, "remembered_consents") == []


async def test_what_was_allowed_a_deleted_client_is_not_allowed_the_next_of_its_name(database: Database) -> None:
    """Contract §5: a consent is for one client and never for another, also when an administrator reuses an id."""
    await _registered(database)
    assert await _submitted(database, _client())
    assert len(await rows(database, "remembered_consents")) == 1
    await SqlClientStore(database).remove_client("client_1", NOW)
    assert await rows(database, "remembered_consents") == []


async def test_only_clients_with_a_living_grant_and_no_row_are_adopted(database: Database) -> None:
    """Contract §3: an administrator can block whoever holds a grant, however old it is. Done twice it changes nothing."""
    store, clients = grants_store(database), SqlClientStore(database)
    for client_id, changes in (("living", {}), ("over", {"expires_at": NOW}), (CLIENT_ID, {})):
        pending, given = flow(), grant(client_id=client_id, **changes)
        await store.add_pending_flow(pending)
        await store.submit_flow(pending.id, given, code_of(given), NOW)
    ended, pending = grant(client_id="ended"), flow()
    await store.add_pending_flow(pending)
    await store.submit_flow(pending.id, ended, code_of(ended), NOW)
    await store.revoke_grant(ended.id, "test", NOW)
    await _registered(database)
    assert await clients.without_row(NOW) == ["living"]
    for _ in range(2):
        await clients.adopt([_client(client_id="living", origin="self_registered"), _client()], NOW)
    assert await clients.without_row(NOW) == []
    kept = {row["client_id"]: row["id"] for row in await rows(database, "oauth_clients")}
    assert set(kept) == {"living", CLIENT_ID}
    assert kept[CLIENT_ID] == "client_1"
