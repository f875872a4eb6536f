"""GET /: what this address is, and how to add it to a client."""

import json
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.http.pages import Pages
from bifrost.http.public_urls import PublicUrls


@dataclass(frozen=True, slots=True)
class Home:
    pages: Pages
    public_urls: PublicUrls

    async def __call__(self, request: Request) -> Response:
        mcp_url = f"{self.public_urls.origin_of(request)}/mcp"
        return self.pages.page("home.html", mcp_url=mcp_url, snippets=snippets(mcp_url))


def snippets(mcp_url: str) -> list[dict[str, str]]:
    """How each client is told about the gateway; it then opens the browser to sign in."""
    return [
        {
            "client": "Claude Code",
            "how": "Run this in a terminal, then /mcp in a session to sign in.",
            "code": f"claude mcp add --transport http bifrost {mcp_url}",
        },
        {
            "client": "Cursor",
            "how": "Put this into ~/.cursor/mcp.json.",
            "code": json.dumps({"mcpServers": {"bifrost": {"url": mcp_url}}}, indent=2),
        },
        {
            "client": "VS Code",
            "how": "Run this in a terminal.",
            "code": "code --add-mcp '" + json.dumps({"name": "bifrost", "type": "http", "url": mcp_url}) + "'",
        },
        {
            "client": "MCP Inspector",
            "how": "Run this in a terminal; it needs Node.js 22 or later.",
            "code": f"npx @modelcontextprotocol/inspector --transport http --server-url {mcp_url}",
        },
    ]
