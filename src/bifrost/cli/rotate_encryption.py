"""`bifrost keys rotate-encryption`: seal everything anew that is sealed under an older key of the ring."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from bifrost import bootstrap
from bifrost.audit.trail import COMMAND_LINE, Trail
from bifrost.base import events
from bifrost.base.clock import SystemClock
from bifrost.base.events import Event
from bifrost.base.key_file import KeyFileError, put_in_front
from bifrost.base.sealing import KeyRing
from bifrost.cli.serve import load
from bifrost.settings import ConfigurationError, Settings
from bifrost.storage.audit import SqlAuditStore
from bifrost.storage.database import Database
from bifrost.storage.sealed import COLUMNS, Resealing, SealedColumn, Totals
from bifrost.telemetry import logging

DESCRIPTION = """\
Seal everything in the database anew that an older key of the ring has sealed. The gateway may go on running; a command
that was stopped half-way is simply given again. Without --new-key nothing is done when there is nothing to do.
"""
_WIDTH = max(len(str(column)) for column in COLUMNS)


def add_to(actions: Any, with_config: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "rotate-encryption",
        parents=[with_config],
        help="seal what is stored with the newest encryption key",
        description=DESCRIPTION,
    )
    parser.add_argument("--new-key", action="store_true", help="first put a fresh key in front of the key file")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Raises ConfigurationError, StorageUnavailable."""
    loaded = load(chosen.config)
    logging.configure("error")
    asyncio.run(_checked(loaded))
    if chosen.new_key:
        _add_key(loaded)
        if not loaded.storage_url.startswith("sqlite:"):
            print(
                "Nothing was sealed anew yet. Copy the key file to every machine that uses this database, and give the "
                "command again without --new-key; until then other machines cannot read what this one seals."
            )
            return 0
    return asyncio.run(_reseal(loaded))


async def _checked(loaded: Settings) -> None:
    """The keys are this database's, before anything is changed."""
    database = bootstrap.database(loaded)
    try:
        await bootstrap.prepare(loaded, database, SystemClock(), bootstrap.key_ring(loaded))
    finally:
        await database.close()


def _add_key(loaded: Settings) -> None:
    if loaded.encryption_keys:
        raise ConfigurationError(
            "The keys come from the configuration, which this command does not change: put a new key in front of "
            "encryption_keys (BIFROST_ENCRYPTION_KEYS), start every process again, and give the command without "
            "--new-key."
        )
    try:
        put_in_front(_key_file(loaded))
    except (KeyFileError, OSError) as error:
        raise ConfigurationError(str(error)) from error
    print(f"A fresh key is in front of {_key_file(loaded)}. Processes that run use it from now on.", flush=True)


async def _reseal(loaded: Settings) -> int:
    ring, database = bootstrap.key_ring(loaded), bootstrap.database(loaded)
    await database.open()
    try:
        work = Resealing(database, ring, _progress)
        totals = await work.run()
        clients = await work.clients_of_older_keys(SystemClock().now())
        await _told(database, ring, totals)
    finally:
        await database.close()
    _report(totals)
    _advise(loaded, ring, totals, clients)
    return 1 if totals.contended else 0


async def _told(database: Database, ring: KeyRing, totals: Totals) -> None:
    """In the audit trail, which names the key by its id."""
    done = Event(
        name=events.Name.ENCRYPTION_ROTATED.value,
        target=ring.ids[0],
        result="failure" if totals.contended else "success",
        details={"resealed": str(totals.resealed.total())},
    )
    await Trail(SqlAuditStore(database), SystemClock()).record([done], COMMAND_LINE)


def _progress(column: SealedColumn, totals: Totals) -> None:
    print(f"  {str(column).ljust(_WIDTH)}  {totals.resealed[str(column)]}", flush=True)


def _report(totals: Totals) -> None:
    print(f"Sealed anew: {totals.resealed.total()} values in {len(COLUMNS)} columns.")
    for column, count in totals.unreadable.items():
        print(f"No key opens {count} of {column}; they were left as they are. Whoever owns them connects again.")
    for column in sorted(totals.contended):
        print(f"A process goes on sealing {column} with an older key: start it again with the new one, then repeat.")


def _advise(loaded: Settings, ring: KeyRing, totals: Totals, clients: int) -> None:
    """When an old key may go, and what dies with it."""
    _, *older = ring.ids
    if not older or totals.contended:
        return
    where = "encryption_keys" if loaded.encryption_keys else str(_key_file(loaded))
    print(
        f"Nothing that can be opened needs {', '.join(older)} any more (the keys after the first in {where}). Before "
        "you take one out, repeat this command once: a request that was under way may have used it."
    )
    print(
        f"Warning: client ids handed out under an old key end with it. Applications in use that hold one: {clients}. "
        "They would have to register again, which most do by themselves."
    )


def _key_file(loaded: Settings) -> Path:
    return Path(loaded.data_dir, bootstrap.KEY_FILE)
