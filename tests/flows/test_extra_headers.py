"""`allowed_extra_headers`: what of a caller's request an upstream gets, and who gets nothing of it (contract §9)."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.flows import _administration as admin
from tests.flows._hostile_upstream import hostile, result
from tests.flows._mcp import ERAS, KEY, ask, call, names, result_of, with_upstreams
from tests.support.gateway import VIRTUAL_KEY, upstream

pytestmark = pytest.mark.anyio

ALLOWED = {"allowed_extra_headers": ["X-Case-Id", "Traceparent"]}
SENT = {
    **KEY,
    "x-case-id": "case-1",
    "TRACEPARENT": "00-trace",
    "X-Other": "canary",
    "Cookie": "canary=1",
    "X-Forwarded-User": "canary",
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("upstream_era", ["modern", "legacy"])
async def test_the_listed_headers_of_a_call_go_along_and_no_others(
    sqlite_url: str, tmp_path: Path, era: str, upstream_era: str
) -> None:
    """Contract §9: of the call and not of what the gateway does by itself; our key goes nowhere."""
    with hostile(era=upstream_era) as server, hostile(era=upstream_era) as other:
        entries = (upstream("up", server.url, **ALLOWED), upstream("other", other.url))
        async with with_upstreams(sqlite_url, tmp_path, *entries) as running:
            await names(running.http, headers=SENT, era=era)
            for tool in ("up-read", "other-read"):
                result_of(await call(running.http, tool, era=era, headers=SENT))
            calls = [seen for seen in server.seen if seen.message.get("method") == "tools/call"]
            assert [(seen.header("x-case-id"), seen.header("traceparent")) for seen in calls] == [
                ("case-1", "00-trace")
            ]
            for seen in (*server.seen, *other.seen):
                assert "canary" not in repr(seen.headers)
                assert VIRTUAL_KEY not in repr(seen.headers)
            assert not [seen for seen in other.seen if seen.header("x-case-id") or seen.header("traceparent")]


@pytest.mark.parametrize("upstream_era", ["modern", "legacy"])
async def test_two_callers_on_one_link_never_get_each_others_headers(
    sqlite_url: str, tmp_path: Path, upstream_era: str
) -> None:
    """A link is shared by calls of one owner; their header fields are not."""
    with hostile(era=upstream_era) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url, **ALLOWED)) as running:
            for case in ("one", "two"):
                await call(running.http, "up-write", {"case": case}, headers={**KEY, "X-Case-Id": case})
            await call(running.http, "up-write", {"case": None})
            calls = [seen for seen in server.seen if seen.message.get("method") == "tools/call"]
            assert [(seen.message["params"]["arguments"]["case"], seen.header("x-case-id")) for seen in calls] == [
                ("one", "one"),
                ("two", "two"),
                (None, None),
            ]


async def test_our_own_headers_win(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: what an administrator configured is what is sent."""
    static = {"auth_type": "headers", "headers": {"Authorization": "Bearer upstream-secret"}}
    with hostile() as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url, **static, **ALLOWED)) as running:
            headers = {"Authorization": f"Bearer {VIRTUAL_KEY}", "X-Case-Id": "case-1"}
            result_of(await call(running.http, "up-read", headers=headers))
            (seen,) = [seen for seen in server.seen if seen.message.get("method") == "tools/call"]
            assert [value for name, value in seen.headers if name == "authorization"] == ["Bearer upstream-secret"]
            assert seen.header("x-case-id") == "case-1"


@pytest.mark.parametrize("upstream_era", ["modern", "legacy"])
@pytest.mark.parametrize("spelt", ["X-Token", "x-token"])
async def test_a_static_header_is_never_replaced_by_a_callers(
    sqlite_url: str, tmp_path: Path, upstream_era: str, spelt: str
) -> None:
    """Contract §8: a row that allows both, of a time before that was refused, is no way to speak as somebody else."""
    static = {"auth_type": "headers", "headers": {spelt: "ours"}}
    with hostile(era=upstream_era) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url, **static)) as running:
            with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as another:
                another.execute('UPDATE upstreams SET allowed_extra_headers = \'["X-Token","X-Case-Id"]\'')
            running.clock.advance(seconds=60)
            sent = {**KEY, "X-Token": "theirs", "X-Case-Id": "case-1"}
            result_of(await call(running.http, "up-read", headers=sent))
            (seen,) = [seen for seen in server.seen if seen.message.get("method") == "tools/call"]
            assert [value for name, value in seen.headers if name == "x-token"] == ["ours"]
            assert seen.header("x-case-id") == "case-1"


async def test_a_list_that_is_changed_counts_at_the_next_call(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: through the management API, which refuses a credential by its name."""
    with hostile() as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            (client,) = await admin.clients(running)
            client_id = client["config"]["client_id"]
            refused = await admin.change(running, client_id, allowed_extra_headers=["Authorization"])
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "allowed_extra_headers")
            await call(running.http, "up-read", headers=SENT)
            assert (await admin.change(running, client_id, **ALLOWED)).status_code == 200
            await call(running.http, "up-read", headers=SENT)
            assert (await admin.change(running, client_id, allowed_extra_headers=[])).status_code == 200
            await call(running.http, "up-read", headers=SENT)
            calls = [seen for seen in server.seen if seen.message.get("method") == "tools/call"]
            assert [seen.header("x-case-id") for seen in calls] == [None, "case-1", None]


@pytest.mark.parametrize("upstream_era", ["modern", "legacy"])
async def test_prompts_and_resources_are_asked_for_with_them_as_well(
    sqlite_url: str, tmp_path: Path, upstream_era: str
) -> None:
    """Contract §7: whatever a caller asks an upstream for is one request of theirs."""
    offered = b'"capabilities":{"prompts":{},"resources":{}}'
    greetings = {
        "modern": {"server/discover": result(b'{"supportedVersions":["2026-07-28"],' + offered + b"}")},
        "legacy": {"initialize": result(b'{"protocolVersion":"2025-11-25",' + offered + b"}")},
    }
    script = {
        **greetings[upstream_era],
        "prompts/list": result(b'{"prompts":[{"name":"greet"}]}'),
        "prompts/get": result(b'{"messages":[]}'),
        "resources/list": result(b'{"resources":[{"uri":"notes:///a","name":"a"}]}'),
        "resources/read": result(b'{"contents":[]}'),
    }
    with hostile(era=upstream_era, script=script) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url, **ALLOWED)) as running:
            await ask(running.http, "prompts/get", {"name": "up-greet"}, headers=SENT)
            await ask(running.http, "resources/read", {"uri": "notes:///a"}, headers=SENT)
            for method in ("prompts/get", "resources/read"):
                (seen,) = [seen for seen in server.seen if seen.message.get("method") == method]
                assert seen.header("x-case-id") == "case-1"
