"""The table of MCP methods, for both eras: each takes a call and its parameters and gives the members of a result."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from bifrost import __version__
from bifrost.gateway.calls import Calls
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.models import Call
from bifrost.protocol import mcp

Params = dict[str, Raw]
Method = Callable[[Call, Params], Awaitable[dict[str, Any]]]

SERVER_INFO = {"name": "bifrost", "title": "Bifrost gateway", "version": __version__}
CAPABILITIES: dict[str, Any] = {"tools": {}}
UNAVAILABLE_META = "bifrost/unavailable"


@dataclass(frozen=True, slots=True)
class Methods:
    catalog: Catalog
    calls: Calls

    def table(self) -> dict[str, Method]:
        return {mcp.TOOLS_LIST: self._tools_list, mcp.TOOLS_CALL: self._tools_call}

    async def _tools_list(self, call: Call, _params: Params) -> dict[str, Any]:
        listed = await self.catalog.tools(call)
        result: dict[str, Any] = {"tools": listed.tools}
        if listed.unavailable:
            result["_meta"] = {UNAVAILABLE_META: listed.unavailable}
        return result

    async def _tools_call(self, call: Call, params: Params) -> dict[str, Any]:
        return {**await self.calls.call(call, params)}
