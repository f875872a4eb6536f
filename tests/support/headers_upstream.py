"""An MCP server that knows people by header values that it gave them, and everything it saw."""

from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOOL = {"name": "whoami", "description": "Say whose account this is.", "inputSchema": {"type": "object"}}


@dataclass
class HeadersUpstream:
    """`names` are the headers that it looks at; `accounts` are the values that it accepts, and whose they are."""

    names: tuple[str, ...] = ("X-Api-Key", "X-Tenant")
    accounts: dict[tuple[str, ...], str] = field(default_factory=dict)
    origin: str = ""
    refuses_with: int = 401
    has_tools: bool = True
    stateless: bool = False
    """Whether it speaks 2026-07-28, and says to everybody who they are."""
    status: int = 200
    """Of everything, when it is not 200."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Method and headers of every message."""

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.requests]

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/mcp", self._mcp, methods=["POST"])])

    async def _mcp(self, request: Request) -> Response:
        message: dict[str, Any] = await request.json()
        self.requests.append((message["method"], dict(request.headers)))
        if self.status != 200:
            return Response(status_code=self.status)
        account = self.accounts.get(tuple(request.headers.get(name, "") for name in self.names))
        if account is None:
            return Response(status_code=self.refuses_with)
        if "id" not in message:
            return Response(status_code=202)
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], **self._answer(message["method"], account)})

    def _answer(self, method: str, account: str) -> dict[str, Any]:
        if method == "initialize":
            info = {"name": "guarded", "version": "1"}
            return {"result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}}
        if method == "server/discover" and self.stateless:
            told = {"instructions": f"You are {account}.", "capabilities": {"tools": {}}}
            return {"result": {"resultType": "complete", "supportedVersions": ["2026-07-28"], **told}}
        if method == "tools/list" and self.has_tools:
            return {"result": {"tools": [TOOL]}}
        if method == "tools/call":
            return {"result": {"content": [{"type": "text", "text": account}]}}
        return {"error": {"code": -32601, "message": "unknown method"}}
