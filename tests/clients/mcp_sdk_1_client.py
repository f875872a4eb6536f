"""An older Python MCP SDK (1.20), through OAuth to a tool call, and once more with an access token that has ended.

    mcp_sdk_1_client.py http://127.0.0.1:8080/mcp [--tool whoami] [--scope "mcp:read"]

It runs in a virtual environment of its own (`run_all.py`); the person at the browser is in the other one, by BROWSER.
Prints one JSON object; exit 0 only when both calls worked and the second one needed no browser.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pathlib
import subprocess
import sys
from typing import TYPE_CHECKING

from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from loopback import Loopback

if TYPE_CHECKING:
    from mcp.types import CallToolResult

HERE = pathlib.Path(__file__).resolve().parent


class Memory(TokenStorage):
    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def approve(url: str) -> None:
    python = os.environ.get("PYTHON", "python3")
    subprocess.run(
        [python, HERE / "autobrowser.py", url], check=True, env={**os.environ, "AUTOBROWSER_FOREGROUND": "1"}
    )


async def run(args: argparse.Namespace) -> dict[str, object]:
    storage = Memory()
    seen: list[str] = []
    with Loopback() as callback:

        async def on_redirect(url: str) -> None:
            seen.append(url)
            await asyncio.to_thread(approve, url)

        async def on_callback() -> tuple[str, str | None]:
            got = await asyncio.to_thread(callback.wait)
            if "code" not in got:
                raise RuntimeError(f"authorization refused: {got}")
            return got["code"], got.get("state")

        auth = OAuthClientProvider(
            server_url=args.url,
            client_metadata=OAuthClientMetadata(
                client_name="mcp-python-sdk 1.20 driver",
                redirect_uris=[AnyUrl(callback.redirect_uri)],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
                token_endpoint_auth_method="none",
                scope=args.scope,
            ),
            storage=storage,
            redirect_handler=on_redirect,
            callback_handler=on_callback,
        )
        async with (
            streamablehttp_client(args.url, auth=auth) as (reads, writes, _),
            ClientSession(reads, writes) as mcp,
        ):
            hello = await mcp.initialize()
            tools = await mcp.list_tools()
            first = await mcp.call_tool(args.tool, {})
            before, auth.context.token_expiry_time = storage.tokens, 1.0
            second = await mcp.call_tool(args.tool, {})
    refreshed = storage.tokens != before and len(seen) == 1
    return {
        "client": "mcp-python-sdk-1",
        "protocol": hello.protocolVersion,
        "tools": [tool.name for tool in tools.tools],
        "result": _shown(second),
        "is_error": bool(first.isError or second.isError or not refreshed),
        "refreshed": refreshed,
        "browser_steps": len(seen),
        "client_id": storage.client.client_id if storage.client else None,
    }


def _shown(result: CallToolResult) -> list[object]:
    return [content.model_dump(mode="json", exclude_none=True) for content in result.content]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--tool", default="whoami")
    parser.add_argument("--scope")
    out = asyncio.run(asyncio.wait_for(run(parser.parse_args()), 60))
    print(json.dumps(out))
    return 1 if out["is_error"] else 0


if __name__ == "__main__":
    sys.exit(main())
