"""The vault."""

import pytest

from bifrost.base.sealing import KeyRing, SealBrokenError
from bifrost.upstreams.vault import Vault

VAULT = Vault(KeyRing([b"k" * 32]))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"A": "", "B": "ü\t"}])
def test_headers_come_back_as_they_were_sealed(headers: dict[str, str]) -> None:
    """Contract §8."""
    assert VAULT.open_headers("up_1", VAULT.seal_headers("up_1", headers)) == headers


def test_sealed_headers_do_not_open_for_another_upstream() -> None:
    """Contract §8: the row's owner as associated data; a value copied to another row is worthless."""
    with pytest.raises(SealBrokenError):
        VAULT.open_headers("up_2", VAULT.seal_headers("up_1", {"Authorization": "Bearer x"}))


def test_a_value_sealed_for_another_purpose_does_not_open_as_headers() -> None:
    """Each use has a key of its own."""
    sealed = VAULT.ring.seal(b"{}", use="something else", owner="up_1")
    with pytest.raises(SealBrokenError):
        VAULT.open_headers("up_1", sealed)
