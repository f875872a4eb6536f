"""A channel sends what it was given with each request, whatever it remembers of those before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from bifrost.http.client_connection import NO_HEADERS, Answer
from bifrost.http.pooled_client import Head, PooledClient
from bifrost.identity.models import Identity
from bifrost.protocol import mcp
from bifrost.upstreams.auth.none import NoAuth
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links import modern
from bifrost.upstreams.links.base import NO_FIELDS, NOBODY, Facts
from bifrost.upstreams.links.http import HttpChannel
from bifrost.upstreams.links.legacy import LegacyLink
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.transports.streamable_http import StreamableHttp
from tests.unit.upstreams.links._peer import peer

pytestmark = pytest.mark.anyio


@dataclass(slots=True)
class Answered:
    status: int
    headers = NO_HEADERS
    media_type = ""

    def close(self) -> None:
        """Nothing is open."""


class Writes(PooledClient):
    """Keeps what would be sent; `statuses` answer, then 200."""

    def __init__(self, *statuses: int) -> None:
        super().__init__()
        self.statuses, self.sent = list(statuses), list[bytes]()

    async def send(self, head: Head, body: bytes, *, more: bytes = b"", **_options: Any) -> Answer:
        self.sent.append(head.request(body, more))
        return cast("Answer", Answered(self.statuses.pop(0) if self.statuses else 200))


@dataclass(slots=True)
class Renews(NoAuth):
    """Another credential after each refusal."""

    values: list[str] = field(default_factory=list)

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.values[0]}"}

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:
        return bool(self.values.pop(0))


def channel(client: PooledClient, *values: str) -> HttpChannel:
    return HttpChannel(peer(), StreamableHttp(client, client), Renews(list(values)))


async def test_every_request_carries_the_credential_and_the_fields_of_now() -> None:
    """Contract §8: a credential that was replaced is not sent again."""
    client = Writes()
    one = channel(client, "old", "new")
    await one.open("POST", {"X-A": "1"}, b"x")
    await one.open("POST", {"X-A": "1"}, b"yy", more=b"X-B: 2\r\n")
    one.auth.values.pop(0)  # type: ignore[attr-defined]
    await one.open("POST", {"X-A": "1"}, b"z")
    await one.open("POST", {"X-A": "3"}, b"z")
    await one.open("POST", {"X-A": "3"}, b"z", url="http://127.0.0.1/other")
    await one.open("GET", {"X-A": "3"})
    fields = _lines(b"Authorization", b"X-A", b"X-B", b"Content-Length")
    assert [fields(sent) for sent in client.sent] == [
        (b"POST /mcp", b"Bearer old", b"1", b"", b"1"),
        (b"POST /mcp", b"Bearer old", b"1", b"2", b"2"),
        (b"POST /mcp", b"Bearer new", b"1", b"", b"1"),
        (b"POST /mcp", b"Bearer new", b"3", b"", b"1"),
        (b"POST /other", b"Bearer new", b"3", b"", b"1"),
        (b"GET /mcp", b"Bearer new", b"3", b"", b""),
    ]


async def test_what_was_refused_is_asked_again_with_the_new_credential_alone() -> None:
    """Contract §8: credentials that an upstream refuses are renewed once."""
    client = Writes(401)
    await channel(client, "old", "new").open("POST", {}, b"x", more=b"X-B: 2\r\n")
    fields = _lines(b"Authorization", b"X-B")
    assert [fields(sent) for sent in client.sent] == [
        (b"POST /mcp", b"Bearer old", b"2"),
        (b"POST /mcp", b"Bearer new", b"2"),
    ]


async def test_what_a_channel_remembers_is_in_no_repr() -> None:
    """Contract §8: nobody but the upstream gets to see a credential."""
    one = channel(Writes(), "hunter2")
    await one.open("POST", {}, b"x")
    assert "hunter2" not in repr(one).replace(repr(one.auth), "")


async def test_what_is_large_is_sent_and_not_kept() -> None:
    """Ours: a URI or an argument may have megabytes, there are thousands of links, and a thousand names are kept."""
    client, large = Writes(), "x" * 100_000
    one = channel(client, "kept")
    await one.open("POST", {"Mcp-Param-Text": large}, b"z")
    assert large.encode() in client.sent[0]
    assert one._made is None
    before = modern._kept_lines.cache_info().currsize
    _, lines = modern._head(mcp.RESOURCES_READ, {"uri": large}, NO_FIELDS)
    assert large.encode() in lines
    assert modern._kept_lines.cache_info().currsize == before


async def test_a_field_that_cannot_be_sent_is_the_upstreams_trouble() -> None:
    """Contract §7: a time-out or error for that call only."""
    with pytest.raises(UpstreamUnavailable):
        await channel(Writes(), "x\r\ny").open("POST", {}, b"x")


def _lines(*names: bytes) -> Callable[[bytes], tuple[bytes, ...]]:
    """The request line without its version, and the values of these fields."""

    def found(request: bytes) -> tuple[bytes, ...]:
        first, *rest = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
        said = dict(line.split(b": ", 1) for line in rest)
        return (first.removesuffix(b" HTTP/1.1"), *(said.get(name, b"") for name in names))

    return found


async def test_who_said_that_it_offers_no_stream_is_not_asked_for_one_again() -> None:
    """2025-11-25, transports: 405; each `resources/subscribe` would ask."""
    client = Writes(405)
    one = LegacyLink(channel(client, "token"), Facts(version=mcp.LATEST_LEGACY), "session")
    for _ in range(3):
        await one.listen((), NOBODY)
    assert [sent.split(b" ")[0] for sent in client.sent] == [b"GET"]
