"""The MCP endpoints and what answers behind them."""

from collections.abc import Callable
from dataclasses import dataclass

from bifrost.app.authorization_server import AuthorizationServer
from bifrost.app.foundation import Foundation
from bifrost.gateway.calls import Calls
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.client_sessions import ClientSessions
from bifrost.gateway.discovery import Discovery
from bifrost.gateway.endpoints import surface
from bifrost.gateway.endpoints.legacy import Legacy
from bifrost.gateway.endpoints.mcp import McpEndpoint
from bifrost.gateway.endpoints.modern import Modern
from bifrost.gateway.endpoints.replay import Recordings
from bifrost.gateway.extensions import Extensions
from bifrost.gateway.forward import Forward
from bifrost.gateway.held import HeldCalls
from bifrost.gateway.held_elsewhere import HeldElsewhere
from bifrost.gateway.lazy_authorization import LazyAuthorization
from bifrost.gateway.letter_limits import LetterLimits
from bifrost.gateway.letters import Letters
from bifrost.gateway.lists import Lists
from bifrost.gateway.methods import Methods
from bifrost.gateway.places import Places
from bifrost.gateway.questions import Questions
from bifrost.gateway.quota import Quota
from bifrost.gateway.reading import Reading
from bifrost.gateway.request_state import RequestStates
from bifrost.gateway.streams import Streams
from bifrost.gateway.subscriptions import Subscriptions
from bifrost.identity.callers import Callers
from bifrost.protocol import metadata
from bifrost.storage.letters import SqlLetterStore
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.auth.none import NoAuth
from bifrost.upstreams.auth.oauth import OAuth
from bifrost.upstreams.auth.per_user_headers import PerUserHeaders
from bifrost.upstreams.auth.per_user_oauth import PerUserOAuth
from bifrost.upstreams.auth.static_headers import StaticHeaders
from bifrost.upstreams.sessions import UpstreamSessions
from bifrost.upstreams.states import UpstreamStates
from bifrost.upstreams.transports.http_sse import HttpSse
from bifrost.upstreams.transports.streamable_http import StreamableHttp
from bifrost.upstreams.uses import Uses


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """`endpoint` answers at /mcp; the rest is what has to be ended when the process stops."""

    endpoint: McpEndpoint
    sessions: UpstreamSessions
    held: HeldCalls
    streams: Streams
    letters: Letters
    letter_store: SqlLetterStore

    async def close(self) -> None:
        self.streams.close()
        self.held.close()
        await self.sessions.close()


def mcp_server(parts: Foundation, server: AuthorizationServer) -> McpServer:
    letter_store, sessions = SqlLetterStore(parts.database), _upstream_sessions(parts)
    catalog = Catalog(parts.upstreams, parts.virtual_mcps, sessions, parts.clock)
    letters = Letters(letter_store, parts.ring, parts.clock, shared=_is_shared(parts))
    questions, held = Questions(), HeldCalls()
    limits = LetterLimits(parts.clock)
    elsewhere = HeldElsewhere(held, letters, limits)
    streams = Streams(catalog, sessions, questions, letters, limits)
    catalog.changed = streams.changed
    sessions.opened = streams.linked
    lists, states = Lists(catalog, parts.ring), RequestStates(parts.ring, parts.clock)
    forward = Forward(sessions, states, held, elsewhere, Places(), streams.overheard)
    reading = Reading(lists, forward)
    subscriptions = Subscriptions(sessions, streams, questions, reading, forward)
    streams.shown, streams.attended.forgotten = subscriptions.shown, subscriptions.forget
    discovery = Discovery(catalog)
    lazy = LazyAuthorization(server.connect.link, server.connect.missing, _metadata_url(parts))
    quota = Quota(parts.virtual_keys, parts.limits)
    calls = Calls(lists, forward, states, lazy, quota)
    extensions = Extensions(forward, quota)
    table = Methods(lists, calls, reading).table()
    client_sessions = ClientSessions(parts.ring, parts.clock, letters)
    legacy = Legacy(table, extensions, client_sessions, discovery, subscriptions, Recordings(parts.clock), limits)
    letters.handlers |= {**legacy.reads(), **streams.reads(), **elsewhere.reads()}
    letters.concerns |= elsewhere.concerns()
    endpoint = McpEndpoint(
        callers=_callers(parts, server),
        catalog=catalog,
        legacy=legacy,
        modern=Modern(table, extensions, discovery, subscriptions),
        render=surface.renderer(parts.settings.client.mcp_server_auth_mode),
    )
    return McpServer(
        endpoint=endpoint, sessions=sessions, held=held, streams=streams, letters=letters, letter_store=letter_store
    )


def _upstream_sessions(parts: Foundation) -> UpstreamSessions:
    """Conversations with upstreams, each with the credential of whoever it is for."""
    auth: dict[str, UpstreamAuth] = {
        "none": NoAuth(),
        "headers": StaticHeaders(parts.vault),
        "oauth": OAuth(parts.credentials, UpstreamStates(parts.upstream_store, parts.clock)),
        "per_user_oauth": PerUserOAuth(parts.credentials),
        "per_user_headers": PerUserHeaders(parts.accounts, parts.clock),
    }
    return UpstreamSessions(
        StreamableHttp(parts.outbound.inside, parts.outbound.vetted),
        auth,
        pipes={"sse": HttpSse(), "stdio": parts.stdio},
        shared=frozenset(parts.settings.mcp.stdio_shared_upstreams),
        uses=Uses(parts.clock),
    )


def _is_shared(parts: Foundation) -> bool:
    """Whether other processes may serve the same sessions: workers, or replicas on one database."""
    return parts.settings.server.workers > 1 or parts.database.dialect == "postgresql"


def _metadata_url(parts: Foundation) -> Callable[[str], str | None]:
    """Where it is said who signs people in for an endpoint; nowhere while nobody does (contract §1, modes)."""
    if parts.settings.client.mcp_server_auth_mode == "headers":
        return lambda _path: None
    return lambda path: f"{parts.public_urls.issuer}{metadata.protected_resource_path(path)}"


def _callers(parts: Foundation, server: AuthorizationServer) -> Callers:
    return Callers(
        virtual_keys=parts.virtual_keys,
        access_tokens=server.issuing.tokens,
        proofs=parts.proofs,
        clock=parts.clock,
        mode=parts.settings.client.mcp_server_auth_mode,
        allow_anonymous=parts.config.allow_anonymous,
    )
