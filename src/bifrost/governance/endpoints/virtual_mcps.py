"""Virtual MCPs in the management API (contract §9)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request

from bifrost.base.errors import Invalid
from bifrost.governance.key_administration import KeyAccounts
from bifrost.governance.models import ALL_TOOLS, McpConfig, VirtualKey, VirtualMcp, VirtualMcpChanges
from bifrost.governance.virtual_mcps import MAX_UPSTREAMS, NewVirtualMcp, VirtualMcps
from bifrost.http.api import rfc3339
from bifrost.http.commands import Command, Paging, named, sent
from bifrost.http.public_urls import PublicUrls

_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Description = Annotated[str, Meta(max_length=1000)]
_Slug = Annotated[str, Meta(max_length=64, description="Its endpoint is /mcp/{endpoint_slug}.")]
_Text = Annotated[str, Meta(min_length=1, max_length=256)]


class HeldConfigBody(Command, frozen=True, kw_only=True):
    mcp_client_name: Annotated[_Text, Meta(description="Name of an upstream.")]
    tools_to_execute: Annotated[tuple[_Text, ...], Meta(max_length=1000, description="Some of its tools.")] = (
        ALL_TOOLS,
    )


_Configs = Annotated[tuple[HeldConfigBody, ...], Meta(max_length=MAX_UPSTREAMS, description="What it holds.")]


class VirtualMcpsQuery(Paging, frozen=True, kw_only=True):
    search: Annotated[str, Meta(max_length=100, description="Part of the name, slug or description.")] = ""


class NewVirtualMcpBody(Command, frozen=True, kw_only=True):
    name: _Name
    mcp_configs: _Configs
    description: _Description = ""
    endpoint_slug: Annotated[_Slug, Meta(description="Default: the name in lower case.")] = ""
    disabled: bool = False


class VirtualMcpChangesBody(Command, frozen=True, kw_only=True):
    """Only what is sent is changed. What cannot be changed may be sent back as it was read."""

    id: str | UnsetType = UNSET
    name: _Name | UnsetType = UNSET
    description: _Description | UnsetType = UNSET
    endpoint_slug: _Slug | UnsetType = UNSET
    mcp_configs: _Configs | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    mcp_url: str | UnsetType = UNSET
    virtual_keys: tuple[dict[str, str], ...] | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    updated_at: str | UnsetType = UNSET


class AttachedKey(Struct, frozen=True, kw_only=True):
    id: str
    name: str


class VirtualMcpAnswer(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    description: str
    endpoint_slug: str
    mcp_url: Annotated[str, Meta(description="Where clients reach it; the audience of its access tokens.")]
    mcp_configs: tuple[McpConfig, ...]
    disabled: bool
    virtual_keys: Annotated[tuple[AttachedKey, ...], Meta(description="The keys that are confined to it.")]
    created_at: str
    updated_at: str


class VirtualMcpsAnswer(Struct, frozen=True, kw_only=True):
    virtual_mcps: list[VirtualMcpAnswer]
    count: int
    total_count: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class VirtualMcpEndpoints:
    """`keys` are all virtual keys; `accounts` are told when a key may reach other upstreams than before."""

    virtual_mcps: VirtualMcps
    keys: Callable[[], Awaitable[list[VirtualKey]]]
    accounts: KeyAccounts
    public_urls: PublicUrls

    async def index(self, _request: Request, wanted: VirtualMcpsQuery) -> VirtualMcpsAnswer:
        found = [one for one in await self.virtual_mcps.all() if _matches(one, wanted.search.lower())]
        page, keys = found[wanted.offset : wanted.offset + wanted.limit], await self.keys()
        return VirtualMcpsAnswer(
            virtual_mcps=[self._shown(one, keys) for one in page],
            count=len(page),
            total_count=len(found),
            limit=wanted.limit,
            offset=wanted.offset,
        )

    async def create(self, _request: Request, wanted: NewVirtualMcpBody) -> VirtualMcpAnswer:
        made = await self.virtual_mcps.create(
            NewVirtualMcp(
                name=named(wanted.name),
                description=wanted.description,
                endpoint_slug=wanted.endpoint_slug,
                mcp_configs=_configs(wanted.mcp_configs),
                disabled=wanted.disabled,
            )
        )
        return await self._answer(made)

    async def show(self, request: Request) -> VirtualMcpAnswer:
        return await self._answer(await self.virtual_mcps.get(_id(request)))

    async def change(self, request: Request, wanted: VirtualMcpChangesBody) -> VirtualMcpAnswer:
        if wanted.id not in (UNSET, _id(request)):
            raise Invalid("The id of a virtual MCP cannot be changed.", param="id")
        changes = VirtualMcpChanges(
            name=None if wanted.name is UNSET else named(wanted.name),
            description=sent(wanted.description),
            endpoint_slug=sent(wanted.endpoint_slug),
            mcp_configs=None if wanted.mcp_configs is UNSET else _configs(wanted.mcp_configs),
            disabled=sent(wanted.disabled),
        )
        answer = await self._answer(await self.virtual_mcps.change(_id(request), changes))
        for key in answer.virtual_keys:
            await self.accounts.access_changed(key.id)
        return answer

    async def delete(self, request: Request) -> None:
        await self.virtual_mcps.delete(_id(request))

    async def attach(self, request: Request) -> VirtualMcpAnswer:
        key_id = str(request.path_params["vk_id"])
        virtual_mcp = await self.virtual_mcps.attach(_id(request), key_id)
        await self.accounts.access_changed(key_id)
        return await self._answer(virtual_mcp)

    async def detach(self, request: Request) -> VirtualMcpAnswer:
        key_id = str(request.path_params["vk_id"])
        virtual_mcp = await self.virtual_mcps.detach(_id(request), key_id)
        await self.accounts.access_changed(key_id)
        return await self._answer(virtual_mcp)

    async def _answer(self, virtual_mcp: VirtualMcp) -> VirtualMcpAnswer:
        return self._shown(virtual_mcp, await self.keys())

    def _shown(self, virtual_mcp: VirtualMcp, keys: list[VirtualKey]) -> VirtualMcpAnswer:
        attached = (key for key in keys if virtual_mcp.name in key.virtual_mcps)
        return VirtualMcpAnswer(
            id=virtual_mcp.id,
            name=virtual_mcp.name,
            description=virtual_mcp.description,
            endpoint_slug=virtual_mcp.endpoint_slug,
            mcp_url=f"{self.public_urls.issuer}/mcp/{virtual_mcp.endpoint_slug}",
            mcp_configs=virtual_mcp.mcp_configs,
            disabled=virtual_mcp.disabled,
            virtual_keys=tuple(AttachedKey(id=key.id, name=key.name) for key in attached),
            created_at=rfc3339(virtual_mcp.created_at),
            updated_at=rfc3339(virtual_mcp.updated_at),
        )


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _configs(bodies: tuple[HeldConfigBody, ...]) -> tuple[McpConfig, ...]:
    return tuple(
        McpConfig(mcp_client_name=body.mcp_client_name, tools_to_execute=body.tools_to_execute) for body in bodies
    )


def _matches(virtual_mcp: VirtualMcp, search: str) -> bool:
    texts = (virtual_mcp.name, virtual_mcp.endpoint_slug, virtual_mcp.description)
    return any(search in text.lower() for text in texts)
