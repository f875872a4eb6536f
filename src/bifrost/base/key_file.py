"""The key ring's file in the data directory: made once with mode 0600, never rewritten."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

from bifrost.base.ids import random_bytes
from bifrost.base.sealing import KEY_BYTES, KeyRing, SealBrokenError, decode, encode

_UNFINISHED = ".new"


class KeyFileError(Exception):
    """One sentence on what is wrong with the keys and how to put it right."""


def ring_from_text(keys: list[str]) -> KeyRing:
    """Keys as configured: base64url of 32 bytes each, the sealing one first. Raises KeyFileError."""
    try:
        return KeyRing([decode(key.rstrip("=")) for key in keys])
    except (SealBrokenError, ValueError) as error:
        raise KeyFileError(
            "Every encryption key must be 32 bytes in base64url (make one with: "
            "python3 -c 'import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())')."
        ) from error


def ring_from_file(path: Path) -> KeyRing:
    """Read the ring, or make one when there is none yet. Raises KeyFileError."""
    if not path.exists():
        _create(path)
    _sweep(path)
    try:
        keys = json.loads(path.read_text())["keys"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeyFileError(f"The key file {path} cannot be read; restore it from a backup.") from error
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"The key file {path} is readable by others; run: chmod 600 {path}")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise KeyFileError(f"The key file {path} holds something else than keys; restore it from a backup.")
    try:
        return ring_from_text(keys)
    except KeyFileError as error:
        raise KeyFileError(
            f"The key file {path} must hold at least one key, each 32 bytes in base64url; restore it from a backup."
        ) from error


def _create(path: Path) -> None:
    """Several processes may start at once: the first link wins, the others read what it made."""
    # a random name: what a killed start leaves must not be in the way of the next one, which may have its process id
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=_UNFINISHED, dir=path.parent)
    fresh = Path(name)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"keys": [encode(random_bytes(KEY_BYTES))]}, file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        # whoever was faster has swept ours away
        if not path.exists():
            raise
    finally:
        fresh.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Take away what killed starts have left; only files that `_create` named, for others may be backups."""
    for left in path.parent.glob(f"{path.name}.*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            left.unlink()
