"""VARIANTS name -> environment, workloads; peers/floor-<name>/ are one-line aliases."""
VARIANTS = {
    "floor": ({}, ["W7", "W1", "W2", "W3", "W4", "W6", "W5"]),
    "floor-aiohttp": ({"CLIENT": "aiohttp"}, ["W5"]),
    "floor-starlette": ({"FRAMEWORK": "starlette"}, ["W1", "W3", "W4", "W5"]),
    "floor-sqlite": ({"STORE": "sqlite"}, ["W2", "W3", "W4", "W5"]),
}


def peer(home, here, up, name="floor"):
    env, wl = VARIANTS[name]
    port = 18301 + list(VARIANTS).index(name)
    b, d = f"{home}/venvs/{__import__('os').environ.get('FLOOR_VENV', 'limits313')}/bin", f"{here}/../floor"
    cmd = [f"{b}/uvicorn", "server:app", "--app-dir", d, "--host", "127.0.0.1", "--port", port, "--loop", "uvloop", "--http", "httptools",
           "--no-access-log", "--log-level", "warning", "--backlog", "2048"]
    return dict(name=name, port=port, cmd=cmd, env={**env, "PORT": str(port)}, needs_upstream=True,
                ready_path="/.well-known/oauth-authorization-server", meta_path="/.well-known/oauth-authorization-server", register_path="/register",
                authorize_path="/authorize", token_path="/token", mcp_path="/mcp", scope="user", workloads=wl,
                note=f"the floor: uvicorn, {env or 'raw ASGI, opaque tokens in dicts, hand-written httptools upstream client'}")
