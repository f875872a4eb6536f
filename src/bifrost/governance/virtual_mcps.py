"""Virtual MCPs: some upstreams, or some of their tools, as one endpoint with an address and an audience of its own.

A virtual MCP grants nothing. It narrows what is seen at its address, and, attached to a virtual key, what that key
reaches anywhere: upstream, request headers, key and virtual MCP must all agree (contract §7).
"""

import re
from dataclasses import dataclass, field

import structlog

from bifrost.base import events, ids
from bifrost.base.clock import Clock
from bifrost.governance.errors import UnknownVirtualKey, UnknownVirtualMcp, VirtualMcpInvalid, VirtualMcpTaken
from bifrost.governance.models import McpConfig, VirtualMcp, VirtualMcpChanges
from bifrost.governance.named_upstreams import NamedUpstreams
from bifrost.governance.store import VirtualMcpStore

MAX_UPSTREAMS = 100
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVirtualMcp:
    """What is asked for; an empty id is made up, an empty slug made from the name."""

    name: str
    id: str = ""
    description: str = ""
    endpoint_slug: str = ""
    mcp_configs: tuple[McpConfig, ...] = ()
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class VirtualMcps:
    store: VirtualMcpStore
    clock: Clock
    named: NamedUpstreams = field(default_factory=NamedUpstreams)

    async def by_slug(self, slug: str) -> VirtualMcp | None:
        """The one that answers at /mcp/{slug}; a disabled one does not."""
        found = await self.store.virtual_mcps()
        return next((one for one in found if one.endpoint_slug == slug and not one.disabled), None)

    async def all(self) -> tuple[VirtualMcp, ...]:
        """As the database has them now, by name."""
        return await self.store.stored_virtual_mcps()

    async def get(self, virtual_mcp_id: str) -> VirtualMcp:
        """Raises UnknownVirtualMcp."""
        found = await self.store.stored_virtual_mcps()
        return _known(next((one for one in found if one.id == virtual_mcp_id), None), virtual_mcp_id)

    async def create(self, wanted: NewVirtualMcp) -> VirtualMcp:
        """Raises VirtualMcpInvalid, VirtualMcpTaken."""
        virtual_mcp = self._made(wanted)
        await self._check_upstreams(wanted.mcp_configs)
        await self.store.add_virtual_mcp(virtual_mcp, "")
        log.info("virtual_mcp_created", virtual_mcp_id=virtual_mcp.id, name=virtual_mcp.name)
        return virtual_mcp

    async def configure(self, wanted: NewVirtualMcp, config_mac: str) -> None:
        """Make it as the configuration says, unless it was changed otherwise since.

        Upstreams that are not there (yet) offer nothing. Raises VirtualMcpInvalid, VirtualMcpTaken.
        """
        virtual_mcp = self._made(wanted)
        if await self._reconfigured(virtual_mcp, config_mac):
            return
        try:
            await self.store.add_virtual_mcp(virtual_mcp, config_mac)
        except VirtualMcpTaken:
            # another process that starts at the same moment may have been faster
            if not await self._reconfigured(virtual_mcp, config_mac):
                raise
            return
        events.tell(events.Name.VIRTUAL_MCP_CREATE, target=virtual_mcp.id, name_of_virtual_mcp=virtual_mcp.name)
        log.info("virtual_mcp_created", virtual_mcp_id=virtual_mcp.id, name=virtual_mcp.name)

    async def _reconfigured(self, virtual_mcp: VirtualMcp, config_mac: str) -> bool:
        """Whether there is one of this name; as the configuration says, if the configuration may say it."""
        changed = await self.store.reconfigure_virtual_mcp(virtual_mcp, config_mac)
        if changed:
            events.tell(events.Name.VIRTUAL_MCP_CHANGE, target=changed, name_of_virtual_mcp=virtual_mcp.name)
            log.info("virtual_mcp_changed", virtual_mcp_id=changed, name=virtual_mcp.name)
        return changed is not None

    async def change(self, virtual_mcp_id: str, changes: VirtualMcpChanges) -> VirtualMcp:
        """As it is then; from now on the configuration file does not change it any more.

        Raises UnknownVirtualMcp, VirtualMcpInvalid, VirtualMcpTaken, VirtualMcpAttached.
        """
        if changes.endpoint_slug is not None:
            _check_slug(changes.endpoint_slug)
        if changes.mcp_configs is not None:
            check_configs(changes.mcp_configs)
            await self._check_upstreams(changes.mcp_configs, (await self.get(virtual_mcp_id)).mcp_configs)
        changed = await self.store.change_virtual_mcp(virtual_mcp_id, changes, self.clock.now())
        virtual_mcp = _known(changed, virtual_mcp_id)
        log.info("virtual_mcp_changed", virtual_mcp_id=virtual_mcp.id, name=virtual_mcp.name)
        return virtual_mcp

    async def delete(self, virtual_mcp_id: str) -> None:
        """With every grant for its address. Raises UnknownVirtualMcp, VirtualMcpAttached."""
        deleted = _known(await self.store.delete_virtual_mcp(virtual_mcp_id, self.clock.now()), virtual_mcp_id)
        log.info("virtual_mcp_deleted", virtual_mcp_id=deleted.id, name=deleted.name)

    async def attach(self, virtual_mcp_id: str, key_id: str) -> VirtualMcp:
        """From now on the key reaches nothing but what is attached to it.

        Raises UnknownVirtualMcp, UnknownVirtualKey.
        """
        virtual_mcp = await self.get(virtual_mcp_id)
        if not await self.store.attach(virtual_mcp_id, key_id, self.clock.now()):
            raise _no_key(key_id)
        log.info("virtual_mcp_attached", virtual_mcp_id=virtual_mcp_id, virtual_key_id=key_id)
        return virtual_mcp

    async def detach(self, virtual_mcp_id: str, key_id: str) -> VirtualMcp:
        """With its last one, the key is confined no more. Raises UnknownVirtualMcp, UnknownVirtualKey."""
        virtual_mcp = await self.get(virtual_mcp_id)
        if not await self.store.detach(virtual_mcp_id, key_id, self.clock.now()):
            raise _no_key(key_id)
        log.info("virtual_mcp_detached", virtual_mcp_id=virtual_mcp_id, virtual_key_id=key_id)
        return virtual_mcp

    def _made(self, wanted: NewVirtualMcp) -> VirtualMcp:
        slug, now = wanted.endpoint_slug or wanted.name.lower(), self.clock.now()
        _check_slug(slug)
        check_configs(wanted.mcp_configs)
        return VirtualMcp(
            id=wanted.id or ids.new_id("vmcp_"),
            name=wanted.name,
            description=wanted.description,
            endpoint_slug=slug,
            mcp_configs=wanted.mcp_configs,
            disabled=wanted.disabled,
            created_at=now,
            updated_at=now,
        )

    async def _check_upstreams(self, configs: tuple[McpConfig, ...], had: tuple[McpConfig, ...] = ()) -> None:
        if missing := await self.named.missing(configs, had):
            raise VirtualMcpInvalid(missing, param="mcp_configs")


def check_configs(configs: tuple[McpConfig, ...]) -> None:
    """Raises VirtualMcpInvalid."""
    names = [config.mcp_client_name for config in configs]
    if not 1 <= len(names) <= MAX_UPSTREAMS:
        raise VirtualMcpInvalid(f"A virtual MCP holds 1 to {MAX_UPSTREAMS} MCP clients.", param="mcp_configs")
    if len(set(names)) < len(names):
        raise VirtualMcpInvalid("An MCP client is named twice in mcp_configs.", param="mcp_configs")


def _check_slug(slug: str) -> None:
    if not _SLUG.fullmatch(slug):
        raise VirtualMcpInvalid(
            "The endpoint_slug, by default the name in lower case, is a-z, 0-9, - and _, at most 64, beginning with a "
            "letter or digit.",
            param="endpoint_slug",
        )


def _known(virtual_mcp: VirtualMcp | None, virtual_mcp_id: str) -> VirtualMcp:
    if virtual_mcp is None:
        raise UnknownVirtualMcp(f"There is no virtual MCP with the id {virtual_mcp_id[:100]}.", param="id")
    return virtual_mcp


def _no_key(key_id: str) -> UnknownVirtualKey:
    return UnknownVirtualKey(f"There is no virtual key with the id {key_id[:100]}.", param="vk_id")
