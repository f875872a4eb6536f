"""`bifrost keys rotate-signing`."""

from tests.unit.cli._commands import Commands


def test_the_next_key_signs_from_now_on(bifrost: Commands) -> None:
    """Contract §6: insisted on, because the keys were made by the command itself a moment ago."""
    first = bifrost.run("keys", "rotate-signing", "--force")
    second = bifrost.run("keys", "rotate-signing", "--force")
    assert (first.code, second.code, first.err, second.err) == (0, 0, "", "")
    assert "signs from now on" in first.out
    assert first.out != second.out


def test_a_key_that_others_may_not_know_yet_is_not_used(bifrost: Commands) -> None:
    """Contract §11: exit 1 and one sentence, which says what to do."""
    assert "--force" in bifrost.run("keys", "rotate-signing").sentence


def test_keys_that_leaked_are_replaced_without_waiting(bifrost: Commands) -> None:
    """Contract §6: both, and what is shown afterwards are two fresh ones."""
    assert bifrost.run("keys", "signing").out.startswith("There are no signing keys")
    bifrost.run("keys", "rotate-signing", "--force")
    before = bifrost.run("keys", "signing").out
    assert sorted(line.split()[2] for line in before.splitlines()) == ["active", "next", "retiring"]
    replaced = bifrost.run("keys", "rotate-signing", "--leaked")
    assert (replaced.code, replaced.err) == (0, "")
    assert "All keys before it are gone." in replaced.out
    after = bifrost.run("keys", "signing").out
    assert sorted(line.split()[2] for line in after.splitlines()) == ["active", "next"]
    assert not {line.split()[0] for line in before.splitlines()} & {line.split()[0] for line in after.splitlines()}


def test_leaked_keys_do_not_wait_for_anybody(bifrost: Commands) -> None:
    """Contract §11: two ways at once are wrong usage."""
    assert bifrost.run("keys", "rotate-signing", "--leaked", "--force").code == 2
