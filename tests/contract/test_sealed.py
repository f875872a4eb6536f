"""Everything sealed, sealed anew: nothing forgotten, nothing lost to a gateway that runs, nothing done twice."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bifrost.authserver.signing_keys import SigningKeys
from bifrost.base.sealing import KeyRing, SealBrokenError, sealed_prefix
from bifrost.storage.database import Database, queries
from bifrost.storage.sealed import BATCH_ROWS, COLUMNS, INSTALLATION, Resealing, SealedColumn, Totals
from bifrost.storage.signing_keys import SqlSigningKeyStore
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.upstreams.accounts import Owner
from bifrost.upstreams.models import OAuthConfig
from bifrost.upstreams.vault import Vault
from tests.contract._stores import NOW, consented, fetch, grants_store, opened, rows
from tests.support import upstreams as accounts
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio

OLD, NEW = b"o" * 32, b"n" * 32
BEFORE, ROTATED, AFTER = KeyRing([OLD]), KeyRing([NEW, OLD]), KeyRing([NEW])
NOT_OF_THE_RING = {"refresh_tokens.sealed_successors": "one that only the refresh token itself gives"}
"""Columns called sealed that the key ring has no part in: which key they are under instead."""

HEADERS = {"X-Api-Key": "canary"}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


async def _fill(database: Database, ring: KeyRing, *, people: int = 1) -> None:
    """A value in every column of the list, as the product itself writes it."""
    vault = Vault(ring)
    store = SqlUpstreamOAuthStore(database, vault)
    row = accounts.upstream(
        id="up_1",
        sealed_headers=vault.seal_headers("up_1", HEADERS),
        sealed_oauth_config=vault.seal_oauth_config("up_1", OAuthConfig(client_id="us")),
    )
    assert await SqlUpstreamStore(database).add_upstream(row, "", NOW)
    await store.keep_registration("up_1", accounts.CALLBACK, accounts.REGISTRATION, NOW)
    await store.add_sign_in(accounts.STATE, accounts.sign_in(), NOW)
    for number in range(people):
        await store.keep_credential(accounts.credential(owner=Owner("vk", f"vk-{number}")), NOW)
    await SigningKeys(
        SqlSigningKeyStore(database), ring, FakeClock(), alg="ES256", token_seconds=60, rotate_days=0
    ).sign({})
    named = queries("installation", database.driver)
    async with database.transaction() as connection:
        for name, use in INSTALLATION.items():
            value = ring.seal(b"installed", use=use, owner=name)
            await named.keep_installation_value(connection, name=name, value=value)
        await named.keep_installation_value(connection, name="not_sealed", value="plain")


async def _older(database: Database, ring: KeyRing) -> dict[str, int]:
    """How many values of each column are under another key than the sealing one."""
    prefix, found = sealed_prefix(ring.sealing_id), {}
    for column in COLUMNS:
        values = [row[column.column] for row in await rows(database, column.table) if column.use(row)]
        assert values, f"{column}: the test writes no value of this kind"
        found[str(column)] = sum(not value.startswith(prefix) for value in values)
    return found


async def test_no_sealed_column_is_forgotten(database: Database) -> None:
    """A column that is not in the list would be lost with an old key."""
    if database.dialect == "postgresql":
        statement = "SELECT table_name AS t, column_name AS c FROM information_schema.columns"
    else:
        statement = "SELECT m.name AS t, i.name AS c FROM sqlite_master m JOIN pragma_table_info(m.name) i"
    found = {f"{row['t']}.{row['c']}" for row in await rows(database, statement) if row["c"].startswith("sealed")}
    listed = {str(column) for column in COLUMNS if column.table != "installation"}
    assert found - set(NOT_OF_THE_RING) == listed
    assert set(NOT_OF_THE_RING) <= found


@pytest.mark.parametrize("column", COLUMNS, ids=str)
async def test_a_column_is_found_by_its_whole_primary_key(database: Database, column: SealedColumn) -> None:
    """An UPDATE by half a key would write one row's secret over another's."""
    if database.dialect == "postgresql":
        statement = (
            "SELECT a.attname AS name FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "  # noqa: S608
            f"AND a.attnum = ANY(i.indkey) WHERE i.indisprimary AND i.indrelid = '{column.table}'::regclass"
        )
    else:
        statement = f"SELECT name FROM pragma_table_info('{column.table}') WHERE pk > 0"  # noqa: S608
    assert {row["name"] for row in await rows(database, statement)} == set(column.key)


async def test_everything_opens_with_the_new_key_alone(database: Database) -> None:
    """TC-182, ASVS 11.2.2: add a key, seal anew, drop the old one."""
    await _fill(database, BEFORE, people=3)
    totals = await Resealing(database, ROTATED).run()
    assert not any((await _older(database, ROTATED)).values())
    assert (
        totals.resealed.total() == len(COLUMNS) + 2 + 1 + len(INSTALLATION) - 1
    )  # two more people, one more signing key
    assert not totals.unreadable
    vault = Vault(AFTER)
    (kept,) = await SqlUpstreamStore(database).upstreams()
    assert vault.open_headers(kept) == HEADERS
    assert vault.open_oauth_config(kept).client_id == "us"
    store = SqlUpstreamOAuthStore(database, vault)
    assert await store.registration("up_1", "https://as.example", accounts.CALLBACK) == accounts.REGISTRATION
    assert await store.claim_sign_in(accounts.STATE, (accounts.BROWSER,), NOW) == accounts.sign_in()
    for number in range(3):
        found = await store.credential("up_1", Owner("vk", f"vk-{number}"))
        assert found is not None
        assert (found.state, found.tokens.access_token) == ("active", "canary-access")
    installed = {row["name"]: row["value"] for row in await rows(database, "installation")}
    for name, use in INSTALLATION.items():
        assert AFTER.open(installed[name], use=use, owner=name) == b"installed"
    assert installed["not_sealed"] == "plain"


async def test_the_second_run_has_nothing_to_do(database: Database) -> None:
    """TC-182: idempotent; not a byte is written."""
    await _fill(database, BEFORE, people=3)
    await Resealing(database, ROTATED).run()
    before = [await rows(database, column.table) for column in COLUMNS]
    assert (await Resealing(database, ROTATED).run()).resealed.total() == 0
    assert [await rows(database, column.table) for column in COLUMNS] == before


async def test_a_run_that_was_killed_is_gone_on_with(database: Database) -> None:
    """TC-182: whatever was done stays done, and every batch is done as a whole."""
    people = 2 * BATCH_ROWS + 10
    await _fill(database, BEFORE, people=people)

    class Killed(Exception):
        pass

    def kill(column: SealedColumn, totals: Totals) -> None:
        if totals.resealed[str(column)] >= 2 * BATCH_ROWS:
            raise Killed

    with pytest.raises(Killed):
        await Resealing(database, ROTATED, kill).run()
    assert (await _older(database, ROTATED))["upstream_credentials.sealed"] == 10
    await Resealing(database, ROTATED).run()
    assert not any((await _older(database, ROTATED)).values())
    store = SqlUpstreamOAuthStore(database, Vault(AFTER))
    held = [await store.credential("up_1", Owner("vk", f"vk-{number}")) for number in range(people)]
    assert {one.state for one in held if one} == {"active"}
    assert len(held) == people


async def test_a_credential_that_is_renewed_meanwhile_is_not_lost(database: Database) -> None:
    """A value is replaced only if it still is the one that was opened; the lease and the version stay."""
    await _fill(database, BEFORE)
    gateway = SqlUpstreamOAuthStore(database, Vault(ROTATED))
    held = await gateway.credential("up_1", Owner("vk", "vk-0"))
    assert held
    assert await gateway.lease_refresh(held, NOW + 1, NOW)
    fresh = replace(held, tokens=replace(held.tokens, access_token="renewed"), version=held.version + 1)

    class Slow(Resealing):
        """Somebody writes between the reading of a batch and the writing of it."""

        async def _replace(self, column: SealedColumn, *more: Any) -> bool:
            if column.table == "upstream_credentials":
                await gateway.refreshed(fresh, NOW)
            return await super()._replace(column, *more)

    totals = await Slow(database, ROTATED).run()
    found = await SqlUpstreamOAuthStore(database, Vault(AFTER)).credential("up_1", held.owner)
    assert found is not None
    assert (found.tokens.access_token, found.version) == ("renewed", held.version + 1)
    assert totals.resealed["upstream_credentials.sealed"] == 0


async def test_a_lease_outlives_the_new_seal(database: Database) -> None:
    """A gateway that renews a credential while it is sealed anew writes the pair it was given."""
    await _fill(database, BEFORE)
    gateway = SqlUpstreamOAuthStore(database, Vault(ROTATED))
    held = await gateway.credential("up_1", Owner("vk", "vk-0"))
    assert held
    assert await gateway.lease_refresh(held, NOW + 1, NOW)
    await Resealing(database, ROTATED).run()
    fresh = replace(held, tokens=replace(held.tokens, access_token="renewed"), version=held.version + 1)
    assert await gateway.refreshed(fresh, NOW)
    found = await SqlUpstreamOAuthStore(database, Vault(AFTER)).credential("up_1", held.owner)
    assert found is not None
    assert found.tokens.access_token == "renewed"


async def test_what_no_key_opens_is_left_and_counted(database: Database) -> None:
    """Tampered with, or of a key that is gone: said so, and in nobody's way."""
    await _fill(database, BEFORE, people=3)
    foreign = KeyRing([b"f" * 32]).seal(b"x", use="upstream_credential", owner="up_1|vk:vk-1")
    async with database.transaction() as connection:
        await fetch(
            connection,
            f"UPDATE upstream_credentials SET sealed = '{foreign}' WHERE owner_id = 'vk-1' RETURNING 1",  # noqa: S608
        )
    totals = await Resealing(database, ROTATED).run()
    assert totals.unreadable == {"upstream_credentials.sealed": 1}
    assert totals.resealed["upstream_credentials.sealed"] == 2
    assert (await _older(database, ROTATED))["installation.value"] == 0


async def test_a_column_that_somebody_keeps_sealing_with_an_older_key_is_named(database: Database) -> None:
    """A process with the old configuration: the run ends, and says what stands against dropping the old key."""
    await _fill(database, BEFORE)
    stubborn = SqlUpstreamOAuthStore(database, Vault(BEFORE))

    class Slow(Resealing):
        async def _replace(self, column: SealedColumn, *more: Any) -> bool:
            if column.table == "upstream_credentials":
                await stubborn.keep_credential(accounts.credential(owner=Owner("vk", "vk-0")), NOW)
            return await super()._replace(column, *more)

    assert (await Slow(database, ROTATED).run()).contended == {"upstream_credentials.sealed"}


async def test_registrations_under_an_older_key_are_counted(database: Database) -> None:
    """Contract §3: an id that a client still holds must not die unnoticed."""
    store = grants_store(database)
    old, new = (f"bfcl_{ring.seal_name(b'client', use='client_id')}" for ring in (BEFORE, ROTATED))
    for client_id in (old, old, new, "bfcl_!", "https://app.example/client.json"):
        given, _code = await consented(store)
        async with database.transaction() as connection:
            await fetch(
                connection,
                f"UPDATE grants SET client_id = '{client_id}' WHERE id = '{given.id}' RETURNING 1",  # noqa: S608
            )
    assert await Resealing(database, ROTATED).clients_of_older_keys(NOW) == 1
    assert await Resealing(database, ROTATED).clients_of_older_keys(NOW + 10**9) == 0


async def test_a_sealed_value_never_opens_for_another_row_afterwards(database: Database) -> None:
    """Contract §8: the owner stays the associated data."""
    await _fill(database, BEFORE, people=2)
    await Resealing(database, ROTATED).run()
    first, _second = await rows(database, "upstream_credentials")
    with pytest.raises(SealBrokenError):
        Vault(AFTER).open_credential("up_1", Owner("vk", "vk-1"), first["sealed"])
