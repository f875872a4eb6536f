"""Two people at one gateway: each connects accounts of their own at the sample services, and uses them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from html import unescape
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

from bifrost.quickstart.browser import Answer
from bifrost.quickstart.forms import read_forms
from bifrost.quickstart.upstream import ACCOUNT_SERVICES
from bifrost.quickstart.walk import LegFailed, Walk

_CONNECT: Final = re.compile(r'href="(/api/oauth/per-user/upstream/authorize[^"]+)"')
_OK: Final = 200
_REDIRECTS: Final = (302, 303)
_PAGE: Final = {"Accept": "text/html"}


@dataclass(slots=True, kw_only=True)
class Member(Walk):
    """A person who, while giving consent, connects `account` at every service that asks for one."""

    account: str
    connected: list[str] = field(default_factory=list)

    def sign_in(self) -> str:
        """Every leg of a sign-in, and the accounts on the way."""
        for name, leg in self.legs():
            leg()
            if name == "tools/list":
                break
        if len(self.connected) != len(ACCOUNT_SERVICES):
            raise LegFailed(f"{len(self.connected)} of {len(ACCOUNT_SERVICES)} services asked for an account")
        return (
            f"account {self.account!r} at {' and '.join(self.connected)}, connected with {len(self.connected)} clicks"
        )

    def write(self) -> str:
        """A note in each service, which says whose it is."""
        for service in ACCOUNT_SERVICES:
            self._tool(service, "add_note", {"text": self._text(service)})
        return f"a note in {' and '.join(ACCOUNT_SERVICES)}"

    def read(self, everybody: list[str]) -> str:
        """What this person sees: their own notes, and nobody else's."""
        for service in ACCOUNT_SERVICES:
            seen = self._tool(service, "list_notes", {})
            if self._text(service) not in seen:
                raise LegFailed(f"the note that {self.account} wrote in {service} is not there")
            others = [name for name in everybody if name != self.account and f"{name}'s" in seen]
            if others:
                raise LegFailed(f"{self.account} sees notes of {others[0]} in {service}")
        return f"{self.account}'s notes in {' and '.join(ACCOUNT_SERVICES)}, and nobody else's"

    def _text(self, service: str) -> str:
        return f"{self.account}'s {service}"

    def _tool(self, service: str, tool: str, arguments: dict[str, str]) -> str:
        name = f"{service}-{tool}"
        if name not in self.tools:
            raise LegFailed(f"no tool {name} here: is {service} connected, and does the sample upstream run?")
        return self._call(name, dict(arguments))

    def _next_page(self) -> str:
        """The services page: its Connect links first, each of them once, then what every client does."""
        page = self.browser.get(self.page_url, _PAGE)
        links = [unescape(found) for found in _CONNECT.findall(page.text)]
        if page.status == _OK and len(links) > len(self.connected):
            return self._connect(urljoin(page.url, links[len(self.connected)]))
        return super(Member, self)._next_page()

    def _connect(self, link: str) -> str:
        """Our page, the service's own page, the account's name, and back (OAuth 2.1 §4.1); where that leads."""
        away = _led_on(self.browser.get(link, _PAGE), "the Connect link")
        page = self.browser.get(away, _PAGE)
        title, forms = read_forms(page.url, page.text)
        if page.status != _OK or not forms:
            raise LegFailed(f"the service's sign-in page {title!r} has no form (HTTP {page.status})")
        where = urlsplit(page.url)
        origin = {"Origin": f"{where.scheme}://{where.netloc}", **_PAGE}
        target = forms[0].targets()[0]
        back = _led_on(self.browser.post_form(target, forms[0].fields(target, self.account), origin), title)
        after = _led_on(self.browser.get(back, _PAGE), "the callback")
        if "notice=connected" not in after:
            raise LegFailed(f"the account was not connected: {urlsplit(after).query}")
        self.connected.append(where.path.split("/")[1])
        return after


@dataclass(frozen=True, slots=True)
class People:
    """Everybody of a demo, in order."""

    members: list[Member]

    @classmethod
    def of(cls, mcp_url: str, keys: Mapping[str, str]) -> Self:
        """`keys` are virtual keys by the names of their people."""
        return cls([Member(mcp_url=mcp_url, key=key, account=name) for name, key in keys.items()])

    def legs(self) -> list[tuple[str, Callable[[], str]]]:
        """Everybody signs in, then everybody writes, then everybody reads."""
        names = [member.account for member in self.members]
        return [
            *((f"{member.account} signs in", member.sign_in) for member in self.members),
            *((f"{member.account} writes", member.write) for member in self.members),
            *((f"{member.account} reads", partial(member.read, names)) for member in self.members),
        ]


def _led_on(answer: Answer, what: str) -> str:
    if answer.status not in _REDIRECTS or not answer.location:
        raise LegFailed(f"HTTP {answer.status} at {what}; a redirect was expected")
    return answer.location
