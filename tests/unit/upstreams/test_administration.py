"""Nouns of administering upstreams."""

from bifrost.upstreams.administration import Drift, Tool, list_hash

ONE = Tool(name="one", definition="{}", hash="a" * 64)
TWO = Tool(name="two", definition="{}", hash="b" * 64)


def test_the_hash_of_a_list_does_not_depend_on_its_order_but_on_everything_in_it() -> None:
    """Contract §9: drift is visible in one value."""
    assert list_hash((ONE, TWO)) == list_hash((TWO, ONE))
    assert len({list_hash(tools) for tools in ((), (ONE,), (TWO,), (ONE, TWO), (ONE, ONE))}) == 5


def test_a_drift_is_any_difference() -> None:
    """Ours."""
    assert not Drift().any
    assert all(drift.any for drift in (Drift(added=("a",)), Drift(changed=("a",)), Drift(removed=("a",))))
