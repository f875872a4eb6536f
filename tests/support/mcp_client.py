"""A client that holds a whole conversation in the revision it is told: it hears, and it answers what it is asked."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from bifrost.app import build
from bifrost.protocol import mcp
from bifrost.settings import load
from tests.support.gateway import RING, VIRTUAL_KEY, configuration
from tests.support.servers import NO_AUTHORITIES, free_port, serving
from tests.support.verbatim import written

ACCEPT = "application/json, text/event-stream"
ANSWERS: dict[str, Any] = {
    "elicitation/create": {"action": "accept", "content": {"name": "Zoë"}, "x-new": [1.0]},
    "sampling/createMessage": {"role": "assistant", "content": {"type": "text", "text": "é"}, "model": "m"},
    "roots/list": {"roots": [{"uri": "file:///r"}]},
}
CAPABILITIES: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}


@dataclass(slots=True)
class Conversation:
    """What came of one request."""

    result: Any = None
    error: Any = None
    heard: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    status: int = 0
    spoken: list[bytes] = field(default_factory=list)
    """Everything that came, as it came; the answer is the last of it."""


@dataclass(slots=True)
class McpClient:
    http: httpx2.AsyncClient
    version: str
    capabilities: dict[str, Any] = field(default_factory=lambda: CAPABILITIES)
    path: str = "/mcp"
    key: str = VIRTUAL_KEY
    session: str | None = None
    log_level: str = ""
    answers: dict[str, Any] = field(default_factory=lambda: ANSWERS)
    last_id: int = 0

    @property
    def modern(self) -> bool:
        return self.version == mcp.MODERN

    async def open(self) -> dict[str, Any]:
        """The greeting of an older client, the question of a stateless one."""
        if self.modern:
            return dict((await self.request(mcp.DISCOVER)).result)
        params = {"protocolVersion": self.version, "capabilities": self.capabilities, "clientInfo": {"name": "t"}}
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        answer = await self.http.post(self.path, json=body, headers=self.headers("initialize", {}))
        self.session = answer.headers["mcp-session-id"]
        await self.http.post(
            self.path,
            json={"jsonrpc": "2.0", "method": "notifications/initialized"},
            headers=self.headers("notifications/initialized", {}),
        )
        result: dict[str, Any] = answer.json()["result"]
        return result

    def headers(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        headers = {"x-bf-vk": self.key, "Accept": ACCEPT}
        if self.session:
            headers["Mcp-Session-Id"] = self.session
        if self.modern:
            headers |= {"MCP-Protocol-Version": mcp.MODERN, "Mcp-Method": method}
            name = params.get(mcp.NAMED_METHODS.get(method, ""))
            headers |= {"Mcp-Name": mcp.header_value(name)} if name else {}
        elif self.session and self.version >= "2025-06-18":
            headers["MCP-Protocol-Version"] = self.version
        return headers

    async def request(self, method: str, params: Mapping[str, Any] | None = None, **more: Any) -> Conversation:
        """The whole of it, with every question answered; `more` is laid over the message."""
        conversation = Conversation()
        sent = dict(params or {})
        while True:
            await self.once(conversation, method, sent, **more)
            result = conversation.result or {}
            if not (self.modern and result.get("resultType") == "input_required"):
                return conversation
            questions = result.get("inputRequests", {})
            conversation.asked += [(one["method"], one["params"]) for one in questions.values()]
            answers = {key: self.answers[one["method"]] for key, one in questions.items()}
            sent = {**(params or {}), "inputResponses": answers, "requestState": result["requestState"]}

    async def once(self, into: Conversation, method: str, params: Mapping[str, Any], **more: Any) -> None:
        """One HTTP request, and what answers it."""
        self.last_id += 1
        message = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": self._stated(params), **more}
        headers = {"Content-Type": "application/json", **self.headers(method, params)}
        request = self.http.build_request("POST", self.path, content=written(message), headers=headers)
        answer = await self.http.send(request, stream=True)
        try:
            into.status = answer.status_code
            async for raw in raw_messages(answer):
                await self._said(into, raw, message["id"])
        finally:
            await answer.aclose()

    async def _said(self, into: Conversation, raw: bytes, request_id: Any) -> None:
        said = json.loads(raw)
        into.spoken.append(raw)
        if "method" not in said:
            assert said["id"] == request_id
            into.result, into.error = said.get("result"), said.get("error")
        elif "id" in said:
            into.asked.append((said["method"], said.get("params")))
            await self.answer(said)
        else:
            into.heard.append(said)

    async def answer(self, said: dict[str, Any]) -> None:
        body = {"jsonrpc": "2.0", "id": said["id"], "result": self.answers[said["method"]]}
        headers = {"Content-Type": "application/json", **self.headers("", {})}
        accepted = await self.http.post(self.path, content=written(body), headers=headers)
        assert accepted.status_code == 202, accepted.text

    async def tell(self, method: str, params: Mapping[str, Any]) -> int:
        body = {"jsonrpc": "2.0", "method": method, "params": params}
        return (await self.http.post(self.path, json=body, headers=self.headers(method, params))).status_code

    def _stated(self, params: Mapping[str, Any]) -> dict[str, Any]:
        if not self.modern:
            return dict(params)
        level = {mcp.META_LOG_LEVEL: self.log_level} if self.log_level else {}
        own = {mcp.META_VERSION: mcp.MODERN, mcp.META_CAPABILITIES: self.capabilities, **level}
        return {**params, "_meta": {**params.get("_meta", {}), **own}}


async def messages(answer: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """The messages of an answer, from JSON or from a stream of events."""
    async for raw in raw_messages(answer):
        yield json.loads(raw)


async def raw_messages(answer: httpx2.Response) -> AsyncIterator[bytes]:
    """The same, as they came."""
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        raw = await answer.aread()
        if raw:
            yield raw
        return
    async for line in answer.aiter_lines():
        if line.startswith("data:") and line[5:].strip():
            yield line[5:].strip().encode()


@asynccontextmanager
async def gateway_on_a_port(
    database_url: str, data_dir: Path, *, clock: Any = None, **sections: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    """The gateway on a real socket, so that streams stream. A client of its own origin."""
    port = free_port()
    server = {"port": port, **sections.get("server", {})}
    values = configuration(database_url, data_dir, **{**sections, "server": server})
    application = build(load(None, {}, values), clock=clock, ring=RING).app
    with serving(application, port) as origin:
        public = origin.replace("127.0.0.1", "localhost")
        async with httpx2.AsyncClient(base_url=public, timeout=30, verify=NO_AUTHORITIES) as http:
            yield http
