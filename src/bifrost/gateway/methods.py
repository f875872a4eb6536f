"""The table of MCP methods, for both eras: each takes a call and its parameters and gives a result.

A result is either made here, as its members, or an upstream's, as the bytes that came.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from bifrost import __version__
from bifrost.gateway.calls import Calls
from bifrost.gateway.lists import Lists
from bifrost.gateway.models import PROMPTS, RESOURCES, TEMPLATES, TOOLS, Call, Kind
from bifrost.gateway.reading import Reading
from bifrost.protocol import mcp

Params = dict[str, Raw]
Result = Raw | dict[str, Any]
Method = Callable[[Call, Params], Coroutine[Any, Any, Result]]

SERVER_INFO = {"name": "bifrost", "title": "Bifrost gateway", "version": __version__}


@dataclass(frozen=True, slots=True)
class Methods:
    lists: Lists
    calls: Calls
    reading: Reading

    def table(self) -> dict[str, Method]:
        return {
            mcp.TOOLS_LIST: self._list(TOOLS),
            mcp.TOOLS_CALL: self.calls.call,
            mcp.RESOURCES_LIST: self._list(RESOURCES),
            mcp.TEMPLATES_LIST: self._list(TEMPLATES),
            mcp.RESOURCES_READ: self.reading.resource,
            mcp.PROMPTS_LIST: self._list(PROMPTS),
            mcp.PROMPTS_GET: self.reading.prompt,
            mcp.COMPLETE_ARGUMENT: self.reading.completion,
        }

    def _list(self, kind: Kind) -> Method:
        async def page(call: Call, params: Params) -> dict[str, Any]:
            return await self.lists.page(call, kind, params.get("cursor"))

        return page
