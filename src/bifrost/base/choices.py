"""The values of a member that is one of a few: msgspec says that a value is none of them, not which they are."""

import re

from msgspec.inspect import DictType, LiteralType, Metadata, StructType, Type, UnionType, VarTupleType, type_info

_STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")


def choices(kind: type, path: str) -> str:
    """The end of a sentence about the member at `path`; empty for one that is not one of a few.

    `path` as msgspec writes it, without the `$.`: `mcp.client_configs[0].auth_type`.
    """
    found = list(_plain(type_info(kind)))
    for step in _STEP.findall(path):
        found = [inner for outer in found for inner in _inside(outer, step)]
    values = [str(value) for one in found if isinstance(one, LiteralType) for value in one.values if value != ""]
    return f"; it is one of {', '.join(values)}" if values else ""


def _plain(kind: Type) -> list[Type]:
    if isinstance(kind, Metadata):
        return _plain(kind.type)
    if isinstance(kind, UnionType):
        return [one for member in kind.types for one in _plain(member)]
    return [kind]


def _inside(kind: Type, step: str) -> list[Type]:
    if isinstance(kind, StructType):
        return [one for field in kind.fields if field.encode_name == step for one in _plain(field.type)]
    if isinstance(kind, VarTupleType):
        return _plain(kind.item_type)
    return _plain(kind.value_type) if isinstance(kind, DictType) else []
