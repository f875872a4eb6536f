"""A small HTTP client for the demo: cookies kept, redirects not followed, bodies and times bounded."""

import http.client
import json
from dataclasses import dataclass, field
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

TIMEOUT_SECONDS: Final = 30.0
MAX_BODY_BYTES: Final = 4 * 1024 * 1024


class Unreachable(Exception):
    """Nothing answers at a URL, or what answers does not speak HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP response to a request for `url`."""

    url: str
    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def location(self) -> str:
        """Where a redirect leads, absolute; empty when it leads nowhere."""
        location = self.headers.get("location")
        return urljoin(self.url, location) if location else ""

    def json(self) -> dict[str, Any]:
        """The JSON object in the body, or ValueError. Of an event stream, the last event's data."""
        text = self.text
        if self.headers.get_content_type() == "text/event-stream":
            events = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
            text = events[-1] if events else ""
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("the body is not a JSON object")  # noqa: TRY004 - json.loads says ValueError too
        return document


@dataclass(slots=True)
class Browser:
    """Cookies by origin, as one browser profile keeps them (paths and Secure do not matter to one server)."""

    _cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    def get(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        """GET without following redirects."""
        return self._send("GET", url, headers or {}, None)

    def post_json(self, url: str, document: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
        """POST a JSON document."""
        extra = {"Content-Type": "application/json", **(headers or {})}
        return self._send("POST", url, extra, json.dumps(document).encode())

    def post_form(self, url: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        """POST a form as `application/x-www-form-urlencoded`."""
        extra = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._send("POST", url, extra, urlencode(fields).encode())

    def _send(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Answer:
        address = urlsplit(url)
        origin = f"{address.scheme}://{address.netloc}"
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.get(origin, {}).items())
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        target = address.path or "/"
        try:
            connection = kind(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
            try:
                connection.request(
                    method,
                    f"{target}?{address.query}" if address.query else target,
                    body,
                    {"User-Agent": "bifrost-demo", **({"Cookie": cookies} if cookies else {}), **headers},
                )
                response = connection.getresponse()
                answer = Answer(
                    url=url, status=response.status, headers=response.headers, body=response.read(MAX_BODY_BYTES)
                )
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unreachable(f"{origin} does not answer ({error})") from None
        self._keep_cookies(origin, answer.headers)
        return answer

    def _keep_cookies(self, origin: str, headers: Message) -> None:
        jar = self._cookies.setdefault(origin, {})
        for line in headers.get_all("set-cookie", []):
            try:
                cookie = SimpleCookie(line)
            except CookieError:
                continue
            for name, morsel in cookie.items():
                if morsel["max-age"] == "0":
                    jar.pop(name, None)
                else:
                    jar[name] = morsel.value
