"""The vault: everything it seals opens for its own row only."""

from dataclasses import replace

import pytest

from bifrost.base.sealing import KeyRing, SealBrokenError
from bifrost.protocol.upstream_metadata import AuthorizationServer
from bifrost.upstreams.accounts import Credential, Discovered, Owner, Registration, SignIn, TokenSet
from bifrost.upstreams.models import OAuthConfig, Upstream
from bifrost.upstreams.vault import Vault

VAULT = Vault(KeyRing([b"k" * 32]))
UPSTREAM = Upstream(
    id="up_1",
    name="notes",
    endpoint_slug="notes",
    connection_type="http",
    connection_string="http://127.0.0.1/mcp",
    auth_type="headers",
    tools_to_execute=("*",),
    allow_on_all_virtual_keys=True,
    tool_execution_timeout=30,
    disabled=False,
)
ANN = Owner("vk", "vk_ann")
REGISTRATION = Registration(issuer="https://as.example", client_id="c", client_secret="hunter2", auth_method="none")
CREDENTIAL = Credential(
    upstream_id="up_1",
    owner=ANN,
    tokens=TokenSet(access_token="hunter2", refresh_token="hunter3"),
    registration=REGISTRATION,
    token_endpoint="https://as.example/token",
    resource="https://notes.example/mcp",
)
SIGN_IN = SignIn(
    upstream_id="up_1",
    owner=ANN,
    browser_hash="hash",
    return_to="flow:flow_1",
    discovered=Discovered(
        server=AuthorizationServer(
            issuer="https://as.example",
            authorization_endpoint="https://as.example/authorize",
            token_endpoint="https://as.example/token",
        ),
        resource="https://notes.example/mcp",
        scopes=("a",),
    ),
    registration=REGISTRATION,
    code_verifier="hunter4",
    scope="a",
    expires_at=1,
)


def with_headers(headers: dict[str, str], upstream_id: str = "up_1") -> Upstream:
    return replace(UPSTREAM, id=upstream_id, sealed_headers=VAULT.seal_headers("up_1", headers))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"A": "", "B": "ü\t"}])
def test_headers_come_back_as_they_were_sealed(headers: dict[str, str]) -> None:
    """Contract §8."""
    assert VAULT.open_headers(with_headers(headers)) == headers


def test_sealed_headers_do_not_open_for_another_upstream() -> None:
    """Contract §8: the row's owner as associated data; a value copied to another row is worthless."""
    with pytest.raises(SealBrokenError):
        VAULT.open_headers(with_headers({"Authorization": "Bearer x"}, "up_2"))


def test_a_value_sealed_for_another_purpose_does_not_open_as_headers() -> None:
    """Each use has a key of its own."""
    sealed = VAULT.seal_registration("up_1", REGISTRATION)
    with pytest.raises(SealBrokenError):
        VAULT.open_headers(replace(UPSTREAM, sealed_headers=sealed))


def test_an_oauth_config_opens_for_its_own_upstream_only() -> None:
    """Contract §8; an upstream without one has an empty one."""
    sealed = VAULT.seal_oauth_config("up_1", OAuthConfig(client_id="c", client_secret="hunter2"))
    assert VAULT.open_oauth_config(replace(UPSTREAM, sealed_oauth_config=sealed)).client_secret == "hunter2"
    assert VAULT.open_oauth_config(UPSTREAM) == OAuthConfig()
    with pytest.raises(SealBrokenError):
        VAULT.open_oauth_config(replace(UPSTREAM, id="up_2", sealed_oauth_config=sealed))


def test_a_registration_opens_for_its_own_upstream_only() -> None:
    """Contract §8: credentials keyed by issuer."""
    sealed = VAULT.seal_registration("up_1", REGISTRATION)
    assert VAULT.open_registration("up_1", sealed) == REGISTRATION
    with pytest.raises(SealBrokenError):
        VAULT.open_registration("up_2", sealed)


def test_a_sign_in_opens_for_its_own_state_only() -> None:
    """Contract §8: `state` single-use and bound to browser and flow."""
    sealed = VAULT.seal_sign_in("state-hash", SIGN_IN)
    assert VAULT.open_sign_in("state-hash", sealed) == SIGN_IN
    with pytest.raises(SealBrokenError):
        VAULT.open_sign_in("another", sealed)


@pytest.mark.parametrize(
    ("upstream_id", "owner"),
    [
        ("up_2", ANN),
        ("up_1", Owner("vk", "vk_ben")),
        ("up_1", Owner("session", "vk_ann")),
        ("up_1", Owner("flow", "x")),
    ],
)
def test_a_credential_opens_for_its_own_person_and_upstream_only(upstream_id: str, owner: Owner) -> None:
    """Contract §8: a row moved to somebody else gives them nothing."""
    sealed = VAULT.seal_credential(CREDENTIAL)
    assert VAULT.open_credential("up_1", ANN, sealed) == CREDENTIAL
    with pytest.raises(SealBrokenError):
        VAULT.open_credential(upstream_id, owner, sealed)


def test_no_secret_is_shown_sealed_or_opened() -> None:
    """Contract §2: nothing secret in a log line or a database row."""
    sealed = VAULT.seal_credential(CREDENTIAL) + VAULT.seal_sign_in("state-hash", SIGN_IN)
    shown = repr(CREDENTIAL) + repr(SIGN_IN) + repr(REGISTRATION)
    assert "hunter" not in sealed
    assert "hunter" not in shown
