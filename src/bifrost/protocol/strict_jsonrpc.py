"""What a client sends, with one reading only: UTF-8, no member twice where it is read here, ids and batches in bounds.

Two parsers may take two equal members differently, and then what one of them has judged is not what the other does.
Looked at are the message, its params and their `_meta`. What lies deeper is the upstream's and stays as the bytes that
came.
"""

import json
import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import INVALID_REQUEST, PARSE_ERROR, Message, RpcError

MAX_DEPTH = 256
"""Levels of objects and arrays, of a whole body. Far below what any reader of JSON behind this one can take."""

MAX_ID_CHARACTERS = 1_024
MAX_MEMBERS, MAX_NAME_CHARACTERS = 1_000, 1_024
"""Of one object that is read here."""
MAX_ID = 2**63
"""An id comes back in the answer, and is a number in other people's languages."""

_KEY = re.compile(rb'[\s{,]*("[^"\\]*(?:\\.[^"\\]*)*")\s*:\s*', re.DOTALL)
_AFTER = re.compile(rb"\s*[,}]")
_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""One without an end goes to the end, which is no JSON: looked for from each of its quotes, it would take for ever."""

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENS = bytes.maketrans(b"[{]}", bytes((1, 1, 0, 0)))
_name = msgspec.json.Decoder(str)
_items = json.JSONDecoder(object_pairs_hook=lambda _: None, parse_int=str, parse_float=str)
"""Only finds where an item ends."""


def message(raw: bytes) -> Message:
    """Raises RpcError: not JSON, nested too deep, not a JSON-RPC 2.0 message, or one with two readings."""
    check_depth(raw)
    decoded = jsonrpc.decode(raw)
    _check_id(decoded)
    envelope = jsonrpc.members(raw)
    _refuse_twice(raw.strip(), envelope)
    if decoded.params is not UNSET:
        _refuse_twice(envelope["params"], decoded.params)
        meta = decoded.params.get("_meta")
        if meta is not None:
            _refuse_twice(meta, jsonrpc.object_members(meta))
    return decoded


def batch(raw: bytes, most: int) -> list[bytes]:
    """The items of an array, each as its bytes; nothing behind the last one that is allowed is looked at.

    Raises RpcError: nested too deep, not an array, or one with no items or more than `most` (JSON-RPC 2.0 §6).
    """
    try:
        text = raw.decode().strip(" \t\r\n")
    except UnicodeDecodeError as error:
        raise RpcError(PARSE_ERROR, "The body is not UTF-8.") from error
    found: list[bytes] = []
    position = 1
    try:
        while len(found) <= most:
            start = _after_blank(text, position)
            _, end = _items.raw_decode(text, start)
            found.append(text[start:end].encode())
            position = _after_blank(text, end) + 1
            if text[position - 1] != ",":
                break
    except (ValueError, RecursionError, IndexError):
        found = []
    if not 0 < len(found) <= most or text[0] != "[" or text[position - 1 :] != "]":
        check_depth(raw)
        raise RpcError(INVALID_REQUEST, f"A batch holds 1 to {most} messages.")
    return found


def check_depth(raw: bytes) -> None:
    """Raises RpcError. Each level takes a bracket at either end; what has too few of them is not looked at."""
    if len(raw) <= 2 * MAX_DEPTH or raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", raw).translate(_OPENS, _NOT_BRACKETS)
    depths = accumulate(map((-1, 1).__getitem__, brackets))
    if any(map(MAX_DEPTH.__lt__, depths)):
        raise RpcError(PARSE_ERROR, f"The JSON is nested deeper than {MAX_DEPTH} levels.")


def _check_id(decoded: Message) -> None:
    found = decoded.id
    too_long = isinstance(found, str) and len(found) > MAX_ID_CHARACTERS
    if too_long or (isinstance(found, int) and not -MAX_ID <= found < MAX_ID):
        raise RpcError(
            INVALID_REQUEST, f"An id is a text of at most {MAX_ID_CHARACTERS} characters, or a number of 64 bits."
        )


def _refuse_twice(raw: bytes | Raw, members: Mapping[str, Any]) -> None:
    """`members` are those of the object, of equal names the last one."""
    names = "".join(members)
    if len(members) > MAX_MEMBERS or (len(names) > MAX_NAME_CHARACTERS and _has_long_name(members)):
        raise RpcError(
            INVALID_REQUEST,
            f"An object of the message has more than {MAX_MEMBERS} members, or a name of more than "
            f"{MAX_NAME_CHARACTERS} characters.",
        )
    # `{"name":value,…}` without blanks and escapes is as long as its members: then none was left out
    size = 1 + len(names.encode()) + sum(map(len, members.values())) + len(members) * len('"":,')
    if members and size != len(raw) and _is_twice(bytes(raw), members):
        raise RpcError(PARSE_ERROR, "The message contains the same member twice.")


def _has_long_name(members: Mapping[str, Any]) -> bool:
    return any(len(name) > MAX_NAME_CHARACTERS for name in members)


def _is_twice(raw: bytes, members: Mapping[str, Raw]) -> bool:
    """Walk along the names: whoever came twice has another value than the last one, or is seen again."""
    seen: set[str] = set()
    position = 0
    while key := _KEY.match(raw, position):
        name = _name.decode(key[1])
        if name in seen or name not in members:
            return True
        seen.add(name)
        value = bytes(members[name])
        position = key.end() + len(value)
        if not raw.startswith(value, key.end()) or not _AFTER.match(raw, position):
            return True
    return False


def _after_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position
