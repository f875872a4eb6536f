"""Callers whose tokens are bound to a key (RFC 9449), and what a caller carries of the credential that was presented."""

import msgspec
import pytest

from bifrost.base.errors import Unauthenticated
from bifrost.base.sealing import KeyRing
from bifrost.governance.virtual_keys import NewVirtualKey, VirtualKeys
from bifrost.identity.callers import Caller, Callers, Credentials
from bifrost.identity.errors import ProofRefused, TokenBound
from bifrost.identity.models import Identity, Standing
from bifrost.identity.proofs import Proofs, SentProofs
from tests.support.clock import FakeClock
from tests.support.dpop import ProofKey
from tests.unit.governance.test_virtual_keys import Kept
from tests.unit.identity.test_callers import CONFIGS, KEY, TOKEN, Tokens
from tests.unit.identity.test_proofs import URL
from tests.unit.identity.test_proofs import Kept as Used

pytestmark = pytest.mark.anyio


@pytest.fixture
def key(clock: FakeClock) -> ProofKey:
    return ProofKey(clock)


@pytest.fixture
async def world(clock: FakeClock) -> Callers:
    keys = VirtualKeys(Kept(), clock)
    ends = clock.now() + 5_000
    await keys.create(NewVirtualKey(name="Ann", id="vk_ann", value=KEY, mcp_configs=CONFIGS, expires_at=ends))
    return Callers(keys, Tokens(), Proofs(Used(), KeyRing([b"k" * 32]), clock, False), clock, "both", True)


def bound(world: Callers, jkt: str) -> Callers:
    """The same, but the token is bound to this key."""
    tokens = Tokens()
    tokens.facts = msgspec.structs.replace(tokens.facts, jkt=jkt)
    return Callers(world.virtual_keys, tokens, world.proofs, world.clock, world.mode, world.allow_anonymous)


def presented(scheme: str, value: str, *proofs: str) -> Credentials:
    sent = SentProofs(values=proofs, method="POST", url=URL)
    return Credentials(authorization=(f"{scheme} {value}",), proofs=sent)


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP "])
async def test_a_bound_token_with_a_proof_of_its_key_is_a_caller(world: Callers, key: ProofKey, scheme: str) -> None:
    """RFC 9449 §7.1; RFC 9110 §11.1: the name of a scheme has no case."""
    proof = key.proof(URL, token=TOKEN)
    caller = await bound(world, key.jkt).authenticate(presented(scheme, TOKEN, proof), "/mcp")
    assert caller.identity == Identity("vk", "vk_ann")


@pytest.mark.parametrize("scheme", ["Basic", "Token", "DPoPx", "xDPoP", ""])
async def test_no_other_scheme_is_taken_for_it(world: Callers, key: ProofKey, scheme: str) -> None:
    """RFC 9110 §11.6.2: a scheme that is none of ours is no credential that could verify."""
    with pytest.raises(Unauthenticated):
        await bound(world, key.jkt).authenticate(presented(scheme, TOKEN, key.proof(URL, token=TOKEN)), "/mcp")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_a_bound_token_without_the_scheme_is_refused(world: Callers, key: ProofKey, scheme: str) -> None:
    """RFC 9449 §7.2: whoever has stolen it cannot use it as a bearer's, even with a proof of some key beside it."""
    with pytest.raises(TokenBound):
        await bound(world, key.jkt).authenticate(
            presented(scheme, TOKEN, key.proof(URL, token=TOKEN)),
            "/mcp",
        )


async def test_a_bound_token_with_a_proof_of_another_key_or_none_is_refused(
    world: Callers, key: ProofKey, clock: FakeClock
) -> None:
    """RFC 9449 §7.1: the proof is for this token, and with the key that it is bound to."""
    callers = bound(world, key.jkt)
    with pytest.raises(Unauthenticated, match="another key"):
        await callers.authenticate(presented("DPoP", TOKEN, ProofKey(clock).proof(URL, token=TOKEN)), "/mcp")
    for proofs in ((), (key.proof(URL),), (key.proof(URL, token="bfat_other"),)):
        with pytest.raises(ProofRefused):
            await callers.authenticate(presented("DPoP", TOKEN, *proofs), "/mcp")


async def test_whoever_was_proved_when_the_request_came_is_not_asked_for_a_proof_again(
    world: Callers, key: ProofKey
) -> None:
    """RFC 9449 §11.1: a proof is used once, and a stream outlives the proof that opened it."""
    credentials = Credentials(authorization=(f"DPoP {TOKEN}",))
    caller = await bound(world, key.jkt).authenticate(credentials, "/mcp")
    assert caller.client_id == "bfcl_x"


async def test_a_bearers_token_and_a_virtual_key_are_no_dpop_tokens(world: Callers, key: ProofKey) -> None:
    """RFC 9449 §7.1: a client that believes it is protected is told that it is not."""
    for value in (TOKEN, KEY):
        with pytest.raises(Unauthenticated):
            await world.authenticate(presented("DPoP", value, key.proof(URL, token=value)), "/mcp")


async def test_a_caller_ends_when_the_credential_does(world: Callers, clock: FakeClock) -> None:
    """Contract §6: what was presented has an end, and a stream that it opened has the same."""
    credentials = Credentials(keys=(KEY,))
    caller = await world.authenticate(credentials, "/mcp")
    assert caller.expires_at == clock.now() + 5_000
    clock.advance(seconds=4.999)
    assert not world.expired(caller)
    clock.advance(seconds=0.001)
    assert world.expired(caller)
    assert not world.expired(msgspec.structs.replace(caller, expires_at=None))


async def test_a_tokens_caller_has_the_end_and_the_limits_of_the_token(world: Callers, clock: FakeClock) -> None:
    """Contract §7: … ∩ bundle; a token never gives more than the key behind it."""
    tokens = Tokens()
    standing = Standing(key_configs=CONFIGS, within=(CONFIGS,))
    tokens.facts = msgspec.structs.replace(tokens.facts, standing=standing, expires_at=clock.now() + 1)
    callers = Callers(world.virtual_keys, tokens, world.proofs, clock, "both", True)
    caller = await callers.authenticate(presented("Bearer", TOKEN), "/mcp")
    assert (caller.within, caller.expires_at) == ((CONFIGS,), clock.now() + 1)


def test_a_caller_with_other_rights_is_another_one_and_one_with_more_time_is_not() -> None:
    """Contract §6: rights that were changed are felt within a second, also by a stream that is open."""
    caller = Caller(identity=Identity("vk", "vk_ann"), scope="mcp:read", key_configs=CONFIGS, expires_at=1)
    assert caller.may_the_same_as(msgspec.structs.replace(caller, expires_at=2))
    for other in (
        msgspec.structs.replace(caller, identity=Identity("vk", "vk_ben")),
        msgspec.structs.replace(caller, scope="mcp:read mcp:write"),
        msgspec.structs.replace(caller, key_configs=()),
        msgspec.structs.replace(caller, within=(CONFIGS,)),
        msgspec.structs.replace(caller, client_id="bfcl_x"),
    ):
        assert not caller.may_the_same_as(other)
