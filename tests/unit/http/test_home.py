"""What the start page tells each client."""

import json

import pytest

from bifrost.http.home import snippets

URL = "https://gw.example.com/mcp"


@pytest.mark.parametrize("snippet", snippets(URL), ids=lambda snippet: str(snippet["client"]))
def test_every_snippet_names_the_address_and_says_what_to_do_with_it(snippet: dict[str, str]) -> None:
    """README: connect a client."""
    assert URL in snippet["code"]
    assert snippet["how"].endswith(".")


def test_what_is_to_be_put_into_a_file_is_json() -> None:
    """A person copies it as it is."""
    cursor = next(snippet for snippet in snippets(URL) if snippet["client"] == "Cursor")
    assert json.loads(cursor["code"]) == {"mcpServers": {"bifrost": {"url": URL}}}
