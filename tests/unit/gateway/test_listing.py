"""What an upstream listed goes out as the bytes that came, under the names of an endpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from bifrost.gateway import listing
from bifrost.gateway.listing import Listing
from bifrost.gateway.models import PROMPTS, RESOURCES, TEMPLATES, TOOLS, Kind
from bifrost.protocol import jsonrpc

TOOL = b'{"x":1E1,"name":"odd","big":12345678901234567890123,"esc":"\\u00e9\\/"}'


def made(*entries: bytes, kind: Kind = TOOLS) -> Listing:
    return Listing(listing.read([Raw(entry) for entry in entries], kind), 0)


def test_every_member_keeps_its_bytes_and_its_place() -> None:
    """Contract §7: unknown members pass through unharmed."""
    assert [bytes(raw) for _, raw in made(TOOL).shown("")] == [TOOL]
    assert [bytes(raw) for _, raw in made(TOOL).shown("up-")] == [TOOL.replace(b'"odd"', b'"up-odd"')]


MEMBERS = st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8), max_size=4)


@given(MEMBERS, MEMBERS, st.text('abc-_é"\\', min_size=1, max_size=8), st.sampled_from(["", "up-"]))
def test_an_entry_is_the_same_object_wherever_its_name_stands(
    before: dict[str, object], after: dict[str, object], key: str, prefix: str
) -> None:
    """Contract §7."""
    for kind in (TOOLS, PROMPTS, RESOURCES, TEMPLATES):
        if kind.key in before or kind.key in after:
            continue
        entry = {**before, kind.key: key, **after}
        shown = made(jsonrpc.encode(entry), kind=kind).shown(prefix)
        assert [(own, jsonrpc.value(raw)) for own, raw in shown] == [(key, {**entry, kind.key: f"{prefix}{key}"})]


def test_the_bytes_are_made_once_for_each_prefix_and_two_are_kept() -> None:
    """A list is asked for far more often than it changes."""
    one = made(TOOL)
    assert one.shown("up-") is one.shown("up-")
    assert one.shown("") is one.shown("")
    for number in range(5):
        one.shown(f"renamed{number}-")
    assert len(one._shown) <= 2


@pytest.mark.parametrize(
    "entry", [b"{}", b'{"name":""}', b'{"name":5}', b'{"name":"\\n"}', b'{"name":"%s"}' % (b"x" * 129)]
)
def test_what_nobody_could_ask_for_is_left_out(entry: bytes) -> None:
    """2026-07-28, tools: names of 1 to 128 characters."""
    assert list(made(entry, TOOL, TOOL).entries) == ["odd"]


def test_a_name_that_is_too_long_with_its_prefix_is_left_out_there() -> None:
    """2026-07-28, tools, G15: of two upstreams in one list a name has its prefix; alone it is as long as it may be."""
    fits, long = (b'{"name":"%s"}' % (b"x" * length) for length in (125, 126))
    one = made(fits, long, TOOL)
    assert [key for key, _ in one.shown("up-")] == ["x" * 125, "odd"]
    assert [key for key, _ in one.shown("")] == ["x" * 125, "x" * 126, "odd"]
    uris = made(b'{"uri":"%s"}' % (b"x" * 500), kind=RESOURCES)
    assert len(uris.shown("")) == 1


@pytest.mark.parametrize(("said", "read_only"), [("true", True), ("false", False), ('"yes"', False), ("1", False)])
def test_only_a_tool_that_says_so_changes_nothing(said: str, *, read_only: bool) -> None:
    """Contract §4: mcp:read may call tools that declare readOnlyHint."""
    entry = b'{"name":"a","annotations":{"readOnlyHint":%s}}' % said.encode()
    assert made(entry).entries["a"].read_only is read_only


@pytest.mark.parametrize("entry", [b"5", b"null", b"[]"])
def test_a_list_of_other_things_than_objects_cannot_be_read(entry: bytes) -> None:
    """JSON-RPC 2.0: what cannot be understood is an error of the upstream."""
    with pytest.raises(jsonrpc.RpcError):
        made(entry)
