"""JSON-RPC 2.0 envelopes. What passes through stays as the bytes that came."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000

MAX_MENDED_BYTES = 4 * 1024 * 1024
_LONE_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*)(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
"""After an even number of backslashes, or the first is a character of its own."""

Id = str | int


class Message(msgspec.Struct):
    """A request, a notification (no `id`) or a response (no `method`)."""

    jsonrpc: str
    id: Id | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: dict[str, Raw] | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class ErrorObject(msgspec.Struct):
    code: int
    message: str
    data: Raw | UnsetType = UNSET


class RpcError(Exception):
    """An error answer to one request. `data` is encoded already, and so is `more`: members that nobody here knows."""

    def __init__(
        self, code: int, message: str, data: bytes | None = None, more: Mapping[str, Raw] = MappingProxyType({})
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.more = more


_message = msgspec.json.Decoder(Message)
_members = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_error = msgspec.json.Decoder(ErrorObject)
_any = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def decode(raw: bytes) -> Message:
    """Raises RpcError: not JSON, or not a JSON-RPC 2.0 message."""
    try:
        if not raw.isascii():
            raw.decode()  # what is passed on unread has to be UTF-8 as well (RFC 8259 §8.1)
        message = _message.decode(raw)
    except msgspec.ValidationError as error:
        raise RpcError(INVALID_REQUEST, "Not a JSON-RPC 2.0 message.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, "The body is not valid JSON.") from error
    if message.jsonrpc != "2.0":
        raise RpcError(INVALID_REQUEST, "Not a JSON-RPC 2.0 message.")
    return message


def decode_leniently(raw: bytes) -> Message:
    """The same for what a server says: half of a surrogate pair becomes U+FFFD (RFC 8259 §8.2).

    Programs that count in UTF-16 cut texts in the middle of a character, which is no reason to lose the answer.
    Raises RpcError.
    """
    try:
        return decode(raw)
    except RpcError:
        if len(raw) > MAX_MENDED_BYTES:
            raise
    return decode(_LONE_SURROGATE.sub(rb"\1\\ufffd", raw))


def members(raw: Raw | bytes) -> dict[str, Raw]:
    """The members of an object, each as its bytes. Raises ValueError."""
    return _members.decode(raw)


def object_members(value: Raw | Mapping[str, Any] | None) -> dict[str, Any]:
    """The members of an object that came as bytes or is one already; none when it is something else."""
    if not isinstance(value, Raw):
        return dict(value or {})
    try:
        return dict(_members.decode(value))
    except (ValueError, RecursionError):
        return {}


def items(raw: Raw | bytes) -> list[Raw]:
    """The members of an array, each as its bytes. Raises ValueError."""
    return _items.decode(raw)


def value(raw: Raw | bytes) -> Any:
    """Raises ValueError."""
    return _any.decode(raw)


def text(raw: Raw | None) -> str | None:
    """The string in these bytes, or None when they hold something else."""
    try:
        decoded = _any.decode(raw) if raw is not None else None
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, str) else None


def raw(thing: object) -> Raw:
    """The bytes of a value, to stand among members that came as bytes."""
    return Raw(_encoder.encode(thing))


def encode(thing: object) -> bytes:
    return _encoder.encode(thing)


def request(request_id: Id, method: str, params: Mapping[str, Any]) -> bytes:
    return _encoder.encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def notification(method: str, params: Mapping[str, Any] | None = None) -> bytes:
    message = {"jsonrpc": "2.0", "method": method}
    return _encoder.encode(message if params is None else {**message, "params": params})


def result_response(request_id: Id, result: object) -> bytes:
    """A result that is Raw goes out as the bytes that came."""
    return _encoder.encode({"jsonrpc": "2.0", "id": request_id, "result": result})


def outcome(message: Message) -> Raw:
    """The result of a response, as its bytes. Raises RpcError when it is an error, or neither."""
    if message.error is not UNSET:
        raise error_from(message.error)
    if message.result is UNSET or not bytes(message.result).startswith(b"{"):
        raise RpcError(INTERNAL_ERROR, "The answer has no result that is an object.")
    return message.result


def error_response(request_id: Id | None, error: RpcError) -> bytes:
    data = {} if error.data is None else {"data": Raw(error.data)}
    body = {"code": error.code, "message": error.message, **data, **error.more}
    return _encoder.encode({"jsonrpc": "2.0", "id": request_id, "error": body})


def error_from(raw: Raw | bytes) -> RpcError:
    """An error object as another server sent it."""
    try:
        error, found = _error.decode(raw), _members.decode(raw)
    except (ValueError, RecursionError):
        return RpcError(INTERNAL_ERROR, "The server answered with an error that cannot be read.")
    more = {name: value for name, value in found.items() if name not in ErrorObject.__struct_fields__}
    return RpcError(error.code, error.message, bytes(error.data) if error.data is not UNSET else None, more)
