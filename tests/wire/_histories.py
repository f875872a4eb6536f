"""Operations on single-use things at once, against two worker processes, and a record of who asked and heard what when.

A round is made from a number: four people's programs, each with four things to do, on two consents of one virtual key.
What exactly is asked (which code, which token) follows from what was answered before. In even rounds the four go step by
step, and the last bytes of their requests are sent together; in odd ones each goes on as soon as it has its answer.
"""

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.client import HTTPResponse
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.support.linearizability import Call
from tests.wire._bifrost import CONSENT, PATIENCE_SECONDS, REVOKE, TOKEN, Installation, Person
from tests.wire._one_after_the_other import DONE, REFUSED, Operation, Result

ADMIN_TOKEN = "an-administrators-token-0123456789"
VALUES = {"header.X-Api-Key": "key-of-alice", "header.X-Tenant": "north"}
AT_ONCE, STEPS = 6, 4
LATE_NANOSECONDS = 25 * 10**9
"""A history that took longer may have passed the 30 seconds in which a used refresh token is always answered."""

_CONNECT = "/api/oauth/per-user/connect"
_KEYS, _GRANTS = "/api/governance/virtual-keys", "/api/oauth2/sessions"
_CONSENTING = {"submit": 4, "deny": 0.5, "connect": 3, "disconnect": 2, "delete_key": 0.3}
_TOKENS = {
    "redeem": 2,
    "redeem_again": 0.4,
    "redeem_wrongly": 0.4,
    "refresh": 10,
    "steal": 0.4,
    "give_back": 0.4,
    "end_grant": 0.4,
    "delete_key": 0.4,
}
_ENDING = {"refresh": 6, "redeem_again": 1, "steal": 1, "give_back": 2, "end_grant": 2, "delete_key": 1}
"""For the last step: what ends a grant meets what goes on with it."""

_WITH_CODE, _WITH_TOKEN = ("redeem", "redeem_again", "redeem_wrongly"), ("refresh", "steal", "give_back")

Recorded = Call[Operation, Result]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody will do: `back` counts refresh tokens from the newest one."""

    name: str
    flow: int
    back: int


def plan(number: int) -> tuple[list[Operation], list[list[Wish]]]:
    """What is done before, and for each of those who then act at once what they do; the same for the same number."""
    chosen = random.Random(number)  # noqa: S311 - reproducible on purpose
    before = [
        Operation(name, flow) for flow in (0, 1) for name in ("submit", "redeem")[: chosen.choice((0, 0, 1, 2, 2))]
    ]

    def wish(step: int) -> Wish:
        weights = _CONSENTING if step == 0 or chosen.random() < 0.1 else _ENDING if step == STEPS - 1 else _TOKENS
        (name,) = chosen.choices(list(weights), list(weights.values()))
        return Wish(name, int(chosen.random() < 0.25), chosen.choice((0, 0, 0, 1, 1, 2)))

    return before, [[wish(step) for step in range(STEPS)] for _ in range(AT_ONCE)]


@dataclass
class Round:
    """One round: its key, its two people, what they were given, and the record."""

    installation: Installation
    number: int
    upstream_id: str
    people: list[Person] = field(default_factory=list)
    csrf: list[str] = field(default_factory=list)
    codes: dict[int, str] = field(default_factory=dict)
    tokens: dict[int, list[str]] = field(default_factory=lambda: {0: [], 1: []})
    history: list[Recorded] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> list[Recorded]:
        self._prepare()
        before, plans = plan(self.number)
        for operation in before:
            self._do(operation)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            if self.number % 2:
                list(pool.map(self._follow, plans))
            else:
                for wishes in zip(*plans, strict=True):
                    together = threading.Barrier(AT_ONCE)
                    asked = [self._operation(wish) for wish in wishes]
                    list(pool.map(lambda one, gate=together: self._do(one, gate), asked))
        self._look()
        return self.history

    def _prepare(self) -> None:
        body = {"name": f"round {self.number} {self.installation.port}", "description": "of a round"}
        made = self._admin("POST", _KEYS, body)
        self.key_id = str(made["id"])
        ports = (33_000, 33_001, 33_002)  # another client each: the id carries what was registered
        first, second, self.stranger = [
            Person(self.installation.origin, redirect_uri=f"http://127.0.0.1:{port}/callback/{self.number}")
            for port in ports
        ]
        self.stranger.register()
        self.people = [first, second]
        for person in self.people:
            person.begin()
            assert person.choose_key(made["value"]).startswith("/oauth/consent/mcps")
            self.csrf.append(person.csrf())

    def _follow(self, wishes: list[Wish]) -> None:
        for wish in wishes:
            self._do(self._operation(wish))

    def _look(self) -> None:
        """At the end, and one after the other: what is left of both grants, and of the key's account."""
        for flow in (0, 1):
            if self.tokens[flow]:
                self._do(Operation("refresh", flow, self.tokens[flow][-1]))
        self._do(Operation("accounts"))

    def _operation(self, wish: Wish) -> Operation:
        """With what is there by now, of the other consent if need be; what it needs and is nowhere is fetched first."""
        with self._lock:
            flows = (wish.flow, 1 - wish.flow)
            with_token = [flow for flow in flows if self.tokens[flow]]
            with_code = [flow for flow in flows if flow in self.codes]
            if wish.name in (*_WITH_TOKEN, "redeem") and with_token:
                tokens = self.tokens[with_token[0]]
                name = "refresh" if wish.name == "redeem" else wish.name
                return Operation(name, with_token[0], tokens[-1 - min(wish.back, len(tokens) - 1)])
            if wish.name in (*_WITH_TOKEN, *_WITH_CODE) and with_code:
                wrongly = wish.name == "redeem_wrongly"
                return Operation("redeem_wrongly" if wrongly else "redeem", with_code[0])
            return Operation("submit" if wish.name in (*_WITH_TOKEN, *_WITH_CODE) else wish.name, wish.flow)

    def _do(self, operation: Operation, together: threading.Barrier | None = None) -> None:
        request = self._request(operation)
        invoked, answer, returned = _asked(self.installation.port, request, together)
        result = _RESULTS[operation.name](answer)
        with self._lock:
            self.history.append(Call(operation, result, invoked, returned))
            if result[0] == "code":
                self.codes[operation.flow] = result[1]
            if result[0] == "pair" and result[2] not in self.tokens[operation.flow]:
                self.tokens[operation.flow].append(result[2])

    def _request(self, operation: Operation) -> bytes:
        name, person = operation.name, self.people[operation.flow]
        if name in ("submit", "deny"):
            return self._form(f"{CONSENT}/{name}", operation.flow, {})
        if name in ("connect", "disconnect"):
            more = {"mcp_client_id": self.upstream_id} | (VALUES if name == "connect" else {})
            path = f"{_CONNECT}/{'headers' if name == 'connect' else 'disconnect'}"
            return self._form(path, operation.flow, more)
        if name in ("redeem", "redeem_wrongly"):
            verifier = person.verifier if name == "redeem" else self.stranger.verifier
            fields = {"code": self.codes[operation.flow], "code_verifier": verifier}
            return self._token_request(person, {"grant_type": "authorization_code", **fields})
        if name in ("refresh", "steal"):
            client = self.stranger if name == "steal" else person
            return self._token_request(client, {"grant_type": "refresh_token", "refresh_token": operation.token})
        if name == "give_back":
            return self._encoded(
                "POST",
                REVOKE,
                urlencode({"client_id": person.client_id, "token": operation.token}).encode(),
            )
        return self._management(operation)

    def _management(self, operation: Operation) -> bytes:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        if operation.name == "delete_key":
            return self._encoded("DELETE", f"{_KEYS}/{self.key_id}", b"", headers)
        query = {"identity_id": self.key_id}
        if operation.name == "accounts":
            return self._encoded("GET", f"/api/mcp/sessions?{urlencode(query)}", b"", headers)
        listed = self._admin(
            "GET", f"{_GRANTS}?{urlencode(query | {'client_id': self.people[operation.flow].client_id})}"
        )
        # a consent that gave no grant has none to end; then this asks for one that there never was
        grant_id = listed["sessions"][0]["id"] if listed["sessions"] else "grant_none"
        return self._encoded("DELETE", f"{_GRANTS}/{grant_id}", b"", headers)

    def _form(self, path: str, flow: int, more: dict[str, str]) -> bytes:
        person = self.people[flow]
        cookies = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
        fields = {"flow_id": person.flow_id, "csrf": self.csrf[flow], **more}
        headers = {"Origin": self.installation.origin, "Cookie": cookies, "Accept": "text/html"}
        return self._encoded("POST", path, urlencode(fields).encode(), headers)

    def _token_request(self, client: Person, fields: dict[str, str]) -> bytes:
        return self._encoded("POST", TOKEN, urlencode({"client_id": client.client_id, **fields}).encode())

    def _encoded(self, method: str, path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        head = {
            "Host": f"127.0.0.1:{self.installation.port}",
            "Connection": "close",
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    def _admin(self, method: str, path: str, body: Any = None) -> Any:
        return management(self.installation, method, path, body)


def management(installation: Installation, method: str, path: str, body: Any = None) -> Any:
    """What the management API answers to the administrator."""
    options = {} if body is None else {"json": body}
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    answer = Person(installation.origin).request(method, path, headers=headers, **options)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    location: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def _asked(port: int, request: bytes, together: threading.Barrier | None) -> tuple[int, Answer, int]:
    """On a connection of its own, so that any worker may have it; all but the last byte is there before it counts."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request[:-1])
        if together is not None:
            together.wait(PATIENCE_SECONDS)
        invoked = time.monotonic_ns()
        connection.sendall(request[-1:])
        answer = HTTPResponse(connection)
        answer.begin()
        heard = Answer(answer.status, answer.getheader("Location") or "", answer.read())
        return invoked, heard, time.monotonic_ns()


def _consented(answer: Answer) -> Result:
    """To the client with a code or with the refusal; to our own pages, or an error, when it was not taken."""
    query = parse_qs(urlsplit(answer.location).query)
    if answer.status == 303 and "code" in query:
        return ("code", query["code"][0])
    if answer.status == 303 and query.get("error") == ["access_denied"]:
        return ("denied",)
    assert answer.status in {303, 400, 403, 409}, answer
    return REFUSED


def _noticed(answer: Answer) -> Result:
    notice = parse_qs(urlsplit(answer.location).query).get("notice", [""])[0]
    if answer.status == 303 and notice in ("connected", "disconnected"):
        return (notice,)
    assert answer.status in {400, 401, 403, 404, 409}, answer
    return REFUSED


def _token_answer(answer: Answer) -> Result:
    if answer.status == 200:
        return ("pair", answer.json["access_token"], answer.json["refresh_token"])
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant"), answer
    return REFUSED


def _ended(answer: Answer) -> Result:
    """Ended by this or before: for whoever asks it is the same."""
    assert answer.status in {200, 204, 404}, answer
    return DONE


def _held(answer: Answer) -> Result:
    assert answer.status == 200, answer
    return ("held", str(answer.json["total_count"]))


_RESULTS: dict[str, Callable[[Answer], Result]] = {
    "submit": _consented,
    "deny": _consented,
    "connect": _noticed,
    "disconnect": _noticed,
    "redeem": _token_answer,
    "redeem_wrongly": _token_answer,
    "refresh": _token_answer,
    "steal": _token_answer,
    "give_back": _ended,
    "end_grant": _ended,
    "delete_key": _ended,
    "accounts": _held,
}


def told(history: list[Recorded], order: tuple[Recorded, ...]) -> Iterator[str]:
    """The history in lines, tokens by their endings; `order` is how far one after the other explains it."""
    began = min(call.invoked for call in history)
    for call in sorted(history, key=lambda one: one.invoked):
        shown = replace(call.operation, token=call.operation.token[-6:])
        result = " ".join(part[-6:] if number else part for number, part in enumerate(call.result))
        place = str(order.index(call) + 1) if call in order else "?"
        times = f"{(call.invoked - began) / 1e6:8.1f} {(call.returned - began) / 1e6:8.1f} ms"
        yield f"{times}  {place:>3}  {shown.name}({shown.flow}{' ' if shown.token else ''}{shown.token}) -> {result}"
