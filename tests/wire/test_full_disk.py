"""No room: for the database, and for the log. What cannot be written is refused, and is over when there is room again."""

import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import process
from tests.wire._bifrost import AUTHORIZE, COMMAND, CONSENT, Installation, Person, environment

pytestmark = pytest.mark.wire

ROOM = resource.RLIM_INFINITY
NONE = 1
"""Byte of a file that can be written: whatever lies further back is refused by the kernel, as on a disk that is full."""


@contextmanager
def _no_room(server: "subprocess.Popen[bytes]") -> Iterator[None]:
    """For the files of this process, its log among them."""
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (NONE, ROOM))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (ROOM, ROOM))


def _rows(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as file:
        tables = ("pending_flows", "grants", "authorization_codes", "access_tokens", "refresh_tokens")
        return {table: file.execute(f"SELECT * FROM {table}").fetchall() for table in tables}  # noqa: S608 - as above


def test_a_disk_that_takes_no_more_uses_nothing_up(sqlite_url: str, tmp_path: Path) -> None:
    """TC-200, TC-201: 503 with Retry-After for what must be kept; the rest goes on; then the same requests succeed."""
    installation = Installation(tmp_path, sqlite_url)
    with installation.running() as server:
        waiting, coded, signed_in = (Person(installation.origin) for _ in range(3))
        for person in (waiting, coded, signed_in):
            person.begin()
        assert waiting.choose_key().startswith("/oauth/consent/mcps")
        code = coded.approve()
        tokens = signed_in.redeem(signed_in.approve()).json()
        form = {"flow_id": waiting.flow_id, "csrf": waiting.csrf()}
        before = _rows(Path(sqlite_url.removeprefix("sqlite:///")))
        with _no_room(server):
            refused = [
                waiting.request("POST", f"{CONSENT}/submit", data=form, headers={"Origin": installation.origin}),
                coded.redeem(code),
                signed_in.refresh(tokens["refresh_token"]),
                waiting.request("GET", AUTHORIZE, params=_again(waiting)),
            ]
            for answer in refused:
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) > 0
                assert "disk" not in answer.text
            assert signed_in.request("GET", "/health").status_code == 200
            assert signed_in.call(tokens["access_token"]) == 200
            waiting.register()
        assert _rows(Path(sqlite_url.removeprefix("sqlite:///"))) == before
        assert coded.redeem(code).status_code == 200
        assert signed_in.refresh(tokens["refresh_token"]).status_code == 200
        assert waiting.redeem(waiting.submit()).status_code == 200
        assert coded.redeem(code).status_code == 400
        server.terminate()
        assert server.wait(10) == 0


def _again(person: Person) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": person.client_id,
        "redirect_uri": person.redirect_uri,
        "code_challenge": "A" * 43,
        "code_challenge_method": "S256",
    }


def test_a_log_that_cannot_be_written_costs_nobody_a_request(sqlite_url: str, tmp_path: Path) -> None:
    """TC-200: a full disk for the log alone, from the start on, also of what a fault would have written."""
    installation = Installation(tmp_path, sqlite_url, {"server": {"log_level": "debug"}})
    command = ["sh", "-c", f"exec {COMMAND} serve --config {installation.config} 2>/dev/full"]
    ready = f"{installation.origin}/ready"
    with process(command, ready_url=ready, env=environment(), log=installation.log) as server:
        person = Person(installation.origin)
        person.begin()
        assert person.redeem(person.approve()).status_code == 200
        assert person.request("GET", "/oauth/consent", params={"flow_id": "x"}).status_code in (400, 403)
        server.terminate()
        assert server.wait(10) == 0
