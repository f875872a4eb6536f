"""What the rows of the authorization server say of themselves."""

import pytest

from bifrost.authserver.models import AccessTokenRow
from bifrost.identity.models import Identity

NOW = 1_000


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "stands"),
    [(NOW + 1, None, True), (NOW, None, False), (NOW - 1, None, False), (NOW + 1, NOW, False), (NOW + 1, 0, False)],
)
def test_a_token_stands_until_the_millisecond_in_which_it_expires_or_until_it_is_revoked(
    expires_at: int, revoked_at: int | None, stands: bool
) -> None:
    """Contract §6."""
    row = AccessTokenRow(
        scope="mcp:read", created_at=0, expires_at=expires_at, grant_id="grant_1", client_id="client",
        identity=Identity("vk", "vk-1"), resource="/mcp", revoked_at=revoked_at,
    )  # fmt: skip
    assert row.stands(NOW) is stands
