"""DPoP at the authorization server's endpoints (RFC 9449 §5): the key of a request, and refusals in OAuth's form."""

from dataclasses import dataclass

from starlette.requests import Request

from bifrost.base.errors import Unauthenticated
from bifrost.http.surface import public_url
from bifrost.identity.errors import NonceNeeded
from bifrost.identity.proofs import Proofs, SentProofs
from bifrost.protocol import dpop
from bifrost.protocol.oauth import OAuthError


@dataclass(frozen=True, slots=True)
class RequestKeys:
    proofs: Proofs

    async def of(self, request: Request) -> str:
        """The thumbprint of the key that the request was made with; empty without a proof. Raises OAuthError."""
        values = request.headers.getlist(dpop.HEADER)
        if not values:
            return ""
        sent = SentProofs(values=tuple(values), method=request.method, url=public_url(request))
        try:
            return await self.proofs.key_of(sent)
        except NonceNeeded as error:
            raise OAuthError(error.code, error.message, nonce=error.nonce) from error
        except Unauthenticated as error:
            raise OAuthError(error.code, error.message) from error
