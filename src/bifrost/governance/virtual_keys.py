"""Virtual keys: made once, shown once, stored as a hash."""

import re
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from bifrost.base import events, ids
from bifrost.base.clock import Clock
from bifrost.governance import limits
from bifrost.governance.errors import (
    UnknownUpstreams,
    UnknownVirtualKey,
    UnknownVirtualMcp,
    VirtualKeyTaken,
    WeakVirtualKey,
)
from bifrost.governance.models import Budget, McpConfig, RateLimit, VirtualKey, VirtualMcp
from bifrost.governance.named_upstreams import NamedUpstreams
from bifrost.governance.store import GovernanceStore

HINT_CHARACTERS = 10
_FORM = re.compile(r"sk-bf-[A-Za-z0-9_-]{27,250}")
"""27 characters of base64url carry 160 bits; a shorter value could be guessed from its hash."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVirtualKey:
    """What is asked for; an empty id or value is made up."""

    name: str
    id: str = ""
    value: str = ""
    description: str = ""
    is_active: bool = True
    expires_at: int | None = None
    mcp_configs: tuple[McpConfig, ...] = ()
    rate_limit: RateLimit | None = None
    budgets: tuple[Budget, ...] = ()
    virtual_mcps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VirtualKeys:
    store: GovernanceStore
    clock: Clock
    named: NamedUpstreams = field(default_factory=NamedUpstreams)

    async def create(self, wanted: NewVirtualKey, *, before_upstreams: bool = False) -> tuple[VirtualKey, str]:
        """The key and, this once, its value; `before_upstreams`: it may name some that are not there yet.

        Raises WeakVirtualKey, InvalidLimit, UnknownVirtualMcp, UnknownUpstreams, VirtualKeyTaken.
        """
        if not before_upstreams:
            await check_upstreams(self.named, wanted.mcp_configs)
        check_virtual_mcps(wanted.virtual_mcps, await self.store.stored_virtual_mcps() if wanted.virtual_mcps else ())
        value = wanted.value or ids.new_virtual_key()
        key = self._key(wanted, value)
        if not await self.store.add_virtual_key(key, ids.hash_secret(value), ""):
            raise VirtualKeyTaken(f"A virtual key with this id, name or value exists already: {wanted.name}")
        log.info("virtual_key_created", virtual_key_id=key.id, name=key.name)
        return key, value

    async def configure(self, wanted: NewVirtualKey, config_mac: str) -> None:
        """Make the key as the configuration says, unless it was changed otherwise since.

        An upstream that it names may come later. Raises WeakVirtualKey, InvalidLimit.
        """
        key, value_hash = self._key(wanted, wanted.value), ids.hash_secret(wanted.value)
        if await self.store.add_virtual_key(key, value_hash, config_mac):
            events.tell(events.Name.VIRTUAL_KEY_CREATE, target=key.id, name_of_key=key.name)
            log.info("virtual_key_created", virtual_key_id=key.id, name=key.name)
        elif await self.store.reconfigure_virtual_key(key, value_hash, config_mac):
            changed = await self.store.find_virtual_key(key.name) or key
            events.tell(events.Name.VIRTUAL_KEY_CHANGE, target=changed.id, name_of_key=key.name)
            log.info("virtual_key_changed", virtual_key_id=changed.id, name=key.name)
        else:
            return
        if missing := await self.named.missing(key.mcp_configs):
            log.warning("virtual_key_names_no_upstream", name=key.name, reason=missing)

    def _key(self, wanted: NewVirtualKey, value: str) -> VirtualKey:
        check_value(value, wanted.name)
        now = self.clock.now()
        limits.check(wanted.rate_limit, wanted.budgets)
        return VirtualKey(
            id=wanted.id or ids.new_id("vk_"),
            name=wanted.name,
            description=wanted.description,
            value_hint=hint(value),
            is_active=wanted.is_active,
            expires_at=wanted.expires_at,
            mcp_configs=wanted.mcp_configs,
            rate_limit=wanted.rate_limit,
            budgets=wanted.budgets,
            virtual_mcps=wanted.virtual_mcps,
            created_at=now,
            updated_at=now,
        )

    async def presented(self, value: str) -> VirtualKey | None:
        """The key with this value, usable or not; None when there is none.

        The look-up is by hash, so its time tells nothing about a stored value.
        """
        if not _FORM.fullmatch(value):
            return None
        return await self.store.virtual_key_by_hash(ids.hash_secret(value))

    async def within(self, key: VirtualKey) -> tuple[tuple[McpConfig, ...], ...]:
        """What confines the key: everything that its virtual MCPs hold together. One that is gone holds nothing."""
        if not key.virtual_mcps:
            return ()
        attached = [one for one in await self.store.virtual_mcps() if one.name in key.virtual_mcps]
        return (tuple(config for one in attached for config in one.filter),)

    def by_id(self, key_id: str) -> Coroutine[Any, Any, VirtualKey | None]:
        return self.store.virtual_key(key_id)

    async def all(self) -> list[VirtualKey]:
        return await self.store.virtual_keys()

    async def revoke(self, id_or_name: str) -> VirtualKey:
        """Deactivate; the next request with it is refused. Raises UnknownVirtualKey."""
        key = await self.store.find_virtual_key(id_or_name)
        if key is None:
            raise UnknownVirtualKey(f"There is no virtual key with the id or name {id_or_name}.")
        await self.store.deactivate_virtual_key(key.id, self.clock.now())
        log.info("virtual_key_revoked", virtual_key_id=key.id, name=key.name)
        return key


def check_virtual_mcps(names: Sequence[str], known: Sequence[VirtualMcp]) -> None:
    """Raises UnknownVirtualMcp."""
    for name in names:
        if all(one.name != name for one in known):
            raise UnknownVirtualMcp(f"There is no virtual MCP named {name[:100]}.", param="virtual_mcps")


async def check_upstreams(named: NamedUpstreams, configs: Sequence[McpConfig], had: Sequence[McpConfig] = ()) -> None:
    """Raises UnknownUpstreams."""
    if missing := await named.missing(configs, had):
        raise UnknownUpstreams(missing, param="mcp_configs")


def hint(value: str) -> str:
    """The beginning of a value, by which people tell keys apart."""
    return value[:HINT_CHARACTERS] + "…"


def check_value(value: str, name: str) -> None:
    """`name` is the key's, for the sentence. Raises WeakVirtualKey."""
    if not _FORM.fullmatch(value):
        raise WeakVirtualKey(
            f"The value of the virtual key {name} must be sk-bf- and at least 27 letters, digits, - or _, for example "
            "sk-bf- and what `openssl rand -hex 20` prints.",
            param="value",
        )


def looks_like_virtual_key(value: str) -> bool:
    return value.startswith(ids.VIRTUAL_KEY)
