"""Scopes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.protocol import scope

BOTH = "mcp:read mcp:write"
WORDS = st.lists(st.sampled_from(["mcp:read", "mcp:write", "openid", "offline_access", "", "mcp:admin"]), max_size=5)


@pytest.mark.parametrize(
    ("asked", "given_"),
    [
        (None, BOTH),
        ("", BOTH),
        (" ", BOTH),
        ("mcp:read", "mcp:read"),
        ("mcp:write", "mcp:write"),
        ("mcp:write mcp:read", BOTH),
        ("mcp:read mcp:read", "mcp:read"),
        ("openid email profile", BOTH),
        ("offline_access", BOTH),
        ("mcp:read offline_access", "mcp:read"),
        ("openid mcp:read", "mcp:read"),
        ("MCP:READ", BOTH),
        ("mcp:read,mcp:write", BOTH),
        ("mcp:read\tmcp:write", BOTH),
        ("mcp:*", BOTH),
    ],
)
def test_unknown_scopes_are_dropped_and_nothing_left_means_the_default(asked: str | None, given_: str) -> None:
    """Contract §4."""
    assert scope.granted(asked) == given_


@pytest.mark.parametrize(
    ("asked", "grant", "given_"),
    [
        (None, "mcp:read", "mcp:read"),
        ("", BOTH, BOTH),
        ("mcp:read", BOTH, "mcp:read"),
        ("mcp:write", BOTH, "mcp:write"),
        ("mcp:write mcp:read", BOTH, BOTH),
        ("mcp:read", "mcp:write", "mcp:read"),
        ("mcp:write", "mcp:read", None),
        (BOTH, "mcp:read", None),
        ("openid", "mcp:read", "mcp:read"),
        ("mcp:read openid", "mcp:read", "mcp:read"),
    ],
)
def test_a_refresh_may_narrow_the_scope_and_never_widen_it(asked: str | None, grant: str, given_: str | None) -> None:
    """RFC 6749 §6."""
    assert scope.narrowed(asked, grant) == given_


@pytest.mark.parametrize(
    ("held", "needed", "allowed"),
    [
        ("mcp:read", "mcp:read", True),
        ("mcp:read", "mcp:write", False),
        ("mcp:write", "mcp:write", True),
        ("mcp:write", "mcp:read", True),
        (BOTH, "mcp:write", True),
        ("", "mcp:read", False),
        ("mcp:readwrite", "mcp:read", False),
        ("mcp:write", "mcp:admin", False),
    ],
)
def test_write_implies_read_and_not_the_other_way_round(held: str, needed: str, *, allowed: bool) -> None:
    """Contract §4."""
    assert scope.allows(held, needed) is allowed


@given(WORDS)
def test_what_is_granted_is_supported_in_one_order_and_never_empty(words: list[str]) -> None:
    """Contract §4: the token response always names what was granted."""
    granted = scope.granted(" ".join(words)).split(" ")
    assert granted
    assert granted == [word for word in scope.SUPPORTED if word in granted]


@given(WORDS, st.sampled_from(["mcp:read", "mcp:write", BOTH]))
def test_narrowing_never_gives_more_than_was_granted(words: list[str], grant: str) -> None:
    """RFC 6749 §6."""
    narrowed = scope.narrowed(" ".join(words), grant)
    assert narrowed is None or all(scope.allows(grant, word) for word in narrowed.split(" "))


@pytest.mark.parametrize(
    ("granted", "limit", "left"),
    [
        (BOTH, "", BOTH),
        (BOTH, BOTH, BOTH),
        (BOTH, "mcp:read", "mcp:read"),
        (BOTH, "mcp:write", BOTH),
        ("mcp:read", BOTH, "mcp:read"),
        ("mcp:write", "", "mcp:write"),
        ("mcp:write", "mcp:read", "mcp:read"),
    ],
)
def test_a_limit_takes_away_what_it_does_not_allow_and_leaves_reading(granted: str, limit: str, left: str) -> None:
    """Contract §3: an administrator can limit a client; no limit leaves everything, and write implies read."""
    assert scope.limited(granted, limit) == left


def test_every_scope_is_said_in_words() -> None:
    """Contract §5: requested scopes in words."""
    assert set(scope.IN_WORDS) == set(scope.SUPPORTED)
    assert scope.OFFLINE_ACCESS not in scope.SUPPORTED


def test_the_words_are_those_of_the_contract() -> None:
    """Contract §4; OpenID Connect Core §11 for the one that is listed only."""
    assert (scope.SUPPORTED, scope.DEFAULT, scope.OFFLINE_ACCESS) == (("mcp:read", "mcp:write"), BOTH, "offline_access")


@pytest.mark.parametrize(
    ("word", "is_one"),
    [
        ("a", True),
        ("!", True),
        ("https://as.example/notes.read", True),
        ("<&>'", True),
        ("x" * 256, True),
        ("", False),
        ("a b", False),
        ('a"', False),
        ("a\\", False),
        ("ü", False),
        ("a\n", False),
        ("x" * 257, False),
    ],
)
def test_a_scope_is_visible_ascii(word: str, is_one: bool) -> None:
    """RFC 6749 §3.3."""
    assert scope.is_scope(word) is is_one
