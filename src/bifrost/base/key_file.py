"""The key ring's file in the data directory: made once with mode 0600; `put_in_front` is all that ever changes it.

A ring that came from a file looks whether the file has changed, so that no process has to be started again.
"""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from bifrost.base.ids import random_bytes
from bifrost.base.sealing import KEY_BYTES, KeyRing, SealBrokenError, decode, encode

_UNFINISHED = ".new"

log = structlog.get_logger()


class KeyFileError(Exception):
    """One sentence on what is wrong with the keys and how to put it right."""


def ring_from_text(keys: list[str]) -> KeyRing:
    """Keys as configured: base64url of 32 bytes each, the sealing one first. Raises KeyFileError."""
    try:
        return KeyRing(_decoded(keys))
    except (SealBrokenError, ValueError) as error:
        raise KeyFileError(
            "Every encryption key must be 32 bytes in base64url (make one with: "
            "python3 -c 'import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())')."
        ) from error


def ring_from_file(path: Path) -> KeyRing:
    """Read the ring, or make one when there is none yet; it follows the file. Raises KeyFileError."""
    if not path.exists():
        _create(path)
    _sweep(path)
    watched = _Watched(path, _signature(path))
    return KeyRing(read_keys(path), watched.changed)


def read_keys(path: Path) -> list[bytes]:
    """The keys in the file, the sealing one first. Raises KeyFileError."""
    try:
        keys = json.loads(path.read_text())["keys"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeyFileError(f"The key file {path} cannot be read; restore it from a backup.") from error
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"The key file {path} is readable by others; run: chmod 600 {path}")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise KeyFileError(f"The key file {path} holds something else than keys; restore it from a backup.")
    try:
        found = _decoded(keys)
        KeyRing(found)
    except (SealBrokenError, ValueError) as error:
        raise KeyFileError(
            f"The key file {path} must hold at least one key, each 32 bytes in base64url; restore it from a backup."
        ) from error
    return found


def put_in_front(path: Path) -> None:
    """A fresh key before the others: written beside the file and put in its place in one step. Raises KeyFileError."""
    with _locked(path):
        keys = [random_bytes(KEY_BYTES), *read_keys(path)]
        while True:
            try:
                _written(path, keys).replace(path)
                break
            except FileNotFoundError:
                continue  # a start has swept it away
        _settled(path.parent)


@dataclass(slots=True)
class _Watched:
    path: Path
    _seen: tuple[int, ...]

    def changed(self) -> list[bytes] | None:
        """The keys of a file that is another than the last time. A file that cannot be used changes nothing."""
        try:
            signature = _signature(self.path)
            if signature == self._seen:
                return None
            keys = read_keys(self.path)
        except (OSError, KeyFileError) as error:
            log.warning("key_file_unreadable", reason=str(error))
            return None
        self._seen = signature
        log.info("key_file_read_again", keys=len(keys))
        return keys


def _signature(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _decoded(keys: list[str]) -> list[bytes]:
    return [decode(key) for key in keys]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. A file that was replaced while we waited for it is waited for anew."""
    while True:
        with path.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if os.fstat(held.fileno()).st_ino == path.stat().st_ino:
                yield
                return


def _create(path: Path) -> None:
    """Several processes may start at once: the first link wins, the others read what it made."""
    fresh = _written(path, [random_bytes(KEY_BYTES)])
    try:
        with contextlib.suppress(FileExistsError, FileNotFoundError):  # who was faster may have swept ours away
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _written(path: Path, keys: list[bytes]) -> Path:
    """A file beside it, for its owner alone and safe on the disk."""
    # a random name: what a killed start leaves must not be in the way of the next one, which may have its process id
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=_UNFINISHED, dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        _owned_as(path, descriptor)
        json.dump({"keys": [encode(key) for key in keys]}, file)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _owned_as(path: Path, descriptor: int) -> None:
    """By whom the file that it will replace is owned: root rotates, and the gateway's own user reads on."""
    if path.exists() and os.geteuid() == 0:
        os.fchown(descriptor, path.stat().st_uid, path.stat().st_gid)


def _settled(directory: Path) -> None:
    """The new name of the file is on the disk too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Take away what killed starts have left; only files that `_written` named, for others may be backups."""
    for left in path.parent.glob(f"{path.name}.*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            left.unlink()
