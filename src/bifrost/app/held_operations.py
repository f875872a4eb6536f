"""The management API's operations on credentials that are held for people."""

from bifrost.authserver.endpoints.held import SESSIONS, ConnectLink, HeldEndpoints, HeldSearch, HeldSessions
from bifrost.http.api import Api


def held_operations(api: Api, held: HeldEndpoints) -> None:
    api.route(
        SESSIONS,
        held.page,
        "GET",
        operation="mcp_sessions_list",
        summary="List the credentials that are held for people at upstreams",
        takes=HeldSearch,
        gives=HeldSessions,
    )
    api.route(
        f"{SESSIONS}/{{id}}",
        held.forget,
        "DELETE",
        operation="mcp_session_delete",
        summary="Delete a person's credential; its service is told, if it wants to know",
    )
    api.route(
        f"{SESSIONS}/{{id}}/reauth",
        held.reauth,
        "POST",
        operation="mcp_session_reauth",
        summary="Make a link with which the person connects again",
        gives=ConnectLink,
    )
