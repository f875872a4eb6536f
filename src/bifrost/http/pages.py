"""Pages for people: templates, the headers every page has, and the page that an error becomes."""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bifrost.base.errors import DomainError
from bifrost.http import gateway_error, status
from bifrost.http.accept import prefers_html
from bifrost.http.surface import event_id
from bifrost.protocol import redirect_uri

AUTOMATIC_RETURN_SECONDS = 8

_ERRORS = {
    "invalid_client": ("This application is not known here", "Remove the server in the application and add it again."),
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


class Pages:
    def __init__(self) -> None:
        style = files("bifrost.http").joinpath("templates", "style.css").read_text()
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._environment = Environment(
            loader=PackageLoader("bifrost.http"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["style"] = Markup(style)  # noqa: S704 - our own file
        # no form-action: Chromium applies it to the redirect after a form, so it would stop the way back to the client
        self._headers = {
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
            "frame-ancestors 'none'",
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    def page(self, template: str, *, status_code: int = 200, **context: Any) -> HTMLResponse:
        text = self._environment.get_template(template).render(**context)
        return HTMLResponse(text, status_code, self._headers)

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


def way_back(url: str | None) -> dict[str, Any] | None:
    """By itself only to this computer or an application; to any other host a person has to click (contract §4)."""
    if url is None:
        return None
    target = redirect_uri.target(url)
    automatic = target.kind != "https"
    return {"url": url, "label": target.label, "automatic": automatic, "seconds": AUTOMATIC_RETURN_SECONDS}
