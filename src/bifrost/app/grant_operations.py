"""The management API's operations on grants issued to clients."""

from bifrost.authserver.endpoints.issued_grants import IssuedGrantEndpoints, ListSessions, SessionList
from bifrost.http.api import Api


def grant_operations(api: Api, grants: IssuedGrantEndpoints) -> None:
    api.route(
        "/api/oauth2/sessions",
        grants.listed,
        "GET",
        operation="oauth_sessions_list",
        summary="Grants issued to clients, the newest first",
        takes=ListSessions,
        gives=SessionList,
    )
    api.route(
        "/api/oauth2/sessions/{id}",
        grants.end,
        "DELETE",
        operation="oauth_sessions_end",
        summary="End a grant: all its tokens are refused within a second",
    )
