# ruff: noqa: N803, A002 - names that the suite looks for
"""An MCP server with everything that the official conformance suite calls by name, made with the official Python SDK.

    python tests/support/conformance_upstream.py PORT [legacy | modern | sse]
    python tests/support/conformance_upstream.py stdio

It answers at http://127.0.0.1:PORT/mcp, at http://127.0.0.1:PORT/sse (HTTP with server-sent events, 2024-11-05), or on
its pipes, in both protocol eras or in the one that is named, and asks for no credentials. Names, texts and shapes are
those that the suite's scenarios look for; the gateway stands between the two and has to change nothing.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp import types
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.prompts.base import UserMessage

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.support import conformance_questions, single_era

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
PAUSE_SECONDS = 0.02

server = MCPServer(
    "conformance", log_level="ERROR", request_state_security=RequestStateSecurity(keys=[b"conformance-upstream" * 2])
)


def embedded(uri: str, text: str, kind: str = "text/plain") -> types.EmbeddedResource:
    return types.EmbeddedResource(
        type="resource", resource=types.TextResourceContents(uri=uri, mime_type=kind, text=text)
    )


def image() -> types.ImageContent:
    return types.ImageContent(type="image", data=PIXEL, mime_type="image/png")


@server.tool()
def test_simple_text() -> str:
    """Text."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> list[types.ImageContent]:
    """An image."""
    return [image()]


@server.tool()
def test_audio_content() -> list[types.AudioContent]:
    """Sound."""
    return [types.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


@server.tool()
def test_embedded_resource() -> list[types.EmbeddedResource]:
    """A resource inside the result."""
    return [embedded("test://embedded-resource", "This is an embedded resource content.")]


@server.tool()
def test_multiple_content_types() -> list[types.TextContent | types.ImageContent | types.EmbeddedResource]:
    """One of each."""
    data = embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    return [types.TextContent(type="text", text="Multiple content types test:"), image(), data]


@server.tool()
def test_error_handling() -> str:
    """Fails."""
    raise RuntimeError("This tool intentionally returns an error for testing")


async def _logs(ctx: Context, *texts: str) -> None:
    for text in texts:
        await ctx.info(text)
        await anyio.sleep(PAUSE_SECONDS)


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three times."""
    await _logs(ctx, "Tool execution started", "Tool processing data", "Tool execution completed")
    return "done"


@server.tool()
async def test_logging_tool(ctx: Context) -> str:
    """Logs once, which only a request that wants logs may hear."""
    await _logs(ctx, "logged")
    return "done"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Reports progress three times."""
    for step in (0, 50, 100):
        await ctx.report_progress(progress=step, total=100, message=f"Completed step {step} of 100")
        await anyio.sleep(PAUSE_SECONDS)
    return "done"


@server.tool()
async def test_trigger_tool_change(ctx: Context) -> str:
    """Says that the tools have changed."""
    await ctx.notify_tools_changed()
    return "done"


@server.tool()
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Says that the prompts have changed."""
    await ctx.notify_prompts_changed()
    return "done"


def user(*parts: Any) -> list[UserMessage]:
    texts = (types.TextContent(type="text", text=one) if isinstance(one, str) else one for one in parts)
    return [UserMessage(role="user", content=one) for one in texts]


@server.resource("test://static-text")
def static_text() -> str:
    """Text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """Bytes."""
    return base64.b64decode(PIXEL)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    """By its id."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.resource("test://watched-resource")
def watched() -> str:
    """To subscribe to."""
    return "Watched resource content"


@server.prompt()
def test_simple_prompt() -> list[UserMessage]:
    """Without arguments."""
    return user("This is a simple prompt for testing.")


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    """With two."""
    return user(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    """With a resource inside."""
    inside = embedded(resourceUri, "Embedded resource content for testing.")
    return user(inside, "Please process the embedded resource above.")


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """With an image inside."""
    return user(image(), "Please analyze the image above.")


conformance_questions.add_to(server)


@server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
async def complete(_ref: Any, _argument: Any, _context: Any) -> types.Completion:
    return types.Completion(values=[], total=0, has_more=False)


async def accept(_ctx: Any, _params: Any) -> types.EmptyResult:
    return types.EmptyResult()


for _method, _params in (
    ("logging/setLevel", types.SetLevelRequestParams),
    ("resources/subscribe", types.SubscribeRequestParams),
    ("resources/unsubscribe", types.UnsubscribeRequestParams),
):
    # the SDK has no other way to offer these
    server._lowlevel_server.add_request_handler(_method, _params, accept)


def main() -> int:
    way = sys.argv[2] if len(sys.argv) > 2 else ""
    if sys.argv[1] == "stdio":
        anyio.run(server.run_stdio_async)
        return 0
    app = server.sse_app() if way == "sse" else server.streamable_http_app()
    front = single_era.FRONTS.get(way)
    uvicorn.run(front(app) if front else app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
    return 0


if __name__ == "__main__":
    sys.exit(main())
