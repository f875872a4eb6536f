"""An MCP server that guards itself: its own authorization server, accounts by name, and everything it saw.

`/authorize?…&account=alice` signs alice in at once; without an account there is a page that asks for it.
"""

import asyncio
import base64
import hashlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from bifrost.base.ids import new_secret

TOOL = {"name": "whoami", "description": "Say whose account this is.", "inputSchema": {"type": "object"}}


_PAGE = """<!doctype html><link rel="icon" href="data:,"><title>Service</title><h1>Sign in at the service</h1>
<form><label>Account <input name="account"></label><button>Sign in</button>"""

Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Pause:
    """Holds one request: `done` with everything done but the answer, otherwise it is never acted on."""

    path: str
    done: bool
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    async def here(self) -> None:
        self.arrived.set()
        await asyncio.to_thread(self.released.wait)


@dataclass
class OAuthUpstream:
    """Knobs to turn while it runs, and what it has seen."""

    origin: str = ""
    lifetime: int | None = 3_600
    iss: str | None = "own"
    registers: bool = True
    refresh_status: int = 200
    refresh_answer: Response | None = None
    """Instead of any other, when it is set."""
    deny: bool = False
    secret: str = ""
    """Wanted in the body of every token request, when it is set."""
    presented: list[str] = field(default_factory=list)
    """Every bearer that it was shown."""
    revokes: bool = False
    revocation_status: int = 200
    revocation_seconds: float = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    """Laid over the two documents, to say something else in them."""
    registrations: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[dict[str, str]] = field(default_factory=list)
    token_requests: list[dict[str, str]] = field(default_factory=list)
    revocations: list[dict[str, str]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Account and bearer of every tools/call."""
    access: dict[str, str] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    pause: "Pause | None" = None
    wants: str = ""
    """A scope without which calls are refused (RFC 6750 §3.1)."""
    breaks: bool = False
    """Calls fail, and the failure repeats the bearer, as careless servers do."""
    tools: list[dict[str, Any]] = field(default_factory=lambda: [TOOL])
    redirects: dict[str, Response] = field(default_factory=dict)
    """By path, instead of any other answer."""
    seen: list[bytes] = field(default_factory=list)
    """Every request, its headers and its body."""
    scopes: dict[str, str] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    @property
    def refreshes(self) -> int:
        return sum(form["grant_type"] == "refresh_token" for form in self.token_requests)

    def app(self) -> Starlette:
        handlers: dict[str, Handler] = {
            "/.well-known/oauth-protected-resource/mcp": self._resource,
            "/.well-known/oauth-authorization-server": self._server,
            "/register": self._register,
            "/authorize": self._authorize,
            "/token": self._token,
            "/revoke": self._revoke,
            "/mcp": self._mcp,
        }
        routes = [Route(path, self._pausing(handler), methods=["GET", "POST"]) for path, handler in handlers.items()]
        return Starlette(routes=routes)

    def _pausing(self, handler: Handler) -> Handler:
        async def paused(request: Request) -> Response:
            pause = self.pause if self.pause and self.pause.path == request.url.path else None
            if pause and not pause.done:
                await pause.here()
                return Response(status_code=503)
            self.seen.append(repr((str(request.url), request.headers.raw)).encode() + await request.body())
            answer = self.redirects.get(request.url.path) or await handler(request)
            if pause and pause.done:
                await pause.here()
            return answer

        return paused

    async def _resource(self, _request: Request) -> Response:
        return JSONResponse({"resource": self.url, "authorization_servers": [self.origin]} | self.resource)

    async def _server(self, _request: Request) -> Response:
        document = {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": self.iss is not None,
            **({"registration_endpoint": f"{self.origin}/register"} if self.registers else {}),
            **({"revocation_endpoint": f"{self.origin}/revoke"} if self.revokes else {}),
        }
        return JSONResponse(document | self.metadata)

    async def _register(self, request: Request) -> Response:
        body = await request.json()
        self.registrations.append(body)
        return JSONResponse({**body, "client_id": f"client-{len(self.registrations)}"}, 201)

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        if "account" not in query:
            hidden = "".join(f'<input type="hidden" name="{name}" value="{escape(query[name])}">' for name in query)
            return HTMLResponse(f"{_PAGE}{hidden}</form>")
        self.authorizations.append(query)
        answer = {"state": query["state"]}
        if self.iss is not None:
            answer["iss"] = self.origin if self.iss == "own" else self.iss
        if self.deny:
            answer["error"] = "access_denied"
        else:
            answer["code"] = new_secret()
            self.codes[answer["code"]] = query
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.token_requests.append(form)
        if self.secret and form.get("client_secret") != self.secret:
            return JSONResponse({"error": "invalid_client"}, 401)
        if form["grant_type"] == "refresh_token":
            if self.refresh_answer:
                return self.refresh_answer
            if self.refresh_status != 200:
                return JSONResponse({"error": "temporarily_unavailable"}, self.refresh_status)
            account, scope = self.refresh.pop(form["refresh_token"], None), ""
        else:
            request_ = self.codes.pop(form["code"], {})
            scope = request_.get("scope", "")
            account = request_["account"] if request_ and _proves(form, request_) else None
        return self._issue(account, scope) if account else JSONResponse({"error": "invalid_grant"}, 400)

    def _issue(self, account: str, scope: str) -> Response:
        access, refresh = f"at-{new_secret()}", f"rt-{new_secret()}"
        self.scopes[access] = scope
        self.issued += [access, refresh]
        self.access[access], self.refresh[refresh] = account, account
        answer: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "refresh_token": refresh}
        return JSONResponse(answer if self.lifetime is None else {**answer, "expires_in": self.lifetime})

    async def _revoke(self, request: Request) -> Response:
        self.revocations.append({name: str(value) for name, value in (await request.form()).items()})
        await asyncio.sleep(self.revocation_seconds)
        return Response(status_code=self.revocation_status)

    async def _mcp(self, request: Request) -> Response:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.presented.append(bearer)
        account = self.access.get(bearer)
        if account is None:
            metadata = f"{self.origin}/.well-known/oauth-protected-resource/mcp"
            return Response(status_code=401, headers={"WWW-Authenticate": f'Bearer resource_metadata="{metadata}"'})
        message = await request.json()
        if "id" not in message:
            return Response(status_code=202)
        if message["method"] == "tools/call" and self.wants not in self.scopes[bearer]:
            challenge = f'Bearer error="insufficient_scope", scope="{self.wants}"'
            return Response(status_code=403, headers={"WWW-Authenticate": challenge})
        if message["method"] == "tools/call" and self.breaks:
            return JSONResponse({"error": f"broken for {bearer}"}, 500)
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], **self._answer(message, account, bearer)})

    def _answer(self, message: dict[str, Any], account: str, bearer: str) -> dict[str, Any]:
        if message["method"] == "initialize":
            info = {"name": "guarded", "version": "1"}
            return {"result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}}
        if message["method"] == "tools/list":
            return {"result": {"tools": self.tools}}
        if message["method"] == "tools/call":
            self.calls.append((account, bearer))
            return {"result": {"content": [{"type": "text", "text": account}]}}
        return {"error": {"code": -32601, "message": "unknown method"}}


def _proves(form: dict[str, str], request: dict[str, str]) -> bool:
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return challenge == request["code_challenge"] and form["redirect_uri"] == request["redirect_uri"]
