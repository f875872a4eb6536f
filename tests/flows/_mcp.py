"""Requests to the MCP endpoints, in both eras, and a gateway with upstreams behind it."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2

from bifrost.protocol import mcp
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, KEY_ID, VIRTUAL_KEY, TestGateway, running_gateway

KEY = {"x-bf-vk": VIRTUAL_KEY}
ERAS = ("legacy", "modern")
SCOPES = "mcp:read mcp:write"
Headers = Mapping[str, str]


def message(method: str, params: Mapping[str, Any] | None = None, request_id: Any = 1) -> dict[str, Any]:
    """A request of the older era; one without an id is a notification."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": dict(params or {})}
    return {name: value for name, value in body.items() if name != "id" or value is not None}


def modern_message(method: str, params: Mapping[str, Any] | None = None, request_id: Any = 1) -> dict[str, Any]:
    """A request of 2026-07-28, which says in `_meta` what it speaks; `_meta` of `params` is laid over it."""
    given = dict(params or {})
    meta = {mcp.META_VERSION: mcp.MODERN, mcp.META_CAPABILITIES: {}, **given.pop("_meta", {})}
    return message(method, {**given, "_meta": meta}, request_id)


def modern_headers(method: str, name: str | None = None) -> dict[str, str]:
    headers = {"MCP-Protocol-Version": mcp.MODERN, "Mcp-Method": method}
    return headers if name is None else {**headers, "Mcp-Name": name}


async def ask(
    http: httpx2.AsyncClient,
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    era: str = "legacy",
    path: str = "/mcp",
    headers: Headers = KEY,
) -> httpx2.Response:
    """One correct request. `headers` are the credentials and whatever else a test adds."""
    if era == "legacy":
        return await http.post(path, json=message(method, params), headers=dict(headers))
    name = (params or {}).get(mcp.NAMED_METHODS.get(method, ""))
    encoded = None if name is None else mcp.header_value(name)
    return await http.post(
        path, json=modern_message(method, params), headers={**modern_headers(method, encoded), **headers}
    )


async def call(http: httpx2.AsyncClient, tool: str, arguments: Any = None, **more: Any) -> httpx2.Response:
    return await ask(http, "tools/call", {"name": tool, "arguments": arguments or {}}, **more)


async def names(http: httpx2.AsyncClient, **more: Any) -> list[str]:
    """The tools that this caller sees."""
    return [tool["name"] for tool in result_of(await ask(http, "tools/list", **more))["tools"]]


def result_of(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["jsonrpc"], body["id"]) == ("2.0", 1)
    assert "error" not in body, body
    result: dict[str, Any] = body["result"]
    return result


def rpc_error(answer: httpx2.Response, status: int = 200, request_id: Any = 1) -> dict[str, Any]:
    """The error object of a JSON-RPC answer with this HTTP status and the id of its request."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"jsonrpc", "id", "error"}
    assert body["id"] == request_id
    error: dict[str, Any] = body["error"]
    return error


def refusal(answer: httpx2.Response, status: int) -> str:
    """The word for why a request was refused before its message was looked at."""
    error = rpc_error(answer, status, None)
    assert error["data"]["event_id"] == answer.headers["x-request-id"]
    return str(error["data"]["code"])


def challenge(path: str, origin: str = ISSUER, error: str = "") -> str:
    """RFC 9728 §5.1 as the contract writes it (§7)."""
    metadata = f"{origin}/.well-known/oauth-protected-resource{path}"
    named = f', error="{error}"' if error else ""
    return f'Bearer resource_metadata="{metadata}", scope="{SCOPES}"{named}'


def key(**more: Any) -> dict[str, Any]:
    """The configuration of the key that KEY presents."""
    return {"id": KEY_ID, "name": "test", "value": VIRTUAL_KEY, **more}


def with_upstreams(
    database_url: str, data_dir: Path, *upstreams: dict[str, Any], clock: FakeClock | None = None, **sections: Any
) -> AbstractAsyncContextManager[TestGateway]:
    """A running gateway with these upstreams. Further sections are those of config.json."""
    return running_gateway(database_url, data_dir, clock=clock, mcp={"client_configs": list(upstreams)}, **sections)
