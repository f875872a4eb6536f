"""Real sockets on loopback: every site of these tests writes down what arrives, as the server sees it."""

import datetime as dt
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.servers import Server

START_SECONDS = 20.0
WAIT_SECONDS = 5.0
CALLBACK_PAGE = b"<!DOCTYPE html><link rel=icon href=data:,><title>Client</title><h1>Back at the client</h1>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it arrived. Header names are in lower case."""

    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))


@dataclass(slots=True)
class Recording:
    """An ASGI application and the requests it has had."""

    app: ASGIApp
    requests: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self.requests.append(
                Seen(
                    method=scope["method"],
                    path=scope["path"],
                    raw_query=scope["query_string"].decode("latin-1"),
                    headers=headers,
                )
            )
        await self.app(scope, receive, send)

    def arrived(self, path: str, *, method: str = "GET") -> list[Seen]:
        return [seen for seen in self.requests if seen.path == path and seen.method == method]


@dataclass(slots=True)
class Site:
    """Pages of somebody else: those in `pages` by path, and one that a client shows when a person comes back."""

    pages: dict[str, str] = field(default_factory=dict)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = self.pages.get(scope["path"], "").encode() or CALLBACK_PAGE
        headers = [(b"content-type", b"text/html; charset=utf-8"), *self.headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def bound() -> tuple[socket.socket, int]:
    """A listening socket and its port: known before the application that needs to know it is built."""
    listening = socket.create_server(("127.0.0.1", 0))
    return listening, int(listening.getsockname()[1])


@contextmanager
def serving(app: Any, listening: socket.socket, *, certificate: Path | None = None) -> Iterator[None]:
    """Answers on the socket, with TLS when there is a certificate, for as long as the block lasts."""
    config = uvicorn.Config(
        app,
        log_level="critical",
        ws="none",
        lifespan="auto",
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate,
    )
    server = Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        if not server.ready.wait(START_SECONDS):
            raise RuntimeError(f"the server did not start in {START_SECONDS:g} seconds")
        yield
    finally:
        server.end()
        thread.join(START_SECONDS)
        listening.close()


def wait_until(happened: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """For things that arrive at another thread. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {seconds:g} seconds")
        time.sleep(0.01)


def write_certificate(path: Path, *hosts: str) -> Path:
    """A self-signed certificate with its key, in one PEM file, for these names and 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    today = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *(x509.DNSName(host) for host in hosts)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today)
        .not_valid_after(today + dt.timedelta(days=365 * 80))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return path
