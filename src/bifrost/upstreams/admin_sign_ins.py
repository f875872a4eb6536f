"""An administrator's sign-in at an upstream: offered, acted on in the administrator's own browser, tried, completed.

Nothing about it exists at the upstream before a person who proved to be an administrator pressed a button on our page,
and what came back counts only once it was completed: then everybody's calls (`oauth`), or nothing but looking at the
tools (`per_user_oauth`), are done with it.
"""

from dataclasses import dataclass
from typing import Protocol

import structlog

from bifrost.base import ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import DomainError
from bifrost.base.sealing import SealBrokenError
from bifrost.identity.models import Identity
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.accounts import Credential, Owner, SignIn, account_of, setup_owner
from bifrost.upstreams.administration import SET_UP_SECONDS, Discovery, ManagedUpstream, SetUp, SetUpState
from bifrost.upstreams.errors import (
    ConnectionRequired,
    NotForThisUpstream,
    SetUpExpired,
    SetUpNotReady,
    UnknownSetUp,
    UnknownUpstream,
)
from bifrost.upstreams.inspection import Inspection
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.sign_in import CONNECTED, SignIns
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.states import UpstreamStates

SET_UP = "setup:"
"""Where such a sign-in came from, and so where its browser goes back to."""

_OUTCOMES = {
    "upstream_denied": "The service did not give access.",
    "upstream_refused": "The service took its permission back before the sign-in was complete.",
    "upstream_unavailable": "The service did not answer when the sign-in was to be completed.",
    "upstream_mixed_up": "The answer came from another server than the one that was asked, so it was not used.",
}
_FAILED = "The sign-in at the service was not complete."
_NOTHING_YET = "Nobody has signed in yet. Open the authorize_url in a browser, sign in, then send this again."
_ALREADY = "This sign-in was completed already."
REMOVED = "An administrator took the account away."

log = structlog.get_logger()


class SetUpStore(Protocol):
    async def managed_one(self, *, upstream_id: str = "", oauth_config_id: str = "") -> ManagedUpstream | None:
        """Also one that is pending."""
        ...

    async def begin_set_up(self, set_up: SetUp) -> None:
        """In the place of any earlier one for this upstream."""

    async def forget_place(self, upstream: Upstream, now: int) -> None:
        """Registrations and sign-ins under way go, and every account there needs a new sign-in."""

    async def set_up(self, oauth_config_id: str) -> SetUp | None: ...

    async def bind_set_up(self, attempt: str, browser_hash: str, now: int) -> bool:
        """To this browser, whichever it was before; False when it is over or was replaced."""
        ...

    async def end_set_up(self, attempt: str, state: SetUpState, reason: str, expires_at: int) -> bool: ...

    async def complete_set_up(
        self, set_up: SetUp, upstream: Upstream, owner: Owner, found: Discovery, now: int
    ) -> bool:
        """All at once: the account is the owner's, the upstream is live, its tools are known. One of many wins."""
        ...

    async def cancel_set_up(self, upstream_id: str, owner: Owner) -> None:
        """A pending upstream goes with its sign-in; of a live one, only the owner's account goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpView:
    """What an administrator is told of a sign-in, under way or over."""

    oauth_config_id: str
    upstream: Upstream
    state: SetUpState
    reason: str
    created_at: int | None
    expires_at: int | None
    expired: bool
    credential: Credential | None


@dataclass(frozen=True, slots=True)
class AdminSignIns:
    store: SetUpStore
    upstreams: Upstreams
    sign_ins: SignIns
    inspection: Inspection
    """With the account that is tried out."""
    states: UpstreamStates
    clock: Clock

    def offered(self, upstream: Upstream) -> SetUp:
        """A new one, not stored yet."""
        now = self.clock.now()
        return SetUp(
            oauth_config_id=upstream.oauth_config_id,
            upstream_id=upstream.id,
            attempt=ids.new_id("set_"),
            created_at=now,
            expires_at=now + SET_UP_SECONDS * SECOND,
        )

    async def verify(self, upstream_id: str) -> SetUp:
        """The first sign-in of an upstream declared without one. Raises UnknownUpstream, NotForThisUpstream."""
        upstream = await self._by_oauth(upstream_id)
        if await self._account(upstream):
            raise NotForThisUpstream("An administrator has signed in to it already. Use reauthorize.")
        return await self._begun(upstream)

    async def reauthorize(self, upstream_id: str) -> SetUp:
        """Another sign-in, in the place of the account that is there. Raises UnknownUpstream, NotForThisUpstream."""
        upstream = await self._by_oauth(upstream_id)
        if not await self._account(upstream):
            raise NotForThisUpstream("No administrator has signed in to it yet. Use initiate-verification.")
        return await self._begun(upstream)

    async def reregister(self, upstream_id: str) -> SetUp:
        """As above with a new registration at whatever authorization server guards it now.

        Only for clients that this gateway registered itself. Raises UnknownUpstream, NotForThisUpstream.
        """
        upstream = await self._by_oauth(upstream_id)
        try:
            config = self.sign_ins.vault.open_oauth_config(upstream)
        except SealBrokenError as error:
            raise NotForThisUpstream("Its oauth_config cannot be opened. Send it again.") from error
        if config.client_id:
            raise NotForThisUpstream(
                "Its client was registered by hand. Register another one there and send it as oauth_config."
            )
        await self.store.forget_place(upstream, self.clock.now())
        await self.states.note(upstream, "needs_reauth", "It is being registered anew; an administrator must sign in.")
        self.upstreams.look_again()
        log.info("upstream_client_forgotten", upstream=upstream.name)
        return await self._begun(upstream)

    async def view(self, oauth_config_id: str) -> SetUpView:
        """Raises UnknownSetUp."""
        managed = await self.store.managed_one(oauth_config_id=oauth_config_id)
        if managed is None:
            raise UnknownSetUp
        upstream, set_up = managed.upstream, await self.store.set_up(oauth_config_id)
        credential = await self._account(upstream)
        state: SetUpState = "completed" if credential and credential.state == "active" else "failed"
        return SetUpView(
            oauth_config_id=oauth_config_id,
            upstream=upstream,
            state=set_up.state if set_up else state,
            reason=set_up.reason if set_up else _reason_of(upstream, credential),
            created_at=set_up.created_at if set_up else None,
            expires_at=set_up.expires_at if set_up else None,
            expired=set_up is not None and set_up.state != "completed" and self._expired(set_up),
            credential=credential,
        )

    async def current(self, oauth_config_id: str) -> tuple[SetUp, Upstream]:
        """One that can be acted on. Raises UnknownSetUp, SetUpExpired."""
        set_up = await self.store.set_up(oauth_config_id)
        managed = await self.store.managed_one(upstream_id=set_up.upstream_id) if set_up else None
        if set_up is None or managed is None:
            raise UnknownSetUp
        if self._expired(set_up):
            raise SetUpExpired
        return set_up, managed.upstream

    async def bind(self, set_up: SetUp, secret: str) -> bool:
        """To the browser of somebody who proved to be an administrator."""
        return await self.store.bind_set_up(set_up.attempt, ids.hash_secret(secret), self.clock.now())

    async def start(self, set_up: SetUp, upstream: Upstream, secret: str) -> str:
        """The upstream's own sign-in page. Raises SetUpNotReady, SignInImpossible, OutsideUrlRefused and their like."""
        if set_up.state == "completed":
            raise SetUpNotReady(_ALREADY, code="oauth_config_completed")
        try:
            return await self.sign_ins.begin(
                upstream, setup_owner(set_up.attempt), ids.hash_secret(secret), f"{SET_UP}{set_up.oauth_config_id}"
            )
        except DomainError as error:
            await self.store.end_set_up(set_up.attempt, "failed", error.message, set_up.expires_at)
            raise

    async def finished(self, sign_in: SignIn, outcome: str) -> None:
        """The browser is back; what came of it is there to be completed, or says why not."""
        expires_at = self.clock.now() + SET_UP_SECONDS * SECOND
        if outcome == CONNECTED:
            await self.store.end_set_up(sign_in.owner.id, "authorized", "", expires_at)
        else:
            await self.store.end_set_up(sign_in.owner.id, "failed", _OUTCOMES.get(outcome, _FAILED), expires_at)

    async def complete(self, oauth_config_id: str) -> Discovery:
        """Raises UnknownSetUp, SetUpExpired, SetUpNotReady, UpstreamUnavailable."""
        set_up, upstream = await self.current(oauth_config_id)
        if set_up.state != "authorized":
            reasons = {"pending": _NOTHING_YET, "completed": _ALREADY}
            code = "oauth_config_completed" if set_up.state == "completed" else ""
            again = f"{set_up.reason} Open the authorize_url again."
            raise SetUpNotReady(reasons.get(set_up.state, again), code=code)
        found = await self._tried(set_up, upstream)
        owner = account_of(upstream)
        if not await self.store.complete_set_up(set_up, upstream, owner, found, self.clock.now()):
            raise SetUpNotReady("Somebody completed or replaced this sign-in at the same moment.")
        self.upstreams.look_again()
        log.info("upstream_signed_in", upstream=upstream.name, tools=len(found.tools))
        return found

    async def accounts(self, oauth_config_id: str) -> tuple[Upstream, list[Owner]]:
        """The upstream, and the owners of what an administrator has signed in with there. Raises UnknownSetUp."""
        managed = await self.store.managed_one(oauth_config_id=oauth_config_id)
        if managed is None:
            raise UnknownSetUp
        set_up = await self.store.set_up(oauth_config_id)
        tried = [setup_owner(set_up.attempt)] if set_up else []
        return managed.upstream, [*tried, account_of(managed.upstream)]

    async def cancel(self, oauth_config_id: str) -> None:
        """Raises UnknownSetUp."""
        managed = await self.store.managed_one(oauth_config_id=oauth_config_id)
        if managed is None:
            raise UnknownSetUp
        await self.store.cancel_set_up(managed.upstream.id, account_of(managed.upstream))
        if not managed.pending:
            await self.states.note(managed.upstream, "needs_reauth", REMOVED)
        self.upstreams.look_again()
        log.info("upstream_sign_in_removed", upstream=managed.upstream.name, pending=managed.pending)

    async def _tried(self, set_up: SetUp, upstream: Upstream) -> Discovery:
        try:
            tools = await self.inspection.tools(upstream, Identity("session", set_up.attempt))
        except (ConnectionRequired, RpcError) as error:
            raise SetUpNotReady(
                f"{upstream.name} does not accept this account: {_said(error)} Sign in with another one.",
                code="upstream_refused_account",
            ) from error
        return Discovery(tools=tools)

    async def _begun(self, upstream: Upstream) -> SetUp:
        set_up = self.offered(upstream)
        await self.store.begin_set_up(set_up)
        return set_up

    async def _by_oauth(self, upstream_id: str) -> Upstream:
        managed = await self.store.managed_one(upstream_id=upstream_id)
        if managed is None:
            raise UnknownUpstream
        if not managed.upstream.by_oauth:
            raise NotForThisUpstream(
                f"Its auth_type is {managed.upstream.auth_type}; only oauth and per_user_oauth have a sign-in."
            )
        if managed.upstream.disabled:
            raise NotForThisUpstream("It is disabled. Enable it first.")
        return managed.upstream

    async def _account(self, upstream: Upstream) -> Credential | None:
        return await self.sign_ins.store.credential(upstream.id, account_of(upstream))

    def _expired(self, set_up: SetUp) -> bool:
        return set_up.expires_at <= self.clock.now()


def _reason_of(upstream: Upstream, credential: Credential | None) -> str:
    return credential.reason if credential else upstream.state_reason


def _said(error: Exception) -> str:
    if isinstance(error, RpcError):
        return "it answered with an error when it was asked for its tools."
    return "it answered that the account is not allowed."
