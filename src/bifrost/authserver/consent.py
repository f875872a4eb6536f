"""The consent steps: each loads the flow through one guard and does its one thing."""

from dataclasses import dataclass, replace
from typing import NoReturn

import msgspec
import structlog

from bifrost.audit.models import AuditRow, Origin
from bifrost.audit.trail import row_of
from bifrost.authserver import redirect
from bifrost.authserver.browser import Browser
from bifrost.authserver.clients import Clients
from bifrost.authserver.errors import (
    AuthorizationRefused,
    FlowExpired,
    FlowFinished,
    FlowNotFound,
    IdentityNeeded,
    WrongBrowser,
)
from bifrost.authserver.identities import Identities
from bifrost.authserver.models import (
    AUTHORIZATION_CODE_SECONDS,
    Approval,
    AuthorizationCode,
    AuthServerConfig,
    Client,
    Grant,
    PendingFlow,
)
from bifrost.authserver.remembered import Remembered, facts
from bifrost.authserver.store import AuthServerStore
from bifrost.base import events, ids, log_context
from bifrost.base.clock import SECOND, Clock
from bifrost.base.events import Event
from bifrost.identity.models import Identity
from bifrost.protocol import oauth, redirect_uri, scope
from bifrost.upstreams.credential_life import CredentialLife

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Consent:
    store: AuthServerStore
    clients: Clients
    identities: Identities
    remembered: Remembered
    life: CredentialLife
    config: AuthServerConfig
    clock: Clock

    async def open_flow(self, flow_id: str | None, browser: Browser) -> PendingFlow:
        """A flow that is still open, for its own browser. Raises WrongBrowser, FlowNotFound."""
        flow = await self._known_flow(flow_id, browser)
        if flow.finished_at is not None or flow.expires_at <= self.clock.now():
            raise FlowNotFound
        return self._same_browser(flow, browser)

    async def client_of(self, flow: PendingFlow) -> Client:
        """The client as people are shown it, judged again. Raises AuthorizationRefused, ClientRefused."""
        client = await self._resolved(flow)
        label = (await self.clients.standing(client)).label
        return replace(client, client_name=label) if label else client

    async def _resolved(self, flow: PendingFlow) -> Client:
        """What was registered must still be acceptable. Raises AuthorizationRefused."""
        client = await self.clients.resolve(flow.client_id)
        if client is None:
            raise AuthorizationRefused(oauth.INVALID_CLIENT, "The client is no longer known.", param="client_id")
        if redirect_uri.select(client.redirect_uris, flow.redirect_uri) is None:
            raise AuthorizationRefused(
                oauth.INVALID_REDIRECT_URI, "The redirect URI is no longer registered.", param="redirect_uri"
            )
        return client

    async def choose_key(self, flow: PendingFlow, value: str, address: str) -> None:
        """Raises TooManyGuesses, KeyRefused, FlowNotFound."""
        await self._choose(flow, await self.identities.by_key(value, flow_id=flow.id, address=address))

    async def choose_anonymous(self, flow: PendingFlow) -> None:
        """Raises Denied, FlowNotFound."""
        await self._choose(flow, self.identities.anonymous())

    async def continue_as(
        self, flow_id: str | None, browser: Browser, person: Browser, secret: str, address: str
    ) -> str | None:
        """Submit as the identity that allowed this client before in this browser; None when all must be shown again.

        Raises as `submit` does.
        """
        flow = await self._submittable(flow_id, browser)
        identity = await self.remembered.offer(flow, await self._resolved(flow), person)
        if identity is None:
            return None
        if not await self.store.choose_identity(flow.id, identity, self.clock.now()):
            await self._fail_submit(flow, browser)
        return await self.submit(flow_id, browser, secret, address)

    async def submit(self, flow_id: str | None, browser: Browser, secret: str, address: str) -> str:
        """Consume the flow, create grant and code in one transaction, and return where the browser goes.

        `secret` is by what this browser will be known again, `address` where it is.
        Raises WrongBrowser, FlowNotFound, FlowFinished, FlowExpired, IdentityNeeded, AuthorizationRefused.
        """
        flow = await self._submittable(flow_id, browser)
        client = await self._resolved(flow)
        limit = (await self.clients.standing(client)).scope_limit
        flow = msgspec.structs.replace(flow, scope=scope.limited(flow.scope, limit)) if limit else flow
        identity = flow.identity
        if identity is None or await self.identities.standing(identity) is None:
            raise IdentityNeeded
        code = ids.new_secret(ids.AUTHORIZATION_CODE)
        now = self.clock.now()
        grant, row = _grant_and_code(flow, identity, ids.hash_secret(code), now)
        approval = Approval(
            client=self.clients.record_of(client),
            consent=facts(flow, client, identity),
            person_hash=ids.hash_secret(secret),
            proof=await self.identities.proof(identity),
            row=_given(grant, client, address),
        )
        written = await self.store.submit_flow(flow.id, grant, row, now, approval=approval)
        if written is None:
            await self._fail_submit(flow, browser)
        log.info("consent_given", flow=flow.id, client=client.client_name, grant=grant.id, identity=identity.id)
        return redirect.success(flow, code, self.config.issuer)

    async def deny(self, flow_id: str | None, browser: Browser, person: Browser) -> str:
        """Consume the flow; where the browser goes. What was allowed before in this browser is forgotten.

        What was connected in it is deleted with it, and its services are told.

        Raises WrongBrowser, FlowNotFound, AuthorizationRefused.
        """
        flow = await self.open_flow(flow_id, browser)
        client = await self._resolved(flow)
        offered = await self.remembered.offer(flow, client, person)
        if offered is not None:
            await self.remembered.forget_for(offered, client.client_id)
        connected = await self.store.deny_flow(flow.id, self.clock.now())
        if connected is None:
            raise FlowNotFound
        if flow.identity is not None:  # of whoever said no before that nobody knows more than a log does
            who = f"{flow.identity.kind}:{flow.identity.id}"
            events.tell(events.Name.CONSENT_DENIED, actor=who, target=flow.id, client=client.client_name)
        log.info("consent_denied", flow=flow.id)
        await self.life.tell(connected)
        return redirect.denied(flow, self.config.issuer)

    async def _submittable(self, flow_id: str | None, browser: Browser) -> PendingFlow:
        flow = self._same_browser(await self._known_flow(flow_id, browser), browser)
        if flow.finished_at is not None:
            raise FlowFinished
        if flow.expires_at <= self.clock.now():
            raise FlowExpired
        return flow

    async def _fail_submit(self, flow: PendingFlow, browser: Browser) -> NoReturn:
        """Say what came before this submit, between its checks and its transaction: another, an administrator, time.

        Raises as `submit` does.
        """
        await self.clients.standing(await self._resolved(flow))
        await self._submittable(flow.id, browser)
        raise IdentityNeeded  # it was changed in another tab, or its key was deleted

    async def _known_flow(self, flow_id: str | None, browser: Browser) -> PendingFlow:
        if not browser.secrets:
            raise WrongBrowser
        flow = await self.store.pending_flow(flow_id) if flow_id else None
        if flow is None:
            raise FlowNotFound
        return flow

    @staticmethod
    def _same_browser(flow: PendingFlow, browser: Browser) -> PendingFlow:
        if browser.secret_of(flow) is None:
            raise WrongBrowser
        return flow

    async def _choose(self, flow: PendingFlow, identity: Identity) -> None:
        if not await self.store.choose_identity(flow.id, identity, self.clock.now()):
            raise FlowNotFound
        log.info("identity_chosen", flow=flow.id, kind=identity.kind, identity=identity.id)


def _given(grant: Grant, client: Client, address: str) -> AuditRow:
    """It is written with the grant: none is ever given that the trail does not know of."""
    event = Event(
        name=events.Name.CONSENT_GIVEN.value,
        actor=f"{grant.identity.kind}:{grant.identity.id}",
        target=grant.id,
        details={"client": client.client_name, "scope": grant.scope},
    )
    origin = Origin(event_id=log_context.facts().get("event_id", ""), client_address=address, actor="")
    return row_of(event, origin, grant.created_at)


def _grant_and_code(flow: PendingFlow, identity: Identity, code_hash: str, now: int) -> tuple[Grant, AuthorizationCode]:
    """Until its code is redeemed a grant lives no longer than the code."""
    expires_at = now + AUTHORIZATION_CODE_SECONDS * SECOND
    grant = Grant(
        id=ids.new_id("grant_"),
        client_id=flow.client_id,
        identity=identity,
        scope=flow.scope,
        resource=flow.resource,
        created_at=now,
        expires_at=expires_at,
    )
    code = AuthorizationCode(
        code_hash=code_hash,
        grant_id=grant.id,
        client_id=flow.client_id,
        redirect_uri=flow.redirect_uri,
        code_challenge=flow.code_challenge,
        scope=flow.scope,
        resource=flow.resource,
        dpop_jkt=flow.dpop_jkt,
        created_at=now,
        expires_at=expires_at,
    )
    return grant, code
