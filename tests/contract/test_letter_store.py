"""Letters between processes: the same on both databases."""

from dataclasses import replace

import pytest

from bifrost.gateway.store import Letter
from bifrost.storage.letters import SqlLetterStore
from tests.contract._stores import NOW, opened

pytestmark = pytest.mark.anyio

LETTER = Letter(id="mail_1", session="s_1", kind="answer", body="sealed", created_at=NOW, expires_at=NOW + 1_000)


async def test_a_letter_is_read_by_every_process_until_it_expires(database_url: str) -> None:
    """gateway/README.md: each reads on from where it was, with an overlap."""
    later = replace(LETTER, id="mail_2", created_at=NOW + 10, expires_at=NOW + 9_000)
    async with opened(database_url) as mine, opened(database_url) as other:
        await SqlLetterStore(mine).add_letter(later)
        await SqlLetterStore(mine).add_letter(LETTER)
        for database in (mine, other):
            store = SqlLetterStore(database)
            assert await store.letters(NOW) == [LETTER, later]
            assert await store.letters(NOW + 1_000) == [later]
            assert [one.id for one in await store.envelopes(0, NOW)] == [LETTER.id, later.id]
            assert [one.session for one in await store.envelopes(NOW + 10, NOW)] == [later.session]
            assert await store.envelopes(0, NOW + 60_000) == []
            assert await store.envelopes(NOW + 11, NOW) == []
            assert await store.opened([later.id, "none", LETTER.id]) == [later, LETTER]
            assert await store.opened([]) == []


async def test_an_expired_letter_is_swept(database_url: str) -> None:
    """docs/storage.md."""
    async with opened(database_url) as database:
        store = SqlLetterStore(database)
        await store.add_letter(LETTER)
        await store.sweep(NOW + 1_000)
        assert await store.letters(NOW) == [LETTER]
        await store.sweep(NOW + 1_001)
        assert await store.letters(NOW) == []
