"""Clients that nobody here wrote, each through sign-in and consent to a tool call, against one running gateway.

The clients are those of `tests/clients/peers.toml`; `tests/clients/install.sh` installs them. The person at the browser
is played once by a plain HTTP client and once in Chromium, because only a real browser applies its own rules to the
consent pages (Content-Security-Policy, Origin, cookies).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire._real_clients import KEY, PEERS, Gateway, running_gateway

pytestmark = [pytest.mark.wire, pytest.mark.clients]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway"), key_required=True) as running:
        yield running


@pytest.fixture(scope="module")
def open_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("open-gateway"), key_required=False) as running:
        yield running


@pytest.mark.parametrize("engine", ["http", "chromium"])
@pytest.mark.parametrize("peer", PEERS)
def test_a_real_client_gets_through_consent_with_a_virtual_key(gateway: Gateway, peer: str, engine: str) -> None:
    """Contract §§3 to 7; MCP authorization, every revision the client speaks.

    R71: one of them has no listener that its browser reaches, and is given the address to paste. R45, R72: all of them
    know nothing but the URL.
    """
    ended = gateway.run(peer, engine, key=KEY)
    assert ended.returncode == 0, gateway.explain(ended)


@pytest.mark.parametrize("engine", ["http", "chromium"])
def test_a_real_client_hears_that_the_person_denied(gateway: Gateway, engine: str) -> None:
    """Contract §5, Deny: the flow ends with `access_denied` at the client's own redirect URI (RFC 6749 §4.1.2.1)."""
    ended = gateway.run("python-sdk-auto", engine, key=KEY, decision="deny")
    assert ended.returncode == 1, gateway.explain(ended)
    assert "authorization refused: {'error': 'access_denied'" in ended.stdout, gateway.explain(ended)


@pytest.mark.parametrize("engine", ["http", "chromium"])
def test_a_real_client_gets_through_consent_without_a_key_where_none_is_asked_for(
    open_gateway: Gateway, engine: str
) -> None:
    """Contract §5, skip: an anonymous session, on offer only when `enforce_auth_on_inference` is false."""
    ended = open_gateway.run("ts-sdk-v2-auto", engine)
    assert ended.returncode == 0, open_gateway.explain(ended)


def test_without_the_key_that_is_asked_for_nobody_gets_on(gateway: Gateway) -> None:
    """Contract §5: the identity page offers no way on without a key when `enforce_auth_on_inference` is true."""
    ended = gateway.run("python-sdk-auto", "http")
    assert ended.returncode == 1, gateway.explain(ended)
    assert "asks for a virtual key" in ended.stdout, gateway.explain(ended)


def test_a_real_client_answers_when_it_is_asked_for_a_nonce(tmp_path: Path) -> None:
    """RFC 9449 §§8, 9: at PAR, at the token endpoint and at /mcp, each time with the same request once more."""
    with running_gateway(tmp_path, key_required=True, dpop_nonces=True) as gateway:
        ended = gateway.run("oauth4webapi-dpop", "http", key=KEY)
        assert ended.returncode == 0, gateway.explain(ended)
