"""The gateway as a client of upstreams, for the official suite's `client` scenarios.

    python upstream_probe.py http://127.0.0.1:PORT/mcp

The suite starts a server and says where it is. This program puts it behind a gateway (in this process) as an upstream
with everybody's own accounts, is the person who connects one, and calls a tool as that person's client would.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway, running_gateway, upstream

KEY = {"x-bf-vk": VIRTUAL_KEY}
DOCUMENT = "https://conformance-test.local/client-metadata.json"
ROUNDS = 5
CALLS = 2
"""Some servers change who guards them after the first."""


async def main(url: str) -> int:
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    config = {name: context[name] for name in ("client_id", "client_secret") if context.get(name)}
    entry = upstream("probed", url, auth_type="per_user_oauth", oauth_config=config)
    directory = Path(tempfile.mkdtemp(prefix="probe-"))
    async with running_gateway(
        f"sqlite:///{directory}/probe.db",
        directory,
        mcp={"client_configs": [entry]},
        client={"client_id_metadata_document_url": DOCUMENT},
    ) as running:
        calls = 0
        for _ in range(ROUNDS):
            answer = await call(running)
            if "mcp_auth_required" not in answer.get("result", {}).get("_meta", {}):
                print(json.dumps(answer))
                calls += 1
                if "result" not in answer or calls == CALLS:
                    return 0 if "result" in answer else 1
                continue
            if not await connect(running, answer["result"]["_meta"]["mcp_auth_required"]["authorize_url"]):
                return 1
    return 1


async def call(running: TestGateway) -> dict[str, Any]:
    """List the tools and call the first one; the answer to the call, or to the list where there is nothing to call."""
    listed = await rpc(running, "tools/list", {})
    tools = listed["result"]["tools"]
    if not tools:
        return listed
    return await rpc(running, "tools/call", {"name": tools[0]["name"], "arguments": {}})


async def rpc(running: TestGateway, method: str, params: dict[str, Any]) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer: dict[str, Any] = (await running.http.post("/mcp", json=body, headers=KEY)).json()
    return answer


async def connect(running: TestGateway, link: str) -> bool:
    """The person: proves the key, presses Connect, is signed in by the suite's server, and comes back."""
    async with running.browser() as browser:
        page = await browser.get(_path(link))
        proven = await press(browser, page, "/api/oauth/per-user/connect/vk", virtual_key=VIRTUAL_KEY)
        page = await browser.get(proven.headers["location"])
        started = await press(browser, page, "/api/oauth/per-user/connect/start")
        where = started.headers["location"]
        if where.startswith("/"):
            print(f"the sign-in did not begin: {where}", file=sys.stderr)
            return False
        back = await browser.get(await outside(where))
        print(f"came back: {back.status_code} {back.headers.get('location', '')}", file=sys.stderr)
        return "notice=connected" in back.headers.get("location", "")


async def outside(url: str) -> str:
    async with httpx2.AsyncClient(trust_env=False) as http:
        while True:
            answer = await http.get(url)
            url = urljoin(url, answer.headers["location"])
            if url.startswith(ISSUER):
                return _path(url)


async def press(browser: httpx2.AsyncClient, page: httpx2.Response, action: str, **form: str) -> httpx2.Response:
    found = re.search(rf'<form method="post" action="{action}">(.*?)</form>', page.text, re.DOTALL)
    assert found, page.text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[1]))
    fields = {name: unescape(value) for name, value in hidden.items()}
    return await browser.post(action, data={**fields, **form}, headers={"Origin": ISSUER})


def _path(url: str) -> str:
    split = urlsplit(url)
    return f"{split.path}?{split.query}"


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[-1])))
