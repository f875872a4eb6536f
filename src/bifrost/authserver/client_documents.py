"""Clients whose id is the address of their metadata document: fetched, judged, kept for a while.

An answer is used as long as its own headers say, within bounds; no error is ever remembered. When the host does not
answer, the last good copy goes on, so that nobody is logged out by an outage elsewhere. The copy of a client that
somebody has allowed is in the database; all others are in this process only, so that strangers fill nothing.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import structlog

from bifrost.authserver.client_store import ClientStore
from bifrost.authserver.errors import ClientRefused, ClientUnreachable
from bifrost.authserver.fetching import Fetching
from bifrost.authserver.models import Client, ClientRecord
from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Invalid, TooMany
from bifrost.base.singleflight import SingleFlight
from bifrost.http import strict_json
from bifrost.http.client import Fetched, OutsideUnreachable, OutsideUrlRefused
from bifrost.protocol import client_id_metadata, hosts, redirect_uri
from bifrost.protocol.client_id_metadata import DocumentError

FETCH_SECONDS = 5.0
"""For a whole document, however slowly its bytes come."""
MIN_FRESH_SECONDS, MAX_FRESH_SECONDS, DEFAULT_FRESH_SECONDS = 60, 24 * 3_600, 3_600
RETRY_SECONDS = 30
"""How long the last good copy is used before a host that did not answer is asked again."""
STALE_SECONDS = 30 * 24 * 3_600
"""How old the last good copy may become while its host does not answer."""
MAX_COPIES = 1_000
HTTP_OK, HTTP_GONE = 200, (404, 410)

_MAX_AGE = re.compile(r"max-age=\"?([0-9]{1,10})\"?")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPolicy:
    """Whose documents are read. Without allowed hosts everybody's are, but for the blocked ones."""

    enabled: bool = True
    loopback: bool = False
    """Whether this machine may publish documents: only while the server itself is on loopback."""
    allowed_hosts: tuple[str, ...] = ()
    blocked_hosts: tuple[str, ...] = ()

    def host_of(self, url: str) -> str:
        """The host that vouches for the client. Raises ClientRefused."""
        if not self.enabled:
            raise ClientRefused("Client id metadata documents are switched off here. Register the client instead.")
        host = client_id_metadata.host_of(url, loopback=self.loopback)
        if host is None:
            raise ClientRefused("This client_id is not the address of a client id metadata document.")
        blocked = hosts.is_listed(host, self.blocked_hosts)
        if blocked or (self.allowed_hosts and not hosts.is_listed(host, self.allowed_hosts)):
            raise ClientRefused(f"Clients of {host} are not allowed here. Ask whoever runs this gateway.")
        return host


class ClientDocuments:
    def __init__(
        self,
        fetching: Fetching,
        store: ClientStore,
        policy: DocumentPolicy,
        app_schemes: Collection[str],
        clock: Clock,
    ) -> None:
        self._fetching = fetching
        self._store = store
        self._policy = policy
        self._app_schemes = app_schemes
        self._clock = clock
        self._copies: OrderedDict[str, ClientRecord] = OrderedDict()
        self._flights: SingleFlight[Client] = SingleFlight()

    async def resolve(self, url: str) -> Client:
        """Raises ClientRefused, ClientUnreachable, TooMany."""
        host = self._policy.host_of(url)
        copy = self._copies.get(url)
        if copy and copy.fresh_until > self._clock.now():
            return copy.client
        return await self._flights.do(url, lambda: self._renewed(url, host))

    def copy_of(self, url: str) -> ClientRecord | None:
        """What is kept when somebody allows the client."""
        return self._copies.get(url)

    async def _renewed(self, url: str, host: str) -> Client:
        known = [copy for copy in (self._copies.get(url), await self._kept(url)) if copy]
        copy = max(known, key=lambda one: one.fresh_until, default=None)
        if copy is None or copy.fresh_until <= self._clock.now():
            allowed = any(one.id for one in known)
            copy = await self._fetched_or_kept(url, host, copy, allowed=allowed)
            if allowed:
                await self._store.renew_document(copy)
        self._copies[url] = copy
        self._copies.move_to_end(url)
        if len(self._copies) > MAX_COPIES:
            self._copies.popitem(last=False)
        return copy.client

    async def _fetched_or_kept(self, url: str, host: str, kept: ClientRecord | None, *, allowed: bool) -> ClientRecord:
        try:
            copy = await self._fetched(url, host, allowed=allowed)
        except (ClientUnreachable, TooMany, _NotADocumentError) as error:
            return self._usable_still(url, kept, error)
        if kept and kept.client != copy.client:
            log.info("client_document_changed", client_id=url)
        return copy

    def _usable_still(self, url: str, kept: ClientRecord | None, error: Exception) -> ClientRecord:
        now = self._clock.now()
        if kept is None or kept.fetched_at + STALE_SECONDS * SECOND <= now:
            if isinstance(error, _NotADocumentError):
                raise ClientRefused(str(error)) from error
            raise error
        log.warning("client_document_stale", client_id=url, reason=str(error))
        return replace(kept, fresh_until=now + RETRY_SECONDS * SECOND)

    async def _kept(self, url: str) -> ClientRecord | None:
        """The copy in the database, judged by the rules of today."""
        record = await self._store.client(url)
        if record is None or record.client.origin != "document":
            return None
        uris = tuple(uri for uri in record.client.redirect_uris if not redirect_uri.refusal(uri, self._app_schemes))
        return replace(record, client=replace(record.client, redirect_uris=uris)) if uris else None

    async def _fetched(self, url: str, host: str, *, allowed: bool) -> ClientRecord:
        answer = await self._asked(url, allowed=allowed)
        if answer.status in HTTP_GONE:
            raise ClientRefused("There is no client id metadata document at this client_id (any more).")
        if answer.status != HTTP_OK:
            log.info("client_document_unreachable", client_id=url, reason=f"status {answer.status}")
            raise ClientUnreachable
        if not client_id_metadata.is_json(answer.headers.get("Content-Type", "")):
            raise _NotADocumentError("What stands at this client_id is not JSON by its Content-Type.")
        now = self._clock.now()
        return ClientRecord(
            client=self._read(answer.body, url, host),
            fetched_at=now,
            fresh_until=now + fresh_seconds(answer.headers) * SECOND,
        )

    async def _asked(self, url: str, *, allowed: bool) -> Fetched:
        """One error for whatever keeps a document from being read, so that it tells nothing of the network.

        Whoever runs the gateway finds the cause in the log.
        """
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return await self._fetching.fetch(
                    url, allowed=allowed, headers={"Accept": "application/json"}, max_bytes=client_id_metadata.MAX_BYTES
                )
        except (OutsideUrlRefused, OutsideUnreachable, TimeoutError) as error:
            cause = error.__cause__ or error
            log.info("client_document_unreachable", client_id=url, reason=f"{type(cause).__name__}: {cause}")
            raise ClientUnreachable from error

    def _read(self, body: bytes, url: str, host: str) -> Client:
        try:
            document = client_id_metadata.read(strict_json.loads(body), url, self._app_schemes)
        except Invalid as error:
            raise _NotADocumentError(f"The document at this client_id cannot be read: {error.message}") from error
        except DocumentError as error:
            raise _NotADocumentError(f"The document at this client_id {error}.") from error
        return Client(
            client_id=url,
            client_name=document.metadata.client_name,
            redirect_uris=document.metadata.redirect_uris,
            grant_types=document.metadata.grant_types,
            token_endpoint_auth_method=document.metadata.token_endpoint_auth_method,
            origin="document",
            verified_host=host,
            jwks=document.jwks,
            jwks_uri=document.jwks_uri,
            require_pushed_authorization_requests=document.metadata.require_pushed_authorization_requests,
            dpop_bound_access_tokens=document.metadata.dpop_bound_access_tokens,
        )


def fresh_seconds(headers: Mapping[str, str]) -> int:
    """How long an answer may be used (RFC 9111 §5.2.2), within our bounds; 0 when it is not to be reused at all."""
    control = headers.get("Cache-Control", "").lower()
    if "no-store" in control or "no-cache" in control:
        return 0
    age = _MAX_AGE.search(control)
    if age is None:
        return DEFAULT_FRESH_SECONDS
    return max(MIN_FRESH_SECONDS, min(int(age[1]), MAX_FRESH_SECONDS)) if int(age[1]) else 0


class _NotADocumentError(Exception):
    """Something answered, but not with a usable document."""
