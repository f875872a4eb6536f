"""Revisions that begin with `initialize` (2024-11-05 … 2025-11-25), served without sessions."""

from collections.abc import Mapping
from typing import Any

from bifrost.gateway.methods import CAPABILITIES, SERVER_INFO, Method
from bifrost.gateway.models import Call
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError

_MODERN_MEMBERS = ("resultType", "ttlMs", "cacheScope")


async def answer(message: Message, call: Call, methods: Mapping[str, Method]) -> dict[str, Any]:
    """The members of the result. Raises RpcError, DomainError."""
    method, params = str(message.method), message.params or {}
    if method == mcp.INITIALIZE:
        return _initialize(jsonrpc.text(params.get("protocolVersion")))
    if method == mcp.PING:
        return {}
    if method not in methods:
        raise RpcError(jsonrpc.METHOD_NOT_FOUND, f"This gateway does not offer {method[:64]} yet.")
    return _without_modern_members(await methods[method](call, params))


def _without_modern_members(result: dict[str, Any]) -> dict[str, Any]:
    """What only the stateless revision has, and what would pass an upstream off as this server."""
    kept = {name: value for name, value in result.items() if name not in _MODERN_MEMBERS}
    meta = jsonrpc.object_members(kept.get("_meta"))
    if mcp.META_SERVER_INFO in meta:
        kept["_meta"] = {name: value for name, value in meta.items() if name != mcp.META_SERVER_INFO}
    return {name: value for name, value in kept.items() if name != "_meta" or value}


def _initialize(asked: str | None) -> dict[str, Any]:
    """The revision that was asked for if we speak it, else the newest of this era (2025-11-25, lifecycle)."""
    return {
        "protocolVersion": asked if asked in mcp.LEGACY_VERSIONS else mcp.LATEST_LEGACY,
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER_INFO,
    }
