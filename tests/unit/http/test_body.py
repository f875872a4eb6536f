"""Reading a body."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request

from bifrost.base.errors import Invalid, TooLarge, TooSlow, Unsupported
from bifrost.http import body
from tests.unit._requests import request

pytestmark = pytest.mark.anyio

JSON = "application/json"


async def test_a_body_up_to_the_limit_is_read() -> None:
    """Contract §3."""
    raw = await body.read(request({"content-type": JSON}, body=b"x" * 10), limit=10, content_type=JSON)
    assert raw == b"x" * 10


@pytest.mark.parametrize("headers", [{}, {"content-length": "11"}])
async def test_a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length(headers: dict[str, str]) -> None:
    """Contract §3: ≤ 64 KiB."""
    with pytest.raises(TooLarge):
        await body.read(request({"content-type": JSON, **headers}, body=b"x" * 11), limit=10, content_type=JSON)


@pytest.mark.parametrize("arrived", [b"x" * 10, b"", None])
async def test_a_body_that_is_here_already_is_not_waited_for(arrived: bytes | None) -> None:
    """Ours: the server says so; what it does not have whole is received."""
    sent = request({"content-type": JSON}, body=b"received")
    sent.scope[body.ARRIVED] = lambda: arrived
    assert await body.read(sent, limit=10, content_type=JSON) == (b"received" if arrived is None else arrived)


async def test_a_body_that_is_here_already_is_not_too_large_either() -> None:
    """Contract §3: ≤ 64 KiB."""
    sent = request({"content-type": JSON})
    sent.scope[body.ARRIVED] = lambda: b"x" * 11
    with pytest.raises(TooLarge):
        await body.read(sent, limit=10, content_type=JSON)


async def test_a_declared_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    """A slow sender must not hold a place."""
    asked = []

    async def receive() -> dict[str, object]:
        asked.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    sent = request({"content-type": JSON, "content-length": "11"})
    sent._receive = receive
    with pytest.raises(TooLarge):
        await body.read(sent, limit=10, content_type=JSON)
    assert asked == []


@pytest.mark.parametrize(
    "length", ["9" * 5_000, "0" * 5_000 + "3", "9" * 21, "-1", "abc", "1.5", "", " ", "٣", "+1", "0x1"]
)
async def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    """RFC 9110 §8.6."""
    sent = request([("content-type", JSON)], body=b"")
    sent.scope["headers"].append((b"content-length", length.encode()))
    with pytest.raises(Invalid):
        await body.read(sent, limit=10, content_type=JSON)


async def test_a_declared_length_of_twenty_digits_is_too_large() -> None:
    """RFC 9110 §15.5.14: a number all the same."""
    with pytest.raises(TooLarge):
        await body.read(request({"content-type": JSON, "content-length": "9" * 20}), limit=10, content_type=JSON)


async def test_a_body_that_does_not_arrive_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110 §15.5.9: the time is for the whole, so a byte now and then does not lengthen it."""
    monkeypatch.setattr(body, "SECONDS", 0.05)

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent = request({"content-type": JSON})
    sent._receive = receive
    with pytest.raises(TooSlow):
        await asyncio.wait_for(body.read(sent, limit=1_000_000, content_type=JSON), 10)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
async def test_an_encoded_body_is_refused(encoding: str) -> None:
    """A small body must not become a large one."""
    with pytest.raises(Unsupported):
        await body.read(
            request({"content-type": JSON, "content-encoding": encoding}, body=b"{}"), limit=10, content_type=JSON
        )


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/jsonp", "application/json-patch+json"])
async def test_a_body_of_another_kind_is_refused(content_type: str) -> None:
    """Contract §2: a simple cross-site form cannot send JSON."""
    with pytest.raises(Unsupported):
        await body.read(request({"content-type": content_type}, body=b"{}"), limit=10, content_type=JSON)


@pytest.mark.parametrize(
    "content_type",
    [JSON, "Application/JSON", "application/json;charset=utf-8", "application/json ; charset=UTF-8"]
    + ['application/json; charset="utf-8"', "application/json;charset=utf8", "application/json; profile=x"]
    + ["application/json; version=1; charset=utf-8"],
)
async def test_the_kind_may_say_that_it_is_utf_8_and_more(content_type: str) -> None:
    """RFC 9110 §8.3.1: kind and names have no case, a value may be quoted, and blanks stand around the semicolon."""
    sent = request({"content-type": content_type, "content-encoding": "Identity"}, body=b"{}")
    assert await body.read(sent, limit=10, content_type=JSON) == b"{}"


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", '"utf-16"', "", "utf-8x", "xutf-8", '"utf-8" x'])
async def test_a_body_in_another_charset_is_refused(charset: str) -> None:
    """Contract §3: UTF-8; whoever reads it otherwise reads something else."""
    with pytest.raises(Unsupported):
        await body.read(
            request({"content-type": f"application/json; charset={charset}"}, body=b"{}"), limit=10, content_type=JSON
        )


async def test_a_body_of_no_kind_is_refused() -> None:
    """Contract §2: a page of another site sends one without a word."""
    with pytest.raises(Unsupported):
        await body.read(request(body=b"{}"), limit=10, content_type=JSON)


async def test_a_declared_length_up_to_the_limit_is_fine() -> None:
    """Contract §3."""
    sent = request({"content-type": JSON, "content-length": "10"}, body=b"x" * 10)
    assert await body.read(sent, limit=10, content_type=JSON) == b"x" * 10


@pytest.mark.parametrize("length", [b"\xb2", b"1\xb3", b"\xb9"])
async def test_a_length_in_raised_figures_is_no_number(length: bytes) -> None:
    """RFC 9110 §8.6: ASCII digits; other figures are digits to Python and no numbers."""
    sent = request([("content-type", JSON)], body=b"")
    sent.scope["headers"].append((b"content-length", length))
    with pytest.raises(Invalid):
        await body.read(sent, limit=10, content_type=JSON)


def in_pieces(*messages: dict[str, object]) -> Request:
    sent, waiting = request({"content-type": JSON}), list(messages)

    async def receive() -> dict[str, object]:
        return waiting.pop(0)

    sent._receive = receive
    return sent


def piece(content: bytes) -> dict[str, object]:
    return {"type": "http.request", "body": content, "more_body": True}


END: dict[str, object] = {"type": "http.request"}


@pytest.mark.parametrize("pieces", [[], [b"ab"], [b"a", b"b"], [b"a", b"", b"b"], [b"abcdefghij"]])
async def test_a_body_is_all_of_its_pieces(pieces: list[bytes]) -> None:
    """ASGI: the last message may say nothing but that it is the last one."""
    read = await body.read(in_pieces(*map(piece, pieces), END), limit=10, content_type=JSON)
    assert read == b"".join(pieces)
    if pieces:
        last: dict[str, object] = {"type": "http.request", "body": pieces[-1]}
        assert await body.read(in_pieces(*map(piece, pieces[:-1]), last), limit=10, content_type=JSON) == read


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x", b"x" * 10], [b"x" * 10, b"x"], [b"", b"x" * 11]])
async def test_pieces_that_are_too_large_together_are_refused(pieces: list[bytes]) -> None:
    """Contract §3: and nothing more is waited for."""
    with pytest.raises(TooLarge):
        await body.read(in_pieces(*map(piece, pieces)), limit=10, content_type=JSON)


async def test_whoever_goes_away_in_the_middle_has_sent_no_body() -> None:
    """ASGI: half a body must not be taken for a whole one."""
    with pytest.raises(ClientDisconnect):
        await body.read(in_pieces(piece(b"{}"), {"type": "http.disconnect"}), limit=10, content_type=JSON)
