"""`bifrost db`: a backup, what is to be done after one was put back, and the way from SQLite to PostgreSQL."""

import argparse
import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

from bifrost import bootstrap
from bifrost.audit.trail import COMMAND_LINE, Trail
from bifrost.base.clock import SystemClock
from bifrost.base.events import Event, Name
from bifrost.cli.opened import with_gateway
from bifrost.cli.serve import load
from bifrost.settings import ConfigurationError, Settings
from bifrost.storage import sqlite_backup, sqlite_import
from bifrost.storage.audit import SqlAuditStore
from bifrost.storage.database import Database
from bifrost.storage.migrate import NewerSchemaError, migrate
from bifrost.storage.sqlite import SqliteDatabase
from bifrost.telemetry import logging

BACKUP = """\
Copy the database and the key ring, as they are at one moment, into a new directory that only its owner can read. The
gateway may go on running. Keep the copy as safe as the data directory itself: it opens everything. For SQLite; of
PostgreSQL, pg_dump makes the copy.
"""

RESTORED = """\
To be run after an older database was put back, before or while the gateway serves. The backup does not know which
codes, refresh tokens, links and sessions were used or ended since it was made, so all of them end: clients and
administrators sign in anew. Virtual keys, administrators' tokens and connected accounts stay as they were at the time
of the backup; look through them for what was revoked since.
"""

IMPORT = """\
Bring everything of a SQLite database into the PostgreSQL database that the configuration names, which must be empty:
keys, tokens, accounts, consents and the audit trail. Clients notice nothing. The gateway is stopped meanwhile, and has
the same encryption keys afterwards. A command that was stopped half-way has brought nothing, and is given again.
"""


def add_to(commands: Any, with_config: argparse.ArgumentParser) -> None:
    words = "back the database up, put a backup back, move from SQLite to PostgreSQL"
    database = commands.add_parser("db", help=words, description=f"{words[0].upper()}{words[1:]}.")
    actions = database.add_subparsers(title="actions", metavar="ACTION", required=True)
    backup = actions.add_parser(
        "backup", parents=[with_config], help="copy the database and the key ring", description=BACKUP
    )
    backup.add_argument("directory", type=Path, help="where to put them; it must not exist yet")
    backup.set_defaults(run=_backup)
    restored = actions.add_parser(
        "restored", parents=[with_config], help="end everything that a backup would bring to life", description=RESTORED
    )
    restored.set_defaults(run=_restored)
    brought = actions.add_parser(
        "import", parents=[with_config], help="bring a SQLite database into a PostgreSQL one", description=IMPORT
    )
    brought.add_argument("file", type=Path, help="the SQLite database, for example data/bifrost.db")
    brought.set_defaults(run=_import)


def _backup(chosen: argparse.Namespace) -> int:
    """Raises ConfigurationError, StorageUnavailable."""
    loaded = load(chosen.config)
    kind, _, path = loaded.storage_url.partition(":///")
    if kind != "sqlite":
        raise ConfigurationError(
            "The database is PostgreSQL's: make the copy with pg_dump, and keep the encryption keys with it "
            f"({_where_keys_are(loaded)})."
        )
    source, directory = Path(path), chosen.directory
    try:
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"The directory {directory} cannot be made: {error.strerror}.") from error
    try:
        sqlite_backup.copy(source, directory / source.name)
        # afterwards: a key that was put in front meanwhile is in the file, and those before it stay there
        copied = [source.name, *_key_file_copied(loaded, directory)]
    except BaseException:
        shutil.rmtree(directory)
        raise
    print(f"Copied {' and '.join(copied)} to {directory}.")
    if loaded.encryption_keys:
        print("The encryption keys come from the configuration: without them nobody can use the copy.")
    return 0


def _key_file_copied(loaded: Settings, directory: Path) -> list[str]:
    """Raises ConfigurationError."""
    if loaded.encryption_keys:
        return []
    file = Path(loaded.data_dir, bootstrap.KEY_FILE)
    try:
        descriptor = os.open(directory / file.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as copied:
            copied.write(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"The key file {file} cannot be copied: {error.strerror}.") from error
    return [file.name]


def _where_keys_are(loaded: Settings) -> str:
    return "encryption_keys" if loaded.encryption_keys else str(Path(loaded.data_dir, bootstrap.KEY_FILE))


def _restored(chosen: argparse.Namespace) -> int:
    """Raises ConfigurationError, StorageUnavailable."""
    ended = with_gateway(chosen.config, lambda gateway: gateway.restored.end_everything())
    print(
        f"Ended {ended} sessions of clients, and every sign-in, link and administrator's session. Now look through the "
        "virtual keys and administrators' tokens for what was revoked after the backup was made."
    )
    return 0


def _import(chosen: argparse.Namespace) -> int:
    """Raises ConfigurationError, StorageUnavailable."""
    loaded = load(chosen.config)
    if loaded.storage_url.startswith("sqlite:"):
        raise ConfigurationError("Name the PostgreSQL database that it goes to in storage.url (BIFROST_STORAGE_URL).")
    if not chosen.file.is_file():
        raise ConfigurationError(f"There is no file {chosen.file}.")
    logging.configure("warning")
    count = asyncio.run(_imported(loaded, chosen.file))
    print(f"Brought {count} rows of {chosen.file} into the PostgreSQL database.")
    return 0


async def _imported(loaded: Settings, file: Path) -> int:
    ring = bootstrap.key_ring(loaded)
    source, target = SqliteDatabase(file), bootstrap.database(loaded)
    try:
        # the file has every migration then, and the keys are those that it was written with
        await bootstrap.prepare(loaded, source, SystemClock(), ring)
        await source.close()
        return await _brought_in(file, target)
    finally:
        await source.close()
        await target.close()


async def _brought_in(file: Path, target: Database) -> int:
    await target.open()
    try:
        await migrate(target, SystemClock())
        count = await sqlite_import.bring_in(file, target)
    except NewerSchemaError as error:
        raise ConfigurationError(str(error)) from error
    except sqlite_import.NotEmptyError as error:
        raise ConfigurationError(
            f"The PostgreSQL database is not empty: there are rows in {error} already. Make a new one for the import."
        ) from error
    await Trail(SqlAuditStore(target), SystemClock()).record([Event(name=Name.DATABASE_IMPORTED)], COMMAND_LINE)
    return count
