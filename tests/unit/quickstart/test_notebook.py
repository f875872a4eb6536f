"""The notebook's own rules."""

from typing import Any

import pytest

from bifrost.quickstart.notebook import (
    MAX_NOTE_CHARACTERS,
    MAX_QUERY_CHARACTERS,
    MAX_SHOWN_HEADER_CHARACTERS,
    TOOLS,
    Caller,
    Notebook,
    ToolRefusal,
)

NOBODY = Caller(headers={})


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("add_note", {}),
        ("add_note", {"text": " \n"}),
        ("add_note", {"text": 5}),
        ("add_note", {"text": "x" * (MAX_NOTE_CHARACTERS + 1)}),
        ("add_note", {"text": "x", "more": 1}),
        ("search_notes", {"query": "x" * (MAX_QUERY_CHARACTERS + 1)}),
        ("list_notes", {"limit": 1}),
        ("whoami", {"x": 1}),
    ],
)
def test_arguments_outside_the_schema_are_refused_in_words(tool: str, arguments: dict[str, Any]) -> None:
    """MCP 2026-07-28 server/tools: a tool validates its input."""
    with pytest.raises(ToolRefusal, match=r"\.$"):
        Notebook().call(tool, arguments, NOBODY)


def test_notes_are_listed_oldest_first_with_ids_from_one() -> None:
    """The tool's own description."""
    notebook = Notebook()
    for text in ("b", "a"):
        notebook.call("add_note", {"text": text}, NOBODY)
    listed = notebook.call("list_notes", {}, NOBODY)
    assert listed == {"notes": [{"id": 1, "text": "b"}, {"id": 2, "text": "a"}], "total": 2}


def test_every_listed_tool_can_be_called() -> None:
    """MCP 2026-07-28 server/tools: a listed tool exists."""
    arguments = {"add_note": {"text": "x"}, "search_notes": {"query": "x"}}
    for tool in TOOLS:
        Notebook().call(tool["name"], arguments.get(tool["name"], {}), NOBODY)


def test_whoami_cuts_a_long_header() -> None:
    """Everything is bounded."""
    answer = Notebook().call("whoami", {}, Caller(headers={"user-agent": "x" * 5000}))
    assert len(answer["headers"]["user-agent"]) == MAX_SHOWN_HEADER_CHARACTERS
    assert "client" not in answer
