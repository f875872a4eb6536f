"""The registry: what an upstream may look like, and how fresh the list is."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from bifrost.base.sealing import KeyRing
from bifrost.protocol import resource
from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import Change, NewUpstream, Upstream
from bifrost.upstreams.registry import MAX_AGE_MILLISECONDS, Upstreams
from bifrost.upstreams.vault import Vault
from tests.support.clock import FakeClock

VAULT = Vault(KeyRing([b"k" * 32]))
WANTED = NewUpstream(name="notes", connection_string="http://127.0.0.1:8181/mcp")


@dataclass
class Kept:
    """What the store would hold."""

    listed: dict[str, Upstream] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    async def named(self, name: str) -> Upstream | None:
        return self.listed.get(name)

    async def add_upstream(self, upstream: Upstream, config_mac: str, now: int) -> bool:
        if any(upstream.endpoint_slug == other.endpoint_slug for other in self.listed.values()):
            return False
        self.listed[upstream.name], self.macs[upstream.id] = upstream, config_mac
        return True

    async def reconfigure_upstream(self, upstream: Upstream, config_mac: str, change: Change, now: int) -> bool:
        if self.macs[upstream.id] in ("", config_mac):
            return False
        self.listed[upstream.name], self.macs[upstream.id] = upstream, config_mac
        return True

    async def upstreams(self) -> list[Upstream]:
        self.asked += 1
        return list(self.listed.values())


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def upstreams(kept: Kept, clock: FakeClock) -> Upstreams:
    return Upstreams(kept, VAULT, clock)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["notes", "Notes", "NOTES_2", "0", "_notes", "_"])
async def test_every_upstream_that_is_accepted_can_be_addressed_on_its_own(
    upstreams: Upstreams, kept: Kept, name: str
) -> None:
    """Contract §7: `/mcp/{slug}` of a single upstream."""
    try:
        await upstreams.configure(replace(WANTED, name=name), "mac")
    except UpstreamInvalid:
        return
    slug = kept.listed[name].endpoint_slug
    assert resource.endpoint_path(f"http://localhost/mcp/{slug}", ["http://localhost"]) == f"/mcp/{slug}"


@pytest.mark.anyio
async def test_headers_are_kept_sealed_for_their_own_upstream(upstreams: Upstreams, kept: Kept) -> None:
    """Contract §8: vault."""
    await upstreams.configure(replace(WANTED, auth_type="headers", headers={"X-Key": "hunter2"}), "mac")
    (upstream,) = kept.listed.values()
    assert "hunter2" not in upstream.sealed_headers
    assert "sealed_headers" not in repr(upstream)
    assert VAULT.open_headers(upstream) == {"X-Key": "hunter2"}
    assert "hunter2" not in repr(replace(WANTED, auth_type="headers", headers={"X-Key": "hunter2"}))


@pytest.mark.anyio
async def test_an_edit_of_something_else_leaves_its_way_and_with_it_everything_that_is_open_there(
    upstreams: Upstreams, kept: Kept
) -> None:
    """Contract §7: sessions at an upstream are kept when an administrator edits which tools are offered."""
    wanted = replace(WANTED, auth_type="headers", headers={"X-Key": "hunter2"})
    await upstreams.configure(wanted, "mac")
    known = kept.listed["notes"]
    edited, change = upstreams.changed(known, replace(wanted, tools_to_execute=("read",)))
    assert (edited.way, change) == (known.way, "settings")
    other, _ = upstreams.changed(known, replace(wanted, headers={"X-Key": "hunter3"}))
    assert other.way != known.way
    assert VAULT.open_headers(other) == {"X-Key": "hunter3"}
    broken = replace(known, sealed_headers="v1.broken")
    assert VAULT.open_headers(upstreams.changed(broken, wanted)[0]) == {"X-Key": "hunter2"}


@pytest.mark.anyio
async def test_the_configuration_makes_an_upstream_once_and_follows_its_own_edits(
    upstreams: Upstreams, kept: Kept
) -> None:
    """Contract §10: the database wins over the file for what was changed otherwise."""
    await upstreams.configure(WANTED, "mac-1")
    first = kept.listed["notes"]
    await upstreams.configure(replace(WANTED, tool_execution_timeout=5), "mac-2")
    assert kept.listed["notes"].id == first.id
    assert kept.listed["notes"].tool_execution_timeout == 5
    kept.macs[first.id] = ""
    await upstreams.configure(WANTED, "mac-3")
    assert kept.listed["notes"].tool_execution_timeout == 5


@pytest.mark.anyio
async def test_two_upstreams_cannot_have_one_address(upstreams: Upstreams) -> None:
    """Contract §1."""
    await upstreams.configure(WANTED, "mac")
    with pytest.raises(UpstreamInvalid) as caught:
        await upstreams.configure(replace(WANTED, name="other", endpoint_slug="notes"), "mac")
    assert caught.value.param == "endpoint_slug"


@pytest.mark.anyio
async def test_the_list_is_at_most_one_second_old(upstreams: Upstreams, kept: Kept, clock: FakeClock) -> None:
    """Contract §6: a change is felt within 1 s on every replica."""
    assert await upstreams.enabled() == []
    await kept.add_upstream(replace(upstreams.made(WANTED, "up_1")), "mac", clock.now())  # by another process
    clock.advance(seconds=(MAX_AGE_MILLISECONDS - 1) / 1_000)
    assert await upstreams.enabled() == []
    assert kept.asked == 1
    clock.advance(seconds=0.001)
    assert [upstream.name for upstream in await upstreams.enabled()] == ["notes"]


@pytest.mark.anyio
async def test_a_change_of_this_process_is_felt_at_once(upstreams: Upstreams) -> None:
    """Contract §6."""
    assert await upstreams.enabled() == []
    await upstreams.configure(WANTED, "mac")
    assert [upstream.name for upstream in await upstreams.enabled()] == ["notes"]


@pytest.mark.anyio
async def test_a_list_that_was_under_way_when_this_process_changed_something_is_not_kept(
    upstreams: Upstreams, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §6: it may be from before the change, and may come after one that is not."""
    goes_on = asyncio.Event()

    async def slow() -> list[Upstream]:
        found = list(kept.listed.values())
        await goes_on.wait()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(kept, "upstreams", slow)
        before = asyncio.create_task(upstreams.enabled())
        await asyncio.sleep(0)
    await upstreams.configure(WANTED, "mac")
    assert [one.name for one in await upstreams.enabled()] == ["notes"]
    goes_on.set()
    assert await before == []
    assert [one.name for one in await upstreams.enabled()] == ["notes"]


@pytest.mark.anyio
async def test_a_disabled_upstream_is_kept_and_not_offered(upstreams: Upstreams, kept: Kept) -> None:
    """Contract §9."""
    await upstreams.configure(replace(WANTED, disabled=True), "mac")
    assert "notes" in kept.listed
    assert await upstreams.enabled() == []
    assert await upstreams.by_slug("notes") is None


@pytest.mark.anyio
async def test_an_upstream_is_found_by_its_slug(upstreams: Upstreams) -> None:
    """Contract §1."""
    await upstreams.configure(replace(WANTED, name="Notes"), "mac")
    found = await upstreams.by_slug("notes")
    assert found is not None
    assert found.name == "Notes"
    assert await upstreams.by_slug("Notes") is None


@pytest.mark.anyio
async def test_an_upstream_with_a_sign_in_has_an_id_for_it_that_stays(upstreams: Upstreams, kept: Kept) -> None:
    """Contract §9: `oauth_config_id`, under which an administrator follows the sign-in."""
    await upstreams.configure(replace(WANTED, auth_type="per_user_oauth"), "mac-1")
    first = kept.listed["notes"]
    assert first.oauth_config_id.startswith("oac_")
    assert (first.state, first.shown_state) == ("pending_verification", "pending_verification")
    await upstreams.configure(replace(WANTED, auth_type="per_user_oauth", disabled=True), "mac-2")
    again = kept.listed["notes"]
    assert again.oauth_config_id == first.oauth_config_id
    assert again.shown_state == "disabled"
    await upstreams.configure(WANTED, "mac-3")
    plain = kept.listed["notes"]
    assert (plain.oauth_config_id, plain.state) == ("", "disconnected")
