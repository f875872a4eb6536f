"""A copy of the SQLite file as it is at one moment, made while other processes read and write it."""

import contextlib
import os
import sqlite3
from pathlib import Path

from bifrost.storage.database import StorageUnavailable

_SOUND = "ok"


def copy(source: Path, target: Path) -> None:
    """Write the copy to `target`, a new file for its owner alone, and check that it can be read. Nobody waits for it.

    Raises StorageUnavailable; then there is no such file.
    """
    try:
        if not source.is_file():
            raise FileNotFoundError(2, os.strerror(2), str(source))  # SQLite would make one
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise StorageUnavailable(reason=f"{error.filename}: {error.strerror}") from error
    try:
        _copied(source, target)
    except sqlite3.DatabaseError as error:
        target.unlink()
        raise StorageUnavailable(reason=str(error)) from error


def _copied(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as read, contextlib.closing(sqlite3.connect(target)) as written:
        read.backup(written)  # all pages in one step: what is written meanwhile goes to the log and not into the copy
        (found,) = written.execute("PRAGMA quick_check(1)").fetchone()
    if found != _SOUND:
        raise sqlite3.DatabaseError(found)
