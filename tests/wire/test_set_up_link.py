"""The set-up link over the wire: replicas that start together print one, and what it made is known to all of them."""

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from bifrost.base.sealing import encode
from tests.support.servers import process
from tests.wire._bifrost import COMMAND, PATIENCE_SECONDS, Installation, environment, until

pytestmark = pytest.mark.wire

LINK = re.compile(r"http://\S+/setup\?link=(bfsu_[A-Za-z0-9_-]+)")
KEYS = "/api/governance/virtual-keys"


def _replica(directory: Path, storage_url: str) -> Installation:
    directory.mkdir()
    env = {"BIFROST_ENCRYPTION_KEYS": encode(b"k" * 32)}
    return Installation(directory, storage_url, env=env)


def _status(replica: Installation, token: str) -> int:
    return httpx2.get(f"{replica.origin}{KEYS}", headers={"Authorization": f"Bearer {token}"}).status_code


def test_replicas_that_start_together_print_one_link(database_url: str, tmp_path: Path) -> None:
    """Contract §9: several processes, one link; the token that it makes works at each of them."""
    replicas = [_replica(tmp_path / name, database_url) for name in ("one", "two")]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        servers = [replica.running() for replica in replicas]
        for server, started in [(server, pool.submit(server.__enter__)) for server in servers]:
            started.result()
            stack.push(server)
        printed = [link for replica in replicas for link in LINK.findall(replica.log.read_text())]
        assert len(printed) == 1
        page = httpx2.post(f"{replicas[1].origin}/setup", data=_form(printed[0]), headers=_origin(replicas[1]))
        assert page.status_code == 200, page.text
        (token,) = re.findall(r"bfad_[A-Za-z0-9_-]+", page.text)
        again = httpx2.post(f"{replicas[0].origin}/setup", data=_form(printed[0]), headers=_origin(replicas[0]))
        assert again.status_code == 410
        assert [_status(replica, token) for replica in replicas] == [200, 200]
        for replica in replicas:
            assert token not in replica.log.read_text()
        assert replicas[0].run("admin", "revoke", _name(replicas[0])).returncode == 0
        revoked = time.monotonic()
        until(lambda: [_status(replica, token) for replica in replicas] == [401, 401], "the end of the token")
        assert time.monotonic() - revoked < 1


@pytest.mark.parametrize("standard_output", [">/dev/full", ">&-", "> >(true)"], ids=["full", "closed", "gone"])
def test_a_terminal_that_takes_no_link_stops_no_gateway(sqlite_url: str, tmp_path: Path, standard_output: str) -> None:
    """Contract §§9, 11: it serves, the log says how to get another link, and that link works; it ends with 0."""
    installation = _replica(tmp_path / "one", sqlite_url)
    serve = f"exec {COMMAND} serve --config {installation.config} {standard_output}"
    with process(
        ["bash", "-c", serve],
        ready_url=f"{installation.origin}/ready",
        env=environment(**installation.env),
        log=installation.log,
    ) as server:
        (line,) = [line for line in installation.log.read_text().splitlines() if "standard_output_unusable" in line]
        assert "bifrost admin setup-link" in line
        assert "Traceback" not in installation.log.read_text()
        made = installation.run("admin", "setup-link")
        secret = LINK.findall(made.stdout)[0]
        answer = httpx2.post(f"{installation.origin}/setup", data=_form(secret), headers=_origin(installation))
        assert answer.status_code == 200, answer.text
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_SECONDS) == 0
    assert "Exception ignored" not in installation.log.read_text()


def test_a_key_that_is_deleted_at_one_replica_is_refused_at_the_other_within_a_second(
    database_url: str, tmp_path: Path
) -> None:
    """Contract §6: felt on every replica."""
    token = "an-administrators-token-0123456789"
    replicas = [_replica(tmp_path / name, database_url) for name in ("one", "two")]
    headers = {"Authorization": f"Bearer {token}"}
    with ExitStack() as stack:
        for replica in replicas:
            replica.env["BIFROST_ADMIN_TOKEN"] = token
            stack.enter_context(replica.running())
        made = httpx2.post(f"{replicas[0].origin}{KEYS}", json={"name": "ann"}, headers=headers).json()
        until(lambda: _ping(replicas[1], made["value"]) == 200, "a new key")
        assert httpx2.delete(f"{replicas[0].origin}{KEYS}/{made['id']}", headers=headers).status_code == 204
        deleted = time.monotonic()
        until(lambda: _ping(replicas[1], made["value"]) == 401, "the end of a key")
        assert time.monotonic() - deleted < 1


def _ping(replica: Installation, key: str) -> int:
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {"x-bf-vk": key, "Accept": "application/json, text/event-stream"}
    return httpx2.post(f"{replica.origin}/mcp", json=message, headers=headers).status_code


def _form(link: str) -> dict[str, str]:
    return {"link": link}


def _origin(replica: Installation) -> dict[str, str]:
    return {"Origin": replica.origin}


def _name(replica: Installation) -> str:
    """The name of the one token, as the command line lists it."""
    (line,) = [line for line in replica.run("admin", "list").stdout.splitlines() if line.startswith("adm_")]
    return line.split()[1]
