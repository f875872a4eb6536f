"""A requestState is for one set of arguments (2026-07-28, multi-round-trip requests)."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import Raw

from bifrost.base.sealing import KeyRing
from bifrost.gateway.request_state import REQUEST_STATE, RequestStates
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError
from tests.support.clock import FakeClock

CALL: Any = SimpleNamespace(principal="someone")
ROUTE: Any = SimpleNamespace(upstream=SimpleNamespace(id="up"), method="tools/call", key="pay")


def _fits(given: bytes, sent: bytes) -> bool:
    states = RequestStates(KeyRing([b"k" * 32]), cast("Any", FakeClock()))
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
        (b'{"in":{"to":"me","to":"you"}}', b'{"in":{"to":"you"}}'),
        (b'{"in":[{"to":"me","to":"you"}]}', b'{"in":[{"to":"them","to":"you"}]}'),
    ],
    ids=["too large", "too long", "beside one", "one of two", "another of two"],
)
def test_arguments_that_cannot_be_read_or_in_two_ways_fit_themselves_only(given: bytes, sent: bytes) -> None:
    """Nobody can say that an upstream reads them as the gateway does."""
    assert _fits(given, given)
    assert not _fits(given, sent)
