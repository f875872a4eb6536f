"""The upstreams' store: what is configured comes back, and id, name and slug are each unique."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from bifrost.http.tls import Trust
from bifrost.storage.database import Database
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.upstreams.models import StdioConfig, Upstream
from tests.contract._stores import NOW, opened, rows, together

pytestmark = pytest.mark.anyio


def _upstream(**changes: Any) -> Upstream:
    usual = Upstream(
        id="up_1",
        name="files",
        endpoint_slug="files",
        connection_type="http",
        connection_string="https://files.example/mcp",
        auth_type="none",
        tools_to_execute=("*",),
        allow_on_all_virtual_keys=False,
        tool_execution_timeout=30,
        disabled=False,
        sealed_headers="v1.sealed",
    )
    return replace(usual, **changes)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlUpstreamStore:
    return SqlUpstreamStore(database)


@pytest.mark.parametrize(
    "upstream",
    [
        _upstream(),
        _upstream(disabled=True, allow_on_all_virtual_keys=True, tool_execution_timeout=600),
        _upstream(tools_to_execute=()),
        _upstream(auth_type="headers", tools_to_execute=("read", "write ☃"), sealed_headers="v1." + "x" * 20_000),
        _upstream(
            connection_type="stdio",
            connection_string="",
            stdio_config=StdioConfig(command="notes", args=("-v", "ü \"'"), envs=("HOME",)),
            is_ping_available=False,
            tool_sync_interval=-1,
            state="error",
            state_reason="It is gone.",
        ),
        _upstream(
            auth_type="oauth",
            oauth_config_id="oac_1",
            sealed_oauth_config="v1.config",
            allowed_extra_headers=("X-Request-Id",),
            tool_sync_interval=3_600,
            tls_config=Trust(insecure_skip_verify=True, ca_cert_pem="-----BEGIN CERTIFICATE-----\n"),
            state="needs_reauth",
        ),
        _upstream(auth_type="per_user_headers", per_user_header_keys=("X-Api-Key", "X-Tenant")),
    ],
    ids=["plain", "flags", "no-tools", "headers", "program", "oauth", "per-user-headers"],
)
async def test_an_upstream_comes_back_as_it_was_written(store: SqlUpstreamStore, upstream: Upstream) -> None:
    """Contract §9: the members of an upstream; `[]` and `["*"]` are different things."""
    assert await store.upstreams() == []
    assert await store.add_upstream(upstream, "", NOW) is True
    (found,) = await store.upstreams()
    assert found == upstream
    assert (found.disabled, found.allow_on_all_virtual_keys) == (upstream.disabled, upstream.allow_on_all_virtual_keys)
    assert found.disabled is upstream.disabled


async def test_the_time_of_adding_is_kept(database: Database, store: SqlUpstreamStore) -> None:
    """docs: times are milliseconds since the epoch."""
    await store.add_upstream(_upstream(), "", NOW)
    (row,) = await rows(database, "upstreams")
    assert (row["created_at"], row["updated_at"]) == (NOW, NOW)


@pytest.mark.parametrize(
    "second",
    [
        _upstream(name="mail", endpoint_slug="mail"),
        _upstream(id="up_2", endpoint_slug="mail"),
        _upstream(id="up_2", name="mail"),
        _upstream(id="up_2", name="mail", endpoint_slug="mail", oauth_config_id="oac_1"),
    ],
    ids=["id", "name", "slug", "oauth-config"],
)
async def test_a_second_upstream_with_the_same_id_name_slug_or_oauth_config_is_refused_and_changes_nothing(
    store: SqlUpstreamStore, second: Upstream
) -> None:
    """Contract §10: the database wins over the file."""
    first = _upstream(oauth_config_id="oac_1")
    await store.add_upstream(first, "", NOW)
    other = replace(second, connection_string="https://elsewhere.example/mcp", disabled=True)
    assert await store.add_upstream(other, "mac", NOW + 1) is False
    assert await store.upstreams() == [first]


async def test_upstreams_are_listed_by_name_in_the_same_order_on_both_databases(store: SqlUpstreamStore) -> None:
    """Contract §7: lists are in a stable order; here that of the characters' code points."""
    names = ["b", "B", "a_c", "ab", "_", "A", "10", "9"]
    for number, name in enumerate(names):
        assert await store.add_upstream(_upstream(id=f"up_{number}", name=name, endpoint_slug=f"s{number}"), "", NOW)
    assert [upstream.name for upstream in await store.upstreams()] == sorted(names)


async def test_of_replicas_that_add_the_same_upstream_at_once_one_adds_it(
    database: Database, database_url: str
) -> None:
    """Contract §10: any number of replicas start with the same file; each makes up an id of its own."""
    async with opened(database_url) as other:
        stores = cycle((SqlUpstreamStore(database), SqlUpstreamStore(other)))
        for number in range(10):
            wanted = [
                _upstream(id=f"up_{number}_{turn}", name=f"name{number}", endpoint_slug=f"slug{number}")
                for turn in range(8)
            ]
            added = await together(next(stores).add_upstream(upstream, "", NOW) for upstream in wanted)
            assert sorted(added) == [False] * 7 + [True]
        assert len(await SqlUpstreamStore(other).upstreams()) == 10


async def test_an_upstream_is_found_by_name(store: SqlUpstreamStore) -> None:
    """Contract §10: the file names upstreams by name; the id stays what it was."""
    await store.add_upstream(_upstream(), "", NOW)
    assert await store.named("files") == _upstream()
    assert await store.named("Files") is None
    assert await store.named("up_1") is None


@pytest.mark.parametrize(
    ("kept", "read", "changes"),
    [("first", "second", True), ("first", "first", False), ("", "first", False)],
    ids=["file-changed", "file-unchanged", "changed-otherwise"],
)
async def test_a_changed_file_changes_what_only_the_file_has_written(
    store: SqlUpstreamStore, kept: str, read: str, changes: bool
) -> None:
    """Contract §10: the database wins over the file for what was changed through the API."""
    other = _upstream(id="up_2", name="mail", endpoint_slug="mail")
    await store.add_upstream(_upstream(), kept, NOW)
    await store.add_upstream(other, "first", NOW)
    wanted = _upstream(
        endpoint_slug="docs",
        connection_string="https://docs.example/mcp",
        auth_type="headers",
        tools_to_execute=("read",),
        allow_on_all_virtual_keys=True,
        tool_execution_timeout=60,
        disabled=True,
        sealed_headers="v1.other",
        oauth_config_id="oac_2",
        stdio_config=StdioConfig(command="notes"),
        per_user_header_keys=("X-Api-Key",),
        allowed_extra_headers=("X-Request-Id",),
        is_ping_available=False,
        tool_sync_interval=60,
        tls_config=Trust(insecure_skip_verify=True),
        state="pending_verification",
        state_reason="It is new.",
    )
    assert await store.reconfigure_upstream(wanted, read, "settings", NOW + 1) is changes
    assert await store.upstreams() == [wanted if changes else _upstream(), other]
    assert await store.reconfigure_upstream(wanted, read, "settings", NOW + 2) is False, "it is as configured already"
    assert await store.reconfigure_upstream(_upstream(id="up_9"), read, "settings", NOW) is False


async def test_of_replicas_that_read_the_same_change_at_once_one_writes_it(
    database: Database, database_url: str
) -> None:
    """Contract §10: the guarded statement says who was first; `updated_at` moves once."""
    async with opened(database_url) as other:
        stores = cycle((SqlUpstreamStore(database), SqlUpstreamStore(other)))
        await next(stores).add_upstream(_upstream(), "first", NOW)
        wanted = _upstream(disabled=True)
        written = await together(next(stores).reconfigure_upstream(wanted, "second", "settings", NOW) for _ in range(8))
    assert sorted(written) == [False] * 7 + [True]
