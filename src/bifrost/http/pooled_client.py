"""A lean HTTP/1.1 client for the way to upstreams: pooled connections; no redirects, cookies, proxies or codings.

`http/client.py` says where a request may go; this one takes it there. An address is judged after resolution and the
connection made to exactly that address.
"""

import asyncio
import functools
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bifrost.http import tls
from bifrost.http.client_connection import (
    Answer,
    ClientConnection,
    ConnectionEnded,
    HttpFailed,
    NotAllowed,
    NotTrusted,
)
from bifrost.http.names import Names
from bifrost.http.tls import MACHINE, Trust

MAX_CONNECTIONS_PER_ORIGIN = 512
"""A call that waits for a person, and a stream that waits for news, each keep one."""

CONNECT_SECONDS = 5.0
NEXT_ADDRESS_SECONDS = 1.5
"""For one address while there is another to try."""

IDLE_SECONDS = 30.0
SAFE_METHODS = ("GET",)
METHODS = (*SAFE_METHODS, "POST", "DELETE")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?][!-\"$-~]*)?(?:#[!-~]*)?"
)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_OURS = frozenset(
    (
        "host",
        "accept-encoding",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "expect",
        "te",
    )
)
_MAX_PORT = 65_535


class RequestRefused(ValueError):
    """A URL or header that this client does not send."""


@dataclass(frozen=True, slots=True)
class Origin:
    """`trust` is part of it: a connection made under one is never used under another.

    So is whether it carries what lasts: streams that are only listened to never take the connections calls need.
    """

    scheme: str
    host: str
    port: int
    trust: Trust = MACHINE
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """Where a request goes, and all of its head that does not depend on its body: made once, it can be sent often."""

    origin: Origin
    method: str
    lines: bytes = field(repr=False)

    def request(self, body: bytes, more: bytes = b"") -> bytes:
        """`more` are further lines of the head."""
        if body or self.method == "POST":
            return b"%b%bContent-Length: %d\r\n\r\n%b" % (self.lines, more, len(body), body)
        return b"%b%b\r\n" % (self.lines, more)


@dataclass(slots=True)
class _Pool:
    """The connections to one origin. `open` counts those that are being made, too."""

    resting: list[ClientConnection] = field(default_factory=list)
    open: int = 0
    waiting: "deque[asyncio.Future[ClientConnection | None]]" = field(default_factory=deque)


class PooledClient:
    def __init__(
        self, *, vets: Callable[[str], bool] | None = None, context: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        """`vets` judges a resolved address; without it every address is good."""
        self._vets = vets
        self._tls = functools.cache(context or _machine_context)
        self._names = Names()
        self._pools: dict[Origin, _Pool] = {}
        self._connections: set[ClientConnection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def close(self) -> None:
        """Ends every connection; nothing is asked any more."""
        self._closed = True
        self._names.close()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in list(self._connections):
            connection.close()
        for _ in range(10):  # a connection that is aborted says so in one of the next rounds of the loop
            if self._connections:
                await asyncio.sleep(0)

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        seconds: float | None = None,
        repeatable: bool = False,
        trust: Trust = MACHINE,
        lasting: bool = False,
    ) -> Answer:
        """The answer, its head read. Raises RequestRefused, HttpFailed, TimeoutError.

        `seconds` is for the whole answer; without it the caller decides how long it may take. `repeatable` says that
        asking twice does no harm; any other POST is never sent again, since it may have been acted on (RFC 9110
        §9.2.2). `lasting` says that the answer is a stream without an end: those have connections of their own, and
        one too many is refused, because nobody knows when there will be room.
        """
        asked = head(method, url, headers, trust=trust, lasting=lasting)
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        return await self.send(asked, body, deadline=deadline, repeatable=repeatable)

    async def send(
        self, head: Head, body: bytes, *, more: bytes = b"", deadline: float | None = None, repeatable: bool = False
    ) -> Answer:
        """The same with a head that was made before; `more` are `field_lines` of this request alone."""
        request = head.request(body, more)
        while True:
            connection = self._rested(head.origin)
            is_fresh = False
            if connection is None:
                connection, is_fresh = await self._connection(head.origin, deadline)
            answer = connection.ask(request, deadline)
            try:
                while not answer.status:
                    await answer.news()
            except ConnectionEnded:
                if is_fresh or not (repeatable or head.method in SAFE_METHODS):
                    raise
                continue  # it was closed while it rested; sooner or later the connection is a fresh one
            except BaseException:
                answer.close()
                raise
            return answer

    # ---- connections ------------------------------------------------------------------------------------------------

    def _rested(self, origin: Origin) -> ClientConnection | None:
        """One that was used before, if there is one that is free."""
        pool = self._pools.get(origin)
        while pool is not None and pool.resting:
            connection = pool.resting.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def _connection(self, origin: Origin, deadline: float | None) -> tuple[ClientConnection, bool]:
        """One that is free, and whether it is fresh. Raises HttpFailed, TimeoutError."""
        while not self._closed:
            rested = self._rested(origin)
            if rested is not None:
                return rested, False
            pool = self._pools.setdefault(origin, _Pool())
            if pool.open < MAX_CONNECTIONS_PER_ORIGIN:
                return await self._connect(origin, pool, deadline), True
            if origin.lasting:
                raise HttpFailed("too many streams are open there")
            freed = await self._freed(pool, deadline)
            if freed is not None and freed.is_usable():
                return freed, False
        raise HttpFailed("the client is closed")

    async def _freed(self, pool: _Pool, deadline: float | None) -> ClientConnection | None:
        """Waits until a connection is free, or (None) until there is room for another."""
        turn: asyncio.Future[ClientConnection | None] = asyncio.get_running_loop().create_future()
        pool.waiting.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                return await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # it came too late for us: the next one takes it
                self._hand_on(pool, turn.result())
            raise

    async def _connect(self, origin: Origin, pool: _Pool, deadline: float | None) -> ClientConnection:
        pool.open += 1
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline), asyncio.timeout(CONNECT_SECONDS):
                connection = await self._dial(origin, pool)
        except BaseException as error:
            self._one_less(origin, pool)
            if isinstance(error, TimeoutError) and (deadline is None or loop.time() < deadline):
                raise HttpFailed(f"no connection within {CONNECT_SECONDS:g} seconds") from error
            raise
        self._connections.add(connection)
        if self._closed:  # while it was being made
            connection.close()
            raise HttpFailed("the client is closed")
        return connection

    async def _dial(self, origin: Origin, pool: _Pool) -> ClientConnection:
        """Raises HttpFailed when no address of the host answers, or none may be asked."""
        addresses = await self._resolved(origin)
        failure: OSError = NotAllowed("no address of the host may be contacted")
        for index, (family, address) in enumerate(addresses):
            seconds = NEXT_ADDRESS_SECONDS if index + 1 < len(addresses) else None
            try:
                async with asyncio.timeout(seconds):
                    return await self._dial_address(origin, pool, family, address)
            except (OSError, ssl.SSLError) as error:
                failure = error
        if isinstance(failure, ssl.SSLCertVerificationError):
            raise NotTrusted("the certificate is not trusted") from failure
        if isinstance(failure, NotAllowed):
            raise failure
        raise HttpFailed(f"no connection: {failure}") from failure

    async def _resolved(self, origin: Origin) -> list[tuple[socket.AddressFamily, Any]]:
        """The addresses of the host that may be contacted, each once."""
        try:
            found = await self._names.addresses(origin.host, origin.port)
        except (OSError, UnicodeError, RuntimeError) as error:  # RuntimeError: it is closed
            raise HttpFailed("the name of the host is not known") from error
        return [(family, address) for family, address in found if self._may_contact(str(address[0]))]

    def _may_contact(self, address: str) -> bool:
        return self._vets is None or self._vets(address)

    async def _dial_address(
        self, origin: Origin, pool: _Pool, family: socket.AddressFamily, address: Any
    ) -> ClientConnection:
        loop = asyncio.get_running_loop()
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a stream whose other end has vanished ends
            await loop.sock_connect(made, address)
            _, connection = await loop.create_connection(
                lambda: ClientConnection(partial(self._hand_on, pool), partial(self._lost, origin, pool)),
                sock=made,
                ssl=self._context(origin) if origin.scheme == "https" else None,
                server_hostname=origin.host if origin.scheme == "https" else None,
            )
        except BaseException:
            made.close()
            raise
        return connection

    def _context(self, origin: Origin) -> ssl.SSLContext:
        return self._tls() if origin.trust == MACHINE else tls.context(origin.trust)

    def _hand_on(self, pool: _Pool, free: ClientConnection | None) -> None:
        """A connection that is free, or (None) the room for one, to whoever waits longest."""
        while pool.waiting:
            turn = pool.waiting.popleft()
            if not turn.done():
                turn.set_result(free)
                return
        if free is not None:
            pool.resting.append(free)
            if self._sweep is None:
                self._sweep = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._close_rested)

    def _lost(self, origin: Origin, pool: _Pool, connection: ClientConnection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            if connection in pool.resting:
                pool.resting.remove(connection)
            self._one_less(origin, pool)

    def _one_less(self, origin: Origin, pool: _Pool) -> None:
        pool.open -= 1
        self._hand_on(pool, None)
        if pool.open == 0 and not pool.waiting and self._pools.get(origin) is pool:
            del self._pools[origin]

    def _close_rested(self) -> None:
        self._sweep = None
        for pool in list(self._pools.values()):
            for connection in list(pool.resting):
                if connection.rested_for() >= IDLE_SECONDS:
                    connection.close()
            if pool.resting and self._sweep is None:
                self._sweep = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._close_rested)


@functools.lru_cache(maxsize=1_024)
def locate(url: str) -> tuple[Origin, str, str]:
    """Where to connect, the Host field, and the request target. Raises RequestRefused."""
    match = _URL.fullmatch(url)
    if match is None:
        raise RequestRefused("not a URL that can be asked")
    scheme, host, default = match["scheme"], match["host"].lower(), _DEFAULT_PORTS[match["scheme"]]
    port = int(match["port"] or default)
    if not 0 < port <= _MAX_PORT:
        raise RequestRefused("not a port")
    target = match["target"] or "/"
    origin = Origin(scheme, host.strip("[]"), port)
    return origin, host if port == default else f"{host}:{port}", target if target.startswith("/") else f"/{target}"


def head(method: str, url: str, headers: Mapping[str, str], *, trust: Trust = MACHINE, lasting: bool = False) -> Head:
    """For `PooledClient.send`; what it means is said at `PooledClient.ask`. Raises RequestRefused."""
    origin, host, target = locate(url)
    if trust is not MACHINE and trust != MACHINE:
        origin = replace(origin, trust=trust)
    if lasting:
        origin = replace(origin, lasting=True)
    if method not in METHODS:
        raise RequestRefused("not a method that this client knows")
    first = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\n"
    return Head(origin, method, first.encode("latin-1") + field_lines({"User-Agent": "bifrost", **headers}))


def field_lines(headers: Mapping[str, str]) -> bytes:
    """Raises RequestRefused: nothing that is put into a field can become another field, or another request."""
    fields = {}
    for name, value in headers.items():
        plain = value.isascii() and value.isprintable()  # what most are; the pattern says what else may be
        if not plain and not _VALUE.fullmatch(value):
            raise RequestRefused("not a header field that can be sent")
        fields[_name(name)] = f"{name}: {value}\r\n"  # one of a name: two would be read in two ways
    return "".join(fields.values()).encode("latin-1")


@functools.lru_cache(maxsize=1_024)
def _name(name: str) -> str:
    """In lower case. Raises RequestRefused."""
    if _NAME.fullmatch(name) is None or name.lower() in _OURS:
        raise RequestRefused("not a header field that can be sent")
    return name.lower()


def _machine_context() -> ssl.SSLContext:
    """One for the process: reading the authorities' certificates takes many times as long as a request."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
