"""POST register: bodies that are too large, of the wrong kind, or JSON only for a lenient reader."""

import gzip
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from tests.flows._raw import ask, everything
from tests.support.gateway import TestGateway
from tests.support.oauth import REGISTER

pytestmark = pytest.mark.anyio

JSON = ("content-type", "application/json")
LIMIT = 64 * 1024
URIS = b'"redirect_uris":["http://127.0.0.1/cb"]'
GOOD = b"{" + URIS + b"}"


def _padded(length: int) -> bytes:
    """A correct registration of exactly this many bytes."""
    empty = GOOD[:-1] + b',"x":""}'
    return GOOD[:-1] + b',"x":"' + b"a" * (length - len(empty)) + b'"}'


async def _refused(running: TestGateway, body: bytes, *statuses: int) -> str:
    """The error code of a refusal in the form of RFC 6749 §5.2 that wrote nothing."""
    before = await everything(running)
    answer = await ask(running, REGISTER, method="POST", headers=[JSON, ("accept", "text/html")], body=body)
    assert answer.status_code in (statuses or (400,)), answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    error: dict[str, str] = answer.json()
    assert error.keys() == {"error", "error_description"}
    assert error["error_description"].endswith(".")
    assert "Traceback" not in answer.text
    assert "line 1 column" not in answer.text
    assert await everything(running) == before
    return error["error"]


NOT_JSON = {
    "nothing": b"",
    "white space": b"  \n",
    "a word": b"hello",
    "a form": b"redirect_uris=http://127.0.0.1/cb",
    "cut off": GOOD[:-1],
    "more after it": GOOD + b"x",
    "two documents": GOOD + GOOD,
    "a comment": b"/* */" + GOOD,
    "a comma too many": GOOD[:-1] + b",}",
    "single quotes": b"{'redirect_uris':['http://127.0.0.1/cb']}",
    "a line break in a string": GOOD[:-1] + b',"client_name":"a\nb"}',
    # RFC 8259 §4: members twice mean different things to different readers
    "a member twice": GOOD[:-1] + b"," + URIS + b"}",
    "a member twice, once escaped": GOOD[:-1] + b',"redirect\\u005furis":["https://evil.test/cb"]}',
    "an unknown member twice": GOOD[:-1] + b',"x":1,"x":2}',
    "a member twice, deep inside": GOOD[:-1] + b',"x":[{"y":1,"y":1}]}',
    # TC-087
    "depth 100 000": GOOD[:-1] + b',"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "depth 100": GOOD[:-1] + b',"x":' + b"[" * 100 + b"]" * 100 + b"}",
    "depth 100 of objects": GOOD[:-1] + b',"x":' + b'{"a":' * 100 + b"1" + b"}" * 101,
    "unclosed depth": b"[" * 60_000,
    "integer of 5 000 digits": GOOD[:-1] + b',"x":' + b"9" * 5_000 + b"}",
    "negative integer of 5 000 digits": GOOD[:-1] + b',"x":-' + b"9" * 5_000 + b"}",
    "fraction of 5 000 digits": GOOD[:-1] + b',"x":0.' + b"9" * 5_000 + b"}",
    "number beyond a double": GOOD[:-1] + b',"x":1e999}',
    "NaN": GOOD[:-1] + b',"x":NaN}',
    "Infinity": GOOD[:-1] + b',"x":Infinity}',
    "minus Infinity": GOOD[:-1] + b',"x":[-Infinity]}',
    # TC-090
    "invalid UTF-8": GOOD[:-1] + b',"client_name":"\xff"}',
    "invalid UTF-8 in an unknown member": GOOD[:-1] + b',"x":"\xc3("}',
    "overlong UTF-8": GOOD[:-1] + b',"x":"\xc0\xaf"}',
    "surrogates in UTF-8": GOOD[:-1] + b',"x":"\xed\xa0\x80"}',
    "NUL in a string": GOOD[:-1] + b',"client_name":"a\\u0000b"}',
    "NUL in a name": GOOD[:-1] + b',"a\\u0000b":1}',
    "NUL byte": GOOD[:-1] + b',"client_name":"a\x00b"}',
    "half a surrogate pair": GOOD[:-1] + b',"client_name":"\\ud800"}',
    "the other half": GOOD[:-1] + b',"x":["\\udc00x"]}',
    "half a pair in a name": GOOD[:-1] + b',"\\ud800":1}',
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 without mark": GOOD.decode().encode("utf-16-le"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "UTF-7": b"+AHs-" + GOOD,
}


@pytest.mark.parametrize("how", NOT_JSON)
async def test_json_that_can_be_read_in_two_ways_is_not_read_at_all(running: TestGateway, how: str) -> None:
    """Contract §3 (strict parser), TC-087 and TC-090: 400, never 500."""
    assert await _refused(running, NOT_JSON[how]) == "invalid_client_metadata"


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null", b"true", b"[" + GOOD + b"]", b'"' + b"a" * 99 + b'"'])
async def test_a_body_that_is_no_object_is_refused(running: TestGateway, body: bytes) -> None:
    """TC-088."""
    assert await _refused(running, body) == "invalid_client_metadata"


WRONG_TYPES: dict[tuple[str, ...], tuple[object, ...]] = {
    ("client_name", "scope", "client_uri", "software_id"): ({}, [], ["x"], 7, True),
    ("grant_types", "response_types"): ("code", {}, 7, [1], [None], [[]]),
    ("token_endpoint_auth_method",): (["none"], {}, 7, False),
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for names, values in WRONG_TYPES.items() for name in names for value in values],
    ids=repr,
)
async def test_a_member_of_the_wrong_type_is_refused(running: TestGateway, name: str, value: object) -> None:
    """TC-088."""
    body = {"redirect_uris": ["http://127.0.0.1/cb"], name: value}
    assert await _refused(running, json.dumps(body).encode()) == "invalid_client_metadata"


async def test_a_name_of_ten_kilobytes_is_refused(running: TestGateway) -> None:
    """TC-087."""
    body = {"redirect_uris": ["http://127.0.0.1/cb"], "client_name": "n" * 10_240}
    assert await _refused(running, json.dumps(body).encode()) == "invalid_client_metadata"


@pytest.mark.parametrize(
    "body",
    [
        b" \r\n\t" + GOOD + b"\n",
        GOOD[:-1] + b',"client_name":"\\ud83d\\ude00 \xf0\x9f\x98\x80"}',
        GOOD[:-1] + b',"client_name":"tab\\tand newline\\n"}',
        GOOD[:-1] + b',"x":[1,-2.5e3,null,true,{"y":{"z":[]}}],"x_":""}',
        GOOD[:-1] + b',"client_name":"{{7*7}}","software_statement":"a.b.c","jwks_uri":"https://a.test/"}',
    ],
)
async def test_ordinary_json_is_read(running: TestGateway, body: bytes) -> None:
    """Contract §3: strict is not narrow."""
    answer = await ask(running, REGISTER, method="POST", headers=[JSON], body=body)
    assert answer.status_code == 201, answer.text
    answer.content.decode("utf-8", "strict")


async def test_a_body_of_64_kilobytes_is_read_and_one_more_byte_is_not(running: TestGateway) -> None:
    """Contract §3: at most 64 KiB."""
    assert len(_padded(LIMIT)) == LIMIT
    answer = await ask(running, REGISTER, method="POST", headers=[JSON], body=_padded(LIMIT))
    assert answer.status_code == 201
    await _refused(running, _padded(LIMIT + 1), 413)
    await _refused(running, _padded(1024 * 1024), 413)


async def test_a_declared_length_is_believed_before_the_body_is_read(running: TestGateway) -> None:
    """TC-087: nothing of a body that announces itself as too large is read."""

    async def never() -> MutableMapping[str, Any]:
        raise AssertionError("the body was read")

    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": REGISTER,
        "query_string": b"",
        "headers": [
            (b"host", b"localhost:8080"),
            (b"content-type", b"application/json"),
            (b"content-length", b"65537"),
        ],
    }
    await running.gateway.app(scope, never, send)
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "\xb2", "12 34", ""])
async def test_a_length_that_is_no_number_is_refused(running: TestGateway, length: str) -> None:
    """Contract §3: never 500, whatever a front server lets through."""
    answer = await ask(running, REGISTER, method="POST", headers=[JSON, ("content-length", length)], body=GOOD)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "text/html",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-seq",
        "application/jsonx",
        "text/plain; application/json",
        "application/jwt",
    ],
)
async def test_only_json_registers(running: TestGateway, kind: str | None) -> None:
    """TC-097: a page elsewhere can send the simple types without a preflight."""
    headers = [("content-type", kind)] if kind is not None else []
    answer = await ask(running, REGISTER, method="POST", headers=headers, body=GOOD)
    assert answer.status_code in (400, 415)
    assert answer.json().keys() == {"error", "error_description"}


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
async def test_json_may_name_its_charset(running: TestGateway, kind: str) -> None:
    """RFC 9110 §8.3.1: types are case-insensitive and have parameters."""
    answer = await ask(running, REGISTER, method="POST", headers=[("content-type", kind)], body=GOOD)
    assert answer.status_code == 201


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
async def test_a_compressed_body_is_not_read(running: TestGateway, encoding: str) -> None:
    """TC-087: a bomb of a few kilobytes would unpack to gigabytes."""
    bomb = gzip.compress(_padded(10 * LIMIT))
    answer = await ask(running, REGISTER, method="POST", headers=[JSON, ("content-encoding", encoding)], body=bomb)
    assert answer.status_code == 415


async def test_a_registration_in_the_query_is_not_read(running: TestGateway) -> None:
    """Contract §3: the body, and nothing else."""
    query = b"redirect_uris=http://127.0.0.1/cb&client_name=x"
    answer = await ask(running, REGISTER, query, method="POST", headers=[JSON], body=b"{}")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")
