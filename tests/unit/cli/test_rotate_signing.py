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
