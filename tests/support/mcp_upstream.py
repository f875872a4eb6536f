"""A plain MCP server whose tools and moods can be changed while it runs, and which remembers what it was asked."""

from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def tool(name: str, description: str = "A tool.", **more: Any) -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}, **more}


@dataclass
class McpUpstream:
    """It speaks the older era, without sessions. `status` other than 200 makes it refuse everything."""

    tools: list[dict[str, Any]] = field(default_factory=lambda: [tool("one")])
    status: int = 200
    error: dict[str, Any] | None = None
    """The answer to tools/list instead of tools."""
    knows_ping: bool = True
    required_header: tuple[str, str] | None = None
    methods: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def asked(self, method: str) -> int:
        return self.methods.count(method)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/mcp", self._mcp, methods=["POST"])])

    async def _mcp(self, request: Request) -> Response:
        message = await request.json()
        self.methods.append(message["method"])
        self.headers.append(dict(request.headers))
        if self.required_header and request.headers.get(self.required_header[0]) != self.required_header[1]:
            return Response(status_code=401)
        if self.status != 200:
            return Response(status_code=self.status)
        if "id" not in message:
            return Response(status_code=202)
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], **self._answer(message["method"])})

    def _answer(self, method: str) -> dict[str, Any]:
        if method == "initialize":
            info = {"name": "plain", "version": "1"}
            return {"result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}}
        if method == "tools/list":
            return {"error": self.error} if self.error else {"result": {"tools": self.tools}}
        if method == "tools/call":
            return {"result": {"content": [{"type": "text", "text": "done"}]}}
        if method == "ping" and self.knows_ping:
            return {"result": {}}
        return {"error": {"code": -32601, "message": "unknown method"}}
