"""Authenticated encryption with a key ring: what we keep is sealed, and bound to where it belongs.

The first key of the ring seals; every key opens, so a ring rotates by putting a new key in front. Each use has a key
of its own, derived from the ring's key and the name of the use. A ring may have a source that tells when its keys have
changed; it is asked before anything that is kept is sealed, and when something was sealed with a key that the ring
does not know.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bifrost.base.ids import random_bytes, same

KEY_BYTES = 32
KEY_ID_BYTES = 4
NONCE_BYTES = 12
MAC_BYTES = 24
LOOK_SECONDS = 0.1
RECENT_MACS = 4_096
"""A cookie comes with every step of a flow, and to tell whether it was made here costs as much as a statement."""

RECENT_CHARACTERS = 256
"""Of what a MAC is kept for."""

VERSION = "v1"


class SealBrokenError(Exception):
    """Not sealed by this ring, or sealed for another place."""


class KeyRing:
    """Keys of 32 bytes, the sealing one first. `repr` shows key ids only."""

    def __init__(self, keys: Sequence[bytes], changed: Callable[[], Sequence[bytes] | None] = lambda: None) -> None:
        """`changed` gives the keys of today when they are others than before, else None."""
        self._changed = changed
        self._looked_at = -LOOK_SECONDS
        self._use(keys)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    @property
    def sealing_id(self) -> str:
        """The id of the key that seals."""
        return self._sealing_id

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the sealing one first."""
        return self._ids

    def _use(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a key ring needs at least one key, each of {KEY_BYTES} bytes")
        self._keys = {key_id(key): key for key in keys}
        self._ids = tuple(self._keys)
        self._sealing_id = self._ids[0]

    def _refresh(self) -> None:
        self._looked_at = time.monotonic()
        changed = self._changed()
        if changed is not None:
            self._use(changed)

    def _knows(self, ring_id: str) -> bool:
        if ring_id not in self._keys:
            self._refresh()
        return ring_id in self._keys

    def seal(self, plain: bytes, *, use: str, owner: str) -> str:
        """AES-256-GCM with a fresh nonce; `owner` is associated data: the row must keep it to be opened."""
        self._refresh()
        nonce = random_bytes(NONCE_BYTES)
        sealed = AESGCM(self._derived(self._sealing_id, use)).encrypt(nonce, plain, owner.encode())
        return f"{sealed_prefix(self._sealing_id)}{encode(nonce + sealed)}"

    def open(self, sealed: str, *, use: str, owner: str) -> bytes:
        """Raises SealBrokenError."""
        version, _, rest = sealed.partition(".")
        ring_id, _, body = rest.partition(".")
        if version != VERSION or not self._knows(ring_id):
            raise SealBrokenError
        raw = decode(body)
        try:
            return AESGCM(self._derived(ring_id, use)).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError from error

    def seal_name(self, plain: bytes, *, use: str) -> str:
        """AES-SIV (RFC 5297), deterministic: the same bytes give the same name, as client ids want it.

        A new key in front is noticed a moment later than by `seal`: no row waits for a name to be sealed anew.
        """
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._refresh()
        siv = _siv(self._keys[self._sealing_id], use).encrypt(plain, None)
        return encode(decode(self._sealing_id) + siv)

    def open_name(self, name: str, *, use: str) -> tuple[bytes, str]:
        """The bytes and the id of the key that sealed them. Raises SealBrokenError."""
        raw = decode(name)
        ring_id = encode(raw[:KEY_ID_BYTES])
        if not self._knows(ring_id) or encode(raw) != name:
            raise SealBrokenError
        try:
            return _siv(self._keys[ring_id], use).decrypt(raw[KEY_ID_BYTES:], None), ring_id
        except InvalidTag as error:
            raise SealBrokenError from error

    def mac(self, data: str, *, use: str, ring_id: str = "") -> str:
        made = _recent_mac if len(data) <= RECENT_CHARACTERS else _mac
        return made(self._derived(ring_id or self._sealing_id, use), data)

    def made(self, data: str, mac: str, *, use: str) -> bool:
        """Whether any key of the ring made this MAC."""
        if not self._made(data, mac, use):
            self._refresh()  # a MAC does not say whose it is
            return self._made(data, mac, use)
        return True

    def _made(self, data: str, mac: str, use: str) -> bool:
        return any(same(self.mac(data, use=use, ring_id=ring_id), mac) for ring_id in self._keys)

    def _derived(self, ring_id: str, use: str) -> bytes:
        return _derive(self._keys[ring_id], use, KEY_BYTES)


def _mac(key: bytes, data: str) -> str:
    return encode(hmac.digest(key, data.encode(), hashlib.sha256)[:MAC_BYTES])


_recent_mac = lru_cache(maxsize=RECENT_MACS)(_mac)


@lru_cache(maxsize=256)
def _derive(key: bytes, use: str, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=f"bifrost:{use}".encode()).derive(key)


@lru_cache(maxsize=256)
def _siv(key: bytes, use: str) -> AESSIV:
    return AESSIV(_derive(key, use, 2 * KEY_BYTES))


def sealed_prefix(ring_id: str) -> str:
    """What everything begins with that the key of this id has sealed."""
    return f"{VERSION}.{ring_id}."


def seal_with(secret: str, plain: bytes, *, use: str) -> str:
    """AES-256-GCM under a key that only this secret gives: without it nobody opens what is kept, not even we.

    `secret` has at least 160 random bits, as everything that we issue.
    """
    nonce = random_bytes(NONCE_BYTES)
    return encode(nonce + AESGCM(_secret_key(secret, use)).encrypt(nonce, plain, None))


def open_with(secret: str, sealed: str, *, use: str) -> bytes:
    """Raises SealBrokenError."""
    raw = decode(sealed)
    try:
        return AESGCM(_secret_key(secret, use)).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None)
    except (InvalidTag, ValueError) as error:
        raise SealBrokenError from error


def _secret_key(secret: str, use: str) -> bytes:
    return hmac.digest(secret.encode(), f"bifrost:{use}".encode(), hashlib.sha256)


def key_id(key: bytes) -> str:
    return encode(hashlib.sha256(b"bifrost key id" + key).digest()[:KEY_ID_BYTES])


def name_key_id(name: str) -> str:
    """The id of the key that sealed this name. Raises SealBrokenError."""
    return encode(decode(name)[:KEY_ID_BYTES])


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """base64url without padding. Raises SealBrokenError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise SealBrokenError from error
