"""Virtual keys in the management API (contract §9): their value is shown once, when it is made."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request

from bifrost.base.clock import SECOND
from bifrost.base.errors import Invalid
from bifrost.governance.key_administration import KeyAdministration
from bifrost.governance.models import KeyChanges, McpConfig, VirtualKey
from bifrost.governance.virtual_keys import NewVirtualKey, VirtualKeys
from bifrost.http.api import rfc3339
from bifrost.http.commands import Command, Paging

T = TypeVar("T")
LAST_MILLISECOND = 253_402_300_799_999
"""The end of the year 9999, which is the last that RFC 3339 can write."""

_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Description = Annotated[str, Meta(max_length=1000)]
_Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset.")]
_Text = Annotated[str, Meta(min_length=1, max_length=256)]


class McpConfigBody(Command, frozen=True, kw_only=True):
    mcp_client_name: Annotated[_Text, Meta(description="Name of an upstream.")]
    tools_to_execute: Annotated[tuple[_Text, ...], Meta(max_length=1000, description='`["*"]` all, `[]` none.')] = ()


_Configs = Annotated[
    tuple[McpConfigBody, ...], Meta(max_length=200, description="The upstreams and tools that it may use.")
]


class KeysQuery(Paging, frozen=True, kw_only=True):
    search: Annotated[str, Meta(max_length=100, description="Part of the id, name or description.")] = ""


class NewKeyBody(Command, frozen=True, kw_only=True):
    name: _Name
    description: _Description = ""
    value: Annotated[
        str, Meta(max_length=256, description="`sk-bf-` and at least 27 random characters. Default: made up.")
    ] = ""
    is_active: bool = True
    expires_at: _Time | None = None
    mcp_configs: _Configs = ()


class KeyChangesBody(Command, frozen=True, kw_only=True):
    """Only what is sent is changed. What cannot be changed may be sent back as it was read."""

    id: str | UnsetType = UNSET
    name: _Name | UnsetType = UNSET
    description: _Description | UnsetType = UNSET
    value: Annotated[str, Meta(description="As it was read; to change it, rotate the key.")] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    expires_at: _Time | UnsetType | None = UNSET
    mcp_configs: _Configs | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    updated_at: str | UnsetType = UNSET


class KeyAnswer(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    description: str
    value: Annotated[str, Meta(description="The whole value in answer to create and rotate, else its beginning.")]
    is_active: bool
    expires_at: str | None
    mcp_configs: tuple[McpConfig, ...]
    created_at: str
    updated_at: str


class KeysAnswer(Struct, frozen=True, kw_only=True):
    virtual_keys: list[KeyAnswer]
    count: int
    total_count: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class VirtualKeyEndpoints:
    keys: VirtualKeys
    administration: KeyAdministration

    async def index(self, _request: Request, wanted: KeysQuery) -> KeysAnswer:
        found, total = await self.administration.search(wanted.search, limit=wanted.limit, offset=wanted.offset)
        return KeysAnswer(
            virtual_keys=[_answer(key) for key in found],
            count=len(found),
            total_count=total,
            limit=wanted.limit,
            offset=wanted.offset,
        )

    async def create(self, _request: Request, wanted: NewKeyBody) -> KeyAnswer:
        key, value = await self.keys.create(
            NewVirtualKey(
                name=_named(wanted.name),
                value=wanted.value,
                description=wanted.description,
                is_active=wanted.is_active,
                expires_at=_milliseconds(wanted.expires_at),
                mcp_configs=_configs(wanted.mcp_configs),
            )
        )
        return _answer(key, value)

    async def show(self, request: Request) -> KeyAnswer:
        return _answer(await self.administration.get(_id(request)))

    async def change(self, request: Request, wanted: KeyChangesBody) -> KeyAnswer:
        key = await self.administration.get(_id(request))
        _refuse_the_unchangeable(key, wanted)
        changes = KeyChanges(
            name=None if wanted.name is UNSET else _named(wanted.name),
            description=_sent(wanted.description),
            is_active=_sent(wanted.is_active),
            sets_expiry=wanted.expires_at is not UNSET,
            expires_at=_milliseconds(_sent(wanted.expires_at)),
            mcp_configs=None if wanted.mcp_configs is UNSET else _configs(wanted.mcp_configs),
        )
        return _answer(await self.administration.change(key.id, changes))

    async def rotate(self, request: Request) -> KeyAnswer:
        return _answer(*await self.administration.rotate(_id(request)))

    async def delete(self, request: Request) -> None:
        await self.administration.delete(_id(request))


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _named(name: str) -> str:
    """Raises Invalid."""
    if not name.isprintable() or not name.strip():
        raise Invalid("The member name must be printable, and not blank.", param="name")
    return name


def _sent(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value


def _answer(key: VirtualKey, value: str = "") -> KeyAnswer:
    return KeyAnswer(
        id=key.id,
        name=key.name,
        description=key.description,
        value=value or key.value_hint,
        is_active=key.is_active,
        expires_at=None if key.expires_at is None else rfc3339(key.expires_at),
        mcp_configs=key.mcp_configs,
        created_at=rfc3339(key.created_at),
        updated_at=rfc3339(key.updated_at),
    )


def _configs(bodies: tuple[McpConfigBody, ...]) -> tuple[McpConfig, ...]:
    """Raises Invalid when an upstream is named twice: which of the two counts, nobody could tell."""
    names = [body.mcp_client_name for body in bodies]
    if len(set(names)) < len(names):
        raise Invalid("An upstream is named twice in mcp_configs.", param="mcp_configs")
    return tuple(
        McpConfig(mcp_client_name=body.mcp_client_name, tools_to_execute=body.tools_to_execute) for body in bodies
    )


def _milliseconds(time: datetime | None) -> int | None:
    """Raises Invalid."""
    if time is None:
        return None
    milliseconds = int(time.timestamp() * SECOND)
    if not 0 <= milliseconds <= LAST_MILLISECOND:
        raise Invalid("The member expires_at must be between the years 1970 and 9999.", param="expires_at")
    return milliseconds


def _refuse_the_unchangeable(key: VirtualKey, wanted: KeyChangesBody) -> None:
    """A redacted value sent back means "keep" (contract §9). Raises Invalid."""
    if wanted.value not in (UNSET, key.value_hint):
        raise Invalid("The value of a key cannot be set; rotate the key to give it a new one.", param="value")
    if wanted.id not in (UNSET, key.id):
        raise Invalid("The id of a key cannot be changed.", param="id")
