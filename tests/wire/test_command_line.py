"""The commands of an installation beside its running server: keys, configuration, and what is made on the disk."""

import json
import re
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from tests.support.servers import free_port, process
from tests.wire._bifrost import COMMAND, KEY, MODULE, Installation, Person, environment, run
from tests.wire._stored import stored

pytestmark = pytest.mark.wire


def test_the_command_says_its_version_and_alone_says_how_it_is_used(tmp_path: Path) -> None:
    """Contract §11: exit codes 0 and 2; `python -m bifrost` is the same command."""
    version = run("version", cwd=tmp_path)
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(r"bifrost \d+\.\d+\.\d+\S*\n", version.stdout)
    module = subprocess.run([*MODULE, "version"], env=environment(), capture_output=True, text=True, check=False)
    assert (module.returncode, module.stdout) == (0, version.stdout)
    alone = run(cwd=tmp_path)
    assert alone.returncode == 2
    assert "usage: bifrost" in alone.stdout + alone.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_made_shown_once_used_and_revoked_beside_a_running_server(database_url: str, tmp_path: Path) -> None:
    """Contract §§6, 9, 11: the value is shown once and stored nowhere; revoking is felt by the server at once."""
    began, installation = time.time(), Installation(tmp_path, database_url)
    person = Person(installation.origin)
    with installation.running():
        made = installation.run("keys", "create", "for Ann", "--expires-in", "12h", "--allow", "docs:read,write")
        assert made.returncode == 0, made.stderr
        values = re.findall(r"sk-bf-[A-Za-z0-9_-]{27,}", made.stdout)
        assert len(values) == 1
        value = values[0]
        assert person.call(value) == 200

        listed = installation.run("keys", "list")
        assert listed.returncode == 0
        (line,) = [line for line in listed.stdout.splitlines() if "for Ann" in line]
        assert "active" in line
        assert "docs:read,write" in line
        assert KEY not in listed.stdout
        assert value not in listed.stdout

        revoked = installation.run("keys", "revoke", "for Ann")
        assert (revoked.returncode, "for Ann" in revoked.stdout) == (0, True)
        assert person.call(value) == 403
        kept = stored(database_url, since=began)
    assert b"for Ann" in kept
    assert value.encode() not in kept
    assert KEY.encode() not in kept
    assert value not in made.stderr + installation.log.read_text()


def test_the_file_is_followed_until_the_database_was_changed_otherwise(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §10: `config.json` creates what does not exist yet, and a key that was revoked stays revoked."""
    first, second = [{"id": f"vk-{name}", "name": name, "value": f"sk-bf-{name * 30}"} for name in "ab"]
    installation = Installation(tmp_path, sqlite_url, {"governance": {"virtual_keys": [first]}})
    person = Person(installation.origin)
    with installation.running():
        assert person.call(first["value"]) == 200
        assert person.call(second["value"]) == 401
    assert installation.run("keys", "revoke", "a").returncode == 0
    changed = first | {"is_active": True, "description": "changed in the file"}
    installation.sections["governance"] = {"virtual_keys": [changed, second]}
    with installation.running():
        assert person.call(first["value"]) == 403
        assert person.call(second["value"]) == 200


def test_the_environment_alone_starts_a_server_that_makes_private_files(tmp_path: Path) -> None:
    """TC-185, contract §§10, 11: everything also by variables; what is made is for its owner, whatever the umask."""
    port, data = free_port(), tmp_path / "made" / "data"
    config, database = tmp_path / "config.json", tmp_path / "other.db"
    keys = [{"name": "from the environment", "value": "env.ANNS_KEY"}]
    config.write_text(json.dumps({"governance": {"virtual_keys": keys}}))
    env = environment(
        BIFROST_CONFIG=str(config),
        BIFROST_DATA_DIR=str(data),
        BIFROST_STORAGE_URL=f"sqlite:///{database}",
        BIFROST_PUBLIC_URLS=f"http://127.0.0.1:{port},http://localhost:{port}",
        BIFROST_SERVER__PORT=str(port),
        ANNS_KEY=KEY,
    )
    command = ["/bin/sh", "-c", 'umask 0; exec "$0" serve', COMMAND]
    origin = f"http://127.0.0.1:{port}"
    with process(command, ready_url=f"{origin}/ready", env=env, log=tmp_path / "server.log"):
        person = Person(origin)
        assert person.call(KEY) == 200
        metadata = httpx2.get(f"{origin}/.well-known/oauth-authorization-server").json()
        assert metadata["issuer"] == origin
        modes = {
            path.name: path.stat().st_mode & 0o777 for path in (data, *data.iterdir(), *tmp_path.glob("other.db*"))
        }
    assert modes == {
        "data": 0o700,
        "keyring.json": 0o600,
        "other.db": 0o600,
        "other.db-wal": 0o600,
        "other.db-shm": 0o600,
    }


def test_commands_that_start_together_on_nothing_agree_on_one_key_ring(tmp_path: Path) -> None:
    """Contract §10: several processes may be the first; each finds the database and the keys that one of them made."""
    env = environment(BIFROST_DATA_DIR=str(tmp_path / "data"))
    commands = [[COMMAND, "keys", "create", f"key {number}"] for number in range(4)]
    started = [
        subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    for one in started:
        _, errors = one.communicate(timeout=60)
        assert (one.returncode, errors) == (0, "")
    listed = run("keys", "list", env={"BIFROST_DATA_DIR": str(tmp_path / "data")}, cwd=tmp_path)
    assert [number for number in range(4) if f"key {number}" in listed.stdout] == [0, 1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "data").glob("keyring*")) == ["keyring.json"]
