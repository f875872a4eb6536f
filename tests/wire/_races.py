"""Races over the wire: many requests whose last byte is sent at one moment, to a server of two worker processes.

Everything a server can do beforehand (accept, read, parse the head) is done when that byte comes, so the requests meet
where they compete: in the database.
"""

import json
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlencode

from tests.wire._bifrost import CONSENT, REVOKE, TOKEN, Installation, Person

AT_ONCE = 50
PATIENCE_SECONDS = 30.0
ONE, ALL, UP_TO_HALF = range(1, 2), range(AT_ONCE, AT_ONCE + 1), range(AT_ONCE // 2 + 1)


@dataclass(frozen=True)
class Form:
    """A POST of a form, whole but for its sending."""

    path: str
    fields: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self, host: str) -> bytes:
        body = urlencode(self.fields).encode()
        head = {
            "Host": host,
            "Connection": "close",
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len(body)),
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"POST {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@dataclass(frozen=True)
class Answer:
    status: int
    location: str
    body: bytes


def together(port: int, forms: list[Form]) -> list[Answer]:
    """Send all but the last byte of each on a connection of its own, then all the last bytes at once."""
    requests = [form.encoded(f"127.0.0.1:{port}") for form in forms]
    connections = [socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) for _ in requests]
    try:
        for connection, request in zip(connections, requests, strict=True):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(request[:-1])
        for connection, request in zip(connections, requests, strict=True):
            connection.sendall(request[-1:])
        return [_read(connection) for connection in connections]
    finally:
        for connection in connections:
            connection.close()


def _read(connection: socket.socket) -> Answer:
    answer = HTTPResponse(connection)
    answer.begin()
    return Answer(answer.status, answer.getheader("Location") or "", answer.read())


@dataclass(frozen=True)
class Race:
    """`run` runs one round and returns which of its requests won."""

    name: str
    what: str
    wins: str
    """Who may win, in words."""
    run: Callable[[Installation], list[int]]
    winners: range
    """How many may win."""

    @property
    def has_one_winner(self) -> bool:
        return self.winners == ONE


def submits(installation: Installation) -> list[int]:
    """One consent, finished fifty times at once: one code, the others hear that it was done (contract §5)."""
    person = _chosen(installation)
    answers = together(installation.port, [_press(installation, person, "submit")] * AT_ONCE)
    winners = [number for number, answer in enumerate(answers) if "code=" in answer.location]
    assert Counter(answer.status for answer in answers) == {303: 1, 409: AT_ONCE - 1}
    return winners


def submits_and_denials(installation: Installation) -> list[int]:
    """Finished and denied at once: one of them, and the client hears of one only (contract §5)."""
    person = _chosen(installation)
    both = [_press(installation, person, action) for action in ("submit", "deny")]
    answers = together(installation.port, both * (AT_ONCE // 2))
    assert {answer.status for answer in answers} <= {303, 400, 409}
    return [number for number, answer in enumerate(answers) if answer.status == 303]


def redemptions(installation: Installation) -> list[int]:
    """One code, redeemed fifty times at once with the right proof: it leaked, so the grant has ended (contract §6)."""
    person = _chosen(installation)
    code = person.submit()
    fields = {"grant_type": "authorization_code", "code": code, "code_verifier": person.verifier}
    answers = together(installation.port, [_token(person, fields)] * AT_ONCE)
    assert Counter(answer.status for answer in answers) == {200: 1, 400: AT_ONCE - 1}
    winners = [number for number, answer in enumerate(answers) if answer.status == 200]
    assert person.call(_json(answers[winners[0]])["access_token"]) == 401
    return winners


def refreshes(installation: Installation) -> list[int]:
    """One refresh token, fifty times at once: everybody gets the same pair, and it works (contract §6, D4)."""
    person = _chosen(installation)
    first = person.redeem(person.submit()).json()
    fields = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    answers = together(installation.port, [_token(person, fields)] * AT_ONCE)
    assert {answer.status for answer in answers} == {200}
    pairs = {(_json(answer)["access_token"], _json(answer)["refresh_token"]) for answer in answers}
    assert len(pairs) == 1
    ((access, refresh),) = pairs
    assert person.call(access) == 200
    assert person.refresh(refresh).status_code == 200
    return list(range(AT_ONCE))


def refreshes_and_revocations(installation: Installation) -> list[int]:
    """A refresh token used and given back at once: whatever a refresh brought is as dead as the grant (RFC 7009 §2.1)."""
    person = _chosen(installation)
    first = person.redeem(person.submit()).json()
    refresh = _token(person, {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]})
    revocation = Form(REVOKE, {"client_id": person.client_id, "token": first["refresh_token"]})
    answers = together(installation.port, [refresh, revocation] * (AT_ONCE // 2))
    assert {answer.status for answer in answers[1::2]} == {200}
    assert {answer.status for answer in answers[::2]} <= {200, 400}
    winners = [number for number, answer in enumerate(answers) if number % 2 == 0 and answer.status == 200]
    pairs = {(_json(answers[number])["access_token"], _json(answers[number])["refresh_token"]) for number in winners}
    assert len(pairs) <= 1
    for access, successor in {(first["access_token"], first["refresh_token"]), *pairs}:
        assert person.call(access) == 401
        assert person.refresh(successor).json()["error"] == "invalid_grant"
    return winners


RACES = (
    Race("submits", "50 submits of one consent", "exactly one", submits, ONE),
    Race("submits-and-denials", "25 submits and 25 denials of one consent", "exactly one", submits_and_denials, ONE),
    Race("redemptions", "50 redemptions of one code", "exactly one, and the grant ends", redemptions, ONE),
    Race("refreshes", "50 refreshes with one token", "all, with one equal pair", refreshes, ALL),
    Race(
        "refreshes-and-revocations",
        "25 refreshes and 25 revocations with one token",
        "any refresh, with one equal pair, and nothing of it lives on",
        refreshes_and_revocations,
        UP_TO_HALF,
    ),
)


def _chosen(installation: Installation) -> Person:
    """A person who has chosen who they are."""
    person = Person(installation.origin)
    person.begin()
    assert person.choose_key().startswith("/oauth/consent/mcps")
    return person


def _press(installation: Installation, person: Person, action: str) -> Form:
    cookies = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
    fields = {"flow_id": person.flow_id, "csrf": person.csrf()}
    return Form(f"{CONSENT}/{action}", fields, {"Origin": installation.origin, "Cookie": cookies})


def _token(person: Person, fields: dict[str, str]) -> Form:
    return Form(TOKEN, {"client_id": person.client_id, **fields})


def _json(answer: Answer) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(answer.body)
    return value
