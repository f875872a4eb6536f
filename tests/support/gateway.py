"""The real application in process: real database, real rules, a clock moved by hand."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from bifrost.app import Gateway, build
from bifrost.base.sealing import KeyRing
from bifrost.http.router import Route
from bifrost.settings import load
from bifrost.storage.database import Database
from tests.support.clock import FakeClock

ISSUER = "http://localhost:8080"
VIRTUAL_KEY = "sk-bf-test-0123456789abcdefghijklmnopqrstuvwxyz"
"""The key of the configuration below; it may use everything of every upstream."""

KEY_ID = "vk-test"
ADMIN_TOKEN = "an-administrators-token-0123456789"
"""The configured one; `admin_token=""` leaves it out."""

RING = KeyRing([b"k" * 32])


def routes(gateway: Gateway) -> tuple[Route, ...]:
    """Every address that the application really serves, below the layer that gives a request its id."""
    application: Any = gateway.app
    served: tuple[Route, ...] = application._app.routes
    return served


def sqlite_writer(database: Database) -> sqlite3.Connection:
    """The connection that writes, for a test that makes it fail."""
    opened: Any = database
    writer: sqlite3.Connection = opened._opened_writer()
    return writer


@dataclass(frozen=True, slots=True)
class TestGateway:
    gateway: Gateway
    clock: FakeClock
    http: httpx2.AsyncClient
    """A client of no particular kind: no cookies are kept between requests unless it is told to."""

    __test__ = False

    def browser(self) -> httpx2.AsyncClient:
        """A new browser: cookies of its own, and it asks for pages."""
        return _client(self.gateway, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

    def administrator(self) -> httpx2.AsyncClient:
        """A program that sends the administrator's token with every request."""
        return _client(self.gateway, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in a table, to see what was (not) written."""
        async with self.gateway.database.read() as connection:
            if self.gateway.database.dialect == "postgresql":
                return [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")]  # noqa: S608
            return [dict(row) for row in await connection.fetchall(f"SELECT * FROM {table}", {})]  # noqa: S608


def configuration(database_url: str, data_dir: Path, **sections: Any) -> dict[str, Any]:
    """A configuration with one key; `sections` are laid over it, one level deep."""
    values: dict[str, Any] = {
        "server": {},
        "client": {},
        "mcp": {"client_configs": []},
        "governance": {"virtual_keys": [{"id": KEY_ID, "name": "test", "value": VIRTUAL_KEY}]},
        "storage": {"url": database_url},
        "data_dir": str(data_dir),
        "admin_token": ADMIN_TOKEN,
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section} if isinstance(section, dict) else section
    return values


@asynccontextmanager
async def running_gateway(
    database_url: str, data_dir: Path, *, clock: FakeClock | None = None, **sections: Any
) -> AsyncIterator[TestGateway]:
    """A started gateway. `sections` are those of config.json, for example `client={"mcp_server_auth_mode": "oauth"}`."""
    clock = clock or FakeClock()
    settings = load(None, {}, configuration(database_url, data_dir, **sections))
    gateway = build(settings, clock=clock, ring=RING)
    async with gateway.lifespan(), _client(gateway) as http:
        yield TestGateway(gateway, clock, http)


def upstream(name: str, url: str, **more: Any) -> dict[str, Any]:
    """An entry of `mcp.client_configs` that every key may use."""
    entry = {
        "name": name,
        "connection_string": url,
        "tools_to_execute": ["*"],
        "allow_on_all_virtual_keys": True,
    }
    return {**entry, **more}


def _client(gateway: Gateway, **options: Any) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=gateway.app, client=("203.0.113.7", 40_000))
    return httpx2.AsyncClient(transport=transport, base_url=ISSUER, **options)
