"""Requests byte by byte: an HTTP client would repair what these tests want to send broken."""

from collections.abc import Iterable, Mapping, MutableMapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote_from_bytes

import httpx2

from tests.support.gateway import TestGateway

HOST = "localhost:8080"
PROGRAM = ("accept", "application/json")
PERSON = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")

Headers = Iterable[tuple[str, str]]


async def ask(
    running: TestGateway,
    path: str,
    query: bytes = b"",
    *,
    method: str = "GET",
    host: str | None = HOST,
    headers: Headers = (),
    body: bytes | None = None,
) -> httpx2.Response:
    """One request with exactly these bytes; `host=None` leaves the Host header out."""
    sent = [(b"host", host.encode("latin-1"))] if host is not None else []
    sent += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": sent,
        "server": ("127.0.0.1", 8080),
        "client": ("203.0.113.7", 40_000),
    }
    answer: dict[str, Any] = {"status": 0, "headers": [], "body": b""}
    waiting: list[dict[str, Any]] = [{"type": "http.request", "body": body or b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.update(status=message["status"], headers=list(message["headers"]))
        else:
            answer["body"] += message.get("body", b"")

    await running.gateway.app(scope, receive, send)
    return httpx2.Response(answer["status"], headers=answer["headers"], content=answer["body"])


def query(parameters: Mapping[str, str | bytes | None]) -> bytes:
    """Text is percent-encoded, bytes are sent as they are, None is left out."""
    return b"&".join(
        name.encode() + b"=" + (value if isinstance(value, bytes) else quote_from_bytes(value.encode()).encode())
        for name, value in parameters.items()
        if value is not None
    )


async def everything(running: TestGateway) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of the SQLite file: equal before and after means that nothing was written."""
    tables = [row["name"] for row in await running.rows("sqlite_master") if row["type"] == "table"]
    assert "pending_flows" in tables
    return {table: await running.rows(table) for table in tables}


class Page(HTMLParser):
    """What a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.refresh: str | None = None
        self.scripts = 0
        self.words = ""
        self.style = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._inside = tag
        self.scripts += tag == "script" or any(name.startswith("on") for name in values)
        if tag in ("a", "area", "form", "iframe", "img", "link", "object", "embed", "base"):
            self.links += [value for name, value in values.items() if name in ("href", "action", "src", "data")]
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.refresh = values["content"]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.style += data
        else:
            self.words += data
