"""Signing in to an upstream: begun when a person asks for it, finished when the browser comes back (RFC 6749 §4.1).

Nothing about the sign-in exists before the person acted on our page; the state is single-use and bound to the browser,
the flow and the owner.
"""

from dataclasses import dataclass, replace
from urllib.parse import unquote_plus, urlencode

import structlog

from bifrost.base import events, ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import DomainError
from bifrost.base.sealing import SealBrokenError
from bifrost.protocol import oauth, pkce
from bifrost.protocol.scope import OFFLINE_ACCESS
from bifrost.protocol.upstream_metadata import AuthorizationServer
from bifrost.upstreams.accounts import (
    SIGN_IN_SECONDS,
    Credential,
    Discovered,
    Owner,
    Registration,
    SignIn,
    TokenSet,
    target_of,
)
from bifrost.upstreams.errors import ENDED, SignInImpossible, SignInRefused
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth import profiles
from bifrost.upstreams.oauth.discovery import Discovery
from bifrost.upstreams.oauth.registration import Registrations
from bifrost.upstreams.oauth.store import UpstreamOAuthStore
from bifrost.upstreams.oauth.token_client import REVOCATION_SECONDS, TokenClient, TokenRefused, TokenUnavailable
from bifrost.upstreams.probe import Probe
from bifrost.upstreams.vault import Vault

CONNECTED = "connected"

TRUSTED_SECONDS = 60
"""So long a new registration is not doubted, however often somebody presses Connect."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """The parameters of an authorization response, as they came."""

    state: str | None
    code: str | None
    error: str | None
    iss: str | None


@dataclass(frozen=True, slots=True)
class SignIns:
    store: UpstreamOAuthStore
    discovery: Discovery
    registrations: Registrations
    tokens: TokenClient
    probe: Probe
    vault: Vault
    clock: Clock

    async def begin(
        self, upstream: Upstream, owner: Owner, browser_hash: str, return_to: str, more_scope: str = ""
    ) -> str:
        """The URL of the upstream's own sign-in page. Raises SignInImpossible, OutsideUrlRefused.

        `more_scope` is asked for besides what the upstream's metadata says.
        """
        discovered, registration = await self._prepared(upstream, browser_hash)
        state, verifier = ids.new_secret(), ids.new_secret()
        scope = " ".join(dict.fromkeys([*discovered.scopes, *more_scope.split()]))
        now = self.clock.now()
        await self.store.add_sign_in(
            ids.hash_secret(state),
            SignIn(
                upstream_id=upstream.id,
                owner=owner,
                browser_hash=browser_hash,
                return_to=return_to,
                discovered=discovered,
                registration=registration,
                code_verifier=verifier,
                scope=scope,
                expires_at=now + SIGN_IN_SECONDS * SECOND,
                target=target_of(upstream),
            ),
            now,
        )
        log.info("upstream_sign_in_begun", upstream=upstream.name, owner=owner.kind)
        profile = profiles.of(discovered.server.issuer)
        parameters = {
            "response_type": oauth.RESPONSE_TYPE,
            "client_id": registration.client_id,
            "redirect_uri": self.registrations.redirect_uri,
            "code_challenge": pkce.challenge_of(verifier),
            "code_challenge_method": pkce.METHOD,
            "state": state,
            **({profile.resource_name: discovered.resource} if profile.resource_name else {}),
            **({"scope": scope.replace(" ", profile.scope_separator)} if scope else {}),
        }
        # OpenID Connect §11: without it the wish for a refresh token is ignored
        usual = {"prompt": "consent"} if OFFLINE_ACCESS in scope.split() else {}
        return await self._address(
            upstream, discovered.server, registration, {**usual, **dict(profile.authorize), **parameters}
        )

    async def _address(
        self, upstream: Upstream, server: AuthorizationServer, registration: Registration, parameters: dict[str, str]
    ) -> str:
        """The authorization request as a URL, its parameters handed over before where the server wants that."""
        if server.pushed_authorization_endpoint is None:
            return _with_query(server.authorization_endpoint, parameters)
        try:
            pushed = await self.tokens.push(server.pushed_authorization_endpoint, registration, parameters)
        except TokenRefused as error:
            if error.code == oauth.INVALID_CLIENT:
                await self.registrations.forget(upstream.id, registration)
            raise SignInImpossible(f"{upstream.name}: it refused the authorization request ({error.code}).") from error
        except TokenUnavailable as error:
            raise SignInImpossible(f"{upstream.name}: its sign-in service does not answer.") from error
        return _with_query(server.authorization_endpoint, {"client_id": registration.client_id, "request_uri": pushed})

    async def _prepared(self, upstream: Upstream, browser_hash: str) -> tuple[Discovered, Registration]:
        """Who guards the upstream, and our client there. Raises SignInImpossible, OutsideUrlRefused, …Unavailable.

        An attempt just before that led nowhere is a sign that our client has been forgotten there.
        """
        now = self.clock.now()
        doubtful = await self.store.registration_doubtful(
            upstream.id, browser_hash, now, registered_before=now - TRUSTED_SECONDS * SECOND
        )
        try:
            config = self.vault.open_oauth_config(upstream)
            discovered = await self.discovery.discover(upstream, config, await self.probe.challenge(upstream))
            return discovered, await self.registrations.of(upstream, config, discovered.server, doubtful=doubtful)
        except SealBrokenError as error:
            log.warning("upstream_oauth_config_unreadable", upstream=upstream.name)
            raise SignInImpossible(f"{upstream.name}: its oauth_config cannot be opened; send it again.") from error
        except DomainError as error:
            log.warning("upstream_sign_in_impossible", upstream=upstream.name, reason=error.message)
            raise

    async def finish(self, callback: Callback, browser_hashes: tuple[str, ...]) -> tuple[SignIn, str]:
        """The sign-in that came back and, in one word, what became of it: `connected`, or a code of why not.

        Raises SignInRefused when it is no sign-in of this browser.
        """
        sign_in = await self._claimed(callback, browser_hashes)
        who = f"{sign_in.owner.kind}:{sign_in.owner.id}"
        try:
            await self._complete(sign_in, callback)
        except (SignInRefused, SignInImpossible) as error:
            events.tell(
                events.Name.UPSTREAM_SIGN_IN_FAILED,
                actor=who,
                target=sign_in.upstream_id,
                result="failure",
                code=error.code,
            )
            log.warning("upstream_sign_in_failed", upstream=sign_in.upstream_id, reason=error.code)
            return sign_in, error.code
        events.tell(events.Name.UPSTREAM_CONNECTED, actor=who, target=sign_in.upstream_id)
        log.info("upstream_connected", upstream=sign_in.upstream_id, owner=sign_in.owner.kind)
        return sign_in, CONNECTED

    async def _complete(self, sign_in: SignIn, callback: Callback) -> None:
        _check_issuer(callback, sign_in)
        if callback.error or not callback.code:
            raise SignInRefused("The service did not give access.", code="upstream_denied")
        try:
            tokens, registration = await self._exchanged(sign_in, callback.code)
        except TokenRefused as error:
            if error.code == oauth.INVALID_CLIENT:
                await self.registrations.forget(sign_in.upstream_id, sign_in.registration)
            raise SignInRefused("The service took its permission back.", code="upstream_refused") from error
        except TokenUnavailable as error:
            raise SignInImpossible("The service did not answer.", code="upstream_unavailable") from error
        credential = Credential(
            upstream_id=sign_in.upstream_id,
            owner=sign_in.owner,
            tokens=tokens,
            registration=registration,
            token_endpoint=sign_in.discovered.server.token_endpoint,
            resource=sign_in.discovered.resource,
            revocation_endpoint=sign_in.discovered.server.revocation_endpoint or "",
            target=sign_in.target,
            asked_scope=sign_in.scope,
        )
        if not await self.store.connected(credential, self.clock.now()):
            if credential.revocation_endpoint:
                await self.tokens.revoke(credential, seconds=REVOCATION_SECONDS)
            raise SignInRefused(ENDED)

    async def _exchanged(self, sign_in: SignIn, code: str) -> tuple[TokenSet, Registration]:
        """Some servers announce two ways to send a secret and know each client by one: the other is tried as well."""
        redirect_uri, other = self.registrations.redirect_uri, _other_way(sign_in)
        try:
            return await self.tokens.exchange(sign_in, code, redirect_uri), sign_in.registration
        except TokenRefused as error:
            if other is None or error.code != oauth.INVALID_CLIENT:
                raise
        return await self.tokens.exchange(replace(sign_in, registration=other), code, redirect_uri), other

    async def _claimed(self, callback: Callback, browser_hashes: tuple[str, ...]) -> SignIn:
        sign_in = None
        if callback.state:
            sign_in = await self.store.claim_sign_in(ids.hash_secret(callback.state), browser_hashes, self.clock.now())
        if sign_in is None:
            raise SignInRefused("This sign-in is not known in this browser, was already used, or has expired.")
        return sign_in


def _check_issuer(callback: Callback, sign_in: SignIn) -> None:
    """RFC 9207 §2.4, for refusals as well: compared byte for byte, and required where it was announced."""
    server = sign_in.discovered.server
    if callback.iss is None and not server.iss_in_responses:
        return
    if callback.iss != server.issuer:
        raise SignInRefused(
            "The answer came from another server than the one that was asked.", code="upstream_mixed_up"
        )


def _other_way(sign_in: SignIn) -> Registration | None:
    used, offered = sign_in.registration, sign_in.discovered.server.token_endpoint_auth_methods
    if used.auth_method == oauth.CLIENT_SECRET_BASIC and oauth.CLIENT_SECRET_POST in offered:
        return replace(used, auth_method=oauth.CLIENT_SECRET_POST)
    return None


_FLEXIBLE = ("prompt", "access_type", "audience", "owner")
"""What only makes a sign-in go better: an administrator may have written something else into the URL."""


def _with_query(url: str, parameters: dict[str, str]) -> str:
    """Query parameters that a configured URL already has are kept byte for byte (RFC 6749 §3.1).

    None appears twice: what the flow stands on is ours, of the rest the administrator's counts.
    """
    base, _, query = url.partition("?")
    pieces = [piece for piece in query.split("&") if piece]
    there = {_name(piece) for piece in pieces}
    ours = {name: value for name, value in parameters.items() if name not in _FLEXIBLE or name not in there}
    kept = [piece for piece in pieces if _name(piece) not in ours]
    return f"{base}?{'&'.join([*kept, urlencode(ours)])}"


def _name(piece: str) -> str:
    return unquote_plus(piece.partition("=")[0])
