"""How long a result may be kept (2026-07-28, caching)."""

from msgspec import Raw

from bifrost.protocol import jsonrpc

TTL = "ttlMs"


def ttl(raw: Raw | None) -> int:
    """Milliseconds; 0 where nothing is said, or nothing that can be: a whole number that is not negative."""
    try:
        value = jsonrpc.value(raw) if raw is not None else 0
    except (ValueError, RecursionError):
        return 0
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
