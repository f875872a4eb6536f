"""Pages for people: templates, the headers every page has, and the page that an error becomes."""

import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bifrost.base import ids
from bifrost.base.errors import DomainError
from bifrost.http import gateway_error, status
from bifrost.http.accept import prefers_html
from bifrost.http.encoded import NO_STORE, Encoded, Field
from bifrost.http.surface import event_id
from bifrost.protocol import redirect_uri

AUTOMATIC_RETURN_SECONDS = 8
MAX_FORMS = 200
"""Pages of some 10 kB that are kept; all flows of a client have one each."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
"""The same in text, in an attribute and in a URL."""

_ERRORS = {
    "invalid_client": (
        "This application is not known here",
        "Try again. If it stays like this, remove the server in the application and add it again.",
    ),
    "invalid_redirect_uri": (
        "This sign-in cannot go back to its application",
        "It asked to return to an address that it did not register. Remove the server there and add it again.",
    ),
    "flow_not_found": ("This sign-in is over", "Go back to your application and start connecting again."),
    "flow_expired": ("This sign-in has expired", "Go back to your application and start connecting again."),
    "flow_finished": ("This sign-in is already finished", "You can close this window."),
    "wrong_browser": (
        "This sign-in belongs to another browser",
        "Use the browser in which you started, with cookies allowed, or start again from your application.",
    ),
    "upstream_sign_in_refused": (
        "This account was not connected",
        "Go back to the page with your services, reload it, and press Connect once more.",
    ),
    "connect_link_expired": (
        "This link is over",
        "Use the service once more in your application; it gives you a new link.",
    ),
    "setup_link_over": (
        "This set-up link is over",
        "On the machine of this gateway, run “bifrost admin setup-link” for a new one.",
    ),
    "temporarily_unavailable": ("Not available right now", "Wait a few seconds and reload this page."),
    "not_found": ("There is nothing at this address", "Check the address, or start again from your application."),
}
_OTHER = ("This did not work", "Go back to your application and try again.")


@cache
def _templates() -> tuple[str, Environment]:
    """The style, and what renders: a template is compiled once in a process, however many gateways are in it."""
    style = files("bifrost.http").joinpath("templates", "style.css").read_text()
    environment = Environment(
        loader=PackageLoader("bifrost.http"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        auto_reload=False,
    )
    environment.globals["style"] = Markup(style)  # noqa: S704 - our own file
    return style, environment


class Pages:
    def __init__(self) -> None:
        style, self._environment = _templates()
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        # no form-action: Chromium applies it to the redirect after a form, so it would stop the way back to the client
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"
        self._fields: tuple[Field, ...] = (
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", policy.encode()),
            (b"x-frame-options", b"DENY"),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            NO_STORE,
        )
        self._mark = f"blank-{ids.new_secret()}-"
        self._forms: OrderedDict[tuple[str, bytes], list[bytes]] = OrderedDict()

    def page(self, template: str, *, status_code: int = 200, **context: Any) -> Response:
        text = self._environment.get_template(template).render(**context)
        return Encoded(text.encode(), status_code, self._fields)

    def form(self, template: str, *, fresh: Mapping[str, str], **context: Any) -> Response:
        """A page that is the same for everybody who is shown the same facts, but for a few values of our own making.

        With the same context it is rendered once. `fresh` are the values, by name, and are put in afterwards; where
        something else is made of one, `blank` of its name stands for it.
        """
        facts = (template, msgspec.json.encode(context))
        pieces = self._forms.get(facts)
        if pieces is None:
            blanks = {name: self.blank(name) for name in fresh}
            text = self._environment.get_template(template).render(**context, **blanks)
            pieces = self._forms[facts] = _cut(text, list(blanks.values()))
            if len(self._forms) > MAX_FORMS:
                self._forms.popitem(last=False)
        values = {}
        for name, value in fresh.items():
            if not _PLAIN.fullmatch(value):
                raise ValueError(f"{name} would have to be escaped")
            values[self.blank(name).encode()] = value.encode()
        return Encoded(b"".join([values.get(piece, piece) for piece in pieces]), fields=self._fields)

    def blank(self, name: str) -> str:
        """What stands in a form where a fresh value will: nobody outside can write it."""
        return self._mark + name

    def error(self, request: Request, error: DomainError, operation: str) -> Response:
        """The renderer of surfaces that people and programs share: a page or the gateway's JSON."""
        if not prefers_html(request):
            return gateway_error.response(error, event_id=event_id(request), operation=operation)
        heading, advice = _ERRORS.get(error.code, _OTHER)
        page = self.page(
            "message.html",
            status_code=status.of(error)[0],
            tone="done" if error.code == "flow_finished" else "error",
            heading=heading,
            message=error.message,
            advice=[advice],
            event_id=event_id(request),
            way_back=way_back(getattr(error, "way_back", None)),
        )
        page.headers.update(status.headers(error))
        return page


def _cut(text: str, blanks: list[str]) -> list[bytes]:
    """At its blanks, which are pieces by themselves."""
    return [piece.encode() for piece in re.split(f"({'|'.join(map(re.escape, blanks))})", text)]


def way_back(url: str | None) -> dict[str, Any] | None:
    """By itself only to this computer or an application; to any other host a person has to click (contract §4)."""
    if url is None:
        return None
    target = redirect_uri.target(url)
    automatic = target.kind != "https"
    return {"url": url, "label": target.label, "automatic": automatic, "seconds": AUTOMATIC_RETURN_SECONDS}
