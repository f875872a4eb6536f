"""How the sample upstream tells the protocol eras apart, and the checks the newer one asks for.

MCP 2026-07-28 (basic/index "Per-request protocol fields", basic/transports/streamable-http "Server Validation").
Pure functions over one decoded message and its headers; no I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bifrost.protocol import jsonrpc, mcp


@dataclass(eq=False)
class Refusal(Exception):
    """A JSON-RPC error to answer with; the HTTP status follows from the era and the code."""

    code: int
    message: str
    data: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The `error` member of the response."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return error if self.data is None else error | {"data": self.data}


def is_modern(headers: Mapping[str, str], message: Mapping[str, Any]) -> bool:
    """Whether a message belongs to the stateless era.

    The header decides; without one, a message that carries the modern `_meta` member is a modern one that forgot
    its header, and must be told so rather than be taken for a message of 2025-03-26.
    """
    return version_of(headers) not in (None, *mcp.LEGACY_VERSIONS) or mcp.META_VERSION in meta_of(message)


def version_of(headers: Mapping[str, str]) -> str | None:
    """The version header. Blanks around it are no part of it (RFC 9110 §5.5), but the parser leaves trailing ones."""
    value = headers.get(mcp.VERSION_HEADER)
    return None if value is None else value.strip(" \t")


def meta_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """`params._meta`, or an empty mapping."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta if isinstance(meta, dict) else {}


def check_notification(message: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Refuse a message without `id` that is no notification, or is one of a revision that is not served."""
    _check_has_method(message)
    check_version(version_of(headers))


def check_modern_request(message: Mapping[str, Any], headers: list[tuple[str, str]]) -> None:
    """Refuse a request of 2026-07-28 whose `_meta` or routing headers are not as the revision asks.

    `headers` are the raw lines with lower-case names, because a repeated routing header is a mismatch too. A
    disagreement between header and body is reported before an unsupported version.
    """
    _check_has_method(message)
    meta = meta_of(message)
    missing = [name for name in (mcp.META_VERSION, mcp.META_CAPABILITIES) if name not in meta]
    if missing:
        raise Refusal(jsonrpc.INVALID_PARAMS, f"params._meta lacks {' and '.join(missing)}")
    if not isinstance(meta[mcp.META_CAPABILITIES], dict):
        raise Refusal(jsonrpc.INVALID_PARAMS, f"{mcp.META_CAPABILITIES} must be an object")
    _check_routing_headers(message, meta[mcp.META_VERSION], headers)
    check_version(meta[mcp.META_VERSION])


def _check_has_method(message: Mapping[str, Any]) -> None:
    if "method" not in message:
        raise Refusal(jsonrpc.INVALID_REQUEST, "This revision has no messages that answer the server")


def check_version(version: str | None) -> None:
    """Refuse a version that is not the modern one, naming those that are served."""
    if version != mcp.MODERN:
        data = {"supported": [mcp.MODERN], "requested": version or ""}
        raise Refusal(mcp.UNSUPPORTED_VERSION, "Unsupported protocol version", data)


def _check_routing_headers(message: Mapping[str, Any], version: object, headers: list[tuple[str, str]]) -> None:
    expected: dict[str, object] = {mcp.VERSION_HEADER: version, mcp.METHOD_HEADER: message["method"]}
    parameter = mcp.NAMED_METHODS.get(message["method"])
    # a call that names nothing is the method's own error to report
    if parameter is not None and message["params"].get(parameter) is not None:
        expected[mcp.NAME_HEADER] = message["params"][parameter]
    for name in (mcp.VERSION_HEADER, mcp.METHOD_HEADER, mcp.NAME_HEADER):
        values = [value.strip(" \t") for header, value in headers if header == name]
        if len(values) > 1:
            raise Refusal(mcp.HEADER_MISMATCH, f"{name} is there more than once")
        if name not in expected:
            continue
        given = values[0] if values else None
        if given is not None and name == mcp.NAME_HEADER:
            given = mcp.header_text(given)
        if given is None or given != expected[name]:
            raise Refusal(mcp.HEADER_MISMATCH, f"{name} does not say what the body says")
