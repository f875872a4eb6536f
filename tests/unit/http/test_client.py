"""The outbound client, as far as it can be seen without a network."""

import pytest

from bifrost.http.client import OutboundClient

pytestmark = pytest.mark.anyio


async def test_the_client_follows_no_proxy_variables_and_keeps_no_cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract §8: no proxy variables; a jar shared by everybody would mix people up."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    client = OutboundClient()
    session = client._opened()
    try:
        assert not session.trust_env
        session.cookie_jar.update_cookies({"a": "1"})
        assert len(session.cookie_jar) == 0
    finally:
        await client.close()


async def test_one_session_serves_the_whole_process_and_can_be_closed_twice() -> None:
    """docs/decisions/0004: one pool, no handshake for every call."""
    client = OutboundClient()
    first = client._opened()
    assert client._opened() is first
    await client.close()
    await client.close()
    assert first.closed
    assert client._opened() is not first
    await client.close()
