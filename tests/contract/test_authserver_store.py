"""The authorization server's store: every method, and what each of its guarded statements refuses."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from msgspec.structs import replace

from bifrost.authserver.models import MAX_FAILED_ATTEMPTS, AccessTokenRow, RefreshTokenRow
from bifrost.base.ids import hash_secret
from bifrost.identity.models import Identity
from bifrost.storage.authserver import SqlAuthServerStore
from bifrost.storage.database import Database
from tests.contract._stores import (
    CONSTRAINT_BROKEN,
    KEY,
    MINUTE,
    NOW,
    approval_of,
    audit_row,
    code_of,
    consented,
    flow,
    grant,
    grants_store,
    opened,
    redeemed,
    refresh_of,
    rows,
    token,
    tokens,
)

pytestmark = pytest.mark.anyio

Finish = Callable[[SqlAuthServerStore, str, int], Awaitable[bool]]
UNKNOWN = hash_secret("nothing has this hash")


async def _submit(store: SqlAuthServerStore, flow_id: str, now: int) -> bool:
    given = grant()
    return await store.submit_flow(flow_id, given, code_of(given), now) is not None


async def _deny(store: SqlAuthServerStore, flow_id: str, now: int) -> bool:
    return await store.deny_flow(flow_id, now) is not None


async def _choose(store: SqlAuthServerStore, flow_id: str, now: int) -> bool:
    return await store.choose_identity(flow_id, KEY, now)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlAuthServerStore:
    return grants_store(database)


@pytest.mark.parametrize("state", [None, "plain", "ünï ☃ \U0001f511 %20+&=\"'<>\\", "x" * 4_096])
async def test_a_pending_flow_comes_back_as_it_was_written(store: SqlAuthServerStore, state: str | None) -> None:
    """Contract §4: the row is all that is kept of a request, and state is returned byte for byte."""
    await store.ping()
    written = flow(state=state)
    await store.add_pending_flow(written)
    assert await store.pending_flow(written.id) == written


async def test_what_nobody_wrote_is_not_there(store: SqlAuthServerStore) -> None:
    """Contract §§5, 6: unknown is an answer, not an error."""
    assert await store.pending_flow("flow_unknown") is None
    assert await store.authorization_code(UNKNOWN) is None
    assert await store.access_token(UNKNOWN) is None
    assert await store.refresh_token(UNKNOWN) is None
    assert await store.redeem_code(UNKNOWN, tokens("grant_unknown"), NOW) is False
    assert await store.rotate_refresh_token(UNKNOWN, tokens("grant_unknown"), NOW) is False
    assert await store.revoke_grant("grant_unknown", "test", NOW) is False
    await store.count_failed_attempt(UNKNOWN)
    assert await store.key_guesses_locked("flow:unknown", limit=1, now=NOW) is False


async def test_an_identity_is_chosen_and_may_be_chosen_again(store: SqlAuthServerStore) -> None:
    """Contract §5: "Change identity" on the services page."""
    pending, other = flow(), flow()
    await store.add_pending_flow(pending)
    await store.add_pending_flow(other)
    for identity in (KEY, Identity("session", "ses_1")):
        assert await store.choose_identity(pending.id, identity, NOW)
        assert await store.pending_flow(pending.id) == replace(pending, identity=identity)
    assert await store.pending_flow(other.id) == other


async def test_a_submit_finishes_the_flow_and_leaves_its_grant_and_code(
    database: Database, store: SqlAuthServerStore
) -> None:
    """Contract §5: consume the flow, create the session and the code, in one transaction."""
    pending, given = flow(), grant()
    code = code_of(given)
    await store.add_pending_flow(pending)
    assert await store.submit_flow(pending.id, given, code, NOW + 1)

    assert await store.pending_flow(pending.id) == replace(pending, finished_at=NOW + 1)
    assert await store.authorization_code(code.code_hash) == code
    (row,) = await rows(database, "grants")
    assert (row["id"], row["identity_kind"], row["identity_id"]) == (given.id, "vk", "vk-1")
    assert (row["client_id"], row["scope"], row["resource"]) == (given.client_id, given.scope, given.resource)
    assert (row["created_at"], row["expires_at"], row["revoked_at"]) == (given.created_at, given.expires_at, None)


@pytest.mark.parametrize("action", [_submit, _deny, _choose], ids=["submit", "deny", "choose"])
@pytest.mark.parametrize("first", [_submit, _deny], ids=["after-submit", "after-deny"])
async def test_a_finished_flow_takes_nothing_more(
    database: Database, store: SqlAuthServerStore, first: Finish, action: Finish
) -> None:
    """Contract §5: a flow is consumed once; submit answers 409 when it is already finished."""
    pending = flow()
    await store.add_pending_flow(pending)
    assert await first(store, pending.id, NOW)
    before = (await rows(database, "grants"), await rows(database, "authorization_codes"))
    assert await action(store, pending.id, NOW + 1) is False
    assert (await rows(database, "grants"), await rows(database, "authorization_codes")) == before
    assert await store.pending_flow(pending.id) == replace(pending, finished_at=NOW)


@pytest.mark.parametrize("action", [_submit, _deny, _choose], ids=["submit", "deny", "choose"])
async def test_a_flow_ends_at_its_expiry_and_not_a_millisecond_later(
    database: Database, store: SqlAuthServerStore, action: Finish
) -> None:
    """Contract §4: a pending flow lives 15 minutes."""
    expired, open_still = flow(expires_at=NOW), flow(expires_at=NOW + 1)
    await store.add_pending_flow(expired)
    await store.add_pending_flow(open_still)
    assert await action(store, expired.id, NOW) is False
    assert await store.pending_flow(expired.id) == expired
    assert await rows(database, "grants") == []
    assert await action(store, open_still.id, NOW) is True
    assert await action(store, "flow_unknown", NOW) is False


async def test_a_consent_that_is_remembered_finishes_its_flow_once_in_time_and_as_who_was_chosen(
    database: Database, store: SqlAuthServerStore
) -> None:
    """Contract §5: the identity may have been changed since it was read; and nothing else that is open is finished."""
    late, changed, other_kind, other, chosen = flow(expires_at=NOW), flow(), flow(), flow(), flow()
    for pending in (late, changed, other_kind, other, chosen):
        await store.add_pending_flow(pending)
        await store.choose_identity(pending.id, KEY, NOW - 1)
    await store.choose_identity(changed.id, replace(KEY, id="vk-2"), NOW - 1)
    await store.choose_identity(other_kind.id, Identity("session", KEY.id), NOW - 1)

    async def submitted(flow_id: str) -> bool:
        given = grant()
        return await store.submit_flow(flow_id, given, code_of(given), NOW, approval=approval_of(KEY)) is not None

    assert [await submitted(one.id) for one in (late, changed, other_kind, chosen, chosen)] == [False] * 3 + [
        True,
        False,
    ]
    finished = await rows(database, "SELECT id, finished_at FROM pending_flows WHERE finished_at IS NOT NULL")
    assert [(row["id"], row["finished_at"]) for row in finished] == [(chosen.id, NOW)]
    assert len(await rows(database, "grants")) == 1


async def test_no_consent_is_given_that_the_audit_trail_does_not_know_of(
    database: Database, store: SqlAuthServerStore
) -> None:
    """TC-178: the row is written with the grant, or neither is."""
    refused = audit_row(target=None)  # by the database
    pending, given, approval = flow(), grant(), approval_of(KEY)
    await store.add_pending_flow(pending)
    await store.choose_identity(pending.id, KEY, NOW)
    with pytest.raises(CONSTRAINT_BROKEN):
        await store.submit_flow(pending.id, given, code_of(given), NOW, approval=replace(approval, row=refused))
    assert not await rows(database, "grants")
    assert await store.submit_flow(pending.id, given, code_of(given), NOW, approval=approval)
    assert [row["id"] for row in await rows(database, "audit_events")] == [approval.row.id]


async def test_redeeming_a_code_uses_it_and_writes_both_tokens(store: SqlAuthServerStore) -> None:
    """Contract §6: claiming is one guarded statement, joined with what it gives."""
    given, code, pair = await redeemed(store)
    assert await store.authorization_code(code.code_hash) == replace(code, used_at=NOW)
    assert await store.access_token(pair.access.token_hash) == AccessTokenRow(
        scope="mcp:read mcp:write",
        created_at=pair.access.created_at,
        expires_at=pair.access.expires_at,
        grant_id=given.id,
        client_id=given.client_id,
        identity=KEY,
        resource="/mcp",
        revoked_at=None,
    )
    assert await store.refresh_token(refresh_of(pair).token_hash) == RefreshTokenRow(
        token_hash=refresh_of(pair).token_hash,
        created_at=refresh_of(pair).created_at,
        expires_at=refresh_of(pair).expires_at,
        used_at=None,
        grant_id=given.id,
        client_id=given.client_id,
        identity=KEY,
        scope="mcp:read mcp:write",
        resource="/mcp",
        revoked_at=None,
        grant_expires_at=pair.grant_expires_at,
    )


async def test_a_client_without_the_refresh_grant_gets_no_refresh_token(
    database: Database, store: SqlAuthServerStore
) -> None:
    """RFC 7591 §2: `grant_types` without refresh_token."""
    await redeemed(store, refresh=None)
    assert len(await rows(database, "access_tokens")) == 1
    assert await rows(database, "refresh_tokens") == []


async def test_a_used_code_gives_nothing_again(database: Database, store: SqlAuthServerStore) -> None:
    """RFC 6749 §4.1.2: a code is for one use."""
    given, code, pair = await redeemed(store)
    assert await store.redeem_code(code.code_hash, tokens(given.id), NOW) is False
    assert [row["token_hash"] for row in await rows(database, "access_tokens")] == [pair.access.token_hash]
    assert [row["token_hash"] for row in await rows(database, "refresh_tokens")] == [refresh_of(pair).token_hash]


async def test_a_code_ends_at_its_expiry(database: Database, store: SqlAuthServerStore) -> None:
    """Contract §5: a code lives five minutes."""
    given, code = await consented(store, expires_at=NOW + 10)
    assert await store.redeem_code(code.code_hash, tokens(given.id), NOW + 10) is False
    assert await store.authorization_code(code.code_hash) == code
    assert await rows(database, "access_tokens") == []
    assert await store.redeem_code(code.code_hash, tokens(given.id), NOW + 9) is True


@pytest.mark.parametrize(("failures", "redeemable"), [(MAX_FAILED_ATTEMPTS - 1, True), (MAX_FAILED_ATTEMPTS, False)])
async def test_five_failed_attempts_burn_a_code_and_four_do_not(
    store: SqlAuthServerStore, failures: int, redeemable: bool
) -> None:
    """Contract §6: a failed attempt does not burn the code, five do."""
    given, code = await consented(store)
    _, untouched = await consented(store)
    for _ in range(failures):
        await store.count_failed_attempt(code.code_hash)
    assert await store.authorization_code(code.code_hash) == replace(code, failed_attempts=failures)
    assert await store.authorization_code(untouched.code_hash) == untouched
    assert await store.redeem_code(code.code_hash, tokens(given.id), NOW) is redeemable


async def test_failures_after_its_use_do_not_change_a_code(store: SqlAuthServerStore) -> None:
    """Contract §6: an invalid replay changes nothing."""
    _, code, _ = await redeemed(store)
    await store.count_failed_attempt(code.code_hash)
    assert await store.authorization_code(code.code_hash) == replace(code, used_at=NOW)


async def test_the_code_of_a_revoked_grant_gives_no_token(database: Database, store: SqlAuthServerStore) -> None:
    """Contract §6: revocation takes effect at once, also between consent and token."""
    given, code = await consented(store)
    assert await store.revoke_grant(given.id, "test", NOW)
    assert await store.redeem_code(code.code_hash, tokens(given.id), NOW) is False
    assert await rows(database, "access_tokens") == []
    assert await rows(database, "refresh_tokens") == []


async def test_rotation_uses_the_token_and_writes_its_successors(store: SqlAuthServerStore) -> None:
    """Contract §6: refresh tokens rotate; RFC 6749 §6: a narrower access token does not narrow the grant."""
    given, _, pair = await redeemed(store)
    ends = NOW + 30 * MINUTE
    successors = tokens(given.id, access=token(given.id, scope="mcp:read"), grant_expires_at=ends)
    assert await store.rotate_refresh_token(refresh_of(pair).token_hash, successors, NOW + 5)

    used = await store.refresh_token(refresh_of(pair).token_hash)
    fresh = await store.refresh_token(refresh_of(successors).token_hash)
    access = await store.access_token(successors.access.token_hash)
    assert used
    assert fresh
    assert access
    assert (used.used_at, used.grant_expires_at) == (NOW + 5, ends)
    assert (fresh.used_at, fresh.scope, fresh.grant_expires_at) == (None, "mcp:read mcp:write", ends)
    assert (access.scope, access.grant_id) == ("mcp:read", given.id)


async def test_a_used_refresh_token_gives_nothing_again(database: Database, store: SqlAuthServerStore) -> None:
    """RFC 9700 §4.14.2: a refresh token is for one use."""
    given, _, pair = await redeemed(store)
    assert await store.rotate_refresh_token(refresh_of(pair).token_hash, tokens(given.id), NOW)
    written = len(await rows(database, "access_tokens")), len(await rows(database, "refresh_tokens"))
    assert await store.rotate_refresh_token(refresh_of(pair).token_hash, tokens(given.id), NOW + 1) is False
    assert (len(await rows(database, "access_tokens")), len(await rows(database, "refresh_tokens"))) == written


async def test_a_refresh_token_ends_at_its_expiry(store: SqlAuthServerStore) -> None:
    """Contract §6: idle and absolute expiry."""
    given, _, pair = await redeemed(store)
    token_hash, ends = refresh_of(pair).token_hash, refresh_of(pair).expires_at
    assert await store.rotate_refresh_token(token_hash, tokens(given.id), ends) is False
    unused = await store.refresh_token(token_hash)
    assert unused
    assert unused.used_at is None
    assert await store.rotate_refresh_token(token_hash, tokens(given.id), ends - 1) is True


async def test_revoking_a_grant_ends_its_tokens_and_no_others(database: Database, store: SqlAuthServerStore) -> None:
    """Contract §6: every token hangs on a grant and dies with it; the first reason stays."""
    given, _, pair = await redeemed(store)
    _, _, other = await redeemed(store)
    assert await store.revoke_grant(given.id, "first", NOW + 1) is True
    assert await store.revoke_grant(given.id, "second", NOW + 2) is False

    access, refresh = (
        await store.access_token(pair.access.token_hash),
        await store.refresh_token(refresh_of(pair).token_hash),
    )
    untouched = await store.access_token(other.access.token_hash)
    assert access
    assert refresh
    assert untouched
    assert (access.revoked_at, refresh.revoked_at, untouched.revoked_at) == (NOW + 1, NOW + 1, None)
    (row,) = await rows(database, "SELECT revoked_reason FROM grants WHERE revoked_at IS NOT NULL")
    assert row["revoked_reason"] == "first"
    assert await store.rotate_refresh_token(refresh_of(pair).token_hash, tokens(given.id), NOW + 3) is False
    assert len(await rows(database, "access_tokens")) == 2


async def test_ending_an_access_token_leaves_its_grant_and_its_refresh_token(store: SqlAuthServerStore) -> None:
    """RFC 7009 §2.1: an access token may be revoked by itself; doing it twice is no error."""
    _, _, pair = await redeemed(store)
    _, _, other = await redeemed(store)
    for _ in range(2):
        await store.end_access_token(pair.access.token_hash, NOW)
        ended = await store.access_token(pair.access.token_hash)
        assert ended
        assert ended.expires_at == NOW
    kept = await store.refresh_token(refresh_of(pair).token_hash)
    assert kept
    assert kept.revoked_at is None
    assert await store.access_token(other.access.token_hash) is not None
