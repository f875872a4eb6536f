"""JSON with parts that are spelt exactly as they were given, to see that whoever passes them on spells them the same."""

import json
from typing import Any

import msgspec
from msgspec import Raw

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Private characters: nothing else of a message has them around a number."""


def written(message: Any) -> bytes:
    """With every character as itself, which most of them may be in JSON, and each `msgspec.Raw` as its bytes."""
    pieces: list[bytes] = []

    def kept(raw: Raw) -> str:
        pieces.append(bytes(raw))
        return f"{_OPEN}{len(pieces) - 1}{_CLOSE}"

    text = json.dumps(message, ensure_ascii=False, default=kept).encode()
    for number, piece in enumerate(pieces):
        text = text.replace(f'"{_OPEN}{number}{_CLOSE}"'.encode(), piece)
    return text


def member(raw: bytes, *path: str | int) -> bytes:
    """The bytes of the value at this path: names of members and places in lists. Raises KeyError, IndexError."""
    for step in path:
        raw = bytes(_list(raw)[step] if isinstance(step, int) else _object(raw)[step])
    return raw


def _object(raw: bytes) -> dict[str, Raw]:
    return msgspec.json.decode(raw, type=dict[str, Raw])


def _list(raw: bytes) -> list[Raw]:
    return msgspec.json.decode(raw, type=list[Raw])
