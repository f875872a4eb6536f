"""Virtual keys, and whether one may be used now."""

import pytest

from bifrost.governance.models import VirtualKey


def key(*, is_active: bool = True, expires_at: int | None = None) -> VirtualKey:
    return VirtualKey(
        id="vk_1",
        name="Ann",
        description="",
        value_hint="sk-bf-abcd…",
        is_active=is_active,
        expires_at=expires_at,
        mcp_configs=(),
        created_at=0,
        updated_at=0,
    )


@pytest.mark.parametrize(
    ("is_active", "expires_at", "reason"),
    [
        (True, None, None),
        (True, 1_001, None),
        (True, 1_000, "expired"),
        (True, 999, "expired"),
        (True, 0, "expired"),
        (False, None, "inactive"),
        (False, 999, "inactive"),
        (False, 2_000, "inactive"),
    ],
)
def test_an_inactive_or_expired_key_is_refused_with_its_reason(
    *, is_active: bool, expires_at: int | None, reason: str | None
) -> None:
    """Contract §7: 403 with the reason; the moment of expiry belongs to the refusal."""
    refusal = key(is_active=is_active, expires_at=expires_at).refusal(1_000)
    assert refusal is None if reason is None else refusal is not None and reason in refusal
