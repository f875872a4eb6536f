"""The two discovery documents: authorization server (RFC 8414) and protected resource (RFC 9728).

Members with no value are left out, as both ask.
"""

from typing import Any

from bifrost.protocol import dpop, jws, oauth, pkce, scope

REGISTER = "/api/oauth/per-user/register"
AUTHORIZE = "/api/oauth/per-user/authorize"
TOKEN = "/api/oauth/per-user/token"  # noqa: S105 - a path
REVOKE = "/api/oauth/per-user/revoke"
INTROSPECT = "/api/oauth/per-user/introspect"
PAR = "/api/oauth/per-user/par"
JWKS = "/.well-known/jwks.json"

AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
OPENID_CONFIGURATION = "/.well-known/openid-configuration"
PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"


def authorization_server(issuer: str, *, client_documents: bool, requires_par: bool = False) -> dict[str, Any]:
    """RFC 8414 §2, with RFC 9207 §3 and RFC 9449 §5.1. Every statement is true of this version.

    `client_documents`: whether a client_id may be the address of a metadata document.
    """
    document = {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZE,
        "token_endpoint": issuer + TOKEN,
        "registration_endpoint": issuer + REGISTER,
        "revocation_endpoint": issuer + REVOKE,
        "pushed_authorization_request_endpoint": issuer + PAR,
        **({"require_pushed_authorization_requests": True} if requires_par else {}),
        "jwks_uri": issuer + JWKS,
        "introspection_endpoint": issuer + INTROSPECT,
        "scopes_supported": [*scope.SUPPORTED, scope.OFFLINE_ACCESS],
        "response_types_supported": [oauth.RESPONSE_TYPE],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(oauth.GRANT_TYPES),
        "introspection_endpoint_auth_methods_supported": [oauth.CLIENT_SECRET_BASIC],
        "token_endpoint_auth_methods_supported": list(oauth.ENDPOINT_AUTH_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(jws.ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": list(oauth.ENDPOINT_AUTH_METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": list(jws.ALGORITHMS),
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "code_challenge_methods_supported": [pkce.METHOD],
        "authorization_response_iss_parameter_supported": True,
    }
    return {**document, "client_id_metadata_document_supported": True} if client_documents else document


def protected_resource(resource: str, issuer: str, name: str) -> dict[str, Any]:
    """RFC 9728 §2. `offline_access` is not listed: it is a word for the authorization server alone."""
    return {
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": list(scope.SUPPORTED),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "resource_name": name,
    }


def protected_resource_path(endpoint_path: str) -> str:
    """RFC 9728 §3.1: the well-known part is inserted between host and path."""
    return PROTECTED_RESOURCE + endpoint_path
