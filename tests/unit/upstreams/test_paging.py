"""A list is read as a whole, and ends in any case."""

import tracemalloc
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from bifrost.protocol import jsonrpc
from bifrost.upstreams import paging
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.paging import Page, listed

pytestmark = pytest.mark.anyio


def answers(*results: Any) -> Page:
    """The results one after the other, the last one again and again."""
    left = [*results]

    async def page(_params: Mapping[str, Any]) -> dict[str, Raw]:
        result = left.pop(0) if len(left) > 1 else left[0]
        return {name: Raw(msgspec.json.encode(value)) for name, value in result.items()}

    return page


async def test_every_page_is_asked_for_with_the_cursor_of_the_one_before() -> None:
    """2025-11-25, pagination: the cursor is opaque, and an empty page may be followed by another."""
    asked = []
    page = answers({"tools": [1], "nextCursor": "a"}, {"tools": [], "nextCursor": "b"}, {"tools": [2, 3]})

    async def asking(params: Mapping[str, Any]) -> Mapping[str, Raw]:
        asked.append(dict(params))
        return await page(params)

    found = await listed("up", "tools", asking)
    assert (found.entries, found.cut) == ((Raw(b"1"), Raw(b"2"), Raw(b"3")), None)
    assert asked == [{}, {"cursor": "a"}, {"cursor": "b"}]


@pytest.mark.parametrize(
    ("limit", "value", "cut", "kept"),
    [
        ("MAX_PAGES", 3, "pages", 6),
        ("MAX_ENTRIES", 5, "entries", 5),
        ("MAX_BYTES", 20, "bytes", 4),
        ("WHOLE_SECONDS", -1, "time", 2),
    ],
)
async def test_a_list_without_an_end_is_cut(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, cut: str, kept: int
) -> None:
    """What was read until then is kept, and it is said which limit was reached."""
    monkeypatch.setattr(paging, limit, value)
    found = await listed("up", "tools", answers({"tools": ["abc", "def"], "nextCursor": "more"}))
    assert (found.cut, len(found.entries)) == (cut, kept)


@pytest.mark.parametrize("limit", ["MAX_ENTRIES", "MAX_BYTES"])
async def test_a_list_that_just_fits_is_whole(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """At the limit nothing is missing."""
    monkeypatch.setattr(paging, limit, 2)
    assert (await listed("up", "tools", answers({"tools": [1, 2]}))).cut is None


@pytest.mark.parametrize("tools", ["text", 1, {"name": "a"}])
async def test_what_is_no_list_is_an_error_in_words(tools: Any) -> None:
    """Ours: never a crash."""
    with pytest.raises(UpstreamUnavailable, match="What up lists as its tools cannot be read"):
        await listed("up", "tools", answers({"tools": tools}))


async def test_what_is_kept_of_a_page_are_its_entries() -> None:
    """TC-211: a page may be a thousand times as large as its entries, and a list has a hundred pages."""
    padding = b"x" * (1024 * 1024)

    async def page(_params: Mapping[str, Any]) -> dict[str, Raw]:
        return jsonrpc.members(b'{"tools":[{"name":"a"}],"nextCursor":"b","padding":"%s"}' % padding)

    tracemalloc.start()
    try:
        found = await listed("up", "tools", page)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.entries) == paging.MAX_PAGES
    assert kept < len(padding)
