"""Upstreams behind authorization servers that nobody here wrote, and people who connect accounts there."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from tests.support.servers import NO_AUTHORITIES, free_port, process
from tests.wire._bifrost import PATIENCE_SECONDS, Person, environment

TESTS = Path(__file__).resolve().parents[1]
CLIENTS = Path(os.environ.get("CLIENTS_DIR", TESTS.parent / ".cache" / "clients"))
CALLBACK = "/api/oauth/callback"
STATIC = {"client_id": "bifrost-at-wiki", "client_secret": "the-secret-of-one-static-client"}
AT_ONCE = 25
CALL_SECONDS = 120.0
"""Long: a busy machine must not look like a refusal."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A running upstream, what it wrote down, and its authorization server."""

    name: str
    origin: str
    issuer: str
    log: Path
    oauth_config: dict[str, Any]

    @property
    def entry(self) -> dict[str, Any]:
        """Its part of the configuration."""
        return {
            "name": self.name,
            "connection_string": f"{self.origin}/mcp",
            "auth_type": "per_user_oauth",
            "oauth_config": self.oauth_config,
            "tools_to_execute": ["*"],
            "allow_on_all_virtual_keys": True,
        }

    def bearers(self) -> dict[str, str]:
        """Of every call, by its tag, the token that came with it."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return {line["tag"]: line["bearer"] for line in lines}

    def refreshes(self) -> int:
        """As its authorization server counted them."""
        return int(httpx2.get(f"{self.issuer}/counts").json().get("refresh_token ok", 0))


@contextmanager
def certified(name: str, directory: Path, *, par: str = "off") -> Iterator[Guarded]:
    """npm oidc-provider: open registration, rotation, signed tokens for one resource; PAR off, on, or required."""
    port, own_port = free_port(), free_port()
    issuer, origin, log = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{own_port}", directory / f"{name}.calls"
    # by this link to the drivers, and not by the files it leads to, Node finds node_modules
    node = [str(CLIENTS / "bin" / "node"), "--preserve-symlinks", "--preserve-symlinks-main"]
    node += [str(CLIENTS / "drivers" / "oidc_provider.mjs"), str(port), f"{origin}/mcp", "--par", par]
    with (
        process(
            node,
            ready_url=f"{issuer}/.well-known/openid-configuration",
            env=environment(),
            log=directory / f"{name}.as.log",
        ),
        _guarded(directory / f"{name}.log", origin, ["jwt", str(own_port), str(log), issuer]),
    ):
        yield Guarded(name, origin, issuer, log, {})


@contextmanager
def static(name: str, directory: Path, gateway: str) -> Iterator[Guarded]:
    """The Python SDK's own server: one known client with a secret, no lifetimes, refresh tokens that stay."""
    port = free_port()
    origin, log = f"http://127.0.0.1:{port}", directory / f"{name}.calls"
    arguments = ["opaque", str(port), str(log), *STATIC.values(), f"{gateway}{CALLBACK}"]
    with _guarded(directory / f"{name}.log", origin, arguments):
        yield Guarded(name, origin, origin, log, STATIC)


@contextmanager
def _guarded(log: Path, origin: str, arguments: list[str]) -> Iterator[None]:
    program = [sys.executable, str(TESTS / "support" / "sdk_guarded_upstream.py"), *arguments]
    ready = f"{origin}/.well-known/oauth-protected-resource/mcp"
    with process(program, ready_url=ready, env=environment(PYTHONPATH=str(TESTS.parent)), log=log):
        yield


class Member(Person):
    """A person who, while giving consent, connects an account at every upstream."""

    def connect(self, accounts: dict[str, str]) -> None:
        """`accounts` are their names by the origin of the authorization server that has them."""
        page = self.request("GET", "/oauth/consent/mcps", params={"flow_id": self.flow_id})
        links = [unescape(href) for href in re.findall(r'href="(/api/oauth/per-user/upstream/auth[^"]+)"', page.text)]
        assert len(links) == len(accounts), page.text
        for link in links:
            started = self.request("GET", link)
            assert started.status_code == 302, started.headers.get("location")
            where = self.come_back(started.headers["location"], accounts)
            assert "notice=connected" in where, where

    def come_back(self, url: str, accounts: dict[str, str]) -> str:
        """Sign in over there and open the callback; where the gateway sends the browser then."""
        where = urlsplit(url)
        back = sign_in_at(url, accounts[f"{where.scheme}://{where.netloc}"], f"{self.origin}{CALLBACK}")
        answer = self.request("GET", back.removeprefix(self.origin))
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def signed_in(self, key: str, accounts: dict[str, str]) -> str:
        """Everything from registration to the access token."""
        self.begin()
        assert self.choose_key(key).startswith("/oauth/consent/mcps")
        self.connect(accounts)
        tokens = self.redeem(self.submit())
        assert tokens.status_code == 200, tokens.text
        return str(tokens.json()["access_token"])


def sign_in_at(url: str, account: str, back: str) -> str:
    """A browser at an authorization server with a form for an account name; the URL of `back` it ends at."""
    with httpx2.Client(timeout=PATIENCE_SECONDS, headers={"Accept": "text/html"}, verify=NO_AUTHORITIES) as browser:
        for _ in range(20):
            answer = browser.get(url)
            if answer.status_code == 200:
                assert "<form" in answer.text, answer.text
                answer = browser.post(url, data={"account": account})
            assert answer.status_code in (302, 303), f"{answer.status_code} at {url}: {answer.text}"
            url = urljoin(url, answer.headers["location"])
            if url.startswith(back):
                return url
    raise AssertionError(f"no way back from {url}")


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call to be made: where, as whom, and a tag that nobody else uses."""

    gateway: str
    token: str
    tool: str
    tag: str


def made(calls: Iterable[Call]) -> dict[str, str]:
    """Make them all at once, AT_ONCE in flight; what each said by its tag. Raises AssertionError for a failed one."""
    return asyncio.run(_made(list(calls)))


async def _made(calls: list[Call]) -> dict[str, str]:
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx2.AsyncClient(timeout=CALL_SECONDS, verify=NO_AUTHORITIES) as http:

        async def one(call: Call) -> str:
            params = {"name": call.tool, "arguments": {"tag": call.tag}}
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            headers = {"Authorization": f"Bearer {call.token}"}
            async with gate:
                answer = await http.post(f"{call.gateway}/mcp", json=message, headers=headers)
            result = answer.json().get("result", {})
            assert not result.get("isError", "result" not in answer.json()), answer.text
            return str(result["content"][0]["text"])

        said = await asyncio.gather(*(one(call) for call in calls))
    return {call.tag: text for call, text in zip(calls, said, strict=True)}


@contextmanager
def all_of(*contexts: Any) -> Iterator[list[Any]]:
    with ExitStack() as stack:
        yield [stack.enter_context(context) for context in contexts]
