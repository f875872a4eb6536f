"""A gateway on a real socket, whose public URLs are the ones a browser uses, with a clock moved by hand."""

import base64
import hashlib
import secrets
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2

from bifrost.app import build
from bifrost.settings import load
from tests.browser._servers import Recording, bound, serving
from tests.support.clock import FakeClock
from tests.support.gateway import RING, configuration

AUTHORIZE = "/api/oauth/per-user/authorize"
ACTION = "/api/oauth/per-user/consent"
CLIENT_NAME = "Notebook of Ada"
TLS_HOST = "gateway.example"
"""The launched Chromium resolves names under .example to this computer."""
UPKEEP = ("check_due_at", "state", "state_reason")
"""Columns of an upstream in which the gateway notes its own checks, at any moment and whoever asks for what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserGateway:
    """`origin` is the issuer; `other_origin` is the same gateway by its second public URL."""

    origin: str
    other_origin: str
    clock: FakeClock
    recording: Recording
    database: Path
    http: httpx2.Client
    """A program; whoever it is, it has no cookies of a browser."""

    @property
    def cookie_name(self) -> str:
        return "__Host-__bifrost_flow_secret" if self.origin.startswith("https:") else "__bifrost_flow_secret"

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in a table, read beside the running gateway."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608 - our own names
        finally:
            connection.close()

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """The whole database but for `UPKEEP`, to see that no request changed anything."""
        tables = [row["name"] for row in self.rows("sqlite_master") if row["type"] == "table"]
        kept = {table: self.rows(table) for table in tables}
        for upstream in kept["upstreams"]:
            for column in UPKEEP:
                del upstream[column]
        return kept

    def application(self, *redirect_uris: str, name: str = CLIENT_NAME) -> "Application":
        """A client that registers itself (RFC 7591) and has an authorization request in hand."""
        metadata = {"client_name": name, "redirect_uris": list(redirect_uris)}
        answer = self.http.post("/api/oauth/per-user/register", json=metadata)
        assert answer.status_code == 201, answer.text
        return Application(gateway=self, registration=answer.json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    gateway: BrowserGateway
    registration: dict[str, Any]
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    state: str = field(default_factory=lambda: "state " + secrets.token_urlsafe(8))

    @property
    def redirect_uri(self) -> str:
        return str(self.registration["redirect_uris"][0])

    def authorize_url(self, *, origin: str | None = None, **changes: str | None) -> str:
        """A correct authorization request; a change to None leaves a parameter out."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": str(self.registration["client_id"]),
            "redirect_uri": self.redirect_uri,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "state": self.state,
        }
        kept = {name: value for name, value in {**parameters, **changes}.items() if value is not None}
        return f"{origin or self.gateway.origin}{AUTHORIZE}?{urlencode(kept)}"

    def redeem(self, code: str) -> dict[str, Any]:
        """The token response."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": str(self.registration["client_id"]),
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        answer = self.gateway.http.post("/api/oauth/per-user/token", data=form)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def list_tools(self, token: str) -> httpx2.Response:
        return self.gateway.http.post(
            "/mcp",
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
            headers={"Authorization": f"Bearer {token}"},
        )


@contextmanager
def running_gateway(directory: Path, *, certificate: Path | None = None, **sections: Any) -> Iterator[BrowserGateway]:
    """Started on a free port. `sections` are those of config.json."""
    listening, port = bound()
    names = (f"https://{TLS_HOST}",) if certificate else ("http://localhost", "http://127.0.0.1")
    origins = [f"{name}:{port}" for name in names]
    database = directory / "bifrost.db"
    sections["server"] = {**sections.get("server", {}), "port": port, "public_urls": origins}
    clock = FakeClock()
    settings = load(None, {}, configuration(f"sqlite:///{database}", directory, **sections))
    recording = Recording(build(settings, clock=clock, ring=RING).app)
    with serving(recording, listening, certificate=certificate), _program(origins[0], port) as http:
        yield BrowserGateway(
            origin=origins[0],
            other_origin=origins[-1],
            clock=clock,
            recording=recording,
            database=database,
            http=http,
        )


def flow_id_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["flow_id"][0]


def _program(origin: str, port: int) -> httpx2.Client:
    """Outside the browser nothing resolves .example, so the address is written out and the name is in Host."""
    url = urlsplit(origin)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return httpx2.Client(base_url=f"{url.scheme}://127.0.0.1:{port}", headers={"Host": url.netloc}, verify=context)
