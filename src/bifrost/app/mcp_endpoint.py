"""The MCP endpoints and what answers behind them."""

from bifrost.app.authorization_server import AuthorizationServer
from bifrost.app.foundation import Foundation
from bifrost.gateway.calls import Calls
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.endpoints.mcp import McpEndpoint
from bifrost.gateway.lazy_authorization import LazyAuthorization
from bifrost.gateway.methods import Methods
from bifrost.identity.callers import Callers
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.auth.none import NoAuth
from bifrost.upstreams.auth.oauth import OAuth
from bifrost.upstreams.auth.per_user_oauth import PerUserOAuth
from bifrost.upstreams.auth.static_headers import StaticHeaders
from bifrost.upstreams.sessions import UpstreamSessions
from bifrost.upstreams.states import UpstreamStates
from bifrost.upstreams.transports.streamable_http import StreamableHttp


def mcp_endpoint(parts: Foundation, server: AuthorizationServer) -> McpEndpoint:
    auth: dict[str, UpstreamAuth] = {
        "none": NoAuth(),
        "headers": StaticHeaders(parts.vault),
        "oauth": OAuth(parts.credentials, UpstreamStates(parts.upstream_store, parts.clock)),
        "per_user_oauth": PerUserOAuth(parts.credentials),
    }
    sessions = UpstreamSessions(StreamableHttp(parts.outbound), auth)
    catalog = Catalog(parts.upstreams, sessions, parts.clock)
    callers = Callers(
        virtual_keys=parts.virtual_keys,
        access_tokens=server.tokens,
        clock=parts.clock,
        mode=parts.settings.client.mcp_server_auth_mode,
        allow_anonymous=parts.config.allow_anonymous,
    )
    lazy = LazyAuthorization(server.connect.link)
    return McpEndpoint(callers, catalog, Methods(catalog, Calls(catalog, sessions, lazy)).table())
