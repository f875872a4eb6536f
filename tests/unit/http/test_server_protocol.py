"""Connections within limits: the protocol class on a real loopback socket, with an application of a few lines."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from bifrost.http.server_protocol import MAX_FIELDS, MAX_HEAD_BYTES, LimitedProtocol
from tests.unit.http._serving import LARGE, PATIENCE, Application, Server

pytestmark = pytest.mark.anyio

PIECE = 4_096
ENDLESS = 1 << 20
"""More than arrives in one call."""
SHORT = 0.05
CHUNKED = b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The product runs on uvloop; on sockets its transports differ from asyncio's in many small ways."""
    return "asyncio", {"use_uvloop": request.param}


Serve = Callable[..., Awaitable[Server]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    listening: list[asyncio.Server] = []
    application = Application()

    async def start(*, limit_concurrency: int | None = None, keep_alive: float = 5, **seconds: float) -> Server:
        overdue: asyncio.Queue[None] = asyncio.Queue()

        class Protocol(LimitedProtocol):
            def _overdue(self) -> None:
                super()._overdue()
                overdue.put_nowait(None)

        for name, value in {"linger_seconds": SHORT, **seconds}.items():
            setattr(Protocol, name, value)
        config = Config(application, log_config=None, lifespan="off", ws="none", limit_concurrency=limit_concurrency)
        config.timeout_keep_alive = keep_alive  # type: ignore[assignment]
        config.load()
        state, made = ServerState(), list[LimitedProtocol]()

        def make() -> LimitedProtocol:
            made.append(Protocol(config, state, {}))
            return made[-1]

        listening.append(await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0))
        return Server(listening[0].sockets[0].getsockname()[1], application, state, made, overdue)

    yield start
    for server in listening:
        server.close()
    application.may_answer.set()


def head(size: int, *, path: str = "/x") -> bytes:
    """A request of exactly this many bytes."""
    start, end = f"GET {path} HTTP/1.1\r\nX: ".encode(), b"\r\n\r\n"
    return start + b"a" * (size - len(start) - len(end)) + end


TOO_LARGE = {
    "target": b"GET /" + b"a" * MAX_HEAD_BYTES,
    "query": b"GET /?" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n",
    "field value": b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES,
    "field name": b"GET / HTTP/1.1\r\n" + b"a" * MAX_HEAD_BYTES,
    "fields": b"GET / HTTP/1.1\r\n" + (b"x: " + b"a" * 1_000 + b"\r\n") * 33,
    "small fields": b"GET / HTTP/1.1\r\n" + b"x:\r\n" * (MAX_FIELDS + 1) + b"\r\n",
    "empty lines": b"\r\n" * MAX_HEAD_BYTES,
    "trailer field": CHUNKED + b"1\r\na\r\n0\r\nX: " + b"a" * ENDLESS,
    "trailer fields": CHUNKED + b"1\r\na\r\n0\r\n" + b"x:\r\n" * (MAX_FIELDS + 1) + b"\r\n",
    "chunk extension": CHUNKED + b"1;" + b"a" * ENDLESS,
}


@pytest.mark.parametrize("piece", [PIECE, 1 << 20], ids=["pieces", "at-once"])
@pytest.mark.parametrize("sent", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_more_than_a_head_may_hold_is_answered_with_431_and_the_connection_closed(
    serve: Serve, sent: bytes, piece: int
) -> None:
    """RFC 6585 §5: whether it ends or not, however it arrives."""
    server = await serve()
    async with server.connected() as client:
        await client.send(sent, piece=piece)
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n"), answer
    assert answer.count(b"HTTP/1.1") == 1
    assert all(request["path"] == "/body" for request in server.application.heads)


@pytest.mark.parametrize("piece", [64, PIECE, 1 << 20])
async def test_a_head_as_large_as_it_may_be_is_read(serve: Serve, piece: int) -> None:
    """The limit is for what no client sends."""
    server = await serve()
    async with server.connected() as client:
        await client.send(head(MAX_HEAD_BYTES), piece=piece)
        assert await client.answer() == b"/x"
        await client.send(b"GET /fields HTTP/1.1\r\n" + b"x:\r\n" * MAX_FIELDS + b"\r\n", piece=piece)
        assert await client.answer() == b"/fields"
    assert len(server.application.heads[1]["headers"]) == MAX_FIELDS


@pytest.mark.parametrize("piece", [100, PIECE, 1 << 20])
async def test_heads_are_counted_one_by_one_and_bodies_not_at_all(serve: Serve, piece: int) -> None:
    """RFC 9112 §9.3: several requests on a connection, waiting for answers or not."""
    server = await serve()
    size = 5 * MAX_HEAD_BYTES
    body = b"POST /body HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"a" * size
    chunks = CHUNKED + b"1\r\na\r\n" * 20_000 + b"0\r\nX: y\r\n\r\n"
    large = head(MAX_HEAD_BYTES * 3 // 4, path="/large")
    async with server.connected() as client:
        for _ in range(3):
            await client.send(large, piece=piece)
            assert await client.answer() == b"/large"
        await client.send(large + body + large + chunks + large, piece=piece)
        answers = [await client.answer() for _ in range(5)]
    assert answers == [b"/large", str(size).encode(), b"/large", b"20000", b"/large"]


async def test_a_trailer_does_not_become_part_of_the_head(serve: Serve) -> None:
    """RFC 9110 §6.5.1: or it would say who asks after that was looked at."""
    server = await serve()
    async with server.connected() as client:
        await client.send(CHUNKED + b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
        assert await client.answer() == b"1"
        assert await client.ask("/next") == b"/next"
    assert [name for name, _ in server.application.heads[0]["headers"]] == [b"transfer-encoding"]


@pytest.mark.parametrize("before", [b"", b"GET /first HTTP/1.1\r\n\r\n"], ids=["first", "later"])
async def test_a_head_that_does_not_arrive_in_time_is_answered_with_408(serve: Serve, before: bytes) -> None:
    """RFC 9110 §15.5.9: slow clients."""
    server = await serve(head_seconds=SHORT)
    async with server.connected() as client:
        if before:
            await client.send(before)
            assert await client.answer() == b"/first"
        await client.send(b"GET /second HTTP/1.1\r\nX: ")
        assert (await client.rest()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert len(server.application.heads) == (1 if before else 0)


async def test_parts_of_a_head_do_not_lengthen_its_time(serve: Serve) -> None:
    """A byte now and then is not a sign of life."""
    server = await serve()
    async with server.connected() as client:
        await _until(lambda: server.made)
        due = server.made[0]._due
        assert due is not None
        sent = 0
        for part in (b"G", b"ET / HTTP/1.1\r\n", b"X: y\r\n", b"Z"):
            sent += len(part)
            await client.send(part)
            await _until(lambda: server.made[0]._unparsed_bytes == sent)  # noqa: B023 - called here
            assert server.made[0]._due == due


def _rests(connection: LimitedProtocol) -> bool:
    """For as long as a connection may rest, and no shorter."""
    left = (connection._due or 0.0) - connection.loop.time()
    return connection.timeout_keep_alive - PATIENCE / 10 < left <= connection.timeout_keep_alive


async def _until(happens: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not happens():  # noqa: ASYNC110 - what happens is inside uvicorn
            await asyncio.sleep(0)


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
async def test_a_connection_without_a_request_is_closed_without_a_word(serve: Serve, sent: bytes) -> None:
    """RFC 9112 §9.5: an answer to nothing could be taken for the answer to what comes next."""
    server = await serve(head_seconds=SHORT)
    async with server.connected() as client:
        await client.send(sent)
        assert await client.rest() == b""


async def test_a_connection_between_two_requests_may_rest_as_long_as_uvicorn_lets_it(serve: Serve) -> None:
    """Keep-alive is not slowness; and bytes that begin no request do not make it endless."""
    server = await serve(head_seconds=SHORT)
    async with server.connected() as client:
        for sent in (b"", b"\r\n"):
            assert await client.ask("/first") == b"/first"
            await client.send(sent)
            await _until(lambda sent=sent: server.made[0]._unparsed_bytes == len(sent))  # type: ignore[misc]
            assert _rests(server.made[0])


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
async def test_a_connection_that_rests_for_too_long_is_closed_without_a_word(serve: Serve, sent: bytes) -> None:
    """RFC 9112 §9.5: the time of its first head, which was longer, has nothing to do with it."""
    server = await serve(keep_alive=SHORT)
    async with server.connected() as client:
        for _ in range(2):
            assert await client.ask("/first") == b"/first"
        await client.send(sent)
        assert await client.rest() == b""


async def test_a_request_that_is_answered_slowly_does_not_make_the_next_one_late(serve: Serve) -> None:
    """RFC 9112 §9.3.2: the time in which the client waits for us is ours."""
    server = await serve(head_seconds=SHORT)
    async with server.connected() as client:
        await client.send(b"GET /wait HTTP/1.1\r\n\r\nGET /next HTTP/1.1\r\n")
        for _ in range(2):
            await asyncio.wait_for(server.overdue.get(), PATIENCE)
        server.application.may_answer.set()
        await client.send(b"\r\n")
        assert [await client.answer(), await client.answer()] == [b"/wait", b"/next"]


@pytest.mark.parametrize("end", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("path", [b"/much", b"/much-in-pieces"])
async def test_a_client_that_takes_nothing_of_its_answer_is_left(serve: Serve, path: bytes, end: bytes) -> None:
    """TC-166: it would keep a connection, a task and what waits for it for as long as it likes."""
    server = await serve(stalled_seconds=SHORT, keep_alive=SHORT)
    async with server.connected() as client:
        await client.send(b"GET " + path + b" HTTP/1.1\r\n" + end + b"\r\n")
        await _until(lambda: server.made and not server.state.connections and not server.state.tasks)


@pytest.mark.parametrize("end", [b"", b"Connection: close\r\n"])
async def test_a_rest_that_nobody_takes_keeps_no_connection_open(serve: Serve, end: bytes) -> None:
    """TC-166: also one that is small enough to count as sent."""
    server = await serve(stalled_seconds=SHORT, keep_alive=SHORT)
    async with server.connected() as client:
        await _until(lambda: bool(server.made))
        server.made[0].transport.set_write_buffer_limits(2 * len(LARGE))
        await client.send(b"GET /much HTTP/1.1\r\n" + end + b"\r\n")
        await _until(lambda: bool(server.application.heads) and not server.state.connections)
        assert not server.made[0].flow.write_paused


async def test_a_client_that_is_slow_but_takes_something_gets_everything(serve: Serve) -> None:
    """Ours: a bad line is no attack. Looked at by hand: how soon a system takes how much is not ours to say."""
    server = await serve()
    async with server.connected() as client:
        await client.send(b"GET /much HTTP/1.1\r\nConnection: close\r\n\r\n")
        await _until(lambda: server.made and server.made[0].flow.write_paused)
        one = server.made[0]
        waits = one.transport.get_write_buffer_size()
        one._look_for_a_stall(waits + 1)
        assert server.state.connections
        assert one._stall is not None
        size = 0
        while part := await client.reader.read(16 * PIECE):
            size += len(part)
        assert size > len(LARGE)
        await _until(lambda: not server.state.connections)
        assert one._stall is None


@pytest.mark.parametrize("path", [b"/wait", b"/begin"])
@pytest.mark.parametrize("then", [TOO_LARGE["target"], TOO_LARGE["small fields"], b"\x00"])
async def test_what_is_wrong_with_a_request_does_not_break_the_answer_before_it(
    serve: Serve, path: bytes, then: bytes
) -> None:
    """Nothing foreign between the bytes of an answer; then the connection ends."""
    server = await serve()
    async with server.connected() as client:
        await client.send(b"GET " + path + b" HTTP/1.1\r\n\r\n" + then, piece=PIECE)
        await _until(lambda: server.made and server.made[0]._refused)
        await client.send(b"a" * 100)
        server.application.may_answer.set()
        answer = await client.rest()
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"\r\n\r\n" + path)


async def test_the_rest_of_a_body_is_not_waited_for_when_its_request_is_answered(serve: Serve) -> None:
    """It would hold its place for ever."""
    server = await serve(rest_seconds=SHORT)
    async with server.connected() as client:
        await client.send(b"POST /now HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
        assert await client.answer() == b"/now"
        assert await client.rest() == b""


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_answer_before_the_end_of_a_body_is_not_lost_when_the_connection_ends_with_it(
    serve: Serve, version: str
) -> None:
    """RFC 9112 §9.6: closing while the client sends would reset what it has not read yet."""
    server = await serve(linger_seconds=1.0)
    async with server.connected() as client:
        head = f"POST /now HTTP/{version}\r\nConnection: close\r\nContent-Length: {ENDLESS * 8}\r\n\r\n"
        await client.send(head.encode() + b"a")
        await _until(lambda: server.made[0]._refused)
        await client.send(b"a" * ENDLESS * 4)
        assert await client.answer() == b"/now"
        assert await client.rest() == b""
    assert len(server.application.heads) == 1


async def test_a_connection_that_ends_with_its_answer_is_closed_at_once_when_all_was_read(serve: Serve) -> None:
    """RFC 9112 §9.6: and nobody waits."""
    server = await serve(linger_seconds=PATIENCE * 2)
    async with server.connected() as client:
        await client.send(b"POST /body HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
        assert await client.answer() == b"3"
        assert await client.rest() == b""


async def test_a_connection_rests_again_when_the_end_of_a_body_comes_after_the_answer(serve: Serve) -> None:
    """A body that nobody needed costs no connection."""
    server = await serve()
    async with server.connected() as client:
        await client.send(b"POST /now HTTP/1.1\r\nContent-Length: 3\r\n\r\nab")
        assert await client.answer() == b"/now"
        await client.send(b"c")
        await _until(lambda: _rests(server.made[0]))
        assert await client.ask("/next") == b"/next"


@pytest.mark.parametrize("sent", [b"\x00\x01\r\n\r\n", CHUNKED + b"z\r\n"])
async def test_what_is_not_http_is_answered_with_400(serve: Serve, sent: bytes) -> None:
    """RFC 9112 §2.2; once, also when the application was already reading."""
    server = await serve()
    async with server.connected() as client:
        await client.send(sent)
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1") == 1


async def test_one_connection_too_many_is_answered_with_503_and_the_others_are_served(serve: Serve) -> None:
    """RFC 9110 §15.6.4: a flood must not use up the files of the process."""
    server = await serve(limit_concurrency=3)
    async with server.connected() as one:
        assert await one.ask("/one") == b"/one"
        async with server.connected() as other:
            assert await other.ask("/other") == b"/other"
            async with server.connected() as refused:
                assert (await refused.rest()).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert await other.ask("/again") == b"/again"
        await _until(lambda: len(server.state.connections) == 1)
        async with server.connected() as next_one:
            assert await next_one.ask("/next") == b"/next"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"POST /body HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc", b"HTTP/1.1 503 Service Unavailable\r\n"),
        (b"GET /wait HTTP/1.1\r\n\r\n", b"HTTP/1.1 503 Service Unavailable\r\n"),
        (b"GET /begin HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
    ],
    ids=["half-a-body", "no-answer", "half-an-answer"],
)
async def test_a_request_that_outlives_a_stopping_server_leaves_no_traceback(
    serve: Serve, caplog: pytest.LogCaptureFixture, sent: bytes, answer: bytes
) -> None:
    """Contract §11: uvicorn cancels what is left after the grace time."""
    server = await serve()
    async with server.connected() as client:
        await client.send(sent)
        await asyncio.wait_for(server.application.began.wait(), PATIENCE)
        for task in server.state.tasks:
            task.cancel()
        assert (await client.rest()).startswith(answer)
    assert not caplog.records
