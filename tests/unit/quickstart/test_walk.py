"""The demo's legs against a scripted gateway: what each expects, and what it says when it sees something else."""

import json
from collections.abc import Callable
from email.message import Message
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from bifrost.quickstart.browser import Answer, Browser, Unreachable
from bifrost.quickstart.demo import show
from bifrost.quickstart.walk import NOTE, REDIRECT_URI, LegFailed, Walk

ISSUER = "http://localhost:8080"
MCP = f"{ISSUER}/mcp"
METADATA = f"{ISSUER}/.well-known/oauth-protected-resource/mcp"
KEY = "sk-bf-test"
IDENTITY_PAGE = """<title>Who are you</title>
<form method="post" action="/api/oauth/per-user/consent/deny"><button>Deny</button></form>
<form method="post" action="/api/oauth/per-user/consent/vk">
<input type="hidden" name="csrf" value="c1"><input type="password" name="vk"><button>Go on</button></form>"""
SERVICES_PAGE = """<title>Services</title><form method="post" action="/api/oauth/per-user/consent/submit">
<input type="hidden" name="csrf" value="c2"><button>Finish</button></form>"""

Change = Callable[["Gateway"], object]


class Gateway(Browser):
    """Plays the gateway where the browser would send; a test changes one thing it says."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str, dict[str, Any], dict[str, str]]] = []
        self.query: dict[str, str] = {}
        self.challenge = (401, f'Bearer resource_metadata="{METADATA}", scope="mcp:read mcp:write"')
        self.prm: dict[str, Any] = {"resource": MCP, "authorization_servers": [ISSUER]}
        self.server: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "registration_endpoint": f"{ISSUER}/register",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        self.registered = (201, {"client_id": "c"})
        self.authorized = (302, "/oauth/consent?flow_id=f")
        self.pages = {"/oauth/consent": IDENTITY_PAGE, "/oauth/consent/mcps": SERVICES_PAGE}
        self.after_key = "/oauth/consent/mcps?flow_id=f"
        self.back: dict[str, str] = {}
        self.granted: tuple[int, dict[str, Any]] = (
            200,
            {"access_token": "bfat_x", "token_type": "Bearer", "expires_in": 60, "scope": "mcp:read"},
        )
        self.tools = ["notes-add_note", "notes-list_notes"]
        self.tool_error = False
        self.notes = NOTE

    def get(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        self.sent.append(("GET", url, {}, headers or {}))
        path = urlsplit(url).path
        if url == METADATA:
            return answer(url, 200, self.prm)
        if path == "/.well-known/oauth-authorization-server":
            return answer(url, 200, self.server)
        if path == "/authorize":
            self.query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
            status, where = self.authorized
            return answer(url, status, {"error": {"code": "no", "message": "No."}}, {"Location": where})
        if path in self.pages:
            return answer(url, 200, self.pages[path])
        return answer(url, 404, "")

    def post_form(self, url: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        self.sent.append(("POST", url, fields, headers or {}))
        if url.endswith("/consent/vk"):
            return answer(url, 303, "", {"Location": self.after_key})
        if url.endswith("/consent/submit"):
            back = {"code": "bfac_x", "state": self.query["state"], "iss": ISSUER} | self.back
            return answer(url, 303, "", {"Location": f"{REDIRECT_URI}?{urlencode(back)}"})
        return answer(url, *self.granted)

    def post_json(self, url: str, document: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
        self.sent.append(("POST", url, document, headers or {}))
        if url.endswith("/register"):
            return answer(url, *self.registered)
        if "Authorization" not in (headers or {}):
            return answer(url, self.challenge[0], "", {"WWW-Authenticate": self.challenge[1]})
        if document["method"] == "tools/list":
            return answer(url, 200, {"result": {"tools": [{"name": name} for name in self.tools]}})
        text = self.notes if document["params"]["name"].endswith("list_notes") else "added"
        result = {"content": [{"type": "text", "text": text}], "isError": self.tool_error}
        return answer(url, 200, {"result": result})


def answer(url: str, status: int, body: str | dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    message = Message()
    for name, value in (headers or {}).items():
        message[name] = value
    content = body if isinstance(body, str) else json.dumps(body)
    return Answer(url=url, status=status, headers=message, body=content.encode())


def test_every_leg_is_walked_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Contract §4 to §7 from a client's side, on one screen."""
    gateway = Gateway()
    assert show(Walk(mcp_url=MCP, key=KEY, browser=gateway)) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 11
    assert all(" ms  ok  " in line for line in printed[:-1])
    assert printed[-1].startswith("All 10 legs ok in ")
    assert KEY not in "".join(printed)
    paths = [f"{method} {urlsplit(url).path}" for method, url, _, _ in gateway.sent]
    assert paths == [
        "POST /mcp",
        "GET /.well-known/oauth-protected-resource/mcp",
        "GET /.well-known/oauth-authorization-server",
        "POST /register",
        "GET /authorize",
        "GET /oauth/consent",
        "POST /api/oauth/per-user/consent/vk",
        "GET /oauth/consent/mcps",
        "POST /api/oauth/per-user/consent/submit",
        "POST /token",
        "POST /mcp",
        "POST /mcp",
        "POST /mcp",
    ]


def test_a_form_is_sent_with_what_the_page_gave_and_where_it_came_from() -> None:
    """Contract §5: own CSRF token and exact Origin."""
    gateway = Gateway()
    show(Walk(mcp_url=MCP, key=KEY, browser=gateway))
    _, _, fields, headers = next(sent for sent in gateway.sent if sent[1].endswith("/consent/vk"))
    assert fields == {"csrf": "c1", "vk": KEY}
    assert headers["Origin"] == ISSUER


def test_the_token_request_names_the_resource_and_proves_the_challenge() -> None:
    """RFC 8707 §2.2, RFC 7636 §4.5."""
    gateway = Gateway()
    walk = Walk(mcp_url=MCP, key=KEY, browser=gateway)
    show(walk)
    _, _, fields, _ = next(sent for sent in gateway.sent if sent[1].endswith("/token"))
    assert (fields["resource"], fields["code"], fields["client_id"]) == (MCP, "bfac_x", "c")
    assert fields["code_verifier"] == walk.verifier
    assert gateway.query["code_challenge"] != walk.verifier
    assert gateway.query["code_challenge_method"] == "S256"


@pytest.mark.parametrize(
    ("change", "leg", "says"),
    [
        (lambda g: setattr(g, "challenge", (200, "")), "challenge", "enforce_auth_on_inference"),
        (lambda g: setattr(g, "challenge", (404, "")), "challenge", "/mcp"),
        (lambda g: setattr(g, "challenge", (421, "")), "challenge", "public_urls"),
        (lambda g: setattr(g, "challenge", (500, "")), "challenge", "HTTP 500"),
        (lambda g: setattr(g, "challenge", (401, "Bearer")), "challenge", "mcp_server_auth_mode"),
        (lambda g: g.prm.update(resource="http://127.0.0.1:8080/mcp"), "resource metadata", "public_urls"),
        (lambda g: g.prm.update(authorization_servers=[]), "resource metadata", "authorization_servers"),
        (lambda g: g.server.update(issuer=ISSUER + "/"), "server metadata", "issuer"),
        (lambda g: g.server.update(code_challenge_methods_supported=["plain"]), "server metadata", "S256"),
        (lambda g: g.server.pop("token_endpoint"), "server metadata", "token_endpoint"),
        (
            lambda g: setattr(g, "registered", (400, {"error": "invalid_redirect_uri"})),
            "registration",
            "invalid_redirect",
        ),
        (lambda g: setattr(g, "registered", (201, {})), "registration", "client_id"),
        (lambda g: setattr(g, "authorized", (400, "")), "authorize", "No."),
        (lambda g: setattr(g, "after_key", "/oauth/consent?flow_id=f&error=invalid_key"), "consent", "invalid_key"),
        (lambda g: setattr(g, "after_key", "/gone"), "consent", "HTTP 404"),
        (lambda g: setattr(g, "after_key", "/oauth/consent?flow_id=f"), "consent", "after 10 pages"),
        (lambda g: g.pages.update({"/oauth/consent/mcps": "<title>Odd</title>"}), "consent", "Odd"),
        (lambda g: g.back.update(state="other"), "consent", "state"),
        (lambda g: g.back.update(iss="http://evil.example"), "consent", "iss"),
        (lambda g: g.back.update(error="access_denied"), "consent", "access_denied"),
        (lambda g: g.back.update(code=""), "consent", "no code"),
        (lambda g: setattr(g, "granted", (400, {"error": "invalid_grant"})), "token", "invalid_grant"),
        (lambda g: setattr(g, "granted", (200, {"access_token": "x"})), "token", "bearer"),
        (lambda g: setattr(g, "tools", []), "tools/list", "does the key allow"),
        (lambda g: setattr(g, "tools", ["other-tool"]), "tools/call add_note", "does the key allow"),
        (lambda g: setattr(g, "tool_error", True), "tools/call add_note", "refused"),
        (lambda g: setattr(g, "notes", "[]"), "tools/call list_notes", "not in the list"),
    ],
)
def test_the_first_leg_that_goes_wrong_says_so_and_ends_the_walk(
    change: Change, leg: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours: exit 1, the leg's name, what was seen and what to do."""
    gateway = Gateway()
    change(gateway)
    assert show(Walk(mcp_url=MCP, key=KEY, browser=gateway)) == 1
    *legs, last = capsys.readouterr().out.splitlines()
    assert last.endswith(f"stopped at: {leg}.")
    assert "FAIL" in legs[-1]
    assert says in legs[-1]


def test_a_gateway_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours: no traceback."""
    walk = Walk(mcp_url="http://127.0.0.1:1/mcp", key=KEY)
    with pytest.raises(Unreachable, match="does not answer"):
        walk.challenge()
    assert show(walk) == 1
    assert "stopped at: challenge" in capsys.readouterr().out


def test_an_error_result_of_a_list_is_a_failure() -> None:
    """JSON-RPC 2.0 §5.1."""

    class Refusing(Gateway):
        def post_json(self, url: str, document: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
            return answer(url, 200, {"error": {"code": -32603, "message": "x"}})

    with pytest.raises(LegFailed, match="-32603"):
        Walk(mcp_url=MCP, key=KEY, browser=Refusing()).list_tools()
