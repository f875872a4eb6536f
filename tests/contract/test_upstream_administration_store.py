"""Administering upstreams: what is pending, what a change takes with it, one completion of many, tools over time."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from bifrost.base.ids import hash_secret
from bifrost.protocol.upstream_metadata import AuthorizationServer
from bifrost.storage.database import Database
from bifrost.storage.upstream_administration import GONE_TOOLS_MILLISECONDS, SqlUpstreamAdministrationStore
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.upstreams.accounts import (
    Credential,
    Discovered,
    Owner,
    Registration,
    SignIn,
    TokenSet,
    setup_owner,
    shared_owner,
)
from bifrost.upstreams.administration import Discovery, Drift, SetUp, Tool
from bifrost.upstreams.models import Upstream
from tests.contract._stores import MINUTE, NOW, VAULT, opened, rows, together

pytestmark = pytest.mark.anyio

CALLBACK = "http://localhost:8080/api/oauth/callback"
REGISTRATION = Registration(issuer="https://as.example", client_id="us", client_secret="canary-secret")
ANN = Owner("vk", "vk-1")


def _upstream(**changes: Any) -> Upstream:
    usual = Upstream(
        id="up_1", name="guarded", endpoint_slug="guarded", connection_type="http",
        connection_string="https://up.example/mcp", auth_type="oauth", tools_to_execute=("*",),
        allow_on_all_virtual_keys=True, tool_execution_timeout=30, disabled=False, oauth_config_id="oac_1",
        state="pending_verification",
    )  # fmt: skip
    return replace(usual, **changes)


def _set_up(**changes: Any) -> SetUp:
    usual = SetUp(
        oauth_config_id="oac_1", upstream_id="up_1", attempt="set_1", created_at=NOW, expires_at=NOW + 15 * MINUTE
    )
    return replace(usual, **changes)


def _credential(owner: Owner, **changes: Any) -> Credential:
    usual = Credential(
        upstream_id="up_1",
        owner=owner,
        tokens=TokenSet(access_token="canary-access", refresh_token="canary-refresh", issued_at=NOW),
        registration=REGISTRATION,
        token_endpoint="https://as.example/token",
        resource="https://up.example/mcp",
    )
    return replace(usual, **changes)


def _sign_in() -> SignIn:
    server = AuthorizationServer(
        issuer="https://as.example",
        authorization_endpoint="https://as.example/authorize",
        token_endpoint="https://as.example/token",
    )
    return SignIn(
        upstream_id="up_1", owner=ANN, browser_hash=hash_secret("browser"), return_to="flow:f",
        discovered=Discovered(server=server, resource="https://up.example/mcp", scopes=()),
        registration=REGISTRATION, code_verifier="v", scope="", expires_at=NOW + 10 * MINUTE,
    )  # fmt: skip


def _tool(name: str, text: str = "x") -> Tool:
    return Tool(name=name, definition=f'{{"name":"{name}","description":"{text}"}}', hash=hash_secret(name + text))


def _store(database: Database) -> SqlUpstreamAdministrationStore:
    return SqlUpstreamAdministrationStore(database, SqlUpstreamOAuthStore(database, VAULT))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlUpstreamAdministrationStore:
    return _store(database)


@pytest.fixture
def accounts(database: Database) -> SqlUpstreamOAuthStore:
    return SqlUpstreamOAuthStore(database, VAULT)


async def test_a_pending_upstream_is_nobodys_until_it_is_completed(
    database: Database, store: SqlUpstreamAdministrationStore
) -> None:
    """Contract §9: kept aside."""
    assert await store.add(_upstream(), NOW, _set_up()) == ""
    assert await SqlUpstreamStore(database).upstreams() == []
    assert await SqlUpstreamStore(database).named("guarded") is None
    assert await store.managed() == []
    found = await store.managed_one(oauth_config_id="oac_1")
    assert found
    assert (found.upstream, found.pending, found.from_file) == (_upstream(), True, False)
    assert await store.set_up("oac_1") == _set_up()
    assert await store.delete("up_1", NOW) is False


async def test_a_pending_upstream_makes_room_and_a_live_one_does_not(store: SqlUpstreamAdministrationStore) -> None:
    """Ours: whoever begins again after a failed sign-in is not told that the name is taken."""
    await store.add(_upstream(), NOW, _set_up())
    again = _upstream(id="up_2", oauth_config_id="oac_2")
    assert await store.add(again, NOW, _set_up(upstream_id="up_2", oauth_config_id="oac_2", attempt="set_2")) == ""
    assert await store.set_up("oac_1") is None
    live = _upstream(id="up_3", oauth_config_id="", auth_type="none")
    assert await store.add(live, NOW) == ""
    assert await store.managed_one(upstream_id="up_2") is None
    assert await store.add(_upstream(endpoint_slug="x"), NOW, _set_up()) == "name"
    assert await store.add(_upstream(name="x"), NOW, _set_up()) == "endpoint_slug"
    assert await store.add(_upstream(id="up_3", name="x", endpoint_slug="x"), NOW) == "client_id"
    assert [managed.upstream for managed in await store.managed()] == [live]


async def test_a_change_counts_only_when_nobody_changed_it_meanwhile(store: SqlUpstreamAdministrationStore) -> None:
    """Ours: no change overwrites another that it did not see."""
    await store.add(_upstream(), NOW)
    (managed,) = await store.managed()
    wanted = _upstream(name="other", disabled=True)
    assert await store.change(wanted, managed.revision, "settings", NOW + 1) == ""
    assert await store.change(_upstream(), managed.revision, "settings", NOW + 2) is None
    (managed,) = await store.managed()
    assert (managed.upstream, managed.updated_at) == (wanted, NOW + 1)
    await store.add(_upstream(id="up_2", name="b", endpoint_slug="b", oauth_config_id="oac_2"), NOW)
    assert await store.change(_upstream(name="b"), managed.revision, "settings", NOW) == "name"


@pytest.mark.parametrize("change", ["settings", "place", "auth_type"])
async def test_what_was_meant_for_the_old_place_is_not_for_the_new_one(
    database: Database, store: SqlUpstreamAdministrationStore, accounts: SqlUpstreamOAuthStore, change: Any
) -> None:
    """TC-111: stored secrets stay with the authorization server that they belong to."""
    await store.add(_upstream(), NOW)
    await accounts.keep_registration("up_1", CALLBACK, REGISTRATION, NOW)
    await accounts.keep_credential(_credential(ANN), NOW)
    await accounts.add_sign_in(hash_secret("state"), _sign_in(), NOW)
    await store.begin_set_up(_set_up())
    kept = await accounts.credential("up_1", ANN)
    assert kept
    assert await accounts.lease_refresh(kept, NOW + MINUTE, NOW)

    assert await store.change(_upstream(), 0, change, NOW) == ""

    untouched = change == "settings"
    found = await accounts.credential("up_1", ANN)
    if change == "auth_type":
        assert found is None
    else:
        assert found
        assert found.state == ("active" if untouched else "needs_reauth")
        assert await accounts.refreshed(replace(kept, version=kept.version + 1), NOW) is untouched
    assert (await accounts.registration("up_1", "https://as.example", CALLBACK) is not None) is untouched
    assert len(await rows(database, "upstream_sign_ins")) == int(untouched)
    assert (await store.set_up("oac_1") is not None) is untouched


async def test_of_many_completions_one_moves_the_account_and_puts_the_upstream_to_use(
    database: Database, database_url: str, accounts: SqlUpstreamOAuthStore
) -> None:
    """Contract §9: one transaction."""
    async with opened(database_url) as other:
        stores = cycle((_store(database), _store(other)))
        await next(stores).add(_upstream(), NOW, _set_up())
        await accounts.keep_credential(_credential(shared_owner("up_1"), resource="old"), NOW)
        await accounts.keep_credential(_credential(setup_owner("set_1")), NOW)
        found = Discovery(tools=(_tool("a"),))

        async def complete() -> bool:
            return await next(stores).complete_set_up(_set_up(), _upstream(), shared_owner("up_1"), found, NOW)

        assert await together(complete() for _ in range(4)) == [False] * 4, "nobody has signed in yet"
        assert await next(stores).end_set_up("set_1", "authorized", "", NOW + MINUTE)
        assert sorted(await together(complete() for _ in range(8))) == [False] * 7 + [True]
        assert await next(stores).end_set_up("set_1", "failed", "late", NOW) is False
        assert await accounts.credential("up_1", setup_owner("set_1")) is None
        moved = await accounts.credential("up_1", shared_owner("up_1"))
        assert moved
        assert (moved.tokens.access_token, moved.resource) == ("canary-access", "https://up.example/mcp")
        (managed,) = await next(stores).managed()
        assert (managed.upstream.state, managed.pending, managed.tools_seen_at) == ("connected", False, NOW)


async def test_a_completion_and_the_end_of_its_upstream_at_once_leave_all_or_nothing(
    database: Database, database_url: str, accounts: SqlUpstreamOAuthStore
) -> None:
    """Ours: complete against delete and cancel."""
    async with opened(database_url) as other:
        one, two = _store(database), _store(other)
        for _ in range(8):
            await one.add(_upstream(), NOW, _set_up())
            await accounts.keep_credential(_credential(setup_owner("set_1")), NOW)
            await one.end_set_up("set_1", "authorized", "", NOW + MINUTE)
            found = Discovery(tools=(_tool("a"),))

            async def cancel() -> bool:
                await two.cancel_set_up("up_1", shared_owner("up_1"))
                return True

            completing = one.complete_set_up(_set_up(), _upstream(), shared_owner("up_1"), found, NOW)
            completed, *_ = await together((completing, cancel(), two.delete("up_1", NOW)))
            left = await one.managed_one(upstream_id="up_1")
            assert left is None or (completed and not left.pending)
            assert await accounts.credential("up_1", setup_owner("set_1")) is None
            await one.delete("up_1", NOW)
            for table in ("upstreams", "upstream_set_ups", "upstream_credentials", "upstream_tools"):
                assert await rows(database, table) == [], table


async def test_a_set_up_belongs_to_one_attempt_and_ends_in_time(store: SqlUpstreamAdministrationStore) -> None:
    """Contract §9: a later attempt takes the place of an earlier one."""
    await store.add(_upstream(), NOW, _set_up())
    assert await store.bind_set_up("set_1", hash_secret("one"), NOW)
    assert await store.bind_set_up("set_1", hash_secret("two"), NOW)
    assert await store.bind_set_up("set_1", hash_secret("one"), NOW + 15 * MINUTE) is False
    await store.begin_set_up(_set_up(attempt="set_2"))
    assert await store.end_set_up("set_1", "authorized", "", NOW + MINUTE) is False
    found = await store.set_up("oac_1")
    assert found == _set_up(attempt="set_2")
    assert await store.end_set_up("set_2", "failed", "It said no.", NOW + MINUTE)
    found = await store.set_up("oac_1")
    assert found
    assert (found.state, found.reason) == ("failed", "It said no.")


async def test_cancelling_takes_a_pending_upstream_along_and_of_a_live_one_only_the_account(
    database: Database, store: SqlUpstreamAdministrationStore, accounts: SqlUpstreamOAuthStore
) -> None:
    """Contract §9: DELETE /api/oauth/config/{id}."""
    await store.add(_upstream(), NOW)
    await store.begin_set_up(_set_up())
    await accounts.keep_credential(_credential(shared_owner("up_1")), NOW)
    await accounts.keep_credential(_credential(ANN), NOW)
    await store.cancel_set_up("up_1", shared_owner("up_1"))
    assert [row["owner_kind"] for row in await rows(database, "upstream_credentials")] == ["vk"]
    assert len(await store.managed()) == 1
    assert await store.set_up("oac_1") is None


async def test_tools_are_kept_with_their_history(store: SqlUpstreamAdministrationStore) -> None:
    """Contract §9: drift is visible."""
    await store.add(_upstream(), NOW)
    assert await store.keep_tools(_upstream(), (_tool("b"), _tool("a")), NOW) == Drift(added=("b", "a"))
    assert await store.keep_tools(_upstream(), (_tool("a"), _tool("b")), NOW + 1) == Drift()
    assert await store.keep_tools(_upstream(), (_tool("a", "y"),), NOW + 2) == Drift(changed=("a",), removed=("b",))
    a, b = await store.known_tools("up_1")
    assert (a.tool, a.discovered_at, a.changed_at, a.gone_at) == (_tool("a", "y"), NOW, NOW + 2, None)
    assert (b.tool, b.gone_at) == (_tool("b"), NOW + 2)
    assert await store.keep_tools(_upstream(), (_tool("a", "y"), _tool("b")), NOW + 3) == Drift(added=("b",))
    _, b = await store.known_tools("up_1")
    assert (b.discovered_at, b.changed_at, b.gone_at) == (NOW, NOW + 3, None)
    (managed,) = await store.managed()
    assert managed.tools_seen_at == NOW + 3


async def test_nothing_is_kept_of_a_place_that_the_upstream_has_left(store: SqlUpstreamAdministrationStore) -> None:
    """Ours: a look that took long does not bring the old tools back."""
    await store.add(_upstream(), NOW)
    await store.change(_upstream(connection_string="https://new.example/mcp"), 0, "place", NOW)
    assert await store.keep_tools(_upstream(), (_tool("a"),), NOW) == Drift()
    assert await store.known_tools("up_1") == []
    await store.delete("up_1", NOW)
    assert await store.keep_tools(_upstream(), (_tool("a"),), NOW) == Drift()


async def test_of_many_processes_one_looks_at_an_upstream(database: Database, database_url: str) -> None:
    """Contract §8: a lease in the row; when its holder has died, another takes over."""
    async with opened(database_url) as other:
        stores = cycle((_store(database), _store(other)))
        await next(stores).add(_upstream(), NOW)
        claims = await together(next(stores).claim_check("up_1", NOW + MINUTE, NOW) for _ in range(8))
        assert sorted(claims) == [False] * 7 + [True]
        assert await next(stores).claim_check("up_1", NOW + 2 * MINUTE, NOW + MINUTE - 1) is False
        assert await next(stores).claim_check("up_1", NOW + 3 * MINUTE, NOW + MINUTE)
        await next(stores).check_done("up_1", NOW + MINUTE, NOW)
        assert await next(stores).claim_check("up_1", NOW + 9 * MINUTE, NOW + MINUTE) is False, "not its lease"
        await next(stores).check_done("up_1", NOW + 3 * MINUTE, NOW + 2 * MINUTE)
        assert await next(stores).claim_check("up_1", NOW + 9 * MINUTE, NOW + 2 * MINUTE)


async def test_a_disabled_or_pending_upstream_is_not_looked_at(store: SqlUpstreamAdministrationStore) -> None:
    """Contract §8: `disabled`."""
    await store.add(_upstream(disabled=True), NOW)
    assert await store.claim_check("up_1", NOW + MINUTE, NOW) is False
    pending = _upstream(id="up_2", name="p", endpoint_slug="p", oauth_config_id="oac_2")
    await store.add(pending, NOW, _set_up(upstream_id="up_2", oauth_config_id="oac_2"))
    assert await store.claim_check("up_2", NOW + MINUTE, NOW) is False


async def test_what_nobody_completed_is_swept(
    database: Database, store: SqlUpstreamAdministrationStore, accounts: SqlUpstreamOAuthStore
) -> None:
    """docs/storage.md: when rows end."""
    await store.add(_upstream(), NOW, _set_up())
    await accounts.keep_credential(_credential(setup_owner("set_1")), NOW)
    await store.sweep(NOW + 15 * MINUTE - 1)
    assert len(await rows(database, "upstreams")) == 1
    await store.sweep(NOW + 15 * MINUTE)
    for table in ("upstreams", "upstream_set_ups", "upstream_credentials"):
        assert await rows(database, table) == []
    await store.add(_upstream(), NOW)
    await store.begin_set_up(_set_up(attempt="set_2"))
    await accounts.keep_credential(_credential(setup_owner("set_1")), NOW)
    await store.keep_tools(_upstream(), (_tool("a"),), NOW)
    await store.keep_tools(_upstream(), (), NOW)
    await store.sweep(NOW)
    assert await rows(database, "upstream_credentials") == [], "of an attempt that was replaced"
    assert len(await store.known_tools("up_1")) == 1
    await store.sweep(NOW + GONE_TOOLS_MILLISECONDS)
    assert await store.known_tools("up_1") == []
    assert len(await store.managed()) == 1
