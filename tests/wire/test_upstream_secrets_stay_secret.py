"""Accounts at an upstream, from connecting to losing them, at log level debug; afterwards no secret is where it should not be.

What the contract allows: the client's `state` is kept in the row of its flow (§4). Nothing else is excepted.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving
from tests.wire._ann import Ann
from tests.wire._bifrost import REVOKE, Installation
from tests.wire._canaries import canary, found_in
from tests.wire._stored import stored

pytestmark = pytest.mark.wire

READABLE = {"client's state"}
EVENTS = ("upstream_connected", "upstream_token_renewed", "upstream_needs_reauth", "upstream_sign_in_failed")


@dataclass
class Story:
    """Every secret by name, what the gateway wrote, and what clients and browsers were told about upstreams."""

    secrets: dict[str, str] = field(default_factory=dict)
    output: bytes = b""
    database: bytes = b""
    answers: list[str] = field(default_factory=list)

    def keep_all(self, name: str, values: Iterator[str] | list[str]) -> None:
        self.secrets |= {f"{name} {number}": value for number, value in enumerate(values)}


def _installation(database_url: str, directory: Path, guarded: OAuthUpstream, story: Story) -> Installation:
    keep = story.secrets
    keep["virtual key"], keep["client secret"], keep["static header"] = canary("sk-bf-"), canary(), canary()
    guarded.secret = keep["client secret"]
    both = {"tools_to_execute": ["*"], "allow_on_all_virtual_keys": True, "connection_string": guarded.url}
    client = {"client_id": "us", "client_secret": "env.CANARY_SECRET"}
    own = {"name": "guarded", "auth_type": "per_user_oauth", "oauth_config": client} | both
    shared = {"name": "shared", "auth_type": "headers", "headers": {"X-Secret": "env.CANARY_HEADER"}} | both
    installation = Installation(directory, database_url)
    installation.sections = {
        "server": {"log_level": "debug", "public_urls": [installation.origin]},
        "governance": {"virtual_keys": [{"id": "vk-test", "name": "canary", "value": "env.CANARY_KEY"}]},
        "mcp": {"client_configs": [own, shared]},
    }
    installation.env = {
        "CANARY_KEY": keep["virtual key"],
        "CANARY_SECRET": keep["client secret"],
        "CANARY_HEADER": keep["static header"],
    }
    return installation


@contextmanager
def _killed_at_the_end(installation: Installation) -> Iterator[None]:
    """So that SQLite's write-ahead log is still there to be read."""
    with installation.running() as server:
        yield
        server.kill()
        server.wait()


def _told(database_url: str, directory: Path) -> Story:
    began, story, guarded = time.time(), Story(), OAuthUpstream(iss="own")
    guarded.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    with serving(guarded.app()) as origin:
        guarded.origin = origin
        installation = _installation(database_url, directory, guarded, story)
        with _killed_at_the_end(installation):
            ann = Ann(installation.origin, state=canary(), verifier=canary())
            token = _connects(ann, guarded, story)
            _uses(ann, guarded, story, token)
            _loses(ann, guarded, story, token)
            story.database = stored(database_url, since=began)
    story.output = installation.log.read_bytes()
    _collect(guarded, ann, story)
    return story


def _connects(ann: Ann, guarded: OAuthUpstream, story: Story) -> str:
    """With everything that goes wrong on the way: a refusal, another issuer, a guessed state, a used one."""
    keep = story.secrets
    ann.begin()
    keep["client's state"], keep["client's verifier"] = ann.state, ann.verifier
    keep["browser cookie"] = next(cookie.value or "" for cookie in ann.cookies.jar)
    assert ann.choose_key(keep["virtual key"]).startswith("/oauth/consent/mcps")
    guarded.deny = True
    refused = ann.request("GET", f"{ann.away()}&error_description={_named(keep, 'error description')}")
    story.answers.append(refused.text + str(refused.headers))
    guarded.deny, guarded.iss = False, "https://evil.example"
    assert "upstream_mixed_up" in ann.request("GET", ann.away()).headers["location"]
    guarded.iss = "own"
    query = {"state": _named(keep, "guessed state"), "code": _named(keep, "guessed code")}
    assert ann.request("GET", "/api/oauth/callback", params=query).status_code == 403
    callback = ann.away()
    ann.back(callback)
    assert ann.request("GET", callback).status_code == 403
    keep["our code"] = ann.submit()
    tokens = ann.redeem(keep["our code"]).json()
    keep["our access token"], keep["our refresh token"] = tokens["access_token"], tokens["refresh_token"]
    return str(tokens["access_token"])


def _named(keep: dict[str, str], name: str) -> str:
    keep[name] = canary()
    return keep[name]


def _uses(ann: Ann, guarded: OAuthUpstream, story: Story, token: str) -> None:
    """Calls, an upstream that repeats what it was given, a renewal that fails and one that does not, and a step-up."""
    assert ann.is_served(token)
    guarded.breaks = True
    story.answers.append(json.dumps(ann.whoami(token)))
    guarded.breaks = False
    guarded.access.clear()
    guarded.refresh_answer = JSONResponse({"error": "server_error", "error_description": guarded.issued[-1]}, 503)
    story.answers.append(json.dumps(ann.whoami(token)))
    guarded.refresh_answer = None
    assert ann.is_served(token)
    guarded.wants = "admin"
    link = _link_of(ann.whoami(token), story)
    page = ann.request("GET", link)
    assert "guarded" in page.text
    hidden = re.search(r'action="/api/oauth/per-user/connect/start">(.*?)</form>', page.text, re.DOTALL)
    assert hidden, page.text
    form = {name: unescape(value) for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', hidden[1])}
    started = ann.request("POST", "/api/oauth/per-user/connect/start", data=form, headers={"Origin": ann.origin})
    assert "scope=admin" in started.headers["location"]
    ann.back(ann.there(started.headers["location"]))
    assert ann.is_served(token)


def _loses(ann: Ann, guarded: OAuthUpstream, story: Story, token: str) -> None:
    """Our own renewal and revocation, and the upstream's refusal, in words that repeat the token."""
    keep = story.secrets
    renewed = ann.refresh(keep["our refresh token"]).json()
    keep["second access token"], keep["second refresh token"] = renewed["access_token"], renewed["refresh_token"]
    guarded.access.clear()
    guarded.refresh_answer = JSONResponse({"error": "invalid_grant", "error_description": guarded.issued[-1]}, 400)
    _link_of(ann.whoami(renewed["access_token"]), story)
    form = {"client_id": ann.client_id, "token": renewed["refresh_token"]}
    assert ann.request("POST", REVOKE, data=form).status_code == 200
    story.answers.append(json.dumps(ann.whoami(renewed["access_token"])))


def _link_of(answer: dict[str, Any], story: Story) -> str:
    story.answers.append(json.dumps(answer))
    url = str(answer["result"]["_meta"]["mcp_auth_required"]["authorize_url"])
    return url[url.index("/", len("http://")) :]


def _collect(guarded: OAuthUpstream, ann: Ann, story: Story) -> None:
    story.keep_all("token of the upstream", guarded.issued)
    story.keep_all("state at the upstream", [query["state"] for query in guarded.authorizations])
    for name in ("code", "code_verifier"):
        story.keep_all(f"{name} at the upstream", [form[name] for form in guarded.token_requests if form.get(name)])


def test_no_secret_of_an_upstream_or_its_person_is_logged_kept_or_told(database_url: str, tmp_path: Path) -> None:
    """TC-125, TC-176, TC-179: raw, in base64 and base64url, URL-encoded, in hexadecimal: none is found anywhere."""
    story = _told(database_url, tmp_path)
    kinds = {re.sub(r" \d+$", "", name) for name in story.secrets}
    assert len(kinds) >= 16
    assert all(len(secret) >= 30 for secret in story.secrets.values())
    for event in EVENTS:
        assert event.encode() in story.output, f"{event} did not happen, or the log was not read"
    assert found_in(story.secrets, story.output) == set()
    assert found_in(story.secrets, story.database) == READABLE
    private = {name: secret for name, secret in story.secrets.items() if name not in READABLE}
    assert found_in(private, "".join(story.answers).encode()) == set()
