"""Identifiers (not secret) and secrets (only their hash is stored); the one place that draws randomness."""

import hashlib
import hmac
import os
import secrets
from collections import deque

ACCESS_TOKEN = "bfat_"  # noqa: S105 - the prefix by which scanners find a leaked token
REFRESH_TOKEN = "bfrt_"  # noqa: S105 - the same
AUTHORIZATION_CODE = "bfac_"
ADMIN_TOKEN = "bfad_"  # noqa: S105 - the same
ADMIN_SESSION = "bfas_"
SETUP_LINK = "bfsu_"
VIRTUAL_KEY = "sk-bf-"

ID_CHARACTERS = 22
"""Of base64url, six random bits each: more than the 122 of a random UUID."""
IDS_AT_ONCE = 256
SECRET_BYTES = 32
"""256 random bits; contract §6 asks for at least 160."""


_drawn: deque[str] = deque()
"""Of ids only, which need not be secret: every request has one, and asking the system for each costs more than it."""


def new_id(prefix: str) -> str:
    """A name for a row; unguessable enough to be unique, never a credential."""
    while True:
        try:
            return prefix + _drawn.popleft()  # no two threads get the same
        except IndexError:
            _draw()


def _draw() -> None:
    text = secrets.token_urlsafe(IDS_AT_ONCE * ID_CHARACTERS * 6 // 8)
    _drawn.extend([text[start : start + ID_CHARACTERS] for start in range(0, len(text), ID_CHARACTERS)])


os.register_at_fork(after_in_child=_drawn.clear)  # or two processes would give the same


def new_secret(prefix: str = "") -> str:
    return f"{prefix}{secrets.token_urlsafe(SECRET_BYTES)}"


def new_virtual_key() -> str:
    return new_secret(VIRTUAL_KEY)


def random_bytes(count: int) -> bytes:
    return secrets.token_bytes(count)


def hash_secret(secret: str) -> str:
    """What is stored of a secret that we issue: SHA-256, enough for values of 160 random bits and more."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(left: str, right: str) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return hmac.compare_digest(left.encode(), right.encode())
