"""`bifrost db import`: a gateway that moves from SQLite to PostgreSQL takes everything along."""

from pathlib import Path
from typing import Any

import pytest

from bifrost.storage import sqlite_import
from tests.contract._stores import opened, rows
from tests.flows._tokens import opens, signed_in
from tests.support.gateway import running_gateway

pytestmark = pytest.mark.anyio

OWN = ("schema_migrations", "change_marks")


async def test_whoever_was_signed_in_still_is_and_every_row_is_the_same(
    sqlite_url: str, postgresql_url: str, tmp_path: Path
) -> None:
    """Contract §10: both databases are first-class; tables, columns, values and the order of the audit trail."""
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    async with running_gateway(sqlite_url, tmp_path) as before:
        client, tokens = await signed_in(before)
        await client.refresh(tokens["refresh_token"])
    async with opened(sqlite_url) as source, opened(postgresql_url) as target:
        names = {row["name"] for row in await rows(source, "SELECT name FROM sqlite_master WHERE type = 'table'")}
        count = await sqlite_import.bring_in(file, target)
        both = {name: [await rows(each, name) for each in (source, target)] for name in names.difference(OWN)}
        assert count == sum(len(found) for found, _ in both.values()) > 0
        assert {name: _sorted(found) for name, (found, _) in both.items()} == {
            name: _sorted(found) for name, (_, found) in both.items()
        }
    async with running_gateway(postgresql_url, tmp_path) as after:
        client.http = after.http
        assert await opens(after, tokens["access_token"]) == 200
        assert (await client.refresh(tokens["refresh_token"])).status_code == 200, "the answer of before, once more"


def _sorted(found: list[dict[str, Any]]) -> list[list[tuple[str, Any]]]:
    return sorted((sorted(row.items()) for row in found), key=str)
