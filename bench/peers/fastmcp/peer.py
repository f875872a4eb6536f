def peer(home, here, up, mode="proxy", name="fastmcp", port=18101):
    return dict(
        name=name, port=port, needs_upstream=True,
        cmd=[f"{home}/venvs/fastmcp/bin/python", f"{here}/../fastmcp/server.py", port],
        env={"MODE": mode, "FASTMCP_CHECK_FOR_UPDATES": "off", "FASTMCP_LOG_LEVEL": "WARNING"},
        ready_path="/.well-known/oauth-authorization-server", meta_path="/.well-known/oauth-authorization-server",
        register_path="/register", authorize_path="/authorize", token_path="/token", mcp_path="/mcp",
        scope="user", register_extra={"scope": "user"}, modern=True,
        workloads=["W7", "W1", "W2", "W3", "W4", "W6", "W5"],
        note="fastmcp 4.1.6 InMemoryOAuthProvider (auto-approve, opaque tokens in dicts) + create_proxy, uvicorn+uvloop+httptools")
