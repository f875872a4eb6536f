"""Messages that nobody thought of (contract §7): what arrives is what was sent, for every pair of revisions,
over every transport (`test_mcp_matrix.py` has the axes).

Values are compared as JSON text, so that an integer is no float, nothing changes its place in a list or an object, and
no character is lost.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bifrost.protocol import mcp
from tests.flows._matrix import CLIENTS, UPSTREAMS
from tests.flows.test_mcp_conversations import without_ours
from tests.support.gateway import upstream
from tests.support.mcp_client import Conversation, McpClient, gateway_on_a_port
from tests.support.piped import reached
from tests.support.scripted_upstream import ScriptedUpstream

EXAMPLES = 8
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("\0\r\n\x85\u2028\u2029\ufeff\U0001f600"), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=10), VALUES, max_size=4)
TOKENS = st.integers(0, 2**53 - 1) | TEXTS.filter(bool)
CODES = st.integers(-31_999, 100_000)
"""Of the server's own making: those with a meaning in the protocol may be translated between revisions."""


class Pair:
    """A client of one revision, and a server of another that says what it is told."""

    def __init__(self, runner: asyncio.Runner, client: McpClient, server: ScriptedUpstream) -> None:
        self._runner, self.client, self.server = runner, client, server

    def call(self, arguments: Any, **more: Any) -> Conversation:
        return self.request(mcp.TOOLS_CALL, {"name": "up-said", "arguments": arguments, **more})

    def request(self, method: str, params: dict[str, Any]) -> Conversation:
        return self._runner.run(self.client.request(method, params))

    def arrived(self, method: str) -> dict[str, Any]:
        """The parameters of the last such request at the server."""
        params: dict[str, Any] = self.server.requests(method)[-1]["params"]
        return params


@contextmanager
def paired(sqlite_url: str, tmp_path: Path, client_revision: str, transport: str, revision: str) -> Iterator[Pair]:
    server = ScriptedUpstream(version=revision)
    with reached(transport, server) as way, asyncio.Runner() as runner:
        section = {"client_configs": [{**upstream("up", ""), **way}], "stdio_allowed_commands": [sys.executable]}
        running = gateway_on_a_port(sqlite_url, tmp_path, mcp=section)
        client = McpClient(runner.run(running.__aenter__()), client_revision)
        try:
            runner.run(client.open())
            yield Pair(runner, client, server)
        finally:
            runner.run(running.__aexit__(None, None, None))


def same(arrived: Any, sent: Any) -> None:
    assert json.dumps(arrived) == json.dumps(sent)


def _results(pair: Pair, made: dict[str, Any]) -> None:
    result = {"content": [{"type": "text", "text": made["text"], "_meta": made["object"]}], "isError": made["flag"]}
    pair.server.result = {
        **result,
        "structuredContent": made["object"],
        "x-new": made["value"],
        "_meta": {"x": made["value"]},
    }
    answer = pair.call(made["object"], _meta={"x-new": made["value"]}, **{"x-new": made["value"]})
    assert answer.error is None, answer.error
    same(without_ours(answer.result), pair.server.result)
    arrived = pair.arrived(mcp.TOOLS_CALL)
    same(arrived["arguments"], made["object"])
    same(arrived["_meta"]["x-new"], made["value"])
    same(arrived["x-new"], made["value"])


def _errors(pair: Pair, made: dict[str, Any]) -> None:
    pair.server.error = {"code": made["code"], "message": made["text"], "data": made["value"]}
    same(pair.call({}).error, pair.server.error)


def _progress(pair: Pair, made: dict[str, Any]) -> None:
    progress = {
        "progressToken": None,
        "progress": 1,
        "total": made["number"],
        "message": made["text"],
        "x-new": made["value"],
    }
    pair.server.heard = [{"method": mcp.PROGRESS, "params": progress}]
    (heard,) = pair.call({}, _meta={"progressToken": made["token"]}).heard
    same(heard["params"], {**progress, "progressToken": made["token"]})


def _questions(pair: Pair, made: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {}, "x-new": made["value"]}
    content = {"type": "text", "text": made["text"]}
    asked = {
        "elicitation/create": {"mode": "form", "message": made["text"], "requestedSchema": schema},
        "sampling/createMessage": {"messages": [{"role": "user", "content": content}], "maxTokens": 5},
    }
    answers = {
        "elicitation/create": {"action": "accept", "content": {"a": made["text"]}, "x-new": made["value"]},
        "sampling/createMessage": {"role": "assistant", "content": content, "model": "m", "x-new": made["value"]},
    }
    pair.client.answers = answers
    for method, question in asked.items():
        pair.server.question = (method, {**question, "x-new": made["object"]})
        same(pair.call({}).asked, [pair.server.question])
        same(pair.server.answered[-1], answers[method])


def _others(pair: Pair, made: dict[str, Any]) -> None:
    content = {"type": "text", "text": made["text"]}
    named, uri = {"name": "greet", "arguments": {"who": made["text"]}}, "notes:///a"
    pair.server.members = {
        mcp.RESOURCES_READ: {"contents": [{"uri": uri, "text": made["text"], "x-new": made["value"]}]},
        mcp.PROMPTS_GET: {"messages": [{"role": "user", "content": content}], "x-new": made["object"]},
    }
    read = pair.request(mcp.RESOURCES_READ, {"uri": uri, "x-new": made["value"]})
    same(without_ours(read.result), pair.server.members[mcp.RESOURCES_READ])
    same(pair.arrived(mcp.RESOURCES_READ)["x-new"], made["value"])
    got = pair.request(mcp.PROMPTS_GET, {**named, "name": "up-greet"})
    same(without_ours(got.result), pair.server.members[mcp.PROMPTS_GET])
    same(pair.arrived(mcp.PROMPTS_GET)["arguments"], named["arguments"])


MADE = st.fixed_dictionaries(
    {
        "object": OBJECTS,
        "value": VALUES,
        "text": TEXTS,
        "flag": st.booleans(),
        "number": NUMBERS,
        "token": TOKENS,
        "code": CODES,
    }
)


LINES = "\0\r\n\x0b\x1c\x85\u2028\u2029"
"""Whatever some reader of lines takes for the end of one."""

ODD = {
    "object": {LINES: LINES},
    "value": [LINES, 1.0],
    "text": LINES,
    "flag": True,
    "number": 1e300,
    "token": LINES,
    "code": 7,
}


@pytest.mark.parametrize(("transport", "upstream_revision"), UPSTREAMS)
@pytest.mark.parametrize("client_revision", CLIENTS)
def test_what_arrives_is_what_was_sent(
    sqlite_url: str, tmp_path: Path, client_revision: str, transport: str, upstream_revision: str
) -> None:
    """Contract §7, §8: results, errors, progress, questions and their answers, resources, prompts; unknown members too."""
    with paired(sqlite_url, tmp_path, client_revision, transport, upstream_revision) as pair:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @example(made=ODD)
        @given(made=MADE)
        def exchange(made: dict[str, Any]) -> None:
            for part in (_results, _errors, _progress, _questions, _others):
                pair.server.forget_the_script()
                part(pair, made)

        exchange()
