"""Discovery as a client: challenges (RFC 9110 §11.2), where documents are looked for, and what in them counts."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bifrost.protocol import oauth, pkce
from bifrost.protocol.metadata import AUTHORIZATION_SERVER, OPENID_CONFIGURATION, PROTECTED_RESOURCE

_SPLIT = re.compile(r"(?P<origin>https?://[^/?#]+)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?")
_PARAMETER = re.compile(r'(?<![A-Za-z_])([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
"""From the beginning of a word: looked for from each of its letters, a long one would take for ever."""

MAX_CHARACTERS = 2_048
"""Of any member: it may come to stand in a URL, or in a sentence for an administrator."""


class MetadataError(Exception):
    """A document that cannot be used, in words for the administrator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedResource:
    """RFC 9728 §2, as much as a client needs."""

    resource: str
    authorization_servers: tuple[str, ...]
    scopes_supported: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    """RFC 8414 §2, as much as a client needs."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    pushed_authorization_endpoint: str | None = None
    """Given only where authorization requests have to be pushed (RFC 9126 §5)."""

    scopes_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods: tuple[str, ...] = (oauth.CLIENT_SECRET_BASIC,)
    signing_algorithms: tuple[str, ...] = ()
    """With which a client may sign; empty when it does not say."""
    iss_in_responses: bool = False
    client_id_metadata_documents: bool = False

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every address in it that a browser or this gateway is going to open."""
        optional = (self.registration_endpoint, self.pushed_authorization_endpoint)
        return (self.authorization_endpoint, self.token_endpoint, *(url for url in optional if url))


def bearer_parameters(challenges: Iterable[str]) -> dict[str, str]:
    """The parameters of the Bearer challenge, empty when there is none."""
    for challenge in challenges:
        found = re.search(r"(?:^|,)\s*bearer\s+", challenge, re.IGNORECASE)
        if found:
            pairs = _PARAMETER.findall(challenge[found.end() :])
            return {name.lower(): quoted or plain for name, quoted, plain in pairs}
    return {}


def protected_resource_urls(upstream: str) -> list[str]:
    """RFC 9728 §3.1, after the one that a challenge names: the path form, then the root."""
    origin, path = _origin_and_path(upstream)
    inserted = [f"{origin}{PROTECTED_RESOURCE}{path}"] if path else []
    return [*inserted, f"{origin}{PROTECTED_RESOURCE}"]


def authorization_server_urls(issuer: str) -> list[str]:
    """RFC 8414 §3.1 and OpenID Connect Discovery §4, in the order that MCP gives."""
    origin, path = _origin_and_path(issuer)
    if not path:
        return [f"{origin}{AUTHORIZATION_SERVER}", f"{origin}{OPENID_CONFIGURATION}"]
    return [
        f"{origin}{AUTHORIZATION_SERVER}{path}",
        f"{origin}{OPENID_CONFIGURATION}{path}",
        f"{origin}{path}{OPENID_CONFIGURATION}",
    ]


def default_server(upstream: str) -> AuthorizationServer:
    """2025-03-26: without any metadata the endpoints stand at fixed paths of the upstream's origin."""
    origin, _ = _origin_and_path(upstream)
    return AuthorizationServer(
        issuer=origin,
        authorization_endpoint=f"{origin}/authorize",
        token_endpoint=f"{origin}/token",
        registration_endpoint=f"{origin}/register",
        token_endpoint_auth_methods=(oauth.NONE, oauth.CLIENT_SECRET_POST),
    )


def origin_of(url: str) -> str:
    return _origin_and_path(url)[0]


def read_protected_resource(document: Any, upstream: str) -> ProtectedResource:
    """RFC 9728 §3.3: the document is about the upstream itself, or about something that contains it."""
    resource = _text(document, "resource")
    if resource is None or not _covers(resource, upstream):
        raise MetadataError("the resource metadata names another resource than this server")
    servers = _texts(document, "authorization_servers")
    if not servers:
        raise MetadataError("the resource metadata names no authorization server")
    return ProtectedResource(
        resource=resource, authorization_servers=servers, scopes_supported=_texts(document, "scopes_supported")
    )


def read_authorization_server(
    document: Any, issuer: str, *, loose_issuer: bool = False, announces_pkce: bool = True
) -> AuthorizationServer:
    """RFC 8414 §3.3: the issuer is the one the document was fetched for, byte for byte.

    `loose_issuer` lets one slash at the end differ; the document's own spelling counts from then on.
    """
    named = _text(document, "issuer")
    if named is not None and loose_issuer and named.rstrip("/") == issuer.rstrip("/"):
        issuer = named
    if named != issuer:
        raise MetadataError("the authorization server metadata names another issuer than the one it was fetched for")
    authorize, token = _text(document, "authorization_endpoint"), _text(document, "token_endpoint")
    if authorize is None or token is None:
        raise MetadataError("the authorization server metadata lacks an endpoint")
    methods = _texts(document, "code_challenge_methods_supported")
    if pkce.METHOD not in methods and (methods or announces_pkce):
        raise MetadataError("the authorization server does not say that it supports PKCE with S256")
    pushed = _text(document, "pushed_authorization_request_endpoint")
    must_push = document.get("require_pushed_authorization_requests") is True
    if must_push and pushed is None:
        raise MetadataError("the authorization server wants pushed authorization requests and does not say where")
    return AuthorizationServer(
        issuer=issuer,
        authorization_endpoint=authorize,
        token_endpoint=token,
        pushed_authorization_endpoint=pushed if must_push else None,
        registration_endpoint=_text(document, "registration_endpoint"),
        revocation_endpoint=_text(document, "revocation_endpoint"),
        scopes_supported=_texts(document, "scopes_supported"),
        token_endpoint_auth_methods=_texts(document, "token_endpoint_auth_methods_supported")
        or (oauth.CLIENT_SECRET_BASIC,),
        signing_algorithms=_texts(document, "token_endpoint_auth_signing_alg_values_supported"),
        iss_in_responses=document.get("authorization_response_iss_parameter_supported") is True,
        client_id_metadata_documents=document.get("client_id_metadata_document_supported") is True,
    )


def _covers(resource: str, upstream: str) -> bool:
    """The same origin, and a path that the upstream's path begins with."""
    match = _SPLIT.fullmatch(resource)
    if match is None or match["origin"].lower() != origin_of(upstream).lower():
        return False
    own = (match["path"] or "").rstrip("/")
    path = _origin_and_path(upstream)[1]
    return path == own or path.startswith(f"{own}/")


def _origin_and_path(url: str) -> tuple[str, str]:
    match = _SPLIT.fullmatch(url)
    if match is None:
        raise MetadataError("an address in the metadata is not a URL")
    return match["origin"], (match["path"] or "").rstrip("/")


def _text(document: Any, name: str) -> str | None:
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, str) and 0 < len(value) <= MAX_CHARACTERS else None


def _texts(document: Any, name: str) -> tuple[str, ...]:
    value = document.get(name) if isinstance(document, dict) else None
    texts = value if isinstance(value, list) else []
    return tuple(item for item in texts if isinstance(item, str) and len(item) <= MAX_CHARACTERS)
