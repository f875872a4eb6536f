"""Fronts that let an MCP server of both eras look like one that knows only one of them.

The official SDK has no switch for that. What is refused, and how, is what servers of that era do: those of before
2026-07-28 look at the version header and know no other method than `initialize` without a session; those of 2026-07-28
alone answer everything that does not name their revision with the list of what they speak (2026-07-28, versioning).
"""

import json
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

LEGACY_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
UNSUPPORTED_VERSION = -32022
SERVER_ERROR = -32000


def legacy_only(app: ASGIApp) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        version = _version(scope)
        if version is None or version in LEGACY_VERSIONS:
            return await app(scope, receive, send)
        known = ", ".join(LEGACY_VERSIONS)
        text = f"Bad Request: Unsupported protocol version (supported versions: {known})"
        return await _refuse(send, 400, {"code": SERVER_ERROR, "message": text})

    return serve


def modern_only(app: ASGIApp) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        if scope["method"] != "POST":
            return await _refuse(send, 405, {"code": SERVER_ERROR, "message": "Method not allowed."})
        version = _version(scope)
        if version == MODERN:
            return await app(scope, receive, send)
        data = {"supported": [MODERN], "requested": version or ""}
        error = {"code": UNSUPPORTED_VERSION, "message": "Unsupported protocol version", "data": data}
        return await _refuse(send, 400, error)

    return serve


FRONTS: Mapping[str, Callable[[ASGIApp], ASGIApp]] = {"legacy": legacy_only, "modern": modern_only}


def _version(scope: Scope) -> str | None:
    headers = dict(scope.get("headers") or ())
    named = headers.get(b"mcp-protocol-version")
    return None if named is None else named.decode("latin-1")


async def _refuse(send: Send, status: int, error: Mapping[str, object]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
