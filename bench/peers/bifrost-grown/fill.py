"""A database of this project after years of use: GROWN_SESSIONS live sessions (1 000 000), 100 000 clients, 1 000 keys.

    fill.py CONFIG    starts the gateway once with that configuration, which makes the schema, and fills its database

Every session is a grant with an access token and a refresh token that are still good, so nothing is swept away meanwhile.
"""
import asyncio
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import asyncpg

SESSIONS = int(os.environ.get("GROWN_SESSIONS", "1000000"))
CLIENTS = SESSIONS // 10
KEYS = min(1_000, CLIENTS)
DAY = 24 * 3_600 * 1_000
NOW = int(time.time() * 1_000)


def born(number):
    """Sessions began evenly over the last twenty days, in milliseconds."""
    return NOW - 20 * DAY + number * 20 * DAY // SESSIONS


def client_id(number):
    return f"https://client-{number}.example/metadata.json"


def keys():
    for n in range(KEYS):
        yield f"vk-{n}", f"key {n}", "", secrets.token_hex(32), "sk-bf-…", True, None, "[]", "", NOW, NOW


def clients():
    metadata = json.dumps({"redirect_uris": ["http://127.0.0.1/callback"], "client_name": "Grown"})
    for n in range(CLIENTS):
        yield f"oc_{n}", client_id(n), "document", f"Client {n}", metadata, "", "", "", None, NOW, NOW + DAY, NOW, "", NOW, NOW


def grants():
    for n in range(SESSIONS):
        kind, identity = ("virtual_key", f"vk-{n % KEYS}") if n % 2 else ("session", f"s{n}")
        at = born(n)
        yield f"gr_{n}", client_id(n % CLIENTS), kind, identity, "mcp", "http://127.0.0.1/mcp", at, at + 90 * DAY, None, None


def access_tokens():
    for n in range(SESSIONS):
        yield secrets.token_hex(32), f"gr_{n}", "mcp", NOW, NOW + DAY


def refresh_tokens():
    for n in range(SESSIONS):
        yield secrets.token_hex(32), f"gr_{n}", born(n), NOW + 10 * DAY, None, "", "", 0


TABLES = {
    "virtual_keys": ("id name description value_hash value_hint is_active expires_at mcp_configs config_mac created_at"
                     " updated_at", keys),
    "oauth_clients": ("id client_id origin client_name metadata secret_hash label scope_limit blocked_at fetched_at fresh_until"
                      " consented_at config_mac created_at updated_at", clients),
    "grants": ("id client_id identity_kind identity_id scope resource created_at expires_at revoked_at revoked_reason", grants),
    "access_tokens": ("token_hash grant_id scope created_at expires_at", access_tokens),
    "refresh_tokens": ("token_hash grant_id created_at expires_at used_at successor_hash sealed_successors replays",
                       refresh_tokens),
}


def fill_sqlite(path):
    database = sqlite3.connect(path)
    for table, (columns, rows) in TABLES.items():
        names = columns.split()
        marks = ", ".join("?" * len(names))
        database.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows())
        database.commit()
    database.execute("ANALYZE")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


async def fill_postgresql(url):
    database = await asyncpg.connect(url)
    for table, (columns, rows) in TABLES.items():
        await database.copy_records_to_table(table, records=rows(), columns=columns.split())
    await database.execute("VACUUM ANALYZE")
    await database.close()


def make_schema(config, port):
    server = subprocess.Popen([f"{Path(sys.executable).parent}/bifrost", "serve", "--config", config], stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"fill.py: the gateway did not start with {config}")
    finally:
        server.terminate()
        server.wait()


def main(config):
    given = json.loads(Path(config).read_text())
    make_schema(config, given["server"]["port"])
    if "storage" in given:
        asyncio.run(fill_postgresql(given["storage"]["url"]))
    else:
        fill_sqlite(f"{given['data_dir']}/bifrost.db")


main(sys.argv[1])
