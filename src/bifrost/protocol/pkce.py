"""Proof Key for Code Exchange (RFC 7636), S256 only."""

import base64
import hashlib
import hmac
import re

METHOD = "S256"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def is_challenge(value: str) -> bool:
    """RFC 7636 §4.2 with S256: the base64url of a SHA-256, so 43 characters that stand for 32 bytes exactly."""
    return bool(_CHALLENGE.fullmatch(value)) and _encode(base64.urlsafe_b64decode(value + "=")) == value


def verifies(verifier: str, challenge: str) -> bool:
    """RFC 7636 §4.6. A verifier outside the grammar of §4.1 never verifies."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    return hmac.compare_digest(challenge_of(verifier).encode(), challenge.encode())


def challenge_of(verifier: str) -> str:
    """RFC 7636 §4.2."""
    return _encode(hashlib.sha256(verifier.encode()).digest())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
