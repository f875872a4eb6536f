"""Proofs of possession (DPoP, RFC 9449): whose key a request was made with, shown anew at every request."""

from dataclasses import dataclass

import msgspec
import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Invalid, Unauthenticated
from bifrost.base.ids import hash_secret
from bifrost.base.sealing import KeyRing
from bifrost.http import strict_json
from bifrost.identity.errors import NonceNeeded, ProofRefused
from bifrost.identity.store import ProofStore
from bifrost.protocol import dpop, jws
from bifrost.protocol.dpop import Proof
from bifrost.protocol.jws import JwsError

NONCE_SECONDS = 300
"""A nonce is good in the period it was given in, and in the next one."""
SLACK_SECONDS = 60
"""How much the clocks of two processes may differ before one forgets what the other would still take."""
_USE = "dpop_nonce"

log = structlog.get_logger()


class SentProofs(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a request's DPoP fields, its method, and the public address that it was sent to."""

    values: tuple[str, ...] = ()
    method: str = ""
    url: str = ""

    def __repr__(self) -> str:
        """Without the proofs."""
        return f"SentProofs(method={self.method!r}, url={self.url!r})"


@dataclass(frozen=True, slots=True)
class Proofs:
    store: ProofStore
    ring: KeyRing
    clock: Clock
    with_nonces: bool
    """Whether a proof must contain what we gave the client lately, so that none can be made in advance (§8)."""

    async def key_of(self, sent: SentProofs, *, access_token: str = "", bound_to: str = "") -> str:
        """The thumbprint of the key that the request was made with. With an access token, the one it is bound to.

        Raises ProofRefused, NonceNeeded, StorageUnavailable; Unauthenticated when the token is bound to another key.
        """
        proof = self.checked(sent, access_token)
        if bound_to and proof.jkt != bound_to:
            raise Unauthenticated("The access token is bound to another key.")
        # the last step: only what is right in every other way is remembered
        await self.spend(proof)
        return proof.jkt

    async def spend(self, proof: Proof) -> None:
        """Remember it, so that it is used once (§11.1). Raises ProofRefused, StorageUnavailable."""
        used = hash_secret(f"{proof.jkt} {proof.jti}")
        if not await self.store.use_proof(used, (proof.issued_at + dpop.WINDOW_SECONDS + 1) * SECOND):
            raise ProofRefused("The DPoP proof was used before.")

    async def sweep(self, _before: int) -> None:
        """Called every minute: a proof that is too old to be used needs no remembering. Raises StorageUnavailable."""
        await self.store.drop_proofs(self.clock.now() - SLACK_SECONDS * SECOND)

    def checked(self, sent: SentProofs, access_token: str = "") -> Proof:
        """A proof that is right; whether it was used before, `spend` finds out. Raises ProofRefused, NonceNeeded."""
        if len(sent.values) != 1:
            raise ProofRefused("Send exactly one DPoP proof.")
        try:
            token = jws.split(sent.values[0])
            header, claims = strict_json.loads(token.header), strict_json.loads(token.payload)
            if not isinstance(header, dict) or not isinstance(claims, dict):
                raise JwsError("its parts are not JSON objects")
            now = self.clock.now() // SECOND
            proof = dpop.checked(
                token, header, claims, method=sent.method, url=sent.url, now=now, access_token=access_token
            )
        except (JwsError, Invalid) as error:
            log.info("dpop_proof_refused", reason=str(error))
            reason = str(error) if isinstance(error, JwsError) else "its parts are not JSON objects"
            raise ProofRefused(f"The DPoP proof is refused: {reason}.") from error
        if self.with_nonces and not self._is_ours(proof.nonce):
            raise NonceNeeded(self._nonce(self._period()))
        return proof

    def _is_ours(self, nonce: str) -> bool:
        period = self._period()
        named, _, mac = nonce.partition(".")
        return named in (str(period), str(period - 1)) and self.ring.made(named, mac, use=_USE)

    def _nonce(self, period: int) -> str:
        """The same on every replica, and kept nowhere."""
        return f"{period}.{self.ring.mac(str(period), use=_USE)}"

    def _period(self) -> int:
        return self.clock.now() // (NONCE_SECONDS * SECOND)
