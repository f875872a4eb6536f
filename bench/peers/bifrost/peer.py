"""This project, from the working tree: SQLite in a fresh data directory for every start, one upstream, one virtual key.

BENCH_LOG_LEVEL=info shows what the log of every request costs (the peers log none, so the default is warning).
"""
import json
import os
import re
import shutil
import sqlite3

KEY = "sk-bf-bench-0123456789abcdefghijklmnopqrstuvwxyz"
FIELD = re.compile(rb'name="(flow_id|csrf)" value="([^"]+)"')
CONSENT = "/api/oauth/per-user/consent"


def on_page(_url, html):
    """What a person does on the two consent pages: paste the key, then finish. None for a page with an error."""
    form = {name.decode(): value.decode() for name, value in FIELD.findall(html)}
    if b'role="alert"' in html or len(form) != 2:
        return None
    if b'action="%s/vk"' % CONSENT.encode() in html:
        return "POST", f"{CONSENT}/vk", {**form, "virtual_key": KEY}
    if b'action="%s/submit"' % CONSENT.encode() in html:
        return "POST", f"{CONSENT}/submit", form
    return None


def upstream(name, port):
    return {"name": name, "connection_type": "http", "connection_string": f"http://127.0.0.1:{port}/mcp", "auth_type": "none",
            "tools_to_execute": ["*"], "allow_on_all_virtual_keys": True}


def peer(home, here, up, name="bifrost", port=18201, storage=None, upstreams=None, **more):
    """`upstreams`: port by name, instead of the one that is called echo."""
    data = f"{home}/run/{name}"
    config = {
        "server": {"port": port, "log_level": os.environ.get("BENCH_LOG_LEVEL", "warning"), "trusted_proxies": ["127.0.0.1"]},
        # the load of the bench comes from one client; limits on that are what a gateway in use has, and no peer has
        "client": {"enforce_auth_on_inference": True, "registrations_per_minute": 0, "authorizations_per_minute": 0},
        "mcp": {"client_configs": [upstream(*one) for one in (upstreams or {"echo": up}).items()]},
        "governance": {"virtual_keys": [{"id": "vk-bench", "name": "bench", "value": KEY}]},
        "data_dir": f"{data}/data",
    }
    for variable in [variable for variable in os.environ if variable.startswith("BIFROST_")]:
        del os.environ[variable]  # only the file decides

    def before_start():
        shutil.rmtree(data, ignore_errors=True)
        os.makedirs(data)
        given = {**config, "storage": {"url": storage()}} if storage else config
        with open(f"{data}/config.json", "w") as file:
            json.dump(given, file)

    def rows():
        """Of every table, as the database is now."""
        with sqlite3.connect(f"file:{data}/data/bifrost.db?mode=ro", uri=True) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return sum(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)

    return {
        "name": name, "port": port, "before_start": before_start, **({} if storage else {"rows": rows}), "needs_upstream": True,
        "cmd": ["env", "BIFROST_SERVER__WORKERS={workers}", f"{here}/../../../.venv/bin/bifrost", "serve", "--config", f"{data}/config.json"],
        "ready_path": "/health", "ready_limit": 60,
        "meta_path": "/.well-known/oauth-authorization-server", "register_path": "/api/oauth/per-user/register",
        "authorize_path": "/api/oauth/per-user/authorize", "token_path": "/api/oauth/per-user/token",
        "mcp_path": "/mcp", "tool": "echo-echo", "key": KEY, "modern": True, "on_page": on_page,
        # every virtual user is a person at an address of its own, as behind a proxy: failed keys are counted by address
        "browser_headers": lambda user: (("Accept", "text/html"), ("X-Forwarded-For", f"10.0.{user // 250}.{user % 250 + 1}")),
        "workloads": ["W7", "W1", "W2", "W3", "W4", "W6", "W5"],
        "note": "the whole consent in every flow (authorize, page, key, page, submit, token: 6 requests), durable in SQLite",
        **more,
    }
