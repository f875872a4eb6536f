"""The values that a member may have, where they are a few."""

from typing import Annotated, Literal

import msgspec
import pytest

from bifrost.base.choices import choices
from bifrost.settings import Settings


class _Inner(msgspec.Struct):
    kind: Annotated[Literal["a", "b"], msgspec.Meta(description="Which.")] | None = None
    result: Literal["", "good", "bad"] = ""
    number: int = 0


class _Outer(msgspec.Struct):
    inner: dict[str, _Inner] = {}


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        (Settings, "mcp.client_configs[0].connection_type", "; it is one of http, sse, stdio"),
        (Settings, "client.mcp_server_auth_mode", "; it is one of both, headers, oauth"),
        (Settings, "server.port", ""),
        (Settings, "nothing.of_it[3]", ""),
        (_Outer, "inner[...].kind", "; it is one of a, b"),
        (_Outer, "inner[...].result", "; it is one of bad, good"),
        (_Outer, "inner[...].number", ""),
        (_Inner, "", ""),
    ],
)
def test_only_a_member_that_is_one_of_a_few_says_so(kind: type, path: str, said: str) -> None:
    """Contract §2, §10: whoever wrote a wrong value reads which ones there are."""
    assert choices(kind, path) == said
