"""What strangers send gets into the log as a value of a line, and can neither end the line nor paint the terminal."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.wire._bifrost import AUTHORIZE, CONSENT, KEY, REGISTER, TOKEN, Installation, Person

pytestmark = pytest.mark.wire

FORGED = '{"event": "forged", "level": "error", "timestamp": "2027-01-01T00:00:00Z"}'
HOSTILE = [
    f"x\r\n{FORGED}\r\n",
    f"x\n{FORGED}\n",
    f'"}}\n{FORGED}',
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\u2028" + FORGED + "\u2029",
    "\x85" + FORGED,
    "\x00\x07\x08\x7f",
    "\u202egnol",
    "%0d%0a" + FORGED,
    "${jndi:ldap://x} %s %d %n {0} {event}",
    "\ud800",
    "n" * 1_000_000,
]
MAX_LINE_BYTES = 64 * 1024


def _tell(person: Person, text: str) -> None:
    """In every place whose value may reach a log line."""
    short = text[:4_000]
    person.request("POST", REGISTER, content=_json({"client_name": text, "redirect_uris": [person.redirect_uri]}))
    header = short.encode("utf-8", "replace").replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\0", b" ").strip()
    fields = {b"User-Agent": header, b"X-Forwarded-For": header, b"Referer": header, b"X-Request-Id": header}
    query = {"client_id": short, "state": short, "redirect_uri": short, "scope": short}
    person.request("GET", AUTHORIZE, params=_sendable(query), headers=fields)
    person.request("GET", "/" + quote(short, errors="replace"), headers=fields)
    person.request("POST", TOKEN, data=_sendable({"client_id": short, "grant_type": short, "code": short}))
    person.request("POST", f"{CONSENT}/vk", data=_sendable({"flow_id": short}), headers={"Origin": person.origin})
    person.request("GET", "/api/oauth/callback", params=_sendable({"state": short, "error": short, "iss": short}))
    for method, params in (
        ("tools/call", {"name": text, "arguments": {}}),
        (text, {}),
        ("initialize", {"protocolVersion": text, "capabilities": {}, "clientInfo": {"name": text, "version": text}}),
    ):
        body = _json({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        person.request("POST", "/mcp", content=body, headers={"x-bf-vk": KEY, "Content-Type": "application/json"})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _sendable(values: dict[str, str]) -> dict[str, str]:
    """As a program that cannot send half a surrogate pair would."""
    return {name: value.encode("utf-8", "replace").decode() for name, value in values.items()}


def test_every_line_of_the_log_is_one_object_whatever_was_sent(tmp_path: Path, sqlite_url: str) -> None:
    """TC-175, ASVS 16.4.1: at the level that says most; lines of bounded length, and none that a stranger wrote."""
    installation = Installation(tmp_path, sqlite_url, {"server": {"log_level": "debug"}})
    installation.env = {"BIFROST_ADMIN_TOKEN": "an-administrators-token-0123456789"}  # or a link for people is printed
    with installation.running():
        person = Person(installation.origin)
        for text in HOSTILE:
            _tell(person, text)
        whole = Person(installation.origin, state=HOSTILE[9])
        whole.begin()
        assert whole.redeem(whole.approve()).status_code == 200
    written = installation.log.read_bytes()
    lines = written.split(b"\n")
    assert lines.pop() == b""
    told = [json.loads(line) for line in lines]
    assert sum(line["event"] == "request" for line in told) > len(HOSTILE) * 8
    for line in told:
        assert line["event"] != "forged"
        assert {"event", "level", "timestamp"} <= line.keys()
    assert max(map(len, lines)) < MAX_LINE_BYTES
    assert not [byte for byte in set(written) if (byte < 0x20 and byte != 0x0A) or byte >= 0x7F]
