"""A new encryption key beside a gateway that runs: killed on the way, gone on with, and the old key taken out."""

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bifrost.base.key_file import ring_from_file
from bifrost.storage.sealed import BATCH_ROWS
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.upstreams.accounts import Owner
from bifrost.upstreams.vault import Vault
from tests.contract._stores import opened
from tests.support import upstreams
from tests.support.clock import START
from tests.wire._bifrost import COMMAND, KEY, Installation, Person, environment

pytestmark = pytest.mark.wire

PEOPLE = 5 * BATCH_ROWS


def _store(installation: Installation, database: Any) -> SqlUpstreamOAuthStore:
    return SqlUpstreamOAuthStore(database, Vault(ring_from_file(installation.directory / "data" / "keyring.json")))


async def _connect(installation: Installation) -> None:
    """Many people's credentials, sealed with the key that the server made."""
    async with opened(installation.storage_url) as database:
        assert await SqlUpstreamStore(database).add_upstream(upstreams.upstream(), "", START)
        store = _store(installation, database)
        for number in range(PEOPLE):
            await store.keep_credential(upstreams.credential(owner=Owner("vk", f"vk-{number}")), START)


async def _states(installation: Installation) -> list[str]:
    async with opened(installation.storage_url) as database:
        store = _store(installation, database)
        held = [await store.credential("up_1", Owner("vk", f"vk-{number}")) for number in range(PEOPLE)]
    return [one.state if one else "lost" for one in held]


def _killed_after_its_first_batch(installation: Installation, *arguments: str) -> None:
    command = [COMMAND, "keys", "rotate-encryption", *arguments, "--config", str(installation.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as running:
        assert running.stdout
        for line in running.stdout:
            if re.search(r"upstream_credentials\.sealed +\d", line):
                running.kill()
                break


def test_a_rotation_that_is_killed_is_gone_on_with_and_the_old_key_taken_out(sqlite_url: str, tmp_path: Path) -> None:
    """TC-182: reads work throughout, no row is lost, the running server follows the key file by itself."""
    installation = Installation(tmp_path, sqlite_url)
    person, keys = Person(installation.origin), tmp_path / "data" / "keyring.json"
    with installation.running() as server:
        person.begin()
        asyncio.run(_connect(installation))
        _killed_after_its_first_batch(installation, "--new-key")
        assert asyncio.run(_states(installation)) == ["active"] * PEOPLE
        _killed_after_its_first_batch(installation)

        ended = installation.run("keys", "rotate-encryption")
        assert ended.returncode == 0, ended.stderr
        assert "No key opens" not in ended.stdout
        new, _old = json.loads(keys.read_text())["keys"]
        access = person.redeem(person.approve()).json()["access_token"]
        assert person.call(access) == 200, "a sign-in that began under the old key is finished under the new one"

        keys.write_text(json.dumps({"keys": [new]}))
        assert asyncio.run(_states(installation)) == ["active"] * PEOPLE
        assert person.call(KEY) == 200
        assert Person(installation.origin).request("GET", "/ready").status_code == 200
        assert server.poll() is None
        installation.run("keys", "list").check_returncode()
    with installation.running():
        assert person.call(KEY) == 200
