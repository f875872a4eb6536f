"""How long a result may be kept."""

import pytest
from msgspec import Raw

from bifrost.protocol import caching


@pytest.mark.parametrize(
    ("sent", "ttl"),
    [(b"0", 0), (b"1", 1), (b"60000", 60_000), (b"-1", 0), (b"1.5", 0), (b"true", 0), (b'"5"', 0), (b"null", 0)]
    + [(b"{}", 0), (b"[" * 100_000, 0), (b"x", 0), (None, 0)],
)
def test_only_a_whole_number_that_is_not_negative_says_how_long(sent: bytes | None, ttl: int) -> None:
    """2026-07-28, caching: T18."""
    assert caching.ttl(None if sent is None else Raw(sent)) == ttl
