"""An older database was put back: what was used, ended or revoked since is not good again."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bifrost.storage import restored as storage
from tests.flows._consent import sign_in
from tests.flows._tokens import authorized, error_of, opens, signed_in
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway, running_gateway

pytestmark = pytest.mark.anyio

ONCE = (
    "upstream_sign_ins",
    "connect_sessions",
    "remembered_consents",
    "known_browsers",
    "admin_sessions",
    "setup_links",
    "pushed_requests",
)


@pytest.fixture
async def restored(database_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    """The rows as they were: nothing of what follows here was done after the backup, so that all of it would work."""
    async with running_gateway(database_url, tmp_path, clock=clock) as running:
        yield running


async def test_without_the_command_a_backup_brings_everything_to_life(sqlite_url: str, tmp_path: Path) -> None:
    """TC-184: the reason for the command; a revoked grant is alive again in the file of before."""
    path, backup = Path(sqlite_url.removeprefix("sqlite:///")), tmp_path / "backup.db"
    async with running_gateway(sqlite_url, tmp_path) as running:
        client, tokens = await signed_in(running)
    shutil.copyfile(path, backup)
    async with running_gateway(sqlite_url, tmp_path) as running:
        client.http = running.http
        form = {"client_id": client.client_id, "token": tokens["refresh_token"]}
        assert (await running.http.post("/api/oauth/per-user/revoke", data=form)).status_code == 200
        assert await opens(running, tokens["access_token"]) == 401
    shutil.copyfile(backup, path)
    async with running_gateway(sqlite_url, tmp_path) as running:
        client.http = running.http
        assert await opens(running, tokens["access_token"]) == 200
        assert await running.gateway.restored.end_everything() == 1
        assert await opens(running, tokens["access_token"]) == 401
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"


async def test_nothing_that_is_good_once_or_for_a_while_outlives_it(restored: TestGateway) -> None:
    """TC-184, CVE-2026-9802: codes, tokens, flows, pushed requests, consents and sessions; on both databases."""
    client, code = await authorized(restored)
    other, tokens = await signed_in(restored, metadata={"client_name": "Other"})
    async with sign_in(restored) as flow, restored.browser() as administrator:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        await administrator.post("/api/session/login", json={"token": "an-administrators-token-0123456789"})
        assert (await administrator.get("/api/audit")).status_code == 200
        uri = await _pushed(restored, client)

        assert await restored.gateway.restored.end_everything() == 2

        assert error_of(await client.redeem(code)) == "invalid_grant"
        assert await opens(restored, tokens["access_token"]) == 401
        assert error_of(await other.refresh(tokens["refresh_token"])) == "invalid_grant"
        assert (await flow.press("submit")).status_code == 409
        assert (await administrator.get("/api/audit")).status_code == 401
        query = {"client_id": client.client_id, "request_uri": uri}
        assert (await restored.http.get(oauth.AUTHORIZE, params=query)).status_code == 400
    for table in ONCE:
        assert await restored.rows(table) == [], table
    assert {grant["revoked_reason"] for grant in await restored.rows("grants")} == {"database_restored"}


async def _pushed(running: TestGateway, client: oauth.OAuthClient) -> str:
    answer = await running.http.post("/api/oauth/per-user/par", data=client.request())
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return str(body["request_uri"])


async def test_however_many_there_are_all_of_them_end(restored: TestGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """TC-184: in steps, because with a million grants one statement takes longer than a statement may."""
    monkeypatch.setattr(storage, "ROWS_AT_ONCE", 2)
    tokens = [(await signed_in(restored))[1] for _ in range(5)]
    assert await restored.gateway.restored.end_everything() == len(tokens)
    assert {await opens(restored, one["access_token"]) for one in tokens} == {401}
    assert {grant["revoked_reason"] for grant in await restored.rows("grants")} == {"database_restored"}


async def test_afterwards_everybody_signs_in_anew(restored: TestGateway) -> None:
    """Ours: with the keys that there were; doing it twice ends what was made in between, and nothing is wrong with that."""
    await signed_in(restored)
    assert await restored.gateway.restored.end_everything() == 1
    assert await restored.gateway.restored.end_everything() == 0
    client, tokens = await signed_in(restored)
    assert await opens(restored, tokens["access_token"]) == 200
    assert await opens(restored, VIRTUAL_KEY) == 200
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200
