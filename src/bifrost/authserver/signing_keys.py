"""Keys that sign JWT access tokens: one that signs, the next one, and those whose tokens still live (contract §6).

The next key is published before it signs, and a key that has signed stays published until its last token has expired;
so whoever keeps the key set for a while never meets a key it does not know. All replicas use one set: who comes first
makes it.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec
import structlog

from bifrost.authserver.errors import NextKeyTooYoung
from bifrost.base import jose
from bifrost.base.clock import SECOND, Clock
from bifrost.base.jose import PrivateKey
from bifrost.base.sealing import KeyRing

PUBLISHED_SECONDS = 300
"""How long the key set may be kept by those who read it, so that long a key is published before it signs."""

DAY_SECONDS = 86_400
USE = "signing_key"

State = Literal["next", "active", "retiring"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """`kid` is the thumbprint of the public key (RFC 7638). `ends_at` is only set for one that is retiring."""

    kid: str
    alg: str
    state: State
    public_jwk: str
    sealed_private: str = field(repr=False)
    created_at: int
    activated_at: int | None = None
    ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class Ends:
    """When a key that retires goes: at this time, or so long after the last access token ends, if that is later."""

    earliest: int
    after_tokens: int


class SigningKeyStore(Protocol):
    async def signing_keys(self) -> list[SigningKey]:
        """All that are published."""
        ...

    async def add_signing_keys(self, keys: tuple[SigningKey, ...]) -> None:
        """Add those for whose algorithm there is none in that state yet: of several processes one makes them."""
        ...

    async def rotate_signing_key(self, old: SigningKey, fresh: SigningKey, *, now: int, ends: "Ends") -> bool:
        """The old one retires, the next one signs, the fresh one is the next; or nothing, when somebody was faster."""
        ...

    async def end_signing_keys(self, alg: str, ends: "Ends") -> None:
        """The one of this algorithm that signs retires, and the next one goes: nobody signs with it any more."""

    async def replace_signing_keys(self, keys: tuple[SigningKey, ...]) -> None:
        """All that there are go, retiring ones too; these are there instead."""

    async def drop_signing_keys(self, now: int) -> None:
        """Those that have ended."""


@dataclass(slots=True)
class SigningKeys:
    store: SigningKeyStore
    ring: KeyRing
    clock: Clock
    alg: str
    """What new tokens are signed with."""
    token_seconds: int
    """How long a token lives at most: a key is published that much longer."""
    rotate_days: int
    """After which the schedule rotates; 0 for never."""
    _opened: dict[str, PrivateKey] = field(default_factory=dict, repr=False)

    async def sign(self, claims: dict[str, object]) -> str:
        """A JWT access token (RFC 9068 §2). Raises StorageUnavailable."""
        active = await self._active()
        header = {"alg": active.alg, "kid": active.kid, "typ": "at+jwt"}
        return jose.sign(self._private(active), header, claims)

    async def key_set(self) -> dict[str, list[dict[str, str]]]:
        """What is published (RFC 7517 §5); empty until the first token was signed."""
        keys = [key for key in await self.store.signing_keys() if key.ends_at is None or key.ends_at > self.clock.now()]
        return {"keys": [_published(key) for key in keys]}

    async def rotate(self, *, force: bool = False) -> SigningKey:
        """The key that signs from now on. Raises NextKeyTooYoung unless forced, StorageUnavailable."""
        active = await self._active()
        following = await self._one("next")
        now = self.clock.now()
        if following and not force and following.created_at + PUBLISHED_SECONDS * SECOND > now:
            raise NextKeyTooYoung(
                f"The next signing key was published less than {PUBLISHED_SECONDS} seconds ago; wait, or use --force."
            )
        if await self.store.rotate_signing_key(active, self._made("next"), now=now, ends=self._ends()):
            log.info("signing_key_rotated", retiring=active.kid, active=following.kid if following else "")
        await self.store.drop_signing_keys(now)
        return await self._active()

    async def replace(self) -> SigningKey:
        """For keys that leaked: none of them is published any more, and two fresh ones take their place at once.

        Who checks tokens elsewhere refuses what the old keys have signed as soon as they read the key set again. Here
        tokens are looked up, so those that are out stay good. Gives the key that signs from now on.
        Raises StorageUnavailable.
        """
        active = self._made("active")
        await self.store.replace_signing_keys((active, self._made("next")))
        log.warning("signing_keys_replaced", active=active.kid)
        return active

    async def all(self) -> list[SigningKey]:
        """Those that there are, also ended ones that nobody has dropped yet."""
        return await self.store.signing_keys()

    async def sweep(self, _before: int) -> None:
        """Called every minute: rotate what is due and drop what has ended. Raises StorageUnavailable."""
        now = self.clock.now()
        keys = await self.store.signing_keys()
        if any(key.ends_at is not None and key.ends_at <= now for key in keys):
            await self.store.drop_signing_keys(now)
        for key in keys:
            if key.state == "active" and self._is_due(key):
                await self._succeed(key)

    async def _succeed(self, key: SigningKey) -> None:
        """The next one takes over; of an algorithm that is not used here any more, none does."""
        if key.alg != self.alg:
            await self.store.end_signing_keys(key.alg, self._ends())
            log.info("signing_key_retired", retiring=key.kid)
            return
        with contextlib.suppress(NextKeyTooYoung):  # then a minute later
            await self.rotate()

    def _is_due(self, key: SigningKey) -> bool:
        since = key.activated_at or key.created_at
        return bool(self.rotate_days) and since + self.rotate_days * DAY_SECONDS * SECOND <= self.clock.now()

    def _ends(self) -> Ends:
        """Longer than the tokens that are being signed now, and than those of a time when they lived longer."""
        return Ends(self.clock.now() + (self.token_seconds + PUBLISHED_SECONDS) * SECOND, PUBLISHED_SECONDS * SECOND)

    async def _active(self) -> SigningKey:
        """The one that signs; with the first token both it and its successor are made."""
        active = await self._one("active")
        if active is None:
            await self.store.add_signing_keys((self._made("active"), self._made("next")))
            active = await self._one("active")
        if active is None:
            raise RuntimeError("there is no signing key after it was made")
        return active

    async def _one(self, state: State) -> SigningKey | None:
        keys = await self.store.signing_keys()
        return next((key for key in keys if key.alg == self.alg and key.state == state), None)

    def _made(self, state: State) -> SigningKey:
        private, now = jose.new_private_key(self.alg), self.clock.now()
        jwk = jose.public_jwk(private)
        kid = jose.thumbprint(jwk)
        return SigningKey(
            kid=kid,
            alg=self.alg,
            state=state,
            public_jwk=msgspec.json.encode(jwk).decode(),
            sealed_private=self.ring.seal(jose.private_bytes(private), use=USE, owner=kid),
            created_at=now,
            activated_at=now if state == "active" else None,
        )

    def _private(self, key: SigningKey) -> PrivateKey:
        """Opened once a process."""
        if key.kid not in self._opened:
            self._opened[key.kid] = jose.private_key(self.ring.open(key.sealed_private, use=USE, owner=key.kid))
        return self._opened[key.kid]


def _published(key: SigningKey) -> dict[str, str]:
    members: dict[str, str] = msgspec.json.decode(key.public_jwk, type=dict[str, str])
    return {**members, "use": "sig", "alg": key.alg, "kid": key.kid}
