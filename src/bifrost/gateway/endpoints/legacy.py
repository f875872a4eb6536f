"""Revisions that begin with `initialize` (2024-11-05 … 2025-11-25), served without sessions."""

from collections.abc import Mapping
from typing import Any

from bifrost.gateway.methods import CAPABILITIES, SERVER_INFO, Method
from bifrost.gateway.models import Call
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError


async def answer(message: Message, call: Call, methods: Mapping[str, Method]) -> dict[str, Any]:
    """The members of the result. Raises RpcError, DomainError."""
    method, params = str(message.method), message.params or {}
    if method == mcp.INITIALIZE:
        return _initialize(jsonrpc.text(params.get("protocolVersion")))
    if method == mcp.PING:
        return {}
    if method not in methods:
        raise RpcError(jsonrpc.METHOD_NOT_FOUND, f"This gateway does not offer {method[:64]} yet.")
    return await methods[method](call, params)


def _initialize(asked: str | None) -> dict[str, Any]:
    """The revision that was asked for if we speak it, else the newest of this era (2025-11-25, lifecycle)."""
    return {
        "protocolVersion": asked if asked in mcp.LEGACY_VERSIONS else mcp.LATEST_LEGACY,
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER_INFO,
    }
