"""Looking at an upstream: its tools, page by page, and whether it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams import paging
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.inspection import GATEWAY, Inspection
from bifrost.upstreams.models import Upstream

pytestmark = pytest.mark.anyio

UPSTREAM = Upstream(
    id="up_1", name="notes", endpoint_slug="notes", connection_type="http", connection_string="https://up.example/mcp",
    auth_type="none", tools_to_execute=(), allow_on_all_virtual_keys=False, tool_execution_timeout=30, disabled=False,
)  # fmt: skip


@dataclass
class Answers:
    """What the upstream says, one after the other."""

    results: list[Any]
    asked: list[tuple[str, Mapping[str, Any], Identity]] = field(default_factory=list)

    async def request(
        self, upstream: Upstream, identity: Identity, method: str, params: Mapping[str, Any], *, seconds: float
    ) -> dict[str, Raw]:
        self.asked.append((method, dict(params), identity))
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return {name: Raw(msgspec.json.encode(value)) for name, value in result.items()}


async def test_tools_are_read_page_by_page() -> None:
    """MCP, pagination: the cursor is opaque."""
    answers = Answers([{"tools": [{"name": "a"}], "nextCursor": "c 1"}, {"tools": [{"name": "b"}]}])
    assert [tool.name for tool in await Inspection(answers).tools(UPSTREAM)] == ["a", "b"]
    assert answers.asked == [("tools/list", {}, GATEWAY), ("tools/list", {"cursor": "c 1"}, GATEWAY)]


async def test_a_tools_hash_is_that_of_what_it_says_whatever_the_order_of_members() -> None:
    """Contract §9: time and hash."""
    one = {"name": "a", "description": "x", "inputSchema": {"type": "object", "properties": {}}}
    two = {"inputSchema": {"properties": {}, "type": "object"}, "description": "x", "name": "a"}
    three = {**one, "description": "y"}
    hashes = [(await Inspection(Answers([{"tools": [tool]}])).tools(UPSTREAM))[0].hash for tool in (one, two, three)]
    assert hashes[0] == hashes[1] != hashes[2]


async def test_entries_that_nobody_could_call_and_repetitions_are_left_out() -> None:
    """2026-07-28, tools; one database keeps no text with NUL, which must not become a fault of ours."""
    unnameable = [{"name": name} for name in ("", "a\0b", "a\nb", "a" * 129, 1)]
    entries = [{"name": "a"}, *unnameable, {}, "a", None, {"name": "a", "description": "again"}]
    found = await Inspection(Answers([{"tools": entries}])).tools(UPSTREAM)
    assert [(tool.name, tool.definition) for tool in found] == [("a", '{"name":"a"}')]


async def test_a_server_without_tools_has_none() -> None:
    """MCP: a method that it does not know."""
    answers = Answers([RpcError(jsonrpc.METHOD_NOT_FOUND, "what?")])
    assert await Inspection(answers).tools(UPSTREAM) == ()


async def test_any_other_error_is_one() -> None:
    """Ours."""
    with pytest.raises(RpcError):
        await Inspection(Answers([RpcError(jsonrpc.INTERNAL_ERROR, "broken")])).tools(UPSTREAM)


@pytest.mark.parametrize("tools", ["text", 1, {"name": "a"}])
async def test_a_list_that_is_none_is_an_error_in_words(tools: Any) -> None:
    """Ours: never a crash."""
    with pytest.raises(UpstreamUnavailable):
        await Inspection(Answers([{"tools": tools}])).tools(UPSTREAM)


async def test_a_list_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: an upstream cannot fill the database."""
    endless = [{"tools": [{"name": f"t{number}"}], "nextCursor": "more"} for number in range(500)]
    assert len(await Inspection(Answers(endless)).tools(UPSTREAM)) == paging.MAX_PAGES
    monkeypatch.setattr(paging, "MAX_BYTES", 100)
    with pytest.raises(UpstreamUnavailable):
        await Inspection(Answers([{"tools": [{"name": "a", "description": "x" * 100}]}])).tools(UPSTREAM)


async def test_an_upstream_that_knows_no_ping_has_answered() -> None:
    """Contract §9: `is_ping_available`."""
    await Inspection(Answers([{}])).ping(UPSTREAM)
    await Inspection(Answers([RpcError(jsonrpc.METHOD_NOT_FOUND, "what?")])).ping(UPSTREAM)
    with pytest.raises(RpcError):
        await Inspection(Answers([RpcError(jsonrpc.INTERNAL_ERROR, "broken")])).ping(UPSTREAM)
