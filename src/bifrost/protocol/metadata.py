"""The two discovery documents: authorization server (RFC 8414) and protected resource (RFC 9728).

Members with no value are left out, as both ask.
"""

from typing import Any

from bifrost.protocol import oauth, pkce, scope

REGISTER = "/api/oauth/per-user/register"
AUTHORIZE = "/api/oauth/per-user/authorize"
TOKEN = "/api/oauth/per-user/token"  # noqa: S105 - a path
REVOKE = "/api/oauth/per-user/revoke"
INTROSPECT = "/api/oauth/per-user/introspect"

AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
OPENID_CONFIGURATION = "/.well-known/openid-configuration"
PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"


def authorization_server(issuer: str) -> dict[str, Any]:
    """RFC 8414 §2, with RFC 9207 §3. Every statement is true of this version."""
    return {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZE,
        "token_endpoint": issuer + TOKEN,
        "registration_endpoint": issuer + REGISTER,
        "revocation_endpoint": issuer + REVOKE,
        "introspection_endpoint": issuer + INTROSPECT,
        "scopes_supported": [*scope.SUPPORTED, scope.OFFLINE_ACCESS],
        "response_types_supported": [oauth.RESPONSE_TYPE],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(oauth.GRANT_TYPES),
        "token_endpoint_auth_methods_supported": list(oauth.AUTH_METHODS),
        "revocation_endpoint_auth_methods_supported": list(oauth.AUTH_METHODS),
        "introspection_endpoint_auth_methods_supported": [oauth.CLIENT_SECRET_BASIC],
        "code_challenge_methods_supported": [pkce.METHOD],
        "authorization_response_iss_parameter_supported": True,
    }


def protected_resource(resource: str, issuer: str, name: str) -> dict[str, Any]:
    """RFC 9728 §2. `offline_access` is not listed: it is a word for the authorization server alone."""
    return {
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": list(scope.SUPPORTED),
        "bearer_methods_supported": ["header"],
        "resource_name": name,
    }


def protected_resource_path(endpoint_path: str) -> str:
    """RFC 9728 §3.1: the well-known part is inserted between host and path."""
    return PROTECTED_RESOURCE + endpoint_path
