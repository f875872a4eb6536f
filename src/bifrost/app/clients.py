"""OAuth clients: who registers, the one resolver, how a client proves itself, and how often it may ask."""

from dataclasses import dataclass

from bifrost.app.foundation import Foundation
from bifrost.authserver.client_assertions import ClientAssertions
from bifrost.authserver.client_documents import ClientDocuments, DocumentPolicy
from bifrost.authserver.clients import Clients
from bifrost.authserver.endpoints.client_auth import ClientAuth
from bifrost.authserver.fetching import Fetching
from bifrost.authserver.limits import Limit, Limits
from bifrost.authserver.register import Register
from bifrost.authserver.sealed_clients import SealedClients
from bifrost.http.client_address import TrustedProxies
from bifrost.protocol import metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts:
    register: Register
    clients: Clients
    auth: ClientAuth
    limits: Limits
    authorizations: Limit
    pushes: Limit


def client_parts(parts: Foundation) -> ClientParts:
    configured, issuer = parts.settings.client, parts.public_urls.issuer
    policy = DocumentPolicy(
        enabled=configured.client_id_metadata_documents,
        loopback=parts.public_urls.only_loopback,
        allowed_hosts=configured.client_id_metadata_allowed_hosts,
        blocked_hosts=configured.client_id_metadata_blocked_hosts,
    )
    store, schemes = parts.client_store, parts.settings.app_schemes
    limits = Limits(parts.counters, parts.clock, parts.ring)
    sealed = SealedClients(parts.ring, schemes)
    fetching = Fetching(parts.acquaintances, parts.strangers, limits)
    documents = ClientDocuments(fetching, store, policy, schemes, parts.clock)
    clients = Clients(sealed, documents, store, configured.blocked_redirect_hosts)
    audiences = (issuer, issuer + metadata.TOKEN, issuer + metadata.PAR)
    assertions = ClientAssertions(fetching, store, audiences, parts.clock)
    registrations = Limit(name="registrations", per_minute=configured.registrations_per_minute)
    return ClientParts(
        register=Register(sealed, limits, registrations, parts.clock, configured.blocked_redirect_hosts),
        clients=clients,
        auth=ClientAuth(clients, assertions, limits, TrustedProxies(parts.settings.server.trusted_proxies)),
        limits=limits,
        authorizations=Limit(name="authorizations", per_minute=configured.authorizations_per_minute),
        # by itself, so that a pushed request is not counted twice on its way through the browser
        pushes=Limit(name="pushed_requests", per_minute=configured.authorizations_per_minute),
    )
