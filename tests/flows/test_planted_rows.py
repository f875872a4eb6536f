"""Somebody can write to the database: what they plant there is judged again before anything follows from it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bifrost.base.ids import hash_secret
from tests.flows import _connecting as people
from tests.flows._consent import sign_in
from tests.flows._mcp import ask, refusal
from tests.flows._raw import everything
from tests.flows._tokens import opens, signed_in
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.anyio

PLANTED = [
    "javascript:alert(1)",
    "data:text/html,x",
    "https://evil.test/cb",
    "http://evil.test/cb",
    "//evil.test",
    "http://127.0.0.1:33418@evil.test/callback",
    "http://127.0.0.1:33418/callback\r\nSet-Cookie: a=b",
    "http://127.0.0.1:33418/other",
    "",
]


def _write(sqlite_url: str, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as another, another:
        another.execute(statement, values)


@pytest.mark.parametrize("uri", PLANTED)
@pytest.mark.parametrize("action", ["submit", "deny"])
async def test_a_redirect_uri_that_was_planted_in_a_flow_gets_nothing(
    running: TestGateway, sqlite_url: str, action: str, uri: str
) -> None:
    """TC-019, CVE-2025-4143: no code is made, and the browser is sent nowhere, not even with a refusal."""
    async with sign_in(running) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        _write(sqlite_url, "UPDATE pending_flows SET redirect_uri = ?", uri)
        answer = await flow.press(action)
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "refresh" not in answer.headers
        assert "evil.test" not in answer.text
        assert await running.rows("authorization_codes") == []
        assert await running.rows("grants") == []


async def test_a_client_that_was_planted_in_a_flow_gets_nothing(running: TestGateway, sqlite_url: str) -> None:
    """TC-019, TC-031: the redirect URI of one client is not that of another, also when a row says so."""
    other = await oauth.register(running.http, client_name="Other", redirect_uris=["https://evil.test/cb"])
    async with sign_in(running) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        _write(sqlite_url, "UPDATE pending_flows SET client_id = ?", other.client_id)
        answer = await flow.press("submit")
        assert (answer.status_code, "location" in answer.headers) == (400, False)
        assert await running.rows("authorization_codes") == []


@pytest.mark.parametrize("how", ["swapped", "of another upstream", "one bit", "the nonce", "cut", "empty", "garbage"])
async def test_a_sealed_account_in_another_row_or_touched_is_none(sqlite_url: str, tmp_path: Path, how: str) -> None:
    """TC-179, TC-180: nobody gets the other's account, no call fails with a 500, and connecting again puts it right."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        bob = await people.signed_in_with(running, people.SECOND_KEY, "bob")
        rows = {row["owner_id"]: row["sealed"] for row in await running.rows("upstream_credentials")}
        touched = {"vk-test": _touched(how, rows["vk-test"], rows["vk-two"])}
        if how == "swapped":
            touched["vk-two"] = rows["vk-test"]
        for owner, sealed in touched.items():
            _write(sqlite_url, "UPDATE upstream_credentials SET sealed = ? WHERE owner_id = ?", sealed, owner)
        for _ in range(2):
            answer = await people.whoami(running, alice)
            assert answer.json()["result"]["_meta"]["mcp_auth_required"]["service"] == "guarded"
            answer = await people.whoami(running, bob)
            if how == "swapped":
                assert answer.json()["result"]["_meta"]["mcp_auth_required"]
            else:
                assert people.text_of(answer) == "bob"
        again = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert people.text_of(await people.whoami(running, again)) == "alice"


def _touched(how: str, own: str, other: str) -> str:
    head, _, body = own.rpartition(".")
    flipped = {"one bit": len(body) // 2, "the nonce": 1}
    if how in flipped:
        place = flipped[how]
        return f"{head}.{body[:place]}{'A' if body[place] != 'A' else 'B'}{body[place + 1 :]}"
    return {"swapped": other, "of another upstream": other, "cut": own[:-4], "empty": "", "garbage": "v1.x.y"}[how]


async def test_what_is_found_in_the_database_is_no_credential(running: TestGateway) -> None:
    """TC-179: every text of every row, and the hash of it, tried as a bearer and as a key."""
    await signed_in(running)
    texts = {
        value
        for rows in (await everything(running)).values()
        for row in rows
        for value in row.values()
        if isinstance(value, str) and len(value) > 10
    }
    assert len(texts) > 20
    for text in texts:
        for tried in (text, hash_secret(text), f"bfat_{text}", f"sk-bf-{text}"):
            value = "".join(character for character in tried if " " < character < "\x7f")
            assert await opens(running, value[:4_000]) == 401, text
            assert refusal(await ask(running.http, "ping", headers={"x-bf-vk": value[:4_000]}), 401) == "invalid_token"


async def test_after_its_end_a_flow_connects_nothing_and_is_taken_away(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """TC-055, contract §5: 401 where a service would be connected; the row goes an hour later."""
    guarded = OAuthUpstream()
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded, clock=clock) as running,
        running.browser() as browser,
    ):
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        link = await people.connect_link(browser, flow_id)
        shown = len(guarded.seen)
        clock.advance(seconds=901)
        assert (await browser.get(link)).status_code == 401
        assert len(guarded.seen) == shown, "the page had asked what there is to connect, the link asks nothing"
        clock.advance(seconds=3_600)
        await running.gateway.sweeper.sweep()
        assert await running.rows("pending_flows") == []


async def test_without_its_cookie_a_flow_connects_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """TC-051, TC-061: neither without the browser's cookie nor before an identity was chosen."""
    guarded = OAuthUpstream()
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        running.browser() as browser,
        running.browser() as bare,
    ):
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        link = await people.connect_link(browser, flow_id)
        shown = len(guarded.seen)
        assert (await bare.get(link)).status_code == 403
        early = await oauth.begin(browser, await oauth.register(running.http))
        answer = await browser.get(link.replace(flow_id, early))
        assert answer.status_code in (303, 403)
        assert guarded.origin not in answer.headers.get("location", "")
        assert len(guarded.seen) == shown
        assert await running.rows("upstream_sign_ins") == []


async def test_the_file_of_a_database_is_all_that_a_thief_gets(sqlite_url: str, tmp_path: Path) -> None:
    """TC-130, TC-179: a disconnected account is in no page of the file, not even sealed, once the log is written back."""
    guarded = OAuthUpstream()
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        (row,) = await running.rows("upstream_credentials")
        sealed = row["sealed"].encode()
        assert sealed in _bytes_of(path)
        await running.gateway.virtual_keys.revoke("vk-test")
        async with running.administrator() as administrator:
            (held,) = (await administrator.get("/api/mcp/sessions")).json()["sessions"]
            assert (await administrator.delete(f"/api/mcp/sessions/{held['id']}")).is_success
        assert await running.rows("upstream_credentials") == []
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert sealed not in _bytes_of(path)


def _bytes_of(path: Path) -> bytes:
    return b"".join(part.read_bytes() for part in path.parent.glob(f"{path.name}*"))
