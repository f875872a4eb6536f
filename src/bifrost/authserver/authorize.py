"""The authorization endpoint's rules (OAuth 2.1 §4.1.1): check everything in a fixed order, then remember it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from bifrost.authserver import limits
from bifrost.authserver.clients import Clients
from bifrost.authserver.errors import AuthorizationRefused, ClientUnreachable, TooManyWaiting
from bifrost.authserver.limits import Limit, Limits
from bifrost.authserver.models import PENDING_FLOW_SECONDS, AuthServerConfig, Client, ClientStanding, PendingFlow
from bifrost.authserver.store import AuthServerStore
from bifrost.base import ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Invalid
from bifrost.protocol import dpop, oauth, pkce, redirect_uri, scope

log = structlog.get_logger()


class RequestParameters(Protocol):
    """Parameters of a request; asking for one that is malformed raises Invalid with its name."""

    def refuse_repeated(self, *, but: tuple[str, ...] = ()) -> None: ...

    def get(self, name: str) -> str | None: ...

    def all(self, name: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Authorize:
    clients: Clients
    store: AuthServerStore
    config: AuthServerConfig
    clock: Clock
    limits: Limits
    limit: Limit
    endpoint_of: Callable[[str], Awaitable[str | None]]
    """The path of the MCP endpoint that a resource indicator names; None when it is not one of ours."""

    async def begin(self, parameters: RequestParameters, browser_hash: str, *, pushed: bool) -> PendingFlow:
        """Check the request and remember it as pending. Raises AuthorizationRefused, StorageUnavailable."""
        client, flow = await self._checked(parameters, browser_hash, pushed=pushed)
        await self._admit(client, flow)
        log.info("authorization_requested", flow=flow.id, client=client.client_name, resource=flow.resource)
        return flow

    async def check(self, parameters: RequestParameters, limit: Limit) -> None:
        """The same checks for a request that is only pushed, and how often that may be.

        Raises AuthorizationRefused, TooMany, StorageUnavailable.
        """
        client, flow = await self._checked(parameters, "", pushed=True)
        await self._count(limit, client, flow)

    async def _checked(
        self, parameters: RequestParameters, browser_hash: str, *, pushed: bool
    ) -> tuple[Client, PendingFlow]:
        """Storage that does not answer comes before whatever is wrong with the request (contract §4)."""
        try:
            return await self._examined(parameters, browser_hash, pushed=pushed)
        except AuthorizationRefused:
            # what is not refused needs it anyway, and would have failed
            await self.store.ping()
            raise

    async def _examined(
        self, parameters: RequestParameters, browser_hash: str, *, pushed: bool
    ) -> tuple[Client, PendingFlow]:
        try:
            parameters.refuse_repeated(but=("resource",))
            client = await self._client(parameters)
            uri = _redirect_uri(client, parameters)
            standing = await self.clients.standing(client)
        except Invalid as error:
            raise _refused(error, way_back=None) from error
        # from here on the redirect URI is the client's own: a refusal may carry a way back (RFC 6749 §4.1.2.1)
        try:
            _check_pushed(client, pushed=pushed)
            _check_no_object(parameters)
            flow = await self._flow(client, uri, parameters, browser_hash, standing)
        except Invalid as error:
            raise _refused(error, way_back=self._way_back(uri, parameters, error)) from error
        return client, flow

    async def _admit(self, client: Client, flow: PendingFlow) -> None:
        """Raises TooMany.

        Anybody can open flows of a client. Refusing the next one would let a stranger keep the client's people out, so
        the oldest give way; whoever is identified already is the last to lose a place.
        """
        await self._count(self.limit, client, flow)
        if await self.store.add_pending_flow(flow):
            return
        log.warning("waiting_sign_ins_give_way", client=client.client_name)
        await self.store.give_way(client.client_id, self.clock.now())
        if not await self.store.add_pending_flow(flow):
            raise TooManyWaiting

    async def _count(self, limit: Limit, client: Client, flow: PendingFlow) -> None:
        """What is counted is what would be written, so a refused request costs nobody anything. Raises TooMany."""
        subject, known = limits.subject(client.client_name, flow.redirect_uri)
        await self.limits.admit(limit, subject, known=known)

    async def _client(self, parameters: RequestParameters) -> Client:
        client_id = parameters.get("client_id")
        if client_id is None:
            raise Invalid("The parameter client_id is missing.", param="client_id")
        try:
            client = await self.clients.resolve(client_id)
        except ClientUnreachable as error:
            raise Invalid(error.message, code=oauth.INVALID_CLIENT, param="client_id") from error
        if client is None:
            raise Invalid("No client is registered under this client_id.", code=oauth.INVALID_CLIENT, param="client_id")
        return client

    async def _flow(
        self,
        client: Client,
        uri: str,
        parameters: RequestParameters,
        browser_hash: str,
        standing: ClientStanding,
    ) -> PendingFlow:
        state = parameters.get("state")
        _check_response_type(parameters)
        challenge = _code_challenge(parameters)
        key = _dpop_jkt(parameters)
        resource = await self._resource(parameters)
        now = self.clock.now()
        return PendingFlow(
            id=ids.new_id("flow_"),
            browser_hash=browser_hash,
            client_id=client.client_id,
            redirect_uri=uri,
            state=state,
            code_challenge=challenge,
            scope=scope.limited(scope.granted(parameters.get("scope")), standing.scope_limit),
            resource=resource,
            dpop_jkt=key,
            created_at=now,
            expires_at=now + PENDING_FLOW_SECONDS * SECOND,
        )

    async def _resource(self, parameters: RequestParameters) -> str:
        """RFC 8707 §2. Several indicators must mean one endpoint, because a token has one audience."""
        wanted = parameters.all("resource")
        if not wanted:
            return await self._known_endpoint(self.config.issuer)
        paths = {await self._known_endpoint(resource) for resource in wanted}
        if len(paths) != 1:
            raise Invalid("Ask for one resource at a time.", code=oauth.INVALID_TARGET, param="resource")
        return paths.pop()

    async def _known_endpoint(self, resource: str) -> str:
        path = await self.endpoint_of(resource)
        if path is None:
            raise Invalid(
                "The resource is not an MCP endpoint of this server.", code=oauth.INVALID_TARGET, param="resource"
            )
        return path

    def _way_back(self, uri: str, parameters: RequestParameters, error: Invalid) -> str:
        """The error as the client would get it (RFC 6749 §4.1.2.1, RFC 9207 §2)."""
        state = None if error.param == "state" else parameters.get("state")
        return redirect_uri.with_response(
            uri, error=error.code, error_description=error.message, state=state, iss=self.config.issuer
        )


def _refused(error: Invalid, *, way_back: str | None) -> AuthorizationRefused:
    log.info("authorization_refused", reason=error.code, param=error.param)
    return AuthorizationRefused(error.code, error.message, param=error.param, way_back=way_back)


def _redirect_uri(client: Client, parameters: RequestParameters) -> str:
    presented = parameters.get("redirect_uri")
    uri = redirect_uri.select(client.redirect_uris, presented)
    if uri is None:
        missing = "The parameter redirect_uri is missing, and this client registered more than one."
        message = missing if presented is None else "This redirect_uri is not registered for the client."
        code = oauth.INVALID_REQUEST if presented is None else oauth.INVALID_REDIRECT_URI
        raise Invalid(message, code=code, param="redirect_uri")
    return uri


def _check_pushed(client: Client, *, pushed: bool) -> None:
    """RFC 9126 §6: what the client has said of itself, so that nobody can send a request in its name by a link."""
    if client.require_pushed_authorization_requests and not pushed:
        raise Invalid("This client takes part with pushed authorization requests only.", param="request_uri")


def _check_no_object(parameters: RequestParameters) -> None:
    """A signed request is meant as it was signed: what stands beside it must not be taken for it (RFC 9101 §6.3)."""
    if parameters.get("request") is not None:
        message = "Request objects are not supported. Send the parameters themselves, or push them (RFC 9126)."
        raise Invalid(message, code=oauth.REQUEST_NOT_SUPPORTED, param="request")


def _check_response_type(parameters: RequestParameters) -> None:
    response_type = parameters.get("response_type")
    if response_type is None:
        raise Invalid("The parameter response_type is missing; it must be code.", param="response_type")
    if response_type != oauth.RESPONSE_TYPE:
        raise Invalid("The response_type must be code.", code=oauth.UNSUPPORTED_RESPONSE_TYPE, param="response_type")


def _code_challenge(parameters: RequestParameters) -> str:
    """PKCE is required of every client (OAuth 2.1 §7.5.1); an absent method means plain (RFC 7636 §4.3)."""
    challenge = parameters.get("code_challenge")
    if challenge is None:
        raise Invalid("The parameter code_challenge is missing: PKCE is required.", param="code_challenge")
    if parameters.get("code_challenge_method") != pkce.METHOD:
        raise Invalid("The code_challenge_method must be S256.", param="code_challenge_method")
    if not pkce.is_challenge(challenge):
        raise Invalid("The code_challenge must be the base64url of a SHA-256.", param="code_challenge")
    return challenge


def _dpop_jkt(parameters: RequestParameters) -> str:
    """RFC 9449 §10: the key that the code's redeemer must hold, said beforehand."""
    key = parameters.get("dpop_jkt") or ""
    if key and not dpop.is_thumbprint(key):
        raise Invalid("The dpop_jkt must be the base64url of a SHA-256.", param="dpop_jkt")
    return key
