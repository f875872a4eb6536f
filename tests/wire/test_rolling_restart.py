"""One replica after the other is restarted while people sign in: a client that tries once more notices nothing."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.servers import free_port
from tests.wire._bifrost import Installation, Person, until

pytestmark = pytest.mark.wire

PEOPLE = 3
ROUNDS = 2
GRACE_SECONDS = 10


def _replicas(directory: Path, url: str) -> list[Installation]:
    """Two, on one database and with one key ring, each with an address of its own."""
    ports = [free_port(), free_port()]
    sections: dict[str, Any] = {
        "server": {"public_urls": [f"http://127.0.0.1:{port}" for port in ports], "log_level": "warning"},
        "data_dir": str(directory / "data"),
    }
    replicas = []
    for number, port in enumerate(ports):
        own = directory / str(number)
        own.mkdir()
        replicas.append(Installation(own, url, {**sections, "server": {**sections["server"], "port": port}}, port))
    return replicas


@dataclass
class Mobile(Person):
    """As behind a load balancer: what a replica does not answer is asked once more of the other one."""

    origins: tuple[str, str] = ("", "")

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            return self._asked(method, path, options)
        except httpx2.TransportError:
            self.moves()
            return self._asked(method, path, options)

    def _asked(self, method: str, path: str, options: dict[str, Any]) -> httpx2.Response:
        if "Origin" in options.get("headers", {}):
            options = {**options, "headers": {**options["headers"], "Origin": self.origin}}
        return super().request(method, path, **options)

    def moves(self) -> None:
        self.origin = next(origin for origin in self.origins if origin != self.origin)


@dataclass
class Progress:
    """How many sign-ins each of them has finished."""

    counts: list[int]
    stop: threading.Event = field(default_factory=threading.Event)

    def signing_in(self, number: int, origins: tuple[str, str]) -> None:
        """From beginning to end, again and again, every step at the other replica."""
        while not self.stop.is_set():
            person = Mobile(origins[number % 2], origins=origins)
            person.begin()
            person.moves()
            code = person.approve()
            person.moves()
            tokens = person.redeem(code)
            assert tokens.status_code == 200, tokens.text
            person.moves()
            fresh = person.refresh(tokens.json()["refresh_token"])
            assert fresh.status_code == 200, fresh.text
            assert person.call(fresh.json()["access_token"]) == 200
            self.counts[number] += 1


def test_nobody_s_sign_in_fails_while_replicas_are_restarted(postgresql_url: str, tmp_path: Path) -> None:
    """TC-217, TC-215, contract §10: no sticky sessions, and every step may find its replica gone."""
    replicas = _replicas(tmp_path, postgresql_url)
    first, second = replicas
    progress = Progress([0] * PEOPLE)
    with ExitStack() as stack, ThreadPoolExecutor(PEOPLE) as pool:
        servers = [stack.enter_context(replica.running()) for replica in replicas]
        people = [pool.submit(progress.signing_in, number, (first.origin, second.origin)) for number in range(PEOPLE)]
        try:
            for restarted in range(ROUNDS * len(replicas)):
                before, number = list(progress.counts), restarted % len(replicas)
                servers[number].terminate()
                assert servers[number].wait(GRACE_SECONDS * 2) == 0
                servers[number] = stack.enter_context(replicas[number].running())
                until(partial(_further, progress, people, before), "a sign-in of everybody")
        finally:
            progress.stop.set()
        for person in people:
            person.result()


def _further(progress: Progress, people: "list[Future[None]]", before: list[int]) -> bool:
    """Also when one of them has failed, which is told at the end."""
    failed = any(person.done() for person in people)
    return failed or all(now > then for now, then in zip(progress.counts, before, strict=True))
