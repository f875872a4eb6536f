"""A virtual key as it is stored."""

from dataclasses import replace
from typing import Any

from bifrost.governance.models import VirtualKey
from tests.support.clock import START


def virtual_key(key_id: str, **changes: Any) -> VirtualKey:
    usual = VirtualKey(
        id=key_id,
        name=key_id,
        description="",
        value_hint="sk-bf-test…",
        is_active=True,
        expires_at=None,
        mcp_configs=(),
        created_at=START,
        updated_at=START,
    )
    return replace(usual, **changes)
