"""The key ring's file in the data directory: made once with mode 0600, never rewritten."""

import json
import os
from pathlib import Path

from bifrost.base.ids import random_bytes
from bifrost.base.sealing import KEY_BYTES, KeyRing, SealBrokenError, decode, encode


class KeyFileError(Exception):
    """One sentence on what is wrong with the keys and how to put it right."""


def ring_from_text(keys: list[str]) -> KeyRing:
    """Keys as configured: base64url of 32 bytes each, the sealing one first. Raises KeyFileError."""
    try:
        return KeyRing([decode(key.rstrip("=")) for key in keys])
    except (SealBrokenError, ValueError) as error:
        raise KeyFileError(
            "Every encryption key must be 32 bytes in base64url; make one with: "
            "python3 -c 'import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
        ) from error


def ring_from_file(path: Path) -> KeyRing:
    """Read the ring, or make one when there is none yet. Raises KeyFileError."""
    if not path.exists():
        _create(path)
    try:
        keys = json.loads(path.read_text())["keys"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyFileError(f"The key file {path} cannot be read; restore it from a backup.") from error
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"The key file {path} is readable by others; run: chmod 600 {path}")
    return ring_from_text(keys)


def _create(path: Path) -> None:
    """Several processes may start at once: the first link wins, the others read what it made."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"keys": [encode(random_bytes(KEY_BYTES))]}, file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
