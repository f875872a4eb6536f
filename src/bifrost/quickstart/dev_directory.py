"""The directory of the quick start: a gateway configuration with the sample upstream and a demo virtual key."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bifrost.base import ids
from bifrost.quickstart.children import free_port, port_is_free
from bifrost.quickstart.upstream import ACCOUNT_SERVICES
from bifrost.quickstart.upstream import DEFAULT_PORT as UPSTREAM_PORT

UPSTREAM_NAME: Final = "notes"
KEY_ID: Final = "vk-demo"
#: The key of the second person, with whom accounts of one's own can be seen to be one's own.
SECOND_KEY_ID: Final = "vk-demo-2"


class UnusableDirectory(Exception):
    """The directory or its configuration cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevDirectory:
    """What the quick start needs to know of its directory; the demo virtual keys are secrets.

    `second_key` is empty in a directory of a version that had one person only.
    """

    config: Path
    data: Path
    upstream_port: int
    key: str
    second_key: str


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Make the directory (0700) when it is missing, and hold it: two runs would take each other's upstream away."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UnusableDirectory(f"{directory} cannot be used: {error.strerror}.") from None
    try:
        _lock(handle, directory)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, directory: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UnusableDirectory(
            f"Another run uses {directory}: stop it, or run a second one with a directory of its own: "
            f".venv/bin/python -m bifrost.quickstart --port 9191 --dir {directory}-2"
        ) from None


def prepare(directory: Path) -> DevDirectory:
    """Make `config.json` (0600) when it is missing, and read what is there.

    The key and every change made by hand are kept. Only the sample upstream's port is rewritten, when another
    program has taken it meanwhile.
    """
    path = directory / "config.json"
    try:
        if not path.exists():
            _write(path, _first_config(_usable_port(UPSTREAM_PORT)))
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise UnusableDirectory(f"{error.filename or path} cannot be used: {error.strerror}.") from None
    except ValueError:
        raise _unreadable(path, "is not JSON") from None
    upstream = _entry(config, ("mcp", "client_configs"), "name", UPSTREAM_NAME, path)
    key = _entry(config, ("governance", "virtual_keys"), "id", KEY_ID, path)
    port = _port_of(upstream, path)
    if not port_is_free(port):
        before, port = _origin(port), free_port()
        for entry in config["mcp"]["client_configs"]:
            entry["connection_string"] = entry["connection_string"].replace(f"{before}/", f"{_origin(port)}/", 1)
        _write(path, config)
    return DevDirectory(
        config=path,
        data=directory / "data",
        upstream_port=port,
        key=str(key.get("value", "")),
        second_key=demo_key(path, SECOND_KEY_ID) or "",
    )


def demo_key(config: Path, key_id: str = KEY_ID) -> str | None:
    """A demo key of a configuration that was made earlier, or None."""
    try:
        return str(
            _entry(json.loads(config.read_bytes()), ("governance", "virtual_keys"), "id", key_id, config)["value"]
        )
    except (OSError, ValueError, KeyError, UnusableDirectory):
        return None


def _first_config(upstream_port: int) -> dict[str, Any]:
    return {
        "mcp": {
            "client_configs": [
                _upstream(UPSTREAM_NAME, _address(upstream_port), "none"),
                *(
                    _upstream(service, f"{_origin(upstream_port)}/{service}/mcp", "per_user_oauth")
                    for service in ACCOUNT_SERVICES
                ),
            ]
        },
        "governance": {"virtual_keys": [_key(KEY_ID, "demo"), _key(SECOND_KEY_ID, "demo, a second person")]},
    }


def _upstream(name: str, url: str, auth_type: str) -> dict[str, Any]:
    return {
        "name": name,
        "connection_type": "http",
        "connection_string": url,
        "auth_type": auth_type,
        "tools_to_execute": ["*"],
        "allow_on_all_virtual_keys": True,
    }


def _key(key_id: str, name: str) -> dict[str, Any]:
    allowed = [
        {"mcp_client_name": upstream, "tools_to_execute": ["*"]} for upstream in (UPSTREAM_NAME, *ACCOUNT_SERVICES)
    ]
    return {"id": key_id, "name": name, "value": ids.new_virtual_key(), "mcp_configs": allowed}


def _origin(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _address(port: int) -> str:
    return f"{_origin(port)}/mcp"


def _usable_port(wanted: int) -> int:
    return wanted if port_is_free(wanted) else free_port()


def _entry(config: Any, section: tuple[str, str], member: str, value: str, path: Path) -> dict[str, Any]:
    """The object of the list `section` whose `member` is `value`."""
    try:
        entries = config[section[0]][section[1]]
        found: dict[str, Any] = next(entry for entry in entries if entry[member] == value)
    except (KeyError, TypeError, StopIteration):
        raise _unreadable(path, f"has no {'.'.join(section)} entry with {member} {value!r}") from None
    return found


def _port_of(upstream: dict[str, Any], path: Path) -> int:
    address = str(upstream.get("connection_string"))
    port = address.removeprefix("http://127.0.0.1:").removesuffix("/mcp")
    if not port.isascii() or not port.isdigit() or address != _address(int(port)):
        raise _unreadable(path, f"does not have {UPSTREAM_NAME!r} at http://127.0.0.1:PORT/mcp")
    return int(port)


def _unreadable(path: Path, why: str) -> UnusableDirectory:
    return UnusableDirectory(
        f"{path} {why}. Repair or remove it to have it made anew; to run a configuration of your own: "
        f"bifrost serve --config FILE."
    )


def _write(path: Path, config: dict[str, Any]) -> None:
    """Replace the file as a whole; it is readable by its owner only from the first moment (mkstemp makes 0600)."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".config-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(config, file, indent=2)
            file.write("\n")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
