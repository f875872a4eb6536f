"""What a running request lets through, and to whom."""

import asyncio
import json
from typing import Any

import pytest
from msgspec import Raw

from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import (
    CLIENT_INFO,
    MAX_QUESTIONS,
    PERSON_SECONDS,
    Facts,
    Nobody,
    Patience,
    Running,
    answered,
    declares,
    facts_of,
    legacy_meta,
    modern_meta,
    result_of,
    with_own_token,
)
from tests.unit.upstreams.links._peer import EVERYTHING, Keeps, peer

pytestmark = pytest.mark.anyio


def message(**members: Any) -> Message:
    return jsonrpc.decode(json.dumps({"jsonrpc": "2.0", **members}).encode())


def running(requester: Keeps, sent: list[bytes], capabilities: bytes = EVERYTHING, token: Any = None) -> Running:
    async def respond(response: bytes) -> None:
        sent.append(response)

    return Running(peer(capabilities=capabilities), 7, requester, None, respond, token)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_progress_of_this_request_arrives_under_the_requesters_own_token() -> None:
    """2025-11-25, progress; isolation: nobody else's token gets through, whatever an upstream says."""
    requester = Keeps()
    one = running(requester, [], token=Raw(b'"mine"'))
    await one.incoming(message(method=mcp.PROGRESS, params={"progressToken": 7, "progress": 1, "new": [1]}))
    for foreign in (8, "7", "mine", None, [7]):
        await one.incoming(message(method=mcp.PROGRESS, params={"progressToken": foreign, "progress": 2}))
    assert requester.heard == [(mcp.PROGRESS, {"progressToken": "mine", "progress": 1, "new": [1]})]


async def test_progress_that_was_not_asked_for_is_not_passed_on() -> None:
    """2025-11-25, progress: only for a token that the request carried."""
    requester = Keeps()
    await running(requester, []).incoming(message(method=mcp.PROGRESS, params={"progressToken": 7}))
    assert requester.heard == []


async def test_other_notifications_arrive_as_they_are() -> None:
    """Contract §7: unknown members and methods pass through unharmed."""
    requester = Keeps()
    await running(requester, []).incoming(message(method="notifications/new", params={"a": {"b": [1.0]}}))
    await running(requester, []).incoming(message(method="notifications/none"))
    assert requester.heard == [("notifications/new", {"a": {"b": [1.0]}}), ("notifications/none", {})]


async def test_a_question_is_put_to_the_requester_and_the_answer_goes_back_under_its_own_id() -> None:
    """2025-11-25, elicitation."""
    requester, sent = Keeps(), list[bytes]()
    await running(requester, sent).incoming(message(id="q-1", method="elicitation/create", params={"message": "?"}))
    await settled()
    assert requester.asked == [("elicitation/create", {"message": "?"})]
    assert json.loads(sent[0]) == {"jsonrpc": "2.0", "id": "q-1", "result": {"action": "accept"}}


async def test_a_refusal_goes_back_as_the_error_it_is() -> None:
    """JSON-RPC 2.0 §5.1."""
    requester, sent = Keeps(answer=None), list[bytes]()
    await running(requester, sent).incoming(message(id=1, method="sampling/createMessage", params={}))
    await settled()
    assert json.loads(sent[0])["error"] == {"code": -1, "message": "The person said no."}


@pytest.mark.parametrize("capabilities", [b"{}", b'{"sampling":{}}', b'{"elicitation":null}', b"[]", b"nonsense"])
async def test_what_was_not_declared_is_never_asked(capabilities: bytes) -> None:
    """G19: a client is asked only what it declared."""
    requester, sent = Keeps(), list[bytes]()
    await running(requester, sent, capabilities).incoming(message(id=1, method="elicitation/create", params={}))
    await settled()
    assert requester.asked == []
    assert json.loads(sent[0])["error"]["code"] == -32601


@pytest.mark.parametrize("method", ["tools/call", "new/thing", ""])
async def test_a_question_that_no_revision_knows_is_refused(method: str) -> None:
    """G19: an upstream does not get to call methods of a client."""
    assert not declares(EVERYTHING, method, {})
    assert b"-32601" in await answered(peer(capabilities=EVERYTHING), Keeps(), 1, method, {})


@pytest.mark.parametrize(
    ("capabilities", "method", "params", "may_be_asked"),
    [
        (b'{"elicitation":{}}', "elicitation/create", b"{}", True),
        (b'{"elicitation":{}}', "elicitation/create", b'{"mode":"form"}', True),
        (b'{"elicitation":{}}', "elicitation/create", b'{"mode":"url"}', False),
        (b'{"elicitation":{"form":{}}}', "elicitation/create", b'{"mode":"url"}', False),
        (b'{"elicitation":{"url":{}}}', "elicitation/create", b'{"mode":"url"}', True),
        (b'{"elicitation":{"url":{}}}', "elicitation/create", b"{}", False),
        (b'{"elicitation":{"form":{},"url":{}}}', "elicitation/create", b'{"mode":"voice"}', False),
        (b'{"elicitation":true}', "elicitation/create", b"{}", False),
        (b'{"sampling":{}}', "sampling/createMessage", b'{"messages":[]}', True),
        (b'{"sampling":{}}', "sampling/createMessage", b'{"tools":[]}', False),
        (b'{"sampling":{"tools":{}}}', "sampling/createMessage", b'{"tools":[]}', True),
        (b'{"roots":{}}', "elicitation/create", b"{}", False),
        (b'{"roots":{}}', "roots/list", b"{}", True),
        (b"{}", "roots/list", b"{}", False),
    ],
)  # fmt: skip
def test_a_client_is_asked_in_the_ways_that_it_declared(
    capabilities: bytes, method: str, params: bytes, may_be_asked: bool
) -> None:
    """G8; 2025-11-25, elicitation and sampling: an empty object means forms, and sampling without tools."""
    assert declares(capabilities, method, jsonrpc.members(params)) is may_be_asked


async def test_a_ping_is_answered_here() -> None:
    """2025-11-25, ping: whether or not anybody is there."""
    assert json.loads(await answered(peer(), Nobody(), "p", "ping", {})) == {"jsonrpc": "2.0", "id": "p", "result": {}}


async def test_a_revision_without_questions_hears_none() -> None:
    """2026-07-28, transports: T11."""
    requester = Keeps()
    await Running(peer(capabilities=EVERYTHING), 7, requester, None, None).incoming(
        message(id=1, method="elicitation/create", params={})
    )
    await settled()
    assert requester.asked == []


async def test_questions_end_with_the_request_they_were_asked_for() -> None:
    """2025-11-25, lifecycle: nobody waits for an answer that is not wanted."""

    class Thinks(Keeps):
        async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
            await asyncio.Event().wait()
            return await super().ask(method, params)

    sent: list[bytes] = []
    one = running(Thinks(), sent)
    await one.incoming(message(id=1, method="roots/list"))
    await settled()
    one.end()
    await settled()
    assert sent == []


async def test_progress_does_not_hurry_a_person_who_is_asked() -> None:
    """2025-11-25, progress: it renews the time, and takes nothing away of what a question has."""

    class Thinks(Keeps):
        async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
            await asyncio.Event().wait()
            return await super().ask(method, params)

    with Patience(30) as patience:
        one = running(Thinks(), [], token=Raw(b'"mine"'))
        one.patience = patience
        await one.incoming(message(id=1, method="roots/list"))
        await settled()
        await one.incoming(message(method=mcp.PROGRESS, params={"progressToken": 7, "progress": 1}))
        assert round(patience.ends_at - patience.now(), -1) == PERSON_SECONDS
        one.end()


async def test_a_question_that_the_upstream_withdraws_is_not_answered_any_more() -> None:
    """2025-11-25, cancellation; contract §7: whoever was asked hears of it under the id that they know, not this one."""
    ended: list[str] = []

    class Thinks(Keeps):
        async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(method)
            return await super().ask(method, params)

    requester, sent = Thinks(), list[bytes]()
    one = running(requester, sent)
    for number, method in enumerate(("elicitation/create", "sampling/createMessage")):
        await one.incoming(message(id=number, method=method, params={}))
    await settled()
    for other in (7, "0", None, True, [0]):
        await one.incoming(message(method=mcp.CANCELLED, params={"requestId": other}))
    await settled()
    assert ended == []
    await one.incoming(message(method=mcp.CANCELLED, params={"requestId": 0}))
    await settled()
    assert (ended, sent, requester.heard) == (["elicitation/create"], [], [])
    one.end()


async def test_one_question_too_many_is_refused_and_the_open_ones_go_on() -> None:
    """2025-11-25, elicitation and sampling: an upstream that is not told would wait for ever; it may ask again."""
    let_go = asyncio.Event()

    class Thinks(Keeps):
        async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
            await let_go.wait()
            return await super().ask(method, params)

    sent: list[bytes] = []
    one = running(Thinks(), sent)
    for number in range(MAX_QUESTIONS + 3):
        await one.incoming(message(id=number, method="roots/list"))
    await settled()
    refused = [json.loads(raw) for raw in sent]
    assert [said["id"] for said in refused] == [MAX_QUESTIONS, MAX_QUESTIONS + 1, MAX_QUESTIONS + 2]
    assert {said["error"]["code"] for said in refused} == {-32000}
    let_go.set()
    await settled()
    assert len([raw for raw in sent if "result" in json.loads(raw)]) == MAX_QUESTIONS
    await one.incoming(message(id="again", method="roots/list"))
    await settled()
    assert json.loads(sent[-1])["id"] == "again"
    assert "result" in json.loads(sent[-1])


async def test_a_time_limit_ends() -> None:
    """Contract §7: a time-out is an error for that call only."""
    with pytest.raises(TimeoutError), Patience(0):
        await asyncio.Event().wait()


async def test_progress_renews_a_time_limit_up_to_a_last_end() -> None:
    """Contract §7: progress extends it, for a person much longer, and never for ever."""
    with Patience(60) as patience:
        ends = [patience.ends_at]
        for seconds in (600, 0, 1e9):
            patience.renew(seconds)
            ends.append(patience.ends_at)
    assert [round(end - ends[0], -1) for end in ends] == [0, 540, 0, 3_540]


def test_a_progress_token_of_the_requester_is_replaced_upstream() -> None:
    """Isolation: two clients may use the same token."""
    params, token = with_own_token({"name": "x", "_meta": Raw(b'{"progressToken":"t","trace":1}')}, 9)
    assert bytes(token) == b'"t"'
    assert jsonrpc.value(jsonrpc.encode(params)) == {"name": "x", "_meta": {"progressToken": 9, "trace": 1}}


@pytest.mark.parametrize("params", [{}, {"_meta": Raw(b"{}")}, {"_meta": Raw(b"5")}, {"_meta": Raw(b'{"a":1}')}])
def test_without_a_token_the_parameters_stay_as_they_are(params: dict[str, Any]) -> None:
    """Contract §7."""
    sent, token = with_own_token(params, 9)
    assert (jsonrpc.encode(sent), token) == (jsonrpc.encode(params), None)


def test_a_stateless_request_says_who_asks_and_what_the_client_can_do() -> None:
    """2026-07-28, `_meta` of every request: the client's capabilities under this gateway's name (G19)."""
    sent = {
        "trace": {"id": 1.5},
        mcp.META_CAPABILITIES: {"elicitation": {"evil": {}}},
        mcp.META_VERSION: "2025-11-25",
        mcp.META_CLIENT_INFO: {"name": "Evil"},
    }
    params = modern_meta(peer(capabilities=b'{"roots":{}}', log_level="info"), {"_meta": Raw(jsonrpc.encode(sent))})
    assert json.loads(jsonrpc.encode(params["_meta"])) == {
        "trace": {"id": 1.5},
        mcp.META_CAPABILITIES: {"roots": {}},
        mcp.META_VERSION: "2026-07-28",
        mcp.META_CLIENT_INFO: CLIENT_INFO,
        mcp.META_LOG_LEVEL: "info",
    }


@pytest.mark.parametrize("raw", [b"null", b"5", b"[]", b'"x"'])
def test_a_meta_that_is_no_object_never_becomes_a_fault_of_ours(raw: bytes) -> None:
    """Contract §2."""
    assert modern_meta(peer(), {"_meta": Raw(raw)})["_meta"][mcp.META_VERSION] == mcp.MODERN


def test_a_result_keeps_its_bytes() -> None:
    """Contract §7: unknown members pass through unharmed."""
    raw = b'{"jsonrpc":"2.0","id":1,"result":{"content":[ 1 ],"new":{"z":1.0}}}'
    assert bytes(result_of(peer(), jsonrpc.decode(raw))) == b'{"content":[ 1 ],"new":{"z":1.0}}'


def test_an_error_of_the_upstream_is_passed_on_as_it_is() -> None:
    """Contract §7."""
    with pytest.raises(RpcError) as caught:
        result_of(peer(), message(id=1, error={"code": -32042, "message": "Sign in", "data": {"u": 1}}))
    assert (caught.value.code, caught.value.message, caught.value.data) == (-32042, "Sign in", b'{"u": 1}')


@pytest.mark.parametrize("members", [{"result": []}, {"result": None}, {"result": 5}, {"result": "x"}, {}])
def test_a_result_that_is_no_object_is_said_to_be_none(members: dict[str, Any]) -> None:
    """Contract §8: an error for that call only, in words that name the upstream."""
    with pytest.raises(UpstreamUnavailable, match="notes"):
        result_of(peer(), message(id=1, **members))


@pytest.mark.parametrize("capabilities", ["{}", "null", "5", "[]", '{"tools":null}'])
def test_facts_that_are_none_are_no_fault_of_ours(capabilities: str) -> None:
    """Contract §8."""
    facts = facts_of("2025-11-25", Raw(b'{"instructions":5,"capabilities":' + capabilities.encode() + b"}"))
    assert not facts.offers("tools")
    assert facts.instructions == ""
    assert Facts(version="x", capabilities={"tools": {}}).offers("tools")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"a": 1}, {"a": 1}),
        ({"_meta": {"progressToken": 1}}, {"_meta": {"progressToken": 1}}),
        ({"a": 1, "_meta": {mcp.META_VERSION: mcp.MODERN, mcp.META_CAPABILITIES: {}}}, {"a": 1}),
        ({"_meta": {mcp.META_CLIENT_INFO: {}, "mine": 2}}, {"_meta": {"mine": 2}}),
    ],
)
def test_an_older_upstream_is_not_shown_the_envelope_of_the_stateless_revision(sent: Any, kept: Any) -> None:
    """Contract §7: any client era against any upstream era; the official SDK's servers refuse the other's envelope."""
    assert legacy_meta(sent) == kept
