"""A client's key and the DPoP proofs it makes (RFC 9449). Another library signs than the one that checks."""

import base64
import hashlib
import json
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER
from tests.support.oauth import TOKEN

_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


class ProofKey:
    def __init__(self, clock: FakeClock, alg: str = "ES256") -> None:
        self._clock = clock
        self.alg = alg
        self._key: Any
        if alg in ("RS256", "PS256"):
            self._key = rsa.generate_private_key(65_537, 2_048)
        elif alg == "EdDSA":
            self._key = ed25519.Ed25519PrivateKey.generate()
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwk(self) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name(self.alg)
        jwk: dict[str, Any] = algorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {name: jwk[name] for name in _MEMBERS[jwk["kty"]]}

    @property
    def private_jwk(self) -> dict[str, Any]:
        jwk: dict[str, Any] = jwt.get_algorithm_by_name(self.alg).to_jwk(self._key, as_dict=True)
        return jwk

    @property
    def jkt(self) -> str:
        """RFC 7638 §3."""
        return _digest(json.dumps(self.jwk, sort_keys=True, separators=(",", ":")))

    def proof(
        self,
        url: str = f"{ISSUER}{TOKEN}",
        method: str = "POST",
        *,
        token: str = "",
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A correct proof; what is changed to None is left out."""
        said = {
            "jti": str(uuid.uuid4()),
            "htm": method,
            "htu": url,
            "iat": self._clock.now() // 1_000,
            "ath": ath(token) if token else None,
            **claims,
        }
        top = {"typ": "dpop+jwt", "jwk": self.jwk, **(header or {})}
        kept = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(kept, self._key, self.alg, {name: v for name, v in top.items() if v is not None})

    def at_token(self, **changes: Any) -> dict[str, str]:
        """The header of a token request."""
        return {"DPoP": self.proof(**changes)}

    def at_mcp(self, token: str, path: str = "/mcp", scheme: str = "DPoP", **changes: Any) -> dict[str, str]:
        """The headers of a request to an MCP endpoint."""
        url = changes.pop("url", f"{ISSUER}{path}")
        return {"Authorization": f"{scheme} {token}", "DPoP": self.proof(url, token=token, **changes)}


def ath(token: str) -> str:
    """RFC 9449 §4.2."""
    return _digest(token)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
