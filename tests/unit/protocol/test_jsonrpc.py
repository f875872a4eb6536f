"""JSON-RPC envelopes."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=10,
)


def test_a_request_keeps_its_parameters_as_the_bytes_that_came() -> None:
    """Contract §7: unknown members pass through unharmed."""
    message = jsonrpc.decode(b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"a": 1.50, "b":{"z":1,"a":2}},"x":1}')
    assert (message.id, message.method) == (7, "m")
    assert message.params is not UNSET
    assert {name: bytes(raw) for name, raw in message.params.items()} == {"a": b"1.50", "b": b'{"z":1,"a":2}'}


@pytest.mark.parametrize("request_id", [0, -1, 2**53, "", "ü", "7"])
def test_an_id_is_a_number_or_a_text_and_comes_back_the_same(request_id: str | int) -> None:
    """JSON-RPC 2.0 §4; MCP: ids are strings or integers."""
    sent = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "m"}).encode()
    decoded = jsonrpc.decode(sent).id
    assert decoded == request_id
    assert type(decoded) is type(request_id)
    answer = json.loads(jsonrpc.result_response(request_id, {}))
    assert answer == {"jsonrpc": "2.0", "id": request_id, "result": {}}


def test_a_notification_has_no_id_and_a_null_id_is_not_the_same() -> None:
    """JSON-RPC 2.0 §4.1."""
    assert jsonrpc.decode(b'{"jsonrpc":"2.0","method":"notifications/initialized"}').id is UNSET
    assert jsonrpc.decode(b'{"jsonrpc":"2.0","id":null,"method":"m"}').id is None


def test_a_response_has_no_method() -> None:
    """JSON-RPC 2.0 §5."""
    message = jsonrpc.decode(b'{"jsonrpc":"2.0","id":1,"result":{"x":1}}')
    assert message.method is UNSET
    assert message.error is UNSET
    assert message.result is not UNSET
    assert bytes(message.result) == b'{"x":1}'


@pytest.mark.parametrize(
    "raw",
    [b"[]", b"{}", b"null", b"5", b'"x"', b'[{"jsonrpc":"2.0","id":1,"method":"m"}]', b'{"jsonrpc":"1.0","method":"m"}']
    + [b'{"id":1,"method":"m"}', b'{"jsonrpc":2.0,"method":"m"}', b'{"jsonrpc":"2.0","method":5}']
    + [b'{"jsonrpc":"2.0","id":true,"method":"m"}', b'{"jsonrpc":"2.0","id":1.5,"method":"m"}']
    + [b'{"jsonrpc":"2.0","id":{},"method":"m"}', b'{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}']
    + [b'{"jsonrpc":"2.0","id":1,"method":"m","params":"x"}'],
)
def test_json_that_is_no_message_is_an_invalid_request(raw: bytes) -> None:
    """JSON-RPC 2.0 §5.1; batches are refused."""
    with pytest.raises(RpcError) as caught:
        jsonrpc.decode(raw)
    assert caught.value.code == jsonrpc.INVALID_REQUEST


@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b"nul", b"{", b'{"jsonrpc":"2.0",}', b"\xff", b'{"jsonrpc":"2.0","method":"\xff"}', b"{'a':1}"]
    + [b'{"jsonrpc":"2.0","method":"m","params":{"a":"\xff"}}', b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xc3"}}']
    + [b'{"jsonrpc":"2.0","method":"\\ud800"}', b'{"jsonrpc":"2.0","method":"m"} x', b"\xef\xbb\xbf{}"],
)
def test_what_is_not_json_is_a_parse_error(raw: bytes) -> None:
    """JSON-RPC 2.0 §5.1."""
    with pytest.raises(RpcError) as caught:
        jsonrpc.decode(raw)
    assert caught.value.code == jsonrpc.PARSE_ERROR


def test_the_codes_are_those_that_everybody_knows() -> None:
    """JSON-RPC 2.0 §5.1."""
    assert (jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST, jsonrpc.METHOD_NOT_FOUND) == (-32700, -32600, -32601)
    assert (jsonrpc.INVALID_PARAMS, jsonrpc.INTERNAL_ERROR, jsonrpc.SERVER_ERROR) == (-32602, -32603, -32000)


@pytest.mark.parametrize("opening", [b"[", b'{"params":{"a":', b'{"jsonrpc":"2.0","method":"m","params":{"a":['])
def test_deep_nesting_is_refused_like_any_other_bad_body(opening: bytes) -> None:
    """A body of brackets must not become a fault of ours."""
    with pytest.raises(RpcError):
        jsonrpc.decode(opening * 100_000)


@given(st.binary(max_size=60))
def test_no_body_fails_in_another_way(raw: bytes) -> None:
    """The endpoint handles RpcError and nothing else."""
    with contextlib.suppress(RpcError):
        jsonrpc.decode(raw)


@given(JSON)
def test_a_value_survives_encoding(value: Any) -> None:
    """RFC 8259."""
    assert jsonrpc.value(jsonrpc.encode(value)) == value
    assert json.loads(jsonrpc.request("1", "m", {"v": value}))["params"] == {"v": value}


def test_members_and_items_keep_their_bytes() -> None:
    """Contract §7."""
    assert {name: bytes(raw) for name, raw in jsonrpc.members(b'{"a": [1, 2], "b":"x"}').items()} == {
        "a": b"[1, 2]",
        "b": b'"x"',
    }
    assert [bytes(raw) for raw in jsonrpc.items(b'[1, {"a" : 2}]')] == [b"1", b'{"a" : 2}']


@pytest.mark.parametrize("raw", [b"[]", b"5", b"null", b""])
def test_members_of_what_is_no_object_is_a_value_error(raw: bytes) -> None:
    """Callers handle ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        jsonrpc.members(raw)


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b'"x"', "x"), (b'""', ""), (b'"\\u00fc"', "ü"), (b"5", None), (b"null", None), (b"[", None), (None, None)],
)
def test_the_text_in_some_bytes_or_none(raw: bytes | None, text: str | None) -> None:
    """What a client sent where a string belongs."""
    assert jsonrpc.text(Raw(raw) if raw is not None else None) == text


def test_deep_nesting_where_a_text_belongs_is_no_text() -> None:
    """A body of brackets must not become a fault of ours."""
    assert jsonrpc.text(Raw(b"[" * 100_000 + b"]" * 100_000)) is None


def test_an_error_answer_has_data_only_when_there_is_some() -> None:
    """JSON-RPC 2.0 §5.1."""
    plain = json.loads(jsonrpc.error_response(None, RpcError(-32600, "No.")))
    assert plain == {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "No."}}
    with_data = json.loads(jsonrpc.error_response("a", RpcError(-32000, "No.", b'{"code":"x"}')))
    assert with_data["error"]["data"] == {"code": "x"}


def test_the_error_of_another_server_is_passed_on_with_its_data_and_what_nobody_knows() -> None:
    """Contract §7: unknown members pass through unharmed."""
    raw = b'{"code":-32042,"message":"Sign in","data":{"url": "https://a"},"more":[ 1 ]}'
    error = jsonrpc.error_from(raw)
    assert (error.code, error.message, error.data) == (-32042, "Sign in", b'{"url": "https://a"}')
    assert jsonrpc.error_response(1, error) == b'{"jsonrpc":"2.0","id":1,"error":' + raw + b"}"


@pytest.mark.parametrize("raw", [b"null", b"5", b"{}", b'{"code":"x","message":"y"}', b'{"code":1}'])
def test_an_error_that_cannot_be_read_is_said_to_be_one(raw: bytes) -> None:
    """It must not become a fault of ours."""
    assert jsonrpc.error_from(raw).code == jsonrpc.INTERNAL_ERROR


def test_a_notification_is_written_without_an_id() -> None:
    """JSON-RPC 2.0 §4.1."""
    assert json.loads(jsonrpc.notification("notifications/initialized")) == {
        "jsonrpc": "2.0",
        "method": "notifications/initialized",
    }


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb"\ud83d", "\ufffd"),
        (rb"\uDE00", "\ufffd"),
        (rb"\ud83d\ud83d\ude00\ude00", "\ufffd\U0001f600\ufffd"),
        (rb"\\\ud83dx", "\\\ufffdx"),
        (rb"\\ud83d \ud83d", "\\ud83d \ufffd"),
    ],
)
def test_half_a_surrogate_pair_of_a_server_is_the_replacement_character(text: bytes, read: str) -> None:
    """RFC 8259 §8.2; an escaped backslash before `ud83d` makes no escape of it."""
    found = jsonrpc.decode_leniently(b'{"jsonrpc":"2.0","id":1,"result":{"a":"' + text + b'"}}')
    assert jsonrpc.value(found.result) == {"a": read}  # type: ignore[arg-type]


@pytest.mark.parametrize("spelling", ["\\u{:04x}", "\\u{:04X}"])
def test_every_half_is_replaced_and_every_pair_is_left_however_it_is_spelled(spelling: str) -> None:
    """RFC 8259 §7, §8.2: upper and lower case mean the same; text around them stays."""
    for high, low in zip(range(0xD800, 0xDC00), range(0xDFFF, 0xDBFF, -1), strict=True):
        one, other = spelling.format(high), spelling.format(low)
        text = f"{one} {other} {one}{other}{one}x{other}{other}"
        found = jsonrpc.decode_leniently(f'{{"jsonrpc":"2.0","id":1,"result":"{text}"}}'.encode())
        pair = chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
        assert jsonrpc.value(found.result) == f"\ufffd \ufffd {pair}\ufffdx\ufffd\ufffd"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"jsonrpc":"2.0","x":NaN}', rb'{"jsonrpc":"2.0","x":"\ud83"}', b'{"id":1}']
)
def test_nothing_else_is_read_leniently(raw: bytes) -> None:
    """JSON-RPC 2.0 §4."""
    with pytest.raises(RpcError):
        jsonrpc.decode_leniently(raw)


def test_what_is_too_large_is_not_mended() -> None:
    """Looking for half a pair costs as much as there is to look at."""
    message = b'{"jsonrpc":"2.0","id":1,"result":{"a":"\\ud83d%s"}}'
    room = 4 * 1024 * 1024 - len(message % b"")
    assert jsonrpc.decode_leniently(message % (b"x" * room)).id == 1
    with pytest.raises(RpcError):
        jsonrpc.decode_leniently(message % (b"x" * (room + 1)))


def test_what_is_sent_to_a_server_has_the_members_of_the_specification() -> None:
    """JSON-RPC 2.0 §4."""
    assert json.loads(jsonrpc.request("7", "tools/call", {"a": Raw(b"1.50")})) == {
        "jsonrpc": "2.0",
        "id": "7",
        "method": "tools/call",
        "params": {"a": 1.5},
    }
    assert json.loads(jsonrpc.notification("notifications/cancelled", {"requestId": 7})) == {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": 7},
    }


def test_an_error_without_data_has_none_and_says_what_it_is_about() -> None:
    """JSON-RPC 2.0 §5.1: `data` may be omitted."""
    error = jsonrpc.error_from(b'{"code":-1,"message":"No."}')
    assert (error.code, str(error), error.data) == (-1, "No.", None)


@pytest.mark.parametrize(
    "read", [jsonrpc.error_from, lambda raw: jsonrpc.error_from(b'{"code":1,"data":' + raw + b"}")]
)
def test_an_error_that_is_nested_without_end_is_one_that_cannot_be_read(read: Callable[[bytes], RpcError]) -> None:
    """An upstream must not cause a fault of ours."""
    assert read(b"[" * 100_000 + b"]" * 100_000).code == jsonrpc.INTERNAL_ERROR


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (Raw(b'{"a":1,"b":{}}'), ["a", "b"]),
        (Raw(b"{}"), []),
        (Raw(b"[1]"), []),
        (Raw(b"null"), []),
        (Raw(b"[" * 100_000 + b"]" * 100_000), []),
        (Raw(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), []),
        ({"a": 1}, ["a"]),
        ({}, []),
        (None, []),
    ],
    ids=range(9),
)
def test_the_members_of_what_may_be_an_object(value: Any, names: list[str]) -> None:
    """What a client sent where an object belongs: anything else has no members."""
    assert list(jsonrpc.object_members(value)) == names


def test_the_outcome_of_a_response_is_its_result_as_it_came_or_its_error() -> None:
    """JSON-RPC 2.0 §5."""
    answer = jsonrpc.decode(b'{"jsonrpc":"2.0","id":1,"result":{"a": 1.50}}')
    assert bytes(jsonrpc.outcome(answer)) == b'{"a": 1.50}'
    with pytest.raises(RpcError, match="Sign in") as caught:
        jsonrpc.outcome(jsonrpc.decode(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"Sign in"}}'))
    assert caught.value.code == -32042


@pytest.mark.parametrize("member", [b"", b',"result":null', b',"result":[]', b',"result":[{"a":{}}]', b',"result":"{"'])
def test_a_response_without_a_result_that_is_an_object_is_an_error(member: bytes) -> None:
    """MCP, base protocol: a result is an object; whoever waits for it hears that there is none."""
    with pytest.raises(RpcError, match="no result") as caught:
        jsonrpc.outcome(jsonrpc.decode(b'{"jsonrpc":"2.0","id":1%s}' % member))
    assert caught.value.code == jsonrpc.INTERNAL_ERROR


def test_a_value_of_ours_stands_among_members_that_came_as_bytes() -> None:
    """Contract §7: what is added to a request leaves the rest of it as it came."""
    params = {"arguments": Raw(b'{"a": 1.50}'), "_meta": jsonrpc.raw({"b": "é"})}
    assert jsonrpc.encode(params) == '{"arguments":{"a": 1.50},"_meta":{"b":"é"}}'.encode()
