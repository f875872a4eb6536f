"""Everything that is sealed with the key ring, in one list, and sealing all of it anew when the ring has a new key.

A column that is not in the list would be lost with an old key; a test walks the schema for such columns.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import aiosql
import structlog

from bifrost.authserver import sealed_clients, signing_keys
from bifrost.base.sealing import KEY_BYTES, KeyRing, SealBrokenError, key_id, name_key_id, sealed_prefix
from bifrost.storage.database import Database, Queries, Row, queries
from bifrost.upstreams import vault
from bifrost.upstreams.accounts import Owner

BATCH_ROWS = 100
"""One transaction each, so that a gateway that is running never waits long."""

MAX_PASSES = 10
PREFIX_CHARACTERS = len(sealed_prefix(key_id(bytes(KEY_BYTES))))
INSTALLATION = {"key_check": "installation", vault.CLIENT_KEY: vault.CLIENT_KEY}
"""The sealed values of the table `installation`, by name: what each is sealed for. Its owner is its name."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedColumn:
    """Where something sealed is kept. `owner` gives the associated data of a row; rows that it does not know stay."""

    table: str
    key: tuple[str, ...]
    """The columns of the primary key, all of them texts."""
    column: str
    use: Callable[[Row], str | None]
    owner: Callable[[Row], str]

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


def _always(use: str) -> Callable[[Row], str]:
    return lambda _row: use


def _credential_owner(row: Row) -> str:
    return vault.credential_owner(row["upstream_id"], Owner(row["owner_kind"], row["owner_id"]))


COLUMNS = (
    SealedColumn(
        table="upstreams",
        key=("id",),
        column="sealed_headers",
        use=_always(vault.HEADERS),
        owner=lambda row: str(row["id"]),
    ),
    SealedColumn(
        table="upstreams",
        key=("id",),
        column="sealed_oauth_config",
        use=_always(vault.OAUTH_CONFIG),
        owner=lambda row: str(row["id"]),
    ),
    SealedColumn(
        table="upstream_registrations",
        key=("upstream_id", "issuer", "redirect_uri"),
        column="sealed",
        use=_always(vault.REGISTRATION),
        owner=lambda row: str(row["upstream_id"]),
    ),
    SealedColumn(
        table="upstream_sign_ins",
        key=("state_hash",),
        column="sealed",
        use=_always(vault.SIGN_IN),
        owner=lambda row: str(row["state_hash"]),
    ),
    SealedColumn(
        table="upstream_credentials",
        key=("upstream_id", "owner_kind", "owner_id"),
        column="sealed",
        use=_always(vault.CREDENTIAL),
        owner=_credential_owner,
    ),
    SealedColumn(
        table="signing_keys",
        key=("kid",),
        column="sealed_private",
        use=_always(signing_keys.USE),
        owner=lambda row: str(row["kid"]),
    ),
    # last: the check that every start makes must not pass with the new key alone while anything needs an old one
    SealedColumn(
        table="installation",
        key=("name",),
        column="value",
        use=lambda row: INSTALLATION.get(row["name"]),
        owner=lambda row: str(row["name"]),
    ),
)


@dataclass(slots=True)
class Totals:
    """What one run did, by column."""

    resealed: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    """Values that no key of the ring opens: to take out an old key changes nothing for them."""
    contended: set[str] = field(default_factory=set)
    """Columns whose values somebody went on sealing with an older key all the time."""


@dataclass(frozen=True, slots=True)
class Resealing:
    """Runs beside a gateway: a value is replaced only if it still is the one that was opened.

    Whatever was done stays done when it is killed, and the next run goes on with what is left.
    """

    database: Database
    ring: KeyRing
    progress: Callable[[SealedColumn, Totals], None] = lambda _column, _totals: None

    async def run(self) -> Totals:
        """Until nothing is left under an older key. Raises StorageUnavailable."""
        totals = Totals()
        for column in COLUMNS:
            for _ in range(MAX_PASSES):
                if not await self._pass(column, totals):
                    break
            else:
                totals.contended.add(str(column))
        return totals

    async def clients_of_older_keys(self, now: int) -> int:
        """How many registrations in use were made under an older key: their client ids die with it."""
        named = queries("sealed", self.database.driver)
        async with self.database.read() as connection:
            held = [row["client_id"] async for row in named.clients_in_use(connection, now=now)]
        return sum(_registered_under(client_id) not in (None, self.ring.sealing_id) for client_id in held)

    async def _pass(self, column: SealedColumn, totals: Totals) -> bool:
        """Once through the column; whether a row was changed by somebody else meanwhile."""
        named = statements(column, self.database.driver)
        after = dict.fromkeys(column.key, "")
        totals.unreadable.pop(str(column), None)
        overtaken = False
        while True:
            async with self.database.read() as connection:
                found = named.older(connection, prefix=sealed_prefix(self.ring.sealing_id), limit=BATCH_ROWS, **after)
                batch = [dict(row) async for row in found]
            if not batch:
                return overtaken
            overtaken |= await self._replace(column, named, batch, totals)
            after = {name: batch[-1][name] for name in column.key}
            self.progress(column, totals)

    async def _replace(self, column: SealedColumn, named: Queries, batch: list[dict[str, Any]], totals: Totals) -> bool:
        fresh = [(row, sealed) for row in batch if (sealed := self._resealed(column, row, totals))]
        written = 0
        async with self.database.transaction() as connection:
            for row, sealed in fresh:
                key = {name: row[name] for name in column.key}
                replaced = await named.replace(connection, old=row[column.column], new=sealed, **key)
                written += replaced is not None
        totals.resealed[str(column)] += written
        return written != len(fresh)

    def _resealed(self, column: SealedColumn, row: Mapping[str, Any], totals: Totals) -> str | None:
        use = column.use(row)
        if use is None:
            return None
        owner = column.owner(row)
        try:
            plain = self.ring.open(row[column.column], use=use, owner=owner)
        except SealBrokenError:
            totals.unreadable[str(column)] += 1
            log.warning("sealed_value_unreadable", column=str(column), row=[row[name] for name in column.key])
            return None
        return self.ring.seal(plain, use=use, owner=owner)


def _registered_under(client_id: str) -> str | None:
    """The id of the key that sealed a client id; None for one that this server did not make."""
    if not client_id.startswith(sealed_clients.PREFIX):
        return None
    try:
        return name_key_id(client_id.removeprefix(sealed_clients.PREFIX))
    except SealBrokenError:
        return None


@cache
def statements(column: SealedColumn, driver: str) -> Queries:
    """The two statements of one column; the names in them come from the list above and from nowhere else."""
    keys = ", ".join(column.key)
    positions = ", ".join(f":{name}" for name in column.key)
    same = " AND ".join(f"{name} = :{name}" for name in column.key)
    text = f"""
-- name: older
SELECT {keys}, {column.column} FROM {column.table}
WHERE {column.column} <> '' AND substr({column.column}, 1, {PREFIX_CHARACTERS}) <> :prefix
  AND ({keys}) > ({positions})
ORDER BY {keys} LIMIT :limit;

-- name: replace$
UPDATE {column.table} SET {column.column} = :new WHERE {same} AND {column.column} = :old RETURNING 1;
"""  # noqa: S608
    return aiosql.from_str(text, driver, mandatory_parameters=False)
