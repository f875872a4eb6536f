"""Connecting accounts: during consent, and later from the link that a tool call gave (contract §§5, 7).

A link carries no secret. Before an upstream is contacted, the browser has to prove that it belongs to the identity: by
the secret of a consent it gave, or by the virtual key pasted again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bifrost.authserver.browser import Browser
from bifrost.authserver.consent import Consent
from bifrost.authserver.errors import ConnectLinkExpired, IdentityNeeded, KeyRefused, WrongBrowser
from bifrost.authserver.identities import Identities
from bifrost.base import events, ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import NotFound
from bifrost.identity.models import Identity
from bifrost.upstreams.accounts import PERSONAL, Owner, SignIn
from bifrost.upstreams.credential_life import CredentialLife
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.refresh import Credentials
from bifrost.upstreams.oauth.sign_in import Callback, SignIns
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.submissions import Submissions

SESSION_SECONDS = 15 * 60
FLOW, SESSION = "flow:", "session:"
"""Where a sign-in came from, and so where its browser goes back to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectSession:
    """What a link stands for: whose accounts are connected. `browser_hash` is the browser's that proved itself."""

    id: str
    identity: Identity
    expires_at: int
    browser_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """One upstream for one person, who has proven that they may; `owner` is who gets the credential."""

    upstream: Upstream
    identity: Identity
    owner: Owner
    secret: str = field(repr=False)
    """Of the browser."""
    return_to: str

    @property
    def by_headers(self) -> bool:
        return self.upstream.auth_type == "per_user_headers"


class ConnectStore(Protocol):
    async def add_connect_session(self, session: ConnectSession, now: int) -> None: ...

    async def connect_session(self, session_id: str) -> ConnectSession | None: ...

    async def prove_connect_session(self, session_id: str, browser_hash: str, now: int) -> bool:
        """Bind the session to this browser; False when it is another's already, or expired."""
        ...

    async def browser_gave_consent(self, browser_hash: str, identity: Identity, now: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Connect:
    store: ConnectStore
    sign_ins: SignIns
    submissions: Submissions
    credentials: Credentials
    life: CredentialLife
    upstreams: Upstreams
    consent: Consent
    identities: Identities
    clock: Clock

    async def offer(self, identity: Identity) -> str:
        """A new session for a person who lacks a connection; its id goes into a link."""
        now = self.clock.now()
        session = ConnectSession(id=ids.new_id("con_"), identity=identity, expires_at=now + SESSION_SECONDS * SECOND)
        await self.store.add_connect_session(session, now)
        return session.id

    async def session(self, session_id: str | None) -> ConnectSession:
        """Raises ConnectLinkExpired: unknown and expired look the same."""
        session = await self.store.connect_session(session_id) if session_id else None
        if session is None or session.expires_at <= self.clock.now():
            raise ConnectLinkExpired
        return session

    async def proven(self, session: ConnectSession, browser: Browser) -> str | None:
        """The secret of the browser that may act for this session; None when it has yet to prove itself."""
        for secret in browser.secrets:
            hashed = ids.hash_secret(secret)
            if session.browser_hash == hashed:
                return secret
            gave_consent = await self.store.browser_gave_consent(hashed, session.identity, self.clock.now())
            if gave_consent and await self._bind(session, hashed):
                return secret
        return None

    async def prove_by_key(self, session: ConnectSession, secret: str, key: str, address: str) -> None:
        """Raises TooManyGuesses, KeyRefused, WrongBrowser."""
        identity = await self.identities.by_key(key, flow_id=session.id, address=address)
        if identity != session.identity:
            raise KeyRefused("This is not the key that the link was made for.", param="virtual_key")
        if not await self._bind(session, ids.hash_secret(secret)):
            raise WrongBrowser

    async def for_session(self, session: ConnectSession, secret: str, upstream_id: str | None) -> Connecting:
        """Raises NotFound, IdentityNeeded."""
        if await self.identities.standing(session.identity) is None:
            raise IdentityNeeded
        return Connecting(
            upstream=await self._per_user(upstream_id, session.identity),
            identity=session.identity,
            owner=Owner(session.identity.kind, session.identity.id),
            secret=secret,
            return_to=f"{SESSION}{session.id}",
        )

    async def for_flow(self, flow_id: str | None, browser: Browser, upstream_id: str | None) -> Connecting:
        """As above, while the consent is open: the credential belongs to the flow until the person finishes it."""
        flow = await self.consent.open_flow(flow_id, browser)
        if flow.identity is None:
            raise IdentityNeeded
        secret = browser.secret_of(flow)
        if secret is None:
            raise WrongBrowser
        return Connecting(
            upstream=await self._per_user(upstream_id, flow.identity),
            identity=flow.identity,
            owner=Owner("flow", flow.id),
            secret=secret,
            return_to=f"{FLOW}{flow.id}",
        )

    async def begin(self, connecting: Connecting) -> str:
        """The upstream's sign-in page. Raises SignInImpossible, UpstreamUnavailable, OutsideUrlRefused, Denied."""
        upstream, identity = connecting.upstream, connecting.identity
        more = await self.credentials.more_scope(upstream, Owner(identity.kind, identity.id))
        hashed = ids.hash_secret(connecting.secret)
        return await self.sign_ins.begin(upstream, connecting.owner, hashed, connecting.return_to, more)

    async def submit(self, connecting: Connecting, values: Mapping[str, str]) -> None:
        """The person's own header values. Raises HeadersRefused, UpstreamUnavailable, NotFound."""
        if not connecting.by_headers:
            raise NotFound("This service does not ask for values.")
        await self.submissions.submit(connecting.upstream, connecting.owner, connecting.identity, values)

    async def disconnect(self, connecting: Connecting) -> bool:
        """What was connected in this consent first, else what the identity has; False when there is nothing."""
        identity = connecting.identity
        owners = tuple(dict.fromkeys((connecting.owner, Owner(identity.kind, identity.id))))
        taken = await self.life.taken_of_first(connecting.upstream.id, owners)
        if taken is None:
            return False
        owner, tell_service = taken
        # before the service is told, which may take long: it is disconnected whether or not anybody waits for that
        events.tell(events.Name.UPSTREAM_DISCONNECTED, actor=f"{owner.kind}:{owner.id}", target=connecting.upstream.id)
        await tell_service()
        return True

    async def finish(self, callback: Callback, browser: Browser) -> tuple[SignIn, str]:
        """The sign-in and what became of it. Raises SignInRefused."""
        return await self.sign_ins.finish(callback, tuple(ids.hash_secret(secret) for secret in browser.secrets))

    async def _bind(self, session: ConnectSession, browser_hash: str) -> bool:
        return await self.store.prove_connect_session(session.id, browser_hash, self.clock.now())

    async def _per_user(self, upstream_id: str | None, identity: Identity) -> Upstream:
        """Only what this identity may use, and only where an account of its own makes sense."""
        for upstream in await self.upstreams.enabled():
            if upstream.id == upstream_id and upstream.auth_type in PERSONAL:
                policy = await self.identities.policy(identity)
                if policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys):
                    return upstream
        raise NotFound("There is no such service to connect.")
