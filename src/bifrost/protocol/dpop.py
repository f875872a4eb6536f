"""DPoP proofs (RFC 9449): a JWT with which a client shows, for one request, that it holds a key.

The key is in the proof itself, so a proof alone says nothing about who sends it: it is worth something only where a
token is bound to the same key, by the key's thumbprint (`jkt`).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bifrost.base.sealing import encode
from bifrost.protocol import jws
from bifrost.protocol.jws import JwsError, Unverified

SCHEME = "DPoP"
HEADER = "DPoP"
NONCE_HEADER = "DPoP-Nonce"
TYPE = "dpop+jwt"
INVALID_PROOF = "invalid_dpop_proof"
USE_NONCE = "use_dpop_nonce"
ALGORITHMS = jws.ALGORITHMS
"""`dpop_signing_alg_values_supported` (RFC 9449 §5.1): asymmetric ones only."""

WINDOW_SECONDS = 300
"""How far `iat` may be from our time, either way: clocks differ, and a proof is used once within it anyway."""
MAX_ID_CHARACTERS = 512

_HTTP_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#\\@\s]+)(?P<path>[^?#\s]*)(?:[?#].*)?", re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_DEFAULT_PORT = {"http": ":80", "https": ":443"}
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a good proof says. `jkt` is the thumbprint of its key, `issued_at` is in seconds."""

    jkt: str
    jti: str
    issued_at: int
    nonce: str


def checked(
    token: Unverified,
    header: Mapping[str, Any],
    claims: Mapping[str, Any],
    *,
    method: str,
    url: str,
    now: int,
    access_token: str = "",
) -> Proof:
    """RFC 9449 §4.3, all but the nonce and whether it was used before. `now` in seconds. Raises JwsError."""
    if header.get("typ") != TYPE:
        raise JwsError(f"its typ must be {TYPE}")
    key = jws.public_key(header.get("jwk"))
    # the proof's key is the one in it, so an id of a key means nothing here
    jws.check(token, {name: header[name] for name in ("alg", "crit") if name in header}, (key,))
    if claims.get("htm") != method:
        raise JwsError("its htm is not the method of this request")
    target, meant = claims.get("htu"), normalized(url)
    if meant is None or not isinstance(target, str) or normalized(target) != meant:
        raise JwsError("its htu is not the address of this request")
    if access_token and claims.get("ath") != encode(hashlib.sha256(access_token.encode()).digest()):
        raise JwsError("its ath is not the hash of this access token")
    return Proof(
        jkt=jws.thumbprint(key), jti=_id(claims), issued_at=_issued_at(claims, now), nonce=_text(claims.get("nonce"))
    )


def normalized(url: str) -> str | None:
    """Without query and fragment, as RFC 3986 §6.2.2 and §6.2.3 compare; None for what is no http(s) address."""
    match = _HTTP_URL.fullmatch(url)
    if match is None:
        return None
    scheme, authority = match["scheme"].lower(), match["authority"].lower()
    return f"{scheme}://{authority.removesuffix(_DEFAULT_PORT[scheme])}{_ESCAPE.sub(_escape, match['path']) or '/'}"


def is_thumbprint(text: str) -> bool:
    """Whether it can be a `dpop_jkt` (RFC 9449 §10): the base64url of a SHA-256."""
    return bool(_THUMBPRINT.fullmatch(text))


def _escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()


def _id(claims: Mapping[str, Any]) -> str:
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_ID_CHARACTERS:
        raise JwsError("its jti is missing")
    return jti


def _issued_at(claims: Mapping[str, Any], now: int) -> int:
    issued = claims.get("iat")
    if not isinstance(issued, int | float):
        raise JwsError("its iat is missing")
    if abs(issued - now) > WINDOW_SECONDS:
        raise JwsError(f"its iat is more than {WINDOW_SECONDS} seconds away from this server's time")
    return int(issued)


def _text(nonce: object) -> str:
    return nonce if isinstance(nonce, str) else ""
