"""mcp-remote (npm): the stdio-to-HTTP bridge of Claude Desktop, Cursor and others, driven as they drive it.

    mcp_remote_client.py http://127.0.0.1:8080/mcp [--tool whoami] [--mode legacy] [--package mcp-remote-0.1.30]

An MCP stdio client starts mcp-remote; mcp-remote opens a browser, which is autobrowser.py by BROWSER. `--scope` is what
people configure it to ask for, whether or not the server knows it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pathlib
import sys
import tempfile

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

HERE = pathlib.Path(__file__).resolve().parent


async def run(args: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="mcp-remote-") as state:
        server = StdioServerParameters(
            command="node",
            args=[
                f"{os.environ['CLIENTS_DIR']}/node_modules/{args.package}/dist/proxy.js",
                args.url,
                *(["--allow-http"] if args.url.startswith("http:") else []),
                *(["--static-oauth-client-metadata", json.dumps({"scope": args.scope})] if args.scope else []),
                *args.extra,
            ],
            env={
                "HOME": state,
                "MCP_REMOTE_CONFIG_DIR": state,
                "PATH": os.environ["PATH"],
                "BROWSER": str(HERE / "autobrowser.py"),
                **{k: v for k, v in os.environ.items() if k.startswith("AUTOBROWSER_")},
            },
        )
        async with Client(stdio_client(server), mode=args.mode) as client:
            tools = await client.list_tools()
            result = await client.call_tool(args.tool, json.loads(args.arguments))
            return {
                "client": args.package,
                "protocol": client.protocol_version,
                "tools": [t.name for t in tools.tools],
                "result": [c.model_dump(mode="json", exclude_none=True) for c in result.content],
                "is_error": result.is_error,
            }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--tool", default="whoami")
    parser.add_argument("--arguments", default="{}")
    parser.add_argument("--mode", default="legacy")
    parser.add_argument("--package", default="mcp-remote")
    parser.add_argument("--scope", default="")
    parser.add_argument("--extra", nargs="*", default=[])
    out = asyncio.run(asyncio.wait_for(run(parser.parse_args()), 60))
    print(json.dumps(out))
    return 1 if out["is_error"] else 0


if __name__ == "__main__":
    sys.exit(main())
