"""Tokens: the endpoints that give, take back and explain them, and the keys that sign them."""

from dataclasses import dataclass

from bifrost.app.clients import ClientParts
from bifrost.app.foundation import Foundation
from bifrost.authserver.endpoints.introspect import IntrospectEndpoint
from bifrost.authserver.endpoints.issued_grants import IssuedGrantEndpoints
from bifrost.authserver.endpoints.jwks import Jwks
from bifrost.authserver.endpoints.request_keys import RequestKeys
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
from bifrost.authserver.revoke import Revoke
from bifrost.authserver.signing_keys import SigningKeys
from bifrost.authserver.tokens import Tokens
from bifrost.http.client_address import TrustedProxies
from bifrost.protocol import oauth
from bifrost.storage.signing_keys import SqlSigningKeyStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    tokens: Tokens
    signing_keys: SigningKeys
    token: TokenEndpoint
    revoke: RevokeEndpoint
    introspect: IntrospectEndpoint
    jwks: Jwks
    issued_grants: IssuedGrantEndpoints


def issuing(parts: Foundation, parties: ClientParts, identities: Identities) -> Issuing:
    store, clock = parts.store, parts.clock
    signing_keys = _signing_keys(parts)
    tokens = Tokens(store, identities, parts.config, clock, signing_keys)
    grants: dict[str, TokenGrant] = {
        oauth.AUTHORIZATION_CODE: AuthorizationCodeGrant(store, tokens, identities, clock, parts.endpoint_of),
        oauth.REFRESH_TOKEN: RefreshTokenGrant(
            store, tokens, identities, clock, parts.endpoint_of, _replay_rules(parts), Backoff(clock)
        ),
    }
    return Issuing(
        tokens=tokens,
        signing_keys=signing_keys,
        token=TokenEndpoint(parties.auth, RequestKeys(parts.proofs), grants),
        revoke=RevokeEndpoint(parties.auth, Revoke(store, clock)),
        introspect=IntrospectEndpoint(
            Introspect(store, identities, clock, _resource_servers(parts)),
            parts.administrators,
            TrustedProxies(parts.settings.server.trusted_proxies),
            parties.limits,
            parts.config.issuer,
        ),
        jwks=Jwks(signing_keys),
        issued_grants=IssuedGrantEndpoints(IssuedGrants(store, parties.clients, clock)),
    )


def _signing_keys(parts: Foundation) -> SigningKeys:
    configured = parts.settings.client
    return SigningKeys(
        SqlSigningKeyStore(parts.database),
        parts.ring,
        parts.clock,
        alg=configured.jwt_signing_alg,
        token_seconds=configured.access_token_ttl,
        rotate_days=configured.signing_key_days,
    )


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
