"""The state of a credential: decided in one place, from what is known without opening it."""

from dataclasses import replace
from typing import Any

import pytest

from bifrost.upstreams.accounts import Basis, Owner, Registration, TokenSet, target_of
from tests.support.upstreams import credential, upstream

OAUTH = upstream(auth_type="per_user_oauth")
HEADERS = upstream(auth_type="per_user_headers", per_user_header_keys=("X-Key", "X-Team"))
SIGN_IN = Basis(target="https://up.example")
VALUES = Basis(kind="headers", header_names=("X-Key", "X-Team"), target="https://up.example")


def _without(basis: Basis, **changes: Any) -> Basis:
    return replace(basis, **changes)


@pytest.mark.parametrize(
    ("basis", "guarded", "state"),
    [
        (SIGN_IN, OAUTH, "active"),
        (VALUES, HEADERS, "active"),
        (_without(VALUES, header_names=("x-team", "x-key")), HEADERS, "active"),
        (_without(VALUES, header_names=("X-Key",)), HEADERS, "needs_update"),
        (_without(VALUES, header_names=("X-Key", "X-Team", "X-More")), HEADERS, "needs_update"),
        (_without(VALUES, header_names=()), HEADERS, "needs_update"),
        (SIGN_IN, HEADERS, "needs_update"),
        (VALUES, OAUTH, "needs_update"),
        (_without(SIGN_IN, lasting="needs_reauth"), OAUTH, "needs_reauth"),
        (_without(VALUES, lasting="needs_reauth", header_names=()), HEADERS, "needs_reauth"),
        (SIGN_IN, replace(OAUTH, connection_string="https://other.example/mcp"), "needs_reauth"),
        (SIGN_IN, replace(OAUTH, connection_string="http://up.example/mcp"), "needs_reauth"),
        (SIGN_IN, replace(OAUTH, connection_string="https://UP.example/v2"), "active"),
        (_without(SIGN_IN, target=""), replace(OAUTH, connection_string="https://other.example/mcp"), "active"),
        (SIGN_IN, replace(OAUTH, disabled=True), "active"),
        (SIGN_IN, replace(OAUTH, auth_type="none"), "orphaned"),
        (SIGN_IN, replace(OAUTH, auth_type="headers"), "orphaned"),
        (SIGN_IN, None, "orphaned"),
    ],
)
def test_the_state_follows_from_the_upstream_of_today(basis: Basis, guarded: Any, state: str) -> None:
    """Contract §8; TC-111: what was given for one origin is not for another."""
    assert basis.state(guarded, may_use=True) == state
    assert basis.state(guarded, may_use=False) == "orphaned"


def test_a_program_has_no_origin() -> None:
    """connection_type stdio."""
    assert target_of(replace(OAUTH, connection_type="stdio", connection_string="")) == ""


def test_nothing_secret_is_in_what_a_log_would_show() -> None:
    """House rule: no secret in a repr."""
    shown = repr(
        credential(
            owner=Owner("vk", "vk-1"),
            tokens=TokenSet(access_token="canary-a", refresh_token="canary-r"),
            registration=Registration(issuer="https://as.example", client_id="us", client_secret="canary-s"),
            headers={"X-Key": "canary-h"},
        )
    )
    assert "canary" not in shown
