"""Who guards an upstream: challenge, resource metadata, authorization server metadata (RFC 9728 §5, RFC 8414 §3)."""

from dataclasses import dataclass, replace

from bifrost.base.errors import Invalid
from bifrost.http import strict_json
from bifrost.http.client import OutboundClient, OutsideUnreachable
from bifrost.protocol import upstream_metadata
from bifrost.protocol.scope import OFFLINE_ACCESS, is_scope
from bifrost.protocol.upstream_metadata import AuthorizationServer, MetadataError, ProtectedResource
from bifrost.upstreams.accounts import Discovered
from bifrost.upstreams.errors import SignInImpossible
from bifrost.upstreams.models import OAuthConfig, Upstream
from bifrost.upstreams.oauth import profiles

MAX_SCOPES = 100
"""As many as a document may ask for: they all stand in one URL."""

_HTTP_OK = 200


@dataclass(frozen=True, slots=True)
class Discovery:
    client: OutboundClient

    async def discover(self, upstream: Upstream, config: OAuthConfig, challenge: dict[str, str]) -> Discovered:
        """`challenge` holds the parameters of the upstream's 401, if there was one.

        Raises SignInImpossible, in words that an administrator can act on.
        """
        try:
            resource = await self._resource(upstream, challenge)
            server = await self._server(upstream, config, resource)
            for endpoint in server.endpoints:
                self.client.check_url(endpoint)
        except MetadataError as error:
            raise SignInImpossible(f"{upstream.name}: {error}.") from error
        return Discovered(
            server=server,
            resource=config.resource or (resource.resource if resource else upstream.connection_string),
            scopes=_scopes(config, challenge, resource, server),
        )

    async def _resource(self, upstream: Upstream, challenge: dict[str, str]) -> ProtectedResource | None:
        named = challenge.get("resource_metadata")
        for url in [named] if named else upstream_metadata.protected_resource_urls(upstream.connection_string):
            document = await self._document(url)
            if document is not None:
                return upstream_metadata.read_protected_resource(document, upstream.connection_string)
        return None

    async def _server(
        self, upstream: Upstream, config: OAuthConfig, resource: ProtectedResource | None
    ) -> AuthorizationServer:
        issuer = (
            resource.authorization_servers[0] if resource else upstream_metadata.origin_of(upstream.connection_string)
        )
        if config.authorize_url and config.token_url:
            return AuthorizationServer(
                issuer=issuer,
                authorization_endpoint=config.authorize_url,
                token_endpoint=config.token_url,
                registration_endpoint=config.registration_url or None,
                token_endpoint_auth_methods=("client_secret_post", "none"),
            )
        for url in upstream_metadata.authorization_server_urls(issuer):
            document = await self._document(url)
            if document is not None:
                profile = profiles.of(issuer)
                found = upstream_metadata.read_authorization_server(
                    document, issuer, loose_issuer=profile.loose_issuer, announces_pkce=profile.announces_pkce
                )
                return _with_configured(found, config)
        if resource is None:
            return _with_configured(upstream_metadata.default_server(upstream.connection_string), config)
        raise MetadataError(f"its authorization server {issuer} publishes no metadata")

    async def _document(self, url: str) -> object | None:
        """A JSON document, or None when there is none at this address."""
        try:
            fetched = await self.client.fetch(url, headers={"Accept": "application/json"})
        except OutsideUnreachable:
            return None
        if fetched.status != _HTTP_OK:
            return None
        try:
            document: object = strict_json.loads(fetched.body)
        except Invalid:
            return None
        return document


def _with_configured(server: AuthorizationServer, config: OAuthConfig) -> AuthorizationServer:
    """Whatever an administrator wrote stands in the place of what the document says."""
    return replace(
        server,
        authorization_endpoint=config.authorize_url or server.authorization_endpoint,
        token_endpoint=config.token_url or server.token_endpoint,
        registration_endpoint=config.registration_url or server.registration_endpoint,
    )


def _scopes(
    config: OAuthConfig, challenge: dict[str, str], resource: ProtectedResource | None, server: AuthorizationServer
) -> tuple[str, ...]:
    """MCP scope selection: what the administrator says, else what the challenge asks for, else what is supported.

    A refresh token is asked for where the server says how (offline_access) or is known to need it; not with nothing
    else, because that would turn "the usual scopes" into that one.
    """
    if config.scopes:
        return config.scopes
    said = challenge.get("scope", "").split() or (resource.scopes_supported if resource else ())
    wanted = tuple(scope for scope in said if is_scope(scope))[:MAX_SCOPES]
    offline = (OFFLINE_ACCESS,) if wanted and OFFLINE_ACCESS in server.scopes_supported else ()
    return tuple(dict.fromkeys((*wanted, *offline, *profiles.of(server.issuer).scopes)))
