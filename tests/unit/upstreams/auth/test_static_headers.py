"""auth_type `headers` and `none`: what is sent, and who shares a session."""

import pytest

from bifrost.base.sealing import KeyRing
from bifrost.identity.models import Identity
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.auth.none import NoAuth
from bifrost.upstreams.auth.static_headers import StaticHeaders
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.vault import Vault

pytestmark = pytest.mark.anyio

VAULT = Vault(KeyRing([b"k" * 32]))
ANN, BEN = Identity("vk", "vk_ann"), Identity("session", "vk_ann")


def upstream(headers: dict[str, str], upstream_id: str = "up_1") -> Upstream:
    return Upstream(
        id=upstream_id,
        name="notes",
        endpoint_slug="notes",
        connection_type="http",
        connection_string="http://127.0.0.1/mcp",
        auth_type="headers",
        tools_to_execute=("*",),
        allow_on_all_virtual_keys=True,
        tool_execution_timeout=30,
        disabled=False,
        sealed_headers=VAULT.seal_headers("up_1", headers),
    )


async def test_the_configured_headers_are_sent_for_everybody() -> None:
    """Contract §8: `headers` is static."""
    wanted = {"Authorization": "Bearer x"}
    assert await StaticHeaders(VAULT).headers(upstream(wanted), ANN) == wanted
    assert await StaticHeaders(VAULT).headers(upstream(wanted), BEN) == wanted


async def test_headers_moved_to_another_upstream_are_not_sent() -> None:
    """Contract §8: they are unavailable there, so that lists have the rest (contract §7)."""
    with pytest.raises(UpstreamUnavailable):
        await StaticHeaders(VAULT).headers(upstream({"A": "x"}, "up_2"), ANN)


async def test_where_nothing_is_asked_for_nothing_is_sent() -> None:
    """Contract §8: `none`."""
    assert await NoAuth().headers(upstream({"Authorization": "Bearer x"}), ANN) == {}


@pytest.mark.parametrize("auth", [NoAuth(), StaticHeaders(VAULT)])
def test_nobody_shares_a_session_with_anybody(auth: UpstreamAuth) -> None:
    """A session may hold state; two kinds of identity with one id are two owners."""
    assert auth.owner(ANN) == auth.owner(ANN)
    assert auth.owner(ANN) != auth.owner(BEN)
