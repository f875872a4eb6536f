"""Numbered migrations, forward only, each in a transaction that one process at a time can hold."""

from collections.abc import Iterator
from importlib.resources import files

import structlog

from bifrost.base.clock import Clock
from bifrost.storage.database import Database, queries

_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     BIGINT PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at BIGINT NOT NULL
);
"""

log = structlog.get_logger()


class NewerSchemaError(Exception):
    """A newer version has changed this database in ways that this one does not know."""


async def migrate(database: Database, clock: Clock) -> list[str]:
    """Bring the schema up to date and return the names of what was applied.

    Raises NewerSchemaError, StorageUnavailable.
    """
    named = queries("installation", database.driver)
    applied = []
    async with database.migration_lock() as connection:
        await database.run_script(connection, _VERSIONS)
        known = {row["number"] async for row in named.applied_migrations(connection)}
        ours = tuple(migrations(database.dialect))
        _check_known(known, ours[-1][0])
        for number, name, script in ours:
            if number in known:
                continue
            await database.run_script(connection, script)
            await named.record_migration(connection, number=number, name=name, applied_at=clock.now())
            applied.append(name)
    if applied:
        log.info("migrations_applied", first=applied[0], last=applied[-1])
    return applied


def _check_known(applied: set[int], newest: int) -> None:
    """Raises NewerSchemaError."""
    if max(applied, default=0) > newest:
        raise NewerSchemaError(
            f"The database was changed by a newer version (migration {max(applied)}; this one knows {newest}). Start "
            "that version, or put back the backup from before the update."
        )


def migrations(dialect: str = "sqlite") -> Iterator[tuple[int, str, str]]:
    """Number, name and text, in order.

    `0001_name.sql` is for both databases; what they cannot share is written twice, as `0001_name.sqlite.sql` and
    `0001_name.postgresql.sql`.
    """
    scripts = files("bifrost.storage").joinpath("migrations").iterdir()
    for script in sorted(scripts, key=lambda entry: entry.name):
        name, *written_for = script.name.removesuffix(".sql").split(".")
        if script.name.endswith(".sql") and written_for in ([], [dialect]):
            yield int(name.partition("_")[0]), name, script.read_text()
