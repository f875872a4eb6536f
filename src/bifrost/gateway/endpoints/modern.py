"""The stateless revision (2026-07-28): every request stands alone, and its headers say the same as its body."""

from collections.abc import Mapping
from typing import Any

from msgspec import Raw
from starlette.requests import Request

from bifrost.gateway.methods import CAPABILITIES, SERVER_INFO, Method
from bifrost.gateway.models import Call
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError

LIST_TTL_MILLISECONDS = 0
"""What a caller may use can change at any moment, so a client asks again (contract §7: private)."""

_CACHED = {"ttlMs": LIST_TTL_MILLISECONDS, "cacheScope": mcp.PRIVATE}


async def answer(request: Request, message: Message, call: Call, methods: Mapping[str, Method]) -> dict[str, Any]:
    """The members of the result. Raises RpcError, DomainError."""
    check_headers(request, message)
    method = str(message.method)
    params = message.params or {}
    _check_meta(params.get("_meta"))
    if method == mcp.DISCOVER:
        result: dict[str, Any] = {
            "supportedVersions": list(mcp.MODERN_VERSIONS),
            "capabilities": CAPABILITIES,
            **_CACHED,
        }
    elif method in methods:
        result = await methods[method](call, params)
    else:
        raise RpcError(jsonrpc.METHOD_NOT_FOUND, f"This gateway does not offer {method[:64]} yet.")
    if method == mcp.TOOLS_LIST:
        result |= _CACHED
    return _completed(result)


def check_headers(request: Request, message: Message) -> None:
    """`Mcp-Method` and `Mcp-Name` mirror the body; a proxy may have decided by them. Raises RpcError."""
    method = str(message.method)
    if _header(request, mcp.METHOD_HEADER) != method:
        raise RpcError(mcp.HEADER_MISMATCH, "The Mcp-Method header must be there and equal the method of the body.")
    member = mcp.NAMED_METHODS.get(method)
    if member is None:
        return
    name = jsonrpc.text((message.params or {}).get(member))
    sent = _header(request, mcp.NAME_HEADER)
    if name is not None and (sent is None or mcp.header_text(sent) != name):
        raise RpcError(mcp.HEADER_MISMATCH, f"The Mcp-Name header must be there and equal params.{member}.")


def check_version(request: Request, message: Message) -> None:
    """The version header and `_meta` agree, and we speak it. Raises RpcError."""
    declared = declared_version(message)
    header = _header(request, mcp.VERSION_HEADER)
    if header not in mcp.MODERN_VERSIONS and (declared is None or declared == header):
        raise unsupported(header or "")
    if declared is not None and declared != header:
        raise RpcError(mcp.HEADER_MISMATCH, "The MCP-Protocol-Version header must equal the version in _meta.")


def declared_version(message: Message) -> str | None:
    """The revision that the body says it speaks; only the stateless revision says so."""
    meta = jsonrpc.object_members(message.params.get("_meta")) if message.params else {}
    return jsonrpc.text(meta.get(mcp.META_VERSION))


def unsupported(version: str) -> RpcError:
    data = {"supported": [*mcp.MODERN_VERSIONS, *mcp.LEGACY_VERSIONS], "requested": version[:64]}
    return RpcError(mcp.UNSUPPORTED_VERSION, "This protocol version is not supported.", jsonrpc.encode(data))


def _check_meta(raw: Raw | None) -> None:
    """Both are required of every request, a text and an object (2026-07-28, base). Raises RpcError."""
    meta = jsonrpc.object_members(raw)
    if jsonrpc.text(meta.get(mcp.META_VERSION)) is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, f"params._meta must contain {mcp.META_VERSION}, a text.")
    if not bytes(meta.get(mcp.META_CAPABILITIES, b"")).startswith(b"{"):
        raise RpcError(jsonrpc.INVALID_PARAMS, f"params._meta must contain {mcp.META_CAPABILITIES}, an object.")


def _completed(result: dict[str, Any]) -> dict[str, Any]:
    """Every result says that it is complete and who gave it (2026-07-28, base)."""
    meta = jsonrpc.object_members(result.get("_meta"))
    return {"resultType": mcp.COMPLETE, **result, "_meta": {**meta, mcp.META_SERVER_INFO: SERVER_INFO}}


def _header(request: Request, name: str) -> str | None:
    """The value of a header that appears exactly once."""
    values = request.headers.getlist(name)
    return values[0].strip() if len(values) == 1 else None
