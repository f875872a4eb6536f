"""What a host is called, and where it is."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bifrost.http import names
from bifrost.http.names import Names

pytestmark = pytest.mark.anyio


@pytest.fixture
async def resolver() -> AsyncIterator[Names]:
    made = Names()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("literal", "address"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("127.1", "127.0.0.1"), ("0", "0.0.0.0")],  # noqa: S104 - an address
)
async def test_a_literal_is_its_address_whatever_it_is_written_like(
    resolver: Names, literal: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8: it is judged as what is dialled; no question is asked."""
    monkeypatch.setattr(names, "_resolved", None)
    assert [found[0] for _, found in await resolver.addresses(literal, 80)] == [address]


async def test_a_name_is_asked_for_once_at_a_time_and_anew_the_next_time(
    resolver: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours: nothing is remembered, so that a host can move."""
    asked: list[str] = []
    go_on = threading.Event()

    def resolved(host: str, port: int) -> list[Any]:
        asked.append(host)
        go_on.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))] * 2

    monkeypatch.setattr(names, "_resolved", resolved)
    waiting = [asyncio.ensure_future(resolver.addresses("notes.example", 443)) for _ in range(10)]
    await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.gather(*waiting) == [[(socket.AF_INET, ("192.0.2.1", 443))]] * 10
    assert asked == ["notes.example"]
    await resolver.addresses("notes.example", 443)
    assert asked == ["notes.example"] * 2


async def test_a_name_that_nobody_knows_is_an_error(resolver: Names) -> None:
    """TC-210."""
    for name in ("does-not-exist.invalid", "a..b", "a" * 64 + ".example"):
        with pytest.raises((OSError, UnicodeError)):
            await resolver.addresses(name, 80)
