"""Arguments that are repeated in header fields (2026-07-28, transports): which, and how."""

from typing import Any

import pytest
from msgspec import Raw

from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError
from bifrost.protocol.mirrored_headers import InvalidAnnotation, fields, fields_of, mirrored


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_an_annotated_property_is_mirrored_under_the_name_it_asks_for() -> None:
    """T5, G18: also a nested one, by its path."""
    nested = schema(zone={"type": "integer", "x-mcp-header": "Zone"})
    wanted = mirrored(schema(region={"type": "string", "x-mcp-header": "Region"}, at=nested, other={"type": "string"}))
    assert wanted == ((("region",), "Region"), (("at", "zone"), "Zone"))
    arguments = {"region": "größe", "at": {"zone": 7}, "other": "x"}
    assert fields(wanted, arguments) == {"mcp-param-region": "=?base64?Z3LDtsOfZQ==?=", "mcp-param-zone": "7"}


@pytest.mark.parametrize("arguments", [None, {}, [], "x", {"region": None}, {"region": {}}, {"region": 10**5000}])
def test_what_is_absent_or_cannot_be_written_has_no_field(arguments: Any) -> None:
    """T5."""
    assert fields(((("region",), "Region"),), arguments) == {}


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (0, "0"), (-5, "-5"), ("", "=?base64??="), ("a b", "a b")]
)
def test_values_are_written_as_the_revision_says(value: Any, text: str) -> None:
    """T5."""
    assert fields(((("v",), "V"),), {"v": value}) == {"mcp-param-v": text}


@pytest.mark.parametrize(
    "wrong",
    [
        {"x-mcp-header": "Root", "type": "object"},
        schema(a={"type": "string", "x-mcp-header": ""}),
        schema(a={"type": "string", "x-mcp-header": "No Token"}),
        schema(a={"type": "string", "x-mcp-header": 5}),
        schema(a={"type": "number", "x-mcp-header": "A"}),
        schema(a={"type": ["string"], "x-mcp-header": "A"}),
        schema(a={"x-mcp-header": "A"}),
        schema(a={"type": "string", "x-mcp-header": "A"}, b={"type": "string", "x-mcp-header": "a"}),
        schema(a={"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}),
        {"anyOf": [schema(a={"type": "string", "x-mcp-header": "A"})]},
        {"$defs": {"d": schema(a={"type": "string", "x-mcp-header": "A"})}},
    ],
)
def test_a_schema_that_asks_for_the_impossible_is_invalid(wrong: dict[str, Any]) -> None:
    """G18: such a tool is left out."""
    with pytest.raises(InvalidAnnotation):
        mirrored(wrong)


@pytest.mark.parametrize("harmless", [None, True, [], "x", {}, {"properties": 5}, {"default": {"x-mcp-header": "A"}}])
def test_a_schema_without_annotations_mirrors_nothing(harmless: Any) -> None:
    """Values that only look like schemas are none."""
    assert mirrored(harmless) == ()


def test_a_schema_that_is_wide_where_it_is_deep_is_looked_at_once() -> None:
    """TC-211: each of its parts was looked at in every way that leads to it, which an upstream can make take hours."""
    looks = 0

    class Part(dict[str, Any]):
        def items(self) -> Any:
            nonlocal looks
            looks += 1
            return super().items()

    wide = Part({f"k{number}": Part() for number in range(1_000)})
    for _ in range(13):
        wide = Part(items=wide)
    assert mirrored(wide) == ()
    assert looks == 1_000 + 14


def test_a_schema_without_a_bottom_is_invalid() -> None:
    """T24: bounds on composition."""
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = schema(a=deep)
    with pytest.raises(InvalidAnnotation):
        mirrored(deep)


@pytest.mark.parametrize("arguments", [b'{"a":1e999}', b'{"a":%s}' % (b"1" * 5_000)], ids=["too large", "too long"])
def test_arguments_that_cannot_be_read_are_invalid_params(arguments: bytes) -> None:
    """JSON-RPC 2.0 §5.1: a clear answer, and not an internal error."""
    wanted = mirrored(schema(region={"type": "string", "x-mcp-header": "Region"}))
    assert fields_of(wanted, None) == {}
    assert fields_of(wanted, Raw(b'{"region":"eu"}')) == {"mcp-param-region": "eu"}
    with pytest.raises(RpcError, match="cannot be read") as refused:
        fields_of(wanted, Raw(arguments))
    assert refused.value.code == jsonrpc.INVALID_PARAMS
