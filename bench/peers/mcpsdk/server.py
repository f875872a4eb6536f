"""Official `mcp` SDK: its OAuth authorization server routes + MCPServer, in one process.

The SDK ships no provider of its own; the one below keeps the shape of its `simple-auth` example (dicts, opaque
tokens) with auto-approval instead of the login page and with refresh-token rotation.
MODE=local (default): one local echo tool.  MODE=gateway: lowlevel Server forwarding to one shared SDK Client."""
import os
import secrets
import sys
import time
from contextlib import asynccontextmanager

import uvicorn
from mcp import Client
from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken, construct_redirect_uri
from mcp.server.auth.provider import ProviderTokenVerifier
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthToken

PORT = int(sys.argv[1])
MODE = os.environ.get("MODE", "local")
BASE = f"http://127.0.0.1:{PORT}"


class Provider:
    def __init__(self):
        self.clients, self.codes, self.access, self.refresh = {}, {}, {}, {}

    async def get_client(self, client_id):
        return self.clients.get(client_id)

    async def register_client(self, info):
        self.clients[info.client_id] = info

    async def authorize(self, client, p):
        code = secrets.token_urlsafe(32)
        self.codes[code] = AuthorizationCode(
            code=code, client_id=client.client_id, redirect_uri=p.redirect_uri, scopes=p.scopes or ["user"],
            redirect_uri_provided_explicitly=p.redirect_uri_provided_explicitly, expires_at=time.time() + 300,
            code_challenge=p.code_challenge, resource=p.resource, subject="u1")
        return construct_redirect_uri(str(p.redirect_uri), code=code, state=p.state)

    async def load_authorization_code(self, client, code):
        return self.codes.get(code)

    def issue(self, client, scopes):
        a, r = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self.access[a] = AccessToken(token=a, client_id=client.client_id, scopes=scopes, expires_at=int(time.time()) + 3600, subject="u1")
        self.refresh[r] = RefreshToken(token=r, client_id=client.client_id, scopes=scopes, subject="u1")
        return OAuthToken(access_token=a, token_type="Bearer", expires_in=3600, scope=" ".join(scopes), refresh_token=r)

    async def exchange_authorization_code(self, client, code):
        del self.codes[code.code]
        return self.issue(client, code.scopes)

    async def load_refresh_token(self, client, token):
        return self.refresh.get(token)

    async def exchange_refresh_token(self, client, token, scopes):
        del self.refresh[token.token]
        return self.issue(client, scopes or token.scopes)

    async def load_access_token(self, token):
        t = self.access.get(token)
        return t if t and t.expires_at > time.time() else None

    async def revoke_token(self, token):
        self.access.pop(token.token, None)


prov = Provider()
auth = AuthSettings(
    issuer_url=BASE, resource_server_url=f"{BASE}/mcp", required_scopes=["user"], validate_token_resource=False,
    client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=["user"], default_scopes=["user"]))

if MODE == "local":
    mcp = MCPServer("local", auth_server_provider=prov, auth=auth, log_level="WARNING")

    @mcp.tool()
    def echo(text: str) -> str:
        """Return the text it is given."""
        return text
    app = mcp.streamable_http_app(json_response=True)
else:
    URL = os.environ["UPSTREAM_URL"]
    state = {}

    @asynccontextmanager
    async def lifespan(_):
        async with Client(URL) as c:
            state["c"] = c
            yield {}

    async def list_tools(ctx, params):
        return await state["c"].list_tools()

    async def call_tool(ctx, params):
        return await state["c"].call_tool(params.name, params.arguments or {})

    srv = Server("gw", on_list_tools=list_tools, on_call_tool=call_tool)
    inner = srv.streamable_http_app(json_response=True, auth=auth, token_verifier=ProviderTokenVerifier(prov), auth_server_provider=prov)

    async def app(scope, receive, send):  # the upstream Client lives as long as the process
        if scope["type"] != "lifespan":
            return await inner(scope, receive, send)
        async with lifespan(None):
            await inner(scope, receive, send)

if __name__ == "__main__":
    import logging
    logging.getLogger().setLevel(logging.WARNING)
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False, loop="uvloop", http="httptools", backlog=2048)
