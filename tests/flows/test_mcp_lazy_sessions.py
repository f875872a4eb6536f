"""Lazy authorization for clients with a session (contract §7): error -32042 for those that open URLs, text for others."""

from pathlib import Path
from typing import Any

import pytest

from tests.flows import _connecting as people
from tests.flows._mcp import KEY, message
from tests.support.gateway import ISSUER
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.anyio

CLIENTS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "opens URLs": ("2025-11-25", {"elicitation": {"url": {}}}, True),
    "knows forms only": ("2025-11-25", {"elicitation": {"form": {}}}, False),
    "declares nothing": ("2025-11-25", {}, False),
    "is older than the code": ("2025-06-18", {"elicitation": {"url": {}}}, False),
}


@pytest.mark.parametrize(("version", "capabilities", "opens"), CLIENTS.values(), ids=CLIENTS)
async def test_what_the_session_declared_decides_how_the_link_comes(
    sqlite_url: str, tmp_path: Path, version: str, capabilities: dict[str, Any], *, opens: bool
) -> None:
    """V7, 2025-11-25, elicitation: the error names every elicitation with an id of its own."""
    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream()) as running:
        greeting = {"protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "t"}}
        begun = await running.http.post("/mcp", json=message("initialize", greeting), headers=KEY)
        session = {"Mcp-Session-Id": begun.headers["mcp-session-id"]}
        body = message("tools/call", {"name": "guarded-whoami", "arguments": {}})
        answer = (await running.http.post("/mcp", json=body, headers={**KEY, **session})).json()
        if not opens:
            assert answer["result"]["isError"] is True
            assert answer["result"]["_meta"]["mcp_auth_required"]["authorize_url"] in str(answer["result"]["content"])
            return
        error = answer["error"]
        assert error["code"] == -32042
        (elicitation,) = error["data"]["elicitations"]
        assert elicitation["mode"] == "url"
        assert elicitation["elicitationId"]
        assert elicitation["url"].startswith(ISSUER)
        assert elicitation["url"] == error["data"]["mcp_auth_required"]["authorize_url"]
