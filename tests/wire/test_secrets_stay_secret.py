"""One whole flow at log level debug, with secrets that can be recognised; afterwards they are nowhere they should not be.

What the contract allows: `state` is kept in the row of its flow (§4: it is returned byte for byte), and stays there
until the sweeper takes the row; here it also proves that the search would find something.
"""

import base64
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import serving
from tests.wire._bifrost import TOKEN, Installation, Person
from tests.wire._canaries import canary, found_in
from tests.wire._stored import stored

pytestmark = pytest.mark.wire


@dataclass
class Upstream:
    """It refuses every request and repeats the secret header in what it says, as careless servers do."""

    seen: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        value = dict(scope["headers"]).get(b"x-upstream-secret", b"")
        self.seen.append(value)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"error": "not you: ' + value + b'"}'})


@dataclass
class Story:
    """Everything secret that happened, by name, and everything that was said or kept."""

    secrets: dict[str, str] = field(default_factory=dict)
    output: bytes = b""
    database: bytes = b""
    answers: str = ""


@contextmanager
def _server(installation: Installation) -> Iterator[None]:
    """Killed at the end, so that SQLite's write-ahead log is still there to be read."""
    with installation.running() as server:
        yield
        server.kill()
        server.wait()


def _told(database_url: str, directory: Path) -> Story:
    began, story, upstream = time.time(), Story(), Upstream()
    keep = story.secrets
    keep["virtual key"], keep["wrong key"] = canary("sk-bf-"), canary("sk-bf-")
    keep["upstream header"] = canary()
    keep["bearer nobody made"], keep["wrong verifier"] = canary("bfat_"), canary()
    keep["secret in a query"], keep["client secret"] = canary(), canary()
    with ExitStack() as stack:
        origin = stack.enter_context(serving(upstream))
        installation = _installation(database_url, directory, f"{origin}/mcp")
        installation.env = {"CANARY_KEY": keep["virtual key"], "CANARY_HEADER": keep["upstream header"]}
        stack.enter_context(_server(installation))
        _flow(Person(installation.origin, state=f'{canary()} +/=&ü"'), story)
        story.database = stored(database_url, since=began)
    story.output = installation.log.read_bytes()
    assert keep["upstream header"].encode() in upstream.seen, "the upstream was never asked"
    return story


def _installation(database_url: str, directory: Path, upstream_url: str) -> Installation:
    upstream = {
        "name": "careless",
        "connection_string": upstream_url,
        "auth_type": "headers",
        "headers": {"X-Upstream-Secret": "env.CANARY_HEADER"},
        "tools_to_execute": ["*"],
        "allow_on_all_virtual_keys": True,
    }
    sections = {
        "server": {"log_level": "debug"},
        "governance": {"virtual_keys": [{"name": "canary", "value": "env.CANARY_KEY"}]},
        "mcp": {"client_configs": [upstream]},
    }
    return Installation(directory, database_url, sections)


def _flow(person: Person, story: Story) -> None:
    """Right and wrong in turn: what is refused is logged more readily than what goes well."""
    keep = story.secrets
    person.begin()
    keep["state"], keep["verifier"] = person.state, person.verifier
    keep["cookie secret"] = next(cookie.value or "" for cookie in person.cookies.jar)
    assert "error=key_refused" in person.choose_key(keep["wrong key"])
    keep["code"] = person.approve(keep["virtual key"])

    assert person.redeem(keep["code"], code_verifier=keep["wrong verifier"]).status_code == 400
    assert person.redeem(keep["code"], client_secret=keep["client secret"]).status_code in (200, 400, 401)
    basic = base64.b64encode(f"nobody:{keep['client secret']}".encode()).decode()
    answer = person.request("POST", TOKEN, data={"grant_type": "x"}, headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code in (400, 401)
    person.request("POST", f"{TOKEN}?code={keep['secret in a query']}", data={"grant_type": "refresh_token"})
    person.request("GET", f"/mcp?access_token={keep['secret in a query']}")

    tokens = person.redeem(keep["code"])
    if tokens.status_code != 200:  # the attempt with a secret that a public client does not have was taken
        person.authorize()
        keep["second code"] = person.approve(keep["virtual key"])
        tokens = person.redeem(keep["second code"])
    keep["access token"], keep["refresh token"] = tokens.json()["access_token"], tokens.json()["refresh_token"]
    refreshed = person.refresh(keep["refresh token"]).json()
    keep["second access token"], keep["second refresh token"] = refreshed["access_token"], refreshed["refresh_token"]
    for name in ("virtual key", "second access token", "bearer nobody made"):
        for method in ("initialize", "tools/list", "tools/call"):
            story.answers += _ask(person, method, keep[name])
    person.request("POST", "/mcp", content=b"{", headers={"X-Api-Key": keep["virtual key"]})
    assert person.refresh(keep["refresh token"]).status_code in (200, 400)
    assert person.redeem(keep["code"]).status_code == 400


def _ask(person: Person, method: str, credential: str) -> str:
    params: dict[str, Any] = {"name": "careless-anything", "arguments": {}}
    if method == "initialize":
        info = {"name": "test", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = person.request("POST", "/mcp", json=message, headers={"Authorization": f"Bearer {credential}"})
    return answer.text


def test_no_secret_is_written_to_the_log_or_kept_in_the_database(database_url: str, tmp_path: Path) -> None:
    """TC-176, TC-179, contract §§2, 5, 6, 8, 9: codes, tokens, keys and cookies are hashes, upstream headers are sealed."""
    story = _told(database_url, tmp_path)
    assert len(story.secrets) >= 14
    assert all(len(secret) >= 30 for secret in story.secrets.values())

    assert b"consent_given" in story.output, "the log was not read"
    assert found_in(story.secrets, story.output) == set()
    assert found_in(story.secrets, story.database) == {"state"}
    assert found_in(story.secrets, story.answers.encode()) == set(), "an upstream's words about its credential went on"
