"""The authorization server: consent, tokens, and people's accounts at upstreams."""

from dataclasses import dataclass

from bifrost.app.administrators import administrator_sessions
from bifrost.app.clients import client_parts
from bifrost.app.foundation import Foundation
from bifrost.app.upstream_administration import UpstreamAdministration
from bifrost.authserver.authorize import Authorize
from bifrost.authserver.browser import PERSON_USE, BrowserSecrets
from bifrost.authserver.connect import Connect
from bifrost.authserver.consent import Consent
from bifrost.authserver.endpoints.admin_sign_in import AdminSignInEndpoints
from bifrost.authserver.endpoints.authorize import AuthorizeEndpoint
from bifrost.authserver.endpoints.connect import ConnectEndpoints
from bifrost.authserver.endpoints.consent import ConsentEndpoints
from bifrost.authserver.endpoints.introspect import IntrospectEndpoint
from bifrost.authserver.endpoints.issued_grants import IssuedGrantEndpoints
from bifrost.authserver.endpoints.metadata import Metadata
from bifrost.authserver.endpoints.register import RegisterEndpoint
from bifrost.authserver.endpoints.revoke import RevokeEndpoint
from bifrost.authserver.endpoints.token import TokenEndpoint
from bifrost.authserver.grants.authorization_code import AuthorizationCodeGrant
from bifrost.authserver.grants.backoff import Backoff
from bifrost.authserver.grants.base import TokenGrant
from bifrost.authserver.grants.refresh_token import RefreshTokenGrant
from bifrost.authserver.identities import Identities
from bifrost.authserver.introspect import Introspect, ResourceServer
from bifrost.authserver.issued_grants import IssuedGrants
from bifrost.authserver.models import ReplayRules
from bifrost.authserver.remembered import Remembered
from bifrost.authserver.revoke import Revoke
from bifrost.authserver.services import Services
from bifrost.authserver.tokens import Tokens
from bifrost.http.client_address import TrustedProxies
from bifrost.http.pages import Pages
from bifrost.protocol import oauth
from bifrost.storage.connect import SqlConnectStore
from bifrost.upstreams.credential_life import CredentialLife
from bifrost.upstreams.submissions import Submissions
from bifrost.upstreams.transports.streamable_http import StreamableHttp


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    metadata: Metadata
    register: RegisterEndpoint
    authorize: AuthorizeEndpoint
    consent: ConsentEndpoints
    connect: ConnectEndpoints
    admin_sign_in: AdminSignInEndpoints
    token: TokenEndpoint
    revoke: RevokeEndpoint
    introspect: IntrospectEndpoint
    issued_grants: IssuedGrantEndpoints
    tokens: Tokens
    life: CredentialLife


def authorization_server(
    parts: Foundation, pages: Pages, administration: UpstreamAdministration
) -> AuthorizationServer:
    store, clock, config = parts.store, parts.clock, parts.config
    parties = client_parts(parts)
    clients = parties.clients
    identities = Identities(parts.virtual_keys, store, config, clock)
    tokens = Tokens(store, identities, config, clock)
    secrets, persons = BrowserSecrets(parts.ring), BrowserSecrets(parts.ring, PERSON_USE)
    proxies = TrustedProxies(parts.settings.server.trusted_proxies)
    consent = Consent(store, clients, identities, Remembered(parts.consents, identities, clock), config, clock)
    services = Services(parts.upstreams, identities, parts.credentials)
    life = administration.life
    connect = _connect(parts, administration, life, consent, identities)
    return AuthorizationServer(
        metadata=Metadata(parts.public_urls, parts.endpoint_of, parts.settings.client.client_id_metadata_documents),
        register=RegisterEndpoint(parties.register),
        authorize=AuthorizeEndpoint(
            Authorize(clients, store, config, clock, parties.limits, parties.authorizations, parts.endpoint_of),
            secrets,
            parts.public_urls,
        ),
        consent=ConsentEndpoints(consent, services, secrets, persons, pages, parts.public_urls, proxies),
        connect=ConnectEndpoints(
            connect, administration.admin_sign_ins, services, secrets, pages, parts.public_urls, proxies
        ),
        admin_sign_in=_admin_sign_in(parts, administration, secrets, pages),
        introspect=IntrospectEndpoint(
            Introspect(store, identities, clock, _resource_servers(parts)),
            parts.administrators,
            proxies,
            config.issuer,
        ),
        issued_grants=IssuedGrantEndpoints(IssuedGrants(store, clients, clock)),
        token=TokenEndpoint(parties.auth, _grants(parts, tokens, identities)),
        revoke=RevokeEndpoint(parties.auth, Revoke(store, clock)),
        tokens=tokens,
        life=life,
    )


def _grants(parts: Foundation, tokens: Tokens, identities: Identities) -> dict[str, TokenGrant]:
    store, clock, endpoint_of = parts.store, parts.clock, parts.endpoint_of
    return {
        oauth.AUTHORIZATION_CODE: AuthorizationCodeGrant(store, tokens, clock, endpoint_of),
        oauth.REFRESH_TOKEN: RefreshTokenGrant(
            store, tokens, identities, clock, endpoint_of, _replay_rules(parts), Backoff(clock)
        ),
    }


def _resource_servers(parts: Foundation) -> tuple[ResourceServer, ...]:
    return tuple(
        ResourceServer(id=server.id, secret=server.secret, resources=server.resources)
        for server in parts.settings.client.resource_servers
    )


def _replay_rules(parts: Foundation) -> ReplayRules:
    configured = parts.settings.client
    return ReplayRules(
        window_seconds=configured.refresh_token_replay_window,
        cap_seconds=configured.refresh_token_replay_cap,
        limit=configured.refresh_token_replay_limit,
    )


def _admin_sign_in(
    parts: Foundation, administration: UpstreamAdministration, secrets: BrowserSecrets, pages: Pages
) -> AdminSignInEndpoints:
    return AdminSignInEndpoints(
        administration.admin_sign_ins,
        parts.administrators,
        administrator_sessions(parts).signed_in,
        secrets,
        pages,
        parts.public_urls,
        TrustedProxies(parts.settings.server.trusted_proxies),
    )


def _connect(
    parts: Foundation,
    administration: UpstreamAdministration,
    life: CredentialLife,
    consent: Consent,
    identities: Identities,
) -> Connect:
    return Connect(
        SqlConnectStore(parts.database),
        administration.admin_sign_ins.sign_ins,
        Submissions(parts.accounts, StreamableHttp(parts.outbound), parts.clock),
        parts.credentials,
        life,
        parts.upstreams,
        consent,
        identities,
        parts.clock,
    )
