"""Identifiers and secrets."""

import base64
import hashlib
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.base import ids

DRAWS = 100
TEXT = st.text(st.characters(codec="utf-8"))


@pytest.mark.parametrize("prefix", [ids.ACCESS_TOKEN, ids.REFRESH_TOKEN, ids.AUTHORIZATION_CODE, ids.VIRTUAL_KEY])
def test_a_secret_begins_with_its_prefix_and_carries_at_least_160_bits(prefix: str) -> None:
    """Contract §6."""
    body = ids.new_secret(prefix).removeprefix(prefix)
    raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    assert len(raw) * 8 >= 160


def test_a_secret_without_a_prefix_is_nothing_but_256_random_bits() -> None:
    """Contract §6. RFC 7636 §4.1: a code verifier is one, and 43 characters are the fewest that it may have."""
    assert {len(ids.new_secret()) for _ in range(100)} == {43}


def test_the_prefixes_are_those_of_the_contract() -> None:
    """Contract §6 and its list of words: scanners and clients know secrets by them."""
    granted = (ids.ACCESS_TOKEN, ids.REFRESH_TOKEN, ids.AUTHORIZATION_CODE, ids.VIRTUAL_KEY)
    assert granted == ("bfat_", "bfrt_", "bfac_", "sk-bf-")
    assert (ids.ADMIN_TOKEN, ids.ADMIN_SESSION, ids.SETUP_LINK) == ("bfad_", "bfas_", "bfsu_")


def test_no_two_secrets_and_no_two_ids_are_equal() -> None:
    """TC-044, contract §6: of ten thousand of each, and none is a UUID, which promises less."""
    for made in ([ids.new_secret("bfat_") for _ in range(10_000)], [ids.new_id("flow_") for _ in range(10_000)]):
        assert len(set(made)) == len(made)
        bodies = [one.partition("_")[2] for one in made]
        assert len({body[:8] for body in bodies}) > 9_990, "nothing in front but the prefix is always the same"
        assert not [body for body in bodies if body.count("-") == 4 and len(body) == 36]


def test_an_id_stands_behind_its_prefix_and_needs_no_escaping_in_a_url() -> None:
    """Contract §5: flow ids travel in query strings."""
    made = ids.new_id("flow_")
    assert made.startswith("flow_")
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in made)


def test_every_id_has_128_random_bits() -> None:
    """Contract §2: one id finds one request, however many are drawn at once."""
    assert {len(ids.new_id("")) for _ in range(1_000)} == {len(base64.urlsafe_b64encode(bytes(16)).rstrip(b"="))}


def test_a_new_virtual_key_has_the_form_that_keys_have() -> None:
    """Contract, words: VK is `sk-bf-…`."""
    assert ids.new_virtual_key().startswith("sk-bf-")
    assert len(ids.new_virtual_key()) == len("sk-bf-") + 43


def test_a_secret_is_kept_as_its_sha_256_in_hex() -> None:
    """Contract §6: stored only as a hash. The value is that of FIPS 180-4's example."""
    assert ids.hash_secret("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert ids.hash_secret("ü") == hashlib.sha256("ü".encode()).hexdigest()


@given(TEXT, TEXT)
def test_two_texts_are_the_same_exactly_when_they_are_equal(left: str, right: str) -> None:
    """Contract §5: constant-time comparison, also of what is not ASCII."""
    assert ids.same(left, left)
    assert ids.same(left, right) == (left == right)


def test_random_bytes_are_as_many_as_asked_for_and_not_repeated() -> None:
    """TC-180: AES-GCM nonces come from here; of a hundred thousand none comes twice."""
    assert len(ids.random_bytes(12)) == 12
    assert len({ids.random_bytes(12) for _ in range(100_000)}) == 100_000


def test_processes_that_were_forked_draw_different_values() -> None:
    """TC-186: randomness comes from the system at each draw; no state of a generator is copied along."""
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        drawn = pool.map(_draws, range(8), chunksize=1)
    secrets = [secret for batch in drawn for secret in batch] + _draws(0)
    assert len(set(secrets)) == len(secrets) == 9 * DRAWS


def _draws(_number: int) -> list[str]:
    return [ids.new_secret() for _ in range(DRAWS)]


def test_processes_that_were_forked_give_different_ids() -> None:
    """TC-186: those that were drawn in advance stay with the parent."""
    ids.new_id("x_")  # so that some are waiting
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        given = pool.map(_ids, range(8), chunksize=1)
    all_ids = [one for batch in given for one in batch] + _ids(0)
    assert len(set(all_ids)) == len(all_ids) == 9 * DRAWS


def _ids(_number: int) -> list[str]:
    return [ids.new_id("x_") for _ in range(DRAWS)]


def test_threads_never_get_the_same_id() -> None:
    """Contract §2: it finds one request in the log, whoever drew it."""
    with ThreadPoolExecutor(8) as threads:
        given = [one for batch in threads.map(_ids, range(200)) for one in batch]
    assert len(set(given)) == len(given) == 200 * DRAWS
