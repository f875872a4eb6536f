"""One program as a pipe, with a program that misbehaves on demand (TC-214)."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.transports.stdio import process
from bifrost.upstreams.transports.stdio.command import Program
from bifrost.upstreams.transports.stdio.process import StdioPipe
from tests.support.clock import FakeClock
from tests.support.programs import children, is_alive, program, until_gone

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[StdioPipe]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "END_OF_INPUT_SECONDS", 0.2)
    monkeypatch.setattr(process, "TERMINATE_SECONDS", 0.2)


@pytest.fixture
async def start(clock: FakeClock) -> AsyncIterator[Start]:
    started: list[StdioPipe] = []

    async def begin(mode: str, **env: str) -> StdioPipe:
        started.append(await StdioPipe.start("notes", program(mode, **env), clock))
        return started[-1]

    before = set(children())
    yield begin
    for pipe in started:
        await pipe.close()
    assert set(children()) <= before, "a process is left, or was not waited for"


async def ask(pipe: StdioPipe, method: str = "echo", params: Any = None) -> Any:
    await pipe.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}).encode())
    return json.loads(await pipe.receive())["result"]


async def test_messages_go_both_ways(start: Start) -> None:
    """MCP 2025-11-25, transports, stdio."""
    pipe = await start("echo")
    for number in range(3):
        assert (await ask(pipe, params={"n": number}))["params"] == {"n": number}


async def test_a_message_with_line_breaks_between_its_tokens_is_still_one_line(start: Start) -> None:
    """MCP 2025-11-25, stdio: messages must not contain embedded newlines; a client over HTTP may send them."""
    pipe = await start("echo")
    await pipe.send(b'{"jsonrpc":"2.0",\r\n"id":1,\n"method":"echo","params":{"a":"b\\nc"}}')
    assert json.loads(await pipe.receive())["result"]["params"] == {"a": "b\nc"}


async def test_large_messages_pass(start: Start) -> None:
    """Ours: more than any buffer on the way."""
    pipe = await start("echo")
    text = "x" * 3_000_000
    assert (await ask(pipe, params={"text": text}))["params"]["text"] == text


async def test_a_program_sees_the_environment_it_was_given_and_nothing_else(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8: scrubbed environment."""
    monkeypatch.setenv("BIFROST_ADMIN_TOKEN", "not for you")
    pipe = await start("echo", API_KEY="abcdefgh")
    assert set(await ask(pipe, "environment")) <= {"PATH", "API_KEY", "LC_CTYPE"}


async def test_the_end_of_a_program_is_said_with_its_status(start: Start) -> None:
    """TC-214: exits at once."""
    pipe = await start("exits")
    with pytest.raises(UpstreamUnavailable, match="notes ended with exit status 3"):
        await pipe.receive()
    with pytest.raises(UpstreamUnavailable):
        await pipe.send(b"{}")


async def test_what_a_program_says_of_its_end_is_kept_for_the_administrator_and_not_in_the_error(start: Start) -> None:
    """Ours: standard error may hold anything."""
    pipe = await start("exits", PASSWORD="hunter2hunter2")
    with pytest.raises(UpstreamUnavailable) as gone:
        await pipe.receive()
    assert "licence" not in gone.value.message
    assert pipe.printed() == ["no licence found, password=…"]


async def test_a_banner_is_passed_over(start: Start) -> None:
    """Ours: many programs greet, though stdio must carry messages only."""
    pipe = await start("banner")
    assert (await ask(pipe, params={"a": 1}))["params"] == {"a": 1}
    assert "Welcome!" in pipe.printed()


async def test_a_program_that_says_no_messages_is_ended(start: Start) -> None:
    """TC-214: garbage."""
    pipe = await start("garbage")
    with pytest.raises(UpstreamUnavailable, match="notes wrote something that is not JSON-RPC"):
        await pipe.receive()
    await pipe.close()
    assert pipe.fault


async def test_messages_are_put_together_and_a_last_half_is_none(start: Start) -> None:
    """TC-214: half lines."""
    pipe = await start("half")
    assert [json.loads(await pipe.receive())["id"] for _ in range(2)] == [1, 2]
    with pytest.raises(UpstreamUnavailable, match="exit status 0"):
        await pipe.receive()


async def test_a_line_without_end_is_cut_off(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """TC-211, TC-214: bounded buffers."""
    monkeypatch.setattr(process, "MAX_MESSAGE_BYTES", 1_000_000)
    pipe = await start("endless")
    with pytest.raises(UpstreamUnavailable, match="a message of more than 1000000 bytes"):
        await pipe.receive()


async def test_a_gigabyte_of_standard_error_costs_nothing_but_its_end(start: Start) -> None:
    """TC-214: 1 GB stderr."""
    pipe = await start("talkative")
    assert (await ask(pipe, params={"a": 1}))["params"] == {"a": 1}
    assert sum(map(len, pipe.printed())) <= process.MAX_PRINTED_BYTES


async def test_a_program_that_does_not_read_is_ended(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: what is sent to it must not pile up."""
    monkeypatch.setattr(process, "SEND_SECONDS", 0.2)
    pipe = await start("deaf")
    with pytest.raises(UpstreamUnavailable, match="does not read"):
        await pipe.send(b"{" + b"x" * 1_000_000 + b"}")


async def test_a_program_that_ignores_every_request_to_end_is_killed(start: Start) -> None:
    """TC-214: ignores SIGTERM."""
    pipe = await start("stubborn")
    inner = json.loads(await pipe.receive())["params"]["process"]
    await pipe.close()
    assert not is_alive(inner)
    assert not is_alive(pipe.process_id)


async def test_nothing_that_a_program_started_outlives_it(start: Start) -> None:
    """TC-214: forks, also detached ones."""
    pipe = await start("forks")
    answer = await ask(pipe)
    assert len(answer["children"]) == 3
    assert all(map(is_alive, answer["children"]))
    await pipe.close()
    await until_gone(answer["process"], *answer["children"])


async def test_a_receiver_that_waits_hears_of_the_end(start: Start) -> None:
    """Ours."""
    pipe = await start("echo")
    await ask(pipe)
    await pipe.close()
    with pytest.raises(UpstreamUnavailable, match="notes has ended"):
        await pipe.receive()


async def test_a_program_that_cannot_be_started_says_why(clock: FakeClock) -> None:
    """Ours: for the administrator."""
    pipe = await StdioPipe.start("notes", Program("/does/not/exist"), clock)
    with pytest.raises(UpstreamUnavailable, match="exit status 127"):
        await pipe.receive()
    await pipe.close()
    assert pipe.printed() == ["/does/not/exist cannot be started: No such file or directory"]
