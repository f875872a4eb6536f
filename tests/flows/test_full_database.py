"""A database that may not grow any more (SQLITE_FULL), step by step through a sign-in."""

import pytest

from tests.flows._consent import sign_in
from tests.flows._raw import everything
from tests.flows._tokens import authorized, error_of, opens, signed_in
from tests.support import oauth
from tests.support.gateway import VIRTUAL_KEY, TestGateway, sqlite_writer

pytestmark = pytest.mark.anyio

LARGE = "s" * 4_000
MANY = 200


async def _fill(running: TestGateway) -> None:
    """Until the next flow has no place; what is deleted meanwhile is not given back."""
    pages = sqlite_writer(running.gateway.database).execute("PRAGMA page_count").fetchone()[0]
    sqlite_writer(running.gateway.database).execute(f"PRAGMA max_page_count = {pages}")
    client = await oauth.register(running.http)
    for _ in range(MANY):
        answer = await running.http.get(oauth.AUTHORIZE, params=client.request(state=LARGE))
        if answer.status_code == 503:
            return
        assert answer.status_code == 302
    raise AssertionError("the database went on growing")


async def test_a_full_database_is_a_503_until_there_is_room(running: TestGateway) -> None:
    """TC-200: nothing is used up, nothing is half done, readers go on, and no restart is needed."""
    client, code = await authorized(running)
    other, tokens = await signed_in(running)
    async with sign_in(running, state=LARGE) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        await _fill(running)
        before = await everything(running)
        refused = await running.http.get(oauth.AUTHORIZE, params=client.request(state=LARGE))
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert await everything(running) == before
        assert await opens(running, tokens["access_token"]) == 200
        assert (await flow.page()).status_code == 200

        sqlite_writer(running.gateway.database).execute("PRAGMA max_page_count = 1073741823")
        assert "code" in oauth.response_of(await flow.press("submit"))
    assert (await client.redeem(code)).status_code == 200
    assert error_of(await client.redeem(code)) == "invalid_grant"
    assert (await other.refresh(tokens["refresh_token"])).status_code == 200
