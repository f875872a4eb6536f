"""The outbound client, as far as it can be seen without a network."""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bifrost.http import names
from bifrost.http.addresses import is_public
from bifrost.http.client import OutboundClient, OutsideUnreachable, OutsideUrlRefused

STRICT = OutboundClient(vets=lambda _address: True, development=False)
DEVELOPMENT = OutboundClient(vets=lambda _address: True, development=True)
JUDGING = OutboundClient(vets=is_public, development=False)


@pytest.mark.anyio
async def test_a_client_that_was_never_used_can_be_closed_twice() -> None:
    """Stopping must never fail, and leaves no thread that would look up a name."""
    await STRICT.close()
    await STRICT.close()
    with pytest.raises(RuntimeError):
        STRICT._names._threads.submit(int)


@pytest.mark.parametrize(
    "url",
    ["https://as.example.com", "https://as.example.com:8443/a?b=c", "https://[2001:db8::1]/x", "https://a/"]
    + ["https://[2001:DB8::1]/", "https://AS.example.com/", "https://my_as.example.com/", "https://as.example.com?b=c"]
    + ['https://as.example.com/!"$[]^~'],
)
def test_an_outside_url_is_https(url: str) -> None:
    """Contract §8: every URL that comes from outside goes through one guarded client."""
    STRICT.check_url(url)
    DEVELOPMENT.check_url(url)


@pytest.mark.parametrize(
    "url", ["http://localhost:9000/x", "http://127.0.0.1/x", "http://[::1]:9000/x", "http://LocalHost/x"]
)
def test_plain_http_is_for_loopback_in_development_only(url: str) -> None:
    """Contract §8."""
    DEVELOPMENT.check_url(url)
    with pytest.raises(OutsideUrlRefused):
        STRICT.check_url(url)


@pytest.mark.parametrize(
    "url",
    ["", "as.example.com", "//as.example.com", "http://as.example.com", "ftp://as.example.com", "file:///etc/passwd"]
    + ["https://user@as.example.com", "https://user:pw@as.example.com/x", "https://as.example.com/x#y", "https://"]
    + ["https://as.example.com\\@evil.example", "https://as.example.com/a b", "https://as.example.com/\r\nX: y"]
    + ["https://as.example.com:999999/", "javascript:alert(1)", "https://bücher.example", "HTTPS://as.example.com"]
    + ["https://as.example.com/a\\b", "https://[]/", "https://as.example.com:/", "https://:443/"],
)
def test_any_other_outside_url_is_refused(url: str) -> None:
    """Contract §8: no userinfo, no fragment, nothing that two parsers read differently."""
    for client in (STRICT, DEVELOPMENT):
        with pytest.raises(OutsideUrlRefused):
            client.check_url(url)


@pytest.mark.anyio
@pytest.mark.parametrize("origin", ["https://10.0.0.1", "http://127.0.0.1:8080", "https://[fd00::1]:8443", "http://0"])
async def test_an_origin_at_an_internal_address_is_refused_with_the_way_out(origin: str) -> None:
    """Contract §8: the resolved address is vetted. An operator may open a network of their own."""
    with pytest.raises(OutsideUrlRefused, match=r"client\.allowed_networks"):
        await JUDGING.check_place(origin)


@pytest.mark.anyio
async def test_an_origin_at_a_public_address_may_be_contacted() -> None:
    """Contract §8."""
    for origin in ("https://1.1.1.1", "http://1.1.1.1:8080", "https://[2606:4700::1111]"):
        await JUDGING.check_place(origin)


@pytest.mark.anyio
@pytest.mark.parametrize("resolved", [("10.0.0.1", "1.1.1.1"), ("1.1.1.1", "10.0.0.1"), ("10.0.0.1",)])
async def test_one_internal_address_among_those_of_a_name_is_one_too_many(
    monkeypatch: pytest.MonkeyPatch, resolved: tuple[str, ...]
) -> None:
    """TC-100: whoever answers for a name decides which of them is dialled."""
    asked: list[str] = []

    def resolve(host: str, *_args: object, flags: int = 0, **_kwargs: object) -> list[object]:
        if flags:
            raise socket.gaierror  # it is no literal
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in resolved]

    monkeypatch.setattr(names, "getaddrinfo", resolve)
    with pytest.raises(OutsideUrlRefused):
        await JUDGING.check_place("https://mixed.example:8443")
    assert asked == ["mixed.example"]


@pytest.mark.anyio
async def test_a_name_whose_servers_do_not_answer_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: the threads in which the database is tended are not those that wait for names, and the wait has an end."""
    answered = threading.Event()

    def resolve(_host: str, *_args: object, flags: int = 0, **_kwargs: object) -> list[object]:
        if flags:
            raise socket.gaierror
        answered.wait()
        return []

    monkeypatch.setattr(names, "getaddrinfo", resolve)
    monkeypatch.setattr("bifrost.http.client.CONNECT_SECONDS", 0.05)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    try:
        with pytest.raises(OutsideUrlRefused, match="cannot be found"):
            await JUDGING.check_place("https://slow.example")
        assert await asyncio.to_thread(lambda: "tended") == "tended"
    finally:
        answered.set()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "origin", ["https://no-such-host.invalid", f"https://{'a' * 64}.example", "https://[::1", "https://a..example"]
)
async def test_an_origin_whose_host_is_nowhere_is_told_so(origin: str) -> None:
    """Contract §2: an administrator who has mistyped a name is told, and it is never a 500."""
    with pytest.raises(OutsideUrlRefused, match="cannot be found"):
        await JUDGING.check_place(origin)


@pytest.mark.anyio
async def test_in_development_an_origin_may_be_anywhere() -> None:
    """Contract §8: a developer's upstreams are on their own machine."""
    for origin in ("http://127.0.0.1:8080", "http://10.0.0.1", "https://no-such-host.invalid"):
        await OutboundClient(vets=is_public, development=True).check_place(origin)


def test_programs_know_the_two_refusals_by_their_codes() -> None:
    """Contract §2: `error.code` is stable."""
    assert (OutsideUrlRefused("").code, OutsideUnreachable("").code) == ("outside_url_refused", "outside_unreachable")
