"""Fetching a client's metadata document from real listeners: what is dialled, and how much of an answer is read."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bifrost.authserver import client_documents
from bifrost.authserver.errors import ClientUnreachable
from tests.flows._documents import LOOPBACK_URI, ask, document, refused
from tests.support.gateway import TestGateway, running_gateway
from tests.support.oauth import AUTHORIZE, OAuthClient, approve, begin, register

pytestmark = pytest.mark.anyio

Answer = Callable[[asyncio.StreamWriter, str], Awaitable[None]]
INSIDE = [
    "127.0.0.1",
    "127.1",
    "0177.0.0.1",
    "2130706433",
    "0x7f000001",
    "localhost",
    "localhost.",
    "0.0.0.0",  # noqa: S104 - an address that must not be dialled
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.8",
    "192.168.0.1",
    "224.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[fec0::1]",
    "[fe80::1%25lo]",
    "[fc00::1]",
    "\u2460\u2461\u2466.0.0.1",
    "metadata.google.internal",
]
"""Spellings of addresses that lead inside; the listener of the test stands behind those of loopback."""


@asynccontextmanager
async def listener(answer: Answer) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port, and the requests that came to it."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(b"")
        try:
            requests[-1] = await reader.readuntil(b"\r\n\r\n")
            path = requests[-1].split(b" ")[1].decode()
            await answer(writer, path)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()


def client_at(running: TestGateway, host: str, port: int) -> OAuthClient:
    url = f"http://{host}:{port}/client.json"
    return OAuthClient(running.http, {"client_id": url, "redirect_uris": [LOOPBACK_URI]})


def good(port: int) -> bytes:
    return json.dumps(document(client_id=f"http://127.0.0.1:{port}/client.json")).encode()


async def write(writer: asyncio.StreamWriter, body: bytes, *headers: str, status: str = "200 OK") -> None:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)


async def test_a_server_on_loopback_reads_documents_of_its_own_machine(running: TestGateway) -> None:
    """A75, contract §8: while every public URL is loopback, a client under development may publish there."""
    ports: list[int] = []

    async def answer(writer: asyncio.StreamWriter, _path: str) -> None:
        await write(writer, good(ports[0]))

    async with listener(answer) as (port, requests):
        ports.append(port)
        assert (await ask(running, client_at(running, "127.0.0.1", port))).status_code == 302
    (request,) = requests
    head = request.lower()
    assert head.startswith(b"get /client.json http/1.1")
    assert b"cookie" not in head
    assert b"authorization" not in head


@pytest.mark.parametrize("host", INSIDE)
async def test_no_address_of_the_inside_is_dialled(sqlite_url: str, tmp_path: Path, host: str) -> None:
    """TC-098, A75, R33: one answer for all, and the listener sees nothing."""

    async def answer(writer: asyncio.StreamWriter, _path: str) -> None:
        await write(writer, b"{}")

    server = {"public_urls": ["https://gw.example.com"]}
    opened = {"allowed_networks": ["10.0.0.0/8", "127.0.0.0/8", "::1/128"]}
    async with (
        listener(answer) as (port, requests),
        running_gateway(sqlite_url, tmp_path, server=server, client=opened) as running,
    ):
        running.http.headers["Host"] = "gw.example.com"
        for url in (f"https://{host}:{port}/client.json", f"http://{host}:{port}/client.json"):
            await refused(running, OAuthClient(running.http, {"client_id": url, "redirect_uris": [LOOPBACK_URI]}))
    assert not requests


async def test_a_redirect_to_another_address_is_not_followed(running: TestGateway) -> None:
    """TC-099, A71, R33: neither to the inside nor to the outside."""

    async def answer(writer: asyncio.StreamWriter, path: str) -> None:
        assert path == "/client.json", "nothing else is asked for"
        await write(writer, b"", "Location: /other.json", status="302 Found")

    async with listener(answer) as (port, requests):
        await refused(running, client_at(running, "127.0.0.1", port))
    assert len(requests) == 1


async def _too_long(writer: asyncio.StreamWriter, _path: str) -> None:
    await write(writer, b" " * 5_121)


async def _endless(writer: asyncio.StreamWriter, _path: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"400\r\n" + b" " * 1_024 + b"\r\n")
        await writer.drain()


async def _bomb(writer: asyncio.StreamWriter, _path: str) -> None:
    await write(writer, gzip.compress(b" " * 1_000_000), "Content-Encoding: gzip")


async def _slow(writer: asyncio.StreamWriter, _path: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def _silent(_writer: asyncio.StreamWriter, _path: str) -> None:
    await asyncio.sleep(2)


async def _broken(writer: asyncio.StreamWriter, _path: str) -> None:
    writer.write(b"HTTP/9.9 what\r\n\r\n")


ABUSES = [_too_long, _endless, _bomb, _slow, _silent, _broken]


@pytest.mark.parametrize("abuse", ABUSES, ids=lambda abuse: str(abuse.__name__))
async def test_an_answer_that_is_too_long_or_too_slow_is_given_up(
    running: TestGateway, monkeypatch: pytest.MonkeyPatch, abuse: Answer
) -> None:
    """TC-101, A76, R33: 5 kB after decompression, and a limit on the whole time however the bytes drip."""
    monkeypatch.setattr(client_documents, "FETCH_SECONDS", 0.3)
    async with listener(abuse) as (port, _requests), asyncio.timeout(2):
        message = await refused(running, client_at(running, "127.0.0.1", port))
    assert message == ClientUnreachable().message


async def test_a_refusal_tells_nothing_of_the_network_and_the_log_says_why(running: TestGateway) -> None:
    """TC-104: refused by a rule, closed, not resolvable or not TLS: the same words, and the reason in the log alone."""

    async def answer(writer: asyncio.StreamWriter, _path: str) -> None:
        await write(writer, b"{}", status="500 No")

    async with listener(answer) as (port, _requests):
        urls = [
            f"http://127.0.0.1:{port}/client.json",
            f"https://127.0.0.1:{port}/client.json",
            "http://127.0.0.1:9/client.json",
            "https://nowhere.invalid/client.json",
        ]
        with capture_logs() as lines:
            said = {
                await refused(running, OAuthClient(running.http, {"client_id": url, "redirect_uris": [LOOPBACK_URI]}))
                for url in urls
            }
    assert said == {ClientUnreachable().message}
    reasons = {line["client_id"]: line["reason"] for line in lines if line["event"] == "client_document_unreachable"}
    assert list(reasons) == urls
    assert reasons[urls[0]] == "status 500"
    assert len(set(reasons.values())) == len(urls), "each says something else"


async def test_nothing_that_a_client_says_of_itself_is_fetched(running: TestGateway) -> None:
    """TC-095, TC-078: addresses of people, keys, requests and statements, from the registration to the tokens."""

    async def answer(writer: asyncio.StreamWriter, _path: str) -> None:
        await write(writer, b"{}")

    async with listener(answer) as (port, requests), running.browser() as browser:
        sink = f"http://127.0.0.1:{port}"
        header = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "jku": f"{sink}/jku"}).encode()).decode()
        everything = {
            **{name: f"{sink}/{name}" for name in ("client_uri", "logo_uri", "policy_uri", "tos_uri", "jwks_uri")},
            "sector_identifier_uri": f"{sink}/sector",
            "initiate_login_uri": f"{sink}/login",
            "backchannel_logout_uri": f"{sink}/logout",
            "request_uris": [f"{sink}/request"],
            "software_statement": f"{header}.e30.AAAA",
        }
        client = await register(running.http, **everything)
        elsewhere = client.request(request_uri=f"{sink}/request")
        assert (await browser.get(AUTHORIZE, params=elsewhere)).status_code == 400
        flow_id = await begin(browser, client, logo_uri=f"{sink}/logo")
        response = await approve(browser, flow_id)
        assert (await client.redeem(response["code"])).status_code == 200
    assert not requests
