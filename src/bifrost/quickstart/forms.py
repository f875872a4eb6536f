"""Read the forms of an HTML page, as a browser without scripts would see them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin

_TYPED: Final = frozenset({"text", "password", "email", "search"})


@dataclass(slots=True, kw_only=True)
class Form:
    """One form: where it goes, what it sends by itself, what a person fills in, and its labelled buttons.

    `buttons` are (name, value, target): a button may send the form elsewhere (`formaction`).
    """

    action: str
    method: str
    hidden: dict[str, str] = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)

    def targets(self) -> list[str]:
        """Every URL this form can be sent to."""
        return [target for _, _, target in self.buttons] or [self.action]

    def fields(self, target: str, typed: str = "") -> dict[str, str]:
        """What a browser would send to `target`, with `typed` in the fields a person fills in."""
        pressed = {name: value for name, value, to in self.buttons if to == target and name}
        return self.hidden | dict.fromkeys(self.typed, typed) | pressed


class _Reader(HTMLParser):
    def __init__(self, page_url: str) -> None:
        super().__init__()
        self.page_url = page_url
        self.forms: list[Form] = []
        self.title = ""
        self._in_title = False
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attribute = {name: value or "" for name, value in attrs}
        if tag == "title":
            self._in_title = True
        elif tag == "form":
            action = urljoin(self.page_url, attribute.get("action", ""))
            self._open = Form(action=action, method=attribute.get("method", "get").lower())
            self.forms.append(self._open)
        elif tag in ("input", "button") and self._open is not None:
            self._control(self._open, tag, attribute)

    def _control(self, form: Form, tag: str, attribute: dict[str, str]) -> None:
        kind = attribute.get("type", "text" if tag == "input" else "submit").lower()
        name, value = attribute.get("name", ""), attribute.get("value", "")
        if kind == "submit":
            target = attribute.get("formaction")
            form.buttons.append((name, value, urljoin(self.page_url, target) if target else form.action))
        elif kind in _TYPED and name:
            form.typed.append(name)
        elif name and (kind == "hidden" or (kind in ("checkbox", "radio") and "checked" in attribute)):
            form.hidden[name] = value or ("" if kind == "hidden" else "on")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "title":
            self._in_title = False


def read_forms(page_url: str, html: str) -> tuple[str, list[Form]]:
    """The page's title and its forms, with absolute targets."""
    reader = _Reader(page_url)
    reader.feed(html)
    reader.close()
    return " ".join(reader.title.split()), reader.forms
