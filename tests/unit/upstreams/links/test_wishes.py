"""What a session wishes on a link: what an upstream refuses of it costs nothing else."""

import asyncio

import pytest

from bifrost.upstreams.links.base import Nobody
from tests.unit.upstreams.links._peer import Keeps
from tests.unit.upstreams.links._pipe import Pipe, opened, until

pytestmark = pytest.mark.anyio


async def test_an_upstream_that_refuses_the_log_level_is_of_use_all_the_same() -> None:
    """2025-11-25, logging: some say that they log, and know no levels, or not this one."""
    pipe = Pipe({"error": {"code": -32602, "message": "What level?"}}, {"result": {"ok": True}})
    link = await opened(pipe, log_level="warning")
    assert bytes(await link.request("tools/call", {"name": "x"}, Nobody(), 5)) == b'{"ok": true}'
    await link.close()


async def test_one_resource_that_is_no_more_costs_nothing_but_itself() -> None:
    """2025-11-25, resources: what a session was subscribed to on the link before is asked for on this one."""
    pipe = Pipe({"error": {"code": -32002, "message": "Gone."}}, {"result": {}})
    link, heard = await opened(pipe, session="s"), Keeps()
    listening = asyncio.create_task(link.listen(("x:/gone", "x:/there"), heard))
    await until(pipe, 4)
    assert [sent["params"]["uri"] for sent in pipe.sent[2:]] == ["x:/gone", "x:/there"]
    pipe.says(method="notifications/resources/updated", params={"uri": "x:/there"})
    await asyncio.sleep(0.01)
    assert heard.heard[-1] == ("notifications/resources/updated", {"uri": "x:/there"})
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await link.close()
