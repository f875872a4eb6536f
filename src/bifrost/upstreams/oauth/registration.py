"""Our client at an upstream's authorization server: configured, else our own metadata document, else registered there.

Credentials are kept for one issuer and never sent to another (RFC 9700 §4.4, mix-up).
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Invalid
from bifrost.http import strict_json
from bifrost.http.client import OutboundClient
from bifrost.protocol import oauth
from bifrost.protocol.upstream_metadata import AuthorizationServer
from bifrost.upstreams.accounts import Registration
from bifrost.upstreams.errors import SignInImpossible
from bifrost.upstreams.models import OAuthConfig, Upstream
from bifrost.upstreams.oauth import profiles
from bifrost.upstreams.oauth.client_key import JWKS, ClientKey
from bifrost.upstreams.oauth.store import UpstreamOAuthStore

CALLBACK = "/api/oauth/callback"
"""One callback for every upstream: providers pin a single URI; which upstream it is, the state says."""

CLIENT_ID_DOCUMENT = "/oauth/client-metadata.json"
SIGNED_CLIENT_ID_DOCUMENT = "/oauth/client-metadata-signed.json"
"""The same client, for authorization servers that want it to prove itself: with a signature (RFC 7523)."""

_CREATED = (200, 201)
_METHODS = (oauth.NONE, oauth.CLIENT_SECRET_BASIC, oauth.CLIENT_SECRET_POST, oauth.PRIVATE_KEY_JWT)
"""The simplest that the server offers is taken."""

_BY_SECRET = (oauth.CLIENT_SECRET_BASIC, oauth.CLIENT_SECRET_POST)
_MAX_SECONDS = 10**12
MAX_CLIENT_ID_CHARACTERS = 4_096
"""It stands in a URL that a browser has to open."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Registrations:
    client: OutboundClient
    store: UpstreamOAuthStore
    clock: Clock
    issuer: str
    client_id_document_url: str | None
    """The address of our own client id metadata document, where authorization servers can reach it."""
    key: ClientKey

    @property
    def redirect_uri(self) -> str:
        return f"{self.issuer}{CALLBACK}"

    async def of(
        self, upstream: Upstream, config: OAuthConfig, server: AuthorizationServer, *, doubtful: bool = False
    ) -> Registration:
        """`doubtful`: the one that is kept may be forgotten over there, so make a new one. Raises SignInImpossible."""
        if config.client_id:
            return await self._configured(upstream, config, server)
        if server.client_id_metadata_documents and self.client_id_document_url:
            return self._documented(self.client_id_document_url, server)
        known = await self.store.registration(upstream.id, server.issuer, self.redirect_uri)
        if known and not doubtful and (known.expires_at is None or known.expires_at > self.clock.now()):
            return known
        return await self._register(upstream, server)

    def document(self) -> dict[str, Any]:
        """Our own client id metadata document: its address is our client_id."""
        return {"client_id": f"{self.issuer}{CLIENT_ID_DOCUMENT}", **_metadata(self.redirect_uri, oauth.NONE)}

    def signed_document(self) -> dict[str, Any]:
        """As above, with where to find the key that we sign with."""
        return {
            "client_id": f"{self.issuer}{SIGNED_CLIENT_ID_DOCUMENT}",
            **_metadata(self.redirect_uri, oauth.PRIVATE_KEY_JWT),
            "jwks_uri": f"{self.issuer}{JWKS}",
        }

    def _documented(self, url: str, server: AuthorizationServer) -> Registration:
        """The document that another host serves for us knows no key of ours."""
        signs = oauth.NONE not in server.token_endpoint_auth_methods and _may_sign(server)
        if signs and url == f"{self.issuer}{CLIENT_ID_DOCUMENT}":
            signed = f"{self.issuer}{SIGNED_CLIENT_ID_DOCUMENT}"
            return Registration(issuer=server.issuer, client_id=signed, auth_method=oauth.PRIVATE_KEY_JWT)
        return Registration(issuer=server.issuer, client_id=url)

    async def forget(self, upstream_id: str, registration: Registration) -> None:
        """The authorization server no longer knows it; the next sign-in registers again."""
        await self.store.forget_registration(upstream_id, registration)

    async def _configured(self, upstream: Upstream, config: OAuthConfig, server: AuthorizationServer) -> Registration:
        """A secret stays with the issuer that it was first used at: who it belongs to is not the upstream's to change.

        Where the administrator names both endpoints, no document of anybody's is read and there is nothing to choose.
        """
        wanted = _configured(config, server)
        if not wanted.client_secret or (config.authorize_url and config.token_url):
            return wanted
        for known in await self.store.registrations(upstream.id):
            same = (known.client_id, known.client_secret) == (wanted.client_id, wanted.client_secret)
            if same and known.issuer != wanted.issuer:
                raise SignInImpossible(
                    f"{upstream.name}: it names the authorization server {wanted.issuer} now, and the configured "
                    f"client_secret was used at {known.issuer}. If both are the same, set oauth_config.authorize_url "
                    "and token_url."
                )
        await self.store.keep_registration(upstream.id, self.redirect_uri, wanted, self.clock.now())
        return wanted

    async def _register(self, upstream: Upstream, server: AuthorizationServer) -> Registration:
        if server.registration_endpoint is None:
            raise SignInImpossible(
                f"{upstream.name}: its authorization server does not register clients by itself; "
                "register this gateway there and set oauth_config.client_id."
            )
        method = next((name for name in _METHODS if _offers(server, name)), oauth.NONE)
        keys = {"jwks": await self.key.jwks()} if method == oauth.PRIVATE_KEY_JWT else {}
        fetched = await self.client.fetch(
            server.registration_endpoint,
            method="POST",
            body=msgspec.json.encode(_metadata(self.redirect_uri, method) | keys),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        registration = _registered(fetched.status, fetched.body, server.issuer, method)
        if registration is None:
            raise SignInImpossible(f"{upstream.name}: its authorization server refused to register this gateway.")
        await self.store.keep_registration(upstream.id, self.redirect_uri, registration, self.clock.now())
        log.info("upstream_client_registered", upstream=upstream.name, issuer=server.issuer)
        return registration


def _metadata(redirect_uri: str, method: str) -> dict[str, Any]:
    return {
        "client_name": "Bifrost MCP gateway",
        "redirect_uris": [redirect_uri],
        "grant_types": list(oauth.GRANT_TYPES),
        "response_types": [oauth.RESPONSE_TYPE],
        "token_endpoint_auth_method": method,
        **({"token_endpoint_auth_signing_alg": oauth.ES256} if method == oauth.PRIVATE_KEY_JWT else {}),
        # a gateway on somebody's own computer is a native application (OpenID Connect Registration §2)
        "application_type": "web" if redirect_uri.startswith("https://") else "native",
    }


def _offers(server: AuthorizationServer, method: str) -> bool:
    return method in server.token_endpoint_auth_methods and (method != oauth.PRIVATE_KEY_JWT or _may_sign(server))


def _may_sign(server: AuthorizationServer) -> bool:
    """With our algorithm; a server that names none takes what the client registers (RFC 8414 §2)."""
    offered = oauth.PRIVATE_KEY_JWT in server.token_endpoint_auth_methods
    return offered and (not server.signing_algorithms or oauth.ES256 in server.signing_algorithms)


def _configured(config: OAuthConfig, server: AuthorizationServer) -> Registration:
    secret = (oauth.CLIENT_SECRET_BASIC, oauth.CLIENT_SECRET_POST)
    methods: tuple[str, ...] = secret if config.client_secret else (oauth.NONE, oauth.PRIVATE_KEY_JWT)
    wanted = profiles.of(server.issuer).auth_method
    if wanted in methods:
        methods = (wanted,)
    offered = [method for method in methods if _offers(server, method)]
    return Registration(
        issuer=server.issuer,
        client_id=config.client_id,
        client_secret=config.client_secret,
        auth_method=offered[0] if offered else methods[0],
    )


def _registered(status: int, body: bytes, issuer: str, asked: str) -> Registration | None:
    """RFC 7591 §3.2.1. What the server says about the method counts, not what was asked for."""
    try:
        answer: Any = strict_json.loads(body) if status in _CREATED else None
    except Invalid:
        return None
    client_id = answer.get("client_id") if isinstance(answer, dict) else None
    if not isinstance(client_id, str) or not 0 < len(client_id) <= MAX_CLIENT_ID_CHARACTERS:
        return None
    secret, method = answer.get("client_secret") or "", answer.get("token_endpoint_auth_method") or asked
    if not isinstance(secret, str) or method not in _METHODS or (method in _BY_SECRET and not secret):
        return None
    return Registration(
        issuer=issuer,
        client_id=client_id,
        client_secret=secret,
        auth_method=method,
        expires_at=_ends(answer.get("client_secret_expires_at")) if method in _BY_SECRET else None,
    )


def _ends(value: object) -> int | None:
    """RFC 7591 §3.2.1: seconds since the epoch, 0 for never. Milliseconds, or None."""
    sensible = isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MAX_SECONDS
    return value * SECOND if sensible and isinstance(value, int) else None
