"""A requestState is for one set of arguments (2026-07-28, multi-round-trip requests)."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import Raw

from bifrost.base.sealing import KeyRing
from bifrost.gateway import request_state
from bifrost.gateway.request_state import INPUT_RESPONSES, REQUEST_STATE, RequestStates
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError
from tests.support.clock import FakeClock

ARGUMENTS = {"arguments": Raw(b'{"to":"me"}')}


def _call(principal: str = "vk:someone@/mcp") -> Any:
    return SimpleNamespace(principal=principal)


def _route(upstream: str = "up", method: str = "tools/call", key: str = "pay") -> Any:
    return SimpleNamespace(upstream=SimpleNamespace(id=upstream), method=method, key=key)


CALL, ROUTE = _call(), _route()


def _states(clock: FakeClock | None = None, key: bytes = b"k") -> RequestStates:
    return RequestStates(KeyRing([key * 32]), cast("Any", clock or FakeClock()))


def _again(state: str, arguments: dict[str, Raw] = ARGUMENTS) -> dict[str, Raw]:
    return {**arguments, REQUEST_STATE: jsonrpc.raw(state)}


def _fits(given: bytes, sent: bytes) -> bool:
    states = _states()
    state = states.seal(CALL, ROUTE, {"arguments": Raw(given)})
    try:
        return states.opened(CALL, ROUTE, {"arguments": Raw(sent), REQUEST_STATE: jsonrpc.raw(state)}) is not None
    except RpcError:
        return False


def test_the_same_arguments_fit_whatever_their_spelling() -> None:
    assert _fits(b'{"a": 1, "b": {"c": "\\u0041"}}', b'{"b":{"c":"A"},"a":1}')


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b'{"a":1e999}', b'{"a":2e999}'),
        (b'{"a":%s}' % (b"1" * 5_000), b'{"a":%s}' % (b"2" * 5_000)),
        (b'{"to":"me","a":1e999}', b'{"to":"you","a":1e999}'),
        (b'{"a":%s%s}' % (b"[" * 100_000, b"]" * 100_000), b'{"a":%s1%s}' % (b"[" * 100_000, b"]" * 100_000)),
        (b'{"in":{"to":"me","to":"you"}}', b'{"in":{"to":"you"}}'),
        (b'{"in":[{"to":"me","to":"you"}]}', b'{"in":[{"to":"them","to":"you"}]}'),
    ],
    ids=["too large", "too long", "beside one", "too deep", "one of two", "another of two"],
)
def test_arguments_that_cannot_be_read_or_in_two_ways_fit_themselves_only(given: bytes, sent: bytes) -> None:
    """Nobody can say that an upstream reads them as the gateway does."""
    assert _fits(given, given)
    assert not _fits(given, sent)


def test_the_members_have_the_names_that_both_sides_know() -> None:
    """2026-07-28, multi-round-trip requests."""
    assert (INPUT_RESPONSES, REQUEST_STATE) == ("inputResponses", "requestState")


def test_a_request_without_a_state_has_none() -> None:
    """2026-07-28, multi-round-trip requests: most requests are first ones."""
    assert _states().opened(CALL, ROUTE, ARGUMENTS) is None


def test_what_was_put_in_comes_out() -> None:
    """2026-07-28: the upstream's own state goes back to it as it came; what the gateway asked itself is its own."""
    states = _states()
    upstreams = states.seal(CALL, ROUTE, ARGUMENTS, upstream_state="theirs", held="letter")
    found = states.opened(CALL, ROUTE, _again(upstreams))
    assert found is not None
    assert (found.upstream_state, found.held, found.own) == ("theirs", "letter", False)
    ours = states.opened(CALL, ROUTE, _again(states.seal(CALL, ROUTE, ARGUMENTS, own=True)))
    assert ours is not None
    assert (ours.upstream_state, ours.held, ours.own) == (None, "", True)


@pytest.mark.parametrize(
    ("call", "route"),
    [
        (_call("vk:someone else@/mcp"), ROUTE),
        (_call("vk:someone@/mcp/notes"), ROUTE),
        (CALL, _route(upstream="another")),
        (CALL, _route(method="prompts/get")),
        (CALL, _route(key="refund")),
    ],
    ids=["principal", "endpoint", "upstream", "method", "name"],
)
def test_a_state_is_for_whom_and_for_what_it_was_given(call: Any, route: Any) -> None:
    """2026-07-28, multi-round-trip requests: bound to the principal, and to the request that it continues."""
    states = _states()
    state = states.seal(CALL, ROUTE, ARGUMENTS)
    with pytest.raises(RpcError, match="not given for this request") as refused:
        states.opened(call, route, _again(state))
    assert refused.value.code == jsonrpc.INVALID_PARAMS


@pytest.mark.parametrize(
    "carried",
    [b'"v1.x.y"', b'""', b"5", b"null", b"{}", b"[]", b"true"],
)
def test_what_the_gateway_did_not_make_is_no_state(carried: bytes) -> None:
    """2026-07-28: it went through the client's hands."""
    for made in (Raw(carried), jsonrpc.raw(_states(key=b"x").seal(CALL, ROUTE, ARGUMENTS))):
        with pytest.raises(RpcError) as refused:
            _states().opened(CALL, ROUTE, {**ARGUMENTS, REQUEST_STATE: made})
        assert refused.value.code == jsonrpc.INVALID_PARAMS


def test_a_state_of_a_version_with_other_members_is_refused_like_any_other() -> None:
    """Contract §2: never a 500, whatever replica has sealed it."""
    ring = KeyRing([b"k" * 32])
    states = RequestStates(ring, cast("Any", FakeClock()))
    owner = request_state._owner(CALL, ROUTE, ARGUMENTS)
    with pytest.raises(RpcError) as refused:
        states.opened(CALL, ROUTE, _again(ring.seal(b'{"until":1}', use="mcp-request-state", owner=owner)))
    assert refused.value.code == jsonrpc.INVALID_PARAMS


def test_a_state_lives_for_ten_minutes_and_says_so_when_it_is_over() -> None:
    """2026-07-28, multi-round-trip requests: a state that was seen must not be good for ever."""
    clock = FakeClock()
    states = _states(clock)
    state = states.seal(CALL, ROUTE, ARGUMENTS)
    clock.advance(seconds=599.999)
    assert states.opened(CALL, ROUTE, _again(state)) is not None
    clock.advance(seconds=0.001)
    with pytest.raises(RpcError, match="has expired") as refused:
        states.opened(CALL, ROUTE, _again(state))
    assert refused.value.code == jsonrpc.INVALID_PARAMS


def test_no_arguments_and_empty_ones_are_two_things() -> None:
    """An upstream may take them differently."""
    states = _states()
    state = states.seal(CALL, ROUTE, {})
    assert states.opened(CALL, ROUTE, _again(state, {})) is not None
    with pytest.raises(RpcError):
        states.opened(CALL, ROUTE, _again(state, {"arguments": Raw(b"{}")}))


def test_arguments_that_can_be_read_never_fit_others_that_cannot() -> None:
    """A text that looks like what is compared for another spelling is not taken for it."""
    assert not _fits(b'value\n{"a":1}', b'{"a":1}')
    assert not _fits(b'{"a":1}', b'value\n{"a":1}')
