"""The stateless revision (2026-07-28): every request stands alone, and its headers say the same as its body."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from bifrost.gateway.discovery import Discovery
from bifrost.gateway.endpoints.answer import EventStream, event
from bifrost.gateway.extensions import Extensions
from bifrost.gateway.methods import SERVER_INFO, Method, Result
from bifrost.gateway.models import Call, Client
from bifrost.gateway.questions import Emit, StatelessClient
from bifrost.gateway.stream import Stream
from bifrost.gateway.subscriptions import Subscriptions
from bifrost.protocol import caching, jsonrpc, mcp, mirrored_headers
from bifrost.protocol.jsonrpc import Id, Message, RpcError

_CACHED = {caching.TTL: 0, "cacheScope": mcp.PRIVATE}
"""What says nothing itself: a client asks again (contract §7: private)."""

_CACHEABLE = (mcp.TOOLS_LIST, mcp.RESOURCES_LIST, mcp.TEMPLATES_LIST, mcp.PROMPTS_LIST, mcp.RESOURCES_READ)
_OUR_NAME = b'"_meta":' + jsonrpc.encode({mcp.META_SERVER_INFO: SERVER_INFO})
_COMPLETE = b'{"resultType":"complete",' + _OUR_NAME
_MIRRORED = mirrored_headers.PREFIX.encode()
MAX_CAPABILITIES_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Modern:
    methods: Mapping[str, Method]
    extensions: Extensions
    discovery: Discovery
    subscriptions: Subscriptions

    async def answer(self, message: Message, call: Call) -> Result:
        """The result. Raises RpcError, DomainError."""
        method, params = str(message.method), message.params or {}
        if method == mcp.DISCOVER:
            offered = await self.discovery.offered(call)
            return _completed({"supportedVersions": list(mcp.MODERN_VERSIONS), **offered, **_CACHED})
        if method not in self.methods:
            return _completed(await self.extensions.call(call, method, params))
        result = await self.methods[method](call, params)
        if method in _CACHEABLE:
            members = _members(result)
            return _completed({**_CACHED, **members, **_own_cache(members)})
        return _completed(result)

    async def listen(self, message: Message, call: Call, request_id: Id) -> Response:
        """`subscriptions/listen`: first what is honoured, then the news, and a result at the end.

        Raises RpcError, DomainError.
        """
        stream, honoured = await self.subscriptions.listen(call, message.params or {}, request_id)
        first = jsonrpc.notification(mcp.ACKNOWLEDGED, stream.marked({"notifications": jsonrpc.raw(honoured)}))

        return EventStream(
            _events(stream, first, request_id),
            stop=stream.end,
            closing=lambda: self.subscriptions.leave(stream),
            moved=partial(self.subscriptions.streams.moved, stream),
        )


def is_named(request: Request) -> bool:
    """Whether the version header names this revision."""
    return request.headers.get(mcp.VERSION_HEADER, "").strip() in mcp.MODERN_VERSIONS


def speaks(request: Request, message: Message) -> bool:
    """The era of a request: what its header says, checked against what its body says. Raises RpcError.

    A request without a version header is of the older era, unless its body says otherwise, which is a mismatch.
    """
    header = request.headers.get(mcp.VERSION_HEADER, "").strip() or None
    if declared_version(message) is None and (header is None or header in mcp.LEGACY_VERSIONS):
        return False
    check_version(request, message)
    return True


def client(request: Request, message: Message, emit: Emit) -> Client:
    """What this request says of the client. Raises RpcError."""
    meta = jsonrpc.object_members((message.params or {}).get("_meta"))
    capabilities = bytes(meta.get(mcp.META_CAPABILITIES, b""))
    # both are required of every request, a text and an object (2026-07-28, base)
    if jsonrpc.text(meta.get(mcp.META_VERSION)) is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, f"params._meta must contain {mcp.META_VERSION}, a text.")
    if not capabilities.startswith(b"{"):
        raise RpcError(jsonrpc.INVALID_PARAMS, f"params._meta must contain {mcp.META_CAPABILITIES}, an object.")
    if len(capabilities) > MAX_CAPABILITIES_BYTES:
        raise RpcError(
            jsonrpc.INVALID_PARAMS, f"{mcp.META_CAPABILITIES} is larger than {MAX_CAPABILITIES_BYTES} bytes."
        )
    level = jsonrpc.text(meta.get(mcp.META_LOG_LEVEL)) or ""
    return Client(
        version=mcp.MODERN,
        capabilities=capabilities,
        log_level=level if level in mcp.LOG_LEVELS else "",
        requester=StatelessClient(level, emit),
        mirrored=_mirrored(request),
    )


def _mirrored(request: Request) -> dict[str, str]:
    """A field that comes twice is one whose value is both (RFC 9110 §5.3), and so equals no argument."""
    found: dict[str, str] = {}
    for raw_name, raw in request.headers.raw:
        if raw_name.startswith(_MIRRORED):
            name, value = raw_name.decode("latin-1"), raw.decode("latin-1")
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


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
        raise unsupported(header or "", older=declared is None)
    if declared is not None and declared != header:
        raise RpcError(mcp.HEADER_MISMATCH, "The MCP-Protocol-Version header must equal the version in _meta.")


def declared_version(message: Message) -> str | None:
    """The revision that the body says it speaks; only the stateless revision says so."""
    meta = jsonrpc.object_members(message.params.get("_meta")) if message.params else {}
    return jsonrpc.text(meta.get(mcp.META_VERSION))


def unsupported(version: str, *, older: bool) -> RpcError:
    """`older`: the request may come from a client of the older era, which has more to choose from."""
    supported = [*mcp.MODERN_VERSIONS, *(mcp.LEGACY_VERSIONS if older else ())]
    data = {"supported": supported, "requested": version[:64]}
    return RpcError(mcp.UNSUPPORTED_VERSION, "This protocol version is not supported.", jsonrpc.encode(data))


def _completed(result: Result) -> Result:
    """Every result says that it is complete and who gave it (2026-07-28, base).

    An upstream's result that says nothing of either gets both in front of the bytes that came.
    """
    if isinstance(result, Raw):
        raw = bytes(result)
        if b'"resultType"' not in raw and b'"_meta"' not in raw:
            return Raw(_COMPLETE + (b"," + raw[1:] if raw[1:].strip() != b"}" else b"}"))
    members = _members(result)
    meta = jsonrpc.object_members(members.get("_meta"))
    return {"resultType": mcp.COMPLETE, **members, "_meta": {**meta, mcp.META_SERVER_INFO: SERVER_INFO}}


def _members(result: Result) -> dict[str, Any]:
    return jsonrpc.object_members(result)


def _own_cache(members: dict[str, Any]) -> dict[str, Any]:
    """Whatever an upstream says, it was said to this caller; and a time that cannot be is none."""
    said = members.get(caching.TTL)
    return {"cacheScope": mcp.PRIVATE, **({caching.TTL: caching.ttl(said)} if isinstance(said, Raw) else {})}


async def _events(stream: Stream, first: bytes, request_id: Id) -> AsyncIterator[bytes]:
    yield event(first)
    while (message := await stream.next()) is not None:
        yield event(message)
    ended = {"resultType": mcp.COMPLETE, "_meta": {mcp.META_SUBSCRIPTION: request_id}}
    yield event(jsonrpc.result_response(request_id, ended))


def _header(request: Request, name: str) -> str | None:
    """The value of a header that appears exactly once."""
    values = request.headers.getlist(name)
    return values[0].strip() if len(values) == 1 else None
