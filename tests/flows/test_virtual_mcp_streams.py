"""What is open at a virtual MCP ends with it, and when it holds something else (contract §6)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.flows._administration import api
from tests.flows._hostile_upstream import Answer, hostile
from tests.flows._mcp import call, key, with_upstreams
from tests.flows._virtual_mcps import VIRTUAL_MCPS, holding, made
from tests.support.gateway import upstream
from tests.support.servers import until

pytestmark = pytest.mark.anyio

SOON_SECONDS = 5.0
CHANGES: dict[str, tuple[str, dict[str, Any] | None]] = {
    "deleted": ("DELETE", None),
    "disabled": ("PUT", {"disabled": True}),
    "something else in it": ("PUT", {"mcp_configs": holding("two")}),
}


@pytest.mark.parametrize(("method", "body"), CHANGES.values(), ids=CHANGES)
async def test_a_call_that_runs_ends_with_the_virtual_mcp_and_one_elsewhere_goes_on(
    sqlite_url: str, tmp_path: Path, method: str, body: dict[str, Any] | None
) -> None:
    """Contract §6: within a second; what runs was begun under other rules."""
    with hostile() as one, hostile() as two:
        entries = (upstream("one", one.url), upstream("two", two.url))
        async with with_upstreams(sqlite_url, tmp_path, *entries, governance={"virtual_keys": [key()]}) as running:
            work = await made(running, "work", holding("one"))
            one.script["tools/call"] = Answer(ending="never")
            here = asyncio.create_task(call(running.http, "read", path="/mcp/work", era="modern"))
            elsewhere = asyncio.create_task(call(running.http, "one-read", era="modern"))
            await until(lambda: len(one.requests("tools/call")) == 2)
            assert (await api(running, method, f"{VIRTUAL_MCPS}/{work['id']}", body)).is_success
            async with asyncio.timeout(SOON_SECONDS):
                assert "error" in (await here).json()
            assert not elsewhere.done()
            elsewhere.cancel()
            await asyncio.gather(elsewhere, return_exceptions=True)
