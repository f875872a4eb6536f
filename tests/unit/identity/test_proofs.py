"""Whose key a request was made with: once for each proof, and with a nonce where that is wanted."""

import base64

import pytest

from bifrost.base.errors import Unauthenticated
from bifrost.base.sealing import KeyRing
from bifrost.identity.errors import NonceNeeded, ProofRefused
from bifrost.identity.proofs import NONCE_SECONDS, SLACK_SECONDS, Proofs, SentProofs
from bifrost.protocol.dpop import WINDOW_SECONDS
from tests.support.clock import FakeClock
from tests.support.dpop import ProofKey

pytestmark = pytest.mark.anyio

URL = "https://mcp.example.com/mcp"
OLD, NEW = b"o" * 32, b"n" * 32


class Kept:
    """What a database does, in memory."""

    def __init__(self) -> None:
        self.proofs: dict[str, int] = {}

    async def use_proof(self, proof_hash: str, expires_at: int) -> bool:
        if proof_hash in self.proofs:
            return False
        self.proofs[proof_hash] = expires_at
        return True

    async def drop_proofs(self, before: int) -> None:
        self.proofs = {name: ends for name, ends in self.proofs.items() if ends > before}


def sent(*values: str, url: str = URL) -> SentProofs:
    return SentProofs(values=values, method="POST", url=url)


@pytest.fixture
def key(clock: FakeClock) -> ProofKey:
    return ProofKey(clock)


def proofs(clock: FakeClock, kept: Kept | None = None, *, nonces: bool = False, ring: KeyRing | None = None) -> Proofs:
    return Proofs(kept or Kept(), ring or KeyRing([OLD]), clock, nonces)


async def test_the_key_is_told_by_its_thumbprint(clock: FakeClock, key: ProofKey) -> None:
    """RFC 9449 §6.1."""
    assert await proofs(clock).key_of(sent(key.proof(URL))) == key.jkt


@pytest.mark.parametrize("values", [(), ("a", "b"), ("",), ("a.b.c",), ("x" * 9_000,), ("é.é.é",), ("\x00",)], ids=repr)
async def test_it_takes_exactly_one_proof(clock: FakeClock, values: tuple[str, ...]) -> None:
    """RFC 9449 §4.3: not more than one DPoP field, and it is one JWT."""
    with pytest.raises(ProofRefused):
        await proofs(clock).key_of(sent(*values))


@pytest.mark.parametrize("payload", ['{"jti": "a", "jti": "b"}', "[]", '"x"', '{"iat": NaN}', "[" * 9_000])
async def test_claims_have_one_reading(clock: FakeClock, key: ProofKey, payload: str) -> None:
    """RFC 7519 §4, RFC 8725 §2.4: no duplicate members, nothing but an object."""
    header, _, signature = key.proof(URL).split(".")
    raw = base64.urlsafe_b64encode(payload.encode()).rstrip(b"=").decode()[:8_000]
    with pytest.raises(ProofRefused):
        await proofs(clock).key_of(sent(f"{header}.{raw}.{signature}"))


async def test_a_proof_is_good_once_and_remembered_as_long_as_it_could_be(clock: FakeClock, key: ProofKey) -> None:
    """RFC 9449 §11.1: a replay is refused until it is too old, and only then forgotten."""
    kept = Kept()
    one, proof = proofs(clock, kept), key.proof(URL, iat=clock.now() // 1_000 + WINDOW_SECONDS)
    assert await one.key_of(sent(proof))
    for _ in range(3):
        with pytest.raises(ProofRefused, match="used before"):
            await one.key_of(sent(proof))
        clock.advance(seconds=WINDOW_SECONDS - 1)
        await one.sweep(0)
    with pytest.raises(ProofRefused, match="iat"):
        await one.key_of(sent(proof))
    clock.advance(seconds=SLACK_SECONDS)
    await one.sweep(0)
    assert kept.proofs == {}


async def test_a_replica_whose_clock_is_ahead_forgets_nothing_that_another_would_take(
    clock: FakeClock, key: ProofKey
) -> None:
    """RFC 9449 §11.1: once over all replicas, whose clocks are never quite the same."""
    kept, ahead, proof = Kept(), FakeClock(), key.proof(URL)
    behind = proofs(clock, kept)
    assert await behind.key_of(sent(proof))
    clock.advance(seconds=WINDOW_SECONDS - 5)
    ahead.advance(seconds=WINDOW_SECONDS + 5)
    await proofs(ahead, kept).sweep(0)
    with pytest.raises(ProofRefused, match="used before"):
        await behind.key_of(sent(proof))


async def test_two_keys_may_use_one_id(clock: FakeClock, key: ProofKey) -> None:
    """RFC 9449 §4.2: an id is unique to whoever makes it, and nobody can use up another's."""
    one, other = proofs(clock), ProofKey(clock)
    assert await one.key_of(sent(key.proof(URL, jti="same"))) == key.jkt
    assert await one.key_of(sent(other.proof(URL, jti="same"))) == other.jkt


async def test_another_key_than_the_tokens_uses_nothing_up(clock: FakeClock, key: ProofKey) -> None:
    """RFC 9449 §7: the token is bound to one key; a refused request writes nothing."""
    kept, other = Kept(), ProofKey(clock)
    with pytest.raises(Unauthenticated) as refused:
        await proofs(clock, kept).key_of(sent(other.proof(URL, token="t")), access_token="t", bound_to=key.jkt)
    assert refused.value.code == "invalid_token"
    assert kept.proofs == {}


async def test_a_nonce_is_asked_for_and_then_taken_on_every_replica(clock: FakeClock, key: ProofKey) -> None:
    """RFC 9449 §8: replicas share the key ring and nothing else."""
    here, there = proofs(clock, nonces=True), proofs(clock, nonces=True)
    with pytest.raises(NonceNeeded) as asked:
        await here.key_of(sent(key.proof(URL)))
    nonce = asked.value.nonce
    assert await there.key_of(sent(key.proof(URL, nonce=nonce))) == key.jkt
    clock.advance(seconds=NONCE_SECONDS)
    assert await here.key_of(sent(key.proof(URL, nonce=nonce))) == key.jkt
    clock.advance(seconds=NONCE_SECONDS)
    with pytest.raises(NonceNeeded) as again:
        await here.key_of(sent(key.proof(URL, nonce=nonce)))
    assert again.value.nonce != nonce


@pytest.mark.parametrize("nonce", ["", "x", "5943750.x", ".", "0." + "A" * 32, "é"])
async def test_a_nonce_that_is_not_ours_is_none(clock: FakeClock, key: ProofKey, nonce: str) -> None:
    """RFC 9449 §8: unguessable."""
    period = str(clock.now() // (NONCE_SECONDS * 1_000))
    for value in (nonce, f"{period}.{nonce}", period):
        with pytest.raises(NonceNeeded):
            await proofs(clock, nonces=True).key_of(sent(key.proof(URL, nonce=value)))


async def test_a_nonce_outlives_a_new_key_in_the_ring(clock: FakeClock, key: ProofKey) -> None:
    """Contract §8: the ring rotates under running clients."""
    with pytest.raises(NonceNeeded) as asked:
        await proofs(clock, nonces=True).key_of(sent(key.proof(URL)))
    rotated = proofs(clock, nonces=True, ring=KeyRing([NEW, OLD]))
    assert await rotated.key_of(sent(key.proof(URL, nonce=asked.value.nonce))) == key.jkt
