"""kill -9 at each step of connecting an account and of renewing its tokens; the upstream holds its answer meanwhile.

Afterwards the person can go on, no token is lost that the upstream still honours, and nothing is half connected.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.oauth_upstream import OAuthUpstream, Pause
from tests.support.servers import serving
from tests.wire._ann import Ann
from tests.wire._bifrost import PATIENCE_SECONDS, Installation
from tests.wire._stored import changed, found

pytestmark = pytest.mark.wire

TOKEN, REGISTER = "/token", "/register"
RESOURCE = "/.well-known/oauth-protected-resource/mcp"

AFTER_A_KILL_SECONDS = 20.0
"""A lease, and the start of a process on a busy machine."""


@contextmanager
def _guarded(database_url: str, directory: Path) -> Iterator[tuple[Installation, OAuthUpstream]]:
    guarded = OAuthUpstream()
    with serving(guarded.app()) as origin:
        guarded.origin = origin
        entry = {
            "name": "guarded",
            "connection_string": guarded.url,
            "auth_type": "per_user_oauth",
            "tools_to_execute": ["*"],
            "allow_on_all_virtual_keys": True,
        }
        installation = Installation(directory, database_url, {"mcp": {"client_configs": [entry]}})
        installation.sections["server"] = {"public_urls": [installation.origin]}
        try:
            yield installation, guarded
        finally:
            if guarded.pause:
                guarded.pause.released.set()


def _killed_during(installation: Installation, guarded: OAuthUpstream, pause: Pause, act: Callable[[], object]) -> None:
    """Start a gateway, let the person act, and kill it with the upstream's answer outstanding."""

    def acting() -> None:
        try:
            act()
        except httpx2.TransportError:
            interrupted.set()

    interrupted = threading.Event()
    guarded.pause = pause
    with installation.running() as server:
        person = threading.Thread(target=acting)
        person.start()
        assert pause.arrived.wait(PATIENCE_SECONDS)
        server.kill()
        server.wait()
        person.join()
    assert interrupted.is_set(), "it was answered"
    pause.released.set()
    guarded.pause = None


@pytest.mark.parametrize("path", [RESOURCE, REGISTER])
@pytest.mark.parametrize("done", [False, True], ids=["asked", "answering"])
def test_killed_on_the_way_to_the_service(sqlite_url: str, tmp_path: Path, path: str, done: bool) -> None:
    """TC-120: nothing had begun; the same button works after the restart."""
    with _guarded(sqlite_url, tmp_path) as (installation, guarded):
        ann = Ann(installation.origin)
        with installation.running():
            ann.start()
            link = ann.link()
        _killed_during(installation, guarded, Pause(path, done), lambda: ann.request("GET", link))
        assert found(sqlite_url, "upstream_sign_ins") == found(sqlite_url, "upstream_credentials") == []
        with installation.running():
            ann.back(ann.away())
            token = ann.redeem(ann.submit()).json()["access_token"]
            assert ann.is_served(token)


def test_killed_while_the_person_is_at_the_service_and_after_they_came_back(database_url: str, tmp_path: Path) -> None:
    """TC-120, TC-196: the sign-in and what it gave are in the database, and the person notices nothing."""
    with _guarded(database_url, tmp_path) as (installation, _guarded_server):
        ann = Ann(installation.origin)
        with installation.running() as server:
            ann.start()
            callback = ann.away()
            server.kill()
            server.wait()
        with installation.running() as server:
            ann.back(callback)
            server.kill()
            server.wait()
        with installation.running() as server:
            code = ann.submit()
            server.kill()
            server.wait()
        with installation.running():
            assert ann.is_served(ann.redeem(code).json()["access_token"])
            assert [row["owner_kind"] for row in found(database_url, "upstream_credentials")] == ["vk"]


@pytest.mark.parametrize("done", [False, True], ids=["asked", "answering"])
def test_killed_while_the_code_is_exchanged(database_url: str, tmp_path: Path, done: bool) -> None:
    """TC-120, TC-197: the code may be used up over there, so the person connects again, in the same consent."""
    with _guarded(database_url, tmp_path) as (installation, guarded):
        ann = Ann(installation.origin)
        with installation.running():
            ann.start()
            callback = ann.away()
        _killed_during(installation, guarded, Pause(TOKEN, done), lambda: ann.request("GET", callback))
        assert found(database_url, "upstream_credentials") == [], "half connected"
        with installation.running():
            again = ann.request("GET", callback)
            assert again.status_code == 403
            ann.back(ann.away())
            token = ann.redeem(ann.submit()).json()["access_token"]
            assert ann.is_served(token)
            assert len(guarded.registrations) == 1


def test_killed_before_the_service_renewed_the_tokens(database_url: str, tmp_path: Path) -> None:
    """TC-120: the refresh token is still good, and is used ten seconds later: then nobody keeps up the lease."""
    with _guarded(database_url, tmp_path) as (installation, guarded):
        ann = Ann(installation.origin)
        with installation.running():
            token = ann.signed_in()
        guarded.access.clear()
        _killed_during(installation, guarded, Pause(TOKEN, done=False), lambda: ann.whoami(token))
        killed = time.monotonic()
        with installation.running():
            assert ann.is_served(token)
        assert time.monotonic() - killed < AFTER_A_KILL_SECONDS
        assert guarded.refreshes == 1


def test_killed_after_the_service_renewed_the_tokens(database_url: str, tmp_path: Path) -> None:
    """TC-120: the new pair is lost with the process; the next call says where to connect again, and that works."""
    with _guarded(database_url, tmp_path) as (installation, guarded):
        ann = Ann(installation.origin)
        with installation.running():
            token = ann.signed_in()
        guarded.access.clear()
        _killed_during(installation, guarded, Pause(TOKEN, done=True), lambda: ann.whoami(token))
        _lease_is_over(database_url)
        with installation.running():
            for _ in range(2):
                facts = ann.whoami(token)["result"]["_meta"]["mcp_auth_required"]
                assert facts["authorize_url"].startswith(f"{installation.origin}/api/oauth/per-user/upstream/")
            assert guarded.refreshes == 2, "one before the end and one after, and none for the second call"
            assert Ann(installation.origin).is_served(Ann(installation.origin).signed_in())
            assert ann.is_served(token)


def _lease_is_over(database_url: str) -> None:
    """Some seconds later."""
    (row,) = found(database_url, "upstream_credentials")
    assert row["lease_until"] is not None
    changed(database_url, "UPDATE upstream_credentials SET lease_until = 0")
