"""Virtual keys: their form, and that only a hash is kept."""

from dataclasses import dataclass, field, replace

import pytest

from bifrost.base.ids import hash_secret
from bifrost.governance.errors import UnknownVirtualKey, UnknownVirtualMcp, VirtualKeyTaken, WeakVirtualKey
from bifrost.governance.models import McpConfig, VirtualKey, VirtualMcp
from bifrost.governance.virtual_keys import NewVirtualKey, VirtualKeys, check_value, looks_like_virtual_key
from tests.support.clock import FakeClock

VALUE = "sk-bf-" + "a" * 27


@dataclass
class Kept:
    """What the store would hold."""

    keys: dict[str, VirtualKey] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    known_virtual_mcps: tuple[VirtualMcp, ...] = ()

    async def add_virtual_key(self, key: VirtualKey, value_hash: str, config_mac: str) -> bool:
        taken = any(key.id == kept.id or key.name == kept.name for kept in self.keys.values())
        if taken or value_hash in self.keys:
            return False
        self.keys[value_hash] = key
        self.macs[key.name] = config_mac
        return True

    async def reconfigure_virtual_key(self, key: VirtualKey, value_hash: str, config_mac: str) -> bool:
        if self.macs.get(key.name, "") in ("", config_mac):
            return False
        self.keys = {kept_hash: kept for kept_hash, kept in self.keys.items() if kept.name != key.name}
        self.keys[value_hash] = key
        return True

    async def virtual_key_by_hash(self, value_hash: str) -> VirtualKey | None:
        self.asked.append(value_hash)
        return self.keys.get(value_hash)

    async def virtual_key(self, key_id: str) -> VirtualKey | None:
        return next((key for key in self.keys.values() if key.id == key_id), None)

    async def find_virtual_key(self, id_or_name: str) -> VirtualKey | None:
        return next((key for key in self.keys.values() if id_or_name in (key.id, key.name)), None)

    async def virtual_keys(self) -> list[VirtualKey]:
        return list(self.keys.values())

    async def deactivate_virtual_key(self, key_id: str, now: int) -> bool:
        for value_hash, key in self.keys.items():
            if key.id == key_id and key.is_active:
                self.keys[value_hash] = replace(key, is_active=False, updated_at=now)
                return True
        return False

    async def virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        return self.known_virtual_mcps

    async def stored_virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        return self.known_virtual_mcps


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def keys(kept: Kept, clock: FakeClock) -> VirtualKeys:
    return VirtualKeys(kept, clock)


@pytest.mark.parametrize("value", [VALUE, "sk-bf-" + "aZ09-_" * 6, "sk-bf-" + "a" * 250])
def test_a_key_of_the_right_form_is_accepted(value: str) -> None:
    """Contract §10: keys may come from the configuration; 27 characters of base64url are 160 bits."""
    check_value(value, "Ann")


@pytest.mark.parametrize(
    "value",
    ["", "sk-bf-", "sk-bf-" + "a" * 26, "sk-bf-" + "a" * 251, "sk-" + "a" * 40, "SK-BF-" + "a" * 40, "a" * 40]
    + [
        VALUE + "\n",
        VALUE + " ",
        " " + VALUE,
        VALUE + "!",
        VALUE + "ü",
        "Bearer " + VALUE,
        "sk-bf-" + "a" * 20 + "=" * 8,
    ],
)
def test_a_key_that_could_be_guessed_or_is_none_is_refused_without_being_shown(value: str) -> None:
    """Contract §6: at least 160 random bits."""
    with pytest.raises(WeakVirtualKey) as caught:
        check_value(value, "Ann")
    assert caught.value.param == "value"
    assert "Ann" in caught.value.message, "which key it is"
    assert len(value) < 20 or value not in caught.value.message


@pytest.mark.parametrize(
    ("value", "looks"), [(VALUE, True), ("sk-bf-", True), ("bfat_x", False), ("", False), ("SK-BF-x", False)]
)
def test_a_virtual_key_is_told_from_an_access_token_by_its_prefix(value: str, *, looks: bool) -> None:
    """Contract §7."""
    assert looks_like_virtual_key(value) is looks


@pytest.mark.anyio
async def test_a_new_key_is_shown_once_and_kept_as_a_hash(keys: VirtualKeys, kept: Kept, clock: FakeClock) -> None:
    """Contract §9: the value is shown once."""
    key, value = await keys.create(NewVirtualKey(name="Ann"))
    check_value(value, "Ann")
    assert list(kept.keys) == [hash_secret(value)]
    assert value not in repr(kept.keys)
    assert value.startswith(key.value_hint.removesuffix("…"))
    assert len(key.value_hint) <= 11
    assert (key.is_active, key.created_at) == (True, clock.now())
    assert key.id.startswith("vk_")


@pytest.mark.anyio
async def test_a_value_that_was_chosen_is_used_and_a_weak_one_is_not(keys: VirtualKeys) -> None:
    """Contract §10."""
    _, value = await keys.create(NewVirtualKey(name="Ann", id="vk-ann", value=VALUE))
    assert value == VALUE
    with pytest.raises(WeakVirtualKey):
        await keys.create(NewVirtualKey(name="Ben", value="sk-bf-short"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "second",
    [
        NewVirtualKey(name="Ann"),
        NewVirtualKey(name="Ben", id="vk-ann"),
        NewVirtualKey(name="Ben", value=VALUE),
    ],
    ids=["name", "id", "value"],
)
async def test_a_name_an_id_and_a_value_belong_to_one_key(keys: VirtualKeys, second: NewVirtualKey) -> None:
    """Contract §2: 409."""
    await keys.create(NewVirtualKey(name="Ann", id="vk-ann", value=VALUE))
    with pytest.raises(VirtualKeyTaken) as caught:
        await keys.create(second)
    assert VALUE not in caught.value.message


@pytest.mark.anyio
async def test_a_presented_key_is_found_by_its_hash(keys: VirtualKeys, kept: Kept) -> None:
    """Contract §5: checked against a hash; the look-up's time tells nothing about a stored value."""
    created, value = await keys.create(NewVirtualKey(name="Ann"))
    assert await keys.presented(value) == created
    assert await keys.presented("sk-bf-" + "b" * 40) is None
    assert value not in kept.asked


@pytest.mark.anyio
@pytest.mark.parametrize("value", ["", "sk-bf-", "x" * 10_000, "sk-bf-" + "ü" * 30])
async def test_what_cannot_be_a_key_is_not_even_looked_up(keys: VirtualKeys, kept: Kept, value: str) -> None:
    """Nothing of an attacker's shape reaches the storage."""
    assert await keys.presented(value) is None
    assert kept.asked == []


@pytest.mark.anyio
@pytest.mark.parametrize("by", ["vk-ann", "Ann"])
async def test_a_key_is_revoked_by_its_id_or_its_name(keys: VirtualKeys, clock: FakeClock, by: str) -> None:
    """Contract §11: bifrost keys revoke."""
    await keys.create(NewVirtualKey(name="Ann", id="vk-ann", value=VALUE))
    await keys.revoke(by)
    found = await keys.presented(VALUE)
    assert found is not None
    assert found.refusal(clock.now()) is not None
    await keys.revoke(by)


@pytest.mark.anyio
async def test_a_key_that_is_not_there_cannot_be_revoked(keys: VirtualKeys) -> None:
    """Contract §11: refused with one sentence."""
    with pytest.raises(UnknownVirtualKey, match="nobody"):
        await keys.revoke("nobody")


@pytest.mark.anyio
async def test_the_configuration_makes_a_key_once_and_follows_its_own_edits(keys: VirtualKeys, kept: Kept) -> None:
    """Contract §10: config.json creates what does not exist yet; the database wins over it for what was changed."""
    wanted = NewVirtualKey(name="Ann", value=VALUE)
    await keys.configure(wanted, "mac-1")
    await keys.configure(wanted, "mac-1")
    assert list(kept.keys) == [hash_secret(VALUE)]
    edited = "sk-bf-" + "b" * 40
    await keys.configure(replace(wanted, value=edited), "mac-2")
    assert list(kept.keys) == [hash_secret(edited)]
    kept.macs["Ann"] = ""
    await keys.configure(wanted, "mac-3")
    assert list(kept.keys) == [hash_secret(edited)]


@pytest.mark.anyio
async def test_a_weak_key_of_the_configuration_is_refused(keys: VirtualKeys) -> None:
    """Contract §10."""
    with pytest.raises(WeakVirtualKey):
        await keys.configure(NewVirtualKey(name="Ann", value="sk-bf-short"), "mac")


def _virtual_mcp(name: str, upstream: str, *, disabled: bool = False) -> VirtualMcp:
    return VirtualMcp(
        id=f"vmcp_{name}",
        name=name,
        description="",
        endpoint_slug=name,
        mcp_configs=(McpConfig(mcp_client_name=upstream, tools_to_execute=("*",)),),
        disabled=disabled,
        created_at=0,
        updated_at=0,
    )


@pytest.mark.anyio
async def test_a_key_is_confined_to_all_that_is_attached_to_it_and_what_is_gone_holds_nothing(
    keys: VirtualKeys, kept: Kept
) -> None:
    """Contract §7: a filter that cannot be found must not let everything through."""
    one, two, off = (
        _virtual_mcp("one", "notes"),
        _virtual_mcp("two", "tickets"),
        _virtual_mcp("off", "x", disabled=True),
    )
    kept.known_virtual_mcps = (one, two, off)
    for attached, within in {
        (): (),
        ("one",): (one.mcp_configs,),
        ("two", "one"): (one.mcp_configs + two.mcp_configs,),
        ("off",): ((),),
        ("gone",): ((),),
        ("gone", "two"): (two.mcp_configs,),
    }.items():
        if attached and not set(attached) <= {"one", "two", "off"}:
            with pytest.raises(UnknownVirtualMcp):
                await keys.create(NewVirtualKey(name="-".join(attached), virtual_mcps=attached))
        name = "-".join(attached) or "free"
        key, _ = await keys.create(NewVirtualKey(name=name))
        assert await keys.within(replace(key, virtual_mcps=attached)) == within
