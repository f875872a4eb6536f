"""Dynamic client registration (RFC 7591): what the answer says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from bifrost.authserver import limits
from bifrost.authserver.clients import BLOCKED, unblocked
from bifrost.authserver.limits import Limit, Limits
from bifrost.authserver.sealed_clients import SealedClients
from bifrost.base.clock import SECOND, Clock
from bifrost.protocol import client_registration, oauth
from bifrost.protocol.oauth import OAuthError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Register:
    clients: SealedClients
    limits: Limits
    limit: Limit
    clock: Clock
    blocked_hosts: Collection[str] = ()
    """As of `Clients`."""

    async def register(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """RFC 7591 §3.2.1: the id, and every accepted member as accepted. Raises OAuthError, TooMany."""
        metadata = client_registration.accept(body, self.clients.app_schemes)
        kept = unblocked(metadata.redirect_uris, self.blocked_hosts)
        if not kept:
            raise OAuthError(oauth.INVALID_REDIRECT_URI, BLOCKED, param="redirect_uris")
        if kept != metadata.redirect_uris:
            metadata = replace(metadata, redirect_uris=kept)
        subject, known = limits.subject(metadata.client_name, *metadata.redirect_uris)
        await self.limits.admit(self.limit, subject, known=known)
        client_id, secret = self.clients.register(metadata)
        answer: dict[str, Any] = {
            "client_id": client_id,
            "client_id_issued_at": self.clock.now() // SECOND,
            "redirect_uris": list(metadata.redirect_uris),
            "grant_types": list(metadata.grant_types),
            "response_types": [oauth.RESPONSE_TYPE],
            "token_endpoint_auth_method": metadata.token_endpoint_auth_method,
            **dict(metadata.echoed),
        }
        if metadata.client_name:
            answer["client_name"] = metadata.client_name
        if metadata.scope:
            answer["scope"] = metadata.scope
        if secret:
            answer |= {"client_secret": secret, "client_secret_expires_at": 0}
        log.info("client_registered", name=metadata.client_name, redirect_uris=list(metadata.redirect_uris))
        return answer
