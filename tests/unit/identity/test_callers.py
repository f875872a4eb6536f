"""The one authenticator of the MCP endpoints."""

from dataclasses import dataclass, field

import pytest

from bifrost.base.errors import Unauthenticated
from bifrost.base.ids import hash_secret
from bifrost.base.sealing import KeyRing
from bifrost.governance.errors import VirtualKeyRefused
from bifrost.governance.models import McpConfig
from bifrost.governance.virtual_keys import NewVirtualKey, VirtualKeys
from bifrost.identity.callers import AuthMode, Callers, ConflictingCredentials, Credentials, MissingCredentials
from bifrost.identity.models import AccessTokenFacts, Identity, Standing
from bifrost.identity.proofs import Proofs
from tests.support.clock import FakeClock
from tests.unit.governance.test_virtual_keys import Kept
from tests.unit.identity.test_proofs import Kept as Used

pytestmark = pytest.mark.anyio

KEY, EXPIRED = "sk-bf-" + "a" * 40, "sk-bf-" + "e" * 40
TOKEN, SESSION = "bfat_valid", "s" * 22
CONFIGS = (McpConfig(mcp_client_name="notes", tools_to_execute=("*",)),)


@dataclass
class Tokens:
    facts: AccessTokenFacts = field(
        default_factory=lambda: AccessTokenFacts(
            standing=Standing(key_configs=CONFIGS),
            identity=Identity("vk", "vk_ann"),
            client_id="bfcl_x",
            grant_id="grant_x",
            scope="mcp:read",
            resource="/mcp",
        )
    )

    async def verify(self, token: str) -> AccessTokenFacts | None:
        return self.facts if token == TOKEN else None


async def callers(mode: AuthMode = "both", *, allow_anonymous: bool = True) -> Callers:
    clock = FakeClock()
    keys = VirtualKeys(Kept(), clock)
    await keys.create(NewVirtualKey(name="Ann", id="vk_ann", value=KEY, mcp_configs=CONFIGS))
    await keys.create(NewVirtualKey(name="Eve", id="vk_eve", value=EXPIRED, expires_at=clock.now()))
    return Callers(keys, Tokens(), Proofs(Used(), KeyRing([b"k" * 32]), clock, False), clock, mode, allow_anonymous)


def bearer(value: str) -> Credentials:
    return Credentials(authorization=(f"Bearer {value}",))


@pytest.mark.parametrize(
    "credentials",
    [bearer(KEY), Credentials(keys=(KEY,)), Credentials(authorization=(f"bearer {KEY}",)), Credentials(keys=(KEY, KEY))]
    + [Credentials(authorization=(f"BEARER  {KEY}",), keys=(KEY,))],
)
async def test_a_virtual_key_is_a_caller_in_every_header_form(credentials: Credentials) -> None:
    """Contract §7: Authorization, x-bf-vk, x-api-key, x-goog-api-key, api-key; one key sent twice is one."""
    caller = await (await callers()).authenticate(credentials, "/mcp")
    assert caller.identity == Identity("vk", "vk_ann")
    assert caller.key_configs == CONFIGS
    assert (caller.scope, caller.client_id) == ("mcp:read mcp:write", None)


async def test_an_access_token_is_a_caller_with_its_scope_and_the_configs_of_its_key() -> None:
    """Contract §7."""
    caller = await (await callers()).authenticate(bearer(TOKEN), "/mcp")
    assert caller.identity == Identity("vk", "vk_ann")
    assert (caller.scope, caller.client_id, caller.key_configs) == ("mcp:read", "bfcl_x", CONFIGS)


async def test_an_access_token_for_another_endpoint_is_none_for_this_one() -> None:
    """Contract §6: bound to resource; RFC 8707 §2."""
    with pytest.raises(Unauthenticated):
        await (await callers()).authenticate(bearer(TOKEN), "/mcp/notes")


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(authorization=(f"Bearer {TOKEN}",), keys=(KEY,)),
        Credentials(authorization=(f"Bearer {KEY}",), keys=(EXPIRED,)),
        Credentials(authorization=(f"Bearer {KEY}", f"Bearer {TOKEN}")),
        Credentials(keys=(KEY, EXPIRED)),
        Credentials(keys=(KEY,), session_id=SESSION),
        Credentials(authorization=(f"Bearer {TOKEN}",), session_id=SESSION),
        Credentials(authorization=("Basic x",), keys=(KEY,)),
    ],
)
async def test_two_credentials_are_refused(credentials: Credentials) -> None:
    """Contract §7: 400 conflicting_credentials."""
    with pytest.raises(ConflictingCredentials):
        await (await callers()).authenticate(credentials, "/mcp")


@pytest.mark.parametrize("mode", ["headers", "both", "oauth"])
@pytest.mark.parametrize(
    "credentials",
    [bearer("bfat_unknown"), bearer("sk-bf-" + "z" * 40), bearer("x"), bearer(""), Credentials(keys=("x",))]
    + [Credentials(keys=(TOKEN,)), Credentials(keys=("",)), Credentials(authorization=("",))]
    + [Credentials(authorization=(f"{scheme} {value}",)) for scheme in ("Basic", "Token", "") for value in (KEY, TOKEN)]
    + [Credentials(session_id="s" * 21)]
    + [Credentials(authorization=("Basic eDp5",)), Credentials(authorization=(TOKEN,)), Credentials(session_id="short")]
    + [Credentials(session_id="")],
)
async def test_a_credential_that_does_not_verify_never_becomes_anybody(
    credentials: Credentials, mode: AuthMode
) -> None:
    """Contract §7: 401 invalid_token, and it can never fall through to anonymous."""
    with pytest.raises(Unauthenticated) as caught:
        await (await callers(mode)).authenticate(credentials, "/mcp")
    assert caught.value.code == "invalid_token"


async def test_a_key_that_may_not_be_used_is_refused_with_its_reason() -> None:
    """Contract §7: inactive or expired VK → 403 with the reason."""
    with pytest.raises(VirtualKeyRefused, match="expired"):
        await (await callers()).authenticate(bearer(EXPIRED), "/mcp")


@pytest.mark.parametrize(
    ("mode", "credentials", "accepted"),
    [
        ("headers", bearer(KEY), True),
        ("headers", bearer(TOKEN), False),
        ("both", bearer(KEY), True),
        ("both", bearer(TOKEN), True),
        ("oauth", bearer(KEY), False),
        ("oauth", Credentials(keys=(KEY,)), False),
        ("oauth", bearer(TOKEN), True),
        ("oauth", Credentials(session_id=SESSION), False),
        ("both", Credentials(session_id=SESSION), True),
    ],
)
async def test_the_mode_says_which_credentials_count(
    mode: AuthMode, credentials: Credentials, *, accepted: bool
) -> None:
    """Contract §1, modes."""
    authenticating = (await callers(mode)).authenticate(credentials, "/mcp")
    if accepted:
        assert (await authenticating).scope
    else:
        with pytest.raises(Unauthenticated):
            await authenticating


async def test_a_named_session_is_an_identity_that_only_its_holder_can_name() -> None:
    """Contract §7: x-bf-mcp-session-id; the id itself is kept nowhere."""
    caller = await (await callers()).authenticate(Credentials(session_id=SESSION), "/mcp")
    assert caller.identity == Identity("session", f"hdr_{hash_secret(SESSION)}")
    assert caller.key_configs == ()
    with pytest.raises(Unauthenticated):
        await (await callers(allow_anonymous=False)).authenticate(Credentials(session_id=SESSION), "/mcp")


@pytest.mark.parametrize(
    ("mode", "allow_anonymous", "served"),
    [("headers", True, True), ("headers", False, False), ("both", True, False), ("oauth", True, False)],
)
async def test_nobody_is_served_only_where_nobody_could_sign_in(
    mode: AuthMode, *, allow_anonymous: bool, served: bool
) -> None:
    """Contract §7: without credentials a challenge without an error, so that a client begins to sign in."""
    authenticating = (await callers(mode, allow_anonymous=allow_anonymous)).authenticate(Credentials(), "/mcp")
    if served:
        assert (await authenticating).identity == Identity("session", "anonymous")
    else:
        with pytest.raises(MissingCredentials):
            await authenticating


def test_programs_know_what_is_wrong_with_credentials_by_the_code() -> None:
    """Contract §7: 400 conflicting_credentials; §2: `error.code` is stable."""
    assert ConflictingCredentials("").code == "conflicting_credentials"
    assert MissingCredentials("").code == "missing_credentials"


def test_credentials_are_not_shown() -> None:
    """Contract §2: nothing secret in a log line."""
    shown = repr(Credentials(authorization=(f"Bearer {TOKEN}",), keys=(KEY,), session_id=SESSION))
    assert not any(secret in shown for secret in (TOKEN, KEY, SESSION))
