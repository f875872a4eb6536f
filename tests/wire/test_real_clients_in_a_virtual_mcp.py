"""Clients that nobody here wrote at the endpoint of a virtual MCP, which they know by its URL alone (contract §7).

It has two members, a server over HTTP and a program, and the virtual key is confined to it. Another upstream, and one
tool of the first, are outside.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.wire._bifrost import Person
from tests.wire._real_clients import EVERYTHING, KEY, PEERS, TESTS, Gateway, running_gateway

pytestmark = [pytest.mark.wire, pytest.mark.clients]

CONFINED = "sk-bf-" + "confined0123456789abcdefghijklmnopqrstuvwxyz"
KEYS = [{"id": "vk-confined", "name": "confined", "value": CONFINED, "virtual_mcps": ["work"]}]
WORK, PLAY = "/mcp/work", "/mcp/play"
INSIDE = ["remote-whoami", "local-whoami", "local-add"]
OUTSIDE = ["remote-add", "other-whoami"]
LISTING = [peer for peer in PEERS if peer.startswith(("python-sdk", "fastmcp", "ts-sdk", "mcp-remote"))]
"""Those that say which tools they were listed, and call the one they are told to."""
OTHERS = [peer for peer in PEERS if peer.startswith(("inspector", "claude-code"))]


def _bundles(url: str) -> dict[str, Any]:
    program = {"command": sys.executable, "args": [str(TESTS / "support" / "sdk_upstream.py"), "stdio"]}
    return {
        "client_configs": [
            {"name": "remote", "connection_string": url, **EVERYTHING},
            {"name": "local", "connection_type": "stdio", "stdio_config": program, **EVERYTHING},
            {"name": "other", "connection_string": url, **EVERYTHING},
        ],
        "stdio_allowed_commands": [sys.executable],
        "virtual_mcps": [
            {
                "name": "work",
                "mcp_configs": [
                    {"mcp_client_name": "remote", "tools_to_execute": ["whoami"]},
                    {"mcp_client_name": "local"},
                ],
            },
            {"name": "play", "mcp_configs": [{"mcp_client_name": "local"}]},
        ],
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(
        tmp_path_factory.mktemp("gateway"), key_required=True, mcp=_bundles, more_keys=KEYS
    ) as running:
        yield running


@pytest.mark.parametrize("peer", LISTING)
def test_a_real_client_signs_in_at_it_lists_it_and_calls_a_tool_of_every_member(gateway: Gateway, peer: str) -> None:
    """Contract §1, discovery by slug; §7, the tools are those of the members and no others."""
    for tool in ("remote-whoami", "local-whoami"):
        ended = gateway.run(peer, "http", path=WORK, tool=tool, key=CONFINED)
        assert ended.returncode == 0, gateway.explain(ended)
        said = json.loads(ended.stdout.splitlines()[1])
        assert sorted(said["tools"]) == sorted(INSIDE)
        assert said["result"][0]["text"] == "sample upstream"


@pytest.mark.parametrize("peer", OTHERS)
def test_a_real_client_that_lists_for_itself_gets_through_at_it(gateway: Gateway, peer: str) -> None:
    """Contract §1 and §7. Inspector calls a tool in both eras; Claude Code says that it is connected."""
    ended = gateway.run(peer, "http", path=WORK, tool="local-whoami", key=CONFINED)
    assert ended.returncode == 0, gateway.explain(ended)


@pytest.mark.parametrize("tool", OUTSIDE)
@pytest.mark.parametrize("peer", ["python-sdk-legacy", "python-sdk-modern", "ts-sdk-v1", "ts-sdk-v2-modern"])
def test_a_real_client_is_refused_a_tool_outside_it(gateway: Gateway, peer: str, tool: str) -> None:
    """Contract §7: to this endpoint there is no such tool."""
    ended = gateway.run(peer, "http", path=WORK, tool=tool, key=CONFINED)
    assert ended.returncode == 1, gateway.explain(ended)
    assert f"Unknown tool: {tool}" in ended.stdout, gateway.explain(ended)


def test_a_token_opens_the_endpoint_it_was_given_for_and_no_other(gateway: Gateway) -> None:
    """RFC 8707 §2, contract §6, R73: pairwise, each refusal with the challenge of the endpoint that refuses."""
    paths = ("/mcp", WORK, PLAY, "/mcp/local")
    for path in paths:
        token = _token_for(gateway.url, path)
        for other in paths:
            answer = _ping(gateway.url + other, token)
            assert answer.status_code == (200 if other == path else 401), (path, other, answer.text)
            metadata = f"{gateway.url}/.well-known/oauth-protected-resource{other}"
            assert other == path or f'resource_metadata="{metadata}"' in answer.headers["www-authenticate"]


def _token_for(origin: str, path: str) -> str:
    person = Person(origin)
    person.register()
    person.authorize(resource=origin + path)
    return str(person.redeem(person.approve(KEY)).json()["access_token"])


def _ping(url: str, token: str) -> httpx2.Response:
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    return httpx2.post(url, json=message, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
