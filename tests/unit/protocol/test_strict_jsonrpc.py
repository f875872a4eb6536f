"""Messages of clients have one reading."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.protocol import jsonrpc, strict_jsonrpc
from bifrost.protocol.jsonrpc import RpcError

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


def refused(raw: bytes) -> int:
    with pytest.raises(RpcError) as error:
        strict_jsonrpc.message(raw)
    return error.value.code


@pytest.mark.parametrize(
    "raw",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":12,"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","m\\u0065thod":"ping"}',
        b'{ "jsonrpc": "2.0", "x": [1], "id": 1, "method": "ping", "x": [1] }',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\\u0061me":"a"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{},"params":{"name":"a"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":{},"a":1}}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a\\":b":1, "a\\":b":1}}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"\\ta\\":b":1, "\\ta\\":b":1}}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1,"progressToken":2}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"a":1},"_meta":{"a":1}}}',
        '{"jsonrpc":"2.0","id":1,"method":"x","params":{"ä":1,"ä":2}}'.encode(),
    ],
)
def test_a_member_that_comes_twice_is_refused_where_it_is_read(raw: bytes) -> None:
    """RFC 8259 §4, Keycloak's lesson (TC-013): also with an escape, with blanks, or with one and the same value."""
    assert refused(raw) == jsonrpc.PARSE_ERROR


@pytest.mark.parametrize(
    "raw",
    [
        PING,
        b' { "jsonrpc" : "2.0" ,\r\n\t"id":1, "method":"ping" } \n',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{ "a" : {"b":1,"b":2} , "_meta" : 5}}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\\"}, {","\\"":{"}":[]}, "" : "" }}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"arguments":{"x":1,"x":2},"_meta":{ }}}',
        '{"jsonrpc": "2.0", "id": "é", "method": "x", "params": {"ü": "ü", "\\u00e4": 1}}'.encode(),
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{ "a\\":b" : 1, "\\ta\\":b" : 1, "a\\\\" : 2}}',
        b'{"jsonrpc":"2.0","id":9223372036854775807,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":-9223372036854775808,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":"' + b"a" * 1_024 + b'","method":"ping"}',
    ],
)
def test_what_has_one_reading_is_read_as_ever(raw: bytes) -> None:
    """Contract §7: however it is written; what lies deeper passes through as the bytes that came."""
    assert strict_jsonrpc.message(raw) == jsonrpc.decode(raw)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"arguments":{"a":"\xff"}}}', jsonrpc.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\xed\xa0\x80"}}', jsonrpc.PARSE_ERROR),
        ('{"jsonrpc":"2.0"}'.encode("utf-16"), jsonrpc.PARSE_ERROR),
        (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}', jsonrpc.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b'{"a":' * 50_000, jsonrpc.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":9223372036854775808,"method":"ping"}', jsonrpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 10_000 + b',"method":"ping"}', jsonrpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":"' + b"a" * 1_025 + b'","method":"ping"}', jsonrpc.INVALID_REQUEST),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":{' + b",".join(b'"%d":0' % n for n in range(1_001)) + b"}}",
            jsonrpc.INVALID_REQUEST,
        ),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","' + b"a" * 1_025 + b'":1}', jsonrpc.INVALID_REQUEST),
        (b"", jsonrpc.PARSE_ERROR),
        (b"[]", jsonrpc.INVALID_REQUEST),
        (b"\x00", jsonrpc.PARSE_ERROR),
    ],
)
def test_bytes_that_are_no_text_and_ids_out_of_bounds_are_refused(raw: bytes, code: int) -> None:
    """RFC 8259 §8.1, JSON-RPC 2.0 §4."""
    assert refused(raw) == code


names = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=5), st.booleans(), st.sampled_from([None, 1, "\t"]), st.data())
def test_any_object_passes_once_and_none_with_a_member_of_it_again(
    params: dict[str, Any], ascii_only: bool, indent: Any, data: st.DataObject
) -> None:
    """Ours: whatever blanks and escapes it is written with."""
    params.pop("_meta", None)
    body = {"jsonrpc": "2.0", "id": 1, "method": "x", "params": params}
    written = json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass")
    try:
        written.decode()
        expected = jsonrpc.decode(written)
    except (UnicodeDecodeError, RpcError, msgspec.DecodeError):
        return
    assert strict_jsonrpc.message(written) == expected
    if params:
        again = data.draw(st.sampled_from(sorted(params)))
        member = json.dumps({again: data.draw(values)}, ensure_ascii=True)[1:-1].encode()
        opening = written.index(b"{", 1) + 1
        with pytest.raises(RpcError):
            strict_jsonrpc.message(written[:opening] + member + b"," + written[opening:])


def test_a_batch_is_cut_into_the_bytes_of_its_items() -> None:
    """JSON-RPC 2.0 §6."""
    items = [PING, b'{"a":[1,{"b":"],"}]}', b"5", b'"x"', b"null", b"[]", "{ 'ä' }".replace("'", '"').encode()]
    raw = b" [ " + b" ,\n".join(items[:-1]) + b" ] "
    assert strict_jsonrpc.batch(raw, 6) == items[:-1]


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"[ ]",
        b"[",
        b"[1",
        b"[1,]",
        b"[1 2]",
        b"[1]]",
        b"[1]x",
        b"[,1]",
        b"[1,1,1]",
        b"[" + b"1," * 1_000_000 + b"1]",
        b"[1,\x00]",
        b'["\x01"]',
        b"{}",
        b"(1]",
        b"",
    ],
    ids=range(16),
)
def test_a_batch_that_is_none_or_too_long_is_refused_at_once(raw: bytes) -> None:
    """TC-169: what is behind the last allowed item is not even read."""
    with pytest.raises(RpcError) as error:
        strict_jsonrpc.batch(raw, 2)
    assert error.value.code == jsonrpc.INVALID_REQUEST


def test_a_batch_is_utf_8() -> None:
    """RFC 8259 §8.1."""
    with pytest.raises(RpcError) as error:
        strict_jsonrpc.batch(b'["\xff"]', 2)
    assert error.value.code == jsonrpc.PARSE_ERROR


def nested(levels: int, inside: bytes = b"") -> bytes:
    """A message with so many levels in all; the outermost two are the envelope and its params."""
    opened, closed = b'{"a":' * (levels - 3), b"}" * (levels - 3)
    return b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + opened + b"[" + inside + b"]" + closed + b"}}"


def test_as_deep_as_is_allowed_is_read_and_one_level_more_says_how_deep() -> None:
    """A reader with a stack of its own must not be the one who finds out; valid JSON is not called invalid."""
    assert strict_jsonrpc.message(nested(strict_jsonrpc.MAX_DEPTH)).id == 1
    for levels in (strict_jsonrpc.MAX_DEPTH + 1, 100_000):
        with pytest.raises(RpcError, match=f"nested deeper than {strict_jsonrpc.MAX_DEPTH} levels") as error:
            strict_jsonrpc.message(nested(levels))
        assert error.value.code == jsonrpc.PARSE_ERROR


def test_brackets_in_texts_and_beside_each_other_are_no_levels() -> None:
    many = strict_jsonrpc.MAX_DEPTH * 4
    for inside in (
        b'"' + b'[{\\"' * many + b'"',
        b'"","' + b"[{" * many + b'"',
        b",".join([b"[{}]"] * many),
        b'"\\\\",[],"]]]]"',
    ):
        assert strict_jsonrpc.message(nested(3, inside)).id == 1


def test_levels_are_counted_whatever_texts_stand_around_them() -> None:
    """A text that ends where it does not hides what is behind it."""
    for before in (b'""', b'"\\n"', b'"\\\\"', b'"\\""', b'"]]]]"'):
        inside = before + b"," + b"[" * 254 + b"]" * 254 + b',"x","\\n"'
        with pytest.raises(RpcError, match="nested deeper"):
            strict_jsonrpc.message(nested(3, inside))


def test_what_is_too_deep_is_refused_in_a_batch_as_well() -> None:
    """JSON-RPC 2.0 §6."""
    for raw in (b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"[" + nested(100_000) + b"]"):
        with pytest.raises(RpcError, match="nested deeper") as error:
            strict_jsonrpc.batch(raw, 5)
        assert error.value.code == jsonrpc.PARSE_ERROR


@pytest.mark.parametrize("read", [strict_jsonrpc.message, lambda raw: strict_jsonrpc.batch(raw, 50)])
def test_what_is_broken_on_purpose_is_refused_before_anybody_has_to_wait(read: Callable[[bytes], object]) -> None:
    """TC-211: quotes without end, as many as a message may hold; each of them once cost a walk to the end."""
    with pytest.raises(RpcError):
        read(b"[" * 300 + b'\\"' * 2_000_000)


def test_deep_and_broken_is_never_an_exception_of_the_parser() -> None:
    for raw in (b"[" * 100_000, b'{"a":' * 100_000, b'{"jsonrpc":' + b"[" * 1_000_000, b"x" + b"[" * 300 + b"x" * 300):
        assert refused(raw) == jsonrpc.PARSE_ERROR


@pytest.mark.parametrize("others", range(40))
def test_a_member_that_comes_twice_is_refused_beside_any_number_of_others(others: int) -> None:
    """TC-013: whatever is looked at first to spare the work."""
    once = b",".join([b'"%d":1' % (1_000 + n) for n in range(others)] + [b'"a":1'])
    message = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{%s}}'
    assert strict_jsonrpc.message(message % once).id == 1
    for again in (b'"a":1', b'"a":12345', b'"a":"%s"' % (b"x" * others)):
        assert refused(message % (once + b"," + again)) == jsonrpc.PARSE_ERROR


def test_an_object_has_at_most_a_thousand_members_with_names_of_at_most_1024_characters() -> None:
    """Contract §3, as of bodies: bounds are for what nobody sends, so what is within them is served."""
    message = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{%s}}'
    most = b",".join(b'"%d":0' % n for n in range(1_000))
    assert strict_jsonrpc.message(message % most).id == 1
    assert refused(message % (most + b',"more":0')) == jsonrpc.INVALID_REQUEST
    assert strict_jsonrpc.message(message % b'"%s":0,"b":0' % (b"a" * 1_024)).id == 1
    assert refused(message % b'"%s":0,"b":0' % (b"a" * 1_025)) == jsonrpc.INVALID_REQUEST


def test_a_body_of_256_levels_is_read_and_one_of_257_is_not_however_short_it_is() -> None:
    """Contract §3, bounded depth: in its shortest form, and beside any number of brackets that were closed."""
    for levels, fits in ((256, True), (257, False)):
        inside = b"[" * (levels - 2) + b"]" * (levels - 2)
        for beside in (b"", b"[]," * 400, b"{}," * 400):
            raw = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[%s%s]}}' % (beside, inside[1:-1])
            if fits:
                assert strict_jsonrpc.message(raw).id == 1
            else:
                with pytest.raises(RpcError, match="nested deeper than 256 levels"):
                    strict_jsonrpc.message(raw)


def test_a_batch_of_one_is_one_and_blanks_between_its_items_are_those_of_json() -> None:
    """JSON-RPC 2.0 §6, RFC 8259 §2."""
    assert strict_jsonrpc.batch(b"[" + PING + b"]", 2) == [PING]
    assert strict_jsonrpc.batch(b"\t[\t1\t,\r2\r,\n3\n, 4 ]\r\n", 4) == [b"1", b"2", b"3", b"4"]
    for other in (b"\x0b", b"\x0c", b"\xc2\xa0"):
        with pytest.raises(RpcError):
            strict_jsonrpc.batch(b"[1," + other + b"2]", 2)
