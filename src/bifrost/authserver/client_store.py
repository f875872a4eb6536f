"""What is remembered of clients: those an administrator registered, and those that somebody has allowed once."""

from collections.abc import Sequence
from typing import Protocol

from bifrost.authserver.models import Client, ClientChange, ClientPage, ClientRecord, UsedAssertion


class ClientStore(Protocol):
    async def client(self, client_id: str) -> ClientRecord | None: ...

    async def renew_document(self, record: ClientRecord) -> None:
        """Write a newer copy of a document over the one that is kept; one that is not kept stays out."""

    async def use_assertion(self, used: UsedAssertion, share: int, now: int) -> bool:
        """False when it was used before. Of parallel calls with one assertion exactly one returns True.

        Raises AssertionsTooMany when `share` assertions of this client are remembered; requests of the same moment may
        pass it by their number.
        """
        ...

    async def drop_assertions(self, before: int) -> None:
        """Those that expired before this time."""

    async def add_client(self, record: ClientRecord, config_mac: str) -> bool:
        """False when the client id is taken; then nothing was written."""
        ...

    async def reconfigure_client(self, record: ClientRecord, config_mac: str) -> bool:
        """Write it over the pre-registered client of this id, unless that is so already or was changed otherwise."""
        ...

    async def client_by_row(self, row_id: str) -> ClientRecord | None: ...

    async def clients(self, search: str, limit: int, offset: int, now: int) -> ClientPage: ...

    async def living_grants(self, client_id: str, now: int) -> int:
        """How many it has."""
        ...

    async def change_client(self, row_id: str, change: ClientChange, now: int) -> ClientRecord | None:
        """As it is afterwards. The grants that the change forbids are revoked in the same transaction."""
        ...

    async def remove_client(self, row_id: str, now: int) -> None:
        """With every grant it has, and what is remembered of consents to it."""

    async def without_row(self, now: int) -> list[str]:
        """Ids of clients that have a living grant and no row."""
        ...

    async def adopt(self, clients: Sequence[Client], now: int) -> None:
        """Write a row for each that has none."""
