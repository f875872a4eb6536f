"""What is sent to an upstream, and what is made of its answer: the pure parts."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from msgspec import Raw

from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.sessions import (
    CLIENT_INFO,
    Session,
    _modern_meta,
    _protocol_headers,
    _result,
    _speaks_modern,
)
from bifrost.upstreams.transports.streamable_http import Exchange

MODERN, LEGACY, GREETING = Session(mcp.MODERN), Session("2025-11-25", "s1"), Session("")
UPSTREAM = Upstream(
    id="up_1",
    name="notes",
    endpoint_slug="notes",
    connection_type="http",
    connection_string="http://127.0.0.1/mcp",
    auth_type="none",
    tools_to_execute=("*",),
    allow_on_all_virtual_keys=True,
    tool_execution_timeout=30,
    disabled=False,
)


def exchange(raw: bytes | None, status: int = 200) -> Exchange:
    return Exchange(status, {}, jsonrpc.decode(raw) if raw else None)


@pytest.mark.parametrize(
    ("session", "method", "params", "headers"),
    [
        (GREETING, "initialize", {}, {}),
        (LEGACY, "tools/call", {"name": "add"}, {"mcp-protocol-version": "2025-11-25", "mcp-session-id": "s1"}),
        (replace(LEGACY, session_id=None), "tools/list", {}, {"mcp-protocol-version": "2025-11-25"}),
        (MODERN, "tools/list", {}, {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}),
        (
            MODERN,
            "tools/call",
            {"name": "add"},
            {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "add"},
        ),
        (
            MODERN,
            "tools/call",
            {"name": "größe"},
            {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "=?base64?Z3LDtsOfZQ==?="},
        ),
        (
            MODERN,
            "resources/read",
            {"uri": "file:///x", "name": "no"},
            {"mcp-protocol-version": "2026-07-28", "mcp-method": "resources/read", "mcp-name": "file:///x"},
        ),
        (MODERN, "tools/call", {"name": 5}, {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call"}),
    ],
)
def test_the_headers_say_what_the_era_asks_for(
    session: Session, method: str, params: dict[str, Any], headers: dict[str, str]
) -> None:
    """MCP 2025-11-25 and 2026-07-28, transports."""
    assert _protocol_headers(session, method, params) == headers


def test_the_era_of_a_session_is_that_of_its_version() -> None:
    """Contract §7."""
    assert MODERN.modern
    assert not LEGACY.modern
    assert not GREETING.modern


@pytest.mark.parametrize("sent", [None, Raw(b"{}")])
def test_a_modern_request_says_what_this_gateway_is_and_can(sent: Raw | None) -> None:
    """MCP 2026-07-28: `_meta` of every request."""
    assert _modern_meta(sent) == {
        mcp.META_VERSION: "2026-07-28",
        mcp.META_CLIENT_INFO: CLIENT_INFO,
        mcp.META_CAPABILITIES: {},
    }


def test_what_the_client_sent_along_is_kept_and_nothing_of_it_is_claimed() -> None:
    """Contract §7: `_meta` passes through; the capabilities are those of whoever asks."""
    sent = {
        "trace": {"id": 1.50},
        mcp.META_CAPABILITIES: {"elicitation": {}},
        mcp.META_VERSION: "2025-11-25",
        mcp.META_CLIENT_INFO: {"name": "Evil"},
    }
    meta = json.loads(jsonrpc.encode(_modern_meta(Raw(json.dumps(sent).encode()))))
    assert meta["trace"] == {"id": 1.5}
    assert meta[mcp.META_CAPABILITIES] == {}
    assert meta[mcp.META_VERSION] == "2026-07-28"
    assert meta[mcp.META_CLIENT_INFO] == CLIENT_INFO


@pytest.mark.parametrize("raw", [b"null", b"5", b"[]", b'"x"'])
def test_a_meta_that_is_no_object_never_becomes_a_fault_of_ours(raw: bytes) -> None:
    """Contract §2: what a client sends wrongly is the client's error, or ignored."""
    with contextlib.suppress(RpcError):
        assert _modern_meta(Raw(raw))[mcp.META_VERSION] == mcp.MODERN


@pytest.mark.parametrize(
    ("result", "modern"),
    [
        (b'{"supportedVersions":["2026-07-28"]}', True),
        (b'{"supportedVersions":["2027-01-01","2026-07-28"]}', True),
        (b'{"supportedVersions":["2025-11-25"]}', False),
        (b'{"supportedVersions":"2026-07-28"}', False),
        (b'{"supportedVersions":null}', False),
        (b"{}", False),
        (b"[]", False),
        (b"null", False),
    ],
)
def test_an_upstream_is_modern_when_it_says_so(result: bytes, *, modern: bool) -> None:
    """MCP 2026-07-28: server/discover."""
    assert _speaks_modern(exchange(b'{"jsonrpc":"2.0","id":1,"result":' + result + b"}")) is modern


@pytest.mark.parametrize(
    "raw",
    [None, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"No."}}', b'{"jsonrpc":"2.0","method":"m"}'],
)
def test_an_upstream_that_does_not_know_the_question_is_of_the_older_era(raw: bytes | None) -> None:
    """gateway/README.md: an upstream that does not know server/discover gets initialize."""
    assert not _speaks_modern(exchange(raw))


def test_a_result_keeps_its_bytes() -> None:
    """Contract §7: unknown members pass through unharmed."""
    members = _result(UPSTREAM, exchange(b'{"jsonrpc":"2.0","id":1,"result":{"content":[ 1 ],"new":{"z":1.0}}}'))
    assert {name: bytes(raw) for name, raw in members.items()} == {"content": b"[ 1 ]", "new": b'{"z":1.0}'}


def test_an_error_of_the_upstream_is_passed_on_as_it_is() -> None:
    """Contract §7."""
    raw = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"Sign in","data":{"u":1}}}'
    with pytest.raises(RpcError) as caught:
        _result(UPSTREAM, exchange(raw, 400))
    assert (caught.value.code, caught.value.message, caught.value.data) == (-32042, "Sign in", b'{"u":1}')


@pytest.mark.parametrize("result", [b"[]", b"null", b"5", b'"x"'])
def test_a_result_that_is_no_object_is_said_to_be_none(result: bytes) -> None:
    """Contract §8: an error for that call only."""
    with pytest.raises(UpstreamUnavailable, match="notes"):
        _result(UPSTREAM, exchange(b'{"jsonrpc":"2.0","id":1,"result":' + result + b"}"))


@pytest.mark.parametrize("message", [None, Message(jsonrpc="2.0", id=1)])
def test_no_answer_is_said_to_be_none(message: Message | None) -> None:
    """Contract §8: in words that name the upstream."""
    with pytest.raises(UpstreamUnavailable, match="notes"):
        _result(UPSTREAM, Exchange(202, {}, message))
