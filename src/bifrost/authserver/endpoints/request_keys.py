"""DPoP at the authorization server's endpoints (RFC 9449 §5): the key of a request, and refusals in OAuth's form."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request

from bifrost.authserver.request_key import NO_KEY, RequestKey
from bifrost.base.errors import Unauthenticated
from bifrost.http.surface import public_url
from bifrost.identity.errors import NonceNeeded
from bifrost.identity.proofs import Proofs, SentProofs
from bifrost.protocol import dpop
from bifrost.protocol.dpop import Proof
from bifrost.protocol.oauth import OAuthError


@dataclass(frozen=True, slots=True)
class RequestKeys:
    proofs: Proofs

    def of(self, request: Request) -> RequestKey:
        """The key that the request was made with, by a proof that is yet to be spent. Raises OAuthError."""
        values = request.headers.getlist(dpop.HEADER)
        if not values:
            return NO_KEY
        sent = SentProofs(values=tuple(values), method=request.method, url=public_url(request))
        with _as_oauth():
            proof = self.proofs.checked(sent)
        return RequestKey(jkt=proof.jkt, spend=lambda: self._spend(proof))

    async def _spend(self, proof: Proof) -> None:
        with _as_oauth():
            await self.proofs.spend(proof)


@contextmanager
def _as_oauth() -> Iterator[None]:
    try:
        yield
    except NonceNeeded as error:
        raise OAuthError(error.code, error.message, nonce=error.nonce) from error
    except Unauthenticated as error:
        raise OAuthError(error.code, error.message) from error
