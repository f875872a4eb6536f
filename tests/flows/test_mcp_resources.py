"""Resources and prompts on /mcp (gateway/README.md): whose a URI is, and who may use them."""

from pathlib import Path

import pytest

from tests.flows._mcp import KEY, ask, key, result_of, rpc_error, with_upstreams
from tests.support.gateway import upstream
from tests.support.talking_upstream import CONTENTS, talking

pytestmark = pytest.mark.anyio

OLDER = "2025-11-25"


async def test_a_uri_that_two_upstreams_list_is_shown_twice_and_each_can_be_read(
    sqlite_url: str, tmp_path: Path
) -> None:
    """The first keeps its URI, the second says which it is; a template goes to the first."""
    with talking(OLDER) as one, talking("2026-07-28") as two:
        configured = (upstream("one", one.url), upstream("two", two.url))
        async with with_upstreams(sqlite_url, tmp_path, *configured) as running:
            listed = result_of(await ask(running.http, "resources/list"))["resources"]
            uris = [resource["uri"] for resource in listed]
            assert uris == ["notes:///a", "bifrost://two/notes%3A%2F%2F%2Fa"]
            assert listed[0]["icons"] == listed[1]["icons"]
            for uri, server in zip((*uris, "notes:///by-id/5"), (one, two, one), strict=True):
                before = len(server.requests("resources/read"))
                assert result_of(await ask(running.http, "resources/read", {"uri": uri})) == CONTENTS
                assert len(server.requests("resources/read")) == before + 1
            assert two.requests("resources/read")[0]["params"]["uri"] == "notes:///a"
            templates = result_of(await ask(running.http, "resources/templates/list"))["resourceTemplates"]
            assert len(templates) == 1


@pytest.mark.parametrize(("era", "code", "status"), [("legacy", -32002, 200), ("modern", -32602, 400)])
async def test_a_resource_of_nobody_is_not_found_in_the_words_of_the_revision(
    sqlite_url: str, tmp_path: Path, era: str, code: int, status: int
) -> None:
    """V15, G20, T21."""
    with talking(OLDER) as one, talking(OLDER) as two:
        configured = (upstream("one", one.url), upstream("two", two.url))
        async with with_upstreams(sqlite_url, tmp_path, *configured) as running:
            answer = await ask(running.http, "resources/read", {"uri": "other:///x"}, era=era)
            error = rpc_error(answer, status)
            assert (error["code"], error["data"]) == (code, {"uri": "other:///x"})
            for method in ("resources/read", "prompts/get", "completion/complete"):
                assert rpc_error(await ask(running.http, method, {}))["code"] == -32602
            assert rpc_error(await ask(running.http, "prompts/get", {"name": "three-x"}))["code"] == -32602


async def test_who_was_given_some_tools_was_given_nothing_else(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: what a caller may not use does not exist for them."""
    with talking(OLDER) as server:
        entry = upstream("up", server.url, allow_on_all_virtual_keys=False)
        for tools, allowed in ((["*"], True), (["echo"], False)):
            configs = [{"mcp_client_name": "up", "tools_to_execute": tools}]
            keys = {"virtual_keys": [key(mcp_configs=configs)]}
            directory = tmp_path / str(allowed)
            directory.mkdir()
            async with with_upstreams(f"{sqlite_url}-{allowed}", directory, entry, governance=keys) as running:
                listed = result_of(await ask(running.http, "resources/list"))["resources"]
                assert bool(listed) is allowed
                assert bool(result_of(await ask(running.http, "prompts/list"))["prompts"]) is allowed
                read = await ask(running.http, "resources/read", {"uri": "notes:///a"})
                assert ("result" in read.json()) is allowed
                narrowed = {**KEY, "x-bf-mcp-include-tools": "up-echo"}
                assert result_of(await ask(running.http, "prompts/list", headers=narrowed))["prompts"] == []
