"""`bifrost` as processes, and a person with a client program who talk to it over the wire, one connection a request."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2

from bifrost.base.ids import new_secret
from tests.support.servers import NO_AUTHORITIES, free_port, process

COMMAND = str(Path(sys.executable).with_name("bifrost"))
MODULE = [sys.executable, "-m", "bifrost"]
KEY = "sk-bf-" + "0123456789abcdefghijklmnopqrstuvwxyz"
REGISTER = "/api/oauth/per-user/register"
AUTHORIZE = "/api/oauth/per-user/authorize"
CONSENT = "/api/oauth/per-user/consent"
TOKEN = "/api/oauth/per-user/token"
REVOKE = "/api/oauth/per-user/revoke"
PATIENCE_SECONDS = 15.0


def run(
    *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`bifrost ARGUMENTS` until it ends by itself."""
    command = [COMMAND, *arguments]
    return subprocess.run(
        command, env=environment(**(env or {})), cwd=cwd, capture_output=True, text=True, timeout=30, check=False
    )


def environment(**more: str) -> dict[str, str]:
    """Nothing of the tests' own environment but what finds programs."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **more}


def until(happens: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happens():
        assert time.monotonic() < deadline, f"{what} did not happen in {PATIENCE_SECONDS:g} seconds"
        time.sleep(0.02)


@dataclass
class Installation:
    """A directory with a configuration, and a port that stays the same from start to start."""

    directory: Path
    storage_url: str
    sections: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    env: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    @property
    def config(self) -> Path:
        """Written anew each time it is asked for."""
        values: dict[str, Any] = {
            "server": {"port": self.port},
            "governance": {"virtual_keys": [{"id": "vk-test", "name": "test", "value": KEY}]},
            "storage": {"url": self.storage_url},
            "data_dir": str(self.directory / "data"),
        }
        for name, section in self.sections.items():
            values[name] = {**values.get(name, {}), **section} if isinstance(section, dict) else section
        path = self.directory / "config.json"
        path.write_text(json.dumps(values))
        return path

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[bytes]"]:
        """`bifrost serve`, ready; killed with SIGKILL at the end if it still runs."""
        command = [COMMAND, "serve", "--config", str(self.config)]
        with process(command, ready_url=f"{self.origin}/ready", env=environment(**self.env), log=self.log) as started:
            yield started

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of the same installation."""
        return run(*arguments, "--config", str(self.config), env=self.env)


@dataclass
class Person:
    """A client program with a verifier and a state of its own, and the browser of whoever uses it."""

    origin: str
    state: str = field(default_factory=new_secret)
    verifier: str = field(default_factory=new_secret)
    redirect_uri: str = "http://127.0.0.1:33418/callback"
    client_id: str = ""
    flow_id: str = ""
    cookies: httpx2.Cookies = field(default_factory=httpx2.Cookies)

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """On a connection of its own, so that any worker process may answer."""
        with httpx2.Client(
            base_url=self.origin, cookies=self.cookies, timeout=PATIENCE_SECONDS, verify=NO_AUTHORITIES
        ) as http:
            answer = http.request(method, path, **options)
            self.cookies = http.cookies
        return answer

    def register(self) -> None:
        answer = self.request("POST", REGISTER, json={"client_name": "Test", "redirect_uris": [self.redirect_uri]})
        assert answer.status_code == 201, answer.text
        self.client_id = answer.json()["client_id"]

    def authorize(self, **more: str) -> None:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": self.state,
            **more,
        }
        answer = self.request("GET", AUTHORIZE, params=parameters)
        assert answer.status_code == 302, answer.text
        self.flow_id = parse_qs(urlsplit(answer.headers["location"]).query)["flow_id"][0]

    def begin(self) -> None:
        self.register()
        self.authorize()

    def choose_key(self, key: str = KEY) -> str:
        """Where the browser is sent: to the services, or back with an error."""
        answer = self._press("vk", virtual_key=key)
        return str(answer.headers["location"])

    def submit(self) -> str:
        """The authorization code."""
        answer = self._press("submit")
        response = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        assert response["state"] == self.state
        return response["code"]

    def approve(self, key: str = KEY) -> str:
        assert self.choose_key(key).startswith("/oauth/consent/mcps")
        return self.submit()

    def redeem(self, code: str, **changes: str) -> httpx2.Response:
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": self.verifier}
        return self.token(**{**form, **changes})

    def refresh(self, refresh_token: str) -> httpx2.Response:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token)

    def token(self, **form: str) -> httpx2.Response:
        return self.request("POST", TOKEN, data={"client_id": self.client_id, **form})

    def call(self, credential: str) -> int:
        """The status that a ping with this credential gets at /mcp."""
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        answer = self.request("POST", "/mcp", json=message, headers={"Authorization": f"Bearer {credential}"})
        return int(answer.status_code)

    def csrf(self) -> str:
        """What the forms of the consent pages carry."""
        page = self.request("GET", "/oauth/consent", params={"flow_id": self.flow_id})
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
        assert found, page.text
        return found[1]

    def _press(self, action: str, **form: str) -> httpx2.Response:
        form = {"flow_id": self.flow_id, "csrf": self.csrf(), **form}
        answer = self.request("POST", f"{CONSENT}/{action}", data=form, headers={"Origin": self.origin})
        assert answer.status_code == 303, answer.text
        return answer


def refusal(ended: "subprocess.CompletedProcess[str]") -> str:
    """The sentence of a command that refused: exit 1 and one line, besides what the log says in JSON."""
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("bifrost: ")
    return lines[0].removeprefix("bifrost: ")
