"""Limits and budgets of virtual keys on the call path (contract §9): felt at /mcp, shown and changed through the API."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flows._hostile_upstream import Answer, HostileUpstream, failure, hostile
from tests.flows._mcp import ERAS, call, key, result_of, rpc_error, with_upstreams
from tests.flows._tokens import signed_in
from tests.support.clock import FakeClock
from tests.support.gateway import KEY_ID, TestGateway, upstream

pytestmark = pytest.mark.anyio

KEYS = f"/api/governance/virtual-keys/{KEY_ID}"
PER_MINUTE = {"request_max_limit": 3, "request_reset_duration": "1m"}
DAILY, MONTHLY = {"max_limit": 1.0, "reset_duration": "1d"}, {"max_limit": 2.5, "reset_duration": "1M"}


@pytest.fixture
def notes() -> Iterator[HostileUpstream]:
    with hostile() as server:
        yield server


@asynccontextmanager
async def _limited(
    notes: HostileUpstream, database_url: str, tmp_path: Path, clock: FakeClock, **limits: Any
) -> AsyncIterator[TestGateway]:
    """A key with these limits; the tool `write` costs 0.3, `read` nothing."""
    entry = upstream("notes", notes.url, tool_pricing={"write": 0.3})
    governance = {"virtual_keys": [key(**limits)]}
    async with with_upstreams(database_url, tmp_path, entry, clock=clock, governance=governance) as running:
        yield running


def _refused(answer: httpx2.Response, code: str, retry_after: int) -> None:
    error = rpc_error(answer)
    assert error["data"]["code"] == code
    assert error["data"]["retry_after"] == retry_after
    assert "virtual key" in error["message"]


@pytest.mark.parametrize("era", ERAS)
async def test_so_many_calls_in_so_much_time(
    notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock, era: str
) -> None:
    """G22, contract §9: `rate_limit`; the refused call never reaches the upstream."""
    async with _limited(notes, sqlite_url, tmp_path, clock, rate_limit=PER_MINUTE) as running:
        for _ in range(3):
            result_of(await call(running.http, "notes-read", era=era))
            clock.advance(seconds=1)
        before = len(notes.requests("tools/call"))
        _refused(await call(running.http, "notes-read", era=era), "rate_limited", 57)
        assert len(notes.requests("tools/call")) == before
        clock.advance(seconds=57)
        result_of(await call(running.http, "notes-read", era=era))


async def test_so_much_money_in_so_much_time(
    notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §9: `budgets` and `tool_pricing`; what costs nothing goes on working."""
    async with _limited(notes, sqlite_url, tmp_path, clock, budgets=[DAILY, MONTHLY]) as running:
        for _ in range(3):
            result_of(await call(running.http, "notes-write"))
        _refused(await call(running.http, "notes-write"), "budget_exceeded", 86_400)
        result_of(await call(running.http, "notes-read"))
        clock.advance(seconds=86_400)
        for _ in range(3):
            result_of(await call(running.http, "notes-write"))
        clock.advance(seconds=86_400)
        for _ in range(2):
            result_of(await call(running.http, "notes-write"))
        _refused(await call(running.http, "notes-write"), "budget_exceeded", 28 * 86_400)


async def test_parallel_calls_never_spend_more_than_there_is(
    notes: HostileUpstream, database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §9: atomic, on both databases."""
    async with _limited(notes, database_url, tmp_path, clock, budgets=[DAILY]) as running:
        answers = await asyncio.gather(*(call(running.http, "notes-write") for _ in range(10)))
        assert sorted("result" in answer.json() for answer in answers) == [False] * 7 + [True] * 3


async def test_a_limit_holds_for_the_tokens_of_its_key(
    notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §6: a token of a key is that key; signing in again does not begin a new window."""
    async with _limited(notes, sqlite_url, tmp_path, clock, rate_limit=PER_MINUTE) as running:
        result_of(await call(running.http, "notes-read"))
        for _ in range(2):
            result_of(await call(running.http, "notes-read", headers=await _bearer(running)))
        _refused(await call(running.http, "notes-read", headers=await _bearer(running)), "rate_limited", 60)


@pytest.mark.parametrize("failed", [Answer(status=503), failure(-32603)], ids=["unavailable", "an error"])
async def test_a_call_that_fails_costs_nothing_but_was_tried(
    notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock, failed: Answer
) -> None:
    """Ours: what brought no result is not paid for."""
    async with _limited(notes, sqlite_url, tmp_path, clock, rate_limit=PER_MINUTE, budgets=[DAILY]) as running:
        result_of(await call(running.http, "notes-write"))
        notes.script["tools/call"] = failed
        rpc_error(await call(running.http, "notes-write"))
        async with running.administrator() as admin:
            shown = (await admin.get(KEYS)).json()
    assert shown["rate_limit"]["request_current_usage"] == 2
    assert [budget["current_usage"] for budget in shown["budgets"]] == [0.3]


async def test_lists_are_not_limited(notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §9: what is counted are tool calls; an unknown tool is none."""
    nothing = {"request_max_limit": 0, "request_reset_duration": "1h"}
    async with _limited(notes, sqlite_url, tmp_path, clock, rate_limit=nothing) as running:
        assert rpc_error(await call(running.http, "notes-unknown"))["code"] == -32602
        _refused(await call(running.http, "notes-read"), "rate_limited", 3_600)


async def test_the_api_shows_what_was_used_and_takes_it_back_unchanged(
    notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §9: member names of the published API."""
    async with (
        _limited(notes, sqlite_url, tmp_path, clock, rate_limit=PER_MINUTE, budgets=[DAILY]) as running,
        running.administrator() as admin,
    ):
        unused = (await admin.get(KEYS)).json()
        assert unused["rate_limit"] == PER_MINUTE | {"request_current_usage": 0, "request_resets_at": None}
        result_of(await call(running.http, "notes-write"))
        shown = (await admin.get(KEYS)).json()
        assert shown["rate_limit"] == PER_MINUTE | {
            "request_current_usage": 1,
            "request_resets_at": "2027-01-15T08:01:00Z",
        }
        assert shown["budgets"] == [DAILY | {"current_usage": 0.3, "resets_at": "2027-01-16T08:00:00Z"}]
        assert (await admin.put(KEYS, json=shown)).json() == shown


async def test_a_changed_limit_is_felt_at_the_next_call(
    notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §9: only what is sent is changed; null takes the limit away."""
    async with (
        _limited(notes, sqlite_url, tmp_path, clock, rate_limit=PER_MINUTE, budgets=[DAILY]) as running,
        running.administrator() as admin,
    ):
        for _ in range(3):
            result_of(await call(running.http, "notes-read"))
        _refused(await call(running.http, "notes-read"), "rate_limited", 60)
        changed = await admin.put(KEYS, json={"rate_limit": {**PER_MINUTE, "request_max_limit": 4}})
        assert changed.json()["budgets"][0]["max_limit"] == 1.0
        result_of(await call(running.http, "notes-read"))
        _refused(await call(running.http, "notes-read"), "rate_limited", 60)
        assert (await admin.put(KEYS, json={"rate_limit": None, "budgets": []})).json()["rate_limit"] is None
        result_of(await call(running.http, "notes-read"))


@pytest.mark.parametrize(
    ("member", "value", "param"),
    [
        ("rate_limit", {}, "rate_limit.request_max_limit"),
        ("rate_limit", {**PER_MINUTE, "request_max_limit": -1}, "rate_limit.request_max_limit"),
        ("rate_limit", {**PER_MINUTE, "request_max_limit": 1.5}, "rate_limit.request_max_limit"),
        ("rate_limit", {**PER_MINUTE, "request_max_limit": 10**30}, "rate_limit.request_max_limit"),
        ("rate_limit", {**PER_MINUTE, "request_reset_duration": "soon"}, "rate_limit.request_reset_duration"),
        ("rate_limit", {**PER_MINUTE, "token_max_limit": 1}, "rate_limit.token_max_limit"),
        ("budgets", None, "budgets"),
        ("budgets", [DAILY, DAILY], "budgets"),
        ("budgets", [{**DAILY, "max_limit": "1"}], "budgets[0].max_limit"),
        ("budgets", [{**DAILY, "max_limit": 1e300}], "budgets[0].max_limit"),
        ("budgets", [{**DAILY, "reset_duration": ""}], "budgets[0].reset_duration"),
    ],
    ids=str,
)
async def test_a_limit_that_cannot_be_is_refused(running: TestGateway, member: str, value: object, param: str) -> None:
    """Contract §2: `error.param`; on creation and on change."""
    async with running.administrator() as admin:
        made = await admin.post("/api/governance/virtual-keys", json={"name": "ann", member: value})
        changed = await admin.put(KEYS, json={member: value})
    for answer in (made, changed):
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


async def test_what_a_deleted_key_used_is_forgotten(
    notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §9: with everything else that hangs on it."""
    async with (
        _limited(notes, sqlite_url, tmp_path, clock, rate_limit=PER_MINUTE) as running,
        running.administrator() as admin,
    ):
        result_of(await call(running.http, "notes-read"))
        assert len(await running.rows("key_usage")) == 1
        await admin.delete(KEYS)
        assert await running.rows("key_usage") == []


async def _bearer(running: TestGateway) -> dict[str, str]:
    """The header of somebody who has just signed in with the key."""
    _, tokens = await signed_in(running)
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def test_a_price_is_changed_through_the_api_and_felt_at_the_next_call(
    notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §9: `tool_pricing` of an upstream."""
    async with (
        _limited(notes, sqlite_url, tmp_path, clock, budgets=[DAILY]) as running,
        running.administrator() as admin,
    ):
        (client,) = (await admin.get("/api/mcp/clients")).json()["clients"]
        assert client["config"]["tool_pricing"] == {"write": 0.3}
        address = f"/api/mcp/client/{client['config']['client_id']}"
        answer = await admin.put(address, json={"tool_pricing": {"write": 2}})
        assert answer.json()["client"]["config"]["tool_pricing"] == {"write": 2}
        refused = await admin.put(address, json={"tool_pricing": {"write": -1}})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tool_pricing")
        _refused(await call(running.http, "notes-write"), "budget_exceeded", 86_400)


async def test_a_question_to_the_caller_is_not_paid_for_but_its_answer_is(
    notes: HostileUpstream, sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """2026-07-28: a call that asks for input comes again with the answers, and only then has a result."""
    asked = b'{"resultType":"input_required","inputRequests":{},"requestState":"s"}'
    async with (
        _limited(notes, sqlite_url, tmp_path, clock, budgets=[DAILY]) as running,
        running.administrator() as admin,
    ):
        notes.calls["write"] = asked
        for _ in range(5):
            result_of(await call(running.http, "notes-write", era="modern"))
        assert (await admin.get(KEYS)).json()["budgets"][0]["current_usage"] == 0
        del notes.calls["write"]
        result_of(await call(running.http, "notes-write", era="modern"))
        assert (await admin.get(KEYS)).json()["budgets"][0]["current_usage"] == 0.3
