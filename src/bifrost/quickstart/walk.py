"""The legs of a sign-in, from a refused request to a tool call, as a client without prior knowledge makes them.

MCP 2026-07-28 (basic/authorization), RFC 9728, RFC 8414, RFC 7591, OAuth 2.1 with PKCE, RFC 8707, RFC 9207.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from bifrost import __version__
from bifrost.base import ids
from bifrost.protocol import mcp, pkce
from bifrost.quickstart.browser import Answer, Browser, Unreachable
from bifrost.quickstart.forms import Form, read_forms

#: Nobody listens here: the demo stops at the redirect that leads to it and reads the code from its query.
REDIRECT_URI: Final = "http://127.0.0.1:33418/callback"
CLIENT_NAME: Final = "Bifrost demo"
NOTE: Final = "Written by the Bifrost demo"
#: A consent that asks more pages than this of a person is taken for a loop.
MAX_PAGES: Final = 10
SCOPES: Final = "mcp:read mcp:write"

_OK: Final = 200
_CREATED: Final = 201
_REDIRECTS: Final = (302, 303)
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_MISDIRECTED: Final = 421


class LegFailed(Exception):
    """A leg did not end as it should; the text says what was seen and what to do about it."""


@dataclass(slots=True, kw_only=True)
class Walk:
    """One sign-in under way: what earlier legs learnt, for the later ones."""

    mcp_url: str
    key: str
    browser: Browser = field(default_factory=Browser)
    resource_metadata_url: str = ""
    resource: str = ""
    issuer: str = ""
    server: dict[str, Any] = field(default_factory=dict)
    client_id: str = ""
    state: str = field(default_factory=ids.new_secret)
    verifier: str = field(default_factory=ids.new_secret)
    page_url: str = ""
    code: str = ""
    access_token: str = ""
    tools: list[str] = field(default_factory=list)

    def legs(self) -> list[tuple[str, Callable[[], str]]]:
        """Every leg in order, by name; each returns what it saw, or raises `LegFailed` or `Unreachable`."""
        return [
            ("challenge", self.challenge),
            ("resource metadata", self.resource_metadata),
            ("server metadata", self.server_metadata),
            ("registration", self.register),
            ("authorize", self.authorize),
            ("consent", self.consent),
            ("token", self.token),
            ("tools/list", self.list_tools),
            ("tools/call add_note", self.add_note),
            ("tools/call list_notes", self.list_notes),
        ]

    def challenge(self) -> str:
        """A request without a credential is refused, and told where to learn how to get one (RFC 9728 §5.1)."""
        answer = self._mcp("tools/list", {})
        if answer.status == _NOT_FOUND:
            raise LegFailed("404: there is no MCP endpoint at this URL; it usually ends in /mcp")
        if answer.status == _MISDIRECTED:
            raise LegFailed("421: the gateway is not known by this host name; use one of its public_urls")
        if answer.status == _OK:
            raise LegFailed("200: served without a credential; set client.enforce_auth_on_inference to true")
        _expect(answer, _UNAUTHORIZED, "a 401 with a challenge")
        challenge = answer.headers.get("www-authenticate", "")
        found = re.search(r'resource_metadata="([^"]+)"', challenge)
        if not found:
            raise LegFailed("401 without resource_metadata in WWW-Authenticate; is mcp_server_auth_mode `headers`?")
        self.resource_metadata_url = found[1]
        return f"401, metadata at {found[1]}"

    def resource_metadata(self) -> str:
        """The document names exactly the URL that was asked for, and its authorization server (RFC 9728 §3.3)."""
        document = _document(self.browser.get(self.resource_metadata_url))
        self.resource = str(document.get("resource", ""))
        if self.resource != self.mcp_url:
            raise LegFailed(f"resource is {self.resource!r}, not {self.mcp_url!r}; check public_urls")
        servers = document.get("authorization_servers")
        if not isinstance(servers, list) or not servers:
            raise LegFailed("authorization_servers is missing or empty")
        self.issuer = str(servers[0])
        return f"authorization server {self.issuer}"

    def server_metadata(self) -> str:
        """The document's issuer is the string it was looked up by, and S256 is offered (RFC 8414 §3.3)."""
        issuer = urlsplit(self.issuer)
        path = "/.well-known/oauth-authorization-server" + issuer.path.rstrip("/")
        document = _document(self.browser.get(urlunsplit((issuer.scheme, issuer.netloc, path, "", ""))))
        if document.get("issuer") != self.issuer:
            raise LegFailed(f"issuer is {document.get('issuer')!r}, not {self.issuer!r}; check public_urls")
        if "S256" not in document.get("code_challenge_methods_supported", []):
            raise LegFailed("code_challenge_methods_supported does not list S256")
        for name in ("registration_endpoint", "authorization_endpoint", "token_endpoint"):
            if not isinstance(document.get(name), str):
                raise LegFailed(f"{name} is missing")
        self.server = document
        return f"{len(document)} members, S256, iss {'on' if self._sends_iss() else 'off'}"

    def register(self) -> str:
        """The client registers itself (RFC 7591 §3.1)."""
        request = {
            "client_name": CLIENT_NAME,
            "redirect_uris": [REDIRECT_URI],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "application_type": "native",
        }
        answer = self.browser.post_json(self.server["registration_endpoint"], request)
        self.client_id = str(_document(answer, _CREATED).get("client_id", ""))
        if not self.client_id:
            raise LegFailed("the answer has no client_id")
        return f"client id of {len(self.client_id)} characters"

    def authorize(self) -> str:
        """The browser is sent to the authorization endpoint and on to the consent page (OAuth 2.1 §4.1.1)."""
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URI,
            "code_challenge": pkce.challenge_of(self.verifier),
            "code_challenge_method": pkce.METHOD,
            "state": self.state,
            "scope": SCOPES,
            "resource": self.resource,
        }
        endpoint = self.server["authorization_endpoint"]
        joint = "&" if urlsplit(endpoint).query else "?"
        answer = self.browser.get(f"{endpoint}{joint}{urlencode(query)}", {"Accept": "text/html"})
        if answer.status not in _REDIRECTS or not answer.location:
            raise LegFailed(f"{_said(answer)}; a redirect to the consent page was expected")
        self.page_url = answer.location
        return f"{answer.status} to {urlsplit(answer.location).path}"

    def consent(self) -> str:
        """A person's part: paste the virtual key, agree; it ends at a redirect to the client (RFC 9207 §2)."""
        pages = 0
        while not self.page_url.startswith(f"{REDIRECT_URI}?"):
            pages += 1
            if pages > MAX_PAGES:
                raise LegFailed(f"still no redirect to the client after {MAX_PAGES} pages")
            self.page_url = self._next_page()
        answer = {name: values[0] for name, values in parse_qs(urlsplit(self.page_url).query).items()}
        if "error" in answer:
            raise LegFailed(f"the server sent the client away: {answer['error']} {answer.get('error_description', '')}")
        if answer.get("state") != self.state:
            raise LegFailed("state did not come back as it was sent")
        if self._sends_iss() and answer.get("iss") != self.issuer:
            raise LegFailed(f"iss is {answer.get('iss')!r}, not {self.issuer!r}")
        self.code = answer.get("code", "")
        if not self.code:
            raise LegFailed("the redirect carries no code")
        return f"{pages} page{'' if pages == 1 else 's'}, then code, state and iss on the redirect"

    def token(self) -> str:
        """The code becomes an access token (OAuth 2.1 §4.1.3)."""
        request = {
            "grant_type": "authorization_code",
            "code": self.code,
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": self.verifier,
            "resource": self.resource,
        }
        document = _document(self.browser.post_form(self.server["token_endpoint"], request))
        self.access_token = str(document.get("access_token", ""))
        if not self.access_token or str(document.get("token_type", "")).lower() != "bearer":
            raise LegFailed("the answer has no bearer token")
        refresh = "with" if document.get("refresh_token") else "without"
        return f"{document.get('scope', 'no scope')}, {document.get('expires_in')} s, {refresh} refresh token"

    def list_tools(self) -> str:
        """The tools this identity may use."""
        tools = self._result("tools/list", {}).get("tools")
        if not isinstance(tools, list):
            raise LegFailed("the result has no list of tools")
        self.tools = [str(tool.get("name")) for tool in tools if isinstance(tool, dict)]
        if not self.tools:
            raise LegFailed("the list is empty: does the key allow an upstream, and does that upstream answer?")
        return f"{len(self.tools)} tools: {', '.join(self.tools[:4])}{' …' if self.tools[4:] else ''}"

    def add_note(self) -> str:
        """A tool that changes something."""
        return self._call("add_note", {"text": NOTE})

    def list_notes(self) -> str:
        """A tool that reads; it must show what was just written."""
        text = self._call("list_notes", {})
        if NOTE not in text:
            raise LegFailed("the note that was added is not in the list")
        return f"{text[:60]}…"

    def _next_page(self) -> str:
        """Load the page, fill in and send the form on it; where the answer leads."""
        page = self.browser.get(self.page_url, {"Accept": "text/html"})
        if page.status in _REDIRECTS and page.location:
            return page.location
        title, forms = read_forms(page.url, page.text)
        refused = parse_qs(urlsplit(self.page_url).query).get("error")
        if page.status != _OK or refused:
            said = refused[0] if refused else f"HTTP {page.status}"
            hint = "; is the key one of this gateway?" if refused else ""
            raise LegFailed(f"the page {title!r} says {said}{hint}")
        form, target = _agreeing(forms, title)
        where = urlsplit(page.url)
        origin = {"Origin": f"{where.scheme}://{where.netloc}", "Referer": page.url, "Accept": "text/html"}
        answer = self.browser.post_form(target, form.fields(target, self.key), origin)
        if answer.status not in _REDIRECTS or not answer.location:
            raise LegFailed(f"{_said(answer)} to the form of the page {title!r}")
        return answer.location

    def _sends_iss(self) -> bool:
        return self.server.get("authorization_response_iss_parameter_supported") is True

    def _mcp(self, method: str, params: dict[str, Any]) -> Answer:
        meta = {
            mcp.META_VERSION: mcp.MODERN,
            mcp.META_CAPABILITIES: {},
            mcp.META_CLIENT_INFO: {"name": "bifrost-demo", "version": __version__},
        }
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": mcp.MODERN,
            "Mcp-Method": method,
        }
        if "name" in params:
            headers["Mcp-Name"] = mcp.header_value(params["name"])
        if self.access_token:
            headers["Authorization"] = f"Bearer {self.access_token}"
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        return self.browser.post_json(self.mcp_url, message, headers)

    def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        document = _document(self._mcp(method, params))
        if not isinstance(document.get("result"), dict):
            raise LegFailed(f"JSON-RPC error {document.get('error')}")
        result: dict[str, Any] = document["result"]
        return result

    def _call(self, tool: str, arguments: dict[str, Any]) -> str:
        name = next((name for name in self.tools if name == tool or name.endswith(f"-{tool}")), None)
        if name is None:
            raise LegFailed(f"no tool {tool} here: does the key allow the sample upstream, and does that run?")
        result = self._result("tools/call", {"name": name, "arguments": arguments})
        text = " ".join(str(part.get("text", "")) for part in result.get("content", []) if isinstance(part, dict))
        if result.get("isError"):
            raise LegFailed(f"the tool refused: {text}")
        return text


def _agreeing(forms: list[Form], title: str) -> tuple[Form, str]:
    """The form that goes on, and where it is sent: the key's form first, else the one that finishes."""
    for action in ("/consent/vk", "/consent/submit"):
        for form in forms:
            for target in form.targets():
                if form.method == "post" and urlsplit(target).path.endswith(action):
                    return form, target
    raise LegFailed(f"the page {title!r} has neither a form for a virtual key nor one to finish")


def _expect(answer: Answer, status: int, wanted: str) -> None:
    if answer.status != status:
        raise LegFailed(f"{_said(answer)}; {wanted} was expected")


def _document(answer: Answer, status: int = _OK) -> dict[str, Any]:
    _expect(answer, status, str(status))
    try:
        return answer.json()
    except ValueError:
        raise LegFailed(f"the body of {urlsplit(answer.url).path} is not a JSON object") from None


def _said(answer: Answer) -> str:
    """The status and, of a JSON error in any of its forms, what it says."""
    try:
        document = answer.json()
    except ValueError:
        return f"HTTP {answer.status}"
    error = document.get("error")
    if isinstance(error, dict):
        return f"HTTP {answer.status}: {error.get('code')} {error.get('message')}"
    return f"HTTP {answer.status}: {error} {document.get('error_description', '')}".rstrip()


__all__ = ["LegFailed", "Unreachable", "Walk"]
