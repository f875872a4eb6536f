"""Client ids that carry the registration."""

import contextlib
import hashlib
import re
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.authserver import sealed_clients
from bifrost.authserver.models import Client
from bifrost.authserver.sealed_clients import MAX_CHARACTERS, SealedClients
from bifrost.base.ids import hash_secret
from bifrost.base.sealing import KeyRing
from bifrost.protocol import client_registration
from bifrost.protocol.oauth import OAuthError
from bifrost.protocol.redirect_uri import APP_SCHEMES

OLD, NEW = b"o" * 32, b"n" * 32
CLIENTS = SealedClients(KeyRing([OLD]), APP_SCHEMES)
ROTATED = SealedClients(KeyRing([NEW, OLD]), APP_SCHEMES)
URI = "http://127.0.0.1/cb"
EARLIER = (
    "bfcl_xjWn0_vEbxscwFKs5uDqbJrl5ybFVftbsjgM11p44h39bxo7Qs0r_CKWbv6I0aDlHc0VWy4znrxzAQekReATE53EUPPGkr7z3goD17mKo"
    "hdopxj7SHEH-CcUjaxDVI-vrEgNBzPZyw"
)
EARLIER_WITH_SECRET = (
    "bfcl_xjWn04X2DzRf5RYKjoq43wpyl_UV452wD6Sdw00j_DjwoCzUBxThXtXySc0U5LZQ3dFG8_nt7HVq8IwsAY_-aNs-Fd1ugSxZoh4i7N6_6"
    "VaXBBE34MiDd3PDW9lGoH0NtqK5rkpfaAxrodcUjYf1JcbLZKx7b8xi-t7B6QDY-lWiLdLDE7Zm"
)


def registered(clients: SealedClients = CLIENTS, **members: Any) -> Client:
    body = {"redirect_uris": [URI], "client_name": "Test", **members}
    return with_secret(clients, **body)[0]


def with_secret(clients: SealedClients = CLIENTS, **members: Any) -> tuple[Client, str]:
    body = {"redirect_uris": [URI], "client_name": "Test", **members}
    client_id, secret = clients.register(client_registration.accept(body, clients.app_schemes))
    client = clients.open(client_id)
    assert client is not None
    return client, secret


def test_a_client_id_brings_back_what_was_registered() -> None:
    """Contract §3: the id carries the registration; nothing is written."""
    client = registered(redirect_uris=[URI, "cursor://x/y"], grant_types=["authorization_code"])
    assert client.client_name == "Test"
    assert client.redirect_uris == (URI, "cursor://x/y")
    assert client.grant_types == ("authorization_code",)
    assert client.is_public
    assert client.secret_hash == ""
    assert client.verified_host is None


def test_the_same_public_metadata_gives_the_same_id_on_every_replica() -> None:
    """Contract §3."""
    assert registered().client_id == registered(SealedClients(KeyRing([OLD]), APP_SCHEMES)).client_id
    assert registered().client_id != registered(client_name="Other").client_id
    assert registered().client_id != registered(redirect_uris=["http://127.0.0.1/other"]).client_id


@given(st.text() | st.lists(st.from_regex(r"https://[a-z]{3}\.example\.com/[a-z]{0,9}", fullmatch=True)).map(repr))
def test_an_id_is_the_same_as_the_first_version_made_it(text: str) -> None:
    """Contract §3: identical public metadata gives the identical id, after an update as well."""
    assert sealed_clients._compressed(text.encode()) == zlib.compress(text.encode(), 9)


def test_a_client_id_never_looks_like_a_metadata_document_and_needs_no_escaping() -> None:
    """Contract §3: generated ids never start with https://."""
    assert re.fullmatch(r"bfcl_[A-Za-z0-9_-]+", registered(client_name="https://x").client_id)


def test_two_confidential_clients_of_one_name_have_ids_and_secrets_of_their_own() -> None:
    """Contract §3: a nonce in the id, and a secret derived from it."""
    (one, secret), (other, another) = (with_secret(token_endpoint_auth_method="client_secret_basic") for _ in range(2))
    assert one.client_id != other.client_id
    assert secret != another
    assert secret.startswith("bfcs_")
    assert one.secret_hash == hash_secret(secret)
    assert secret not in repr(one)
    assert secret.removeprefix("bfcs_") not in one.client_id
    assert CLIENTS.open(one.client_id) == one


def test_ids_and_secrets_outlive_the_rotation_of_the_keys() -> None:
    """Contract §3: ids stay readable when the key ring rotates."""
    for method in ("none", "client_secret_post"):
        client = registered(token_endpoint_auth_method=method)
        assert ROTATED.open(client.client_id) == client
    newer = registered(ROTATED)
    assert ROTATED.open(newer.client_id) == newer
    assert CLIENTS.open(newer.client_id) is None


@pytest.mark.parametrize(
    "client_id",
    ["", "bfcl_", "bfcl_x", "x", "https://app.example.com/client.json", "bfcl_" + "A" * 100, "bfcl_" + "A" * 3_000, "ü"]
    + ["BFCL_x", "bfcl_\x00", "bfcl_=", "bfcl_ü"],
)
def test_an_id_that_this_server_did_not_make_is_no_client(client_id: str) -> None:
    """Contract §6: unknown client → 401 invalid_client."""
    assert CLIENTS.open(client_id) is None


@given(st.integers(0), st.sampled_from("AQgw09_-"))
def test_an_id_with_one_character_changed_is_no_client(position: int, other: str) -> None:
    """Contract §3: authenticated with the server's key ring."""
    client_id = registered(token_endpoint_auth_method="none").client_id
    position %= len(client_id)
    changed = client_id[:position] + other + client_id[position + 1 :]
    if changed != client_id:
        assert CLIENTS.open(changed) is None


def test_an_id_without_its_prefix_is_no_client() -> None:
    """Contract §3: one client has one id, or a block of it by an administrator would leave another."""
    client_id = registered().client_id
    for other in (client_id.removeprefix("bfcl_"), client_id.replace("bfcl_", "bfcx_"), f"bfcl_{client_id}"):
        assert CLIENTS.open(other) is None


def test_an_id_of_an_earlier_version_is_known_in_every_later_one() -> None:
    """Contract §3: no clean-up and no update can invalidate an id, or a secret, that a client still holds."""
    assert registered().client_id == EARLIER
    client = CLIENTS.open(EARLIER)
    assert client is not None
    assert (client.client_name, client.redirect_uris, client.is_public) == ("Test", (URI,), True)
    assert not client.require_pushed_authorization_requests
    assert not client.dpop_bound_access_tokens
    confidential = CLIENTS.open(EARLIER_WITH_SECRET)
    assert confidential is not None
    assert confidential.secret_hash == hash_secret("bfcs_myua_wUwFEjsYc3bmXOC5jaEBvRf17be")
    assert confidential.require_pushed_authorization_requests


def test_an_id_of_another_installation_is_no_client() -> None:
    """Contract §3."""
    foreign = registered(SealedClients(KeyRing([NEW]), APP_SCHEMES))
    assert CLIENTS.open(foreign.client_id) is None


@pytest.mark.parametrize(("characters", "fits"), [(160, True), (400, False)])
def test_metadata_that_does_not_fit_into_an_id_is_refused(characters: int, *, fits: bool) -> None:
    """Contract §3: length ≤ 2 048. The paths hold nothing that could be compressed away."""
    paths = [hashlib.shake_128(bytes([number])).hexdigest(characters // 2) for number in range(10)]
    uris = [f"https://app.example.com/{path}" for path in paths]
    if fits:
        assert len(registered(redirect_uris=uris).client_id) <= MAX_CHARACTERS
        return
    with pytest.raises(OAuthError) as caught:
        registered(redirect_uris=uris)
    assert caught.value.code == "invalid_client_metadata"


def test_the_longest_id_has_2048_characters_and_is_a_client() -> None:
    """Contract §3: length ≤ 2 048."""
    noise = hashlib.shake_128(b"paths").hexdigest(2_000)
    longest = ""
    for characters in range(2_000, 3_000):
        lengths = ((characters + n) // 10 for n in range(10))
        uris = [f"https://app.example.com/{noise[n * 400 :][:length]}" for n, length in enumerate(lengths)]
        with contextlib.suppress(OAuthError):
            longest = max(longest, registered(redirect_uris=uris).client_id, key=len)
    assert len(longest) == 2_048


def test_the_rules_of_today_hold_for_what_was_registered_yesterday() -> None:
    """Contract §5: a client is judged again; a scheme that the operator took off the list redirects no more."""
    wider = SealedClients(KeyRing([OLD]), frozenset((*APP_SCHEMES, "myapp")))
    client = registered(wider, redirect_uris=["myapp://cb", URI])
    resolved = CLIENTS.open(client.client_id)
    assert resolved is not None
    assert resolved.redirect_uris == (URI,)


def test_a_client_that_asks_for_nothing_more_keeps_the_id_that_it_always_had() -> None:
    """Contract §3: identical metadata gives the identical id, whatever a later version can carry besides."""
    known = registered()
    assert registered(require_pushed_authorization_requests=False).client_id == known.client_id
    pushing = registered(require_pushed_authorization_requests=True)
    assert pushing.client_id != known.client_id
    opened = CLIENTS.open(pushing.client_id)
    assert opened == pushing
    assert opened.require_pushed_authorization_requests


@pytest.mark.parametrize("asked", [(True, False), (False, True), (True, True)])
def test_what_a_client_asks_of_us_is_not_forgotten(asked: tuple[bool, bool]) -> None:
    """RFC 9126 §6, RFC 9449 §5.2: each of the rules by itself, or a stolen request or token would do after all."""
    pushed, bound = asked
    client = registered(require_pushed_authorization_requests=pushed, dpop_bound_access_tokens=bound)
    assert (client.require_pushed_authorization_requests, client.dpop_bound_access_tokens) == asked


def test_a_public_client_has_no_secret() -> None:
    """RFC 7591 §3.2.1, contract §3."""
    assert with_secret()[1] == ""
