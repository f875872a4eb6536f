from bench.lib import lg
from bench.lib import workloads as W
def peer(home, here, up, name="oidc", port=18121):
    p = dict(
        name=name, port=port,
        cmd=[f"{home}/node/oidc/node_modules/.bin/node", f"{here}/../oidc/server.mjs", port], env={},
        ready_path="/.well-known/oauth-authorization-server", meta_path="/.well-known/oauth-authorization-server",
        register_path="/reg", register_extra={"application_type": "native"}, authorize_path="/auth", token_path="/token",
        scope="offline_access user",
        workloads=["W7", "W1", "W2", "W3", "W4", "W6"],
        note="npm oidc-provider 9.13.3, Map adapter, opaque access tokens, scripted login (3 browser hops + token per flow), node 22.23")
    p["w6_get"] = "/me"
    p["bearer"] = lambda q: lg.once(W.one_flow({**q, "scope": "openid"}), q["port"])[1]["access_token"]
    return p
