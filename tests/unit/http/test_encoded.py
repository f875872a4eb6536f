"""JSON that is bytes already."""

from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from bifrost.http.encoded import SECRET, EncodedJson
from tests.unit._requests import request

pytestmark = pytest.mark.anyio


async def _sent(response: Response) -> list[Any]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    sent = request()
    await response(sent.scope, sent.receive, send)
    return messages


async def test_it_leaves_as_starlettes_own_does() -> None:
    """RFC 8259 §11: application/json, and no charset."""
    start, body = await _sent(EncodedJson(b'{"a":1}', 201, SECRET))
    usual, usual_body = await _sent(JSONResponse({"a": 1}, 201, {"Cache-Control": "no-store", "Pragma": "no-cache"}))
    assert body == usual_body
    assert {**start, "headers": sorted(start["headers"])} == {**usual, "headers": sorted(usual["headers"])}


async def test_a_field_that_is_added_to_one_answer_is_not_in_the_next() -> None:
    """Contract §7: what one origin may read says nothing to another."""
    EncodedJson(b"{}", fields=SECRET).headers["Access-Control-Allow-Origin"] = "https://app.example.com"
    assert "access-control-allow-origin" not in EncodedJson(b"{}", fields=SECRET).headers
