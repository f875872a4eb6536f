"""Which application answers an address."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from bifrost.http.router import Route, Router
from tests.unit._requests import request

pytestmark = pytest.mark.anyio


class _Named:
    """Says who it is and what its path held."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"name": self.name, **scope.get("path_params", {})})


ROUTES = [
    Route(path, _Named(path))
    for path in (
        "/things/{id}",
        "/things/all",
        "/things/{id}/parts/{part}",
        "/documents{rest:path}",
        "/documents.json",
        "/documents",
        "/all/{rest:path}",
        "/all/{first}",
    )
]


async def _asked(path: str) -> Any:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    router = Router([*ROUTES, Route("/things/all", _Named("later"))], Route("/{p:path}", _Named("none")), nullcontext)
    sent = request(path=path)
    await router(sent.scope, sent.receive, send)
    return messages[0]


@pytest.mark.parametrize(
    ("path", "name", "parameters"),
    [
        ("/things/7", "/things/{id}", {"id": "7"}),
        ("/things/a%b", "/things/{id}", {"id": "a%b"}),
        ("/things/all", "/things/all", {}),
        ("/things/7/parts/x y", "/things/{id}/parts/{part}", {"id": "7", "part": "x y"}),
        ("/documents", "/documents", {}),
        ("/documents.json", "/documents.json", {}),
        ("/documents/a/b/", "/documents{rest:path}", {"rest": "/a/b/"}),
        ("/documents/a\nb", "/documents{rest:path}", {"rest": "/a\nb"}),
        ("/all/x", "/all/{rest:path}", {"rest": "x"}),
    ],
)
async def test_an_exact_path_comes_first_and_then_the_patterns_in_their_order(
    path: str, name: str, parameters: dict[str, str]
) -> None:
    """Contract §1: each address has one meaning."""
    assert await _asked(path) == {"name": name, **parameters}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "*",
        "/things",
        "/things/",
        "/things/all/",
        "/things/all\n",
        "/Things/all",
        "/x/things/all",
        "/things/7/",
    ],
)
async def test_nearly_a_path_is_another_path(path: str) -> None:
    """Contract §2: an unknown path; nothing is guessed, nothing redirected."""
    assert (await _asked(path))["name"] == ("/things/{id}" if path == "/things/all\n" else "none")


async def test_what_a_path_says_is_taken_literally() -> None:
    """A dot in a path is a dot."""
    assert (await _asked("/documentsXjson"))["name"] == "/documents{rest:path}"
    assert (await _asked("/allX/x"))["name"] == "none"


async def test_the_lifespan_is_around_everything_that_is_served() -> None:
    """ASGI lifespan: opened before the first request, closed after the last."""
    told: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        told.append("opened")
        yield
        told.append("closed")

    async def receive() -> Any:
        return {"type": "lifespan.startup" if not told else "lifespan.shutdown"}

    async def send(message: Any) -> None:
        told.append(message["type"])

    await Router([], Route("/{p:path}", _Named("none")), lifespan)({"type": "lifespan"}, receive, send)
    assert told == ["opened", "lifespan.startup.complete", "closed", "lifespan.shutdown.complete"]


async def test_a_start_that_fails_is_told_to_the_server() -> None:
    """ASGI lifespan: it must not listen."""
    told: list[str] = []

    def lifespan() -> AbstractAsyncContextManager[None]:
        raise LookupError("x")

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        told.append(message["type"])

    with pytest.raises(LookupError):
        await Router([], Route("/{p:path}", _Named("none")), lifespan)({"type": "lifespan"}, receive, send)
    assert told == ["lifespan.startup.failed"]
