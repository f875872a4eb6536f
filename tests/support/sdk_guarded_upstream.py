"""MCP servers of the official Python SDK that want a token, and write down which one came with each call.

    python tests/support/sdk_guarded_upstream.py jwt    PORT LOG ISSUER
    python tests/support/sdk_guarded_upstream.py opaque PORT LOG CLIENT_ID CLIENT_SECRET REDIRECT_URI

`jwt` trusts the authorization server at ISSUER and verifies its signed tokens by its published keys. `opaque` is its own
authorization server, made of the SDK's: it knows one client, registers none, gives no lifetime, and never replaces a
refresh token. Its sign-in page asks for an account name. LOG gets a line for each call: {"tag", "bearer", "account"}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import uvicorn
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyUrl
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bifrost.base.ids import new_secret

SCOPE = "notes"
PAGE = """<!doctype html><title>Sign in</title><form method="post">
<label>Account <input name="account" required></label><button>Continue</button></form>"""


class JwtVerifier:
    """RFC 9068, by the keys that the issuer publishes."""

    def __init__(self, issuer: str, audience: str) -> None:
        self._issuer, self._audience = issuer, audience
        self._keys = jwt.PyJWKClient(f"{issuer}/jwks")

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            key = await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)
            claims = jwt.decode(
                token, key.key, algorithms=["ES256", "RS256"], audience=self._audience, issuer=self._issuer
            )
        except jwt.PyJWTError:
            return None
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=claims["scope"].split(),
            expires_at=claims["exp"],
            subject=claims["sub"],
            resource=self._audience,
            claims=claims,
        )


class Provider(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """What the SDK leaves to its user: one client, and everything in memory."""

    def __init__(self, client: OAuthClientInformationFull, resource: str) -> None:
        self._client, self._resource = client, resource
        self._waiting: dict[str, AuthorizationParams] = {}
        self._codes: dict[str, AuthorizationCode] = {}
        self._access: dict[str, AccessToken] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._refreshes = 0

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self._client if client_id == self._client.client_id else None

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        raise NotImplementedError

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        raise NotImplementedError

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        waiting = new_secret()
        self._waiting[waiting] = params
        return f"/sign-in?for={waiting}"

    async def sign_in(self, request: Request) -> Response:
        params = self._waiting.get(request.query_params["for"])
        if params is None or request.method == "GET":
            return HTMLResponse(PAGE, 200 if params else 404)
        code = AuthorizationCode(
            code=new_secret(),
            scopes=[SCOPE],
            expires_at=time.time() + 60,
            client_id=str(self._client.client_id),
            subject=str((await request.form())["account"]),
            **params.model_dump(exclude={"state", "scopes"}),
        )
        self._codes[code.code] = code
        where = construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)
        return RedirectResponse(where, 303)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self._codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self._codes[authorization_code.code]
        refresh = RefreshToken(
            token=f"rt-{new_secret()}",
            client_id=authorization_code.client_id,
            scopes=[SCOPE],
            subject=authorization_code.subject,
        )
        self._refresh[refresh.token] = refresh
        return self._issued(refresh, refresh.token)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        return self._refresh.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        self._refreshes += 1
        return self._issued(refresh_token, None)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self._access.get(token)

    async def counts(self, request: Request) -> Response:
        """How often a token was renewed; POST makes every access token worthless."""
        if request.method == "POST":
            self._access.clear()
        return Response(json.dumps({"refresh_token ok": self._refreshes}))

    def _issued(self, grant: RefreshToken, refresh: str | None) -> OAuthToken:
        access = AccessToken(
            token=f"at-{new_secret()}",
            client_id=grant.client_id,
            scopes=[SCOPE],
            subject=grant.subject,
            resource=self._resource,
        )
        self._access[access.token] = access
        return OAuthToken(access_token=access.token, refresh_token=refresh, scope=SCOPE)


class CallLog:
    """Writes down the bearer of each tools/call as it came over the wire, whatever the server makes of it."""

    def __init__(self, app: Any, path: Path) -> None:
        self._app, self._path = app, path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != "/mcp":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if body.startswith(b"{"):
            self._note(dict(scope["headers"]), json.loads(body))
        replayed = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return replayed.pop() if replayed else await receive()

        await self._app(scope, again, send)

    def _note(self, headers: dict[bytes, bytes], message: dict[str, Any]) -> None:
        if message.get("method") == "tools/call":
            bearer = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
            line = {"tag": message["params"]["arguments"]["tag"], "bearer": bearer}
            with self._path.open("a") as log:
                log.write(json.dumps(line) + "\n")


def _server(port: int, issuer: str, **guard: Any) -> MCPServer:
    settings = AuthSettings.model_validate(
        {
            "issuer_url": issuer,  # as a string: a URL object would add a slash
            "resource_server_url": f"http://127.0.0.1:{port}/mcp",
            "required_scopes": [SCOPE],
            "validate_token_resource": True,
        }
    )
    server = MCPServer("guarded", log_level="WARNING", auth=settings, **guard)

    @server.tool()
    def whoami(tag: str) -> str:
        """Say whose account this is."""
        token = get_access_token()
        return f"{token.subject if token else None} {tag}"

    return server


def _opaque(port: int, client_id: str, client_secret: str, redirect_uri: str) -> MCPServer:
    client = OAuthClientInformationFull(
        client_id=client_id,
        client_secret=client_secret,
        redirect_uris=[AnyUrl(redirect_uri)],
        token_endpoint_auth_method="client_secret_post",
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        scope=SCOPE,
    )
    origin = f"http://127.0.0.1:{port}"
    provider = Provider(client, f"{origin}/mcp")
    server = _server(port, origin, auth_server_provider=provider)
    for path, handler in (("/sign-in", provider.sign_in), ("/counts", provider.counts)):
        server.custom_route(path, methods=["GET", "POST"])(handler)
    return server


def main() -> int:
    kind, port, log, *more = sys.argv[1:]
    if kind == "jwt":
        (issuer,) = more
        server = _server(int(port), issuer, token_verifier=JwtVerifier(issuer, f"http://127.0.0.1:{port}/mcp"))
    else:
        server = _opaque(int(port), *more)
    app = CallLog(server.streamable_http_app(), Path(log))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
