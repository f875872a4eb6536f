"""What a request costs does not grow with what was stored before it."""

import re
from pathlib import Path

import pytest

from tests.flows import _tokens
from tests.support.gateway import running_gateway, sqlite_writer

pytestmark = pytest.mark.anyio

_SCAN = re.compile(r"\bSCAN (\w+)")
HARMLESS = {"change_marks", "CONSTANT", "waiting"}
"""A table of one row, no table at all, and what a limit has cut before."""


async def test_no_statement_of_a_sign_in_a_refresh_or_a_call_reads_a_table_from_end_to_end(tmp_path: Path) -> None:
    """docs/storage.md; SQLite chooses its plans without looking at how much is stored, so an empty database shows them."""
    async with running_gateway(f"sqlite:///{tmp_path}/bifrost.db", tmp_path) as running:
        writer = sqlite_writer(running.gateway.database)
        seen: list[str] = []
        writer.set_trace_callback(seen.append)
        client, tokens = await _tokens.signed_in(running)
        refreshed = await client.refresh(tokens["refresh_token"])
        assert refreshed.status_code == 200, refreshed.text
        await _tokens.opens(running, refreshed.json()["access_token"])
        writer.set_trace_callback(None)
        statements = [text for text in seen if text.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))]
        scanned = {
            text: found
            for text in statements
            for row in writer.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()
            if (found := set(_SCAN.findall(row["detail"])) - HARMLESS)
        }
    assert len(statements) > 20, "the statements of the requests were not seen"
    assert scanned == {}
