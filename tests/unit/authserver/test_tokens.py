"""Tokens: what is looked up at all, and what an earlier version has kept of a rotation (contract §6)."""

from typing import Any, cast

import pytest

from bifrost.authserver.tokens import Tokens
from tests.support.clock import FakeClock

EARLIER = "ZQWoWy9_9QQqdlshr26bXTbHcuzf_IaM0w1ui4aN2723dd0N5KpuaxjPLxy6eaKbZUemUR9kXVVDJD-DsWvS"
"""Of a version that bound no token to a key."""
BOUND = "MYIt8o49F0oQMcMo9e1pbIp2uQ1EheyRf4gkWb_2rOEuPskr-uKx14uYR2Si7Dh0Gq2-WGgakZUVWXR9jttJiAjVF9qavOI"


class _Store:
    """Counts the questions, and knows no token."""

    def __init__(self) -> None:
        self.asked = 0

    async def access_token(self, _token_hash: str) -> None:
        self.asked += 1


def _tokens(store: _Store | None = None) -> Tokens:
    anything = cast("Any", None)
    return Tokens(cast("Any", store), anything, anything, FakeClock(2_000), anything)


def test_a_client_whose_answer_was_lost_in_an_update_gets_it_from_the_version_after_it() -> None:
    """Contract §6: the same successor pair again, or whoever refreshed at that moment would have to sign in."""
    for kept, jkt in ((EARLIER, ""), (BOUND, "thumb")):
        again = _tokens().unseal("bfrt_predecessor", kept)
        assert (again.access_token, again.refresh_token) == ("bfat_a", "bfrt_b")
        assert (again.scope, again.expires_in, again.jkt) == ("mcp:read", 3, jkt)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("token", "questions"),
    [
        ("bfat_x", 1),
        ("eyJ.x.x", 1),
        ("bfat_".ljust(8_192, "x"), 1),
        ("bfat_".ljust(8_193, "x"), 0),
        ("bfrt_x", 0),
        ("x bfat_", 0),
        ("", 0),
    ],
    ids=["opaque", "a JWT", "as long as may be", "longer", "another kind", "its end", "nothing"],
)
async def test_what_can_be_no_token_of_ours_costs_no_question_to_the_database(token: str, questions: int) -> None:
    """TC-144, contract §6: anybody may send anything; neither its kind nor its length makes work."""
    store = _Store()
    assert await _tokens(store).verify(token) is None
    assert store.asked == questions
