# ruff: noqa: N815 - names that the suite looks for
"""The tools and the prompt of `conformance_upstream.py` that ask something, each in the way of the era it is called in.

In the older era a server asks while the call is open; in the stateless one its result is the question, and the call
comes again with the answer (2026-07-28, multi-round-trip requests). What is asked is the same.
"""

from __future__ import annotations

import json
from typing import Any

import anyio
from mcp import types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from pydantic import BaseModel, Field

STATELESS = "2026-07-28"
Question = types.ElicitRequest | types.CreateMessageRequest | types.ListRootsRequest
_RESULTS: dict[type[Any], type[Any]] = {
    types.ElicitRequest: types.ElicitResult,
    types.CreateMessageRequest: types.CreateMessageResult,
    types.ListRootsRequest: types.ListRootsResult,
}


def form(message: str, **properties: str) -> types.ElicitRequest:
    schema = {"type": "object", "properties": {name: {"type": kind} for name, kind in properties.items()}}
    return _form(message, {**schema, "required": list(properties)})


def _form(message: str, schema: dict[str, Any]) -> types.ElicitRequest:
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(text: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=100))


def stateless(ctx: Context) -> bool:
    return ctx.protocol_version == STATELESS


async def asked(
    ctx: Context, questions: dict[str, Question], state: str | None = None
) -> dict[str, Any] | types.InputRequiredResult:
    """The answers by the questions' names, or the result that asks for them."""
    if not stateless(ctx):
        return await _asked_meanwhile(ctx, questions)
    answers = dict(ctx.input_responses or {})
    if questions.keys() <= answers.keys():
        return answers
    wanted: dict[str, Any] = dict(questions)
    return types.InputRequiredResult(input_requests=wanted, request_state=state)


async def _asked_meanwhile(ctx: Context, questions: dict[str, Question]) -> dict[str, Any]:
    answers: dict[str, Any] = {}

    async def ask(name: str, question: Question) -> None:
        about = ServerMessageMetadata(related_request_id=ctx.request_id)
        answers[name] = await ctx.session.send_request(question, _RESULTS[type(question)], metadata=about)

    async with anyio.create_task_group() as tasks:
        for name, question in questions.items():
            tasks.start_soon(ask, name, question)
    return answers


def _given(answer: Any, member: str) -> Any:
    """What a form was filled in with; None where the person did not."""
    return (getattr(answer, "content", None) or {}).get(member)


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


async def _elicited(ctx: Context, message: str, schema: type[BaseModel]) -> str | types.InputRequiredResult:
    answers = await asked(ctx, {"form": _form(message, schema.model_json_schema())})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    answer = answers["form"]
    return f"User response: action={answer.action}, content={json.dumps(answer.content or {})}"


async def test_sampling(prompt: str, ctx: Context) -> str | types.InputRequiredResult:
    """Asks the client's model."""
    answers = await asked(ctx, {"sample": sample(prompt)})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"LLM response: {getattr(answers['sample'].content, 'text', '')}"


async def test_elicitation(message: str, ctx: Context) -> str | types.InputRequiredResult:
    """Asks the person."""
    return await _elicited(ctx, message, Reply)


async def test_elicitation_sep1034_defaults(ctx: Context) -> str | types.InputRequiredResult:
    """Asks the person, with defaults."""
    return await _elicited(ctx, "Please provide user information", Defaults)


async def test_elicitation_sep1330_enums(ctx: Context) -> str | types.InputRequiredResult:
    """Asks the person to choose."""
    return await _elicited(ctx, "Please select values", Choices)


async def test_missing_capability(ctx: Context) -> str:
    """Needs sampling."""
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(code=types.MISSING_REQUIRED_CLIENT_CAPABILITY, message="This tool needs sampling.", data=needed)
    return "done"


async def test_streaming_elicitation(ctx: Context) -> str | types.InputRequiredResult:
    """Asks once."""
    answers = await asked(ctx, {"user_name": form("?", name="string")})
    return answers if isinstance(answers, types.InputRequiredResult) else "done"


async def test_input_required_result_elicitation(ctx: Context) -> str | types.InputRequiredResult:
    """Asks the person for a name."""
    answers = await asked(ctx, {"user_name": form("What is your name?", name="string")})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"Hello, {_given(answers['user_name'], 'name')}!"


async def test_input_required_result_sampling(ctx: Context) -> str | types.InputRequiredResult:
    """Asks the client's model."""
    answers = await asked(ctx, {"capital_question": sample("What is the capital of France?")})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"Model said: {getattr(answers['capital_question'].content, 'text', '')}"


async def test_input_required_result_list_roots(ctx: Context) -> str | types.InputRequiredResult:
    """Asks for the roots."""
    answers = await asked(ctx, {"client_roots": types.ListRootsRequest()})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"{len(answers['client_roots'].roots)} root(s)"


async def test_input_required_result_request_state(ctx: Context) -> str | types.InputRequiredResult:
    """Wants its state back."""
    answers = await asked(ctx, {"confirm": form("Please confirm", ok="boolean")}, "nonce")
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return "state-ok: confirmed" if not stateless(ctx) or ctx.request_state == "nonce" else "state-lost"


async def test_input_required_result_tampered_state(ctx: Context) -> str | types.InputRequiredResult:
    """Wants its state back as it was."""
    answers = await asked(ctx, {"confirm": form("Please confirm", ok="boolean")}, "one")
    return answers if isinstance(answers, types.InputRequiredResult) else f"state-ok: {ctx.request_state}"


async def test_input_required_result_multiple_inputs(ctx: Context) -> str | types.InputRequiredResult:
    """Asks three things at once."""
    questions: dict[str, Question] = {
        "user_name": form("Name?", name="string"),
        "greeting": sample("Greet"),
        "client_roots": types.ListRootsRequest(),
    }
    answers = await asked(ctx, questions, "three")
    return answers if isinstance(answers, types.InputRequiredResult) else "All inputs received."


async def test_input_required_result_multi_round(ctx: Context) -> str | types.InputRequiredResult:
    """Asks twice, one after the other."""
    state = json.loads(ctx.request_state or "{}")
    if "name" not in state:
        first = await asked(ctx, {"step1": form("Step 1: What is your name?", name="string")}, json.dumps({"round": 1}))
        if isinstance(first, types.InputRequiredResult):
            return first
        state = {"round": 2, "name": _given(first["step1"], "name")}
    question = form("Step 2: What is your favorite color?", color="string")
    second = await asked(ctx, {"step2": question}, json.dumps(state))
    if isinstance(second, types.InputRequiredResult):
        return second
    return f"{state['name']} likes {_given(second['step2'], 'color')}."


async def test_input_required_result_capabilities(ctx: Context) -> str | types.InputRequiredResult:
    """Asks only what the client declared."""
    declared = ctx.client_capabilities
    questions: dict[str, Question] = {}
    if declared is None or declared.sampling is not None:
        questions["sample"] = sample("Say hello")
    if declared is None or declared.elicitation is not None:
        questions["ask"] = form("Name?", name="string")
    answers = await asked(ctx, questions, "gated")
    return answers if isinstance(answers, types.InputRequiredResult) else "done"


async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | types.InputRequiredResult:
    """Asks before it answers."""
    answers = await asked(ctx, {"user_context": form("What context?", context="string")})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    text = f"Use the following context: {_given(answers['user_context'], 'context')}"
    return [UserMessage(role="user", content=types.TextContent(type="text", text=text))]


_TOOLS = (
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_missing_capability,
    test_streaming_elicitation,
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
)


def add_to(server: MCPServer) -> None:
    for tool in _TOOLS:
        server.tool()(tool)
    server.prompt()(test_input_required_result_prompt)
