"""Pages in states that a configuration file cannot bring about, made by the same templates with the same headers."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bifrost.authserver.endpoints import views
from bifrost.authserver.models import AuthServerConfig, Client, ClientOrigin, PendingFlow
from bifrost.http.pages import Pages, way_back

ISSUER = "https://mcp.engineering.example"
LONG_URI = f"https://sign-in-{'x' * 55}.callbacks.of-an-application-with-a-long-name.client.example/callback"
STACKED = "Z" + "\u0301\u0302\u0303\u0323" * 12
_CONFIG = AuthServerConfig(
    issuer=ISSUER,
    allow_anonymous=True,
    access_token_seconds=86_400,
    refresh_token_idle_seconds=86_400 * 30,
    refresh_token_absolute_seconds=86_400 * 180,
)
_SESSION: dict[str, Any] = {"session_id": "session_specimen", "csrf": "0"}
_USER = {"kind": "user", "label": "ada@example.org"}


def _service(name: str, description: str, state: str, **asks: Any) -> dict[str, Any]:
    return {
        "upstream_id": name,
        "name": name,
        "description": description,
        "state": state,
        "connectable": state != "ready",
        "connected": state not in ("ready", "not_connected"),
        "connect_url": None if state == "ready" else f"/{name}",
        "host": f"{name.replace('_', '-')}.services.example",
        "sign_in_host": "",
        "scopes": (),
        "header_names": (),
        **asks,
    }


_SERVICES = [
    _service(
        "calendar",
        "Rooms and appointments of the whole office",
        "connected",
        sign_in_host="sign-in.example",
        scopes=("calendar.read", "calendar.write", "offline_access"),
    ),
    _service("issue_tracker", "", "needs_reauth", sign_in_host="issue-tracker.services.example:8443"),
    _service(
        "warehouse",
        "It now asks for other values than those you gave.",
        "needs_update",
        header_names=("X-Api-Key", f"X-{'Very-' * 15}Long-Header-Name"),
    ),
    _service(
        "relationship_archive_of_the_northern_region_",
        "x" * 120,
        "not_connected",
        host=f"{'archive-' * 7}x.of-the-northern-region.services.example",
        sign_in_host=f"sign-in-{'x' * 55}.services.example",
        scopes=tuple(f"https://services.example/{'permission-' * 6}{number}" for number in range(14)),
    ),
    _service("library", "Your own account.", "not_connected"),
    _service("weather", "Shared by everybody here; no account of yours is needed.", "ready"),
]


def _facts(name: str, uri: str, verified_host: str | None, origin: ClientOrigin = "self_registered") -> dict[str, Any]:
    client = Client(
        client_id="c",
        client_name=name,
        redirect_uris=(uri,),
        grant_types=("authorization_code",),
        token_endpoint_auth_method="none",
        verified_host=verified_host,
        origin=origin,
    )
    flow = PendingFlow(
        id="flow_specimen",
        browser_hash="",
        client_id="c",
        redirect_uri=uri,
        state=None,
        code_challenge="",
        scope="mcp:read mcp:write",
        resource="/mcp",
        created_at=0,
        expires_at=0,
    )
    return {**views.request(client, flow, _CONFIG, ISSUER), "csrf": "0", "flow_id": flow.id}


def _identity(**more: Any) -> Response:
    facts = _facts("W" * 64, LONG_URI, None)
    offers = {"virtual_key": True, "skip": True}
    return Pages().page("identity.html", **{**facts, "offers": offers, "error": None, "locked": False, **more})


def _services() -> Response:
    facts = _facts(STACKED, "https://editor.example/callback", "editor.example")
    notice = views.notice("upstream_denied")
    return Pages().page("services.html", **facts, identity=_USER, services=_SERVICES, notice=notice)


def _continue(facts: dict[str, Any], identity: dict[str, str]) -> Response:
    return Pages().page("continue.html", **facts, identity=identity, full_url="/oauth/consent?full=1")


def _registered() -> Response:
    return _identity(**_facts("Workflows", "https://workflows.example/callback", None, "preregistered"))


def _connect() -> Response:
    notice = views.notice("connected")
    return Pages().page("connect.html", **_SESSION, identity=_USER, services=_SERVICES, notice=notice)


def _prove() -> Response:
    return Pages().page(
        "prove.html", **_SESSION, upstream_id="up_specimen", by_key=True, error=views.sentence("key_refused")
    )


def _headers() -> Response:
    names = ["X-Api-Key", f"X-{'Very-' * 15}Long-Header-Name"]
    return Pages().page(
        "headers.html",
        service="warehouse",
        host="warehouse.services.example",
        fields=[{"label": name, "name": f"header.{name}"} for name in names],
        hidden={"session": "session_specimen", "csrf": "0", "mcp_client_id": "up_specimen"},
        back="/connecting-later",
        notice=views.notice("headers_refused"),
    )


def _returning() -> Response:
    back = way_back("http://127.0.0.1:33418/callback?error=invalid_request")
    assert back is not None
    return Pages().page(
        "message.html",
        tone="error",
        heading="This did not work",
        message="The response_type must be code.",
        advice=["Go back to your application and try again."],
        event_id="evt_0123456789abcdefghij",
        way_back={**back, "seconds": 600},
    )


def _set_up() -> Response:
    return Pages().page("setup_done.html", name="set-up-specimen", token=f"bfad_{'x' * 43}", origin=ISSUER)


def _admin_sign_in() -> Response:
    """After an attempt that failed: everything that the page can say is on it."""
    return Pages().page(
        "admin_sign_in.html",
        proven=True,
        action="/api/oauth/config/oac_specimen/authorize",
        csrf="0",
        error=None,
        state="failed",
        name="relationship_archive_of_the_northern_region_2026",
        connection_string=LONG_URI,
        reason="The service answered with an error.",
        shared=True,
        complete_url="/api/mcp/client/oac_specimen/complete-oauth",
    )


SPECIMENS = {
    "/long-names": _identity,
    "/verified": lambda: _identity(**_facts("Editor", "https://editor.example/callback", "editor.example")),
    "/registered-by-hand": _registered,
    "/continuing": lambda: _continue(_facts("Editor", "http://127.0.0.1/cb", "editor.example", "document"), _USER),
    "/continuing-with-long-names": lambda: _continue(
        _facts("W" * 64, LONG_URI, None, "preregistered"), {"kind": "vk", "label": "x" * 100}
    ),
    "/continuing-without-a-name": lambda: _continue(
        _facts(STACKED, "com.example.editor:/cb", "editor.example", "document"), {"kind": "session", "label": ""}
    ),
    "/services-in-every-state": _services,
    "/connecting-later": _connect,
    "/proving-who-one-is": _prove,
    "/giving-values": _headers,
    "/returning-by-itself": _returning,
    "/set-up": _set_up,
    "/administrator-signs-in": _admin_sign_in,
}


async def _answer(request: Request) -> Response:
    return SPECIMENS[request.url.path]()


specimens = Starlette(routes=[Route(path, _answer) for path in SPECIMENS])
