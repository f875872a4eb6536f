"""Virtual MCPs as an administrator makes them."""

from typing import Any

from tests.flows._administration import api
from tests.support.gateway import TestGateway

VIRTUAL_MCPS = "/api/mcp/virtual-mcps"


def holding(*names: str, **tools: list[str]) -> list[dict[str, Any]]:
    """All of these upstreams, and some tools of those."""
    some = [{"mcp_client_name": name, "tools_to_execute": listed} for name, listed in tools.items()]
    return [*({"mcp_client_name": name} for name in names), *some]


async def made(running: TestGateway, name: str, configs: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    answer = await api(running, "POST", VIRTUAL_MCPS, {"name": name, "mcp_configs": configs, **members})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def changed(running: TestGateway, virtual_mcp: dict[str, Any], **members: Any) -> dict[str, Any]:
    answer = await api(running, "PUT", f"{VIRTUAL_MCPS}/{virtual_mcp['id']}", members)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
