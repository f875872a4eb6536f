"""A person with an account at an upstream of `tests/support/oauth_upstream.py`, over the wire."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.support.servers import NO_AUTHORITIES
from tests.wire._bifrost import KEY, Person


class Ann(Person):
    """A person with one account at the upstream, `ann`."""

    def start(self) -> None:
        self.begin()
        assert self.choose_key(KEY).startswith("/oauth/consent/mcps")

    def link(self) -> str:
        page = self.request("GET", "/oauth/consent/mcps", params={"flow_id": self.flow_id})
        links = re.findall(r'href="(/api/oauth/per-user/upstream/authorize[^"]+)"', page.text)
        assert links, page.text
        return unescape(links[0])

    def away(self) -> str:
        """The Connect button: the callback's path, as the browser at the service comes back with it."""
        started = self.request("GET", self.link())
        assert started.status_code == 302, started.headers.get("location")
        return self.there(started.headers["location"])

    def there(self, url: str) -> str:
        """Sign in at the service."""
        with httpx2.Client(verify=NO_AUTHORITIES) as outside:
            back = urlsplit(outside.get(f"{url}&account=ann").headers["location"])
        return f"{back.path}?{back.query}"

    def back(self, callback: str) -> None:
        answer = self.request("GET", callback)
        assert "notice=connected" in answer.headers.get("location", ""), answer.text

    def signed_in(self) -> str:
        self.start()
        self.back(self.away())
        return str(self.redeem(self.submit()).json()["access_token"])

    def whoami(self, token: str) -> dict[str, Any]:
        params = {"name": "guarded-whoami", "arguments": {}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {"Authorization": f"Bearer {token}"}
        answer: dict[str, Any] = self.request("POST", "/mcp", json=message, headers=headers).json()
        return answer

    def is_served(self, token: str) -> bool:
        answer = self.whoami(token)
        return bool(answer.get("result", {}).get("content") == [{"type": "text", "text": "ann"}])
