"""MODE local is the SDK's authorization server (its tool is local, so it says nothing of gateways); mcpsdk-gw is the proxy."""


def peer(home, here, up, mode="local", name="mcpsdk", port=18111):
    return dict(
        name=name, port=port, needs_upstream=mode != "local",
        cmd=[f"{home}/venvs/mcpsdk/bin/python", f"{here}/../mcpsdk/server.py", port], env={"MODE": mode},
        ready_path="/.well-known/oauth-authorization-server", meta_path="/.well-known/oauth-authorization-server",
        register_path="/register", authorize_path="/authorize", token_path="/token", mcp_path="/mcp",
        scope="user", register_extra={"scope": "user"}, modern=True,
        workloads=["W7", "W1", "W2", "W3", "W4"] if mode == "local" else ["W6", "W5"],
        note="mcp 2.3.0 auth routes + MCPServer, in-memory auto-approving provider, opaque tokens, uvicorn+uvloop+httptools; "
             + {"local": "no proxying", "gateway": "lowlevel Server -> one shared SDK Client"}[mode])
