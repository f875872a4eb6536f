"""The matrix (contract §7): every kind of content, from every client revision, to every upstream that there can be.

| axis | values |
|---|---|
| kind | tool, error, progress, cancel, resource, prompt, elicitation, sampling, large result, unicode, unknown members |
| client | 2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25, 2026-07-28 |
| upstream over http | the same five |
| upstream over stdio | the same five |
| upstream over sse | the four that begin with `initialize`: the transport belongs to their era |

That is 11 kinds, 5 clients, 14 upstreams: 770 cells, none left out. A client of 2024-11-05 or 2025-03-26 cannot be
elicited from; those cells show the refusal, to the client and to the upstream (`_matrix.py`, `elicitation`). Whole
conversations on `/mcp` are in `test_mcp_conversations.py`, messages that nobody thought of in
`test_mcp_generated_messages.py`, over all three transports as well.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from bifrost.protocol import mcp
from tests.conftest import quiet
from tests.flows._matrix import CLIENTS, KINDS, LISTS, UPSTREAMS, Cell
from tests.support.gateway import upstream
from tests.support.mcp_client import McpClient, gateway_on_a_port
from tests.support.piped import reached
from tests.support.scripted_upstream import ScriptedUpstream

CELLS = [
    (kind, transport, revision, client)
    for (transport, revision), client, kind in itertools.product(UPSTREAMS, CLIENTS, KINDS)
]


def named(transport: str, revision: str) -> str:
    return f"{transport}{revision.replace('-', '')}"


@dataclass(slots=True)
class Matrix:
    """One gateway with every upstream behind it. A client is opened at its first cell, and stays."""

    runner: asyncio.Runner
    http: httpx2.AsyncClient
    servers: dict[str, ScriptedUpstream]
    _cells: dict[tuple[str, str], Cell] = field(default_factory=dict)

    def cell(self, transport: str, revision: str, client: str) -> Cell:
        way = named(transport, revision)
        if (way, client) not in self._cells:
            self._cells[way, client] = self.runner.run(self._opened(way, client))
        cell = self._cells[way, client]
        cell.clear()
        return cell

    async def _opened(self, way: str, revision: str) -> Cell:
        """With the upstream greeted in the revision that it has, which is seen at the upstream."""
        client = McpClient(self.http, revision, CLIENTS[revision], f"/mcp/{way}", log_level="debug")
        cell = Cell(client, self.servers[way])
        cell.clear()
        offered = await client.open()
        assert offered["capabilities"].keys() >= {"tools", "resources", "prompts", "completions"}
        if not client.modern:
            assert offered["protocolVersion"] == revision
        cell.server.result = {"content": []}
        assert (await cell.call()).result["content"] == []
        assert cell.server.requests(mcp.DISCOVER if cell.server.modern else mcp.INITIALIZED)
        return cell


async def _started(stack: AsyncExitStack, directory: Path, entries: list[dict[str, Any]]) -> httpx2.AsyncClient:
    section = {"client_configs": entries, "stdio_allowed_commands": [sys.executable]}
    url = f"sqlite:///{directory / 'bifrost.db'}"
    return await stack.enter_async_context(gateway_on_a_port(url, directory, mcp=section))


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    quiet()  # it runs between tests too
    with ExitStack() as stack:
        servers, entries = {}, []
        for transport, revision in UPSTREAMS:
            name = named(transport, revision)
            servers[name] = ScriptedUpstream(version=revision, members=dict(LISTS))
            entries.append({**upstream(name, ""), **stack.enter_context(reached(transport, servers[name]))})
        runner, running = stack.enter_context(asyncio.Runner()), AsyncExitStack()
        stack.callback(lambda: runner.run(running.aclose()))
        http = runner.run(_started(running, tmp_path_factory.mktemp("matrix"), entries))
        yield Matrix(runner, http, servers)


@pytest.mark.parametrize(("kind", "transport", "revision", "client"), CELLS)
def test_what_arrives_is_what_was_sent(matrix: Matrix, kind: str, transport: str, revision: str, client: str) -> None:
    """Contract §7, §8: byte for byte where JSON allows; what a revision does not have is refused as the contract says.

    T12, T20, V1, V6, V8, V16.
    """
    matrix.runner.run(KINDS[kind](matrix.cell(transport, revision, client)))


def test_no_cell_is_missing() -> None:
    """Contract §7, §8: written out here once more, so that no kind, revision or transport gets lost on the way."""
    kinds = {"tool", "error", "progress", "cancel", "resource", "prompt", "elicitation", "sampling"}
    kinds |= {"large result", "unicode", "unknown members"}
    older = {"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"}
    revisions = older | {"2026-07-28"}
    assert set(mcp.LEGACY_VERSIONS) == older
    assert {*mcp.LEGACY_VERSIONS, *mcp.MODERN_VERSIONS} == revisions
    whole = {
        *itertools.product(kinds, {"http", "stdio"}, revisions, revisions),
        *itertools.product(kinds, {"sse"}, older, revisions),
    }
    marks = cast("list[pytest.Mark]", test_what_arrives_is_what_was_sent.pytestmark)  # type: ignore[attr-defined]
    assert [mark.name for mark in marks] == ["parametrize"], "a cell could be left out by a mark"
    (_names, cells) = marks[0].args
    assert (len(cells), set(cells)) == (770, whole)
    assert len({*KINDS.values()}) == len(kinds), "two kinds are one"
