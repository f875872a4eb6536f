"""What an earlier version has kept of a rotation is given again by every later one (contract §6)."""

from typing import Any, cast

from bifrost.authserver.tokens import Tokens
from tests.support.clock import FakeClock

EARLIER = "ZQWoWy9_9QQqdlshr26bXTbHcuzf_IaM0w1ui4aN2723dd0N5KpuaxjPLxy6eaKbZUemUR9kXVVDJD-DsWvS"
"""Of a version that bound no token to a key."""
BOUND = "MYIt8o49F0oQMcMo9e1pbIp2uQ1EheyRf4gkWb_2rOEuPskr-uKx14uYR2Si7Dh0Gq2-WGgakZUVWXR9jttJiAjVF9qavOI"


def test_a_client_whose_answer_was_lost_in_an_update_gets_it_from_the_version_after_it() -> None:
    """Contract §6: the same successor pair again, or whoever refreshed at that moment would have to sign in."""
    tokens = Tokens(cast("Any", None), cast("Any", None), cast("Any", None), FakeClock(2_000), cast("Any", None))
    for kept, jkt in ((EARLIER, ""), (BOUND, "thumb")):
        again = tokens.unseal("bfrt_predecessor", kept)
        assert (again.access_token, again.refresh_token) == ("bfat_a", "bfrt_b")
        assert (again.scope, again.expires_in, again.jkt) == ("mcp:read", 3, jkt)
