"""Official Python MCP SDK 2.x client, through OAuth, to a tool call.

    mcp_sdk_client.py http://127.0.0.1:8080/mcp [--mode auto|legacy|2026-07-28] [--tool whoami]
                      [--store FILE] [--scope "mcp:read"] [--cimd URL]

Prints one JSON object; exit 0 only when the tool call worked. With --store the tokens are kept in a file,
so a second run shows whether the server honours them (and refreshes them) with no browser step.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pathlib
import sys

import httpx2
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from autobrowser import approve
from loopback import Loopback


class FileStorage(TokenStorage):
    def __init__(self, path: str | None) -> None:
        self._path = pathlib.Path(path) if path else None
        self.data: dict[str, object] = {}
        if self._path and self._path.exists():
            self.data = json.loads(self._path.read_text())

    def _put(self, key: str, value: object) -> None:
        self.data[key] = value
        if self._path:
            self._path.write_text(json.dumps(self.data, indent=1))

    async def get_tokens(self) -> OAuthToken | None:
        found = self.data.get("tokens")
        return OAuthToken.model_validate(found) if found else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._put("tokens", tokens.model_dump(mode="json", exclude_none=True))

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        found = self.data.get("client")
        return OAuthClientInformationFull.model_validate(found) if found else None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._put("client", client_info.model_dump(mode="json", exclude_none=True))


async def run(args: argparse.Namespace) -> dict[str, object]:
    storage = FileStorage(args.store)
    seen: list[str] = []
    # a stored registration is bound to its redirect URI; RFC 8252 lets the port of a loopback one vary
    with Loopback(port=args.callback_port) as callback:

        async def on_redirect(url: str) -> None:
            seen.append(url)
            await asyncio.to_thread(approve, url)

        async def on_callback() -> AuthorizationCodeResult:
            got = await asyncio.to_thread(callback.wait)
            if "code" not in got:
                raise RuntimeError(f"authorization refused: {got}")
            return AuthorizationCodeResult(code=got["code"], state=got.get("state"), iss=got.get("iss"))

        auth = OAuthClientProvider(
            server_url=args.url,
            client_metadata=OAuthClientMetadata(
                client_name="mcp-python-sdk driver",
                redirect_uris=[AnyUrl(callback.redirect_uri)],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
                token_endpoint_auth_method="none",
                scope=args.scope,
            ),
            storage=storage,
            redirect_handler=on_redirect,
            callback_handler=on_callback,
            client_metadata_url=args.cimd,
        )
        async with (
            httpx2.AsyncClient(auth=auth, timeout=30, trust_env=False) as http,
            Client(streamable_http_client(args.url, http_client=http), mode=args.mode) as client,
        ):
            tools = await client.list_tools()
            result = await client.call_tool(args.tool, json.loads(args.arguments))
            return {
                "client": "mcp-python-sdk",
                "protocol": client.protocol_version,
                "tools": [t.name for t in tools.tools],
                "result": [c.model_dump(mode="json", exclude_none=True) for c in result.content],
                "is_error": result.is_error,
                "browser_steps": len(seen),
                "client_id": (await storage.get_client_info() or argparse.Namespace(client_id=None)).client_id,
            }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--tool", default="whoami")
    parser.add_argument("--arguments", default="{}")
    parser.add_argument("--scope")
    parser.add_argument("--store")
    parser.add_argument("--cimd")
    parser.add_argument("--callback-port", type=int, default=0)
    out = asyncio.run(run(parser.parse_args()))
    print(json.dumps(out))
    return 1 if out["is_error"] else 0


if __name__ == "__main__":
    sys.exit(main())
