"""Virtual keys in the management API (contract §9): their value is shown once, when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request

from bifrost.base.clock import SECOND
from bifrost.base.errors import Invalid
from bifrost.governance.key_administration import KeyAdministration
from bifrost.governance.limits import BUDGET, REQUESTS, Limits
from bifrost.governance.models import MICRO, Budget, KeyChanges, McpConfig, RateLimit, VirtualKey
from bifrost.governance.usage import Window
from bifrost.governance.virtual_keys import NewVirtualKey, VirtualKeys
from bifrost.http.api import rfc3339
from bifrost.http.commands import Command, Paging, named, sent

LAST_MILLISECOND = 253_402_300_799_999
"""The end of the year 9999, which is the last that RFC 3339 can write."""

_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Description = Annotated[str, Meta(max_length=1000)]
_Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset.")]
_Text = Annotated[str, Meta(min_length=1, max_length=256)]


class McpConfigBody(Command, frozen=True, kw_only=True):
    mcp_client_name: Annotated[_Text, Meta(description="Name of an upstream.")]
    tools_to_execute: Annotated[tuple[_Text, ...], Meta(max_length=1000, description='`["*"]` all, `[]` none.')] = ()


class RateLimitBody(Command, frozen=True, kw_only=True):
    """So many tool calls in so much time. What was used may be sent back as it was read."""

    request_max_limit: Annotated[int, Meta(ge=0, description="So many tool calls.")]
    request_reset_duration: Annotated[str, Meta(max_length=10, description="30s, 1m, 1h, 1d, 1w, 1M or 1Y.")]
    request_current_usage: int | UnsetType = UNSET
    request_resets_at: str | UnsetType | None = UNSET


class BudgetBody(Command, frozen=True, kw_only=True):
    """So much money, in the unit of the prices in `tool_pricing`, in so much time."""

    max_limit: Annotated[float, Meta(ge=0, description="So much.")]
    reset_duration: Annotated[str, Meta(max_length=10, description="30s, 1m, 1h, 1d, 1w, 1M or 1Y.")]
    current_usage: float | UnsetType = UNSET
    resets_at: str | UnsetType | None = UNSET


_Budgets = Annotated[tuple[BudgetBody, ...], Meta(description="How much its tool calls may cost.")]
_Configs = Annotated[
    tuple[McpConfigBody, ...], Meta(max_length=200, description="The upstreams and tools that it may use.")
]

_VirtualMcps = Annotated[
    tuple[_Text, ...], Meta(max_length=100, description="Names of virtual MCPs; with any, it is confined to them.")
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
    rate_limit: RateLimitBody | None = None
    budgets: _Budgets = ()
    virtual_mcps: _VirtualMcps = ()


class KeyChangesBody(Command, frozen=True, kw_only=True):
    """Only what is sent is changed. What cannot be changed may be sent back as it was read."""

    id: str | UnsetType = UNSET
    name: _Name | UnsetType = UNSET
    description: _Description | UnsetType = UNSET
    value: Annotated[str, Meta(description="As it was read; to change it, rotate the key.")] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    expires_at: _Time | UnsetType | None = UNSET
    mcp_configs: _Configs | UnsetType = UNSET
    rate_limit: RateLimitBody | UnsetType | None = UNSET
    budgets: _Budgets | UnsetType = UNSET
    virtual_mcps: _VirtualMcps | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    updated_at: str | UnsetType = UNSET


class RateLimitAnswer(Struct, frozen=True, kw_only=True):
    request_max_limit: int
    request_reset_duration: str
    request_current_usage: int
    request_resets_at: str | None


class BudgetAnswer(Struct, frozen=True, kw_only=True):
    max_limit: float
    reset_duration: str
    current_usage: float
    resets_at: str | None


class KeyAnswer(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    description: str
    value: Annotated[str, Meta(description="The whole value in answer to create and rotate, else its beginning.")]
    is_active: bool
    expires_at: str | None
    mcp_configs: tuple[McpConfig, ...]
    rate_limit: RateLimitAnswer | None
    budgets: tuple[BudgetAnswer, ...]
    virtual_mcps: tuple[str, ...]
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
    limits: Limits

    async def index(self, _request: Request, wanted: KeysQuery) -> KeysAnswer:
        found, total = await self.administration.search(wanted.search, limit=wanted.limit, offset=wanted.offset)
        return KeysAnswer(
            virtual_keys=[await self._answer(key) for key in found],
            count=len(found),
            total_count=total,
            limit=wanted.limit,
            offset=wanted.offset,
        )

    async def create(self, _request: Request, wanted: NewKeyBody) -> KeyAnswer:
        key, value = await self.keys.create(
            NewVirtualKey(
                name=named(wanted.name),
                value=wanted.value,
                description=wanted.description,
                is_active=wanted.is_active,
                expires_at=_milliseconds(wanted.expires_at),
                mcp_configs=_configs(wanted.mcp_configs),
                rate_limit=_rate_limit(wanted.rate_limit),
                budgets=_budgets(wanted.budgets),
                virtual_mcps=wanted.virtual_mcps,
            )
        )
        return await self._answer(key, value)

    async def show(self, request: Request) -> KeyAnswer:
        return await self._answer(await self.administration.get(_id(request)))

    async def change(self, request: Request, wanted: KeyChangesBody) -> KeyAnswer:
        key = await self.administration.get(_id(request))
        _refuse_the_unchangeable(key, wanted)
        changes = KeyChanges(
            name=None if wanted.name is UNSET else named(wanted.name),
            description=sent(wanted.description),
            is_active=sent(wanted.is_active),
            sets_expiry=wanted.expires_at is not UNSET,
            expires_at=_milliseconds(sent(wanted.expires_at)),
            mcp_configs=None if wanted.mcp_configs is UNSET else _configs(wanted.mcp_configs),
            sets_rate_limit=wanted.rate_limit is not UNSET,
            rate_limit=_rate_limit(sent(wanted.rate_limit)),
            budgets=None if wanted.budgets is UNSET else _budgets(wanted.budgets),
            virtual_mcps=sent(wanted.virtual_mcps),
        )
        return await self._answer(await self.administration.change(key.id, changes))

    async def rotate(self, request: Request) -> KeyAnswer:
        return await self._answer(*await self.administration.rotate(_id(request)))

    async def delete(self, request: Request) -> None:
        await self.administration.delete(_id(request))

    async def _answer(self, key: VirtualKey, value: str = "") -> KeyAnswer:
        windows = {window.name: window for window in await self.limits.windows(key)}
        return KeyAnswer(
            id=key.id,
            name=key.name,
            description=key.description,
            value=value or key.value_hint,
            is_active=key.is_active,
            expires_at=None if key.expires_at is None else rfc3339(key.expires_at),
            mcp_configs=key.mcp_configs,
            rate_limit=_rate_limit_answer(key.rate_limit, windows),
            budgets=tuple(_budget_answer(budget, windows) for budget in key.budgets),
            virtual_mcps=key.virtual_mcps,
            created_at=rfc3339(key.created_at),
            updated_at=rfc3339(key.updated_at),
        )


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _rate_limit(body: RateLimitBody | None) -> RateLimit | None:
    if body is None:
        return None
    return RateLimit(request_max_limit=body.request_max_limit, request_reset_duration=body.request_reset_duration)


def _budgets(bodies: tuple[BudgetBody, ...]) -> tuple[Budget, ...]:
    return tuple(Budget(max_limit=body.max_limit, reset_duration=body.reset_duration) for body in bodies)


def _rate_limit_answer(limit: RateLimit | None, windows: Mapping[str, Window]) -> RateLimitAnswer | None:
    if limit is None:
        return None
    window = windows.get(f"{REQUESTS}:{limit.request_reset_duration}")
    return RateLimitAnswer(
        request_max_limit=limit.request_max_limit,
        request_reset_duration=limit.request_reset_duration,
        request_current_usage=window.used if window else 0,
        request_resets_at=rfc3339(window.resets_at) if window else None,
    )


def _budget_answer(budget: Budget, windows: Mapping[str, Window]) -> BudgetAnswer:
    window = windows.get(f"{BUDGET}:{budget.reset_duration}")
    return BudgetAnswer(
        max_limit=budget.max_limit,
        reset_duration=budget.reset_duration,
        current_usage=window.used / MICRO if window else 0.0,
        resets_at=rfc3339(window.resets_at) if window else None,
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
