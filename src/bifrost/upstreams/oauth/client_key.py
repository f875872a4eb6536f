"""The installation's own key towards authorization servers that know us by a signature (`private_key_jwt`, RFC 7523).

Made when it is first needed, kept sealed, the same for all processes. The public half is served at `JWKS`.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from bifrost.base import ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.sealing import encode
from bifrost.protocol import oauth

JWKS = "/oauth/client-jwks.json"
LIFETIME_SECONDS = 60
COORDINATE_BYTES = 32


class ClientKeyStore(Protocol):
    async def client_key(self) -> bytes | None: ...

    async def keep_client_key(self, key: bytes) -> bytes:
        """Keep it unless there is one already; the one that is kept."""
        ...


@dataclass(slots=True)
class ClientKey:
    store: ClientKeyStore
    clock: Clock
    _key: ec.EllipticCurvePrivateKey | None = field(default=None, repr=False)

    async def jwks(self) -> dict[str, Any]:
        """RFC 7517 §5, with the public key alone."""
        return {"keys": [_public(await self._private())]}

    async def assertion(self, client_id: str, audience: str) -> str:
        """RFC 7523 §3: signed for one authorization server, good for a minute and for one use."""
        key, now = await self._private(), self.clock.now() // SECOND
        header = {"alg": oauth.ES256, "typ": "JWT", "kid": _public(key)["kid"]}
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": ids.new_secret(),
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        signed = f"{_part(header)}.{_part(claims)}"
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(COORDINATE_BYTES, "big") + s.to_bytes(COORDINATE_BYTES, "big")
        return f"{signed}.{encode(signature)}"

    async def _private(self) -> ec.EllipticCurvePrivateKey:
        if self._key is None:
            kept = await self.store.client_key() or await self.store.keep_client_key(_generated())
            key = load_der_private_key(kept, None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError("the stored client key is of another kind")
            self._key = key
        return self._key


def _generated() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _public(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """RFC 7518 §6.2; `kid` is the thumbprint of RFC 7638."""
    numbers = key.public_key().public_numbers()
    x, y = (encode(number.to_bytes(COORDINATE_BYTES, "big")) for number in (numbers.x, numbers.y))
    thumbprint = sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest()
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": oauth.ES256, "kid": encode(thumbprint)}


def _part(value: dict[str, Any]) -> str:
    return encode(msgspec.json.encode(value))
