"""A small MCP server made with the official Python SDK, for tests that want an upstream nobody here wrote.

    python tests/support/sdk_upstream.py PORT     http://127.0.0.1:PORT/mcp, in both protocol eras
    python tests/support/sdk_upstream.py stdio    messages on standard input and output

It asks for no credentials.
"""

from __future__ import annotations

import sys

import anyio
from mcp.server import MCPServer
from mcp.types import ToolAnnotations


def build() -> MCPServer:
    server = MCPServer("sample", log_level="WARNING")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def whoami() -> str:
        """Say which server this is."""
        return "sample upstream"

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return server


def main() -> int:
    if sys.argv[1] == "stdio":
        anyio.run(build().run_stdio_async)
        return 0
    port = int(sys.argv[1])
    anyio.run(lambda: build().run_streamable_http_async(host="127.0.0.1", port=port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
