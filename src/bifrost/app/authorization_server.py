"""The authorization server: consent, tokens, and people's accounts at upstreams."""

from dataclasses import dataclass

from bifrost.app.administrators import administrator_sessions
from bifrost.app.clients import client_parts
from bifrost.app.foundation import Foundation
from bifrost.app.issuing import Issuing, issuing
from bifrost.app.upstream_administration import UpstreamAdministration
from bifrost.authserver.authorize import Authorize
from bifrost.authserver.browser import PERSON_USE, BrowserSecrets
from bifrost.authserver.clients import Clients
from bifrost.authserver.connect import Connect
from bifrost.authserver.consent import Consent
from bifrost.authserver.endpoints.admin_sign_in import AdminSignInEndpoints
from bifrost.authserver.endpoints.authorize import AuthorizeEndpoint
from bifrost.authserver.endpoints.connect import ConnectEndpoints
from bifrost.authserver.endpoints.consent import ConsentEndpoints
from bifrost.authserver.endpoints.metadata import Metadata
from bifrost.authserver.endpoints.par import ParEndpoint
from bifrost.authserver.endpoints.register import RegisterEndpoint
from bifrost.authserver.endpoints.request_keys import RequestKeys
from bifrost.authserver.identities import Identities
from bifrost.authserver.pushed import PushedRequests
from bifrost.authserver.remembered import Remembered
from bifrost.authserver.services import Services
from bifrost.http.client_address import TrustedProxies
from bifrost.http.pages import Pages
from bifrost.storage.connect import SqlConnectStore
from bifrost.storage.pushed import SqlPushedStore
from bifrost.upstreams.credential_life import CredentialLife
from bifrost.upstreams.oauth.asking import Asking
from bifrost.upstreams.submissions import Submissions
from bifrost.upstreams.transports.streamable_http import StreamableHttp


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    clients: Clients
    metadata: Metadata
    register: RegisterEndpoint
    authorize: AuthorizeEndpoint
    par: ParEndpoint
    consent: ConsentEndpoints
    connect: ConnectEndpoints
    admin_sign_in: AdminSignInEndpoints
    issuing: Issuing
    life: CredentialLife


def authorization_server(
    parts: Foundation, pages: Pages, administration: UpstreamAdministration
) -> AuthorizationServer:
    store, clock, config = parts.store, parts.clock, parts.config
    parties = client_parts(parts)
    clients = parties.clients
    identities = Identities(parts.virtual_keys, store, config, clock)
    secrets, persons = BrowserSecrets(parts.ring), BrowserSecrets(parts.ring, PERSON_USE)
    proxies = TrustedProxies(parts.settings.server.trusted_proxies)
    authorize = Authorize(clients, store, config, clock, parties.limits, parties.authorizations, parts.endpoint_of)
    requires_par = parts.settings.client.require_pushed_authorization_requests
    pushed = PushedRequests(SqlPushedStore(parts.database), authorize, clock, requires_par, parties.pushes)
    life = administration.life
    remembered = Remembered(parts.consents, identities, clock)
    consent = Consent(store, clients, identities, remembered, life, config, clock)
    signing_in = administration.admin_sign_ins.sign_ins
    asking = Asking(signing_in.discovery, signing_in.probe, parts.vault, clock)
    services = Services(parts.upstreams, parts.virtual_mcps, identities, parts.credentials, asking)
    connect = _connect(parts, administration, life, consent, identities)
    return AuthorizationServer(
        clients=clients,
        metadata=Metadata(
            parts.public_urls, parts.endpoint_of, parts.settings.client.client_id_metadata_documents, requires_par
        ),
        register=RegisterEndpoint(parties.register),
        authorize=AuthorizeEndpoint(authorize, pushed, secrets, parts.public_urls),
        par=ParEndpoint(parties.auth, pushed, RequestKeys(parts.proofs)),
        consent=ConsentEndpoints(consent, services, secrets, persons, pages, parts.public_urls, proxies),
        connect=ConnectEndpoints(
            connect, administration.admin_sign_ins, services, secrets, pages, parts.public_urls, proxies
        ),
        admin_sign_in=_admin_sign_in(parts, administration, secrets, pages),
        issuing=issuing(parts, parties, identities),
        life=life,
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
        Submissions(parts.accounts, StreamableHttp(parts.outbound.inside, parts.outbound.vetted), parts.clock),
        parts.credentials,
        life,
        parts.upstreams,
        consent,
        identities,
        parts.clock,
    )
