"""Client metadata (RFC 7591 §2): what a registration request asks for, and what of it is accepted."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bifrost.protocol import oauth, redirect_uri
from bifrost.protocol.oauth import OAuthError

MAX_REDIRECT_URIS = 10
MAX_TEXT = 256
MAX_URL = 2_048
_TEXTS = ("client_name", "software_id", "software_version")
_URLS = ("client_uri", "logo_uri", "policy_uri", "tos_uri")
_FLAGS = ("require_pushed_authorization_requests", "dpop_bound_access_tokens")
_NOT_KEPT = {
    "require_signed_request_object": "signed request objects (RFC 9101)",
    "tls_client_certificate_bound_access_tokens": "tokens bound to a certificate (RFC 8705)",
}
"""What a client that asks for it would rely on: such a wish is refused and not passed over like other members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMetadata:
    """The accepted registration; `echoed` are the informative members that are only returned (RFC 7591 §3.2.1)."""

    redirect_uris: tuple[str, ...]
    client_name: str
    grant_types: tuple[str, ...]
    token_endpoint_auth_method: str
    scope: str
    require_pushed_authorization_requests: bool = False
    """RFC 9126 §6."""
    dpop_bound_access_tokens: bool = False
    """RFC 9449 §5.2."""
    echoed: tuple[tuple[str, str | bool], ...] = ()

    def authenticated_by(self, method: str) -> "ClientMetadata":
        return replace(self, token_endpoint_auth_method=method)


def accept(body: Mapping[str, Any], app_schemes: Collection[str]) -> ClientMetadata:
    """Keep what is acceptable, drop what is not, refuse when nothing usable is left. Raises OAuthError.

    Dropping single entries is what RFC 7591 §2 allows and what clients need that register several kinds of redirect
    URIs at once. Unknown members are ignored.
    """
    _refuse_what_is_not_kept(body)
    texts = {name: _text(body, name, MAX_TEXT) for name in _TEXTS}
    urls = {name: _url(body, name) for name in _URLS}
    flags = {name: _flag(body, name) for name in _FLAGS if body.get(name) is not None}
    return ClientMetadata(
        redirect_uris=_redirect_uris(body.get("redirect_uris"), app_schemes),
        client_name=texts.pop("client_name"),
        grant_types=_grant_types(body),
        token_endpoint_auth_method=_auth_method(body),
        scope=_text(body, "scope", MAX_URL),
        **flags,
        echoed=(
            *((name, value) for name, value in (*texts.items(), *urls.items(), _application_type(body)) if value),
            *flags.items(),
        ),
    )


def _refuse_what_is_not_kept(body: Mapping[str, Any]) -> None:
    for name, what in _NOT_KEPT.items():
        if body.get(name) is not None and _flag(body, name):
            raise OAuthError(oauth.INVALID_CLIENT_METADATA, f"{name}: this server does not offer {what}.")


def _redirect_uris(value: object, app_schemes: Collection[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(uri, str) for uri in value):
        raise OAuthError(oauth.INVALID_REDIRECT_URI, "redirect_uris must be a list of at least one string.")
    if len(value) > MAX_REDIRECT_URIS:
        raise OAuthError(oauth.INVALID_REDIRECT_URI, f"At most {MAX_REDIRECT_URIS} redirect_uris can be registered.")
    reasons = {uri: redirect_uri.refusal(uri, app_schemes) for uri in value}
    kept = tuple(uri for uri, reason in reasons.items() if reason is None)
    if not kept:
        raise OAuthError(oauth.INVALID_REDIRECT_URI, f"No redirect URI is acceptable: {next(iter(reasons.values()))}.")
    return kept


def _grant_types(body: Mapping[str, Any]) -> tuple[str, ...]:
    asked = _strings(body, "grant_types", default=oauth.GRANT_TYPES)
    responses = _strings(body, "response_types", default=(oauth.RESPONSE_TYPE,))
    kept = tuple(grant for grant in oauth.GRANT_TYPES if grant in asked)
    if oauth.AUTHORIZATION_CODE not in kept or oauth.RESPONSE_TYPE not in responses:
        raise OAuthError(
            oauth.INVALID_CLIENT_METADATA,
            "This server offers the grant type authorization_code with the response type code.",
        )
    return kept


def _auth_method(body: Mapping[str, Any]) -> str:
    method = _text(body, "token_endpoint_auth_method", MAX_TEXT) or oauth.NONE
    if method not in oauth.AUTH_METHODS:
        raise OAuthError(
            oauth.INVALID_CLIENT_METADATA,
            f"token_endpoint_auth_method must be one of: {', '.join(oauth.AUTH_METHODS)}.",
        )
    return method


def _application_type(body: Mapping[str, Any]) -> tuple[str, str]:
    """A hint only: some clients call themselves `web` and register an application's scheme."""
    kind = _text(body, "application_type", MAX_TEXT)
    return "application_type", kind if kind in ("native", "web") else ""


def _strings(body: Mapping[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise OAuthError(oauth.INVALID_CLIENT_METADATA, f"{name} must be a list of strings.")
    return tuple(value)


def _text(body: Mapping[str, Any], name: str, limit: int) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limit:
        raise OAuthError(oauth.INVALID_CLIENT_METADATA, f"{name} must be a string of at most {limit} characters.")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise OAuthError(oauth.INVALID_CLIENT_METADATA, f"{name} must be true or false.")
    return value


def _url(body: Mapping[str, Any], name: str) -> str:
    value = _text(body, name, MAX_URL)
    if value and not value.startswith(("https://", "http://")):
        raise OAuthError(oauth.INVALID_CLIENT_METADATA, f"{name} must be an https URL.")
    return value
