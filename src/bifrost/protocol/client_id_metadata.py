"""Client id metadata documents: a `client_id` that is a URL, and what is read there.

draft-ietf-oauth-client-id-metadata-document (-02), as MCP 2026-07-28 uses it. Ids are compared as plain strings.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bifrost.protocol import client_registration, jws, oauth
from bifrost.protocol.client_registration import ClientMetadata
from bifrost.protocol.jws import Jwk, JwsError
from bifrost.protocol.oauth import OAuthError

MAX_BYTES = 5 * 1_024
"""Draft §8.7 recommends 5 kilobytes."""
MAX_CHARACTERS = 2_048
AUTH_METHODS = (oauth.NONE, oauth.PRIVATE_KEY_JWT)
"""A published document can hold no shared secret (draft §4.1)."""

_NAME = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*"
_LOOPBACK = r"localhost|127\.0\.0\.1|\[::1\]"
_PATH = r"(?P<path>/[^?#\\]*)(?:\?[^#\\]*)?"
_URL = re.compile(rf"https://(?P<host>{_NAME})(?P<port>:[1-9][0-9]{{0,4}})?{_PATH}")
_LOOPBACK_URL = re.compile(rf"https?://(?P<host>{_LOOPBACK})(?P<port>:[1-9][0-9]{{0,4}})?{_PATH}")
_VISIBLE = re.compile(r"[!-~]+")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_JSON = re.compile(r"application/(?:json|[a-z0-9!#$&^_.-]+\+json)")


class DocumentError(Exception):
    """What is wrong with a document, in words that can stand after "the document"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDocument:
    metadata: ClientMetadata
    jwks: tuple[Jwk, ...] = ()
    jwks_uri: str = ""


def looks_like_url(client_id: str) -> bool:
    """Whether it can only be meant as the address of a document."""
    return client_id.startswith(("https://", "http://"))


def host_of(client_id: str, *, loopback: bool) -> str | None:
    """The host that vouches, in lower case; None when the URL may not be a client id (draft §3).

    https with a path; no userinfo, fragment or dot segments; a name, because only a name can be vouched for.
    `loopback` (a server that is itself on loopback only) also lets this machine publish documents.
    """
    match = _URL.fullmatch(client_id) or (loopback and _LOOPBACK_URL.fullmatch(client_id)) or None
    if match is None or len(client_id) > MAX_CHARACTERS or not _VISIBLE.fullmatch(client_id):
        return None
    if _DOT_SEGMENT.search(match["path"]):
        return None
    return f"{match['host'].lower()}{match['port'] or ''}"


def is_json(content_type: str) -> bool:
    """`application/json`, or another type of JSON (`+json`); parameters are ignored."""
    return bool(_JSON.fullmatch(content_type.partition(";")[0].strip().lower()))


def read(document: object, url: str, app_schemes: Collection[str]) -> ClientDocument:
    """Judge a document that was fetched at `url`. Raises DocumentError.

    Its redirect URIs and grants follow the rules of registration: what is not usable here is left out.
    """
    if not isinstance(document, dict):
        raise DocumentError("must be a JSON object")
    if document.get("client_id") != url:
        raise DocumentError("must have its own address as client_id")
    if "client_secret" in document or "client_secret_expires_at" in document:
        raise DocumentError("must not contain a secret")
    if not document.get("client_name"):
        raise DocumentError("must have a client_name")
    method = document.get("token_endpoint_auth_method") or oauth.NONE
    if method not in AUTH_METHODS:
        raise DocumentError(f"must have a token_endpoint_auth_method of: {', '.join(AUTH_METHODS)}")
    try:
        metadata = client_registration.accept({**document, "token_endpoint_auth_method": oauth.NONE}, app_schemes)
        jwks, jwks_uri = keys_of(document)
    except OAuthError as error:
        raise DocumentError(f"is refused: {error.message.rstrip('.')}") from error
    except JwsError as error:
        raise DocumentError(f"is refused: {error}") from error
    if method == oauth.PRIVATE_KEY_JWT and bool(jwks) == bool(jwks_uri):
        raise DocumentError("must have either jwks or jwks_uri for private_key_jwt")
    return ClientDocument(
        metadata=metadata.authenticated_by(method), jwks=jwks, jwks_uri=jwks_uri if method != oauth.NONE else ""
    )


def keys_of(members: Mapping[str, Any]) -> tuple[tuple[Jwk, ...], str]:
    """`jwks` and `jwks_uri` (RFC 7591 §2: one of them). Raises JwsError."""
    jwks, jwks_uri = members.get("jwks"), members.get("jwks_uri") or ""
    if not isinstance(jwks_uri, str) or (jwks_uri and not looks_like_url(jwks_uri)):
        raise JwsError("its jwks_uri must be an https URL")
    if jwks is not None and jwks_uri:
        raise JwsError("it has both jwks and jwks_uri")
    return (jws.public_keys(jwks) if jwks is not None else ()), jwks_uri
