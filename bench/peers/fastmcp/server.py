"""fastmcp: OAuth server (InMemoryOAuthProvider, auto-approve) + create_proxy gateway in one process.
MODE=proxy (default): as shipped, an upstream session per call.  MODE=proxy-reuse: one shared upstream session."""
import os
import sys

import uvicorn
from fastmcp import FastMCP
from fastmcp.server import create_proxy
from fastmcp.server.auth.auth import ClientRegistrationOptions
from fastmcp.server.auth.providers.in_memory import InMemoryOAuthProvider

PORT = int(sys.argv[1])
MODE = os.environ.get("MODE", "proxy")
BASE = f"http://127.0.0.1:{PORT}"
auth = InMemoryOAuthProvider(
    base_url=BASE, required_scopes=["user"],
    client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=["user"], default_scopes=["user"]))
mcp = create_proxy(os.environ["UPSTREAM_URL"], name="gw", auth=auth) if MODE == "proxy" else None

if mcp is not None:
    app = mcp.http_app(path="/mcp", json_response=True)
else:
    from fastmcp import Client
    cell = {}

    async def app(scope, receive, send):  # create_proxy shares one upstream session only if the Client is connected by then
        if scope["type"] != "lifespan":
            return await cell["app"](scope, receive, send)
        async with Client(os.environ["UPSTREAM_URL"], mode="legacy") as client:
            cell["app"] = create_proxy(client, name="gw", auth=auth).http_app(path="/mcp", json_response=True)
            await cell["app"](scope, receive, send)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False, loop="uvloop", http="httptools", backlog=2048)
