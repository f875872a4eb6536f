"""Client metadata: kept, dropped, refused."""

from typing import Any

import pytest

from bifrost.protocol import client_registration, oauth
from bifrost.protocol.client_registration import ClientMetadata
from bifrost.protocol.oauth import OAuthError
from bifrost.protocol.redirect_uri import APP_SCHEMES

URI = "http://127.0.0.1:33418/callback"


def accept(**members: Any) -> ClientMetadata:
    return client_registration.accept({"redirect_uris": [URI], **members}, APP_SCHEMES)


def refused(**members: Any) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        accept(**members)
    return caught.value


def test_the_smallest_registration_is_a_public_client_of_both_grants() -> None:
    """Contract §3: `none` is the default method."""
    metadata = accept()
    assert metadata.redirect_uris == (URI,)
    assert metadata.token_endpoint_auth_method == "none"
    assert metadata.grant_types == ("authorization_code", "refresh_token")
    assert (metadata.client_name, metadata.scope, metadata.echoed) == ("", "", ())


def test_redirect_uris_that_are_not_acceptable_are_dropped_and_the_rest_is_kept_in_order() -> None:
    """Contract §3: VS Code and its kin register several kinds at once."""
    uris = ["http://evil.example/cb", "vscode://x/y", "javascript:alert(1)", "https://vscode.dev/redirect", URI]
    assert accept(redirect_uris=uris).redirect_uris == ("vscode://x/y", "https://vscode.dev/redirect", URI)


def test_a_redirect_uri_that_is_given_twice_is_kept_once() -> None:
    """Contract §4: it may be left out of a request if exactly one is registered."""
    assert accept(redirect_uris=[URI, URI]).redirect_uris == (URI,)


@pytest.mark.parametrize(
    "uris",
    [None, [], "", URI, {}, [None], [5], [URI, 5], [[URI]], ["http://evil.example/cb"], ["javascript:x", "*"]]
    + [[f"https://a.example/{number}" for number in range(11)]],
)
def test_without_a_redirect_uri_that_is_left_registration_is_refused(uris: Any) -> None:
    """Contract §3: 400 invalid_redirect_uri; at most 10 entries."""
    assert refused(redirect_uris=uris).code == "invalid_redirect_uri"


def test_ten_redirect_uris_are_accepted() -> None:
    """Contract §3."""
    uris = tuple(f"https://a.example/{number}" for number in range(10))
    assert accept(redirect_uris=list(uris)).redirect_uris == uris


def test_redirect_uris_must_be_there() -> None:
    """RFC 7591 §2."""
    with pytest.raises(OAuthError) as caught:
        client_registration.accept({}, APP_SCHEMES)
    assert caught.value.code == "invalid_redirect_uri"


def test_a_scheme_that_the_operator_added_is_accepted() -> None:
    """Contract §3: the list is configurable."""
    metadata = client_registration.accept({"redirect_uris": ["myapp://cb"]}, ["myapp"])
    assert metadata.redirect_uris == ("myapp://cb",)


@pytest.mark.parametrize("method", oauth.AUTH_METHODS)
def test_the_authentication_methods_of_the_contract_are_accepted(method: str) -> None:
    """Contract §3."""
    assert accept(token_endpoint_auth_method=method).token_endpoint_auth_method == method


@pytest.mark.parametrize("method", ["private_key_jwt", "client_secret_jwt", "tls_client_auth", "NONE", 5, ["none"]])
def test_any_other_authentication_method_is_refused(method: Any) -> None:
    """Contract §3; RFC 7591 §3.2.2."""
    assert refused(token_endpoint_auth_method=method).code == "invalid_client_metadata"


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (["authorization_code"], ("authorization_code",)),
        (["refresh_token", "authorization_code"], ("authorization_code", "refresh_token")),
        (["authorization_code", "implicit", "urn:x"], ("authorization_code",)),
        (["authorization_code", "authorization_code"], ("authorization_code",)),
        (None, ("authorization_code", "refresh_token")),
    ],
)
def test_unsupported_grant_types_are_dropped(asked: Any, kept: tuple[str, ...]) -> None:
    """Contract §3."""
    assert accept(grant_types=asked).grant_types == kept


@pytest.mark.parametrize(
    "members",
    [
        {"grant_types": []},
        {"grant_types": ["implicit"]},
        {"grant_types": ["refresh_token"]},
        {"grant_types": ["client_credentials"]},
        {"grant_types": "authorization_code"},
        {"grant_types": [1]},
        {"response_types": ["token"]},
        {"response_types": []},
        {"response_types": "code"},
    ],
)
def test_when_nothing_usable_is_left_registration_is_refused(members: dict[str, Any]) -> None:
    """Contract §3."""
    assert refused(**members).code == "invalid_client_metadata"


def test_a_response_type_besides_code_is_dropped() -> None:
    """Contract §3: an error only when nothing usable is left."""
    assert accept(response_types=["code", "token"]).grant_types


def test_informative_members_are_echoed_and_empty_ones_are_not() -> None:
    """Contract §3: every accepted member echoed, no nulls."""
    members = {
        "client_uri": "https://a.example",
        "logo_uri": "https://a.example/logo.png",
        "policy_uri": None,
        "tos_uri": "",
        "software_id": "s",
        "software_version": "1",
        "application_type": "native",
    }
    metadata = accept(client_name="Name", scope="mcp:read x", **members)
    assert (metadata.client_name, metadata.scope) == ("Name", "mcp:read x")
    assert dict(metadata.echoed) == {name: value for name, value in members.items() if value}


def test_unknown_members_are_ignored() -> None:
    """RFC 7591 §2."""
    assert accept(frontchannel_logout_uri=5, x={"y": [1]}) == accept()


@pytest.mark.parametrize(
    "member", ["client_name", "software_id", "software_version", "client_uri", "logo_uri", "policy_uri", "tos_uri"]
)
@pytest.mark.parametrize("value", [5, ["x"], {"x": 1}, True, "x" * 3_000])
def test_a_member_of_the_wrong_kind_or_size_is_refused_by_name(member: str, value: Any) -> None:
    """RFC 7591 §3.2.2."""
    error = refused(**{member: value})
    assert error.code == "invalid_client_metadata"
    assert member in error.message


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//a.example", "a.example", "ftp://a"])
def test_a_link_that_is_no_web_address_is_refused(url: str) -> None:
    """A link of a page must never run anything."""
    assert refused(client_uri=url).code == "invalid_client_metadata"


def test_a_kind_of_application_that_we_do_not_know_is_not_echoed() -> None:
    """Some clients call themselves `web` and register an application's scheme: it is a hint only."""
    assert dict(accept(application_type="browser").echoed) == {}
    assert dict(accept(application_type="web").echoed) == {"application_type": "web"}


@pytest.mark.parametrize(
    "members", [{"redirect_uris": ['https://a.example/"x"']}, {"redirect_uris": ["x\\y"]}, {"grant_types": ["ü"]}]
)
def test_a_refusal_quotes_nothing_that_an_error_description_may_not_hold(members: dict[str, Any]) -> None:
    """RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E."""
    message = refused(**members).message
    assert all(" " <= character <= "~" and character not in '"\\' for character in message)
