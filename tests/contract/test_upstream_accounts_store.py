"""Everybody's own accounts at upstreams: sign-ins claimed once, credentials renewed once, moved or dropped with a flow."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from bifrost.authserver.connect import ConnectSession
from bifrost.base.ids import hash_secret
from bifrost.base.sealing import KeyRing
from bifrost.identity.models import Identity
from bifrost.storage.connect import SqlConnectStore
from bifrost.storage.database import Database, StorageUnavailable
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.upstreams.accounts import Credential, Owner, TokenSet
from bifrost.upstreams.vault import Vault
from tests.contract._stores import (
    CONSTRAINT_BROKEN,
    KEY,
    MINUTE,
    NOW,
    VAULT,
    authserver_store,
    code_of,
    consented,
    fetch,
    flow,
    grant,
    opened,
    rows,
    together,
)
from tests.support import upstreams
from tests.support.upstreams import ANN, BROWSER, CALLBACK, REGISTRATION, STATE

pytestmark = pytest.mark.anyio

UPSTREAMS = ("up_1", "up_2")
BOB = Owner("vk", "vk-2")
AT_ONCE = 8


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        for upstream_id in UPSTREAMS:
            assert await SqlUpstreamStore(made).add_upstream(upstreams.upstream(id=upstream_id), "", NOW)
        yield made


@pytest.fixture
def store(database: Database) -> SqlUpstreamOAuthStore:
    return SqlUpstreamOAuthStore(database, VAULT)


@pytest.fixture
async def processes(database: Database, database_url: str) -> AsyncIterator[Iterator[SqlUpstreamOAuthStore]]:
    async with opened(database_url) as other:
        yield cycle((SqlUpstreamOAuthStore(database, VAULT), SqlUpstreamOAuthStore(other, VAULT)))


async def _kept(store: SqlUpstreamOAuthStore, **changes: Any) -> Credential:
    """A credential as it is read back, with its version."""
    written = upstreams.credential(**changes)
    await store.keep_credential(written, NOW)
    found = await store.credential(written.upstream_id, written.owner)
    assert found
    return found


async def test_a_registration_is_kept_for_one_upstream_issuer_and_callback(store: SqlUpstreamOAuthStore) -> None:
    """Contract §8: registered dynamically, and again when the authorization server forgets us."""
    for client_id in ("us", "us-again"):
        registration = replace(REGISTRATION, client_id=client_id)
        await store.keep_registration("up_1", CALLBACK, registration, NOW)
        assert await store.registration("up_1", "https://as.example", CALLBACK) == registration
    assert await store.registration("up_2", "https://as.example", CALLBACK) is None
    assert await store.registration("up_1", "https://other.example", CALLBACK) is None
    assert await store.registration("up_1", "https://as.example", CALLBACK + "2") is None
    assert await store.registrations("up_1") == [registration]
    await store.forget_registration("up_1", REGISTRATION)
    assert await store.registrations("up_1") == [registration], "another client than the one that is kept by now"
    await store.forget_registration("up_1", registration)
    assert await store.registration("up_1", "https://as.example", CALLBACK) is None


async def test_a_registration_is_doubted_when_a_sign_in_has_not_come_back(store: SqlUpstreamOAuthStore) -> None:
    """Contract §8, R26: in this browser, until it comes back or its time is over; and never a new registration."""

    async def doubtful(upstream: str = "up_1", browser: str = BROWSER, now: int = NOW) -> bool:
        return await store.registration_doubtful(upstream, browser, now, registered_before=NOW - MINUTE)

    assert await doubtful() is False
    await store.add_sign_in(STATE, upstreams.sign_in(), NOW)
    await store.keep_registration("up_1", CALLBACK, REGISTRATION, NOW - MINUTE)
    assert await doubtful() is True
    assert await doubtful("up_2") is False
    assert await doubtful(browser=hash_secret("another")) is False
    assert await doubtful(now=upstreams.sign_in().expires_at) is False
    await store.keep_registration("up_1", CALLBACK, REGISTRATION, NOW - MINUTE + 1)
    assert await doubtful() is False
    await store.keep_registration("up_1", CALLBACK, REGISTRATION, NOW - MINUTE)
    assert await store.claim_sign_in(STATE, (BROWSER,), NOW)
    assert await doubtful() is False


async def test_a_registration_that_cannot_be_opened_is_as_good_as_none(
    database: Database, store: SqlUpstreamOAuthStore
) -> None:
    """TC-180: tampered with, or sealed with a key that is gone; never an error that repeats itself."""
    await store.keep_registration("up_1", CALLBACK, REGISTRATION, NOW)
    async with database.transaction() as connection:
        await fetch(connection, "UPDATE upstream_registrations SET sealed = 'broken'")
    assert await store.registration("up_1", "https://as.example", CALLBACK) is None
    assert await store.registrations("up_1") == []
    await store.forget_registration("up_1", REGISTRATION)
    await store.keep_registration("up_1", CALLBACK, REGISTRATION, NOW)
    assert await store.registration("up_1", "https://as.example", CALLBACK) == REGISTRATION


async def test_a_sign_in_is_claimed_once_by_its_own_browser_in_time(store: SqlUpstreamOAuthStore) -> None:
    """Contract §8: `state` is single-use and bound to browser and flow."""
    await store.add_sign_in(STATE, upstreams.sign_in(), NOW)
    ends = upstreams.sign_in().expires_at
    assert await store.claim_sign_in(STATE, (), NOW) is None
    assert await store.claim_sign_in(STATE, (hash_secret("another browser"),), NOW) is None
    assert await store.claim_sign_in(hash_secret("another state"), (BROWSER,), NOW) is None
    assert await store.claim_sign_in(STATE, (BROWSER,), ends) is None
    assert await store.claim_sign_in(STATE, (hash_secret("another browser"), BROWSER), ends - 1) == upstreams.sign_in()
    assert await store.claim_sign_in(STATE, (BROWSER,), NOW) is None


async def test_of_parallel_callbacks_one_claims_the_sign_in(processes: Iterator[SqlUpstreamOAuthStore]) -> None:
    """Contract §8: single-use, over all replicas."""
    await next(processes).add_sign_in(STATE, upstreams.sign_in(), NOW)
    claimed = await together(next(processes).claim_sign_in(STATE, (BROWSER,), NOW) for _ in range(AT_ONCE))
    assert [sign_in for sign_in in claimed if sign_in] == [upstreams.sign_in()]


async def test_a_credential_belongs_to_one_owner_at_one_upstream(store: SqlUpstreamOAuthStore) -> None:
    """Contract §8: keyed by identity and upstream; connecting again replaces it and makes it active."""
    first = await _kept(store)
    assert replace(first, version=0) == upstreams.credential()
    other = await _kept(store, upstream_id="up_2")
    await _kept(store, owner=BOB)
    assert await store.credentials_of(ANN) == [first, other]
    await store.needs_reauth(first, "revoked there", NOW, more_scope="b")
    again = await _kept(store, tokens=TokenSet(access_token="new"))
    assert (again.state, again.reason, again.more_scope, again.tokens.access_token) == ("active", "", "", "new")
    assert again.version > first.version
    assert len(await store.credentials_of(BOB)) == 1


async def test_of_parallel_renewals_one_gets_the_lease(processes: Iterator[SqlUpstreamOAuthStore]) -> None:
    """Contract §8: one refresh in flight per identity and upstream over all replicas; a lease ends by itself."""
    held = await _kept(next(processes))
    until = NOW + MINUTE
    leased = await together(next(processes).lease_refresh(held, until, NOW) for _ in range(AT_ONCE))
    assert sorted(leased) == [False] * (AT_ONCE - 1) + [True]
    assert await next(processes).lease_refresh(held, until + MINUTE, until - 1) is False
    assert await next(processes).lease_refresh(held, until + MINUTE, until) is True
    await next(processes).release_refresh(held, until + MINUTE, None)
    assert await next(processes).lease_refresh(held, until, NOW) is True


async def test_a_lease_is_kept_up_and_given_back_by_its_holder_alone(
    processes: Iterator[SqlUpstreamOAuthStore],
) -> None:
    """Contract §8: whoever was taken for dead neither renews nor ends the lease of whoever came after them."""
    held = await _kept(next(processes))
    first, second = NOW + MINUTE, NOW + 2 * MINUTE
    assert await next(processes).lease_refresh(held, first, NOW)
    assert await next(processes).keep_lease(held, first, first + 1) is True
    assert await next(processes).keep_lease(held, first, first + 2) is False, "it lasts longer by now"
    assert await next(processes).lease_refresh(held, second, first + 1), "the holder was taken for dead"
    assert await next(processes).keep_lease(held, first + 1, second + MINUTE) is False
    await next(processes).release_refresh(held, first + 1, None)
    assert await next(processes).lease_refresh(held, second + MINUTE, second - 1) is False, "it is the other's"
    renewed = replace(held, tokens=TokenSet(access_token="renewed"), version=held.version + 1)
    assert await next(processes).refreshed(renewed, NOW)
    assert await next(processes).keep_lease(held, second, second + 1) is False


async def test_a_renewal_is_written_only_over_what_it_renewed(processes: Iterator[SqlUpstreamOAuthStore]) -> None:
    """Contract §8: a late answer never overwrites a newer pair, and a verdict on an old one says nothing of it."""
    held = await _kept(next(processes))
    renewed = replace(held, tokens=TokenSet(access_token="renewed"), version=held.version + 1)
    written = await together(next(processes).refreshed(renewed, NOW) for _ in range(AT_ONCE))
    assert sorted(written) == [False] * (AT_ONCE - 1) + [True]
    assert await next(processes).credential("up_1", ANN) == renewed
    await next(processes).needs_reauth(held, "the old one was refused", NOW)
    assert await next(processes).lease_refresh(held, NOW + MINUTE, NOW) is False
    assert await next(processes).credential("up_1", ANN) == renewed
    await next(processes).needs_reauth(renewed, "this one was", NOW, more_scope="b")
    found = await next(processes).credential("up_1", ANN)
    assert found == replace(
        renewed,
        state="needs_reauth",
        reason="this one was",
        more_scope="b",
        basis=replace(renewed.basis, lasting="needs_reauth"),
    )
    assert await next(processes).lease_refresh(renewed, NOW + MINUTE, NOW) is False


async def test_nothing_secret_is_readable_in_the_rows_and_a_moved_row_does_not_open(
    database: Database, store: SqlUpstreamOAuthStore
) -> None:
    """Contract §8: sealed with the row's owner as associated data; what cannot be opened asks to be connected again."""
    await _kept(store)
    await store.add_sign_in(STATE, upstreams.sign_in(), NOW)
    await store.keep_registration("up_1", CALLBACK, REGISTRATION, NOW)
    for table in ("upstream_credentials", "upstream_sign_ins", "upstream_registrations"):
        (row,) = await rows(database, table)
        assert "canary" not in repr(row)
    async with database.transaction() as connection:
        statement = "UPDATE upstream_credentials SET owner_id = 'vk-2'"
        await (connection.run if hasattr(connection, "run") else connection.execute)(statement)
    stolen = await store.credential("up_1", BOB)
    assert stolen
    assert (stolen.state, stolen.tokens.access_token) == ("needs_reauth", "")
    other_ring = SqlUpstreamOAuthStore(database, Vault(KeyRing([b"o" * 32])))
    unreadable = await other_ring.credential("up_1", BOB)
    assert unreadable
    assert unreadable.state == "needs_reauth"


@pytest.mark.parametrize("ending", ["submit", "deny"])
async def test_what_a_flow_connected_goes_to_its_identity_or_nowhere(
    database: Database, store: SqlUpstreamOAuthStore, ending: str
) -> None:
    """Contract §5: submit moves the credentials connected in this flow to the chosen identity, deny deletes them."""
    pending, other = flow(), flow()
    authserver = authserver_store(database)
    await authserver.add_pending_flow(pending)
    before = await _kept(store, upstream_id="up_2")
    await _kept(store, owner=Owner("flow", pending.id), tokens=TokenSet(access_token="connected"))
    await _kept(store, owner=Owner("flow", other.id))
    given = grant()
    if ending == "submit":
        assert await authserver.submit_flow(pending.id, given, code_of(given), NOW)
    else:
        taken = await authserver.deny_flow(pending.id, NOW)
        assert [one.tokens.access_token for one in taken or ()] == ["connected"], "the services are told of it"
    held = {credential.upstream_id: credential.tokens.access_token for credential in await store.credentials_of(ANN)}
    assert held == {"up_2": before.tokens.access_token} | ({"up_1": "connected"} if ending == "submit" else {})
    assert await store.credentials_of(Owner("flow", pending.id)) == []
    assert len(await store.credentials_of(Owner("flow", other.id))) == 1


async def test_a_submit_that_fails_moves_nothing(database: Database, store: SqlUpstreamOAuthStore) -> None:
    """Contract §5: one transaction."""
    authserver = authserver_store(database)
    _, taken = await consented(authserver)
    pending, given = flow(), grant()
    await authserver.add_pending_flow(pending)
    connected = await _kept(store, owner=Owner("flow", pending.id))
    with pytest.raises(CONSTRAINT_BROKEN):
        await authserver.submit_flow(pending.id, given, code_of(given, code_hash=taken.code_hash), NOW)
    assert await store.credentials_of(Owner("flow", pending.id)) == [connected]
    assert await store.credentials_of(ANN) == []


async def test_the_sweeper_takes_what_was_never_finished(database: Database, store: SqlUpstreamOAuthStore) -> None:
    """Architecture: expired sign-ins and links, and credentials of flows that are gone."""
    authserver, connect = authserver_store(database), SqlConnectStore(database)
    gone, open_still = flow(expires_at=NOW), flow()
    for pending in (gone, open_still):
        await authserver.add_pending_flow(pending)
        await _kept(store, owner=Owner("flow", pending.id))
        await store.add_sign_in(hash_secret(pending.id), upstreams.sign_in(expires_at=pending.expires_at), NOW)
        session = ConnectSession(id=pending.id, identity=KEY, expires_at=pending.expires_at)
        await connect.add_connect_session(session, NOW)
    await _kept(store)
    await authserver.sweep(NOW)
    owners = {row["owner_id"] for row in await rows(database, "upstream_credentials")}
    assert owners == {open_still.id, ANN.id}
    assert await store.claim_sign_in(hash_secret(gone.id), (BROWSER,), 0) is None
    assert await store.claim_sign_in(hash_secret(open_still.id), (BROWSER,), NOW) is not None
    assert await connect.connect_session(gone.id) is None
    assert await connect.connect_session(open_still.id) is not None


async def test_a_link_is_bound_to_the_first_browser_that_proves_itself(database: Database, database_url: str) -> None:
    """Contract §7: the link works only for the browser of the identity, whoever else opens it at the same moment."""
    session = ConnectSession(id="con_1", identity=KEY, expires_at=NOW + MINUTE)
    async with opened(database_url) as other:
        stores = cycle((SqlConnectStore(database), SqlConnectStore(other)))
        await next(stores).add_connect_session(session, NOW)
        assert await next(stores).connect_session("con_1") == session
        assert await next(stores).prove_connect_session("con_1", BROWSER, session.expires_at) is False
        browsers = [hash_secret(f"browser {number}") for number in range(AT_ONCE)]
        proven = await together(next(stores).prove_connect_session("con_1", browser, NOW) for browser in browsers)
        assert proven.count(True) == 1
        winner = browsers[proven.index(True)]
        assert await next(stores).connect_session("con_1") == replace(session, browser_hash=winner)
        assert await next(stores).prove_connect_session("con_1", winner, NOW) is True


async def test_only_the_browser_of_a_finished_consent_of_this_identity_has_given_it(database: Database) -> None:
    """Contract §7: the cookie of an earlier consent, while that flow is remembered."""
    authserver, connect = authserver_store(database), SqlConnectStore(database)
    pending, given = flow(browser_hash=BROWSER), grant()
    await authserver.add_pending_flow(pending)
    assert await authserver.choose_identity(pending.id, KEY, NOW)
    assert await connect.browser_gave_consent(BROWSER, KEY, NOW) is False, "not finished yet"
    assert await authserver.submit_flow(pending.id, given, code_of(given), NOW)
    assert await connect.browser_gave_consent(BROWSER, KEY, NOW) is True
    assert await connect.browser_gave_consent(BROWSER, Identity("vk", "vk-2"), NOW) is False
    assert await connect.browser_gave_consent(BROWSER, Identity("user", KEY.id), NOW) is False
    assert await connect.browser_gave_consent(hash_secret("another"), KEY, NOW) is False
    assert await connect.browser_gave_consent(BROWSER, KEY, pending.expires_at) is False


async def test_every_method_says_that_a_closed_database_is_unavailable(
    database: Database, store: SqlUpstreamOAuthStore
) -> None:
    """Contract §2: storage unavailable is 503 with Retry-After, on every surface."""
    connect, held = SqlConnectStore(database), await _kept(store)
    session = ConnectSession(id="con_1", identity=KEY, expires_at=NOW + MINUTE)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "registration": lambda: store.registration("up_1", "https://as.example", CALLBACK),
        "keep_registration": lambda: store.keep_registration("up_1", CALLBACK, REGISTRATION, NOW),
        "registrations": lambda: store.registrations("up_1"),
        "forget_registration": lambda: store.forget_registration("up_1", REGISTRATION),
        "add_sign_in": lambda: store.add_sign_in(STATE, upstreams.sign_in(), NOW),
        "registration_doubtful": lambda: store.registration_doubtful("up_1", BROWSER, NOW, registered_before=NOW),
        "claim_sign_in": lambda: store.claim_sign_in(STATE, (BROWSER,), NOW),
        "connected": lambda: store.connected(held, NOW),
        "keep_credential": lambda: store.keep_credential(held, NOW),
        "credential": lambda: store.credential("up_1", ANN),
        "credentials_of": lambda: store.credentials_of(ANN),
        "lease_refresh": lambda: store.lease_refresh(held, NOW + 1, NOW),
        "refreshed": lambda: store.refreshed(held, NOW),
        "needs_reauth": lambda: store.needs_reauth(held, "test", NOW),
        "keep_lease": lambda: store.keep_lease(held, NOW + 1, NOW + 2),
        "release_refresh": lambda: store.release_refresh(held, NOW + 1, None),
        "client_key": store.client_key,
        "keep_client_key": lambda: store.keep_client_key(b"k"),
        "settle": lambda: store.settle(held, "orphaned", NOW),
        "add_connect_session": lambda: connect.add_connect_session(session, NOW),
        "connect_session": lambda: connect.connect_session("con_1"),
        "prove_connect_session": lambda: connect.prove_connect_session("con_1", BROWSER, NOW),
        "browser_gave_consent": lambda: connect.browser_gave_consent(BROWSER, KEY, NOW),
    }
    methods = {name for kind in (SqlUpstreamOAuthStore, SqlConnectStore) for name in vars(kind) if name[0] != "_"}
    part_of_another = {"move_credentials", "take_credentials", "sweep", "opened"}
    assert methods - part_of_another == set(calls)
    await database.close()
    for call in calls.values():
        with pytest.raises(StorageUnavailable):
            await call()
