"""A peer, and a requester that keeps what it hears."""

from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.links.base import Peer
from bifrost.upstreams.models import Upstream

UPSTREAM = Upstream(
    id="up_1",
    name="notes",
    endpoint_slug="notes",
    connection_type="http",
    connection_string="http://127.0.0.1/mcp",
    auth_type="none",
    tools_to_execute=("*",),
    allow_on_all_virtual_keys=True,
    tool_execution_timeout=30,
    disabled=False,
)
EVERYTHING = b'{"sampling":{},"elicitation":{"form":{}},"roots":{}}'


def peer(**more: Any) -> Peer:
    return Peer(upstream=UPSTREAM, identity=Identity("vk", "k"), owner="vk:k", **more)


@dataclass(slots=True)
class Keeps:
    """`answer` is what it says to every question; None refuses them."""

    answer: bytes | None = b'{"action":"accept"}'
    heard: list[tuple[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        self.heard.append((method, jsonrpc.value(jsonrpc.encode(params))))

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
        self.asked.append((method, jsonrpc.value(jsonrpc.encode(params))))
        if self.answer is None:
            raise RpcError(-1, "The person said no.")
        return Raw(self.answer)
