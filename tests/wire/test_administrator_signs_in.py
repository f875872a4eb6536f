"""An administrator adds upstreams and signs in, at authorization servers nobody here wrote, over two real processes."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.wire import _accounts as accounts
from tests.wire._accounts import CALLBACK, Call, Guarded, sign_in_at
from tests.wire._bifrost import KEY, PATIENCE_SECONDS, Installation, until

pytestmark = [pytest.mark.wire, pytest.mark.clients]

TOKEN = "an-administrators-token-0123456789abcdefghijk"


def _api(gateway: Installation, method: str, path: str, body: Any = None) -> Any:
    """On a connection of its own, so that any worker process may answer."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx2.Client(base_url=gateway.origin, timeout=PATIENCE_SECONDS, headers=headers) as http:
        answer = http.request(method, path, **({} if body is None else {"json": body}))
    assert answer.status_code == 200, answer.text
    return answer.json()


def _signs_in(gateway: Installation, pending: dict[str, Any], account: str) -> None:
    """The administrator's own browser, from our page to the service and back."""
    with httpx2.Client(base_url=gateway.origin, timeout=PATIENCE_SECONDS) as browser:
        path = urlsplit(pending["authorize_url"]).path
        for step, more in (("administrator", {"token": TOKEN}), ("start", {})):
            found = re.search(r'name="csrf" value="([^"]+)"', browser.get(path).text)
            assert found
            answer = browser.post(
                path.replace("/authorize", f"/{step}"),
                data={"csrf": found[1], **more},
                headers={"Origin": gateway.origin},
            )
            assert answer.status_code == 303, answer.text
        back = sign_in_at(answer.headers["location"], account, f"{gateway.origin}{CALLBACK}")
        answer = browser.get(back.removeprefix(gateway.origin))
        assert answer.status_code == 303, answer.text
        assert "One step is left" in browser.get(answer.headers["location"]).text
    assert _api(gateway, "GET", pending["status_url"])["status"] == "authorized"
    assert _api(gateway, "POST", pending["complete_url"])["tool_count"] > 0


def _shared(upstream: Guarded) -> dict[str, Any]:
    return {**upstream.entry, "auth_type": "oauth"}


def test_one_account_for_everybody_at_real_authorization_servers(database_url: str, tmp_path: Path) -> None:
    """Contract §§8, 9: registered dynamically, and with a client that was registered by hand; two workers."""
    gateway = Installation(tmp_path, database_url, {"client": {"enforce_auth_on_inference": True}})
    gateway.env["BIFROST_ADMIN_TOKEN"] = TOKEN
    gateway.sections["server"] = {"workers": 2, "public_urls": [gateway.origin]}
    with (
        accounts.certified("notes", tmp_path) as notes,
        accounts.static("wiki", tmp_path, gateway.origin) as wiki,
        gateway.running(),
    ):
        for upstream, account in ((notes, "robot-at-notes"), (wiki, "robot-at-wiki")):
            pending = _api(gateway, "POST", "/api/mcp/client", _shared(upstream))
            _signs_in(gateway, pending, account)
        until(lambda: all(len(_tools(gateway)) > 1 for _ in range(20)), "that every worker knows the upstreams")
        said = accounts.made(
            Call(gateway.origin, KEY, f"{name}-whoami", f"{name}{number}")
            for name in ("notes", "wiki")
            for number in range(20)
        )
        assert {re.sub(r" \w+$", "", text) for text in said.values()} == {"robot-at-notes", "robot-at-wiki"}
        listed = _api(gateway, "GET", "/api/mcp/clients")
        assert [client["state"] for client in listed["clients"]] == ["connected", "connected"]
        for secret in (accounts.STATIC["client_secret"], *notes.bearers().values(), *wiki.bearers().values()):
            assert secret not in str(listed) + gateway.log.read_text()


def _tools(gateway: Installation) -> list[Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    with httpx2.Client(base_url=gateway.origin, timeout=PATIENCE_SECONDS) as http:
        tools: list[Any] = http.post("/mcp", json=body, headers={"x-bf-vk": KEY}).json()["result"]["tools"]
    return tools
