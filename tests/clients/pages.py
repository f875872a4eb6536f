"""What a page offers the person at the browser: forms that are posted, their buttons, links, and words."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


class FlowError(RuntimeError):
    """The flow ended somewhere a person would have been stuck."""


@dataclass
class Form:
    index: int
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)


@dataclass
class Button:
    index: int
    name: str
    value: str
    label: str


@dataclass
class Link:
    index: int
    href: str
    label: str


@dataclass
class Page:
    url: str
    forms: list[Form]
    links: list[Link]
    text: str
    hides_origin: bool


class _Reader(HTMLParser):
    """Collects the forms that are posted, their submit buttons, the links and the words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[Link] = []
        self.words: list[str] = []
        self.referrer = ""
        self._form: Form | None = None
        self._labelled: Button | Link | None = None
        self._count = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(self._count, a.get("action", ""))
            self._count += 1
            if a.get("method", "").lower() == "post":
                self.forms.append(self._form)
        elif tag == "meta" and a.get("name") == "referrer":
            self.referrer = a.get("content", "")
        elif tag == "a" and "href" in a:
            self._labelled = Link(len(self.links), a["href"], a.get("aria-label", ""))
            self.links.append(self._labelled)
        elif self._form and (tag == "input" or (tag == "button" and a.get("type", "submit") == "submit")):
            self._control(self._form, a, a.get("type", "text").lower() if tag == "input" else "submit", tag)

    def _control(self, form: Form, a: dict[str, str], kind: str, tag: str) -> None:
        name, value = a.get("name", ""), a.get("value", "")
        if kind == "submit":
            button = Button(len(form.buttons), name, value, a.get("aria-label", value if tag == "input" else ""))
            form.buttons.append(button)
            self._labelled = button if tag == "button" else None
        elif kind == "password":
            form.passwords.append(name)
        elif kind == "hidden" or (kind in ("checkbox", "radio") and "checked" in a):
            form.fields.append((name, value))

    def handle_data(self, data: str) -> None:
        if self.lasttag not in ("style", "script"):
            self.words += data.split()
        if self._labelled:
            self._labelled.label = f"{self._labelled.label} {data.strip()}".strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if tag in ("a", "button"):
            self._labelled = None


def read_page(url: str, html: str, referrer_policy: str = "") -> Page:
    reader = _Reader()
    reader.feed(html)
    # a page that sends no referrer posts its forms with `Origin: null` (Fetch, "append a request Origin header")
    hides_origin = (reader.referrer or referrer_policy) == "no-referrer"
    return Page(url, reader.forms, reader.links, " ".join(reader.words), hides_origin)


def end_page(url: str) -> Page:
    """The client's own page, on which there is nothing to do."""
    return Page(url, [], [], "", hides_origin=False)
