"""Upstreams on a pipe (contract §8): programs on this machine, and HTTP with server-sent events of 2024-11-05."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import Context
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from bifrost.protocol import mcp
from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.transports.stdio import process
from tests.flows._mcp import ERAS, KEY, call, key, names, result_of, rpc_error
from tests.flows._mcp import ask as asked
from tests.support import sdk_upstream
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway, running_gateway, upstream
from tests.support.programs import HOSTILE, children, until_gone
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwxyz"
Running = Callable[..., AbstractAsyncContextManager[TestGateway]]


@pytest.fixture(autouse=True)
async def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(process, "END_OF_INPUT_SECONDS", 0.2)
    before = set(children())
    yield
    assert set(children()) <= before, "a process is left, or was not waited for"


@pytest.fixture
def with_programs(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> Running:
    def run(*upstreams: dict[str, Any], **mcp: Any) -> AbstractAsyncContextManager[TestGateway]:
        section = {"client_configs": list(upstreams), "stdio_allowed_commands": [sys.executable], **mcp}
        keys = {"virtual_keys": [key(value=VIRTUAL_KEY), {"name": "other", "value": OTHER_KEY}]}
        return running_gateway(sqlite_url, tmp_path, clock=clock, mcp=section, governance=keys)

    return run


def program(name: str, *arguments: str, **more: Any) -> dict[str, Any]:
    config = {"command": sys.executable, "args": list(arguments), **more}
    return {**upstream(name, ""), "connection_type": "stdio", "stdio_config": config}


SDK = program("sdk", str(sdk_upstream.__file__), "stdio")


async def added(running: TestGateway, era: str = "legacy") -> str:
    """A call waits until the program is there; a list would go on without it after a while."""
    answered = result_of(await call(running.http, "sdk-add", {"a": 2, "b": 3}, era=era))
    return str(answered["content"][0]["text"])


@pytest.mark.parametrize("era", ERAS)
async def test_a_program_made_with_the_official_sdk_is_an_upstream(era: str, with_programs: Running) -> None:
    """Contract §8, stdio: list and call, in both eras of clients."""
    async with with_programs(SDK) as running:
        assert await added(running, era) == "5"
        assert await names(running.http, era=era) == ["sdk-whoami", "sdk-add"]
        assert await names(running.http, era=era, path="/mcp/sdk") == ["whoami", "add"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_server_of_the_older_http_transport_is_an_upstream(
    era: str, sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §8, sse: the official SDK's own server of 2024-11-05."""
    with serving(sdk_upstream.build().sse_app()) as origin:
        old = {**upstream("old", f"{origin}/sse"), "connection_type": "sse"}
        async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp={"client_configs": [old]}) as running:
            answered = result_of(await call(running.http, "old-add", {"a": 2, "b": 3}, era=era))
            assert answered["content"][0]["text"] == "5"
            assert await names(running.http, era=era) == ["old-whoami", "old-add"]


async def test_a_question_that_a_person_leaves_open_holds_up_none_of_their_other_calls(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §7: a call of a stateless client at an upstream of the older era waits for an answer, for ten minutes.

    A pipe does not say which call a question belongs to, so calls take turns there; meanwhile others go by another one.
    """
    server = sdk_upstream.build()

    @server.tool()
    async def ask(ctx: Context) -> str:
        """Asks the person."""
        return (await ctx.elicit("Your name?", _Name)).action

    can: dict[str, Any] = {"_meta": {mcp.META_CAPABILITIES: {"elicitation": {"form": {}}}}}
    with serving(server.sse_app()) as origin:
        old = {**upstream("old", f"{origin}/sse"), "connection_type": "sse"}
        async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp={"client_configs": [old]}) as running:

            async def called(tool: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
                params = {"name": tool, "arguments": arguments, **can, **more}
                return result_of(await asked(running.http, "tools/call", params, era="modern"))

            first, second = await called("old-ask", {}), await called("old-ask", {})
            assert (await called("old-add", {"a": 2, "b": 3}))["content"][0]["text"] == "5"
            for question in (second, first):
                answers = {key: {"action": "decline"} for key in question["inputRequests"]}
                again = {"inputResponses": answers, "requestState": question["requestState"]}
                assert (await called("old-ask", {}, **again))["content"][0]["text"] == "decline"


class _Name(BaseModel):
    name: str


async def test_configured_headers_are_on_every_request_of_the_older_http_transport(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """R66, contract §8: at the stream that is opened and at each message that is sent, for lists and calls."""
    app, seen = sdk_upstream.build().sse_app(), []

    async def recording(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append((scope["method"], dict(scope["headers"]).get(b"authorization")))
        await app(scope, receive, send)

    with serving(recording) as origin:
        headers = {"auth_type": "headers", "headers": {"Authorization": "Bearer upstream-secret"}}
        old = {**upstream("old", f"{origin}/sse", **headers), "connection_type": "sse"}
        async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp={"client_configs": [old]}) as running:
            assert result_of(await call(running.http, "old-add", {"a": 2, "b": 3}))["content"][0]["text"] == "5"
            assert await names(running.http) == ["old-whoami", "old-add"]
    assert {method for method, _authorization in seen} == {"GET", "POST"}
    assert {authorization for _method, authorization in seen} == {b"Bearer upstream-secret"}


async def test_everybody_has_a_process_of_their_own_unless_it_is_shared(with_programs: Running) -> None:
    """Contract §8: what a program remembers of one person is never another's."""
    for shared, processes in (((), 2), (("echo",), 1)):
        async with with_programs(program("echo", HOSTILE, "server"), stdio_shared_upstreams=shared) as running:
            seen = set()
            for value in (VIRTUAL_KEY, OTHER_KEY, VIRTUAL_KEY):
                answered = result_of(await call(running.http, "echo-process", headers={"x-bf-vk": value}))
                seen.add(answered["content"][0]["text"])
            assert len(seen) == processes


async def test_a_program_that_ends_is_an_error_for_its_own_calls_and_is_started_again(
    with_programs: Running, clock: FakeClock
) -> None:
    """TC-214: exits; the others are fine."""
    async with with_programs(program("echo", HOSTILE, "server"), SDK) as running:
        first = result_of(await call(running.http, "echo-process"))["content"][0]["text"]
        error = rpc_error(await call(running.http, "echo-exit"))
        assert error["data"]["code"] == "upstream_unavailable"
        assert error["message"] == "echo ended with exit status 7."
        assert await added(running) == "5"
        assert "started again" in rpc_error(await call(running.http, "echo-process"))["message"]
        clock.advance(seconds=1)
        again = result_of(await call(running.http, "echo-process"))["content"][0]["text"]
        assert again != first


async def test_a_program_that_never_speaks_the_protocol_costs_the_list_nothing_but_its_tools(
    with_programs: Running,
) -> None:
    """TC-210, TC-214: exits at once, garbage."""
    async with with_programs(SDK, program("gone", HOSTILE, "exits"), program("noise", HOSTILE, "garbage")) as running:
        assert await added(running) == "5"
        assert await names(running.http) == ["sdk-whoami", "sdk-add"]


async def test_stopping_the_gateway_ends_every_program(with_programs: Running) -> None:
    """Contract §11, TC-214: also the ones that a program started, and that ignore SIGTERM."""
    async with with_programs(program("echo", HOSTILE, "server")) as running:
        said = result_of(await call(running.http, "echo-fork"))["content"][0]["text"]
        left = json.loads(said)
        assert len(left) == 4
    await until_gone(*left)


async def test_a_program_sees_the_variables_that_were_named_and_no_others(
    with_programs: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8, R74: scrubbed environment."""
    monkeypatch.setenv("NOTES_KEY", "abcdefgh")
    monkeypatch.setenv("BIFROST_ADMIN_TOKEN", "a token that is nobody else's business")
    async with with_programs(program("echo", HOSTILE, "server", envs=["NOTES_KEY"])) as running:
        seen = json.loads(result_of(await call(running.http, "echo-environment"))["content"][0]["text"])
        assert seen["NOTES_KEY"] == "abcdefgh"
        assert set(seen) <= {"NOTES_KEY", "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ"}


@pytest.mark.parametrize(
    ("config", "member"),
    [
        ({"command": "/bin/sh", "args": ["-c", "id"]}, "stdio_config.command"),
        ({"command": sys.executable, "envs": ["LD_PRELOAD"]}, "stdio_config.envs"),
        ({"command": sys.executable, "envs": ["A_VARIABLE_NOBODY_SET"]}, "stdio_config.envs"),
    ],
)
async def test_a_program_that_is_not_allowed_is_never_started(
    config: dict[str, Any], member: str, with_programs: Running
) -> None:
    """TC-131, R74: refused before anything runs."""
    with pytest.raises(UpstreamInvalid) as refused:
        async with with_programs({**SDK, "stdio_config": config}):
            pass
    assert refused.value.param == member


async def test_programs_are_switched_off_by_default(with_programs: Running) -> None:
    """Contract §8, R74."""
    with pytest.raises(UpstreamInvalid, match="switched off"):
        async with with_programs(SDK, stdio_allowed_commands=[]):
            pass


async def test_a_key_that_may_not_use_a_program_starts_none(with_programs: Running) -> None:
    """TC-131: nothing is spawned for somebody who is refused."""
    async with with_programs({**SDK, "allow_on_all_virtual_keys": False}) as running:
        assert await names(running.http, headers={"x-bf-vk": OTHER_KEY}) == []
        assert "Unknown tool" in rpc_error(await call(running.http, "sdk-add", headers=KEY))["message"]
        assert not running.gateway.stdio._running
