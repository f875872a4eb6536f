"""Pages and forms with which a person connects accounts at upstreams, and the callback that they all come back to."""

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from bifrost.authserver.browser import COOKIE, Browser, BrowserSecrets, csrf_token
from bifrost.authserver.connect import FLOW, SESSION, SESSION_SECONDS, Connect, ConnectSession
from bifrost.authserver.endpoints import views
from bifrost.authserver.endpoints.forms import checked_form, see_other
from bifrost.authserver.errors import (
    CrossSiteRequest,
    FlowEnded,
    FlowNotFound,
    KeyRefused,
    TooManyGuesses,
    WrongBrowser,
)
from bifrost.authserver.services import Service, Services
from bifrost.base import ids
from bifrost.http import cookies, params
from bifrost.http.client import OutsideUnreachable, OutsideUrlRefused
from bifrost.http.client_address import TrustedProxies
from bifrost.http.pages import Pages
from bifrost.http.params import Parameters
from bifrost.http.public_urls import PublicUrls
from bifrost.identity.models import Identity
from bifrost.protocol.resource import DEFAULT_PATH
from bifrost.upstreams.admin_sign_ins import SET_UP, AdminSignIns
from bifrost.upstreams.errors import SignInImpossible, UpstreamUnavailable
from bifrost.upstreams.oauth.sign_in import Callback

AUTHORIZE = "/api/oauth/per-user/upstream/authorize"
PROVE = "/api/oauth/per-user/connect/vk"
START = "/api/oauth/per-user/connect/start"
SERVICES_PAGE = "/oauth/consent/mcps"

CANNOT_BEGIN = (SignInImpossible, UpstreamUnavailable, OutsideUrlRefused, OutsideUnreachable)
"""What keeps a sign-in from beginning; the person comes back to the page that they came from."""


@dataclass(frozen=True, slots=True)
class ConnectEndpoints:
    connect: Connect
    admin_sign_ins: AdminSignIns
    services: Services
    secrets: BrowserSecrets
    pages: Pages
    public_urls: PublicUrls
    proxies: TrustedProxies

    async def authorize(self, request: Request) -> Response:
        """With `flow_id` (the button on the services page): off to the upstream. With `session` (a link): our page."""
        query = params.query(request)
        if query.get("session") is not None:
            return await self._session_page(request, query)
        flow_id, browser = query.get("flow_id"), self._browser(request)
        try:
            url = await self.connect.begin_for_flow(flow_id, browser, query.get("mcp_client_id"))
        except FlowNotFound as error:
            raise FlowEnded from error
        except CANNOT_BEGIN as error:
            return see_other(services_url(str(flow_id), notice=error.code))
        return RedirectResponse(url, 302, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})

    async def prove(self, request: Request) -> Response:
        """The key pasted again: the browser that did so may act for the session."""
        form = await checked_form(request, self.public_urls)
        session = await self.connect.session(form.get("session"))
        secret = self._secret(request, session, form)
        try:
            key = (form.get("virtual_key") or "").strip()
            await self.connect.prove_by_key(session, secret, key, self.proxies.client_address(request))
        except (KeyRefused, TooManyGuesses) as error:
            return see_other(session_url(session.id, error=error.code))
        return see_other(session_url(session.id))

    async def start(self, request: Request) -> Response:
        """A Connect button on the page of a link: only for the browser that has proven itself."""
        form = await checked_form(request, self.public_urls)
        session = await self.connect.session(form.get("session"))
        secret = await self.connect.proven(session, self._browser(request))
        if secret is None:
            raise WrongBrowser
        _check_csrf(secret, session.id, form)
        try:
            return see_other(await self.connect.begin_for_session(session, secret, form.get("mcp_client_id")))
        except CANNOT_BEGIN as error:
            return see_other(session_url(session.id, notice=error.code))

    async def callback(self, request: Request) -> Response:
        """Every upstream's answer (RFC 6749 §4.1.2): proven by its state and the browser's own cookie, nothing else."""
        query = params.query(request)
        query.refuse_repeated()
        callback = Callback(
            state=query.get("state"), code=query.get("code"), error=query.get("error"), iss=query.get("iss")
        )
        sign_in, outcome = await self.connect.finish(callback, self._browser(request))
        where = sign_in.return_to
        if where.startswith(SET_UP):
            await self.admin_sign_ins.finished(sign_in, outcome)
            return see_other(f"/api/oauth/config/{where.removeprefix(SET_UP)}/authorize")
        if where.startswith(FLOW):
            return see_other(services_url(where.removeprefix(FLOW), notice=outcome))
        return see_other(session_url(where.removeprefix(SESSION), notice=outcome))

    async def client_id_document(self, _request: Request) -> Response:
        """What upstreams' authorization servers read about us."""
        document = self.connect.sign_ins.registrations.document()
        return JSONResponse(document, headers={"Cache-Control": "public, max-age=3600"})

    async def link(self, identity: Identity) -> str:
        """An absolute link for a person who lacks a connection; it carries no secret."""
        return f"{self.public_urls.issuer}{session_url(await self.connect.offer(identity))}"

    async def _session_page(self, request: Request, query: Parameters) -> Response:
        session = await self.connect.session(query.get("session"))
        browser = self.secrets.presented(cookies.values(request, self._cookie))
        secret = await self.connect.proven(session, browser)
        if secret is None:
            return await self._proof_page(query, session, browser)
        return self.pages.page(
            "connect.html",
            session_id=session.id,
            csrf=csrf_token(secret, session.id),
            identity={
                "kind": session.identity.kind,
                "label": await self.connect.identities.label(session.identity),
            },
            services=[_shown(service) for service in await self.services.of(session.identity, DEFAULT_PATH)],
            notice=views.notice(query.get("notice")),
        )

    async def _proof_page(self, query: Parameters, session: ConnectSession, browser: Browser) -> Response:
        """Says nothing about the session, its person or its services."""
        secret = self.secrets.keep_or_new(browser)
        page = self.pages.page(
            "prove.html",
            session_id=session.id,
            csrf=csrf_token(secret, session.id),
            by_key=session.identity.kind == "vk",
            error=views.sentence(query.get("error")),
        )
        page.headers.append(
            "Set-Cookie",
            cookies.browser_cookie(self._cookie, secret, max_age=SESSION_SECONDS, secure=self.public_urls.secure),
        )
        return page

    @property
    def _cookie(self) -> str:
        return cookies.host_prefixed(COOKIE, secure=self.public_urls.secure)

    def _browser(self, request: Request) -> Browser:
        browser = self.secrets.presented(cookies.values(request, self._cookie))
        if not browser.secrets:
            raise WrongBrowser
        return browser

    def _secret(self, request: Request, session: ConnectSession, form: Parameters) -> str:
        """The secret whose CSRF token the form carries."""
        for secret in self._browser(request).secrets:
            if ids.same(csrf_token(secret, session.id), form.get("csrf") or ""):
                return secret
        raise CrossSiteRequest


def connect_url(flow_id: str, upstream_id: str) -> str:
    return f"{AUTHORIZE}?{urlencode({'mcp_client_id': upstream_id, 'flow_id': flow_id})}"


def services_url(flow_id: str, **more: str) -> str:
    return f"{SERVICES_PAGE}?{urlencode({'flow_id': flow_id, **more})}"


def session_url(session_id: str, **more: str) -> str:
    return f"{AUTHORIZE}?{urlencode({'session': session_id, **more})}"


def _shown(service: Service) -> dict[str, Any]:
    return asdict(service)


def _check_csrf(secret: str, session_id: str, form: Parameters) -> None:
    if not ids.same(csrf_token(secret, session_id), form.get("csrf") or ""):
        raise CrossSiteRequest
