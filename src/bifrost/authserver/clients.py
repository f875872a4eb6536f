"""The one resolver of every endpoint: what stands behind the `client_id` of a request (contract §3).

Pre-registered by an administrator, or a metadata document that the id is the address of, or an id that carries its own
registration. The three never overlap: a document's id begins with https://, a sealed one with its prefix, and an
administrator can give neither.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import structlog

from bifrost.authserver.client_documents import ClientDocuments
from bifrost.authserver.client_store import ClientStore
from bifrost.authserver.errors import ClientRefused
from bifrost.authserver.models import Client, ClientRecord, ClientStanding
from bifrost.authserver.sealed_clients import PREFIX, SealedClients
from bifrost.protocol import client_id_metadata, hosts, oauth, redirect_uri

BLOCKED = "This client is blocked by whoever runs this gateway."
MAX_OPENED = 1_000
"""Ids that are kept opened; each is asked for at every step of a sign-in."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Clients:
    sealed: SealedClients
    documents: ClientDocuments
    store: ClientStore
    blocked_hosts: Collection[str] = ()
    """Where nobody is sent back to who was not registered by an administrator; an application's place is `name://`."""
    _opened: OrderedDict[tuple[tuple[str, ...], str], Client] = field(default_factory=OrderedDict, repr=False)

    async def resolve(self, client_id: str) -> Client | None:
        """None for an unknown id. Raises ClientRefused, ClientUnreachable (documents), StorageUnavailable."""
        if client_id.startswith(PREFIX):
            return self._unblocked(self._open(client_id))
        if client_id_metadata.looks_like_url(client_id):
            return self._unblocked(await self.documents.resolve(client_id))
        record = await self.store.client(client_id)
        return record.client if record and record.client.origin == "preregistered" else None

    def _unblocked(self, client: Client | None) -> Client | None:
        """Without the redirect URIs that lead to blocked hosts. Raises ClientRefused when none is left."""
        if client is None or not self.blocked_hosts:
            return client
        kept = unblocked(client.redirect_uris, self.blocked_hosts)
        if not kept:
            raise ClientRefused(BLOCKED)
        return client if kept == client.redirect_uris else replace(client, redirect_uris=kept)

    def _open(self, client_id: str) -> Client | None:
        """Opened once for each set of keys: an id ends with the key that sealed it."""
        client = self._opened.get((self.sealed.ring.ids, client_id))
        if client is None:
            client = self.sealed.open(client_id)
            if client is not None:
                # the ring may have found new keys while it opened this
                self._opened[self.sealed.ring.ids, client_id] = client
                if len(self._opened) > MAX_OPENED:
                    self._opened.popitem(last=False)
        return client

    async def known_name(self, client_id: str) -> str:
        """What an administrator calls it, or it itself; empty when it is not known any more. Nothing is fetched."""
        record = await self.store.client(client_id)
        if record is not None:
            return record.label or record.client.client_name
        client = self.sealed.open(client_id)
        return client.client_name if client else ""

    async def standing(self, client: Client) -> ClientStanding:
        """What an administrator has decided about it. Raises ClientRefused when it is blocked."""
        record = await self.store.client(client.client_id)
        if record is None:
            return ClientStanding()
        if record.blocked_at is not None:
            raise ClientRefused(BLOCKED)
        return ClientStanding(label=record.label, scope_limit=record.scope_limit)

    async def adopt(self, now: int) -> None:
        """A row for whoever has a living grant and none, from before rows were written: it can be limited and blocked.

        Called at the start. Raises StorageUnavailable.
        """
        found = await self.store.without_row(now)
        if found:
            await self.store.adopt([self.sealed.open(client_id) or _forgotten(client_id) for client_id in found], now)
            log.info("clients_adopted", clients=len(found))

    def record_of(self, client: Client) -> ClientRecord:
        """What is kept of a client from its first consent on; of a document, with how long it may be used."""
        copy = self.documents.copy_of(client.client_id) if client.origin == "document" else None
        if copy and self._unblocked(copy.client) == client:
            return replace(copy, client=client)
        return ClientRecord(client=client)


def unblocked(uris: tuple[str, ...], blocked_hosts: Collection[str]) -> tuple[str, ...]:
    """Those that lead elsewhere."""
    if not blocked_hosts:
        return uris
    return tuple(uri for uri in uris if not hosts.is_listed(redirect_uri.target(uri).label, blocked_hosts))


def _forgotten(client_id: str) -> Client:
    """One whose id no key opens any more: it can do nothing new, but its tokens live on until somebody blocks it."""
    return Client(
        client_id=client_id,
        client_name="A client of an earlier key",
        redirect_uris=(),
        grant_types=(),
        token_endpoint_auth_method=oauth.NONE,
    )
