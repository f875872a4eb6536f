"""A sample upstream MCP server with a notebook to try, in both protocol eras.

    python -m bifrost.quickstart.upstream [--port 8181]

It listens on loopback only, keeps no sessions and holds everything in memory. Legacy clients (2024-11-05 to
2025-11-25) open with `initialize`; clients of 2026-07-28 send self-contained requests.
"""

import argparse
import re
import signal
import socket
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bifrost import __version__
from bifrost.protocol import jsonrpc, mcp
from bifrost.quickstart import eras
from bifrost.quickstart.accounts import Accounts
from bifrost.quickstart.eras import Refusal
from bifrost.quickstart.notebook import TOOLS, Caller, Notebook, ToolRefusal

DEFAULT_PORT: Final = 8181
#: Services of this server that ask everybody for an account of their own, at `/NAME/mcp`.
ACCOUNT_SERVICES: Final = ("diary", "recipes")
#: Accounts of a service whose notebooks are kept.
MAX_ACCOUNTS: Final = 100
MAX_BODY_BYTES: Final = 64 * 1024
#: How long a client may keep the tool list, which never changes while the server runs. Milliseconds.
LIST_TTL_MS: Final = 60_000
#: Connections at once; further ones are told 503.
MAX_CONNECTIONS: Final = 64
#: Seconds an idle connection stays open, so that a gateway can use it again.
KEEP_ALIVE_SECONDS: Final = 65
#: Seconds requests may take to finish after SIGTERM; every tool answers at once.
GRACE_SECONDS: Final = 2

SERVER_INFO: Final = {"name": "bifrost-sample-notes", "title": "Sample notebook", "version": __version__}
INSTRUCTIONS: Final = "A notebook to try things with: add notes, list them, search them, and ask who is calling."

_LOOPBACK: Final = r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?"
_LOOPBACK_HOST: Final = re.compile(_LOOPBACK, re.IGNORECASE)
_LOOPBACK_ORIGIN: Final = re.compile(rf"https?://{_LOOPBACK}", re.IGNORECASE)
#: HTTP status of a JSON-RPC error in the modern era; codes not listed are 200 (streamable-http "Sending Messages").
_MODERN_STATUS: Final = {
    jsonrpc.PARSE_ERROR: 400,
    jsonrpc.INVALID_REQUEST: 400,
    jsonrpc.INVALID_PARAMS: 400,
    mcp.HEADER_MISMATCH: 400,
    mcp.UNSUPPORTED_VERSION: 400,
    jsonrpc.METHOD_NOT_FOUND: 404,
}


@dataclass(frozen=True, slots=True)
class LoopbackOnly:
    """Refuses requests that reached loopback by another name, as a page under DNS rebinding would (421, 403)."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Request(scope).headers
        if len(headers.getlist("host")) != 1 or not _LOOPBACK_HOST.fullmatch(headers["host"]):
            await PlainTextResponse("Host is not a loopback name", 421)(scope, receive, send)
        elif any(not _LOOPBACK_ORIGIN.fullmatch(origin) for origin in headers.getlist("origin")):
            await PlainTextResponse("Origin is not allowed", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class McpEndpoint:
    """`POST /mcp` for both eras over one notebook."""

    notebook: Notebook

    async def __call__(self, request: Request) -> Response:
        """Answer one message: 200 or an error with a JSON-RPC body, or 202 for a notification."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return PlainTextResponse("Content-Type must be application/json", 415)
        accepted = request.headers.get("accept", "*/*").lower()
        if not any(kind in accepted for kind in ("application/json", "application/*", "*/*")):
            return PlainTextResponse("The answer is application/json", 406)
        body = await _read(request)
        if body is None:
            return PlainTextResponse(f"A message has at most {MAX_BODY_BYTES} bytes", 413)
        try:
            message = _message(body)
        except Refusal as refusal:
            return _json(400, {"jsonrpc": "2.0", "id": None, "error": refusal.as_json()})
        if eras.is_modern(request.headers, message):
            return self._modern(request, message)
        return self._legacy(request, message)

    def _modern(self, request: Request, message: Mapping[str, Any]) -> Response:
        request_id = message.get("id")
        try:
            if "id" not in message:
                eras.check_notification(message, request.headers)
                return Response(status_code=202)
            eras.check_modern_request(message, request.headers.items())
            result = self._modern_result(message, _caller(request, message))
        except Refusal as refusal:
            status = _MODERN_STATUS.get(refusal.code, 200)
            return _json(status, {"jsonrpc": "2.0", "id": request_id, "error": refusal.as_json()})
        result |= {"resultType": "complete", "_meta": {mcp.META_SERVER_INFO: SERVER_INFO}}
        return _json(200, {"jsonrpc": "2.0", "id": request_id, "result": result})

    def _modern_result(self, message: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        # the list is the same for everyone, so that a shared cache may keep it
        cacheable = {"ttlMs": LIST_TTL_MS, "cacheScope": "public"}
        match message["method"]:
            case "server/discover":
                return {
                    "supportedVersions": [mcp.MODERN],
                    "capabilities": {"tools": {}},
                    "instructions": INSTRUCTIONS,
                    **cacheable,
                }
            case "tools/list":
                return _tool_list(message) | cacheable
            case "tools/call":
                return self._call(message, caller)
        raise Refusal(jsonrpc.METHOD_NOT_FOUND, "Method not found")

    def _legacy(self, request: Request, message: Mapping[str, Any]) -> Response:
        # without sessions there is nothing a notification or an answer could act on: both are only acknowledged
        if "method" not in message or "id" not in message:
            return Response(status_code=202)
        try:
            result = self._legacy_result(message, _caller(request, message))
        except Refusal as refusal:
            return _json(200, {"jsonrpc": "2.0", "id": message["id"], "error": refusal.as_json()})
        return _json(200, {"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _legacy_result(self, message: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        match message["method"]:
            case "initialize":
                asked = message.get("params", {}).get("protocolVersion")
                return {
                    "protocolVersion": asked if asked in mcp.LEGACY_VERSIONS else mcp.LATEST_LEGACY,
                    "capabilities": {"tools": {}},
                    "serverInfo": SERVER_INFO,
                    "instructions": INSTRUCTIONS,
                }
            case "ping":
                return {}
            case "tools/list":
                return _tool_list(message)
            case "tools/call":
                return self._call(message, caller)
        raise Refusal(jsonrpc.METHOD_NOT_FOUND, "Method not found")

    def _call(self, message: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """The result of `tools/call`; what a tool cannot do is a result too, so that the model can read why."""
        params = message.get("params", {})
        name, arguments = params.get("name"), params.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise Refusal(jsonrpc.INVALID_PARAMS, "tools/call takes a `name` and an object of `arguments`")
        if name not in {tool["name"] for tool in TOOLS}:
            raise Refusal(jsonrpc.INVALID_PARAMS, f"Unknown tool: {name[:64]}")
        try:
            answer = self.notebook.call(name, arguments, caller)
        except ToolRefusal as refusal:
            return {"content": [{"type": "text", "text": str(refusal)}], "isError": True}
        text = msgspec.json.encode(answer).decode()
        return {"content": [{"type": "text", "text": text}], "structuredContent": answer, "isError": False}


@dataclass(slots=True)
class GuardedEndpoint:
    """`POST /{service}/mcp`: a notebook for each account, for whoever brings a token of it."""

    accounts: Accounts
    _notebooks: OrderedDict[str, Notebook] = field(default_factory=OrderedDict)

    async def __call__(self, request: Request) -> Response:
        """401 with the address of the metadata (RFC 9728 §5.1), or the answer of the account's own notebook."""
        account = self.accounts.account_of(request.headers.get("authorization", ""))
        if account is None:
            return Response(status_code=401, headers={"WWW-Authenticate": self.accounts.challenge()})
        notebook = self._notebooks.setdefault(account, Notebook())
        while len(self._notebooks) > MAX_ACCOUNTS:
            self._notebooks.popitem(last=False)
        return await McpEndpoint(notebook)(request)


def create_app(notebook: Notebook | None = None, *, origin: str = "") -> Starlette:
    """The sample server as an ASGI application: `/mcp` for everybody and, where its own `origin` is known, the services
    that ask for an account.
    """
    endpoint = McpEndpoint(notebook if notebook is not None else Notebook())
    routes = [Route("/mcp", endpoint.__call__, methods=["POST"])]
    for service in ACCOUNT_SERVICES if origin else ():
        accounts = Accounts(f"Sample {service}", f"{origin}/{service}", f"{origin}/{service}/mcp")
        guarded = Route(f"/{service}/mcp", GuardedEndpoint(accounts).__call__, methods=["POST"])
        routes += [guarded, *accounts.routes()]
    return Starlette(routes=routes, middleware=[Middleware(LoopbackOnly)])


async def _read(request: Request) -> bytes | None:
    """The body, or None when it is longer than `MAX_BODY_BYTES`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _message(body: bytes) -> dict[str, Any]:
    """One JSON-RPC 2.0 message; batches (2025-03-26 only) are not taken."""
    try:
        message = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(jsonrpc.PARSE_ERROR, "Parse error") from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise Refusal(jsonrpc.INVALID_REQUEST, "The body must be one JSON-RPC 2.0 message")
    request_id = message.get("id", 0)
    method_is_text = isinstance(message.get("method", ""), str)
    # bool is an int to Python, not to JSON-RPC
    if not method_is_text or isinstance(request_id, bool) or not isinstance(request_id, str | int):
        raise Refusal(jsonrpc.INVALID_REQUEST, "`method` must be text and `id` text or an integer")
    if "method" not in message and not {"result", "error"} & set(message):
        raise Refusal(jsonrpc.INVALID_REQUEST, "`method` is missing")
    if not isinstance(message.get("params", {}), dict):
        raise Refusal(jsonrpc.INVALID_PARAMS, "`params` must be an object")
    return message


def _tool_list(message: Mapping[str, Any]) -> dict[str, Any]:
    if message.get("params", {}).get("cursor") is not None:
        raise Refusal(jsonrpc.INVALID_PARAMS, "No list of this server has a second page")
    return {"tools": list(TOOLS)}


def _caller(request: Request, message: Mapping[str, Any]) -> Caller:
    info = eras.meta_of(message).get(mcp.META_CLIENT_INFO)
    return Caller(headers=request.headers, client_info=info if isinstance(info, dict) else None)


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 0 then, 1 when the port is taken."""
    parser = argparse.ArgumentParser(
        prog="python -m bifrost.quickstart.upstream", description="A sample MCP server: a notebook, on loopback."
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    options = parser.parse_args(arguments)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", options.port))
    except (OSError, OverflowError):
        print(f"Port {options.port} cannot be used on 127.0.0.1; choose another with --port.", file=sys.stderr)
        return 1
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    print(f"Sample upstream: {origin}/mcp", flush=True)
    # uvicorn stops cleanly and then raises the signal again; by then there is nothing left for it to do
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda _number, _frame: None)
    config = uvicorn.Config(
        create_app(origin=origin),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
