"""Sealing: what is bound to what, and what breaks it."""

import re
import tracemalloc
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.base.sealing import (
    KeyRing,
    SealBrokenError,
    decode,
    encode,
    key_id,
    name_key_id,
    open_with,
    seal_with,
    sealed_prefix,
)

OLD, NEW, FOREIGN = b"o" * 32, b"n" * 32, b"f" * 32
RING = KeyRing([OLD])
ROTATED = KeyRing([NEW, OLD])
SECRET = "bfrt_0123456789abcdefghijklmnopqrstuvwxyz"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(max_size=400), st.text(st.characters(codec="utf-8"), max_size=20))
def test_what_is_sealed_opens_again(plain: bytes, owner: str) -> None:
    """Contract §8, vault."""
    assert RING.open(RING.seal(plain, use="test", owner=owner), use="test", owner=owner) == plain


def test_the_same_bytes_are_sealed_differently_each_time() -> None:
    """Contract §8: a fresh nonce, so equal secrets do not look equal in the database."""
    assert RING.seal(b"same", use="test", owner="a") != RING.seal(b"same", use="test", owner="a")


@pytest.mark.parametrize(
    ("use", "owner"),
    [("test", "another row"), ("another use", "row"), ("test", ""), ("test", "row "), ("", "row")],
)
def test_a_sealed_value_opens_only_for_its_own_row_and_use(use: str, owner: str) -> None:
    """TC-179, contract §8: the row's owner is associated data, so a value cannot be moved to another row."""
    sealed = RING.seal(b"secret", use="test", owner="row")
    with pytest.raises(SealBrokenError):
        RING.open(sealed, use=use, owner=owner)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=63))
def test_a_sealed_value_with_one_character_changed_does_not_open(position: int, shift: int) -> None:
    """TC-180, contract §8: authenticated encryption."""
    sealed = RING.seal(b"secret of some length", use="test", owner="row")
    head, _, body = sealed.rpartition(".")
    position %= len(body)
    other = ALPHABET[(ALPHABET.index(body[position]) + shift) % 64]
    changed = f"{head}.{body[:position]}{other}{body[position + 1 :]}"
    if decode(changed.rpartition(".")[2]) == decode(body):
        return  # the unused bits of the last character
    with pytest.raises(SealBrokenError):
        RING.open(changed, use="test", owner="row")


@pytest.mark.parametrize(
    "broken",
    ["", ".", "..", "v1", "v1.", f"v1.{key_id(OLD)}", f"v1.{key_id(OLD)}.", f"v1.{key_id(OLD)}.AAAA", "v1.xxxx.AAAA"]
    + [f"v2.{key_id(OLD)}.AAAA", f"v1.{key_id(OLD)}.!!!!", f"v1.{key_id(OLD)}.ü", "ü", "\x00"],
)
def test_what_was_never_sealed_is_refused_in_the_one_way(broken: str) -> None:
    """Callers handle SealBrokenError and nothing else."""
    with pytest.raises(SealBrokenError):
        RING.open(broken, use="test", owner="row")


@given(st.text(max_size=80))
def test_no_text_makes_opening_fail_in_another_way(text: str) -> None:
    """Client ids arrive from anybody."""
    with pytest.raises(SealBrokenError):
        RING.open(text, use="test", owner="row")
    with pytest.raises(SealBrokenError):
        RING.open_name(text, use="test")


@pytest.mark.parametrize(
    "change",
    [
        lambda sealed: "v2" + sealed.removeprefix("v1"),
        lambda sealed: sealed.removeprefix("v1."),
        lambda sealed: sealed[:20] + "!!!!" + sealed[20:],
        lambda sealed: sealed[:20] + "\n" + sealed[20:],
        lambda sealed: sealed + ".",
        lambda sealed: sealed + " ",
        lambda sealed: sealed.replace(f"{key_id(OLD)}.", f"{key_id(OLD)}..", 1),
    ],
    ids=["another version", "no version", "signs", "a line", "a dot", "a blank", "two dots"],
)
def test_a_sealed_value_is_written_in_one_way_only(change: Callable[[str], str]) -> None:
    """TC-180: what was not written here is not read, though the same bytes could be found in it."""
    sealed = RING.seal(b"secret", use="test", owner="row")
    with pytest.raises(SealBrokenError):
        RING.open(change(sealed), use="test", owner="row")


def test_what_an_earlier_version_sealed_opens_in_every_later_one() -> None:
    """Contract §3, §8: an update must not lose what is kept, nor an id or a secret that a client holds."""
    sealed = "v1.xjWn0w.ak3dhx7MRncw1y0zbOEhgE_f74APcdA-1_LJEGgSrI6yDg"
    assert RING.open(sealed, use="test", owner="row") == b"secret"
    name = "xjWn00PoAoRbwwIUzYY-ycQ_kBZSB81s-I_3W49ZyRCFp1A"
    assert RING.open_name(name, use="test") == (b"client metadata", "xjWn0w")
    assert RING.seal_name(b"client metadata", use="test") == name
    assert RING.mac("data", use="test") == "tkksXsBy3wph9-n7jdO4oJGiKJxyzEHR"
    again = "8n922g66cXCBV6aeCRJ_YsPo-vRwhU3v-HEk1O_JAHc"
    assert open_with(SECRET, again, use="test") == b"pair"


def test_what_is_sealed_says_which_key_opens_it() -> None:
    """Contract §8, ASVS 11.2.2: so that an operator knows when a key can be taken out."""
    assert ROTATED.seal(b"secret", use="test", owner="row").startswith(sealed_prefix(key_id(NEW)))
    assert name_key_id(ROTATED.seal_name(b"client", use="test")) == key_id(NEW)


def test_a_key_that_is_known_costs_no_look_for_others() -> None:
    """Contract §8: the file of the keys is not looked at whenever something is opened."""
    sealed = RING.seal(b"secret", use="test", owner="row")
    name, mac = RING.seal_name(b"client", use="test"), RING.mac("data", use="test")

    def look() -> Sequence[bytes] | None:
        raise AssertionError("nobody needs to know")

    ring = KeyRing([NEW, OLD], look)
    assert ring.open(sealed, use="test", owner="row") == b"secret"
    assert ring.open_name(name, use="test")[0] == b"client"
    assert ring.made("data", mac, use="test")


def test_a_rotated_ring_opens_the_old_and_seals_with_the_new() -> None:
    """Contract §8: key ring rotation."""
    old = RING.seal(b"secret", use="test", owner="row")
    assert ROTATED.open(old, use="test", owner="row") == b"secret"
    new = ROTATED.seal(b"secret", use="test", owner="row")
    with pytest.raises(SealBrokenError):
        RING.open(new, use="test", owner="row")
    assert new.split(".")[1] == key_id(NEW)


def test_another_installations_ring_opens_nothing() -> None:
    """Contract §3: sealed ids are authenticated with the server's own keys."""
    foreign = KeyRing([FOREIGN])
    with pytest.raises(SealBrokenError):
        foreign.open(RING.seal(b"secret", use="test", owner="row"), use="test", owner="row")
    with pytest.raises(SealBrokenError):
        foreign.open_name(RING.seal_name(b"secret", use="test"), use="test")


@given(st.binary(max_size=400))
def test_the_same_bytes_give_the_same_name(plain: bytes) -> None:
    """Contract §3: identical public metadata gives the identical client id."""
    name = RING.seal_name(plain, use="test")
    assert name == KeyRing([OLD]).seal_name(plain, use="test")
    assert RING.open_name(name, use="test") == (plain, key_id(OLD))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", name)


def test_a_name_stays_readable_when_the_ring_rotates_and_says_which_key_made_it() -> None:
    """Contract §3: ids stay readable when the key ring rotates."""
    assert ROTATED.open_name(RING.seal_name(b"client", use="test"), use="test") == (b"client", key_id(OLD))
    assert ROTATED.open_name(ROTATED.seal_name(b"client", use="test"), use="test") == (b"client", key_id(NEW))


@given(st.integers(min_value=0), st.sampled_from("AQgw-_09"))
def test_a_name_with_one_character_changed_is_no_name(position: int, other: str) -> None:
    """Contract §3: also the unused bits of the last character must be as they were made."""
    name = RING.seal_name(b"client metadata", use="test")
    position %= len(name)
    changed = name[:position] + other + name[position + 1 :]
    if changed == name:
        return
    with pytest.raises(SealBrokenError):
        RING.open_name(changed, use="test")


@pytest.mark.parametrize("plain", [b"", b"1", b"12", b"123"])
def test_a_name_is_written_in_one_way_only(plain: bytes) -> None:
    """Contract §3: one client has one id, so the unused bits of the last character count too."""
    name = RING.seal_name(plain, use="test")
    same_bytes = [name[:-1] + last for last in ALPHABET if decode(name[:-1] + last) == decode(name)]
    assert name in same_bytes
    for other in {*same_bytes, name + "=", name + "=="} - {name}:
        with pytest.raises(SealBrokenError):
            RING.open_name(other, use="test")


def test_a_name_opens_only_for_its_own_use() -> None:
    """Each use has a key of its own."""
    with pytest.raises(SealBrokenError):
        RING.open_name(RING.seal_name(b"client", use="client_id"), use="another")


def test_a_mac_depends_on_the_data_the_use_and_the_key() -> None:
    """Contract §3: a confidential client's secret is derived by a keyed function."""
    macs = {
        RING.mac("data", use="test"),
        RING.mac("other", use="test"),
        RING.mac("data", use="other"),
        KeyRing([NEW]).mac("data", use="test"),
    }
    assert len(macs) == 4
    assert RING.mac("data", use="test") == RING.mac("data", use="test")


def test_a_mac_of_an_old_key_is_still_recognised_and_can_still_be_made() -> None:
    """Contract §3: rotation; a confidential client keeps its secret."""
    mac = RING.mac("data", use="test")
    assert ROTATED.made("data", mac, use="test")
    assert ROTATED.mac("data", use="test") != mac
    assert ROTATED.mac("data", use="test", ring_id=key_id(OLD)) == mac
    assert not RING.made("data", ROTATED.mac("data", use="test"), use="test")
    assert not RING.made("data", "", use="test")


@pytest.mark.parametrize("keys", [[], [b""], [b"x" * 31], [b"x" * 33], [b"x" * 32, b"short"]])
def test_a_ring_needs_keys_of_32_bytes(keys: list[bytes]) -> None:
    """AES-256."""
    with pytest.raises(ValueError, match="32 bytes"):
        KeyRing(keys)


def test_the_ring_never_shows_its_keys() -> None:
    """Contract §2: nothing secret in a log line; a repr ends up in one."""
    shown = repr(ROTATED)
    assert key_id(NEW) in shown
    assert key_id(OLD) in shown
    for key in (OLD, NEW):
        assert encode(key) not in shown
        assert key.decode() not in shown
        assert key.hex() not in shown


@given(st.binary(max_size=100))
def test_base64url_without_padding_goes_there_and_back(raw: bytes) -> None:
    """RFC 4648 §5."""
    assert decode(encode(raw)) == raw
    assert "=" not in encode(raw)


@pytest.mark.parametrize(("raw", "text"), [(b"\x001", "ADE"), (b"\x00\x001", "AAAx"), (b"\xc7\x1c\x71", "xxxx")])
def test_only_the_padding_is_left_out_of_base64url(raw: bytes, text: str) -> None:
    """RFC 4648 §5: whatever the last character is."""
    assert encode(raw) == text


@given(st.binary(max_size=400))
def test_what_is_sealed_with_a_secret_opens_with_it(plain: bytes) -> None:
    """Contract §6: the successor pair is kept under a key derived from the presented token."""
    sealed = seal_with(SECRET, plain, use="test")
    assert open_with(SECRET, sealed, use="test") == plain
    assert sealed != seal_with(SECRET, plain, use="test")


@pytest.mark.parametrize(("secret", "use"), [(SECRET + "x", "test"), (SECRET, "other")])
def test_nothing_else_opens_it(secret: str, use: str) -> None:
    """Contract §6: a stolen database does not show the pair."""
    with pytest.raises(SealBrokenError):
        open_with(secret, seal_with(SECRET, b"pair", use="test"), use=use)


@given(st.text(max_size=80))
def test_no_text_makes_opening_with_a_secret_fail_in_another_way(text: str) -> None:
    """A row may have been damaged."""
    with pytest.raises(SealBrokenError):
        open_with(SECRET, text, use="test")


def test_a_mac_that_is_no_ascii_is_just_none_of_ours() -> None:
    """Ours: whatever comes from outside can be compared."""
    assert not KeyRing([b"k" * 32]).made("data", "é", use="test")


def test_long_texts_of_strangers_are_not_kept_once_they_are_judged() -> None:
    """Ours: a cookie comes back at every step, but what anybody sends at length takes no memory afterwards."""
    tracemalloc.start()
    try:
        for number in range(200):
            assert not RING.made(f"{number:0>10000}", "no mac", use="test")
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
