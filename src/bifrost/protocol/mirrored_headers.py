"""`Mcp-Param-*`: header fields that repeat arguments of a tool, as its schema asks with `x-mcp-header` (2026-07-28)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import RpcError

PREFIX = "mcp-param-"
ANNOTATION = "x-mcp-header"
MAX_DEPTH = 16

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_TYPES = ("string", "integer", "boolean")
_MAX_DIGITS = 300
_INTEGER = re.compile(rf"-?[0-9]{{1,{_MAX_DIGITS}}}(\.0{{1,{_MAX_DIGITS}}})?")

Mirrored = tuple[tuple[tuple[str, ...], str], ...]


class InvalidAnnotation(Exception):
    """The schema asks for a header field that cannot be: such a tool is not to be used (2026-07-28, transports)."""


def is_field(name: str) -> bool:
    """Whether a header field of this name, in lower case, repeats an argument."""
    return name.startswith(PREFIX) and _TOKEN.fullmatch(name.removeprefix(PREFIX)) is not None


def mirrored(schema: Any) -> Mirrored:
    """Which arguments are repeated, each as its path in the arguments, and the field. Raises InvalidAnnotation."""
    found = tuple(_annotated(schema, (), set(), at_property=True, depth=0))
    names = [name.lower() for _, name in found]
    if len(set(names)) != len(names):
        raise InvalidAnnotation
    return found


def fields(wanted: Mirrored, arguments: Any) -> dict[str, str]:
    """The header fields for these arguments; one that is absent or null has none."""
    texts = ((name, _text(_at(arguments, path))) for path, name in wanted)
    return {f"{PREFIX}{name.lower()}": mcp.header_value(text) for name, text in texts if text is not None}


def fields_of(wanted: Mirrored, arguments: Raw | None) -> dict[str, str]:
    """The header fields for arguments as they came. Raises RpcError: they hold what cannot be read."""
    return fields(wanted, _read(arguments))


def check(wanted: Mirrored, sent: Mapping[str, str], arguments: Raw | None) -> None:
    """Each field that was `sent` says what its argument says, and none is missing (2026-07-28, transports).

    Raises RpcError: one does not, or the arguments hold what cannot be read.
    """
    read = _read(arguments)
    for path, name in wanted:
        if not _says(sent.get(f"{PREFIX}{name.lower()}"), _at(read, path)):
            raise RpcError(mcp.HEADER_MISMATCH, f"The Mcp-Param-{name} header must equal its argument.")


def _says(field: str | None, value: Any) -> bool:
    """Integers are compared as numbers: 42.0 is 42."""
    text = _text(value)
    if field is None or text is None:
        return field is text
    said = mcp.header_text(field)
    if said == text or said is None:
        return said is not None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and _INTEGER.fullmatch(said) is not None and int(said.partition(".")[0]) == int(text)


def _read(arguments: Raw | None) -> Any:
    """Raises RpcError."""
    try:
        return None if arguments is None else jsonrpc.value(arguments)
    except (ValueError, RecursionError) as error:
        raise RpcError(
            jsonrpc.INVALID_PARAMS,
            "The arguments of this tool hold what cannot be read, such as a number that is too large.",
        ) from error


def _annotated(
    schema: Any, path: tuple[str, ...], seen: set[int], *, at_property: bool, depth: int
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Only a property that is reached through `properties` alone may be mirrored. Raises InvalidAnnotation."""
    if not _is_new(schema, seen, at_property=at_property):
        return
    if depth > MAX_DEPTH:
        raise InvalidAnnotation
    if ANNOTATION in schema:
        if not (path and at_property and schema.get("type") in _TYPES):
            raise InvalidAnnotation
        yield path, _name(schema[ANNOTATION])
    for keyword, inner in schema.items():
        if keyword == "properties" and isinstance(inner, dict):
            for name, property_schema in inner.items():
                yield from _annotated(property_schema, (*path, name), seen, at_property=at_property, depth=depth + 1)
        elif keyword not in _DATA:
            for part in _schemas(inner):
                yield from _annotated(part, path, seen, at_property=False, depth=depth + 1)


def _is_new(schema: Any, seen: set[int], *, at_property: bool) -> bool:
    """`seen` are parts that were looked at, as no property: there are many ways to one that lies deep."""
    if not isinstance(schema, dict) or id(schema) in seen:
        return False
    if not at_property:
        seen.add(id(schema))
    return True


def _name(annotation: Any) -> str:
    """Raises InvalidAnnotation."""
    if not isinstance(annotation, str) or not _TOKEN.fullmatch(annotation):
        raise InvalidAnnotation
    return annotation


_DATA = frozenset(("const", "default", "enum", "examples"))
"""Keywords whose values are no schemas, whatever they look like."""


def _schemas(inner: Any) -> Iterator[Any]:
    if isinstance(inner, list):
        yield from inner
    elif isinstance(inner, dict):
        yield inner
        yield from inner.values()


def _at(arguments: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        arguments = arguments.get(name) if isinstance(arguments, Mapping) else None
    return arguments


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a whole number is an integer, however it is written (JSON Schema)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**_MAX_DIGITS else None
    return value if isinstance(value, str) else None
