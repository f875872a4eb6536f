# ruff: noqa: N803, N815, A002 - names that the suite looks for
"""An MCP server with everything that the official conformance suite calls by name, made with the official Python SDK.

    python tests/support/conformance_upstream.py PORT
    python tests/support/conformance_upstream.py PORT sse
    python tests/support/conformance_upstream.py stdio

It answers at http://127.0.0.1:PORT/mcp, at http://127.0.0.1:PORT/sse (HTTP with server-sent events, 2024-11-05), or on
its pipes, in both protocol eras and asks for no credentials. Names, texts and shapes are
those that the suite's scenarios look for; the gateway stands between the two and has to change nothing.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import anyio
from mcp import types
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, Field

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
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    answer = await ctx.session.create_message(messages=[message], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {getattr(answer.content, 'text', '')}"


class Reply(BaseModel):
    response: str = Field(description="The person's reply")


class Defaults(BaseModel):
    name: str = Field(default="John Doe")
    age: int = Field(default=30)
    score: float = Field(default=95.5)
    status: str = Field(default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = Field(default=True)


def _options(*pairs: tuple[str, str]) -> Any:
    return [{"const": value, "title": title} for value, title in pairs]


class Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["a", "b", "c"]})
    titledSingle: str = Field(json_schema_extra={"oneOf": _options(("a", "A"), ("b", "B"))})
    legacyEnum: str = Field(json_schema_extra={"enum": ["a", "b"], "enumNames": ["A", "B"]})
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ["a", "b"]}})
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": _options(("a", "A"), ("b", "B"))}})


async def _elicited(ctx: Context, message: str, schema: type[BaseModel]) -> str:
    answer = await ctx.elicit(message=message, schema=schema)
    data = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"User response: action={answer.action}, content={data}"


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the person."""
    return await _elicited(ctx, message, Reply)


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks the person, with defaults."""
    return await _elicited(ctx, "Please provide user information", Defaults)


@server.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks the person to choose."""
    return await _elicited(ctx, "Please select values", Choices)


def form(message: str, **properties: str) -> types.ElicitRequest:
    schema = {"type": "object", "properties": {n: {"type": kind} for n, kind in properties.items()}}
    required = {**schema, "required": list(properties)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=required))


def sample(text: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=50))


def said(ctx: Context, key: str, member: str = "") -> Any:
    """What was answered to one question; None while it was not."""
    answer = (ctx.input_responses or {}).get(key)
    content = getattr(answer, "content", None)
    return content.get(member) if member and isinstance(content, dict) else (None if member else answer)


@server.tool()
async def test_missing_capability(ctx: Context) -> str:
    """Needs sampling."""
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(code=types.MISSING_REQUIRED_CLIENT_CAPABILITY, message="This tool needs sampling.", data=needed)
    return "done"


@server.tool()
async def test_streaming_elicitation(ctx: Context) -> str | types.InputRequiredResult:
    """Asks once."""
    return (
        "done"
        if said(ctx, "user_name")
        else types.InputRequiredResult(input_requests={"user_name": form("?", name="string")})
    )


@server.tool()
async def test_input_required_result_elicitation(ctx: Context) -> str | types.InputRequiredResult:
    """Asks the person for a name."""
    name = said(ctx, "user_name", "name")
    question = form("What is your name?", name="string")
    return f"Hello, {name}!" if name else types.InputRequiredResult(input_requests={"user_name": question})


@server.tool()
async def test_input_required_result_sampling(ctx: Context) -> str | types.InputRequiredResult:
    """Asks the client's model."""
    answer = said(ctx, "capital_question")
    question = sample("What is the capital of France?")
    if answer is None:
        return types.InputRequiredResult(input_requests={"capital_question": question})
    return f"Model said: {getattr(answer.content, 'text', '')}"


@server.tool()
async def test_input_required_result_list_roots(ctx: Context) -> str | types.InputRequiredResult:
    """Asks for the roots."""
    answer = said(ctx, "client_roots")
    if answer is None:
        return types.InputRequiredResult(input_requests={"client_roots": types.ListRootsRequest()})
    return f"{len(answer.roots)} root(s)"


@server.tool()
async def test_input_required_result_request_state(ctx: Context) -> str | types.InputRequiredResult:
    """Wants its state back."""
    if said(ctx, "confirm") and ctx.request_state == "nonce":
        return "state-ok: confirmed"
    return types.InputRequiredResult(
        input_requests={"confirm": form("Please confirm", ok="boolean")}, request_state="nonce"
    )


@server.tool()
async def test_input_required_result_tampered_state(ctx: Context) -> str | types.InputRequiredResult:
    """Wants its state back as it was."""
    if ctx.request_state is not None:
        return f"state-ok: {ctx.request_state}"
    return types.InputRequiredResult(
        input_requests={"confirm": form("Please confirm", ok="boolean")}, request_state="one"
    )


@server.tool()
async def test_input_required_result_multiple_inputs(ctx: Context) -> str | types.InputRequiredResult:
    """Asks three things at once."""
    questions: dict[str, Any] = {
        "user_name": form("Name?", name="string"),
        "greeting": sample("Greet"),
        "client_roots": types.ListRootsRequest(),
    }
    if questions.keys() <= (ctx.input_responses or {}).keys():
        return "All inputs received."
    return types.InputRequiredResult(input_requests=questions, request_state="three")


@server.tool()
async def test_input_required_result_multi_round(ctx: Context) -> str | types.InputRequiredResult:
    """Asks twice, one after the other."""
    state = json.loads(ctx.request_state or "{}")
    if state.get("round") == 2 and (color := said(ctx, "step2", "color")):
        return f"{state['name']} likes {color}."
    if state.get("round") == 1 and (name := said(ctx, "step1", "name")):
        second = json.dumps({"round": 2, "name": name})
        question = form("Step 2: What is your favorite color?", color="string")
        return types.InputRequiredResult(input_requests={"step2": question}, request_state=second)
    question = form("Step 1: What is your name?", name="string")
    return types.InputRequiredResult(input_requests={"step1": question}, request_state=json.dumps({"round": 1}))


@server.tool()
async def test_input_required_result_capabilities(ctx: Context) -> types.InputRequiredResult:
    """Asks only what the client declared."""
    declared = ctx.client_capabilities
    questions: dict[str, Any] = {}
    if declared is None or declared.sampling is not None:
        questions["sample"] = sample("Say hello")
    if declared is None or declared.elicitation is not None:
        questions["ask"] = form("Name?", name="string")
    return types.InputRequiredResult(input_requests=questions, request_state="gated")


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


@server.prompt()
async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | types.InputRequiredResult:
    """Asks before it answers."""
    context = said(ctx, "user_context", "context")
    if not context:
        return types.InputRequiredResult(input_requests={"user_context": form("What context?", context="string")})
    return user(f"Use the following context: {context}")


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
    if sys.argv[1] == "stdio":
        anyio.run(server.run_stdio_async)
        return 0
    port = int(sys.argv[1])
    serve = server.run_sse_async if sys.argv[2:] == ["sse"] else server.run_streamable_http_async
    anyio.run(lambda: serve(host="127.0.0.1", port=port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
