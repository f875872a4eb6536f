"""What was deleted or replaced is not in the bytes of SQLite's files either (ASVS 10.7.3, TC-130)."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from bifrost.storage import sqlite_checkpoints
from bifrost.storage.database import Database
from bifrost.storage.held import SqlHeldStore
from bifrost.storage.sqlite import SqliteDatabase
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.upstreams.accounts import Owner
from tests.contract._stores import NOW, VAULT, opened, rows
from tests.support import upstreams

pytestmark = pytest.mark.anyio

PEOPLE = 60
PATIENCE_SECONDS, LOOK_SECONDS = 10.0, 0.02


def _files(url: str) -> list[Path]:
    path = Path(url.removeprefix("sqlite:///"))
    return sorted(path.parent.glob(f"{path.name}*"))


def _found(url: str, ciphertexts: Iterable[str]) -> int:
    """How many of them somebody who copies the disk would find."""
    content = b"".join(path.read_bytes() for path in _files(url))
    return sum(text.encode() in content for text in ciphertexts)


async def _sealed(database: Database) -> dict[str, str]:
    return {row["owner_id"]: row["sealed"] for row in await rows(database, "upstream_credentials")}


async def _filled(database: Database) -> SqlUpstreamOAuthStore:
    accounts = SqlUpstreamOAuthStore(database, VAULT)
    assert await SqlUpstreamStore(database).add_upstream(upstreams.upstream(), "", NOW)
    for number in range(PEOPLE):
        await accounts.keep_credential(upstreams.credential(owner=Owner("vk", f"vk-{number}")), NOW)
    return accounts


async def _gone(url: str, ciphertexts: Iterable[str]) -> None:
    """Wait until the bytes are, for as long as a test may take."""
    for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
        if not _found(url, ciphertexts):
            return
        await asyncio.sleep(LOOK_SECONDS)
    pytest.fail(f"{_found(url, ciphertexts)} are still there")


async def test_a_deleted_account_is_in_no_byte_of_the_database(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-130: neither in the file, nor in its log, while the gateway goes on running; the others are untouched."""
    monkeypatch.setattr(sqlite_checkpoints, "EMPTIED_SECONDS", 0.1)
    async with opened(sqlite_url) as database:
        accounts = await _filled(database)
        held = SqlHeldStore(database, accounts)
        sealed = await _sealed(database)
        assert _found(sqlite_url, sealed.values()) == PEOPLE, "the test can see what is there"
        deleted = [sealed[f"vk-{number}"] for number in range(0, PEOPLE, 3)]
        for number in range(0, PEOPLE, 3):
            assert len(await held.take(owner=Owner("vk", f"vk-{number}"))) == 1
        await _gone(sqlite_url, deleted)
        assert _found(sqlite_url, sealed.values()) == PEOPLE - len(deleted)


async def test_a_token_that_was_replaced_is_in_no_byte_of_the_database(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8: the pair before a refresh is of no use to us, and may be to somebody who reads a disk."""
    monkeypatch.setattr(sqlite_checkpoints, "EMPTIED_SECONDS", 0.1)
    async with opened(sqlite_url) as database:
        accounts = await _filled(database)
        before = await _sealed(database)
        for number in range(PEOPLE):
            await accounts.keep_credential(upstreams.credential(owner=Owner("vk", f"vk-{number}")), NOW + 1)
        await _gone(sqlite_url, before.values())
        assert _found(sqlite_url, (await _sealed(database)).values()) == PEOPLE


async def test_closing_leaves_nothing_that_was_deleted(sqlite_url: str) -> None:
    """A command that ends at once has no time to wait for."""
    async with opened(sqlite_url) as database:
        accounts = await _filled(database)
        sealed = await _sealed(database)
        await SqlHeldStore(database, accounts).take(owner=Owner("vk", "vk-1"))
    assert _found(sqlite_url, [sealed["vk-1"]]) == 0
    assert _found(sqlite_url, sealed.values()) == PEOPLE - 1


async def test_a_log_that_somebody_reads_is_emptied_when_they_have_finished(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that runs beside it holds nothing up but this."""
    monkeypatch.setattr(sqlite_checkpoints, "EMPTIED_SECONDS", 0.1)
    async with opened(sqlite_url) as database, opened(sqlite_url) as other:
        assert isinstance(other, SqliteDatabase)
        accounts = await _filled(database)
        sealed = (await _sealed(database))["vk-1"]
        reader = other.committed_rows()
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM upstream_credentials").fetchall()
        await SqlHeldStore(database, accounts).take(owner=Owner("vk", "vk-1"))
        await asyncio.sleep(0.5)
        assert _found(sqlite_url, [sealed]) == 1
        reader.execute("COMMIT")
        await _gone(sqlite_url, [sealed])
