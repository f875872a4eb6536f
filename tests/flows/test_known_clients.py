"""Known clients, each with its own registration and habits, from the first refusal to its tools."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bifrost.quickstart.upstream import create_app
from tests.flows._known_client import Player, keys_of_the_signer
from tests.flows._mcp import with_upstreams
from tests.support import published_documents
from tests.support.gateway import TestGateway, upstream
from tests.support.known_clients import CURSOR_URIS, KNOWN, KnownClient
from tests.support.servers import serving
from tests.support.web import Web

pytestmark = pytest.mark.anyio

BY_NAME = {client.name: client for client in KNOWN}


@pytest.fixture(scope="module")
def sample() -> Iterator[str]:
    with serving(create_app()) as origin:
        yield f"{origin}/mcp"


@pytest.fixture
async def gateway(sqlite_url: str, tmp_path: Path, sample: str) -> AsyncIterator[TestGateway]:
    async with with_upstreams(sqlite_url, tmp_path, upstream("sample", sample)) as running:
        yield running


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().instead_of_the_network() as standing:
        standing.publish(published_documents.CHATGPT["jwks_uri"], keys_of_the_signer())
        yield standing


@pytest.mark.parametrize("client", KNOWN, ids=lambda client: str(client.name))
async def test_a_known_client_gets_from_a_bare_address_to_its_tools(
    gateway: TestGateway, web: Web, client: KnownClient
) -> None:
    """R45, and for each what it needs: R19, R20, R21, R22, R23, R25, R27, R28, R31, R32, R35, R36, R37, R43, R44, R47, R48."""
    player = Player(gateway, client)
    tokens = await player.sign_in(web)
    assert tokens["scope"] == "mcp:read mcp:write"
    assert "sample-whoami" in await player.tools(tokens)
    called = await player.call(tokens, "sample-whoami")
    assert called["isError"] is False
    refreshed = await player.refresh(tokens["refresh_token"])
    assert refreshed["refresh_token"] != tokens["refresh_token"]
    assert await player.call(refreshed, "sample-whoami") == called
    (row,) = await gateway.rows("oauth_clients")
    assert row["origin"] == ("document" if client.document else "self_registered")


async def test_the_three_redirects_of_one_editor_are_one_client(gateway: TestGateway, web: Web) -> None:
    """R23, R16: the same registration, whichever of its redirects is used, is one row for the administrator."""
    clients = [client for client in KNOWN if client.redirect_uri in CURSOR_URIS]
    assert len(clients) == 3
    for client in clients:
        await Player(gateway, client).sign_in(web)
    (row,) = await gateway.rows("oauth_clients")
    assert row["client_name"] == "Cursor"


async def test_a_client_that_remembers_its_id_is_known_after_everything_was_cleaned_up(
    gateway: TestGateway, web: Web
) -> None:
    """R14: a dead id is never dead; the row is for the administrator, and comes back at the next consent."""
    player = Player(gateway, BY_NAME["mcp-remote"])
    await player.sign_in(web)
    database = gateway.gateway.database
    async with database.transaction() as connection:
        await database.run_script(connection, "DELETE FROM oauth_clients;\nDELETE FROM grants;\n")
    tokens = await player.redeem(*await player.authorize())
    assert await player.tools(tokens)
    assert len(await gateway.rows("oauth_clients")) == 1


async def test_many_tabs_of_one_client_finish_in_any_order(gateway: TestGateway, web: Web) -> None:
    """R59: several instances, each with a verifier of its own, do not disturb each other."""
    players = [Player(gateway, BY_NAME["mcp-remote"]) for _ in range(5)]
    codes = []
    for player in players:
        await player.discover()
        await player.identify(web)
        codes.append(await player.authorize())
    for player, (code, verifier) in reversed(list(zip(players, codes, strict=True))):
        assert await player.tools(await player.redeem(code, verifier))


async def test_a_document_with_secrets_of_its_publisher_is_of_no_use(gateway: TestGateway, web: Web) -> None:
    """R33, A73: as published today none of the known documents is refused, and none may turn into such a one."""
    for document in published_documents.ALL:
        web.publish(document["client_id"], {**document, "client_secret": "x"})
        query = {"client_id": document["client_id"], "redirect_uri": document["redirect_uris"][0]}
        answer = await gateway.http.get("/api/oauth/per-user/authorize", params=query)
        assert answer.json()["error"]["param"] == "client_id"
        web.publish(document["client_id"], document)
        answer = await gateway.http.get("/api/oauth/per-user/authorize", params=query)
        assert answer.json()["error"]["param"] == "response_type"
