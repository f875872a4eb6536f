"""fastmcp's Client(auth="oauth"): it brings its own callback listener and opens a browser by `webbrowser`.

    fastmcp_client.py http://127.0.0.1:8080/mcp [--tool whoami] [--scope "mcp:read"]

The browser it opens is autobrowser.py, by BROWSER, set here. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pathlib
import sys

os.environ["BROWSER"] = str(pathlib.Path(__file__).with_name("autobrowser.py").resolve()) + " %s"

from fastmcp import Client
from fastmcp.client.auth import OAuth


async def run(args: argparse.Namespace) -> dict[str, object]:
    auth = OAuth(scopes=args.scope) if args.scope else "oauth"
    async with Client(args.url, auth=auth) as client:
        tools = await client.list_tools()
        result = await client.call_tool(args.tool, json.loads(args.arguments), raise_on_error=False)
        return {
            "client": "fastmcp",
            "tools": [t.name for t in tools],
            "result": [c.model_dump(mode="json", exclude_none=True) for c in result.content],
            "is_error": result.is_error,
        }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--tool", default="whoami")
    parser.add_argument("--arguments", default="{}")
    parser.add_argument("--scope")
    out = asyncio.run(run(parser.parse_args()))
    print(json.dumps(out))
    return 1 if out["is_error"] else 0


if __name__ == "__main__":
    sys.exit(main())
