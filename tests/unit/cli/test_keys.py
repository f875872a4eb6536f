"""`bifrost keys`: create, list and revoke, on the storage that the configuration names."""

import re

import pytest

from bifrost.app import Gateway
from bifrost.base.clock import SECOND, SystemClock
from bifrost.cli import keys
from bifrost.cli.opened import with_gateway
from bifrost.governance.virtual_keys import NewVirtualKey
from bifrost.upstreams.credential_life import HeldQuery
from bifrost.upstreams.models import NewUpstream
from tests.support import upstreams
from tests.unit.cli._commands import KEY, Commands

VALUE = re.compile(r"sk-bf-[A-Za-z0-9_-]{27,}")


def _line(bifrost: Commands, name: str) -> list[str]:
    """The cells of a key's row."""
    ended = bifrost.run("keys", "list")
    assert (ended.code, ended.err) == (0, "")
    assert not VALUE.search(ended.out), "a value is shown once, when it is made"
    (line,) = [line for line in ended.out.splitlines() if name in line]
    return re.split(r"  +", line)


def test_a_key_is_shown_once_and_listed_by_its_beginning(bifrost: Commands) -> None:
    """Contract §9: the value is shown once."""
    made = bifrost.run("keys", "create", "ann")
    assert (made.code, made.err) == (0, "")
    (value,) = VALUE.findall(made.out)
    key_id, name, hint, state, expires, may_use = _line(bifrost, "ann")
    assert (name, hint, state, expires, may_use) == ("ann", f"{value[:10]}…", "active", "never", "-")
    assert key_id in made.out


def test_two_keys_have_different_values(bifrost: Commands) -> None:
    """Contract §6: at least 160 random bits."""
    values = {VALUE.findall(bifrost.run("keys", "create", name).out)[0] for name in ("a", "b", "c")}
    assert len(values) == 3


def test_no_keys_is_said_in_words(bifrost: Commands) -> None:
    """Contract §11."""
    ended = bifrost.run("keys", "list")
    assert ended.code == 0
    assert "bifrost keys create" in ended.out


def test_no_keys_is_said_with_the_storage_that_was_looked_at(bifrost: Commands) -> None:
    """Ours: somebody in the wrong directory sees that it is the wrong one."""
    assert " in data/bifrost.db. " in bifrost.run("keys", "list").out


def test_a_storage_url_with_a_password_is_never_shown(bifrost: Commands) -> None:
    """Ours: no secret in what is printed."""
    config = bifrost.config(storage={"url": "postgresql://bifrost:pass-word@db.example.com/bifrost"})
    assert keys.storage_in_words(config) == "the PostgreSQL database"


@pytest.mark.parametrize(
    ("allowed", "shown"),
    [
        (("docs",), "docs"),
        (("docs:read",), "docs:read"),
        (("docs:read,write", "files"), "docs:read,write, files"),
    ],
)
def test_a_key_may_use_what_it_was_allowed(bifrost: Commands, allowed: tuple[str, ...], shown: str) -> None:
    """Contract §9: `mcp_configs` with `tools_to_execute`."""
    options = [part for name in allowed for part in ("--allow", name)]
    assert bifrost.run("keys", "create", "ann", *options).code == 0
    assert _line(bifrost, "ann")[-1] == shown


def test_a_name_that_no_upstream_has_is_said(bifrost: Commands) -> None:
    """Ours: a slip of the pen is seen at once, and an upstream that is added later needs no new key."""
    config = bifrost.config(mcp={"client_configs": [{"name": "notes", "connection_string": "http://127.0.0.1:1/mcp"}]})
    made = bifrost.run("keys", "create", "ann", "--config", config, "--allow", "notes", "--allow", "notess")
    assert made.code == 0
    assert "no upstream named notess yet" in made.out
    assert "named notes yet" not in made.out


@pytest.mark.parametrize("allowed", ["docs:", ":read", "", "docs:read,,write", "docs:,"])
def test_a_permission_that_is_half_written_gives_nothing(bifrost: Commands, allowed: str) -> None:
    """Contract §7: a filter fails closed; an empty list of tools must not mean all of them."""
    assert bifrost.run("keys", "create", "ann", "--allow", allowed).code == 2
    assert "ann" not in bifrost.run("keys", "list").out


@pytest.mark.parametrize(
    ("lifetime", "seconds"), [("1h", 3_600), ("12h", 43_200), ("30d", 2_592_000), ("8w", 4_838_400)]
)
def test_a_key_expires_when_it_was_told_to(
    bifrost: Commands, monkeypatch: pytest.MonkeyPatch, lifetime: str, seconds: int
) -> None:
    """Contract §7: an expired key is refused, and the list says so."""
    assert bifrost.run("keys", "create", "ann", "--expires-in", lifetime).code == 0
    assert _line(bifrost, "ann")[3] == "active"
    assert _line(bifrost, "ann")[4].endswith(" UTC")

    class Later(SystemClock):
        ahead = 0

        def now(self) -> int:
            return super().now() + self.ahead * SECOND

    monkeypatch.setattr(keys, "SystemClock", Later)
    Later.ahead = seconds - 120
    assert _line(bifrost, "ann")[3] == "active"
    Later.ahead = seconds
    assert _line(bifrost, "ann")[3] == "expired"


@pytest.mark.parametrize("lifetime", ["0d", "-1d", "1", "1m", "d", "1.5d", "1d ", "100000d", ""])
def test_a_lifetime_that_cannot_be_read_is_wrong_usage(bifrost: Commands, lifetime: str) -> None:
    """Contract §11: exit 2, and no key is made that never expires."""
    ended = bifrost.run("keys", "create", "ann", f"--expires-in={lifetime}")
    assert ended.code == 2
    assert "12h, 30d or 8w" in ended.err
    assert "ann" not in bifrost.run("keys", "list").out


def test_a_name_that_is_taken_is_refused(bifrost: Commands) -> None:
    """Contract §11: exit 1 with one sentence."""
    assert bifrost.run("keys", "create", "ann").code == 0
    assert "ann" in bifrost.run("keys", "create", "ann").sentence


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_key_is_revoked_by_name_or_id_and_others_stay(bifrost: Commands, by: str) -> None:
    """Contract §6: deactivating a key; doing it twice is no error."""
    for name in ("ann", "bob"):
        bifrost.run("keys", "create", name)
    key = "ann" if by == "name" else _line(bifrost, "ann")[0]
    for _ in range(2):
        ended = bifrost.run("keys", "revoke", key)
        assert (ended.code, "ann" in ended.out) == (0, True)
    assert _line(bifrost, "ann")[3] == "revoked"
    assert _line(bifrost, "bob")[3] == "active"


def test_a_key_that_does_not_exist_cannot_be_revoked(bifrost: Commands) -> None:
    """Contract §11: exit 1 with one sentence."""
    assert "nobody" in bifrost.run("keys", "revoke", "nobody").sentence


def test_a_database_of_another_key_ring_is_not_touched(bifrost: Commands) -> None:
    """Contract §11: every command that opens the storage makes sure of the keys first."""
    assert bifrost.run("keys", "create", "ann").code == 0
    (bifrost.directory / "data" / "keyring.json").unlink()
    assert "another encryption key" in bifrost.run("keys", "create", "bob").sentence


def test_storage_that_does_not_answer_is_one_sentence(bifrost: Commands) -> None:
    """Contract §11."""
    config = bifrost.config(storage={"url": "postgresql://127.0.0.1:1/nothing"})
    assert "storage" in bifrost.run("keys", "list", "--config", config).sentence


def test_a_revoked_key_loses_its_accounts_at_once(bifrost: Commands) -> None:
    """Contract §8: orphaned at the change itself, also when it is made at the command line."""
    config = bifrost.config()
    wanted = NewUpstream(
        name="notes",
        connection_string="https://up.example/mcp",
        auth_type="per_user_oauth",
        tools_to_execute=("*",),
        allow_on_all_virtual_keys=True,
    )

    async def connected(gateway: Gateway) -> None:
        await gateway.virtual_keys.configure(NewVirtualKey(id="vk-1", name="ann", value=KEY), "mac")
        await gateway.upstreams.configure(wanted, "mac")
        (upstream,) = await gateway.upstreams.all()
        credential = upstreams.credential(upstream_id=upstream.id, target="https://up.example")
        assert await gateway.credentials.store.connected(credential, SystemClock().now())

    async def states(gateway: Gateway) -> list[str]:
        return [held.state for held in (await gateway.life.store.held(HeldQuery()))[0]]

    with_gateway(config, connected)
    assert with_gateway(config, states) == ["active"]
    assert bifrost.run("keys", "revoke", "ann", "--config", config).code == 0
    assert with_gateway(config, states) == ["orphaned"]
